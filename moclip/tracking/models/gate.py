"""What stands before a served model: which hosts it answers for, how much it reads, how little a refusal tells.

`mlflow models serve` has no option for any of it. It makes its application just after it loaded the model, so the model
puts this gate round that application (`stand_before_next_app`); and it refuses to answer for what came by another way
(`passed`), should MLflow make its application otherwise some day.
"""

import json
import logging
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from moclip.base.errors import ParamsError

log = logging.getLogger(__name__)

SERVED = "__pyfunc_model_path__"  # MLflow's own environment variable, in the process of a server
HOSTS, MOST_MIB = "MOCLIP_SERVE_HOSTS", "MOCLIP_SERVE_MAX_MIB"
LOCAL_HOSTS = frozenset(("localhost", "127.0.0.1", "::1"))
COLUMNS = frozenset(("path", "base64"))
FORM = 'a request is {"dataframe_records": [{"base64": "..."}]}'
DEFAULT_MIB = 64
MOST_VALUES = 200_000  # of a request: what is three bytes on its way takes a hundred once it is read
MOST_LETTERS = 400  # of a message
_MIB = 1 << 20
_ASKED = "/invocations"
_PREFIX = "\nError: "  # behind it stands what was wrong; before it MLflow repeats the request

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

_passed: ContextVar[bool] = ContextVar("passed", default=False)


class _RefusalError(Exception):
    """A request that gets no further."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Rules:
    """Which requests are answered.

    Attributes:
        hosts: Names that a request may be for, in small letters and without a port.
        most_bytes: Of a request's body.
    """

    hosts: frozenset[str] = LOCAL_HOSTS
    most_bytes: int = DEFAULT_MIB * _MIB

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Rules":
        """The rules that environment variables state.

        Raises:
            ParamsError: a number is none.
        """
        names = (name.strip().lower() for name in environment.get(HOSTS, "").split(","))
        text = environment.get(MOST_MIB, str(DEFAULT_MIB))
        if not (text.isascii() and text.isdigit() and 0 < int(text) < 1 << 20):
            raise ParamsError(f"{MOST_MIB} is '{text}'; it must be a whole number of MiB, 1 or more")
        return cls(LOCAL_HOSTS | {name for name in names if name}, int(text) * _MIB)


def is_serving() -> bool:
    """Whether this process is MLflow's server of a model."""
    return SERVED in os.environ


def passed() -> bool:
    """Whether the request that is being answered came through a gate."""
    return _passed.get()


def stand_before_next_app(rules: Rules) -> None:
    """Put a gate round the next FastAPI application that is made, and only that one."""
    import fastapi

    plain = fastapi.FastAPI

    class Guarded(plain):  # type: ignore[misc, valid-type]
        def __init__(self, *args: Any, **options: Any) -> None:
            fastapi.FastAPI = plain  # type: ignore[misc]
            super().__init__(*args, **options)

        def build_middleware_stack(self) -> App:
            return gate(super().build_middleware_stack(), rules)

    fastapi.FastAPI = Guarded  # type: ignore[misc]


