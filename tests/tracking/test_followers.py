"""Followers of trainings: who lives, who ended how, and what counts as the same training."""

import math
import multiprocessing
import os
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moclip.tracking.followers import Ended, Followers, same_training

CURVES = {"loss": [(0, 2.0), (1, 1.0)], "val": [(0, math.nan), (1, 50.0)]}


def _hold(directory: Path, ready: "multiprocessing.synchronize.Event") -> None:
    with Followers(directory).alive("one"):
        ready.set()
        signal.pause()


def test_follower_is_alive_until_it_is_killed(tmp_path: Path) -> None:
    followers = Followers(tmp_path / "live")
    assert not followers.is_alive("one")
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=_hold, args=(followers.directory, ready))
    process.start()
    assert ready.wait(60)
    followers.end("one", Ended("fusion", 1, CURVES))
    followers.sweep()
    assert followers.is_alive("one")
    followers.wait(["one"], timeout_s=0.01)
    assert followers.is_alive("one")
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    followers.wait(["one"], timeout_s=30)
    assert not followers.is_alive("one")
    assert list(followers.ended()) == ["one"]
    followers.sweep()
    assert list(followers.directory.iterdir()) == []


def test_end_keeps_every_value(tmp_path: Path) -> None:
    followers = Followers(tmp_path)
    followers.end("one", Ended("fusion", 2, CURVES))
    ended = followers.ended()["one"]
    assert (ended.head, ended.split) == ("fusion", 2)
    assert same_training(CURVES, ended.curves)
    followers.forget("one")
    assert followers.ended() == {}


def test_clones_differ_by_place(tmp_path: Path) -> None:
    one, other = (Followers(tmp_path / name) for name in "ab")
    assert one.clone == Followers(tmp_path / "x" / ".." / "a").clone != other.clone


@given(st.lists(st.floats(), min_size=1, max_size=9), st.data())
def test_later_epochs_show_the_same_training(values: list[float], data: st.DataObject) -> None:
    points = list(enumerate(values))
    start = data.draw(st.integers(0, len(points) - 1))
    assert same_training({"a": points}, {"a": points[start:]})
    assert not same_training({"a": [*points, (len(points), 0.0)]}, {"a": points[start:]})
    changed = [(step, 1.0 if value != 1.0 else 2.0) for step, value in points[start:]]
    assert not same_training({"a": points}, {"a": changed})


@pytest.mark.parametrize("seen", [{}, {"a": []}, {"b": [(0, 1.0)]}, {"a": [(0, 1.0)], "b": [(0, 1.0)]}])
def test_other_curves_are_another_training(seen: dict[str, list[tuple[int, float]]]) -> None:
    assert not same_training({"a": [(0, 1.0)]}, seen)
    assert not same_training({}, {})
