"""Files that are either whole or not there: temporary name, flush to disk, rename."""

import hashlib
import json
import os
import re
import shutil
import stat
import time
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from moclip.base.errors import StoreError

# Endings by which a video is told from what lies beside it, such as lists and thumbnails.
VIDEO_SUFFIXES = frozenset(
    f".{ending}"
    for ending in (  # noqa: SIM905
        "264 265 3g2 3gp 3gpp asf avi divx f4v flv h263 h264 h265 hevc ivf m1v m2p m2t m2ts m2v m4v mk3d mkv "
        "mod mov mp4 mpe mpeg mpg mpv mts nut ogm ogv qt tod tp trp ts vob webm wmv xvid"
    ).split()
)


_HOST = os.uname().nodename.replace(".", "-")
_OWNER = re.compile(r"\.([^.]*)\.(\d+)\.[0-9a-f]{8}\.part")
_STEM_BYTES = 100  # a name has 255 at most
MAX_UNFOLDING = 100  # of an npz archive: float features pack to no less than a third
_SMALL_BYTES = 1 << 24
MAX_JSON_MIB = 256
MAX_FACTS_MIB = 16  # of what may come from strangers: lists of nothing take 20 times their text
_LEFT_OVER_S = 24 * 60 * 60.0  # a temporary file of this age belongs to no process of any machine


@contextmanager
def atomic_path(path: Path, *, flush: bool = True) -> Iterator[Path]:
    """Yield a temporary sibling of `path`; on success it replaces `path`, on any error it is removed.

    The block may create a file or a directory there. A directory replaces an older one as a whole. Without `flush`, a
    power failure may leave a torn file: for what is checked when it is read, and can be made again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last: writers such as Pillow and Matplotlib choose the format by it.
    temporary = path.with_name(temporary_name(path.stem, path.suffix))
    try:
        yield temporary
        if temporary.is_dir():
            remove(path)
        elif flush:
            _flush(temporary)
        temporary.replace(path)
    finally:
        remove(temporary)


def temporary_name(stem: str = "", suffix: str = "") -> str:
    """A hidden name with its owner, machine and process, in it; random digits tell machines of one name apart.

    Of a long stem as much is in it as leaves room for the rest.
    """
    stem = os.fsencode(stem)[:_STEM_BYTES].decode(errors="ignore")
    return f".{stem}.{_HOST}.{os.getpid()}.{os.urandom(4).hex()}.part{suffix}"


def remove_left_overs(folder: Path) -> None:
    """Remove files and directories under a `temporary_name` whose owner has ended, or that are older than a day."""
    for path in folder.glob(".*.part*"):
        if owner := _OWNER.search(path.name):
            with suppress(FileNotFoundError):  # on another machine it may be finished meanwhile
                is_old = time.time() - path.stat().st_mtime > _LEFT_OVER_S
                if is_old or (owner[1] == _HOST and _has_ended(int(owner[2]))):
                    remove(path)


def _has_ended(pid: int) -> bool:
    """A killed process whose parent is gone keeps its number until init collects it, in some containers for ever."""
    import psutil

    try:
        return psutil.Process(pid).status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.Error as error:
        return isinstance(error, psutil.NoSuchProcess)


def _flush(path: Path) -> None:
    with path.open("rb") as handle:
        os.fsync(handle.fileno())


def remove(path: Path) -> None:
    """Remove a file, a link or a whole directory; nothing happens where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with Unix line ends, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """Write JSON with sorted keys and a final newline, atomically: equal values give equal bytes."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path, most_mib: int = MAX_JSON_MIB, *, may_hold_nan: bool = False) -> Any:
    """Read a JSON file, of at most so many MiB.

    Args:
        path: The file.
        most_mib: What is larger is refused.
        may_hold_nan: Whether NaN and infinity, which are no JSON, are read, as Python writes them.

    Raises:
        StoreError: the file is missing, no plain file or too large, or is not JSON.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > most_mib << 20:
            raise StoreError(f"{path}: is no plain file of at most {most_mib} MiB, so it is not read as JSON")
        constant = float if may_hold_nan else _refuse_constant
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=constant)
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(f"{path}: cannot be read as JSON ({error})") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def read_facts(path: Path) -> dict[str, Any]:
    """Read a JSON file of names and values, of at most `MAX_FACTS_MIB`.

    Raises:
        StoreError: as `read_json`, or it holds something else.
    """
    facts = read_json(path, MAX_FACTS_MIB)
    if not isinstance(facts, dict):
        raise StoreError(f"{path}: must be a JSON object, is of type {type(facts).__name__}")
    return facts


class InPieces(NamedTuple):
    """An array that is made while it is written, along its first axis."""

    dtype: np.dtype
    shape: tuple[int, ...]
    pieces: Iterable[np.ndarray]


def write_npz(path: Path, **arrays: np.ndarray | InPieces) -> None:
    """Write named arrays without pickle, atomically: equal arrays give equal bytes, in pieces or not.

    Raises:
        StoreError: an array holds Python objects, which only pickle could store.
    """
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise StoreError(f"{path}: array '{name}' holds objects; only numbers and text are stored")
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                _write_array(file, array)


def _write_array(file: Any, array: np.ndarray | InPieces) -> None:
    if isinstance(array, np.ndarray):
        np.lib.format.write_array(file, array, allow_pickle=False)
        return
    descr = np.lib.format.dtype_to_descr(array.dtype)
    header = {"descr": descr, "fortran_order": False, "shape": array.shape}
    np.lib.format.write_array_header_1_0(file, header)
    for piece in array.pieces:
        file.write(np.ascontiguousarray(piece, dtype=array.dtype).data)


def _refuse_bomb(path: Path) -> None:
    """Refuse an archive whose members say that they unfold to memory which no measured values would be packed from."""
    with zipfile.ZipFile(path) as archive:
        whole = sum(member.file_size for member in archive.infolist())
    if whole > MAX_UNFOLDING * path.stat().st_size + _SMALL_BYTES:
        raise StoreError(
            f"{path}: {path.stat().st_size:,} bytes would unfold to {whole:,}; more than {MAX_UNFOLDING} times is no "
            "table of measured values. Write it anew with numpy.savez"
        )


def read_npz(path: Path, *names: str, optional: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Read the named arrays of an npz file, and the optional ones that it has; pickle is never loaded.

    Raises:
        StoreError: the file is missing or damaged, lacks one of the names, has something else than an array by
            one, or would unfold to far more than it is.
    """
    try:
        _refuse_bomb(path)
        # Opened here: of a torn archive, np.load would leave its own handle open.
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as archive:
            absent = [name for name in names if name not in archive.files]
            if absent:
                raise StoreError(f"{path}: lacks the array '{absent[0]}' (has {sorted(archive.files)})")
            arrays = {name: archive[name] for name in (*names, *optional) if name in archive.files}
    except StoreError:
        raise
    except Exception as error:  # zipfile and NumPy raise a dozen kinds for a damaged archive
        raise StoreError(f"{path}: cannot be read as npz ({error})") from error
    if others := [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]:
        raise StoreError(f"{path}: its member '{others[0]}' is no array; write the file anew with numpy.savez")
    return arrays


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def sha256_bytes(content: Any) -> str:
    """SHA-256 of bytes, or of an array's, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def fingerprint(*parts: Any) -> str:
    """Sixteen hexadecimal digits that stand for JSON-able values; key order does not matter."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