def gate(app: App, rules: Rules) -> App:
    """An ASGI application that lets the right requests through to `app`, and shortens its refusals."""

    async def guarded(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        try:
            _check_host(scope, rules)
            _check_kind(scope)
            body = await _body(scope, receive, rules.most_bytes)
            _check_values(body)
            _check_columns(scope, body)
        except _RefusalError as error:
            await _answer(send, error.status, "BAD_REQUEST", str(error))
            return
        _passed.set(True)
        try:
            await app(scope, _replay(body, receive), _Short(send).take)
        except Exception:
            log.exception("a request failed")
            await _answer(send, 500, "INTERNAL_ERROR", "internal error; the server's log says more")

    return guarded


def _check_host(scope: Message, rules: Rules) -> None:
    """Refuse names of others: a page that lets its own name point here could ask by its visitor's browser."""
    hosts = [value.decode("latin-1").strip().lower() for name, value in scope["headers"] if name == b"host"]
    if len(hosts) != 1 or _without_port(hosts[0]) not in rules.hosts:
        raise _RefusalError(403, f"this server does not answer for that host; {HOSTS} lists those that it answers for")


def _check_kind(scope: Message) -> None:
    """Refuse a request that does not say what it is: MLflow takes that for granted."""
    if scope["path"] == _ASKED and not any(name == b"content-type" for name, _ in scope["headers"]):
        raise _RefusalError(415, f"the request has no Content-Type, such as application/json; {FORM}")


def _without_port(host: str) -> str:
    """A name without its port.

    >>> _without_port("[::1]:80"), _without_port("localhost:5001"), _without_port("127.0.0.1")
    ('::1', 'localhost', '127.0.0.1')
    """
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host


async def _body(scope: Message, receive: Receive, most: int) -> bytes:
    """The whole body, of which no more is read than allowed."""
    too_large = _RefusalError(413, f"the request has more than {most // _MIB} MiB, the limit of {MOST_MIB}")
    stated = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    if not stated.isdigit() or len(stated) > 18 or int(stated) > most:
        raise too_large
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise _RefusalError(400, "the request ended early")
        size += len(message.get("body", b""))
        if size > most:
            raise too_large
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _check_values(body: bytes) -> None:
    """Refuse a body of far more values than rows of videos have; base64 has none of these signs."""
    if sum(body.count(sign) for sign in b",[{\n") > MOST_VALUES:
        raise _RefusalError(413, f"the request has more than {MOST_VALUES:,} values; {FORM}")


def _check_columns(scope: Message, body: bytes) -> None:
    """Refuse columns that are not known: MLflow leaves them out without a word."""
    if scope["path"] != _ASKED or body.lstrip()[:1] not in (b"{", b"["):
        return
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _RefusalError(400, f"the request is no JSON; {FORM}") from error
    if not isinstance(request, dict):
        raise _RefusalError(400, f"the request is no JSON object; {FORM}")
    if unknown := sorted(set(map(str, _columns(request))) - COLUMNS):
        raise _RefusalError(400, f"unknown column '{unknown[0][:40]}'; {FORM}")


def _columns(request: Mapping[str, Any]) -> Iterator[Any]:
    split = request.get("dataframe_split")
    if isinstance(split, dict) and isinstance(split.get("columns"), list):
        yield from split["columns"]
    for name in ("dataframe_records", "inputs", "instances"):
        rows = request.get(name)
        for row in rows if isinstance(rows, list) else [rows]:
            if isinstance(row, dict):
                yield from row


def _replay(body: bytes, receive: Receive) -> Receive:
    """A body that was read, once more; afterwards what else comes."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again


class _Short:
    """Hands an answer on; of a refusal the code and one short message alone."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._status = 0
        self._parts: list[bytes] = []

    async def take(self, message: Message) -> None:
        """Take the next part of an answer."""
        if message["type"] == "http.response.start" and message["status"] >= 400:
            self._status = message["status"]
        elif not self._status:
            await self._send(message)
        elif message["type"] == "http.response.body":
            self._parts.append(message.get("body", b""))
            if not message.get("more_body", False):
                await _answer(self._send, self._status, *_told(b"".join(self._parts)))


def _told(body: bytes) -> tuple[str, str]:
    """Code and message of a refusal, without what it repeats of the request and the way through the server's code."""
    try:
        found = json.loads(body)
        code, message = str(found["error_code"]), str(found["message"])
    except (ValueError, KeyError, TypeError):
        code, message = "BAD_REQUEST", body.decode("utf-8", "replace")
    return code, message.rpartition(_PREFIX)[2].strip()[:MOST_LETTERS] or "the request was refused"


async def _answer(send: Send, status: int, code: str, message: str) -> None:
    body = json.dumps({"error_code": code, "message": message}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
