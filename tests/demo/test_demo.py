"""The generated demo data: UCF101's form, the pairing of appearance and movement, repeatable bytes, resuming."""

from collections import Counter
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import PictureType
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from ruamel.yaml import YAML

from moclip.base.errors import ParamsError
from moclip.base.files import sha256_file
from moclip.demo import dataset, stills
from moclip.demo.dataset import generator_digest, write_demo
from moclip.demo.figures import SHIN, THIGH, draw_rest, restless, skeleton, two_bone
from moclip.demo.movements import FIELDS, KEYS, MOVEMENTS, poses
from moclip.demo.render import Picture, draw_clip, draw_style
from moclip.demo.spec import APPEARANCES, PAIRS, DemoSpec, classes
from moclip.demo.stills import captioned_stills

MICRO = DemoSpec(seed=3, groups=3, clips_per_group=1, frames=8, width=96, height=80)
LISTS = Path("ucfTrainTestlist")


@pytest.fixture(scope="module")
def micro(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo")
    write_demo(out, MICRO, jobs=1)
    return out


def lines(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    assert text.endswith("\n")
    return text.splitlines()


def hashes(out: Path) -> dict[str, str]:
    files = (path for path in out.rglob("*") if path.is_file())
    return {str(path.relative_to(out)): sha256_file(path) for path in files}


def test_every_appearance_and_every_movement_belongs_to_exactly_two_classes() -> None:
    appearances, movements = zip(*PAIRS.values(), strict=True)
    assert set(Counter(appearances).values()) == {2} == set(Counter(movements).values())
    assert len(set(PAIRS.values())) == len(PAIRS) == 12
    assert set(appearances) == set(APPEARANCES)
    assert set(movements) <= set(MOVEMENTS)


def test_class_index_counts_from_one_in_class_order(micro: Path) -> None:
    expected = [f"{number} {name}" for number, name in enumerate(classes(), 1)]
    assert lines(micro / LISTS / "classInd.txt") == expected
    assert expected[0] == "1 BoxingFootwork"


def test_lists_have_ucf101_form_and_name_existing_videos(micro: Path) -> None:
    assert lines(micro / LISTS / "trainlist01.txt")[0] == "BoxingFootwork/v_BoxingFootwork_g02_c01.avi 1"
    assert lines(micro / LISTS / "testlist01.txt")[0] == "BoxingFootwork/v_BoxingFootwork_g01_c01.avi"
    on_disk = {path.relative_to(micro / "UCF-101").as_posix() for path in micro.rglob("*.avi")}
    for split in (1, 2, 3):
        train = [line.split(" ") for line in lines(micro / LISTS / f"trainlist0{split}.txt")]
        assert all(classes()[int(label) - 1] == path.split("/")[0] for path, label in train)
        test = lines(micro / LISTS / f"testlist0{split}.txt")
        assert sorted([path for path, _ in train] + test) == sorted(on_disk)


def test_test_lists_are_disjoint_and_together_cover_all(micro: Path) -> None:
    tested = [line for split in (1, 2, 3) for line in lines(micro / LISTS / f"testlist0{split}.txt")]
    assert len(tested) == len(set(tested)) == 12 * MICRO.groups * MICRO.clips_per_group


@given(st.integers(1, 33).map(lambda third: 3 * third))
def test_test_groups_partition_the_groups(groups: int) -> None:
    spec = DemoSpec(groups=groups)
    tested = [group for split in (1, 2, 3) for group in spec.test_groups(split)]
    assert tested == list(range(1, groups + 1))


def test_videos_are_mpeg4_with_the_asked_size_and_motion_vectors(micro: Path) -> None:
    path = micro / "UCF-101" / "TennisServe" / "v_TennisServe_g01_c01.avi"
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.options = {"flags2": "+export_mvs"}
        assert (stream.codec_context.name, stream.average_rate) == ("mpeg4", 25)
        assert (stream.width, stream.height) == (96, 80)
        frames = list(container.decode(stream))
    kinds = [PictureType(frame.pict_type).name for frame in frames]
    assert kinds == ["I"] + ["P"] * (MICRO.frames - 1)
    assert any(frame.side_data.get("MOTION_VECTORS") is not None for frame in frames)


def test_bytes_depend_on_the_seed_alone(micro: Path, tmp_path: Path) -> None:
    write_demo(tmp_path / "again", MICRO, jobs=2)
    assert hashes(tmp_path / "again") == hashes(micro)


def test_another_seed_gives_other_videos(tmp_path: Path) -> None:
    for seed in (1, 2):
        dataset._write_group(tmp_path / str(seed), DemoSpec(seed=seed, frames=2), ("CricketPull", 1))
    one, two = (set(hashes(tmp_path / seed).values()) for seed in ("1", "2"))
    assert len(one) == 4
    assert not one & two


def test_resuming_makes_only_what_is_missing(tmp_path: Path) -> None:
    spec = DemoSpec(groups=3, clips_per_group=2, frames=2, width=96, height=80)
    dataset._write_group(tmp_path, spec, ("DivingBounce", 1))
    first, second = sorted(tmp_path.rglob("*.avi"))
    before, kept = first.stat().st_mtime_ns, sha256_file(second)
    second.unlink()
    dataset._write_group(tmp_path, spec, ("DivingBounce", 1))
    assert first.stat().st_mtime_ns == before
    assert sha256_file(second) == kept


def test_an_interrupted_run_leaves_no_torn_video_and_no_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, *_: object, **__: object) -> None:
        path.write_bytes(b"half a video")
        raise OSError("disk full")

    monkeypatch.setattr(dataset, "encode", fail)
    with pytest.raises(OSError, match="disk full"):
        write_demo(tmp_path, MICRO, jobs=1)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"groups": 4}, "groups must be a positive multiple of 3.*got 4"),
        ({"groups": 0}, "groups must be a positive multiple of 3.*got 0"),
        ({"groups": 102}, "groups must have two digits at most, got 102"),
        ({"clips_per_group": 0}, "clips_per_group must be 1 to 99, got 0"),
        ({"frames": 1}, "frames must be at least 2, got 1"),
        ({"fps": 0}, "fps must be positive, got 0"),
        ({"width": 100}, "width must be a positive multiple of 16.*got 100"),
        ({"height": -16}, "height must be a positive multiple of 16.*got -16"),
        ({"seed": -1}, "seed must be 0 or more, got -1"),
    ],
)
def test_a_bad_spec_is_refused(change: dict[str, int], rule: str) -> None:
    with pytest.raises(ParamsError, match=rule):
        DemoSpec(**change)


