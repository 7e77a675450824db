import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from moclip.base.errors import ParamsError, VideoError
from moclip.base.files import remove, sha256_file
from moclip.motion import grid as motion
from moclip.motion.extract import MotionOptions, VideoFile, extract, read_grid
from moclip.motion.store import MotionStore
from moclip.video import decode as video
from tests.support.clips import encode, scrolling
from tests.support.terminal import on_terminal
from tests.support.trees import content

CLIPS = 12
RUN = """
import sys
from pathlib import Path
from moclip.motion.extract import MotionOptions, VideoFile, extract
folder, out, work, jobs = sys.argv[1:]
videos = [VideoFile(path.stem, path) for path in sorted(Path(folder).glob("*.avi"))]
print(extract(videos, Path(out), Path(work), MotionOptions(), jobs=int(jobs)).decoded)
"""


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> list[VideoFile]:
    folder = tmp_path_factory.mktemp("videos")
    paths = [
        encode(folder / f"v{i:02d}.avi", scrolling(30 + i, 1 + i % 3, -1), options={"g": "12"}) for i in range(CLIPS)
    ]
    return [VideoFile(path.stem, path, sha256_file(path)) for path in paths]


@pytest.fixture(scope="module")
def undisturbed(videos, tmp_path_factory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed")
    extract(videos, folder / "store", folder / "work", MotionOptions(), jobs=1)
    return content(folder / "store")


def grids(work: Path) -> list[Path]:
    return sorted(work.glob("*/[!.]*.grid"))


def start(videos: list[VideoFile], out: Path, work: Path, jobs: int) -> subprocess.Popen:
    arguments = [videos[0].path.parent, out, work, jobs]
    return subprocess.Popen(
        [sys.executable, "-c", RUN, *map(str, arguments)],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_the_store_holds_each_video_in_the_order_that_was_asked_for(videos, tmp_path):
    order = [videos[i] for i in (5, 0, 9, 3)]
    options = MotionOptions(cell_px=8, reference="both")
    summary = extract(order, tmp_path / "store", tmp_path / "work", options, jobs=1)
    store = MotionStore.open(tmp_path / "store")
    assert store.ids == [item.id for item in order]
    for item in order:
        expected = motion.rasterise(video.stream_motion(item.path), 8, "both")
        np.testing.assert_array_equal(store.clip(item.id).mv, expected.mv)
        np.testing.assert_array_equal(store.clip(item.id).state, expected.state)
        assert store.info(item.id).fps == 25.0
    assert (summary.videos, summary.decoded, summary.frames) == (4, 4, 30 * 4 + 17)
    assert store.made_by == {
        "cell_px": 8,
        "reference": "both",
        "distance": "nearest",
        "source": "original",
        **video.versions(),
    }


def test_processes_make_the_same_bytes_and_a_second_call_decodes_nothing(videos, undisturbed, tmp_path):
    for number, decoded in enumerate((CLIPS, 0)):
        out = tmp_path / f"store{number}"
        summary = extract(videos, out, tmp_path / "work", MotionOptions(), jobs=2)
        assert summary.decoded == decoded
        assert content(out) == undisturbed


def test_other_options_are_other_work(videos, tmp_path):
    for options in (MotionOptions(), MotionOptions(cell_px=8), MotionOptions(reference="both")):
        summary = extract(videos[:2], tmp_path / "store", tmp_path / "work", options, jobs=1)
        assert summary.decoded == 2


def test_a_changed_video_is_decoded_again(videos, tmp_path):
    path = tmp_path / "a.avi"
    encode(path, scrolling(5, 1, 0))
    item = VideoFile("a", path)
    for frames, decoded in ((5, 1), (5, 0), (6, 1)):
        encode(path, scrolling(frames, 1, 0))
        summary = extract([item], tmp_path / "store", tmp_path / "work", MotionOptions(), jobs=1)
        assert (summary.frames, summary.decoded) == (frames, decoded)


def test_a_torn_file_of_the_work_is_made_again(videos, undisturbed, tmp_path):
    out, work = tmp_path / "store", tmp_path / "work"
    extract(videos, out, work, MotionOptions(), jobs=1)
    for block in work.glob("*/*.block"):  # of one that is there, the grids are not looked at
        block.unlink()
    first, second, third, *_ = grids(work)
    first.write_bytes(first.read_bytes()[:-10])
    second.write_bytes(b"")
    third.write_bytes(bytes(len(third.read_bytes())))
    assert extract(videos, out, work, MotionOptions(), jobs=1).decoded == 3
    assert content(out) == undisturbed


@pytest.mark.skipif(sys.platform != "linux", reason="reads the state of processes from /proc")
@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("finished", [0, 1, CLIPS // 2, CLIPS])
def test_kill_9_loses_at_most_the_video_in_work(videos, undisturbed, tmp_path, jobs, finished):
    out, work = tmp_path / "store", tmp_path / "work"
    running = start(videos, out, work, jobs)
    wait_for(lambda: len(grids(work)) >= finished and list(work.glob("*/lock")))
    running.kill()
    running.communicate()
    wait_for(lambda: not alive(running.pid))
    assert not out.exists() or content(out) == undisturbed
    kept = {path: path.stat().st_mtime_ns for path in grids(work)}
    assert len(kept) >= finished
    summary = extract(videos, out, work, MotionOptions(), jobs=jobs)
    assert summary.decoded == CLIPS - len(kept)
    assert all(path.stat().st_mtime_ns == at for path, at in kept.items())
    assert content(out) == undisturbed
    assert not list(work.glob("*/.*"))


def alive(group: int) -> list[int]:
    """Processes of a group that have not ended: workers must not outlive the process that was killed."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] not in "ZX":
            found.append(int(stat.parent.name))
    return found


def test_ctrl_c_ends_all_processes_with_one_line_and_harms_nothing(videos, undisturbed, tmp_path):
    """Typed while the workers still import, which is when they would each print a trace."""
    out, work = tmp_path / "store", tmp_path / "work"
    ends = "sys.exit(console.run(lambda: exec(program, globals()), more='--verbose'))"
    program = (
        f"import sys; from moclip.base import console; console.set_up_logging('%(message)s'); program = {RUN!r}; {ends}"
    )
    words = ["-c", program, *map(str, (videos[0].path.parent, out, work, 2))]
    for _ in range(3):  # on a busy machine the key may come when all is done
        status, shown = on_terminal(words, type_at=lambda text: "\x03" if "motion:" in text else None)
        if status != 0:
            break
        remove(out)
        remove(work)
    assert status == 130
    assert "Traceback" not in shown
    assert shown.replace("^C", " ").split()[-1] == "interrupted"
    assert not out.exists()
    extract(videos, out, work, MotionOptions(), jobs=1)
    assert content(out) == undisturbed


def test_two_at_once_share_the_work_and_do_no_harm(videos, undisturbed, tmp_path):
    running = [start(videos, tmp_path / f"store{i}", tmp_path / "work", 1) for i in range(2)]
    decoded = []
    for process in running:
        said, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        decoded.append(int(said))
    assert sorted(decoded) == [0, CLIPS]
    assert [content(tmp_path / f"store{i}") for i in range(2)] == [undisturbed] * 2


@pytest.mark.parametrize("jobs", [1, 2])
def test_all_bad_videos_are_listed_together_and_no_store_appears(videos, tmp_path, jobs):
    empty = tmp_path / "empty.avi"
    empty.write_bytes(b"")
    one = encode(tmp_path / "one.avi", scrolling(1, 0, 0))
    modern = encode(tmp_path / "modern.webm", scrolling(5, 1, 0), "libvpx")
    bad = [
        VideoFile("gone", tmp_path / "gone.avi"),
        VideoFile("empty", empty),
        VideoFile("one", one),
        VideoFile("modern", modern),
        VideoFile("changed", videos[3].path, "0" * 64),
    ]
    asked = [videos[0], *bad[:2], videos[1], *bad[2:], videos[2]]
    with pytest.raises(VideoError) as caught:
        extract(asked, tmp_path / "store", tmp_path / "work", MotionOptions(), jobs=jobs)
    first, *lines = str(caught.value).splitlines()
    assert first == "5 of 8 videos cannot be used:"
    reasons = ["no such file", "is empty", "one frame", r"\(vp8\).*reencoded", "not those of the"]
    assert len(lines) == len(bad)
    for line, item, reason in zip(lines, bad, reasons, strict=True):
        assert str(item.path) in line
        assert re.search(reason, line)
    assert not (tmp_path / "store").exists()
    assert len(grids(tmp_path / "work")) == 3


class CrashingPath(type(Path())):
    """A video whose decoder brings its process down."""

    def is_file(self, **_: object) -> bool:
        os.kill(os.getpid(), signal.SIGKILL)
        return True


def test_a_video_that_crashes_its_process_is_named_and_the_others_are_finished(videos, tmp_path):
    asked = [*videos[:3], VideoFile("crash", CrashingPath("crash.avi")), *videos[3:]]
    with pytest.raises(VideoError, match=r"1 of 13 videos(.|\n)*crash.avi: its decoder crashes"):
        extract(asked, tmp_path / "store", tmp_path / "work", MotionOptions(), jobs=2)
    assert len(grids(tmp_path / "work")) == CLIPS


def test_reencoded_videos_have_coviars_size_and_the_rate_of_the_source(tmp_path):
    path = encode(tmp_path / "a.webm", scrolling(14, 2, 0), "libvpx", rate=30)
    options = MotionOptions(source="reencoded")
    extract([VideoFile("a", path)], tmp_path / "store", tmp_path / "work", options, jobs=1)
    store = MotionStore.open(tmp_path / "store")
    info = store.info("a")
    assert (info.width, info.height, info.frames, info.fps) == (340, 256, 14, 30.0)
    assert np.flatnonzero(store.clip("a").key).tolist() == [0, 12]
    np.testing.assert_array_equal(store.clip("a").mv, read_grid(path, options).mv)
    assert len(list((tmp_path / "work").glob("*/.*"))) == 0


def test_requests_that_make_no_sense_are_refused(videos, tmp_path):
    def ask(asked: list[VideoFile], jobs: int = 1) -> None:
        extract(asked, tmp_path / "store", tmp_path / "work", MotionOptions(), jobs=jobs)

    with pytest.raises(ParamsError, match="no videos"):
        ask([])
    with pytest.raises(ParamsError, match="id 'v00' comes 2 times"):
        ask([videos[0], videos[1], videos[0]])
    with pytest.raises(ParamsError, match="jobs must be 1 or more, got 0"):
        ask(videos, 0)
    with pytest.raises(ParamsError, match="source must be one of"):
        MotionOptions(source="copied")
    assert not list(tmp_path.iterdir())
