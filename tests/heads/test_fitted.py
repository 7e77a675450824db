"""What every head keeps of the one interface: fitted on tiny streams, saved, loaded, asked again, and its cost."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from moclip.data.facts import FactsByVideo
from moclip.data.splits import PARTS, Split
from moclip.heads import motion_only
from moclip.heads.fitted import Account, ClassTexts, Cost, Fitted, Videos, total
from moclip.heads.registry import HEADS, module_of, settings_of
from moclip.motion.sampler import FieldSampler
from moclip.params.section import validated
from moclip.store.features import Features
from tests.support.frames import FACTS, Array
from tests.support.imports import ROOT
from tests.support.motion_clips import CLASSES, MOTION, TEST, TRAIN, VAL, write_clips
from tests.support.motion_clips import SEED as MOTION_SEED
from tests.support.motion_clips import params as net_params
from tests.support.streams import MEMBERS, split_of, two_streams

PARAMS: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")
SMALLER = {"fusion": {"hidden": 8, "epochs": 2}, "tokens": {"epochs": 2, "width": 16}, "multiway": {"epochs": 2}}
FRAMES, PLACES = 4, 2
LOGITS = ("score_average",)  # heads whose streams are other heads' logits
# Tested with a network of their own: tests/motion/test_train.py, tests/heads/test_evl.py and test_open_vclip.py.
MOTION_NETWORKS = ("motion_mcl", "motion_vit", "motion_mae")  # trained by the stage that trains motion_only
OF_NETWORKS = ("motion_only", "evl", "open_vclip", *MOTION_NETWORKS)
HERE = [head for head in HEADS if head not in ("evl", "open_vclip", *MOTION_NETWORKS)]
ON_FRAMES = (
    "frames_zero_shot",
    "frames_probe",
    "prompt_guided",
    "resampler",
    "group_resampler",
    "token_projector",
    "multiway",
)
HIDDEN, CLIP, MOTION_WIDTH, K = 8, 4, 5, 4
IN_ALL = CLIP + MOTION_WIDTH
COSTS = {
    "zero_shot": Cost(0, CLIP * K),
    "clip_probe": Cost(CLIP * HIDDEN + HIDDEN + HIDDEN * K + K, CLIP * HIDDEN + HIDDEN * K),
    "linear_probe": Cost(CLIP * K + K, CLIP * K),
    "metadata_only": None,
    "score_average": Cost(1, 0),
    "motion_permuted": Cost(IN_ALL * HIDDEN + HIDDEN + HIDDEN * K + K, IN_ALL * HIDDEN + HIDDEN * K),
    "fusion": Cost(IN_ALL * HIDDEN + HIDDEN + HIDDEN * K + K, IN_ALL * HIDDEN + HIDDEN * K),
}
COSTS["evl_fusion"] = COSTS["fusion"]  # on streams of these widths


def given(head: str) -> Videos:
    """The videos with all streams that this head may take."""
    facts = {member.id: {"encoder": f"T{member.label % 2}", "frames": 30 + i} for i, member in enumerate(MEMBERS)}
    features = two_streams()
    streams: dict[str, Any] = {**features, "appearance": features["clip"], "container": FactsByVideo(facts)}
    if head in LOGITS:
        rng, ids = np.random.default_rng(0), np.array([member.id for member in MEMBERS])
        streams |= {name: Features(name, ids, rng.normal(size=(len(ids), K))) for name in ("clip", "motion")}
    rng, count = np.random.default_rng(1), len(MEMBERS)
    frames = {"frames": (CLIP,), "grid": (PLACES, PLACES, CLIP), "motion_frames": (1, 1, MOTION_WIDTH)}
    ids = [member.id for member in MEMBERS]
    streams |= {name: Array(ids, rng.normal(size=(count, FRAMES, *row)), FACTS) for name, row in frames.items()}
    return Videos(split_of(), streams, ClassTexts(np.eye(K, CLIP, dtype=np.float32), 100.0))


def fit_motion(path: Path) -> tuple[motion_only.MotionOnly, Videos]:
    split = Split([*TRAIN.members, *VAL.members, *TEST.members], CLASSES)
    sampler = FieldSampler(write_clips(path), MOTION, net_params(epochs=1))
    fitted = motion_only.fit(sampler, split, MOTION_SEED)
    features, _ = motion_only.describe(fitted, sampler, split, MOTION_SEED)
    return fitted, Videos(split, {"motion": features})


def settings(head: str) -> Any:
    """Those of params.yaml, but for `SMALLER`."""
    section = HEADS[head].section
    return section and validated(section, settings_of(head), PARAMS[section] | SMALLER.get(section, {}))


def fit(head: str, path: Path) -> tuple[Fitted, Videos]:
    if head == "motion_only":
        return fit_motion(path / "motion")
    videos = given(head)
    return module_of(head).fit(videos, settings(head), (0, head, 1)), videos


def files(folder: Path) -> Iterator[tuple[str, bytes]]:
    yield from ((path.relative_to(folder).as_posix(), path.read_bytes()) for path in sorted(folder.rglob("*.*")))


@pytest.mark.parametrize("head", HERE)
def test_head_that_is_loaded_answers_as_the_one_that_was_saved(head: str, tmp_path: Path) -> None:
    fitted, videos = fit(head, tmp_path)
    fitted.save(tmp_path / "one")
    loaded = module_of(head).load(tmp_path / "one")
    assert loaded.streams == fitted.streams
    inputs = fitted.sees(videos).inputs("test")
    logits = fitted.logits(inputs)
    assert logits.shape == (len(videos.split.part("test").ids), len(videos.split.classes))
    assert np.isfinite(logits).all()
    np.testing.assert_array_equal(loaded.logits(inputs), logits, strict=True)
    loaded.save(tmp_path / "two")
    weights = {name: content for name, content in files(tmp_path / "one") if not name.endswith(".json")}
    assert weights == {name: content for name, content in files(tmp_path / "two") if not name.endswith(".json")}


@pytest.mark.parametrize("head", [*COSTS, *ON_FRAMES])
def test_fit_is_repeatable_and_looks_at_no_test_video(head: str, tmp_path: Path) -> None:
    """Of the motion network, tests/motion/test_train.py says the same."""
    fitted, videos = fit(head, tmp_path)
    fitted.save(tmp_path / "one")
    swapped = [replace(m, label=(m.label + 1) % K) if m.part == "test" else m for m in videos.split.members]
    other = replace(videos, split=split_of(swapped))
    module_of(head).fit(other, settings(head), (0, head, 1)).save(tmp_path / "two")
    assert dict(files(tmp_path / "one")) == dict(files(tmp_path / "two"))


@pytest.mark.parametrize("head", HERE)
def test_no_video_has_no_row(head: str, tmp_path: Path) -> None:
    """Without a validation group the val part is empty, and a stage asks for its logits all the same."""
    fitted, videos = fit(head, tmp_path)
    none = replace(videos, split=videos.split.part("nothing"))
    assert fitted.logits(fitted.sees(none).inputs("val")).shape == (0, len(videos.split.classes))


@pytest.mark.parametrize("head", COSTS)
def test_cost_of_a_head_is_its_formula(head: str, tmp_path: Path) -> None:
    assert fit(head, tmp_path)[0].cost() == COSTS[head]


def test_cost_of_the_motion_network_counts_every_field(tmp_path: Path) -> None:
    fitted, _ = fit_motion(tmp_path / "motion")
    cost = fitted.cost()
    assert cost.parameters == sum(parameter.numel() for parameter in fitted.net.parameters())
    assert fitted.field == (4, 6)
    assert cost.macs == 3 * fitted.input_macs() > 0, "three segments, one crop"
    assert set(HEADS) == {*COSTS, *OF_NETWORKS, *ON_FRAMES}


def test_a_head_is_in_epochs_or_chosen_or_neither_as_its_row_says(tmp_path: Path) -> None:
    chosen = set()
    for head, spec in HEADS.items():
        if head not in OF_NETWORKS:
            fitted, _ = fit(head, tmp_path)
            assert bool(fitted.history) == spec.has_epochs
            chosen |= {head} if fitted.choice is not None else set()
    assert chosen == {"metadata_only", "linear_probe", "score_average"}


def test_account_adds_what_a_head_builds_on() -> None:
    clip = Account.of_clip({"model": "demo", "parameters": 10, "frame_macs": 1000})
    motion = Account.of_motion({"parameters": 20, "inputs": 8, "input_macs": 30})
    assert (clip.trained_in_all, clip.macs_per_video) == (0, 1000), "CLIP is frozen"
    assert (motion.trained_in_all, motion.macs_per_video) == (20, 240)
    found = total(Cost(5, 7), [clip, motion])
    assert asdict(found) == {
        "trainable_parameters": 5,
        "trained_in_all": 25,
        "macs_per_video": 1247,
        "streams": {
            "clip": {"model": "demo", "parameters": 10, "frame_macs": 1000},
            "motion": {"parameters": 20, "inputs": 8, "input_macs": 30},
        },
    }
    assert total(Cost(1, 0), []) == Account(1, 1, 0, {})


def test_parts_are_seen_by_name() -> None:
    videos = given("fusion")
    assert [len(videos.inputs(part)["clip"]) for part in PARTS] == [48, 16, 16]
