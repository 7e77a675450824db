"""What a vector means: over how many frames it reaches, where its block lies, and whether it is of a field."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from moclip.base.errors import VideoError
from moclip.cli.main import main as moclip
from moclip.motion.extract import MotionOptions, VideoFile, extract, read_grid
from moclip.motion.grid import MotionGrid, rasterise
from moclip.video import decode as video
from moclip.video.coded import Coded
from moclip.video.vectors import FrameState, MotionVectors, Reference, nearest_references
from tests.support.clips import encode, grey, read_motion, remux, scrolling, texture

PAN = (3, 4)
FRAMES = 24


def pan(frames: int = FRAMES) -> list[np.ndarray]:
    return grey(scrolling(frames, *PAN))


def h264(path: Path, b_frames: int, references: int = 1, pyramid: str = "normal", **more: str) -> Path:
    settings = f"b-pyramid={pyramid}:b-adapt=0:scenecut=0"
    options = {"bf": str(b_frames), "refs": str(references), "x264-params": settings, **more}
    return encode(path, pan(), "libx264", options=options)


def per_frame(vectors: MotionVectors, divided: bool) -> np.ndarray:
    """Content displacement of each vector that is not zero, (n, 2)."""
    records = vectors.records
    frame = np.repeat(np.arange(len(vectors.state)), np.diff(vectors.offsets))
    distance = np.where(records["source"] < 0, vectors.past_frames[frame], -vectors.future_frames[frame])
    assert distance.all()
    motion = np.stack([-records["motion_x"], -records["motion_y"]], axis=1) / records["motion_scale"][:, None]
    moving = motion.any(axis=1)
    return motion[moving] / (distance if divided else np.sign(distance))[moving, None]


def share_near(moved: np.ndarray, px: tuple[int, int] = PAN) -> float:
    return float((np.abs(moved - px) <= 0.5).all(axis=1).mean())


def median_of_moving(grid: MotionGrid) -> np.ndarray:
    return np.median(grid.mv[grid.mv.any(axis=-1)] / 2, axis=0)


@pytest.mark.parametrize("references", [1, 4])
@pytest.mark.parametrize("pyramid", ["none", "normal"])
@pytest.mark.parametrize("b_frames", [0, 1, 2, 3])
def test_h264_gives_motion_per_frame_whatever_the_encoder_chose(tmp_path, b_frames, pyramid, references):
    path = h264(tmp_path / "clip.mp4", b_frames, references, pyramid)
    vectors = read_motion(path)
    assert share_near(per_frame(vectors, divided=True)) > (0.95 if references == 1 else 0.9)
    if b_frames:
        assert share_near(per_frame(vectors, divided=False)) < 0.6
    for reference in ("backward", "both"):
        assert median_of_moving(rasterise([vectors], 16, reference)) == pytest.approx(PAN, abs=0.25)


@pytest.mark.parametrize("ending", ["mkv", "mov", "flv", "ts", "avi", "h264"])
def test_containers_with_lengths_and_with_start_codes_give_the_same_motion(tmp_path, ending):
    stored = h264(tmp_path / "clip.mp4", 3, 2)
    annex_b = ending in ("ts", "avi", "h264")
    path = tmp_path / f"clip.{ending}"
    if ending == "flv":
        h264(path, 3, 2)
    else:
        remux(stored, path, "h264_mp4toannexb" if annex_b else "null")
    expected, found = (read_grid(one, MotionOptions(reference="both")) for one in (stored, path))
    np.testing.assert_array_equal(found.mv, expected.mv)


def test_as_coded_takes_vectors_as_long_as_they_are(tmp_path):
    path = h264(tmp_path / "clip.mp4", 3, pyramid="none")
    as_coded = rasterise([read_motion(path)], 16, "backward", "as_coded")
    groups = [as_coded.mv[1 + step :: 4] for step in range(4)]
    per_group = [np.median(group[group.any(axis=-1)], axis=0) / 2 for group in groups]
    assert per_group[3] == pytest.approx(np.multiply(PAN, 4), abs=0.5)
    assert per_group[0] == pytest.approx(PAN, abs=0.5)
    forward = rasterise([read_motion(path)], 16, "forward", "as_coded")
    assert (forward.mv[forward.mv.any(axis=-1)] >= 0).mean() > 0.95  # turned round, not divided


def test_as_coded_leaves_b_frames_empty_whose_vectors_are_lost(tmp_path):
    path = encode(tmp_path / "b.avi", scrolling(12, 4, -2), options={"bf": "1", "g": "99"})
    vectors = read_motion(path)
    lost = vectors.future_frames > 0
    assert not rasterise([vectors], 16, "both", "as_coded").mv[lost].any()
    assert rasterise([vectors], 16, "both").mv[lost].any()


@pytest.mark.parametrize("chunk_bytes", [1, 20_000, 100_000])
def test_distances_do_not_depend_on_where_a_run_ends(tmp_path, chunk_bytes):
    path = h264(tmp_path / "clip.ts", 3, 4)
    whole = read_motion(path)
    runs = list(video.stream_motion(path, chunk_bytes=chunk_bytes))
    assert len(runs) > 1
    for name in ("past_frames", "future_frames"):
        np.testing.assert_array_equal(np.concatenate([getattr(run, name) for run in runs]), getattr(whole, name))


def coded(text: str) -> list[Coded]:
    """Pictures in presentation order as their numbers in coding order, those that nothing refers to in brackets."""
    return [Coded(int(word.strip("()")), not word.startswith("(")) for word in text.split()]


@pytest.mark.parametrize(
    ("pictures", "types", "past", "future"),
    [
        ("0 1 2 3", "IPPP", [0, 1, 1, 1], [0, 0, 0, 0]),
        ("0 (2) (3) 1", "IBBP", [0, 1, 2, 3], [0, 2, 1, 0]),
        ("0 (3) 2 (4) 1", "IBBBP", [0, 1, 2, 1, 4], [0, 1, 2, 1, 0]),  # a pyramid
        ("0 (1) 2 (3) 4", "IPPPP", [0, 1, 2, 1, 2], [0] * 5),  # two temporal layers
        ("0 1 2", "IBB", [0, 1, 1], [0, -1, -2]),  # low delay: both lists look back
        ("1 (2) 0", "IBP", [0, 1, 0], [0, 1, 0]),  # nothing before it was decoded first
    ],
)
def test_the_nearest_reference_is_one_that_was_decoded_before(pictures, types, past, future):
    bidirectional = np.array([kind == "B" for kind in types])
    found = nearest_references(coded(pictures), [], [], bidirectional)
    assert [distances.tolist() for distances in found] == [past, future]


def test_references_outside_the_run_count_from_its_ends():
    earlier, later = [Reference(-4, 0), Reference(-2, 1)], [Reference(3, 2)]
    past, future = nearest_references(coded("(3) (4) (5)"), earlier, later, np.array([True] * 3))
    assert past.tolist() == [2, 3, 4]
    assert future.tolist() == [3, 2, 1]


def trimmed(path: Path, out: Path, start: int, frames: int) -> Path:
    """An MP4 whose edit list shows `frames` frames from `start` on."""
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        tick = 1 / (stream.average_rate * stream.time_base)
    box = content.index(b"elst")
    scale = int.from_bytes(content[content.index(b"mvhd") + 16 :][:4], "big")
    first = int.from_bytes(content[box + 16 : box + 20], "big")
    content[box + 12 : box + 16] = int(Fraction(frames, 25) * scale).to_bytes(4, "big")
    content[box + 16 : box + 20] = int(first + start * tick).to_bytes(4, "big")
    out.write_bytes(content)
    return out


def test_references_that_an_edit_list_hides_still_count(tmp_path):
    path = trimmed(h264(tmp_path / "clip.mp4", 3, pyramid="none"), tmp_path / "trimmed.mp4", 2, 17)
    vectors = read_motion(path)
    assert len(vectors.state) == 17
    assert vectors.past_frames[:4].tolist() == [2, 3, 4, 1]  # the key frame lies two frames before what is shown
    assert vectors.future_frames[-2:].tolist() == [3, 2]  # and the last reference two frames after
    assert share_near(per_frame(vectors, divided=True)) > 0.95


def test_pictures_that_nothing_refers_to_count_in_flash_video(tmp_path):
    """Every second picture is disposable, as Sorenson's encoder made them, so that vectors reach over two frames."""
    frames, packets = pan(12), {}
    for name, chosen in (("kept", frames[::2]), ("all", frames)):
        path = encode(tmp_path / f"{name}.flv", chosen, "flv", options={"g": "99", "qscale": "2"})
        with av.open(str(path)) as file:
            packets[name] = [bytes(packet) for packet in file.demux(video=0) if packet.size]
    path = tmp_path / "film.flv"
    with av.open(str(tmp_path / "all.flv")) as source, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for number in range(12):
            content = bytearray(
                packets["kept"][number // 2] if number % 2 == 0 else disposable(frames, number, tmp_path)
            )
            packet = av.Packet(bytes(content))
            packet.stream, packet.time_base, packet.pts, packet.dts = stream, Fraction(1, 25), number, number
            packet.is_keyframe = number == 0
            out.mux(packet)
    vectors = read_motion(path)
    assert vectors.past_frames.tolist() == [0, 1, *[1, 2] * 4, 1]  # FFmpeg leaves out the first of them
    inner = rasterise([vectors], 16).mv[1:, 2:-2, 2:-2].reshape(-1, 2) / 2
    assert np.median(inner, axis=0) == pytest.approx(PAN, abs=0.25)


def disposable(frames: list[np.ndarray], number: int, folder: Path) -> bytes:
    """Picture `number`, predicted from the kept one before it, with the type of those that nothing refers to."""
    kept = frames[:number:2]
    path = encode(folder / "one.flv", [*kept, frames[number]], "flv", options={"g": "99", "qscale": "2"})
    with av.open(str(path)) as file:
        content = [bytes(packet) for packet in file.demux(video=0) if packet.size][-1]
    bits = int.from_bytes(content, "big")
    size = len(content) * 8
    sides = {0: 16, 1: 32}.get(bits >> (size - 33) & 7, 0)
    at = size - (33 + sides + 2)
    assert bits >> at & 3 == 1  # P
    return (bits ^ (3 << at)).to_bytes(len(content), "big")


@pytest.mark.parametrize("b_frames", ["0", "1", "2"])
def test_mpeg2_divides_by_the_nearest_reference_too(tmp_path, b_frames):
    path = encode(tmp_path / "clip.mpg", pan(), "mpeg2video", options={"bf": b_frames, "qscale": "2"})
    vectors = read_motion(path)
    assert share_near(per_frame(vectors, divided=True)) > 0.8
    assert median_of_moving(rasterise([vectors], 16, "both")) == pytest.approx(PAN, abs=0.25)


def interlaced(frames: int, dx: int, dy: int) -> list[np.ndarray]:
    """A pan whose odd lines are half a frame later."""
    fields = grey(scrolling(2 * frames, dx, dy))
    woven = [frame.copy() for frame in fields[::2]]
    for frame, later in zip(woven, fields[1::2], strict=True):
        frame[1::2] = later[1::2]
    return woven


@pytest.mark.parametrize("woven", [True, False])
def test_fields_of_h264_are_refused_by_name_and_their_pictures_are_not(tmp_path, woven):
    frames = interlaced(10, 3, 2) if woven else scrolling(10, 6, 4)
    path = encode(tmp_path / "tv.mp4", frames, "libx264", options={"x264-params": "tff=1"})
    with pytest.raises(
        VideoError, match=r"tv.mp4 \(h264\): its blocks may be coded as fields \(interlaced\).*reencoded"
    ):
        read_motion(path)
    assert video.read_frames(path, [9]).shape == (1, 144, 176, 3)
    again = read_grid(path, MotionOptions(source="reencoded"))
    assert len(again.mv) == 10


def test_what_is_only_called_interlaced_is_read(tmp_path):
    """Many cameras write progressive pictures into streams that allow fields."""
    path = encode(tmp_path / "psf.mp4", pan(), "libx264", options={"x264-params": "fake-interlaced=1:bframes=2"})
    with av.open(str(path)) as file:
        assert next(file.decode(video=0)).height == 144
    assert median_of_moving(rasterise([read_motion(path)], 16, "both")) == pytest.approx(PAN, abs=0.25)


@pytest.mark.parametrize(("codec", "ending"), [("mpeg2video", "ts"), ("mpeg4", "avi")])
def test_field_blocks_of_mpeg_are_left_out_where_they_are_few_and_said(tmp_path, caplog, codec, ending):
    options = {"flags": "+ildct+ilme", "qscale": "2", "g": "99"}
    frames = grey(scrolling(12, 6, 4))
    for frame, woven in zip(frames, interlaced(12, 5, -3), strict=True):
        frame[48:80, 48:96] = woven[48:80, 48:96]
    path = encode(tmp_path / f"tv.{ending}", frames, codec, options=options)
    plain = encode(tmp_path / f"plain.{ending}", frames, codec, options={"qscale": "2", "g": "99"})
    vectors = read_motion(path)
    assert not ((vectors.records["w"] == 16) & (vectors.records["h"] == 8)).any()
    assert 500 < vectors.offsets[-1] == len(vectors.records) < len(read_motion(plain).records)
    assert median_of_moving(rasterise([vectors], 16)) == pytest.approx((6, 4), abs=0.25)
    lost = vectors.field_blocks
    assert lost > 0
    files = [VideoFile("plain", plain), VideoFile("tv", path)]
    extract(files, tmp_path / "store", tmp_path / "work", MotionOptions(), jobs=1)
    words = f"1 videos lose blocks that are coded as fields (interlaced), {lost} in all; first tv, {lost} blocks"
    assert caplog.messages.count(words) == 1
    extract(files, tmp_path / "again", tmp_path / "work", MotionOptions(), jobs=1)
    assert caplog.messages.count(words) == 2, "what was found finished is said too"
    caplog.set_level("INFO")
    assert moclip(["motion", str(path), "--out", str(tmp_path / "tv.npz")]) == 0
    assert f"{lost} blocks left out that are coded as fields" in caplog.text


def test_a_film_of_field_blocks_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(video, "_MOST_FIELDS", 0.0)
    options = {"flags": "+ildct+ilme", "qscale": "2"}
    path = encode(tmp_path / "tv.avi", interlaced(12, 3, 2), options=options)
    with pytest.raises(VideoError, match=r"tv.avi \(mpeg4\): \d+% of what moves is coded as fields.*reencoded"):
        read_motion(path)


def test_field_pictures_of_mpeg2_are_refused_by_name(tmp_path):
    path = encode(tmp_path / "tv.m2v", pan(6), "mpeg2video", container="mpeg2video")
    content = bytearray(path.read_bytes())
    at = content.index(b"\0\0\1\xb5\x8f")
    content[at + 6] = content[at + 6] & ~3 | 1  # its picture structure: a top field
    path.write_bytes(content)
    with pytest.raises(VideoError, match=r"tv.m2v \(mpeg2video\): its blocks may be coded as fields"):
        read_motion(path)


def square(frames: int = 10) -> list[np.ndarray]:
    """A square of 64 px that moves by (3, 0) in a corner of a still picture of 320 x 240."""
    still, moving = grey([texture(240, 320), texture(64, 64, seed=1)])
    out = []
    for number in range(frames):
        frame = still.copy()
        frame[160:224, 192 + 3 * number : 256 + 3 * number] = moving
        out.append(frame)
    return out


@pytest.mark.parametrize(("left", "top"), [(96, 64), (32, 0), (16, 16), (2, 0), (0, 6), (18, 34), (102, 74)])
@pytest.mark.parametrize("cell_px", [8, 16])
def test_a_crop_moves_blocks_and_loses_no_visible_motion(tmp_path, left, top, cell_px):
    whole = encode(tmp_path / "whole.mp4", square(), "libx264", options={"bf": "0", "refs": "1", "crf": "15"})
    path = remux(whole, tmp_path / "cropped.mp4", f"h264_metadata=crop_left={left}:crop_top={top}")
    before, after = (rasterise([read_motion(one)], cell_px) for one in (whole, path))
    assert (after.width, after.height) == (320 - left, 240 - top)
    np.testing.assert_array_equal(video.read_frames(path, [5])[0], video.read_frames(whole, [5])[0][top:, left:])
    moving = [(grid.mv[..., 0] == 6) & (grid.mv[..., 1] == 0) for grid in (before, after)]
    per_frame = [cells.sum(axis=(1, 2))[1:] for cells in moving]
    assert (per_frame[1] >= 0.9 * per_frame[0]).all()
    for number in range(1, 10):
        places = np.argwhere(moving[1][number]) * cell_px
        low, high = places.min(axis=0), places.max(axis=0) + cell_px
        assert np.abs(low - (160 - top, 192 + 3 * number - left)).max() <= 16 + cell_px / 2
        assert np.abs(high - (224 - top, 256 + 3 * number - left)).max() <= 16 + cell_px / 2


def test_a_crop_that_changes_in_mid_film_is_refused(tmp_path):
    parts = []
    for left in (16, 32):
        stored = encode(tmp_path / "stored.mp4", scrolling(5, 1, 0, 192), "libx264", options={"bf": "0"})
        cropped = remux(stored, tmp_path / "cropped.mp4", f"h264_metadata=crop_left={left}:crop_right={32 - left}")
        parts.append(remux(cropped, tmp_path / "part.h264", "h264_mp4toannexb").read_bytes())
    path = tmp_path / "film.h264"
    path.write_bytes(b"".join(parts))
    with pytest.raises(VideoError, match=r"film.h264 .*its crop changes"):
        read_motion(path)


@pytest.mark.parametrize("options", [{}, {"flags": "+mv4"}])
def test_blocks_of_snow_lie_where_the_content_moves(tmp_path, options):
    still, moving = texture(240, 320), texture(64, 64, seed=1)
    frames = []
    for number in range(6):
        frame = still.copy()
        frame[96:160, 64 + 8 * number : 128 + 8 * number] = moving
        frames.append(frame)
    path = encode(tmp_path / "clip.avi", frames, "snow", options={"qscale": "2", **options})
    grid = rasterise([read_motion(path)], 8)
    y, x = np.argwhere((np.abs(grid.mv[4, ..., 0] - 16) <= 2) & (grid.mv[4, ..., 1] == 0)).T * 8
    assert (y.min(), y.max() + 8) in ((96, 160), (112, 160))
    assert (x.min(), x.max() + 8) == (96, 160)


def test_snow_names_its_reference(tmp_path):
    path = encode(tmp_path / "clip.avi", pan(10), "snow", options={"qscale": "2", "refs": "3"})
    vectors = read_motion(path)
    assert vectors.records["source"].min() < -1
    made = MotionVectors(
        records=vectors.records[:1].copy(),
        offsets=np.array([0, 1]),
        state=np.array([FrameState.VECTORS], dtype=np.uint8),
        past_frames=np.array([1], dtype=np.int32),
        future_frames=np.array([0], dtype=np.int32),
        width=16,
        height=16,
        fps=25.0,
        codec="snow",
    )
    for name, value in {"source": -3, "dst_x": 8, "dst_y": 8, "motion_x": -9 * 8, "motion_y": -12 * 8}.items():
        made.records[name] = value
    assert rasterise([made], 16).mv[0, 0, 0].tolist() == [6, 8]
    assert rasterise([made], 16, "backward", "as_coded").mv[0, 0, 0].tolist() == [18, 24]
