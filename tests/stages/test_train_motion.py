"""The stage as DVC runs it: splits side by side give the bytes of one after the other, and nothing is done twice."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from ruamel.yaml import YAML

from moclip.data.manifest import write_classes
from moclip.data.splits import write_split
from moclip.training.history import optimism_points, read_history
from stages import _entry
from stages._motion_split import Task
from tests.support.forks import programs
from tests.support.imports import ROOT
from tests.support.motion_clips import CLASSES, TEST, TRAIN, VAL, write_clips
from tests.support.motion_stage import STATES
from tests.support.processes import has_ended
from tests.support.tracking import until

HEAD = "motion_only"
EPOCHS = 12
MEMBERS = [*TRAIN.members, *VAL.members, *TEST.members]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A working directory with what the stage reads."""
    write_params(tmp_path, [1])
    for split in (1, 2):
        write_split(tmp_path / f"splits/split{split}.csv", MEMBERS)
    write_classes(tmp_path / "classes.csv", CLASSES)
    write_clips(tmp_path / "motion")
    return tmp_path


def write_params(place: Path, splits: list[int]) -> None:
    yaml = YAML()
    params = yaml.load(ROOT / "params.yaml")
    params["splits"] = splits
    params["motion_net"].update(epochs=EPOCHS, batch_videos=4, eval_segments=2, select="test")
    params["motion"].update(accumulate="none", window_frames=None)
    yaml.dump(params, place / "params.yaml")


def words(out: str) -> list[str]:
    inputs = ["--head", HEAD, "--classes", "classes.csv", "--splits", "splits", "--motion", "motion"]
    outputs = ["--model", f"{out}/model", "--features", f"{out}/features", "--preds", f"{out}/preds"]
    return ["python", "-m", "tests.support.motion_stage", *inputs, *outputs]


