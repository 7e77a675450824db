"""HTTP servers on loopback that behave as badly as real ones do."""

import datetime
import ipaddress
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest


@dataclass
class Site:
    """Files by path, and what goes wrong: `faults` are taken one per request, None for a good answer."""

    files: dict[str, bytes]
    etag: str | None = '"one"'
    modified: str | None = "Mon, 07 Jan 2013 10:00:00 GMT"
    faults: list[Callable[["Handler"], bool] | None] = field(default_factory=list)
    ranges: bool = True
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    sent_bytes: int = 0
    url: str = ""


class Handler(BaseHTTPRequestHandler):
    """Serves `site`, with ranges and If-Range as the standard has them, unless a fault takes the request."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # headers and body leave together: apart, each answer waits 40 ms for an acknowledgement
    site: Site

    def do_GET(self) -> None:
        self.site.asked.append((self.path, self.headers.get("Range")))
        fault = self.site.faults.pop(0) if self.site.faults else None
        if fault is None or not fault(self):
            self.answer()

    def answer(self, *, cut: int | None = None, headers: dict[str, str] | None = None) -> None:
        """The right answer; `cut` ends the connection after so many bytes, `headers` replace the right ones."""
        body = self.site.files.get(self.path.partition("?")[0])
        if body is None:
            self.send_error(404)
            return
        start, stop, status = 0, len(body), 200
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        valid = self.headers.get("If-Range", self.site.etag) in (self.site.etag, self.site.modified)
        if match and self.site.ranges and valid:
            start, stop, status = int(match[1]), int(match[2]) + 1 if match[2] else len(body), 206
            if start >= len(body):
                self.send_error(416)
                return
        stop = min(stop, len(body))
        fields = {"Content-Length": str(stop - start), "ETag": self.site.etag, "Last-Modified": self.site.modified}
        if status == 206:
            fields["Content-Range"] = f"bytes {start}-{stop - 1}/{len(body)}"
        self.send_response(status)
        for name, value in (fields | (headers or {})).items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        sent = body[start:stop] if cut is None else body[start:stop][:cut]
        self.wfile.write(sent)
        self.site.sent_bytes += len(sent)
        if cut is not None:
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Tests read `asked`; standard error stays clean."""


def cut(after: int) -> Callable[[Handler], bool]:
    """End the connection after so many bytes of the body."""

    def fault(handler: Handler) -> bool:
        handler.answer(cut=after)
        return True

    return fault


def status(code: int, **headers: str) -> Callable[[Handler], bool]:
    def fault(handler: Handler) -> bool:
        handler.send_response(code)
        for name, value in ({"Content-Length": "0"} | {k.replace("_", "-"): v for k, v in headers.items()}).items():
            handler.send_header(name, value)
        handler.end_headers()
        return True

    return fault


def stall(after: int, seconds: float) -> Callable[[Handler], bool]:
    """Send so many bytes and then nothing."""

    def fault(handler: Handler) -> bool:
        handler.answer(cut=after)
        handler.wfile.flush()
        time.sleep(seconds)
        return True

    return fault


def change(site: Site, **fields: Any) -> Callable[[Handler], bool]:
    """Change the site, then answer."""

    def fault(handler: Handler) -> bool:
        for name, value in fields.items():
            setattr(site, name, value)
        return False

    return fault


def lie(**headers: str) -> Callable[[Handler], bool]:
    """The right body under wrong headers."""

    def fault(handler: Handler) -> bool:
        handler.answer(headers={name.replace("_", "-"): value for name, value in headers.items()})
        return True

    return fault


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is part of the tests."""


@contextmanager
def running(server: Server) -> Iterator[None]:
    """Let a server answer in a thread of its own; it is closed after the block."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def serving(site: Site, certificate: Path | None = None) -> Iterator[Site]:
    """Serve a site on a free port; `certificate` is a PEM file of key and certificate, for HTTPS."""
    server = Server(("127.0.0.1", 0), type("SiteHandler", (Handler,), {"site": site}))
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    site.url = f"{'https' if certificate else 'http'}://localhost:{server.server_port}"
    with running(server):
        yield site


def make_certificate(folder: Path, name: str, days: int = 1) -> tuple[Path, Path]:
    """A self-signed certificate: a file with its key for the server, and one without for those who trust it."""
    x509 = pytest.importorskip("cryptography.x509", reason="needs cryptography to make a certificate")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=9))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.9"))]), False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "server.pem").write_bytes(private + pem)
    (folder / "trusted.pem").write_bytes(pem)
    return folder / "server.pem", folder / "trusted.pem"
