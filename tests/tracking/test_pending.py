"""Pending results: nothing is lost on the way to the server, and nothing stays behind."""

import math
from pathlib import Path

import pytest

from moclip.predict.bundle import Pipeline
from moclip.tracking.pending import Kept, deliver, is_empty, keep
from moclip.tracking.result import Child, Result
from moclip.tracking.store import ServerError, Store, store_at
from tests.tracking.test_record import result


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return store_at(tmp_path, "http://127.0.0.1:9")


@pytest.fixture
def models(tmp_path: Path) -> Pipeline:
    """None: what is kept of a model is tested beside a server."""
    return Pipeline(*[tmp_path / "absent"] * 4)


@pytest.fixture
def kept(tmp_path: Path) -> Result:
    figures = tmp_path / "figures"
    figures.mkdir()
    (figures / "gain.svg").write_text("<svg/>")
    (tmp_path / "report.md").write_text("# Report")
    child = Child("fusion", 1, {"top1_pct": 50.0}, {"val_loss": [(0, math.nan), (1, 1 / 3)]}, {"data/x": "0"})
    return result(
        children=[child],
        artifacts=[tmp_path / "report.md", figures],
        environment={"packages": {"python": "3"}},
        dvc_experiment="macro-sham",
    )


def test_what_is_delivered_is_what_was_kept(kept: Result, models: Pipeline, store: Store, tmp_path: Path) -> None:
    pending, delivered = tmp_path / "pending", []
    for _ in range(2):
        keep(kept, models, pending, store)
    (tmp_path / "report.md").write_text("# Another report")

    def take(one: Kept) -> bool:
        report, figures = one.result.artifacts
        assert report.read_text() == "# Report"
        assert (figures / "gain.svg").read_text() == "<svg/>"
        delivered.append(one.result)
        return True

    assert not is_empty(pending, store)
    assert deliver(pending, store, take) == 1
    assert is_empty(pending, store)
    (one,) = delivered
    for name in ("dataset", "key", "variant", "params", "tags", "summary", "dvc_experiment", "data", "environment"):
        assert getattr(one, name) == getattr(kept, name)
    assert (
        repr([(step, value) for step, value in one.children[0].curves["val_loss"]])
        == "[(0, nan), (1, 0.3333333333333333)]"
    )
    assert one.children[0].data == {"data/x": "0"}
    assert deliver(pending, store, take) == 0


def test_server_that_goes_down_meanwhile_leaves_the_rest(models: Pipeline, store: Store, tmp_path: Path) -> None:
    pending = tmp_path / "pending"
    seen: list[str] = []
    for key in ("a", "b", "c"):
        keep(result(key), models, pending, store)

    def take(one: Kept) -> bool:
        if len(seen) == 2:
            raise ServerError("down again")
        seen.append(one.result.key)
        return one.result.key != "a"

    with pytest.raises(ServerError):
        deliver(pending, store, take)
    seen.clear()
    assert deliver(pending, store, take) == 1
    assert seen == ["a", "c"], "each by itself: what is not taken stays"


def test_nothing_kept_is_nothing_to_do(store: Store, tmp_path: Path) -> None:
    assert deliver(tmp_path / "pending", store, pytest.fail) == 0
    assert not (tmp_path / "pending").exists()
