"""A proxy on loopback that fails on demand: by method and path, with a status, a delay or a cut connection."""

import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

from tests.support.servers import Server, running

CUT, STALL, SLOW = "cut", "stall", "slow"
_HOP = frozenset({"connection", "transfer-encoding", "keep-alive", "content-length", "host"})


@dataclass
class Proxy:
    """The requests that came through, `METHOD path`, and what befalls the next ones.

    `rule` gets each request, with its number, and says what happens to it: a status, `cut`, `stall`, `slow`,
    or None. The server hears nothing of a request that fails; with `late`, it does, and only the answer is lost.
    """

    target: str
    url: str = ""
    asked: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    rule: Callable[[int, str], int | str | None] = lambda number, request: None
    late: bool = False
    stall_s: float = 5.0

    def fail(self, pattern: str, how: int | str, times: int | None = None) -> None:
        """Let requests that match fail, so many times or always."""
        left = [times]

        def rule(number: int, request: str) -> int | str | None:
            if not re.search(pattern, request) or left[0] == 0:
                return None
            left[0] = None if left[0] is None else left[0] - 1
            return how

        self.rule = rule

    def fail_number(self, wanted: int, how: int | str) -> None:
        """Let the request of this number, counted from now, fail; clients that repeat it get through."""
        start = len(self.asked)
        self.rule = lambda number, request: how if number - start == wanted else None

    def heal(self) -> None:
        self.rule = lambda number, request: None
        self.late = False


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy

    def _any(self) -> None:
        request = f"{self.command} {self.path}"
        number = len(self.proxy.asked)
        self.proxy.asked.append(request)
        body = (
            self.rfile.read(int(self.headers.get("Content-Length") or 0)) if not self._is_chunked() else self._chunks()
        )
        how = self.proxy.rule(number, request)
        if how is None or how == SLOW:
            time.sleep(self.proxy.stall_s if how == SLOW else 0)
            self._pass_on(self._ask(body))
            return
        self.proxy.failed.append(request)
        if self.proxy.late:
            self._ask(body)
        self._fail(how)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _any  # noqa: N815

    def _is_chunked(self) -> bool:
        return "chunked" in self.headers.get("Transfer-Encoding", "")

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline().strip() or b"0", 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _ask(self, body: bytes) -> tuple[HTTPResponse, bytes]:
        address = urlsplit(self.proxy.target)
        server = HTTPConnection(address.hostname or "", address.port or 80, timeout=120)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
        server.request(self.command, self.path, body, headers)
        answer = server.getresponse()
        content = answer.read()
        server.close()
        return answer, content

    def _pass_on(self, found: tuple[HTTPResponse, bytes]) -> None:
        answer, content = found
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _fail(self, how: int | str) -> None:
        self.close_connection = True
        if how == STALL:
            time.sleep(self.proxy.stall_s)
        if isinstance(how, str):
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        text = f"<html>{how} by a gateway</html>".encode()
        self.send_response(how)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:
        """Tests read `asked`."""


@contextmanager
def proxied(target: str) -> Iterator[Proxy]:
    """A proxy before the server at `target`, on a free port."""
    proxy = Proxy(target)
    server = Server(("127.0.0.1", 0), type("FaultHandler", (_Handler,), {"proxy": proxy}))
    proxy.url = f"http://127.0.0.1:{server.server_port}"
    with running(server):
        yield proxy