def test_stills_are_repeatable_whatever_the_process_count() -> None:
    images, captions = captioned_stills(30, seed=5, size_px=32, jobs=1)
    again, same = captioned_stills(30, seed=5, size_px=32, jobs=2)
    np.testing.assert_array_equal(images, again)
    assert captions == same
    assert (images.shape, images.dtype) == ((30, 32, 32, 3), np.uint8)
    assert len(np.unique(images.reshape(30, -1), axis=0)) == 30


def test_stills_share_no_picture_with_the_videos_of_the_same_seed() -> None:
    images, _ = captioned_stills(72, seed=3, jobs=1)
    picture = stills.PICTURE
    for label, (appearance, movement) in enumerate(PAIRS.values()):
        seed = [dataset.VIDEO_STREAM, 3, label, 1]
        style = draw_style(APPEARANCES[appearance], np.random.default_rng(seed), picture)
        clip = draw_clip(style, movement, np.random.default_rng([*seed, 1]), 36, 25)
        frame = stills.square(clip.frame(18, picture), 64).astype(int)
        nearest = np.abs(images.astype(int) - frame).mean(axis=(1, 2, 3)).min()
        assert nearest > 8  # grey levels; two frames of one clip differ by about 2


def test_captions_name_the_appearance_and_never_the_movement() -> None:
    _, captions = captioned_stills(240, seed=1, size_px=8, jobs=1)
    words = {word for caption in captions for word in caption.strip(".").split()}
    template_words = {"a", "photo", "of", "frame", "video", "person", "with"}
    allowed = template_words.union(*(f"{a.thing} {a.place}".split() for a in APPEARANCES.values()))
    assert words == allowed


