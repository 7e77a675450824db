"""What a stranger's video may cost: small files that stand for much are refused by name, in little time and memory."""

import os
import re
import resource
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

import av
import numpy as np
import pytest

from benchmarks.fuzz.containers import fuzz
from moclip.base.errors import ParamsError, VideoError
from moclip.base.parallel import spread
from moclip.cli.main import main
from moclip.motion.extract import MotionOptions, VideoFile, extract, look, read_grid
from moclip.search.passes import events
from moclip.video.bounded import worker
from moclip.video.bounded.limits import FILMS, Limits, parse, using
from moclip.video.bounded.system import peak_mb
from moclip.video.bounded.worker import Held, call, stream
from moclip.video.container import read_container
from moclip.video.decode import count_frames, probe, read_frames
from tests.support import bombs
from tests.support.clips import encode, scrolling
from tests.support.containers import remux, with_second_video

MOST_S = 5.0  # of processor time
WAIT_S = 30.0  # by the clock, which a test shares with other workers
MOST_MB = 500.0
ROOT = Path(__file__).parents[2]
linux = pytest.mark.skipif(sys.platform != "linux", reason="the system bounds no address space elsewhere")

BOMBS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "stsz25.mp4": (lambda path: bombs.stsz(path, 1 << 25), "limits.frames"),
    "stsz3.mp4": (lambda path: bombs.stsz(path, 1 << 25, 3), "limits.frames"),
    "png.avi": (bombs.png, "limits.pixels"),
    "tiny200k.mp4": (bombs.tiny200k, "limits.frames"),
    "big2000.mp4": (bombs.big2000, "limits.decoded_gib"),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bombs")
    for name, (make, _) in BOMBS.items():
        make(folder / name)
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode(tmp_path_factory.mktemp("clip") / "a.avi", scrolling(20, 3, 1))


@pytest.fixture(autouse=True)
def new_workers() -> Iterator[None]:
    """Peaks and deaths of a test's own."""
    worker.close_idle()
    yield
    worker.close_idle()


def decoding_s(clip: Path) -> float:
    """Processor time of the processes that decode, of those that ended too: a busy machine does not lengthen it."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime + call(clip, time.process_time)


READERS: dict[str, Callable[[Path], object]] = {
    "motion": lambda path: look(path, MotionOptions()),
    "motion and picture": lambda path: look(path, MotionOptions(), middle=True),
    "re-encoded": lambda path: look(path, MotionOptions(source="reencoded")),
    "picture": lambda path: look(path, None, middle=True),
    "frames": lambda path: call(path, read_frames, path, [0]),
    "search": lambda path: list(stream(path, events, path, 0.5, "original")),
    "measure": lambda path: call(path, probe, path),
    "audit": lambda path: call(path, read_container, path),
}


@linux
@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("reader", [name for name in READERS if name != "audit"])
def test_a_bomb_is_refused_by_name_in_little_time_and_memory(made: Path, clip: Path, bomb: str, reader: str) -> None:
    READERS[reader](clip)  # the process is there, as it is for all videos but the first
    path, begun = made / bomb, decoding_s(clip)
    with pytest.raises(VideoError) as refused:
        READERS[reader](path)
    assert decoding_s(clip) - begun < MOST_S
    assert str(path) in str(refused.value)
    assert f"({BOMBS[bomb][1]})" in str(refused.value)
    assert call(path, peak_mb) < MOST_MB


@linux
@pytest.mark.parametrize("bomb", ["stsz25.mp4", "stsz3.mp4", "tiny200k.mp4"])
def test_a_table_of_samples_costs_little_where_nothing_is_decoded(made: Path, clip: Path, bomb: str) -> None:
    call(clip, read_container, clip)
    path, begun = made / bomb, decoding_s(clip)
    # A table that could not be kept leaves a video without packets, which is no fault.
    with pytest.raises(VideoError, match=r"limits\.frames") if bomb == "tiny200k.mp4" else suppress(VideoError):
        call(path, read_container, path)
    assert decoding_s(clip) - begun < MOST_S
    assert call(path, peak_mb) < MOST_MB


@linux
@pytest.mark.parametrize("bomb", BOMBS)
def test_commands_refuse_bombs_and_go_on(
    made: Path, clip: Path, tmp_path: Path, bomb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    (folder / bomb).symlink_to(made / bomb)
    (folder / "z.avi").symlink_to(clip)
    assert main(["motion", str(folder), "--out", str(tmp_path / "out")]) == 1
    assert BOMBS[bomb][1] in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["z.avi.npz"]


@linux
def test_one_bomb_among_videos_is_named_by_extraction(made: Path, clip: Path, tmp_path: Path) -> None:
    for jobs in (1, 2):
        videos = [VideoFile("a", clip), VideoFile("b", made / "stsz3.mp4"), VideoFile("c", made / "big2000.mp4")]
        with pytest.raises(
            VideoError, match=r"2 of 3 videos cannot be used:\n.*stsz3.*frames.*\n.*big2000.*decoded_gib"
        ):
            extract(videos, tmp_path / "out", tmp_path / f"work{jobs}", MotionOptions(), jobs=jobs)


def fragments(path: Path, times: int) -> Path:
    """The 20 stored pictures so many times over: every fragment's table lies at the same place."""
    plain = encode(path.with_name("plain.mp4"), scrolling(20, 3, 1), options={"g": "1", "bf": "0"})
    whole = remux(plain, path.with_name("whole.mp4"), options={"movflags": "frag_keyframe+empty_moov"}).read_bytes()
    with av.open(str(plain)) as source:
        packets = [bytes(packet) for packet in source.demux(source.streams.video[0]) if packet.size]
    head = whole[: whole.index(b"moof") - 4]
    sizes = [len(packet) for packet in packets]
    place = struct.pack(">Q", len(head) + 8)

    def fragment(number: int) -> bytes:
        begins = bombs.full(b"tfdt", bombs.u32(20 * 512 * number))
        table = bombs.box(b"trun", bombs.u32(0x201, len(sizes), 0, *sizes))
        track = bombs.box(b"traf", bombs.box(b"tfhd", bombs.u32(0x9, 1), place, bombs.u32(512)), begins, table)
        return bombs.box(b"moof", bombs.full(b"mfhd", bombs.u32(number + 1)), track)

    path.write_bytes(head + bombs.box(b"mdat", *packets) + b"".join(map(fragment, range(times))))
    return path


