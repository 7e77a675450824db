"""How an input is spoilt: by bytes that change, and by values that a forger would write."""

import json
import random
from collections.abc import Callable
from typing import Any

EVIL: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 2**31, 2**63, 10**30, 1e308, -0.5, float("nan"), "", " ", "x", "../../x", "/etc/passwd"),
    *("..", "a/b", "\0", "\x1b[31m", "\u202e", "=1+1", "9" * 5000, "hf-hub:a/b", "http://127.0.0.1:9/", "$(touch ran)"),
    *([], {}, [[]], {"": 0}, [1] * 3000, {"__class__": "os.system"}),
)
DEEP = "[" * 20_000


def spoil_bytes(content: bytes, rng: random.Random) -> bytes:
    """Flip, overwrite, cut, remove or repeat some bytes."""
    data = bytearray(content)
    if not data:
        return bytes([rng.randrange(256)])
    at, length = rng.randrange(len(data)), rng.randrange(1, 64)
    if rng.random() < 0.5:  # where headers stand
        at %= 400
    match rng.randrange(5):
        case 0:
            for _ in range(rng.randrange(1, 20)):
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        case 1:
            data[at : at + length] = rng.randbytes(length)
        case 2:
            del data[at:]
        case 3:
            del data[at : at + length]
        case _:
            data[at:at] = data[at : at + length] * rng.randrange(1, 50)
    return bytes(data)


def spoil_values(value: Any, rng: random.Random) -> Any:
    """A copy of nested values with one of them, or a key, replaced, removed or added."""
    copy = json.loads(json.dumps(value))
    places = list(_places(copy))
    if not places:
        return rng.choice(EVIL)
    holder, key = rng.choice(places)
    match rng.randrange(8):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[str(rng.choice(EVIL))[:300]] = holder.pop(key)
        case 2 if isinstance(holder, dict):
            holder["more"] = rng.choice(EVIL)
        case _:
            holder[key] = rng.choice(EVIL)
    return copy


def spoil_lines(content: bytes, rng: random.Random) -> bytes:
    """A text with a line spoilt, doubled, moved or replaced."""
    lines = content.split(b"\n")
    at = rng.randrange(len(lines))
    match rng.randrange(4):
        case 0:
            lines[at] = str(rng.choice(EVIL)).encode("utf-8", "surrogateescape")
        case 1:
            lines.insert(rng.randrange(len(lines)), lines[at])
        case 2:
            words = lines[at].split(b" ")
            words[rng.randrange(len(words))] = str(rng.choice(EVIL)).encode("utf-8", "surrogateescape")[:2000]
            lines[at] = b" ".join(words)
        case _:
            lines[at] = spoil_bytes(lines[at], rng)
    return b"\n".join(lines)


def as_json(value: Any, rng: random.Random) -> bytes:
    """A forged JSON text; sometimes one that is deeper than any reader goes."""
    return DEEP.encode() if rng.random() < 0.01 else json.dumps(value).encode()


def _places(value: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items)[:200]:
        found += [(value, key), *_places(inner)]
    return found


Spoil = Callable[[bytes, random.Random], bytes]