def test_prompts_cover_the_classes_in_the_words_of_the_captions() -> None:
    path = Path(dataset.__file__).with_name("prompts.yaml")
    prompts = YAML(typ="safe").load(path)
    assert list(prompts["phrases"]) == classes()
    for name, phrases in prompts["phrases"].items():
        appearance = APPEARANCES[PAIRS[name][0]]
        ending = f"with {appearance.thing} {appearance.place}"
        assert phrases
        assert all(phrase.startswith("a person ") and phrase.endswith(ending) for phrase in phrases)


@given(
    st.floats(-1, 1), st.floats(-1, 1), st.sampled_from([-1, 1])
)  # fmt: skip
def test_two_bone_limbs_keep_their_lengths_and_reach_what_is_near(x: float, y: float, bend: int) -> None:
    limb = two_bone((0.1, 0.5), (x, y), THIGH, SHIN, bend)
    upper, lower = np.subtract(limb.joint, limb.root), np.subtract(limb.end, limb.joint)
    assert np.hypot(*upper) == pytest.approx(THIGH)
    assert np.hypot(*lower) == pytest.approx(SHIN)
    distance = np.hypot(x - 0.1, y - 0.5)
    if THIGH - SHIN + 1e-3 < distance < THIGH + SHIN - 1e-3:
        assert limb.end == pytest.approx((x, y))


@pytest.mark.parametrize("name", MOVEMENTS)
def test_movements_are_cycles_of_known_fields_with_feet_above_ground(name: str) -> None:
    assert set(MOVEMENTS[name].keys) <= set(FIELDS)
    assert all(len(keys) == KEYS for keys in MOVEMENTS[name].keys.values())
    phase = np.linspace(0, 1, 49)
    rest = {field: np.zeros(49) for field in FIELDS}
    pose, later = poses(name, phase, rest), poses(name, phase + 2, rest)
    for field in FIELDS:
        np.testing.assert_allclose(pose[field], later[field], atol=1e-9)
    assert min(pose["near_foot_y"].min(), pose["far_foot_y"].min()) >= 0


@pytest.mark.parametrize("movement", sorted({movement for _, movement in PAIRS.values()}))
def test_athletes_stay_in_one_piece(movement: str) -> None:
    rng = np.random.default_rng(0)
    times_sec = np.arange(36) / 25
    pose = poses(movement, times_sec, restless(draw_rest(rng), rng, times_sec))
    for frame in range(36):
        joints = skeleton({field: float(values[frame]) for field, values in pose.items()})
        assert joints.head[1] > joints.chest[1] > joints.pelvis[1] > 0.1
        assert joints.near_leg.joint[0] > joints.near_leg.root[0] - 0.12  # knees bend forward


def test_pictures_have_the_asked_size() -> None:
    picture = Picture(112, 80)
    style = draw_style(APPEARANCES["dance"], np.random.default_rng(0), picture)
    frame = draw_clip(style, "jump", np.random.default_rng(1), 4, 25).frame(3, picture)
    assert isinstance(frame, Image.Image)
    assert (frame.size, frame.mode) == ((112, 80), "RGB")


def test_generator_digest_follows_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = generator_digest()
    assert digest == generator_digest()
    for path in Path(dataset.__file__).parent.glob("*.py"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(dataset, "__file__", str(tmp_path / "dataset.py"))
    assert generator_digest() == digest
    (tmp_path / "props.py").write_text("# changed\n", encoding="utf-8")
    assert generator_digest() != digest