def environment(place: Path, cores: int, **own: str) -> dict[str, str]:
    own |= {"PYTHONPATH": str(ROOT), "DVC_ROOT": str(place), "CORES": str(cores)}
    own["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "MOCLIP_VERBOSE": "1", "MOCLIP_LIVE_AFTER_S": "inf", **own}


def in_fork(environment: dict[str, str]) -> dict[str, str]:
    """So that the stage's process loads no library anew; signals do not reach it there."""
    folder = programs()
    return environment | {"PATH": os.pathsep.join([str(folder), environment["PATH"]])} if folder else environment


def finished(place: Path, out: str, cores: int = 1) -> str:
    env = in_fork(environment(place, cores))
    done = subprocess.run(words(out), cwd=place, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


def outputs(place: Path, out: str) -> Mapping[str, bytes]:
    """All files that the stage wrote, by name."""
    paths = [path for path in (place / out).rglob("*") if path.is_file()]
    assert paths
    return {path.relative_to(place / out).as_posix(): path.read_bytes() for path in paths}


def killed_after(place: Path, out: str, line: str) -> None:
    """Start the stage, and kill it as soon as it logs `line`."""
    process = subprocess.Popen(words(out), cwd=place, env=environment(place, 1), stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    with process.stderr as log:
        assert any(line in logged for logged in log), "ended before it could be killed"
        process.kill()
        process.wait(60)
    assert process.returncode == -signal.SIGKILL
    assert not (place / out).exists()


def test_killed_stage_ends_with_the_bytes_of_an_undisturbed_one(place: Path) -> None:
    killed_after(place, "out", "epoch 4:")
    (state,) = place.glob(".work/*/state.pt")
    log = finished(place, "out")
    assert "SELECT: TEST" in log
    assert f"epoch {EPOCHS - 1}:" in log
    assert "goes on after epoch" in log
    assert "epoch 0:" not in log
    assert not state.exists(), "removed when done"
    (place / ".work").rename(place / "work of the disturbed one")
    undisturbed = finished(place, "undisturbed")
    assert "epoch 0:" in undisturbed
    assert outputs(place, "out") == outputs(place, "undisturbed")
    history = read_history(place / "out/preds/split1_history.csv")
    assert [epoch.epoch for epoch in history] == list(range(EPOCHS))
    assert optimism_points(history) is not None


def test_splits_side_by_side_give_the_bytes_of_one_after_the_other(place: Path) -> None:
    write_params(place, [1, 2])
    log = finished(place, "both", cores=2)
    assert log.count("epoch 0:") == 2, "processes say what they do as the stage does"
    (place / ".work").rename(place / "work of both")
    finished(place, "one by one")
    assert outputs(place, "both") == outputs(place, "one by one")
    names = {name.split("/")[-1] for name in outputs(place, "both")}
    assert {"split1.npz", "split2.npz", "split2_val.npz", "split2_history.csv", "cost.json"} <= names
    one, other = (outputs(place, "both")[f"features/split{split}.npz"] for split in (1, 2))
    assert one != other, "each split draws for itself"


def test_further_split_and_a_second_run_repeat_nothing_that_is_done(place: Path) -> None:
    finished(place, "first")
    write_params(place, [1, 2])
    log = finished(place, "second", cores=2)
    assert log.count("epoch 0:") == 1, "split 1 is taken as it is"
    first, second = outputs(place, "first"), outputs(place, "second")
    assert {name: second[name] for name in first} == first
    assert "epoch 0:" not in finished(place, "third")
    assert outputs(place, "third") == second


def test_failing_split_ends_the_others_with_its_message(place: Path) -> None:
    write_params(place, [1, 2])
    env = in_fork(environment(place, 2, FAILS="2", MOCLIP_VERBOSE=""))
    done = subprocess.run(words("out"), cwd=place, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "error: split 2 was made to fail\n" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (place / "out").exists()


def splits_of(stage: int) -> list[psutil.Process]:
    """The processes of the splits."""
    children = psutil.Process(stage).children()
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["a split is killed", "Ctrl-C"])
def test_split_that_is_killed_or_ctrl_c_ends_the_stage_and_what_was_done_is_kept(
    place: Path, how: signal.Signals
) -> None:
    write_params(place, [1, 2])
    with subprocess.Popen(
        words("out"),
        cwd=place,
        env=environment(place, 2, MOCLIP_VERBOSE="", MEETS="1"),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    ) as stage:
        until(lambda: len(list(place.glob(STATES))) == 2, "both splits to keep a state")
        splits = splits_of(stage.pid)
        if how is signal.SIGKILL:
            splits[0].kill()
        else:
            os.killpg(stage.pid, how)  # as a terminal does
        _, log = stage.communicate(timeout=300)
    if how is signal.SIGKILL:
        assert stage.returncode == 1
        assert "its process was ended by SIGKILL" in log
    else:
        assert stage.returncode == 130
        assert log.splitlines()[-1] == "interrupted"
        assert log.count("interrupted") == 1
    assert "Traceback" not in log
    assert "resource_tracker" not in log
    assert not (place / "out").exists()
    assert len(splits) == 2
    for process in splits:
        until(lambda pid=process.pid: has_ended(pid), "the splits to end")
    log = finished(place, "out", cores=2)
    assert log.count("goes on after epoch") + log.count("epoch 0:") <= 2
    assert "goes on after epoch" in log


def task(split: int = 1, head: str = HEAD) -> Task:
    return Task(head, split, Path("classes.csv"), Path("splits/split1.csv"), Path("motion"))


def test_each_training_knows_which_of_how_many_it_is(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    write_params(place, [1, 3])
    params = YAML().load(place / "params.yaml")
    params["seeds"] = {"heads": 5, "motion": 5}
    YAML().dump(params, place / "params.yaml")
    _entry.all_params.cache_clear()
    trainings = [replace(task(split), repeat=repeat) for repeat in range(5) for split in (1, 3)]
    assert [one.place for one in trainings] == [(number, 10) for number in range(1, 11)]


def test_finished_work_belongs_to_one_training_alone(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inputs, parameters, hardware, seed, split and code: what differs in any of them starts over."""
    monkeypatch.chdir(place)

    def key(split: int = 1, **changes: Any) -> Path:
        """The directory with some of params.yaml's values changed."""
        write_params(place, [1])
        params = YAML().load(place / "params.yaml")
        for name, value in changes.items():
            params[name] = {**params[name], **value} if isinstance(value, dict) else value
        YAML().dump(params, place / "params.yaml")
        _entry.all_params.cache_clear()
        return task(split).work()

    changes: list[dict[str, Any]] = [
        *({}, {"seed": 1}, {"motion_net": {"lr": 0.02}}, {"motion": {"accumulate": "gop"}}),
        {"compute": {"channels_last": True}},
    ]
    keys = [*(key(**changed) for changed in changes), key(split=2)]
    assert key() == keys[0]
    split = place / "splits/split1.csv"
    before = split.read_text()
    split.write_text(before.replace(",val", ",train"))
    keys.append(key())
    split.write_text(before)
    monkeypatch.setattr("stages._motion_split.running_code", lambda script: "other code")
    assert len({*keys, key()}) == len(changes) + 3
    _entry.all_params.cache_clear()


def small(place: Path, **sections: dict[str, Any]) -> None:
    """Parameters of a pretraining of seconds."""
    write_params(place, [1])
    params = YAML().load(place / "params.yaml")
    params["motion_vit"].update(segments=2, patch=1, width=16, epochs=2)
    params["motion_mae"].update(epochs=3, decoder_width=16, batch_videos=8)
    params["motion_mcl"].update(epochs=3, batch_videos=8, queue=16)
    for name, values in sections.items():
        params[name].update(values)
    YAML().dump(params, place / "params.yaml")
    _entry.all_params.cache_clear()


def head_words(out: str, head: str) -> list[str]:
    """The command of a head with a network of its own, whose features nobody takes."""
    given = words(out)
    given[given.index("--head") + 1] = head
    place = given.index("--features")
    return [*given[:place], *given[place + 2 :]]


@pytest.mark.parametrize(("head", "method"), [("motion_mcl", "mcl"), ("motion_vit", None), ("motion_mae", "mae")])
def test_head_with_a_network_of_its_own_is_what_the_parameters_make_of_motion_only(
    place: Path, head: str, method: str | None
) -> None:
    """Side by side in one run, or by `motion_pretrain.method` and `arch`: the same bytes."""
    small(place)
    env = in_fork(environment(place, 1))
    done = subprocess.run(head_words("own", head), cwd=place, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    arch = "small" if head == "motion_mcl" else "vit"
    small(place, motion_net={"arch": arch}, motion_pretrain={"method": method or "none"})
    (place / ".work").rename(place / "work of the head")
    finished(place, "by parameters")
    by_parameters = dict(outputs(place, "by parameters"))
    own = dict(outputs(place, "own"))
    costs = [json.loads(files.pop("preds/cost.json")) for files in (own, by_parameters)]
    assert own == {name: content for name, content in by_parameters.items() if not name.startswith("features/")}
    assert costs[0].pop("streams")[head] == costs[1].pop("streams")["motion"]
    assert costs[0] == costs[1]
    assert ("model/split1/pretraining.csv" in own) == (method is not None)
    if method is not None:
        assert len(read_history(place / "own/model/split1/pretraining.csv")) == 3


def test_pretraining_is_done_once_for_all_trainings_that_take_it_up(place: Path) -> None:
    small(place, motion_pretrain={"method": "mcl"})
    finished(place, "all layers")
    (kept,) = place.glob(".work/pretrain_motion-*/finished/learnt.safetensors")
    before = kept.stat().st_mtime_ns
    small(place, motion_pretrain={"method": "mcl"}, motion_net={"train": "classifier", "lr": 0.02})
    finished(place, "classifier alone")
    assert list(place.glob(".work/pretrain_motion-*/finished/learnt.safetensors")) == [kept]
    assert kept.stat().st_mtime_ns == before
    one, other = (outputs(place, out)["model/split1/model.safetensors"] for out in ("all layers", "classifier alone"))
    assert one != other


def test_what_a_training_does_not_read_starts_nothing_anew(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    small(place)
    plain = task().work()
    small(
        place,
        motion_mcl={"epochs": 9},
        motion_mae={"epochs": 9},
        motion_vit={"depth": 3},
        motion_pretrain={"videos": "all"},
    )
    assert task().work() == plain, "without a method its parameters do not count"
    small(place, motion_pretrain={"method": "mcl"})
    by_mcl, before = task().work(), task().work_before()
    assert by_mcl != plain
    small(place, motion_pretrain={"method": "mcl"}, motion_net={"lr": 0.02})
    assert task().work() != by_mcl
    assert task().work_before() == before
    small(place, motion_pretrain={"method": "mcl", "videos": "all"})
    assert task().work_before() != before
    _entry.all_params.cache_clear()
