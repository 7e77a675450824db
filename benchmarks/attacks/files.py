"""Archives, lists, features, checkpoints and parameters from strangers."""

import io
import pickle
import stat
import struct
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.attacks.bench import Bench, Payload
from benchmarks.attacks.table import NEW, Attack, Outcome, answered, harmless, refused
from tests.support.zips import GOOD, HOSTILE, below, info, make_zip, many, patched

REFUSED = "refused by name; nothing is written"
Read = Callable[[Path], object]


def attacks() -> Iterator[Attack]:
    """All of them."""
    for number, tried, content, words in _zips():
        yield Attack(number, f"zip: {tried}", REFUSED, _read(content, "a.zip", _unpack, words))
    for tried, plain in _plain_zips():
        yield Attack("tries", f"zip: {tried}", "comes out as a plain file", _plain(plain))
    for name in NAMES:
        must = "refused by line, or below the folder"
        yield Attack("L1", f"list: a class `{ascii(name)[1:-1][:40]}`", must, _listed(name))
    for tried, content, words in _features():
        yield Attack(*_told(tried), "refused; no code", _read(content, "f.npz", _precomputed, words))
    for number, tried, text in PARAMS:
        yield Attack(number, f"params.yaml: {tried}", "refused by name, soon", _read_params(text))
    for word in ("../../outside/x", "/etc/passwd", "..", "a\0b", "\x1b[31m", "-x"):
        tried = f"moclip preset `{ascii(word)[1:-1]}`"
        yield Attack(NEW, tried, "refused; no other file is read", _preset(word))


def checkpoints() -> Iterator[Attack]:
    """Those that need PyTorch."""
    for tried, write in CHECKPOINTS.items():
        yield Attack("tries", f"clip.checkpoint: {tried}", "refused; no code", _checkpoint(write))


def _told(tried: str) -> tuple[str, str]:
    return (
        NEW if tried.startswith("+") else "M4" if "MB" in tried else "tries"
    ), f"clip.precomputed: {tried.lstrip('+')}"


def _read(content: Callable[[Bench], bytes], name: str, read: Read, words: str) -> Callable[[Bench], Outcome]:
    def do(bench: Bench) -> Outcome:
        path = bench.given / name
        path.write_bytes(content(bench))
        return refused(bench.call(lambda: read(path)), words, bounded=True)

    return do


def _unpack(path: Path) -> None:
    from moclip.data.fetch.archives import extract, open_archive

    with open_archive(path) as archive:
        extract(archive, Path("videos"), below)


def _zips() -> Iterator[tuple[str, str, Callable[[Bench], bytes], str]]:
    for kind, (members, words) in HOSTILE.items():
        yield "tries", kind, _given(make_zip(members)), words
    yield "tries", "encrypted", lambda _: patched(make_zip(GOOD), 6, "<H", 1), "is encrypted"
    small = make_zip([("UCF-101/big.avi", bytes(3_000_000)), *GOOD])
    yield "tries", "a size that is a lie", lambda _: patched(small, 22, "<I", 100), "cannot be read|ends after"
    yield "tries", "a name of escape sequences", lambda _: make_zip([("a/\x1b[31m.avi", b"x")]), "control characters"
    yield "tries", "a name that turns its direction", lambda _: make_zip([("a/\u202eiva.avi", b"x")]), "control"
    yield NEW, "members that overlap", lambda _: _overlapping(), "overlaps"
    yield NEW, "1,000,000 members", lambda _: many(1_000_000), "a directory of"
    yield NEW, "a pipe", lambda _: make_zip([(info("a/p.avi", stat.S_IFIFO | 0o666), b"")]), "is a link or a device"
    yield NEW, "a socket", lambda _: make_zip([(info("a/s.avi", stat.S_IFSOCK | 0o666), b"")]), "is a link or a device"
    yield NEW, "a name of 5,000 letters", lambda _: make_zip([(f"a/{'x' * 5000}.avi", b"x")]), "cannot be read|long"
    yield NEW, "3,000 folders inside each other", lambda _: make_zip([("a/" * 3000 + "x.avi", b"x")]), "read|long"
    yield NEW, "a tar", _tar, "neither a zip nor a RAR"
    yield NEW, "a gzip bomb", lambda _: b"\x1f\x8b\x08\x00" + bytes(100), "neither a zip nor a RAR"
    yield NEW, "percent-encoded `..`", lambda _: make_zip([*GOOD, ("UCF-101/../%2e%2e/x.avi", b"x")]), "climbs"


def _given(content: bytes) -> Callable[[Bench], bytes]:
    return lambda _: content


