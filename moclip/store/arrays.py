"""Named arrays in one file of the safetensors format: written in pieces, and mapped when they are read, not loaded."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open

from moclip.base.errors import StoreError
from moclip.base.files import atomic_path
from moclip.store.spool import pieces

_FACTS = "moclip"  # one entry of metadata alone: safetensors writes several in random order
_METADATA = "__metadata__"
_NAMES = {
    np.dtype(kind): f"{letter}{8 * np.dtype(kind).itemsize}"
    for letter, kinds in {
        "F": (np.float64, np.float32, np.float16),
        "I": (np.int64, np.int32, np.int16, np.int8),
        "U": (np.uint64, np.uint32, np.uint16, np.uint8),
    }.items()
    for kind in kinds
}
_KINDS = {name: kind for kind, name in _NAMES.items()}
_PREFIX_BYTES = 8  # the header's length


class Mapped(NamedTuple):
    """What a file holds: facts as they were given, and arrays that are read when they are touched."""

    facts: Any
    arrays: dict[str, np.ndarray]


def kind_name(array: np.ndarray) -> str:
    """The format's word for an array's type, such as I8."""
    return _NAMES[array.dtype]


def write_arrays(path: Path, arrays: Mapping[str, Sequence[np.ndarray]], facts: Any, *, flush: bool = True) -> None:
    """Write arrays atomically; equal arguments give equal bytes.

    Args:
        path: The file.
        arrays: By name, the parts (n, ...) of each, which are joined along their first axis. None is held as a whole.
        facts: JSON-able.
        flush: As of `moclip.base.files.atomic_path`.
    """
    order = sorted(arrays, key=lambda name: (-arrays[name][0].dtype.itemsize, name))  # so that all are aligned
    header: dict[str, Any] = {_METADATA: {_FACTS: json.dumps(facts, separators=(",", ":"))}}
    end = 0
    for name in order:
        first, start = arrays[name][0], end
        end += sum(part.nbytes for part in arrays[name])
        shape = [sum(map(len, arrays[name])), *first.shape[1:]]
        header[name] = {"dtype": kind_name(first), "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _PREFIX_BYTES)
    with atomic_path(path, flush=flush) as temporary, temporary.open("wb") as file:
        file.write(len(text).to_bytes(_PREFIX_BYTES, "little") + text)
        for part in (part for name in order for part in arrays[name]):
            for piece in pieces(part):
                file.write(np.ascontiguousarray(piece).data)


def map_arrays(path: Path, remedy: str) -> Mapped:
    """Map the arrays of a file that `write_arrays` wrote, read-only.

    Raises:
        StoreError: it is missing, torn, or another's.
    """
    try:
        with safe_open(path, framework="np") as file:  # it checks that the header is that of the bytes
            facts = json.loads(file.metadata()[_FACTS])
        with path.open("rb") as handle:
            content = np.memmap(handle, np.uint8, "r")
        end = _PREFIX_BYTES + int.from_bytes(content[:_PREFIX_BYTES].tobytes(), "little")
        header = json.loads(content[_PREFIX_BYTES:end].tobytes())
        arrays = {name: _array(content[end:], entry) for name, entry in header.items() if name != _METADATA}
    except (OSError, SafetensorError, TypeError, KeyError, ValueError) as error:
        raise StoreError(f"{path}: torn or foreign ({error}); {remedy}") from error
    return Mapped(facts, arrays)


def _array(content: np.ndarray, entry: Mapping[str, Any]) -> np.ndarray:
    start, end = entry["data_offsets"]
    return content[start:end].view(_KINDS[entry["dtype"]]).reshape(entry["shape"])
