"""Files over HTTP that arrive whole or not at all: resumed after cuts, and never spliced from two versions.

A server is held to what it says: each answer must be of the version that the first one named, and of the range that
was asked for. What may pass (cuts, stalls, 5xx) is tried again with growing waits; the rest is refused at once.
"""

import io
import logging
import os
import re
import shutil
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, Self
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from moclip.base.errors import DataError
from moclip.base.files import fingerprint, read_json, remove, sha256_file, write_json
from moclip.base.outside.addresses import shown_address, without_secrets
from moclip.base.progress import Progress

log = logging.getLogger(__name__)

BLOCK_BYTES = 1 << 18
WINDOW_BYTES = 8 << 20
_TAIL_BYTES = 4096
_SPARE_BYTES = 64 << 20  # left free on the disk beside what arrives
_REDIRECTS = 10
_PASSING = frozenset([408, 425, 429, 500, 502, 503, 504])
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", re.ASCII)
_LENGTH = re.compile(r"\d{1,18}", re.ASCII)


class TransferError(DataError):
    """A file could not be brought; what has arrived of it is kept, and the next try goes on from there."""


class NoHostError(TransferError):
    """A server's name leads nowhere, as without a network; trying again does not help."""


class _PassingError(Exception):
    """A fault that may be gone at the next try; `wait_seconds` is what the server asks for."""

    def __init__(self, reason: str, wait_seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_seconds = wait_seconds


@dataclass(frozen=True)
class Patience:
    """How long to go on: tries without progress, waits between them (doubled each time), silence, and slowness.

    Attributes:
        stall_seconds: Of silence, and of waiting over which the rate is taken.
        least_bytes_per_second: Below it a connection is given up, as curl's `--speed-limit` has it.
    """

    retries: int = 8
    backoff_seconds: float = 1.0
    longest_wait_seconds: float = 60.0
    connect_seconds: float = 20.0
    stall_seconds: float = 60.0
    least_bytes_per_second: float = 1000.0

    @property
    def least_bytes(self) -> float:
        """What must come while one waits for `stall_seconds`, and what a try must bring to count as progress."""
        return self.stall_seconds * self.least_bytes_per_second

    def wait_seconds(self, failures: int, asked_seconds: float) -> float:
        """Seconds to wait after this many failures in a row, the server's wish included."""
        wait = max(self.backoff_seconds * 2.0 ** (failures - 1), asked_seconds)
        return min(wait, self.longest_wait_seconds)


@dataclass(frozen=True)
class Version:
    """What tells one version of a file from another: its size, and what the server calls it."""

    size: int
    etag: str | None
    modified: str | None

    @property
    def validator(self) -> str | None:
        """What `If-Range` may carry: a strong ETag, else the date; None where a resumed file could be two halves."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified

    def may_be(self, other: "Version") -> bool:
        """Whether nothing that both state tells them apart; a range answer may leave out the date."""
        pairs = ((self.etag, other.etag), (self.modified, other.modified))
        return self.size == other.size and all(a == b for a, b in pairs if a is not None and b is not None)


class _Session(requests.Session):
    """Follows redirects, each looked at before it is asked: nothing leaves encryption once it is in it."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Where an answer leads, if anywhere."""
        target: str | None = super().get_redirect_target(resp)
        if target is None:
            return None
        to = urljoin(resp.url, target)
        if urlsplit(to).scheme not in ("http", "https"):
            fault = "no address of the web"
        elif urlsplit(resp.url).scheme == "https" and urlsplit(to).scheme != "https":
            fault = "which is not encrypted"
        else:
            return target
        resp.close()
        raise TransferError(f"{shown_address(resp.url)}: redirects to {shown_address(to)!r:.300}, {fault}; refused")


class Remote:
    """A file on an HTTP server, read in ranges that all are of one version. Certificates are always verified."""

    def __init__(
        self,
        url: str,
        *,
        ca_bundle: Path | None = None,
        patience: Patience | None = None,
        version: Version | None = None,
    ) -> None:
        if ca_bundle is not None and not ca_bundle.is_file():
            raise TransferError(f"data.ca_bundle: {ca_bundle} is no file; name a PEM file of certificates, or null")
        self.url = url
        self.shown = shown_address(url)
        self.version = version
        self.moved_bytes = 0
        self._patience = patience or Patience()
        self._session = _Session()
        self._session.max_redirects = _REDIRECTS
        self._verify: str | bool = str(ca_bundle) if ca_bundle else True
        if urlsplit(url).scheme != "https":
            log.warning("%s: is not encrypted, so anybody on the way may change what comes; take https", self.shown)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._session.close()

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, bytes]]:
        """Yield (offset, bytes) from `start` to `stop`, going on where a cut left off.

        Without `stop` the whole file is meant: then an offset may jump back to 0, where the server has a new version or
        cannot resume, and what came before is void. With `stop` such a change is refused.

        Raises:
            TransferError: the server refuses, or keeps failing.
        """
        position, furthest, failures = start, start, 0
        while True:
            try:
                for offset, block in self._attempt(self._start(position, stop), stop):
                    yield offset, block
                    position = offset + len(block)
                return
            except _PassingError as fault:
                failures = 1 if position - furthest >= self._patience.least_bytes else failures + 1
                furthest = max(position, furthest)
                self._wait(fault, failures)

    def _start(self, position: int, stop: int | None) -> int:
        if stop is None and (self.version is None or self.version.validator is None):
            return 0
        return position

    def _wait(self, fault: _PassingError, failures: int) -> None:
        if failures > self._patience.retries:
            raise TransferError(
                f"{self.shown}: gave up after {failures} tries without progress ({fault}); "
                "run it again later: it goes on from what has arrived"
            ) from fault
        wait = self._patience.wait_seconds(failures, fault.wait_seconds)
        log.warning("%s: %s; try %d of %d in %.0f s", self.shown, fault, failures, self._patience.retries, wait)
        time.sleep(wait)

    def _attempt(self, start: int, stop: int | None) -> Iterator[tuple[int, bytes]]:
        with self._answer(start, stop) as response:
            position = self._accepted(response, start, stop)
            assert self.version is not None
            last = self.version.size if stop is None else stop
            for block in self._body(response):
                if position + len(block) > last:
                    raise _PassingError(f"sent more than the {last} bytes that it stated")
                yield position, block
                position += len(block)
        if position < last:
            raise _PassingError(f"connection ended at byte {position} of {last}")

    @contextmanager
    def _answer(self, start: int, stop: int | None) -> Iterator[requests.Response]:
        headers = {"Accept-Encoding": "identity"}
        if start or stop is not None:
            headers["Range"] = f"bytes={start}-{'' if stop is None else stop - 1}"
            if self.version and self.version.validator:
                headers["If-Range"] = self.version.validator
        timeout = (self._patience.connect_seconds, self._patience.stall_seconds)
        try:
            # `verify` is given per request: a session's own would lose against the environment.
            response = self._session.get(self.url, headers=headers, timeout=timeout, stream=True, verify=self._verify)
        except (requests.RequestException, OSError) as error:
            raise self._fault(error) from error
        with response:
            yield response

    def _body(self, response: requests.Response) -> Iterator[bytes]:
        came, waited = 0, 0.0
        try:
            while True:
                begun = time.monotonic()
                block = response.raw.read1(BLOCK_BYTES, decode_content=False)  # what is there: `read` waits for all
                waited += time.monotonic() - begun
                if not block:
                    return
                came += len(block)
                self.moved_bytes += len(block)
                yield block
                if waited >= self._patience.stall_seconds:
                    self._hold_rate(came, waited)
                    came, waited = 0, 0.0
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise self._fault(error) from error

    def _hold_rate(self, came: int, waited: float) -> None:
        """Give up a connection on which bytes drip: no silence is long enough, and it would never end."""
        if came < waited * self._patience.least_bytes_per_second:
            least = self._patience.least_bytes_per_second
            raise _PassingError(f"sent {came} bytes in {waited:.0f} s, fewer than {least:.0f} a second")

    def _fault(self, error: Exception) -> Exception:
        told = without_secrets(str(error), self.url)
        if _holds(error, ssl.SSLCertVerificationError, ssl.CertificateError):
            return TransferError(
                f"{self.shown}: the server's certificate cannot be verified ({told}). It is never skipped: get the "
                "missing certificates of its chain from their issuer, and name the PEM file in data.ca_bundle; or take "
                "another source (data.archive)"
            )
        if _holds(error, urllib3.exceptions.NameResolutionError, socket.gaierror):
            host = urlsplit(self.url).hostname
            return NoHostError(
                f"{self.shown}: the name {host} does not resolve: no network here, or a name that is wrong"
            )
        if isinstance(error, requests.TooManyRedirects | requests.exceptions.InvalidSchema | ValueError):
            return TransferError(f"{self.shown}: cannot be fetched ({told}); check data.url and data.lists_url")
        return _PassingError(f"{type(error).__name__}: {told}")

    def _accepted(self, response: requests.Response, start: int, stop: int | None) -> int:
        """The offset at which an answer's body starts, after status, version and range were checked."""
        self._refuse_foreign(response)
        found = _version(response)
        if response.status_code == 206:
            self._hold(found, stop)
            return self._ranged(response, start, self.version.size if stop is None else stop)  # type: ignore[union-attr]
        if response.status_code == 416:
            self._changed(stop, "has no byte at the place where the transfer stood: the file has changed")
        if stop is not None:
            self._hold(found, stop)
            raise TransferError(
                f"{self.shown}: the server does not serve ranges, which a part of an archive needs; "
                "leave out data.classes and data.clips_per_class to fetch the whole, or name another data.url"
            )
        if found is None:
            raise TransferError(
                f"{self.shown}: the server does not state the size, so a cut could not be told from an end"
            )
        self.version = found
        return 0

    def _refuse_foreign(self, response: requests.Response) -> None:
        status = response.status_code
        if status in _PASSING:
            raise _PassingError(f"HTTP status {status}", _seconds(response.headers.get("Retry-After")))
        if status not in (200, 206, 416):
            raise TransferError(f"{self.shown}: HTTP status {status} {response.reason:.80}; check the address")
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise TransferError(
                f"{self.shown}: the server sends it re-encoded, so that sizes cannot be checked; refused"
            )

    def _hold(self, found: Version | None, stop: int | None) -> None:
        """Take the first version that is seen; refuse another one, or for a whole file start from zero."""
        if self.version is None:
            self.version = found
        elif found is not None and not found.may_be(self.version):
            self._changed(stop, "the file has changed on the server")
        if self.version is None:
            raise _PassingError("a range came without its place in the file")

    def _changed(self, stop: int | None, reason: str) -> None:
        if stop is not None:
            raise TransferError(f"{self.shown}: {reason}; run it again to read the new one")
        self.version = None
        raise _PassingError(f"{reason}; starting from zero")

    def _ranged(self, response: requests.Response, start: int, stop: int) -> int:
        stated = response.headers.get("Content-Range", "")
        match = _CONTENT_RANGE.fullmatch(stated)
        if not match or int(match[1]) != start or int(match[2]) >= stop:
            raise _PassingError(f"was asked for bytes {start}-{stop - 1} and answered {stated!r}")
        return start


