"""Trainings that ranks share, by torchrun: the bytes of one process, over machines that meet, and after a kill."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from moclip.base.errors import MoclipError, ParamsError
from moclip.data.manifest import write_classes
from moclip.data.splits import write_split
from stages import _entry, _ranks
from stages._motion_split import Task, finished, train
from stages._ranks import Asked, asked
from tests.support.imports import ROOT
from tests.support.motion_clips import CLASSES, TEST, TRAIN, VAL, write_clips
from tests.support.trees import content

TASK = Task("motion_only", 1, Path("classes.csv"), Path("split1.csv"), Path("motion"))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a training reads: 15 videos in batches of 8 and 7, of which the second has three parts."""
    place = tmp_path_factory.mktemp("inputs")
    yaml = YAML()
    params = yaml.load(ROOT / "params.yaml")
    params["splits"] = [1]
    params["motion_net"].update(epochs=5, batch_videos=8, batch_parts=4, segments=2, eval_segments=2)
    params["motion"].update(accumulate="none", window_frames=None)
    yaml.dump(params, place / "params.yaml")
    write_split(place / TASK.split, [*TRAIN.members[:-1], *VAL.members, *TEST.members])
    write_classes(place / TASK.classes, CLASSES)
    write_clips(place / TASK.motion)
    return place


@contextmanager
def at_home(inputs: Path, home: Path) -> Iterator[None]:
    """This process as the stage of a main repository with nothing done yet; its ranks keep a state of each epoch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(inputs)
        for name, value in {"MOCLIP_HOME": home, "PYTHONPATH": ROOT, "MOCLIP_LIVE_AFTER_S": "inf"}.items():
            patch.setenv(name, str(value))
        patch.setattr(_ranks, "MODULE", "tests.support.rank")
        _entry.all_params.cache_clear()
        yield
    _entry.all_params.cache_clear()


@pytest.fixture
def home(inputs: Path, tmp_path: Path) -> Iterator[Path]:
    with at_home(inputs, tmp_path):
        yield tmp_path


def results() -> Mapping[str, bytes]:
    """What a finished training keeps."""
    found = content(finished(TASK.work()))
    assert any(name.endswith(".safetensors") for name in found)
    return found


@pytest.fixture(scope="module")
def alone(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, bytes]:
    """The results of one process."""
    with at_home(inputs, tmp_path_factory.mktemp("alone")):
        train(TASK)
        return results()


def test_ranks_of_which_one_is_killed_leave_a_state_from_which_one_process_gets_the_same_bytes(
    home, alone, monkeypatch, caplog
):
    monkeypatch.setenv(_ranks.RANKS, "2")
    monkeypatch.setenv("DIES", "1")
    with pytest.raises(MoclipError, match=r"split 1: one of 2 ranks ended.*run the stage again"):
        train(TASK)
    (state,) = home.glob(".work/*/state.pt")
    assert not finished(TASK.work()).exists()
    monkeypatch.delenv(_ranks.RANKS)
    caplog.set_level("INFO", "moclip")
    train(TASK)
    assert "goes on after epoch" in caplog.text
    assert results() == alone
    assert not state.exists()


def test_four_ranks_on_two_machines_that_meet_give_the_bytes_of_one(home, alone, monkeypatch, tmp_path_factory):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv(_ranks.RANKS, "2")
    monkeypatch.setenv(_ranks.MEETING, f"{endpoint}/2")
    words = ["-m", "torch.distributed.run", *Asked(2, 2, endpoint).words(), "-m", "tests.support.rank"]
    elsewhere = {**os.environ, "MOCLIP_HOME": str(tmp_path_factory.mktemp("elsewhere"))}
    with subprocess.Popen([sys.executable, *words], cwd=ROOT, env=elsewhere) as other:
        train(TASK)
        assert other.wait(60) == 0
    assert results() == alone


def test_more_ranks_than_parts_are_refused_with_the_remedy(home, monkeypatch):
    monkeypatch.setenv(_ranks.RANKS, "5")
    with pytest.raises(ParamsError, match=r"5 ranks, but motion_net\.batch_parts is 4.* set .* to 5 or more, which is"):
        train(TASK)


@pytest.mark.parametrize(
    ("ranks", "meeting", "found"),
    [
        (None, None, None),
        ("8", None, Asked(8)),
        (None, "head:29500/4", Asked(1, 4, "head:29500")),
        ("8", "[fd00::1]:29500/2", Asked(8, 2, "[fd00::1]:29500")),
    ],
)
def test_the_environment_asks_for_ranks(monkeypatch, ranks, meeting, found):
    for name, value in ((_ranks.RANKS, ranks), (_ranks.MEETING, meeting)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert asked() == found


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (_ranks.RANKS, "many", r"MOCLIP_RANKS is 'many'; it is a number"),
        (_ranks.RANKS, "0", r"from 1 on"),
        (_ranks.MEETING, "head:29500", r"MOCLIP_RDZV is 'head:29500'; write HOST:PORT/MACHINES"),
        (_ranks.MEETING, "--head:1/2", r"write HOST:PORT/MACHINES"),
    ],
)
def test_a_variable_of_another_form_is_refused(monkeypatch, name, value, message):
    monkeypatch.setenv(name, value)
    with pytest.raises(ParamsError, match=message):
        asked()
