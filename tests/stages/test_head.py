"""The stages of all heads by their commands, on generated motion and features: what each leaves of a split."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from moclip.base.errors import DataError
from moclip.base.files import read_json, write_json
from moclip.data.manifest import Video, write_classes, write_manifest
from moclip.data.splits import Member, write_split
from moclip.heads import clip_probe
from moclip.heads.fitted import Fitted
from moclip.heads.mlp import Head
from moclip.heads.motion_permuted import permuted
from moclip.heads.registry import HEADS, module_of
from moclip.heads.train import Mlp
from moclip.params.run import repeat_seed
from moclip.results.halves import read_half_rows, read_halves
from moclip.results.intervals import Level
from moclip.results.predictions import read_predictions
from moclip.store.features import write_features
from moclip.training.history import read_history
from moclip.video.container import Container, write_container_table
from stages import _fits
from stages._fits import write_predictions_of
from stages._layout import evaluated, predicted, repeat_directory, repeats_in
from stages._streams import Sources
from stages.evaluate import write_results
from tests.support.imports import ROOT
from tests.support.motion_clips import CLASSES, TEST, TRAIN, VAL, write_clips
from tests.support.trained import run_stage, stages

MEMBERS = [*TRAIN.members, *VAL.members, *TEST.members]
HEAD_STAGES = ("train_motion", "zero_shot", "clip_probe", "fusion", "linear_probe", "metadata_only", "score_average")
CHOOSING = ("linear_probe", "metadata_only", "score_average")
SMALL: dict[str, dict[str, Any]] = {
    "motion": {"accumulate": "none", "window_frames": None},
    "motion_net": {"epochs": 1, "batch_videos": 8, "segments": 2, "eval_segments": 2},
    "fusion": {"epochs": 3, "hidden": 8, "batch_videos": 8},
    "seeds": {"heads": 2, "motion": 1},
}
CLIP_FACTS = {"model": "demo", "parameters": 10, "frame_macs": 1000}

# tests/graph/test_related.py runs the others.
LISTED: list[str] = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")["heads"]


def make(root: Path, members: list[Member], **changes: dict[str, Any]) -> Path:
    """All that the heads' stages read; CLIP's features tell the classes apart, and an encoder does too."""
    params = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")
    for name, values in (*SMALL.items(), *changes.items()):
        params[name] = params[name] | values
    (root / "params.yaml").write_text(json.dumps(params | {"splits": [1]}))
    data, ids = root / "data", [member.id for member in members]
    write_classes(data / "classes.csv", list(CLASSES))
    write_split(data / "splits/split1.csv", members)
    write_clips(data / "motion")
    rng, axes = np.random.default_rng(0), np.eye(2, 4)
    noise = rng.normal(0, 0.5, (len(ids), 4))
    write_features(data / "clip/images.npz", ids, axes[[member.label for member in members]] + noise)
    write_features(data / "clip/texts.npz", CLASSES, axes)
    write_json(data / "clip/encoder.json", {"logit_scale": 10.0, "frame": "middle", **CLIP_FACTS})
    rows = [Video(m.id, CLASSES[m.label], m.group, f"{m.id}.avi", 1, "0", "mpeg4", 25.0, 96, 64, 9) for m in members]
    write_manifest(data / "manifest.csv", rows)
    write_container_table(data / "containers.csv", {m.id: Container(f"T{m.label}", False, False, 12) for m in members})
    return root


@pytest.fixture(autouse=True)
def without_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a training takes so long that it would start to show itself."""
    monkeypatch.setenv("MOCLIP_LIVE_AFTER_S", "inf")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory after the stages of all heads."""
    root = make(tmp_path_factory.mktemp("heads"), MEMBERS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOCLIP_LIVE_AFTER_S", "inf")
        for name in HEAD_STAGES:
            run_stage(name, root)
    return root


def test_every_head_has_a_stage_here() -> None:
    usual = {name: stage for name, stage in stages().items() if "${related}" not in str(stage.get("matrix"))}
    written = {name for name, stage in usual.items() if "preds/" in str(stage.get("outs"))}
    assert set(HEAD_STAGES) == {name for name in written if "--preds" in usual[name]["cmd"]}


@pytest.mark.parametrize("head", LISTED)
def test_head_leaves_logits_epochs_and_itself(place: Path, head: str) -> None:
    files = predicted(place / "preds" / head, 1)
    for path, part in ((files.test, TEST), (files.val, VAL)):
        found = read_predictions(path)
        assert found.ids.tolist() == sorted(part.ids)
        assert found.classes.tolist() == list(CLASSES)
        assert dict(zip(found.ids, found.labels, strict=True)) == dict(zip(part.ids, part.labels, strict=True))
        assert dict(zip(found.ids, found.groups, strict=True)) == dict(zip(part.ids, part.groups, strict=True))
    assert bool(read_history(files.history)) == HEADS[head].has_epochs
    model = place / "models" / ("motion" if head == "motion_only" else head) / "split1"
    loaded = module_of(head).load(model)
    given = sources(place, head).videos(1)
    seen = permuted(given, (0, head, 1)) if head == "motion_permuted" else given
    logits = loaded.logits(seen.inputs("test")).astype(np.float32)
    np.testing.assert_allclose(logits, read_predictions(files.test).logits, rtol=1e-5, atol=1e-5)


def sources(place: Path, head: str) -> Sources:
    """What the stage of a head reads, by other words: paths by name."""
    data, preds = place / "data", place / "preds"
    streams = {"clip": data / "clip/images.npz", "motion": data / "motion_features"}
    if head == "score_average":
        streams = {"clip_predictions": preds / "clip_probe", "motion_predictions": preds / "motion_only"}
    if head == "metadata_only":
        streams = {"manifest": data / "manifest.csv", "containers": data / "containers.csv"}
    return Sources(data / "classes.csv", data / "splits", **streams)


def test_costs_are_those_of_a_head_and_of_the_networks_behind_it(place: Path) -> None:
    costs = {head: cost_of(place, head) for head in LISTED if head != "metadata_only"}
    assert not (place / "preds/metadata_only/cost.json").exists(), "no network runs"
    motion = costs["motion_only"]["trainable_parameters"]
    assert motion == read_json(place / "data/motion_features/split1.json")["parameters"]
    assert costs["zero_shot"] == {
        "trainable_parameters": 0,
        "trained_in_all": 0,
        "macs_per_video": 1000 + 2 * 4,
        "streams": {"clip": CLIP_FACTS},
    }
    for head in ("fusion", "motion_permuted"):
        assert costs[head]["trained_in_all"] == costs[head]["trainable_parameters"] + motion
        assert set(costs[head]["streams"]) == {"clip", "motion"}
    assert costs["score_average"]["trained_in_all"] == 1 + costs["clip_probe"]["trained_in_all"] + motion


def cost_of(place: Path, head: str) -> dict[str, Any]:
    return dict(read_json(place / "preds" / head / "cost.json"))


def test_choices_on_validation_are_recorded(place: Path) -> None:
    for head in CHOOSING:
        chosen = read_json(place / f"preds/{head}/chosen.json")["split1"]
        assert chosen["motion_weight" if head == "score_average" else "c"] in [
            one["setting"] for one in chosen["tried"]
        ]


def test_control_and_head_of_one_stage_differ_in_their_motion_alone(place: Path) -> None:
    fusion, control = (module_of(head).load(place / f"models/{head}/split1") for head in ("fusion", "motion_permuted"))
    assert fusion.head.config() == control.head.config()
    given = sources(place, "fusion").videos(1)
    assert (fusion.logits(given.inputs("test")) != control.logits(given.inputs("test"))).any()


def contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    yield from ((str(path.relative_to(folder)), path.read_bytes()) for path in folder.rglob("*.*"))


def test_every_head_that_draws_is_trained_as_often_as_seeds_says(place: Path) -> None:
    """Its repeats draw anew on the same streams; a head that draws nothing has those of what it is made of."""
    counted = {head: repeats_in(place / "preds" / head) for head in LISTED}
    drawing = {"clip_probe", "fusion", "motion_permuted"}
    assert counted == {head: 2 if head in drawing | {"score_average"} else 1 for head in LISTED}
    for head in drawing:
        first, second = (read_predictions(predicted(at, 1).test) for at in repeats(place / "preds" / head))
        assert first.ids.tolist() == second.ids.tolist()
        assert (first.logits != second.logits).any()
    assert not list((place / "models").glob("*/repeat*")), "models of repeats predict nothing"


def repeats(preds: Path) -> list[Path]:
    return [repeat_directory(preds, number) for number in range(repeats_in(preds))]


def test_first_training_is_that_of_a_single_one(place: Path, tmp_path: Path) -> None:
    root = make(tmp_path, MEMBERS, seeds={"heads": 1, "motion": 1})
    run_stage("clip_probe", root)
    assert repeats_in(root / "preds/clip_probe") == 1
    for folder in ("models/clip_probe", "preds/clip_probe"):
        own = dict(contents(root / folder))
        assert own == {name: data for name, data in contents(place / folder) if not name.startswith("repeat")}


def test_repeats_of_heads_take_those_of_the_motion_network_in_turn(place: Path, tmp_path: Path) -> None:
    root = make(tmp_path, MEMBERS, seeds={"heads": 3, "motion": 2})
    for name in ("train_motion", "clip_probe", "fusion", "score_average"):
        run_stage(name, root)
    counted = {head: repeats_in(root / "preds" / head) for head in ("motion_only", "fusion", "score_average")}
    assert counted == {"motion_only": 2, "fusion": 3, "score_average": 3}
    first, second = (sources(at, "fusion") for at in (place, root))
    of_motion = [second.of_repeat(number).videos(1).inputs("test")["motion"] for number in range(3)]
    assert (of_motion[0] == first.videos(1).inputs("test")["motion"]).all(), "the first network is the only one's"
    assert (of_motion[1] != of_motion[0]).any()
    assert (of_motion[2] == of_motion[0]).all()


def test_finished_trainings_are_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage that ends in its second training finds the first one done, and leaves what one that never ended would."""
    root = make(tmp_path, MEMBERS, seeds={"heads": 3, "motion": 1})
    fit, seeds = clip_probe.fit, []

    def watched(videos: Any, params: Any, seed: Any, **more: Any) -> Any:
        seeds.append(seed[0])
        if len(seeds) == 2:
            raise OSError("no space left")
        return fit(videos, params, seed, **more)

    monkeypatch.setattr(clip_probe, "fit", watched)
    with pytest.raises(OSError, match="no space left"):
        run_stage("clip_probe", root)
    assert not (root / "preds/clip_probe").exists()
    run_stage("clip_probe", root)
    assert seeds == [0, repeat_seed(0, 1), repeat_seed(0, 1), repeat_seed(0, 2)]
    assert repeats_in(root / "preds/clip_probe") == 3
    assert [path.name for path in (root / ".work").glob("fits-*/*")] == ["lock"]
    run_stage("clip_probe", root)
    assert len(seeds) == 7, "a stage that ended leaves nothing to take up"