def _overlapping() -> bytes:
    data = bytearray(make_zip(GOOD))
    struct.pack_into("<I", data, data.rindex(b"PK\x01\x02") + 42, 10)
    return bytes(data)


def _tar(bench: Bench) -> bytes:
    import tarfile

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(bench.film, "../../outside/x.avi")
    return buffer.getvalue()


def _plain_zips() -> Iterator[tuple[str, bytes]]:
    link = info("a/l.avi", stat.S_IFLNK | 0o777)
    link.create_system = 0
    yield "a link that says it is of DOS", make_zip([(link, b"/etc/passwd")])
    yield "a setuid file", make_zip([(info("a/s.avi", stat.S_IFREG | 0o6777), b"x")])
    yield "a name with a dash first", make_zip([("a/-rf.avi", b"x")])
    yield "a name that Windows keeps for a device", make_zip([("a/CON.avi", b"x")])
    yield "a percent-encoded slash", make_zip([("a/..%2f..%2fx.avi", b"x")])
    yield "a formula as a name", make_zip([("a/=cmd|calc.avi", b"x")])


def _plain(content: bytes) -> Callable[[Bench], Outcome]:
    def do(bench: Bench) -> Outcome:
        (bench.given / "a.zip").write_bytes(content)
        found = answered(bench.call(lambda: _unpack(bench.given / "a.zip")))
        modes = [path.lstat().st_mode for path in (bench.work / "videos").rglob("*.avi")]
        if [stat.S_ISREG(mode) and not mode & 0o7111 for mode in modes] != [True]:
            return Outcome(f"no plain file came out: {[oct(mode) for mode in modes]}", "failed")
        return found

    return do


NAMES = (
    *("..", ".", ".git", "-rf", "a/../../b", "a\\..\\b", "\x1b[31mred", "\x07", "a\u202eb", "a\u2028b", "a\x85b"),
    *("/etc", "C:", "~root", "%2e%2e", "CON", "=cmd|calc", "a\0b", "x" * 5000, "\ud800", "\u200b", "$(touch ran)"),
)


def _listed(name: str) -> Callable[[Bench], Outcome]:
    def read(folder: Path) -> None:
        from moclip.data.lists import read_class_index, read_list

        classes = read_class_index(folder / "classInd.txt")
        for one in (*classes, *read_list(folder / "train.txt", classes)):
            place = (folder / "videos" / one).resolve()
            if place.parent != (folder / "videos").resolve():
                sys.stderr.write(f"canary: {one!r} leads out\n")

    def do(bench: Bench) -> Outcome:
        text = name.encode("utf-8", "surrogatepass")
        (bench.given / "classInd.txt").write_bytes(b"1 Good\n2 " + text + b"\n")
        (bench.given / "train.txt").write_bytes(b"Good/a.avi 1\n" + text + b"/b.avi 2\n")
        return harmless(bench.call(lambda: read(bench.given)))

    return do


def _precomputed(path: Path) -> object:
    from moclip.clip.precomputed import read_precomputed

    return read_precomputed(path)