@linux
@pytest.mark.parametrize("bomb", ["tiny200k.mp4", "big2000.mp4", "fragments.mp4"])
def test_search_takes_no_table_that_promises_more_than_the_file_has(
    made: Path, clip: Path, tmp_path: Path, bomb: str
) -> None:
    path = fragments(tmp_path / bomb, 500) if bomb == "fragments.mp4" else made / bomb
    with using(FILMS):
        list(stream(clip, events, clip, 0.5, "original"))
        begun = decoding_s(clip)
        with pytest.raises(VideoError, match=rf"its table promises \d+ bytes .* has {path.stat().st_size}\. Convert"):
            list(stream(path, events, path, 0.5, "original"))
        assert decoding_s(clip) - begun < MOST_S
    assert call(path, peak_mb) < MOST_MB


def test_fragments_that_are_there_once_are_read(tmp_path: Path) -> None:
    assert probe(fragments(tmp_path / "once.mp4", 1)).frames == 20


def test_each_limit_is_named_with_its_value(clip: Path) -> None:
    for limits, found in (
        (Limits(pixels=176 * 144 - 1), r"176 x 144 pixels, the limit is 25343 \(limits\.pixels\)"),
        (Limits(frames=19), r"(states 20|more than 19) frames, the limit is 19 \(limits\.frames\)"),
        (Limits(decoded_gib=0.0001), r"GiB, the limit is 0\.0001 \(limits\.decoded_gib\)"),
        (Limits(seconds=1e-9), r"took more than 1e-09 s, the limit is 1e-09 \(limits\.seconds\)"),
    ):
        for read in READERS.values():
            if read is READERS["audit"] and limits.frames == Limits().frames:
                continue  # it decodes nothing
            with using(limits), pytest.raises(VideoError, match=rf"a\.avi.*{found}.*--limit"):
                read(clip)
    with using(Limits(frames=20, pixels=176 * 144)):
        assert look(clip, MotionOptions()).frames == 20


