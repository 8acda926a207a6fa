"""A small HTTP proxy before a server, that counts requests and misbehaves as it is told."""

from __future__ import annotations

import contextlib
import http.client
import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self


@dataclass(frozen=True)
class Request:
    """A request that came in.

    Attributes:
        method: GET, PUT, ...
        path: The path and the query.
        size: How many bytes its body has.
        conditional: Whether it is to create only.
        number: How many came before it.
    """

    method: str
    path: str
    size: int
    conditional: bool
    number: int


@dataclass(frozen=True)
class Fault:
    """What happens to a request; by default, nothing unusual.

    Attributes:
        delay: Seconds to wait before it is passed on.
        answer: A status to answer with; the request is not passed on.
        code: The code in the body of such an answer.
        cut: Read that many bytes of its body, then reset the connection; the request is not passed on.
        lose: Pass it on, then answer nothing: "cut" resets the connection, "hang" keeps it open.
        status: Pass it on, then answer with this status instead.
        truncate: Pass on that many bytes of the answer's body, then reset the connection.
        unconditional: Pass it on without its If-None-Match, as to a server that ignores it.
    """

    delay: float = 0
    answer: int = 0
    code: str = "SlowDown"
    cut: int | None = None
    lose: str = ""
    status: int = 0
    truncate: int | None = None
    unconditional: bool = False


_NOTHING: Final = Fault()
_HOP: Final = frozenset({"connection", "keep-alive", "transfer-encoding"})
#: What happens to a request; it may be asked from any thread.
Plan = Callable[[Request], Fault | None]


@dataclass
class Proxy:
    """Passes requests on to a server.

    Attributes:
        plan: Decides what happens to each request.
        requests: Those that came in.
    """

    host: str
    port: int
    plan: Plan = lambda _: None
    requests: list[Request] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _server: socketserver.BaseServer | None = None
    _closing: threading.Event = field(default_factory=threading.Event)

    @property
    def endpoint(self) -> str:
        """The URL of the proxy."""
        assert isinstance(self._server, ThreadingHTTPServer)
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._server = _Quiet(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    @contextlib.contextmanager
    def doing(self, plan: Plan) -> Iterator[list[Request]]:
        """Follow a plan for a while; give the requests that come in meanwhile."""
        before = self.plan
        with self._lock:
            self.requests.clear()
        self.plan = plan
        try:
            yield self.requests
        finally:
            self.plan = before

    def note(self, method: str, path: str, size: int, conditional: bool) -> Request:
        """Count a request."""
        with self._lock:
            request = Request(method, path, size, conditional, len(self.requests))
            self.requests.append(request)
            return request


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections end as they please here."""


class _Handler(BaseHTTPRequestHandler):
    owner: Any
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _handle(self) -> None:  # noqa: C901, PLR0912  # one fault after the other
        size = int(self.headers.get("content-length") or 0)
        condition = self.headers.get("if-none-match") == "*"
        request = self.owner.note(self.command, self.path, size, condition)
        fault = self.owner.plan(request) or _NOTHING
        if fault.cut is not None:
            self.rfile.read(min(size, fault.cut))
            self._reset()
            return
        body = self.rfile.read(size)
        if fault.delay:
            self.owner._closing.wait(fault.delay)  # noqa: SLF001  # one module
        if fault.answer:
            self._answer(fault.answer, fault.code)
            return
        upstream = http.client.HTTPConnection(self.owner.host, self.owner.port, timeout=60)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in _HOP | ({"if-none-match"} if fault.unconditional else set()):
                    upstream.putheader(name, value)
            upstream.endheaders(body or None)
            response = upstream.getresponse()
            content = response.read()
        finally:
            upstream.close()
        if fault.lose:
            if fault.lose == "hang":
                self.owner._closing.wait(60)  # noqa: SLF001  # one module
            self._reset()
        elif fault.status:
            self._answer(fault.status, "InternalError")
        else:
            self.send_response_only(response.status, response.reason)
            for name, value in response.getheaders():
                if name.lower() not in _HOP | {"content-length"}:
                    self.send_header(name, value)
            length = response.getheader("content-length") if self.command == "HEAD" else str(len(content))
            self.send_header("content-length", length or "0")
            self.end_headers()
            self.wfile.write(content if fault.truncate is None else content[: fault.truncate])
            if fault.truncate is not None:
                self._reset()

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _handle  # noqa: N815  # names of http.server

    def _answer(self, status: int, code: str) -> None:
        body = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _reset(self) -> None:
        self.wfile.flush()
        self.close_connection = True
        # without lingering: the other side sees a reset
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
