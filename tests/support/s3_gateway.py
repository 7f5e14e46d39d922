"""An HTTP proxy in front of an S3 service: it counts API calls, fails those that nobody may make, and injects faults.

    with S3Gateway(server.port) as gateway:
        gateway.inject("UploadPart", Fault.answer(503, "SlowDown"), times=3)
        ferry("copy", …, environment=server.environment(gateway.port))
    assert not gateway.forbidden

A fault happens instead of, or around, the real call.
"""
from __future__ import annotations

import contextlib
import dataclasses
import http.client
import http.server
import socket
import ssl
import threading
import urllib.parse
from collections import Counter
from collections.abc import Callable
from pathlib import Path

# What Ferry may call. Any other call fails the test that looks at `forbidden`.
ALLOWED = {"PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "AbortMultipartUpload",
           "DeleteObject", "DeleteObjects", "PutObjectTagging", "ListObjectsV2", "ListMultipartUploads"}


@dataclasses.dataclass(frozen=True)
class Call:
    """One request as it came."""
    action: str
    path: str
    headers: dict[str, str]  # Names in lower case.
    size: int


@dataclasses.dataclass(frozen=True)
class Fault:
    """What happens to a call. Made by the functions below."""
    status: int = 0                # An answer in the service's place.
    code: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    text: str | None = None        # The answer's body, instead of an error document.
    body_bytes: int | None = None  # The connection is cut when so much of the request's body has come.
    lose_answer: bool = False      # The call is made; its answer is not given.

    @staticmethod
    def answer(status: int, code: str, *headers: tuple[str, str]) -> Fault:
        return Fault(status=status, code=code, headers=headers)

    @staticmethod
    def answer_body(status: int, text: str) -> Fault:
        return Fault(status=status, text=text)

    @staticmethod
    def cut(body_bytes: int = 0) -> Fault:
        return Fault(body_bytes=body_bytes)

    @staticmethod
    def lost_answer() -> Fault:
        return Fault(lose_answer=True)


@dataclasses.dataclass
class _Rule:
    action: str
    fault: Fault
    skip: int
    times: int | None
    only: Callable[[Call], bool]


def action_of(method: str, path: str, headers: dict[str, str], virtual_bucket: str = "") -> str:
    """The name of the API call, or method and path for what is none of those Ferry knows."""
    parts = urllib.parse.urlsplit(path)
    if virtual_bucket and headers.get("host", "").startswith(f"{virtual_bucket}."):
        parts = parts._replace(path=f"/{virtual_bucket}{parts.path}")
    query = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
    key = parts.path.lstrip("/").partition("/")[2]
    if key and method == "PUT" and "x-amz-copy-source" in headers:
        return "CopyObject"
    known = {("PUT", True, ()): "PutObject", ("PUT", True, ("partNumber", "uploadId")): "UploadPart",
             ("PUT", True, ("tagging",)): "PutObjectTagging", ("POST", True, ("uploads",)): "CreateMultipartUpload",
             ("POST", True, ("uploadId",)): "CompleteMultipartUpload", ("POST", False, ("delete",)): "DeleteObjects",
             ("DELETE", True, ("uploadId",)): "AbortMultipartUpload", ("DELETE", True, ()): "DeleteObject"}
    found = known.get((method, bool(key), tuple(sorted(query))))
    if found:
        return found
    if method == "GET" and not key and query.get("list-type") == "2":
        return "ListObjectsV2"
    if method == "GET" and not key and "uploads" in query:
        return "ListMultipartUploads"
    return f"{method} {path}"


class S3Gateway:
    """Any thread may call it."""

    def __init__(self, server_port: int, certificate: Path | None = None) -> None:
        """With a certificate (PEM with its key) it speaks TLS."""
        self.server_port = server_port
        self.calls: list[Call] = []
        self.virtual_bucket = ""  # The bucket whose name comes in the Host header.
        self._rules: list[_Rule] = []
        self._lock = threading.Lock()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> S3Gateway:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def inject(self, action: str, fault: Fault, *, times: int | None = 1, skip: int = 0,
               only: Callable[[Call], bool] = lambda _: True) -> None:
        """The next `times` calls of the action after `skip` of them get the fault; without `times` all do."""
        with self._lock:
            self._rules.append(_Rule(action, fault, skip, times, only))

    def clear(self) -> None:
        with self._lock:
            self._rules.clear()

    @property
    def pending(self) -> list[str]:
        """Actions whose faults have not all happened."""
        with self._lock:
            return [rule.action for rule in self._rules if rule.times]

    @property
    def forbidden(self) -> list[str]:
        return [call.action for call in self.calls if call.action not in ALLOWED]

    def counts(self) -> Counter[str]:
        return Counter(call.action for call in self.calls)

    def take(self, call: Call) -> Fault | None:
        with self._lock:
            self.calls.append(call)
            if call.action not in ALLOWED:
                return Fault.answer(405, "MethodNotAllowed")
            for rule in self._rules:
                if rule.action != call.action or rule.times == 0 or not rule.only(call):
                    continue
                if rule.skip > 0:
                    rule.skip -= 1
                    continue
                if rule.times is not None:
                    rule.times -= 1
                return rule.fault
        return None


def _handler(gateway: S3Gateway) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 60

        def log_message(self, *_: object) -> None:
            pass

        def handle(self) -> None:
            with contextlib.suppress(OSError):
                super().handle()

        def _cut(self) -> None:
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)

        def _reply(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                    self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _serve(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            size = int(headers.get("content-length", 0))
            call = Call(action_of(self.command, self.path, headers, gateway.virtual_bucket), self.path, headers, size)
            fault = gateway.take(call)
            if fault and fault.body_bytes is not None:
                self.rfile.read(min(size, fault.body_bytes))
                self._cut()
                return
            body = self.rfile.read(size)
            if fault and fault.status:
                text = fault.text
                if text is None:
                    text = f"<?xml version=\"1.0\"?><Error><Code>{fault.code}</Code><Message>injected</Message></Error>"
                self._reply(fault.status, [*fault.headers], b"" if fault.status < 300 and fault.text is None else text.encode())
                return
            try:
                status, answer_headers, answer = self._forward(body)
            except OSError:
                # The service is not there: as if this address were its own.
                self._cut()
                return
            if fault and fault.lose_answer:
                self._cut()
                return
            self._reply(status, answer_headers, answer)

        def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
            connection = http.client.HTTPConnection("127.0.0.1", gateway.server_port, timeout=60)
            try:
                connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    if name.lower() != "connection":
                        connection.putheader(name, value)
                connection.endheaders(body)
                answer = connection.getresponse()
                return answer.status, answer.getheaders(), answer.read()
            except http.client.HTTPException as error:
                raise OSError(str(error)) from error
            finally:
                connection.close()

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve  # noqa: N815

    return Handler