def _version(response: requests.Response) -> Version | None:
    """The version that an answer is of; None where the whole size is not stated."""
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    length = match[3] if match else response.headers.get("Content-Length", "")
    if (response.status_code == 206 and not match) or not _LENGTH.fullmatch(length):
        return None
    return Version(int(length), response.headers.get("ETag"), response.headers.get("Last-Modified"))


def _seconds(text: str | None) -> float:
    return float(text) if text and _LENGTH.fullmatch(text) else 0.0


def _holds(error: BaseException | None, *kinds: type[BaseException]) -> bool:
    """Whether an error, or one that it wraps, is of one of these kinds."""
    seen: list[BaseException] = []
    todo = [error]
    while todo:
        one = todo.pop()
        if isinstance(one, BaseException) and one not in seen:
            seen.append(one)
            todo += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
    return any(isinstance(one, kinds) for one in seen)


def download(
    url: str,
    path: Path,
    *,
    ca_bundle: Path | None = None,
    patience: Patience | None = None,
    sha256: str | None = None,
) -> str:
    """Bring a whole file to `path`, which appears when the last byte is there; what a cut left is gone on with.

    The caller holds a lock: two transfers to one path at a time would mix. Until the end the bytes lie in a hidden
    sibling, with a note of the version that they are of.

    Args:
        url: Where it is.
        path: Where it goes.
        ca_bundle: Certificates to trust instead of the system's.
        patience: How long to go on.
        sha256: What its SHA-256 must be, in hexadecimal; None takes any.

    Returns:
        Its SHA-256 in hexadecimal.

    Raises:
        TransferError: the server refuses or keeps failing, the file has another digest, or the disk is too small.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part, note = path.with_name(f".{path.name}.part"), path.with_name(f".{path.name}.part.json")
    known = _noted(note, part, url)
    start = part.stat().st_size if known else 0
    with (
        Remote(url, ca_bundle=ca_bundle, patience=patience, version=known) as remote,
        part.open("r+b" if known else "wb") as handle,
    ):
        if known is None or start != known.size:
            _receive(remote, handle, note, start)
        handle.flush()
        os.fsync(handle.fileno())
    try:
        digest = hold_digest(part, sha256, of=shown_address(url))
    except TransferError:
        remove(note)
        remove(part)
        raise
    part.replace(path)
    remove(note)
    return digest


def hold_digest(path: Path, sha256: str | None, *, of: str) -> str:
    """The SHA-256 of a file, held against the one that it must have, where that is known.

    Raises:
        TransferError: it is another; names the file as `of`.
    """
    found = sha256_file(path)
    if sha256 not in (None, found):
        raise TransferError(
            f"{of}: has SHA-256 {found}, and {sha256} is asked for: it is another file, or was changed on the way; "
            "nothing of it was kept. Look for the file that the digest is of, or correct the digest"
        )
    return found


def _receive(remote: Remote, handle: BinaryIO, note: Path, start: int) -> None:
    handle.seek(start)
    noted = remote.version
    name = urlsplit(remote.url).path.rsplit("/", 1)[-1]
    with Progress(desc=name, initial=start, unit="B", unit_scale=True, unit_divisor=1024) as bar:
        for offset, block in remote.blocks(start):
            version = remote.version
            assert version is not None
            if version != noted or offset != handle.tell() or bar.total is None:
                # The old bytes go before the new note comes: a kill between the two loses bytes, never mixes them.
                handle.seek(offset)
                handle.truncate()
                require_space(note.parent, version.size - offset)
                write_json(note, {"url": fingerprint(remote.url), **asdict(version)})
                noted, bar.total = version, version.size
            handle.write(block)
            bar.update(offset + len(block) - bar.n)


def _noted(note: Path, part: Path, url: str) -> Version | None:
    """The version that the bytes in `part` are of, if they can be gone on with."""
    if not (note.is_file() and part.is_file()):
        return None
    known = read_json(note)
    version = Version(known["size"], known["etag"], known["modified"])
    usable = known["url"] == fingerprint(url) and version.validator is not None and part.stat().st_size <= version.size
    return version if usable else None


def require_space(folder: Path, need_bytes: int) -> None:
    """Refuse what would fill the disk.

    Raises:
        TransferError: states what is needed and what is free.
    """
    free = shutil.disk_usage(folder).free
    if need_bytes + _SPARE_BYTES > free:
        raise TransferError(
            f"{folder}: needs {need_bytes / 1e9:.2f} GB, but {free / 1e9:.2f} GB are free; make room or move data.root"
        )


class RangeFile(io.RawIOBase):
    """A remote file that can be read anywhere, for a reader of archives: what it asks for is fetched, no more.

    Inside the spans of `plan`, which are about to be read in order, bytes are fetched in windows ahead of the reader.
    """

    def __init__(self, remote: Remote) -> None:
        super().__init__()
        self._remote = remote
        self._spans: list[tuple[int, int]] = []
        self._position = 0
        self._held = (0, b"")
        for _ in remote.blocks(0, 1):  # learns size and version
            pass
        assert remote.version is not None
        self.size = remote.version.size
        self._tail = self._fetch(max(0, self.size - _TAIL_BYTES), self.size)  # the directory ends there

    def plan(self, spans: Sequence[tuple[int, int]]) -> None:
        """Say which spans (start, stop) will be read; those that touch are fetched as one."""
        self._spans = []
        for start, stop in sorted(spans):
            touches = bool(self._spans) and self._spans[-1][1] == start
            self._spans.append((self._spans.pop()[0] if touches else start, stop))

    def readable(self) -> bool:
        """Always: it is what this file is for."""
        return True

    def seekable(self) -> bool:
        """Always, at no cost."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a place; nothing is fetched."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise OSError("negative position")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        """The current place."""
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill a buffer from the current place; it is filled to the end of the file, as readers of archives expect."""
        want, filled = min(len(buffer), self.size - self._position), 0
        while filled < want:
            block = self._at_hand(want - filled) or self._fetched(want - filled)
            buffer[filled : filled + len(block)] = block
            filled += len(block)
            self._position += len(block)
        return max(0, filled)

    def _at_hand(self, want: int) -> bytes:
        for start, block in (self._held, self._tail):
            inside = self._position - start
            if 0 <= inside < len(block):
                return block[inside : inside + want]
        return b""

    def _fetched(self, want: int) -> bytes:
        stop = self._position + want
        for first, last in self._spans:
            if first <= self._position < last:
                stop = min(last, self._position + WINDOW_BYTES)
        if self._position < self._tail[0]:
            stop = min(stop, self._tail[0])
        self._held = self._fetch(self._position, stop)
        return self._held[1][:want]

    def _fetch(self, start: int, stop: int) -> tuple[int, bytes]:
        return start, b"".join(block for _, block in self._remote.blocks(start, stop)) if stop > start else b""
