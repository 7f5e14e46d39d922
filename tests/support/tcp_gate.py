"""A TCP proxy in front of a server, which cuts, stalls or keeps connections as a test wants.

    with TcpGate(server.port) as gate:
        ferry("copy", f"postgresql://…@127.0.0.1:{gate.port}/db", …)
        gate.cut()
"""
from __future__ import annotations

import contextlib
import socket
import threading


class TcpGate:
    """Any thread may call it. The threads that carry bytes end with their connections or with close()."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._open = threading.Event()
        self._open.set()
        self._keeps_server_side = False
        self._refuses = False
        self._bytes_left: int | None = None
        self._closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> TcpGate:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def hold(self) -> None:
        """From now on the server does not learn that a client has gone: its side of the connection stays."""
        self._keeps_server_side = True

    def stall(self) -> None:
        """No byte passes until pass_on()."""
        self._open.clear()

    def pass_new(self) -> None:
        """What stalls stays so, also after pass_on(); connections that are made from now on pass."""
        stalled, self._open = self._open, threading.Event()
        self._open.set()
        stalled.clear()

    def stall_after(self, byte_count: int) -> None:
        """No byte passes any more once the server has sent this many from now on."""
        self._bytes_left = byte_count

    def is_stalled(self) -> bool:
        return not self._open.is_set()

    def has_connections(self) -> bool:
        with self._lock:
            return bool(self._pairs)

    def pass_on(self) -> None:
        """Everything passes again; new connections are taken again."""
        self._keeps_server_side = False
        self._refuses = False
        self._bytes_left = None
        self._open.set()

    def refuse(self) -> None:
        """New connections are closed at once."""
        self._refuses = True

    def cut(self) -> None:
        """Closes all connections on both sides."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                _close(end)

    def close(self) -> None:
        self._closed = True
        _close(self._listener)
        self.cut()
        self._open.set()

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._refuses:
                _close(client)
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self._server_port))
            except OSError:
                _close(client)
                continue
            with self._lock:
                self._pairs.append((client, server))
            threading.Thread(target=self._carry, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._carry, args=(server, client, True), daemon=True).start()

    def _count(self, byte_count: int) -> None:
        with self._lock:
            if self._bytes_left is None:
                return
            self._bytes_left -= byte_count
            if self._bytes_left <= 0:
                self._bytes_left = None
                self._open.clear()

    def _carry(self, source: socket.socket, target: socket.socket, from_server: bool) -> None:
        may_pass = self._open
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if from_server:
                    self._count(len(data))
                may_pass.wait()
                try:
                    target.sendall(data)
                except OSError:
                    # What a held server sends to a client that is gone gets lost, as on a dead network.
                    if not (self._keeps_server_side and from_server):
                        raise
        if self._keeps_server_side and not from_server:
            _close(source)
            return
        _close(source)
        _close(target)


def _close(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