def test_a_picture_that_is_a_line_is_refused(tmp_path: Path) -> None:
    """Fitted to a square of 224 pixels, a line of a million pixels would be 224 million long."""
    path = encode(tmp_path / "line.avi", scrolling(2, 0, 0, 4096, 16))
    for read in (lambda: look(path, None, middle=True), lambda: look(path, MotionOptions())):
        with pytest.raises(VideoError, match=r"line\.avi.*4096 x 16 pixels are more than 64 times as long one way"):
            read()
    assert look(encode(tmp_path / "slim.avi", scrolling(2, 0, 0, 1024, 16)), None).frames == 2


def test_frames_that_no_header_states_are_counted(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.m4v", scrolling(20, 3, 1), container="m4v")
    for limits, name in ((Limits(frames=19), "frames"), (Limits(decoded_gib=19 * 38016 / (1 << 30)), "decoded_gib")):
        with using(limits), pytest.raises(VideoError, match=rf"a\.m4v.*limits\.{name}"):
            look(path, MotionOptions())


def test_what_a_process_gives_is_what_this_one_gives(clip: Path) -> None:
    here, there = read_grid(clip, MotionOptions()), look(clip, MotionOptions(), middle=True)
    assert there.grid is not None
    np.testing.assert_array_equal(there.grid.mv, here.mv)
    np.testing.assert_array_equal(there.grid.state, here.state)
    np.testing.assert_array_equal(there.picture, read_frames(clip, [10])[0])
    assert look(clip, None).frames == 20


def test_one_process_serves_many_videos(clip: Path) -> None:
    assert len({call(clip, os.getpid) for _ in range(3)}) == 1
    assert call(clip, os.getpid) != os.getpid()


@linux
def test_a_file_that_grows_while_it_is_read_ends_by_the_clock(tmp_path: Path) -> None:
    content = encode(tmp_path / "b.m4v", scrolling(50, 3, 1), container="m4v").read_bytes()
    path, stop = tmp_path / "a.m4v", Event()
    path.write_bytes(content * 20)

    def grow() -> None:
        with path.open("ab", buffering=0) as file:
            while not stop.is_set() and file.tell() < 1 << 30:
                file.write(content * 4)
                time.sleep(0.0005)

    thread = Thread(target=grow)
    thread.start()
    try:
        call(path, os.getpid)
        begun = time.monotonic()
        with using(Limits(seconds=1.0, frames=10**9)), pytest.raises(VideoError, match=r"a\.m4v.*limits\.seconds"):
            call(path, count_frames, path)
        assert time.monotonic() - begun < WAIT_S
    finally:
        stop.set()
        thread.join()


def _drip(path: Path) -> None:
    """A read that does not come back, as of a folder over a network that gives a byte an hour."""
    ours, _theirs = os.pipe()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    os.read(ours, 1)


def _spin(path: Path) -> None:
    while True:
        pass


def _crash(path: Path) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def _leave(path: Path) -> None:
    os._exit(3)


def _fill(path: Path) -> int:
    return sum(len(bytearray(1 << 28)) + len(bytearray(1 << 31)) for _ in range(3))


def _bug(path: Path) -> None:
    raise KeyError("no such thing")


@linux
@pytest.mark.parametrize(
    ("do", "found"),
    [
        (_drip, r"took more than 1 s, the limit is 1\.0 \(limits\.seconds\)"),
        (_spin, r"took more than 1 s, the limit is 1\.0 \(limits\.seconds\)"),
        (_crash, r"its decoder crashes \(SIGSEGV\)"),
        (_leave, r"its decoder crashes \(status 3\)"),
        (_fill, r"the limit is 1024 \(limits\.memory_mib\)"),
    ],
)
def test_a_process_that_hangs_or_crashes_names_the_video_and_the_next_is_read(
    clip: Path, do: Callable[[Path], object], found: str
) -> None:
    call(clip, os.getpid)
    begun = time.monotonic()
    with using(Limits(seconds=1.0)), pytest.raises(VideoError, match=rf"a\.avi: .*{found}"):
        call(clip, do, clip)
    assert time.monotonic() - begun < WAIT_S
    assert look(clip, MotionOptions()).frames == 20


@linux
def test_a_process_that_a_video_ends_is_named_among_many(clip: Path) -> None:
    tasks = [clip, clip.with_name("crash.avi"), clip]
    held = Held(_sometimes, Path)
    found = list(spread(held, tasks, 2, lambda task: f"{task.name}: {worker.CRASHED}"))
    assert sorted(outcome for _, outcome in found) == ["a.avi", "a.avi", f"crash.avi: {worker.CRASHED}"]


def _sometimes(path: Path) -> str:
    if path.name.startswith("crash"):
        _crash(path)
    return path.name


def test_errors_keep_their_kind(clip: Path) -> None:
    with pytest.raises(KeyError, match="no such thing") as raised:
        call(clip, _bug, clip)
    assert any("_bug" in note for note in raised.value.__notes__)
    with pytest.raises(VideoError, match="no such file"):
        look(clip.with_name("absent.avi"), None)


def test_items_come_one_by_one_and_time_between_them_does_not_count(clip: Path) -> None:
    with using(Limits(seconds=1.0)):
        for number, seen in enumerate(stream(clip, _counted, 3)):
            assert number == seen
            time.sleep(0.9)


def _counted(most: int) -> Iterator[int]:
    yield from range(most)


def test_a_stream_that_is_left_takes_its_process_along(clip: Path) -> None:
    first = call(clip, os.getpid)
    for seen in stream(clip, _counted, 1000):
        if seen == 2:
            break
    worker.close_idle()
    assert call(clip, os.getpid) != first


def test_relative_names_count_from_where_the_caller_is(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call(clip, os.getpid)
    monkeypatch.chdir(clip.parent)
    assert look(Path(clip.name), None).frames == 20


def test_no_process_is_left_behind(clip: Path) -> None:
    script = (
        "from pathlib import Path\nfrom moclip.video.bounded.worker import call\nimport os, sys\n"
        "print(call(Path('x'), os.getpid), flush=True)\nos.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False)
    process = int(done.stdout)
    end = time.monotonic() + 10
    while _is_alive(process) and time.monotonic() < end:
        time.sleep(0.05)
    assert not _is_alive(process)


def _is_alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_limits_are_written_as_name_and_number() -> None:
    assert parse(["frames=7", "seconds=0.5"], FILMS) == Limits(frames=7, seconds=0.5, decoded_gib=FILMS.decoded_gib)
    for text, reason in (
        *(("frames", "must be NAME=NUMBER"), ("speed=3", "with a NAME of pixels, frames")),
        *(("frames=1.5", "'1.5' is no whole number"), ("seconds=nan", "must be a number above 0")),
        *(("frames=0", "must be a number above 0"), ("seconds=inf", "must be a number above 0")),
    ):
        with pytest.raises(ParamsError, match=reason):
            parse([text])


def test_a_command_takes_limits(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with using(Limits()):
        assert main(["motion", str(clip), "--out", str(tmp_path / "a.npz"), "--limit", "frames=19"]) == 1
        said = capsys.readouterr().err
        assert "20 frames, the limit is 19 (limits.frames)" in said
        remedy = re.search(r"`(--limit) (frames=)N`", said)
        assert remedy is not None
        raised = [remedy[1], f"{remedy[2]}20"]
        assert main(["motion", str(clip), "--out", str(tmp_path / "a.npz"), *raised]) == 0


def test_containers_that_are_changed_are_read_or_refused(tmp_path: Path) -> None:
    found = fuzz(60, 3, tmp_path)
    assert found["faults"] == []
    assert found["refused"] > 20
    assert found["read"] > 3


def test_damage_while_packets_are_counted_is_refused_by_name(tmp_path: Path) -> None:
    """Pictures are kept by their place, so packets are counted first, where no header states how many there are."""
    path = encode(tmp_path / "a.nut", scrolling(30, 3, 1))
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 400] = bytes(400)
    path.write_bytes(content)
    with pytest.raises(VideoError, match=r"a\.nut"):
        look(path, MotionOptions(), middle=True)


@pytest.mark.parametrize("which", [1, 2])
def test_streams_without_a_decoder_are_refused_by_name_or_left_out(tmp_path: Path, which: int) -> None:
    path = with_second_video(tmp_path / "a.avi", (64, 48), (96, 64), None)
    content = path.read_bytes()
    assert content.count(b"FMP4") == 4  # in the two headers of each stream
    path.write_bytes(content.replace(b"FMP4", b"ZZZZ", 2 * which))
    if which == 1:
        assert look(path, MotionOptions()).frames == 20
        return
    for read in READERS.values():
        with pytest.raises(VideoError, match=r"a\.avi.*its codec has no decoder here"):
            read(path)