def _npz(**arrays: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in arrays.items():
            archive.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def _npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def _head(text: str) -> bytes:
    padded = text.encode() + b" " * (118 - len(text)) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded


def _features() -> Iterator[tuple[str, Callable[[Bench], bytes], str]]:
    ids, zeros = _npy(np.array(["a"])), np.zeros((1, 8), np.float32)
    yield "an array of objects", lambda b: _npz(video=ids, feat=_npy(np.array([Payload(b.mark)]))), "npz|pickle"
    yield "a pickle in place of an archive", lambda b: pickle.dumps(Payload(b.mark)), "npz"
    yield "a pickle in place of an array", lambda b: _npz(video=ids, feat=pickle.dumps(Payload(b.mark))), "npz|no array"
    code = "{'descr': __import__('os').mkdir('ran'), 'fortran_order': False, 'shape': (1,)}"
    yield "code in an array's header", lambda _: _npz(video=ids, feat=_head(code)), "npz"
    vast = "{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776, 8)}"
    yield "a header of 2^40 rows", lambda _: _npz(video=ids, feat=_head(vast)), "npz"
    yield "3.6 MB that unfold to 3.7 GB", lambda _: _zeros(900_000, 1024), "would unfold"
    yield (
        "+ a size below zero",
        lambda _: _npz(video=ids, feat=_head("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}")),
        "npz",
    )
    yield "+ NaN", lambda _: _npz(video=ids, feat=_npy(np.full((1, 8), np.nan, np.float32))), "finite"
    yield "+ a header of 60 MB", lambda _: _npz(video=ids, feat=_long_header()), "npz|unfold"
    yield "+ an id of escape sequences", lambda _: _npz(video=_npy(np.array(["\x1b]0;x\x07"])), feat=_npy(zeros)), "."


def _long_header() -> bytes:
    body = b"{'descr': '<f4', " + b"(" * 1_000_000
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", len(body)) + body


def _zeros(rows: int, columns: int) -> bytes:
    """As `numpy.savez_compressed` packs zeros, without that many in memory."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("video.npy", _npy(np.zeros(rows)))
        with archive.open("feat.npy", "w", force_zip64=True) as file:
            file.write(_head(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {columns})}}"))
            for _ in range(rows * columns * 4 // (1 << 20) + 1):
                file.write(bytes(1 << 20))
    return buffer.getvalue()


def _saved(form: str) -> Callable[[Path, Bench], object]:
    def write(path: Path, bench: Bench) -> None:
        import torch

        value = {"a": Payload(bench.mark)}
        if form == "bare":
            path.write_bytes(pickle.dumps(value))
        else:
            torch.save(value, path, _use_new_zipfile_serialization=form == "zip")

    return write


def _program(before: bytes = b"", after: bytes = b"") -> Callable[[Path, Bench], object]:
    def write(path: Path, _: Bench) -> None:
        import torch

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of PyTorch, about its programs
            torch.jit.save(torch.jit.trace(lambda x: x + 1, torch.zeros(1)), str(path))
        path.write_bytes(before + path.read_bytes() + after)

    return write


CHECKPOINTS: dict[str, Callable[[Path, Bench], object]] = {
    "a pickle in PyTorch's zip": _saved("zip"),
    "a pickle in PyTorch's older form": _saved("legacy"),
    "a bare pickle": _saved("bare"),
    "a TorchScript program": _program(),
    "a TorchScript program behind other bytes": _program(before=b"junk" * 9),
    "a TorchScript program with bytes behind it": _program(after=b"junk" * 9),
}


def _checkpoint(write: Callable[[Path, Bench], object]) -> Callable[[Bench], Outcome]:
    def do(bench: Bench) -> Outcome:
        outcomes = []
        for name in ("weights.pt", "weights.safetensors"):
            write(bench.given / name, bench)
            path = bench.given / name
            done = bench.call(partial(_fetch, path))
            outcomes.append(refused(done, "cannot be read|never run|not opened|no checkpoint|no tensor|do not"))
        return next((one for one in outcomes if one.verdict != "held"), outcomes[0])

    return do


def _fetch(path: Path) -> object:
    from moclip.clip.weights import fetch

    return fetch("ViT-B-32-quickgelu", None, path)


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{','.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(12)
)
PARAMS = (
    ("tries", "a bomb of anchors", BOMB),
    ("tries", "`!!python/object/apply:os.mkdir`", "data: !!python/object/apply:os.mkdir [ran]\n"),
    ("L7", "3,000 lists inside each other", f"data: {'[' * 3000}{']' * 3000}\n"),
    (NEW, "100,000 brackets", "[" * 100_000),
    (NEW, "a key twice", "seed: 1\nseed: 2\n"),
    (NEW, "a number of 10,000 digits", f"seed: {'9' * 10_000}\n"),
    (NEW, "NaN", "seed: .nan\n"),
    (NEW, "NUL", "seed: 1\0\n"),
    (NEW, "a merge of itself", "a: &a\n  <<: *a\n"),
    ("tries", "`splits` with a command", "splits: ['1; touch ran']\n"),
)


def _read_params(text: str) -> Callable[[Bench], Outcome]:
    def read() -> None:
        from moclip.heads.registry import check_params
        from stages._entry import read_params
        from stages._sections import check_sections

        params = read_params(Path("params.yaml"))
        check_sections(params, "params.yaml")
        check_params(params)

    def do(bench: Bench) -> Outcome:
        (bench.work / "params.yaml").write_text(text)
        return refused(bench.call(read), r"params\.yaml|parameter", bounded=True)

    return do


def _preset(word: str) -> Callable[[Bench], Outcome]:
    def do(bench: Bench) -> Outcome:
        from tests.support.imports import ROOT

        (bench.work / "presets").symlink_to(ROOT / "presets")
        (bench.work / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
        (bench.outside / "x.yaml").write_text("seed: 666\n")
        done = bench.moclip("preset", "--", word)
        if "666" in (bench.work / "params.yaml").read_text():
            return Outcome("the file outside was taken", "failed")
        return refused(done, "preset|choose|argument")

    return do