def test_trainings_in_processes_of_their_own_give_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make(tmp_path, MEMBERS, seeds={"heads": 3, "motion": 1})
    run_stage("clip_probe", root)
    before = dict(contents(root / "preds/clip_probe"))
    fit, here = clip_probe.fit, []

    def watched(*given: Any, **more: Any) -> Any:
        here.append(given)
        return fit(*given, **more)

    monkeypatch.setattr(clip_probe, "fit", watched)
    monkeypatch.setattr(_fits, "WORTH_PROCESSES_S", 0.0)
    monkeypatch.setattr(_fits, "cores", lambda: 2)
    run_stage("clip_probe", root)
    assert len(here) == 1, "the first is trained here, the others are not"
    assert repeats_in(root / "preds/clip_probe") == 3
    assert dict(contents(root / "preds/clip_probe")) == before


def test_second_run_leaves_the_same_bytes(place: Path) -> None:
    before = [dict(contents(place / folder)) for folder in ("models/fusion", "preds/fusion", "preds/motion_permuted")]
    run_stage("fusion", place)
    after = [dict(contents(place / folder)) for folder in ("models/fusion", "preds/fusion", "preds/motion_permuted")]
    assert after == before


@pytest.mark.parametrize("changes", [{"views": 2}, {"online": True, "backbone_statistics": "drift"}], ids=str)
def test_fusion_finds_the_network_and_its_fields_for_motion_that_changes(
    place: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    root = make(tmp_path, MEMBERS, fusion=SMALL["fusion"] | changes)
    (root / "models").mkdir()
    for name in ("models/motion", "data/motion_features"):
        (root / name).symlink_to(place / name)
    run_stage("fusion", root)
    plain, changed = (read_history(predicted(at / "preds/fusion", 1).history) for at in (place, root))
    assert len(changed) == len(plain)
    assert [epoch["train_loss"] for epoch in changed] != [epoch["train_loss"] for epoch in plain]
    assert (root / "models/fusion/split1/motion").is_dir() == ("online" in changes), "a drifted network is kept"
    control, before = (at / "preds/motion_permuted/split1.npz" for at in (root, place))
    assert control.read_bytes() == before.read_bytes(), "the control takes cached features"


def test_nothing_need_be_held_out_for_validation(tmp_path: Path) -> None:
    """Each head predicts an empty val part; one that would choose there says what to do instead."""
    members = [member for member in MEMBERS if member.part != "val"]
    one = {"c_values": [1.0]}
    given = {"linear_probe": one, "metadata_only": one, "score_average": {"motion_weight": 0.5}}
    select = {name: SMALL[name] | {"select": "last"} for name in ("fusion", "motion_net")}
    root = make(tmp_path, members, **given, **select)
    for name in HEAD_STAGES:
        run_stage(name, root)
    for head in LISTED:
        files = predicted(root / "preds" / head, 1)
        assert read_predictions(files.val, may_be_empty=True).logits.shape == (0, 2)
        assert len(read_predictions(files.test).ids) == len(TEST.ids)
    (root / "params.yaml").write_text(
        (root / "params.yaml").read_text().replace('"motion_weight": 0.5', '"motion_weight": null')
    )
    with pytest.raises(DataError, match=r"score_average\.motion_weight: null chooses the weight on validation"):
        run_stage("score_average", root)


@dataclass
class OfSome(Fitted):
    """A head that saw the first class alone, and is read beside one that always says the second."""

    seen = (CLASSES[0],)
    streams = ("clip",)

    def logits(self, inputs: Any) -> np.ndarray:
        return np.tile([1.0, 0.0], (len(inputs["clip"]), 1))

    def beside(self, inputs: Any) -> dict[str, np.ndarray]:
        return {"other": np.tile([0.0, 1.0], (len(inputs["clip"]), 1))}

    def save(self, directory: Path) -> None: ...

    def cost(self) -> None: ...


def test_head_that_saw_some_classes_leaves_its_halves_and_others_none(place: Path, tmp_path: Path) -> None:
    videos = Sources(place / "data/classes.csv", place / "data/splits", clip=place / "data/clip/images.npz").videos(1)
    write_predictions_of(OfSome(), videos, tmp_path / "preds/own", 1)
    given = predicted(tmp_path / "preds/own", 1)
    found = read_halves(given.halves)
    assert (found.seen, list(found.logits)) == ([CLASSES[0]], ["other", "own"])
    made = evaluated(tmp_path / "results", 1)
    write_results("own", 1, given, made, Level(confidence_pct=95.0, fdr_pct=5.0))
    rows = read_half_rows(made.halves)
    labels = Counter(row.half for row in rows if row.model == "own")
    assert labels == {
        "seen": sum(m.label == 0 for m in TEST.members),
        "unseen": sum(m.label == 1 for m in TEST.members),
    }
    assert all(row.predicted == row.actual for row in rows), "one class a half"
    assert not predicted(place / "preds/zero_shot", 1).halves.exists()


@pytest.mark.parametrize(("told", "warned"), [({}, True), ({"clip": None}, False)])
def test_a_cost_that_a_stage_is_not_told_is_left_out_with_a_warning(
    told: dict[str, Any], warned: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody knows, as of features that somebody brought, is left out without one."""
    monkeypatch.setattr(Sources, "accounts", lambda self, split: told)
    probe = Mlp(Head({"clip": 4}, 0, 2))
    assert _fits.account_of(probe, Sources.__new__(Sources), 1) is None
    assert ("not told what stream clip costs" in caplog.text) == warned
