"""Videos from strangers: more than was stored, other files and addresses inside, names that are more than names."""

import os
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.attacks.bench import Bench, Done
from benchmarks.attacks.table import NEW, Attack, Outcome, harmless, refused
from tests.support import bombs
from tests.support.clips import encode, scrolling

BOUNDED = "refused by name within 5 s and 500 MB"
NO_VIDEO = "no regular file|file is empty|no video container|cannot be|no such|not readable|no video"
LIMIT = r"limits\.\w+|its table promises|" + NO_VIDEO

Make = Callable[[Path, Bench], object]


def attacks() -> Iterator[Attack]:
    """All of them."""
    for name, (number, tried, make) in BOMBS.items():
        yield Attack(number, f"video: {tried}", BOUNDED, _moved(name, make, LIMIT))
    yield Attack(NEW, "video: an AVI whose index has 10^6 entries for 3 frames", BOUNDED, _indexed)
    for tried, (number, make) in REFERENCES.items():
        must = "no request, no other file; what lies in the file is read, or it is refused"
        yield Attack(number, f"video: pictures that lie {tried}", must, _led(make))
    for tried, (name, text) in LEADS.items():
        must = "refused; no request, no other file"
        yield Attack("tries", f"video: {tried}", must, _moved(name, _written(text), NO_VIDEO))
    for number, tried, word in WORDS:
        yield Attack(number, f"video: `{tried}` as its name", "refused; nothing is opened", _named(word))
    for what, make in NO_FILES.items():
        yield Attack(NEW, f"video: {what} among a folder's videos", "the others are answered for", _in_folder(make))
    yield Attack("H3", "video: a file that grows while it is read", "ends by the clock", _growing)


def _indexed(bench: Bench) -> Outcome:
    _counted(bench.given / "index.avi", bench)
    return harmless(_motion(bench, bench.given / "index.avi"))


def _moved(name: str, make: Make, words: str) -> Callable[[Bench], Outcome]:
    def do(bench: Bench) -> Outcome:
        make(bench.given / name, bench)
        return refused(_motion(bench, bench.given / name), words, bounded=True)

    return do


def _led(make: Make) -> Callable[[Bench], Outcome]:
    def do(bench: Bench) -> Outcome:
        make(bench.given / "a.mp4", bench)
        return harmless(_motion(bench, bench.given / "a.mp4"))

    return do


def _motion(bench: Bench, *videos: object, **options: object) -> Done:
    return bench.moclip("motion", *videos, "--out", bench.work / "out", **options)


def _written(text: str) -> Make:
    def make(path: Path, bench: Bench) -> None:
        secret = bench.outside / "secret.txt"
        path.write_text(text.replace("URL", f"{bench.canary}/x.avi").replace("FILE", str(secret)))

    return make


def _referring(kind: bytes, target: str) -> Make:
    """An MP4 whose pictures lie in another place: at an address, or in another file."""

    def make(path: Path, bench: Bench) -> None:
        place = target.replace("URL", bench.canary).replace("FILE", str(bench.outside / "secret.txt")).encode()
        bombs.aliased(path, scrolling(5, 1, 1, 64, 48), 1)
        plain = bombs.full(b"dref", bombs.u32(1), bombs.box(b"url ", bombs.u32(1)))
        body = bombs.box(kind, bombs.u32(0), place, b"\0")
        _swap(path, plain, bombs.full(b"dref", bombs.u32(1), body))

    return make


def _swap(path: Path, old: bytes, new: bytes) -> None:
    """Put a longer box in the place of another, and lengthen those round it."""
    content = bytearray(path.read_bytes())
    at = content.index(old)
    content[at : at + len(old)] = new
    for name in (b"dinf", b"minf", b"mdia", b"trak", b"moov"):
        place = content.index(name) - 4
        size = int.from_bytes(content[place : place + 4], "big") + len(new) - len(old)
        content[place : place + 4] = struct.pack(">I", size)
    path.write_bytes(content)


def _nested(path: Path, bench: Bench) -> None:
    content = b""
    for _ in range(20_000):
        content = struct.pack(">I", len(content) + 8) + b"moov" + content
    path.write_bytes(bombs.box(b"ftyp", b"isom", bombs.u32(512), b"isom") + content)


def _many_tracks(path: Path, _: Bench) -> None:
    made = bombs.stsz(path, 3).read_bytes()
    track = made[made.index(b"trak") - 4 :]
    content = made[: made.index(b"trak") - 4] + track * 5_000
    at = content.index(b"moov") - 4
    path.write_bytes(content[:at] + struct.pack(">I", len(content) - at) + content[at + 4 :])


