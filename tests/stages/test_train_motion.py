"""The stage as DVC runs it: killed in the middle, it ends with the bytes of a run that nobody disturbed."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ruamel.yaml import YAML

from moclip.data.manifest import Video, write_classes, write_manifest
from moclip.data.splits import Member, write_split
from moclip.motion.sampler import FieldSampler
from moclip.motion.store import MotionStore
from moclip.training.device import ON_CPU, Compute
from moclip.training.history import optimism_points, read_history
from stages.train_motion import training_key
from tests.support.imports import ROOT
from tests.support.motion_clips import MOTION, TEST, TRAIN, VAL, params, write_clips

OUTPUTS = ("model/model.safetensors", "model/config.json", "features.npz", "history.csv", "preds.npz", "val_preds.npz")
EPOCHS = 12
# Small epochs would share one state in half a minute.
PROGRAM = """
import moclip.training.checkpoint
moclip.training.checkpoint.SAVE_EVERY_S = 0.0
from stages._entry import run
from stages.train_motion import main
run(main)
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A working directory with what the stage reads."""
    yaml = YAML()
    params = yaml.load(ROOT / "params.yaml")
    params["motion_net"].update(epochs=EPOCHS, batch_videos=4, eval_segments=2, select="test")
    params["motion"].update(accumulate="none", window_frames=None)
    yaml.dump(params, tmp_path / "params.yaml")
    members = [*TRAIN.members, *VAL.members, *TEST.members]
    write_split(tmp_path / "split1.csv", members)
    write_classes(tmp_path / "classes.csv", ["down", "up"])
    write_manifest(tmp_path / "manifest.csv", [video_row(member) for member in members])
    write_clips(tmp_path / "motion")
    return tmp_path


def video_row(member: Member) -> Video:
    return Video(member.id, "-", f"g{member.id}", f"{member.id}.avi", 1, "0" * 64, "mpeg4", 25.0, 96, 64, 9)


def words(out: str) -> list[str]:
    inputs = ["--manifest", "manifest.csv", "--classes", "classes.csv", "--split", "split1.csv", "--motion", "motion"]
    outputs = ["--model", f"{out}/model", "--features", f"{out}/features.npz"]
    outputs += ["--history", f"{out}/history.csv", "--preds", f"{out}/preds.npz", "--val-preds", f"{out}/val_preds.npz"]
    return [sys.executable, "-c", PROGRAM, *inputs, *outputs, "--number", "1"]


def environment(place: Path) -> dict[str, str]:
    own = {"PYTHONPATH": str(ROOT), "DVC_ROOT": str(place), "MOCLIP_VERBOSE": "1", "MOCLIP_LIVE_AFTER_S": "inf"}
    return {**os.environ, **own}


def finished(place: Path, out: str) -> str:
    done = subprocess.run(words(out), cwd=place, env=environment(place), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


def killed_after(place: Path, out: str, line: str) -> None:
    """Start the stage, and kill it as soon as it logs `line`."""
    process = subprocess.Popen(words(out), cwd=place, env=environment(place), stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    with process.stderr as log:
        assert any(line in logged for logged in log), "ended before it could be killed"
        process.kill()
        process.wait(60)
    assert process.returncode == -signal.SIGKILL
    assert not (place / out).exists()


def test_killed_stage_ends_with_the_bytes_of_an_undisturbed_one(place: Path) -> None:
    undisturbed = finished(place, "undisturbed")
    assert "SELECT: TEST" in undisturbed
    assert f"epoch {EPOCHS - 1}:" in undisturbed
    assert not list(place.glob(".work/*/state.pt")), "removed when done"
    killed_after(place, "out", "epoch 4:")
    (state,) = place.glob(".work/*/state.pt")
    log = finished(place, "out")
    assert "goes on after epoch" in log
    assert "epoch 0:" not in log
    assert not state.exists()
    for name in OUTPUTS:
        assert (place / "out" / name).read_bytes() == (place / "undisturbed" / name).read_bytes(), name
    history = read_history(place / "out/history.csv")
    assert [epoch.epoch for epoch in history] == list(range(EPOCHS))
    assert optimism_points(history) is not None


def test_state_belongs_to_one_training_alone(place: Path) -> None:
    """Inputs, parameters, hardware, seed and split: what differs in any of them starts over."""
    store = MotionStore.open(place / "motion")
    args = SimpleNamespace(classes=place / "classes.csv", split=place / "split1.csv")

    def key(seed: int = 0, split: int = 1, compute: Compute = ON_CPU, **changes: Any) -> str:
        sampler = FieldSampler(store, MOTION, params(**changes), compute)
        return training_key(args, store.digest, sampler, (seed, "motion", split))

    keys = [key(), key(seed=1), key(split=2), key(lr=0.02), key(compute=Compute(channels_last=True))]
    assert key() == keys[0]
    (place / "split1.csv").write_text((place / "split1.csv").read_text().replace(",val", ",train"))
    assert len({*keys, key()}) == 6
