"""Ferry as a process under test: started, killed, stopped and waited for; and waits for what it does."""
from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psycopg

POLL_INTERVAL_S = 0.05
STOP_DEADLINE_S = 120
LOG_LINES_SHOWN = 30

CONFIRMED_QUERY = """
SELECT coalesce(bool_and(confirmed_flush_lsn >= %s::pg_lsn), false) FROM pg_replication_slots
WHERE database = current_database()
"""


class FerryError(Exception):
    """Ferry ended when it should not have, or did not do in time what it should have."""


def wait_until(condition: Callable[[], bool], what: str, deadline_s: float) -> None:
    """Polls until the condition holds."""
    deadline = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > deadline:
            raise FerryError(f"{what} did not happen within {deadline_s:g} s")
        time.sleep(POLL_INTERVAL_S)


class FerryProcess:
    """One command of Ferry's, run again and again; its output is appended to one log file.

    The process gets SIGKILL when the thread that started it ends, so start it from the main thread.
    """

    def __init__(self, command: list[str | Path], log: Path) -> None:
        self.command = [str(word) for word in command]
        self.peak_memory_bytes = 0
        self.cpu_s = 0.0
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._exit_code: int | None = None

    def start(self, failpoint: str = "") -> None:
        """Starts the command. A failpoint, `name` or `name:nth`, makes Ferry end itself by SIGKILL there."""
        environment = {key: value for key, value in os.environ.items() if key != "FERRY_FAILPOINT"}
        if failpoint:
            environment["FERRY_FAILPOINT"] = failpoint
        self._exit_code = None
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *self.command],
                                             stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)

    def _reap(self, options: int) -> None:
        """Takes the exit code and the resources used; subprocess itself offers only the former."""
        assert self._process is not None
        if self._exit_code is not None:
            return
        pid, status, usage = os.wait4(self._process.pid, options)
        if pid == 0:
            return
        self._exit_code = self._process.returncode = os.waitstatus_to_exitcode(status)
        self.peak_memory_bytes = max(self.peak_memory_bytes, usage.ru_maxrss * 1024)
        self.cpu_s += usage.ru_utime + usage.ru_stime

    @property
    def exit_code(self) -> int | None:
        """None while it runs; minus the signal's number when a signal ended it."""
        if self._process is not None:
            self._reap(os.WNOHANG)
        return self._exit_code

    @property
    def running(self) -> bool:
        return self._process is not None and self.exit_code is None

    def log_end(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines() if self._log.exists() else []
        return "\n".join(lines[-LOG_LINES_SHOWN:])

    def require_running(self) -> None:
        if not self.running:
            raise FerryError(f"ferry ended with {self.exit_code}; the end of its log {self._log}:\n{self.log_end()}")

    def wait_until(self, condition: Callable[[], bool], what: str, deadline_s: float) -> None:
        """Polls until the condition holds, and fails at once when Ferry ends meanwhile."""
        def holds() -> bool:
            if condition():
                return True
            self.require_running()
            return False

        try:
            wait_until(holds, what, deadline_s)
        except FerryError as error:
            raise FerryError(f"{error}\nThe end of ferry's log {self._log}:\n{self.log_end()}") from error

    def wait(self, timeout_s: float) -> bool:
        """Waits for the end of the process and returns whether it came in time."""
        deadline = time.monotonic() + timeout_s
        while self.running:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_INTERVAL_S)
        return True

    def kill(self) -> None:
        """SIGKILL; returns when the process is gone."""
        if self._process is not None and self.running:
            self._process.kill()
            self._reap(0)

    def send_stop(self) -> None:
        """SIGTERM, and no waiting for what Ferry does about it."""
        self.require_running()
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """SIGTERM: Ferry writes what it has captured and exits with 0."""
        self.send_stop()
        if not self.wait(STOP_DEADLINE_S):
            raise FerryError(f"ferry did not stop within {STOP_DEADLINE_S} s; the end of its log:\n{self.log_end()}")
        if self.exit_code != 0:
            raise FerryError(f"ferry stopped with {self.exit_code}; the end of its log {self._log}:\n{self.log_end()}")


def current_wal_position(connection: psycopg.Connection) -> str:
    """The position up to which the source has written its log."""
    row = connection.execute("SELECT pg_current_wal_insert_lsn()::text").fetchone()
    connection.rollback()
    assert row is not None
    return str(row[0])


def has_confirmed(connection: psycopg.Connection, position: str) -> bool:
    """Whether all slots of the database are confirmed up to the position: all before it is durable in the target."""
    row = connection.execute(CONFIRMED_QUERY, (position,)).fetchone()
    connection.rollback()
    return bool(row and row[0])


def drain(ferry: FerryProcess, connection: psycopg.Connection, marker_table: str, deadline_s: float) -> None:
    """Waits until all that was committed before this call is durable in the target, then stops Ferry.

    The marker is a change after the position waited for: without one an idle source moves no slot.
    """
    position = current_wal_position(connection)
    connection.execute(f"INSERT INTO {marker_table} DEFAULT VALUES".encode())
    connection.commit()
    ferry.wait_until(lambda: has_confirmed(connection, position), f"confirming {position}", deadline_s)
    ferry.stop()