def _packed_table(path: Path, _: Bench) -> None:
    """A table that is packed, as QuickTime may: it states 4 GB, and unfolds to 1 GB of zeros."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(1 << 10)) + packer.flush()
    body = bombs.box(b"dcom", b"zlib") + bombs.box(b"cmvd", bombs.u32(0xFFFFFFF0), packed)
    kind = bombs.box(b"ftyp", b"qt  ", bombs.u32(512), b"qt  ")
    path.write_bytes(kind + bombs.box(b"moov", bombs.box(b"cmov", body)))


def _element(number: str, body: bytes, size: int | None = None) -> bytes:
    return bytes.fromhex(number) + struct.pack(">Q", (1 << 56) | (len(body) if size is None else size)) + body


def _matroska(*, size: int | None = None, tracks: int = 1, attached: int = 0) -> Make:
    """A Matroska file whose parts state more than there is, or are many."""

    def make(path: Path, _: Bench) -> None:
        video = _element("E0", _element("B0", b"\x40") + _element("BA", b"\x40"))
        kind = _element("83", b"\x01") + _element("86", b"V_MPEG4/ISO/ASP") + video
        entries = (
            _element("AE", _element("D7", struct.pack(">H", n)) + _element("73C5", b"\x01") + kind)
            for n in range(1, tracks + 1)
        )
        parts = _element("1654AE6B", b"".join(entries), size)
        if attached:
            file = _element("466E", b"a") + _element("465C", bytes(8), attached) + _element("4660", b"a/b")
            parts += _element("1941A469", _element("61A7", file))
        head = _element("1A45DFA3", _element("4282", b"matroska"))
        path.write_bytes(head + _element("18538067", parts))

    return make


def _slim(path: Path, _: Bench) -> None:
    """A picture of 1,500,000 x 1 pixels: fitted to a network's square, it is 224 times 336 million."""
    _png(path, 1_500_000, 1)


def _png(path: Path, width: int, height: int) -> None:
    rows = zlib.compress(bytes(1 + 3 * width) * height)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    picture = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in ((b"IHDR", head), (b"IDAT", rows), (b"IEND", b""))
    )
    bombs.avi(path, picture, 64)


def _counted(path: Path, _: Bench) -> None:
    """An AVI whose index has 10 million entries, all of one place."""
    encode(path, scrolling(3, 1, 1))
    content = path.read_bytes()
    entry = b"00dc" + struct.pack("<III", 16, 4, 100)
    path.write_bytes(content[: content.rindex(b"idx1")] + b"idx1" + struct.pack("<I", 16 * 10**7) + entry * 10**6)


BOMBS: dict[str, tuple[str, str, Make]] = {
    "stsz25.mp4": ("H3", "2^25 samples in a table of 648 bytes", lambda path, _: bombs.stsz(path, 1 << 25)),
    "stsz60.mp4": ("H3", "6 * 10^7 samples in a table of 648 bytes", lambda path, _: bombs.stsz(path, 60_000_000)),
    "stsz3.mp4": ("H3", "three such tracks", lambda path, _: bombs.stsz(path, 1 << 25, 3)),
    "stsz20.mp4": ("H3", "twenty such tracks", lambda path, _: bombs.stsz(path, 1 << 25, 20)),
    "png.avi": ("H3", "a PNG of 16,000 x 16,000 in an AVI of 64 x 64", lambda path, _: bombs.png(path)),
    "tiny200k.mp4": ("H3", "200,000 frames over 500 stored ones", lambda path, _: bombs.tiny200k(path)),
    "big2000.mp4": ("H3", "2,000 frames of 4096 x 4096 over 20 stored ones", lambda path, _: bombs.big2000(path)),
    "nested.mp4": ("tries", "20,000 boxes inside each other", _nested),
    "tracks.mp4": (NEW, "an MP4 of 5,000 tracks", _many_tracks),
    "packed.mov": (NEW, "a packed table that states 4 GB and unfolds to 1 GB", _packed_table),
    "size.mkv": (NEW, "Matroska whose tracks state 2^55 bytes", _matroska(size=(1 << 55))),
    "tracks.mkv": (NEW, "Matroska of 20,000 tracks", _matroska(tracks=20_000)),
    "attached.mkv": (NEW, "Matroska with an attachment that states 4 GB", _matroska(attached=1 << 32)),
}
REFERENCES: dict[str, tuple[str, Make]] = {
    "in another file by `dref`": ("tries", _referring(b"url ", "file://FILE")),
    "at an address by `dref`": ("tries", _referring(b"url ", "URL/x")),
    "in another file by `alis`": (NEW, _referring(b"alis", "FILE")),
}
HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"
MPD = '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period><AdaptationSet mimeType="video/mp4"><Representation id="1">'
MPD += "<BaseURL>URL</BaseURL></Representation></AdaptationSet></Period></MPD>"
LEADS: dict[str, tuple[str, str]] = {
    "an HLS playlist as .avi": ("a.avi", HLS.format("URL")),
    "an HLS playlist as .mp4 that names a secret file": ("a.mp4", HLS.format("file://FILE")),
    "ffconcat as .avi": ("b.avi", "ffconcat version 1.0\nfile URL\nfile FILE\n"),
    "DASH as .mp4": ("c.mp4", MPD),
    "SDP as .avi": ("d.avi", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n"),
    "ASX as .wmv": ("e.wmv", '<asx version="3.0"><entry><ref href="URL"/></entry></asx>'),
    "IMF as .avi": ("f.avi", '<CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/2016">URL'),
    "a redirect of QuickTime as .mov": ("g.mov", "<?xml version='1.0'?><?quicktime type='x'?><embed src='URL'/>"),
    "RealMedia's reference as .avi": ("h.avi", "rtsp://127.0.0.1:9/x\n"),
    "an SVG picture as .avi": ("i.avi", '<svg xmlns="http://www.w3.org/2000/svg"><image href="URL"/></svg>'),
    "a script of AviSynth as .avi": ("j.avi", 'AVISource("FILE")'),
}
WORDS = (
    ("tries", "concat:a|FILE", "concat:a.avi|FILE"),
    ("tries", "http://…", "URL"),
    ("tries", "subfile:", "subfile,,start,0,end,10,,:FILE"),
    ("tries", "%03d.avi", "%03d.avi"),
    ("tries", "/dev/zero", "/dev/zero"),
    (NEW, "crypto:", "crypto:FILE"),
    (NEW, "pipe:0", "pipe:0"),
    (NEW, "async:http://…", "async:URL"),
    (NEW, "data:", "data:text/plain;base64,AAAA"),
    (NEW, "/proc/self/mem", "/proc/self/mem"),
    (NEW, "a name of 5,000 letters", "x" * 5000 + ".avi"),
)
NO_FILES: dict[str, Callable[[Path, Bench], object]] = {
    "a pipe": lambda path, _: os.mkfifo(path),
    "a link to /dev/zero": lambda path, _: path.symlink_to("/dev/zero"),
    "a link to itself": lambda path, _: path.symlink_to(path.name),
    "a socket": lambda path, _: os.mknod(path, 0o140600),
    "a link to a secret": lambda path, bench: path.symlink_to(bench.outside / "secret.txt"),
}


def _named(word: str) -> Callable[[Bench], Outcome]:
    def do(bench: Bench) -> Outcome:
        name = word.replace("URL", f"{bench.canary}/x.avi").replace("FILE", str(bench.outside / "secret.txt"))
        return refused(_motion(bench, name), NO_VIDEO + "|too long", bounded=True)

    return do


def _in_folder(make: Callable[[Path, Bench], object]) -> Callable[[Bench], Outcome]:
    def do(bench: Bench) -> Outcome:
        (bench.given / "m.avi").write_bytes(bench.film.read_bytes())
        make(bench.given / "a.avi", bench)
        done = _motion(bench, bench.given)
        found = refused(done, NO_VIDEO + "|1 of 2|links")
        if not (bench.work / "out/m.avi.npz").is_file():
            return Outcome(f"the other video has no answer; {found.happened}", "failed")
        return found

    return do


def _growing(bench: Bench) -> Outcome:
    made = encode(bench.given / "b.m4v", scrolling(50, 3, 1), container="m4v").read_bytes()
    path, stop = bench.given / "a.m4v", threading.Event()
    path.write_bytes(made * 20)

    def grow() -> None:
        with path.open("ab", buffering=0) as file:
            while not stop.wait(0.001) and file.tell() < 1 << 28:
                file.write(made * 4)

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        done = _motion(bench, path, "--limit", "seconds=1", "--limit", "frames=1000000000")
    finally:
        stop.set()
        thread.join()
    return refused(done, r"limits\.seconds", bounded=True)


def slim_picture(bench: Bench) -> Outcome:
    """A picture of 1,500,000 x 1 pixels, asked for a class by CLIP alone, which needs no vectors."""
    _slim(bench.given / "slim.avi", bench)
    words = ("--model", bench.good, "--head", "clip_probe")
    return refused(bench.moclip("predict", bench.given / "slim.avi", *words), "as long one way", bounded=True)
