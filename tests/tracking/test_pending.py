"""Pending results: nothing is lost on the way to the server, and nothing stays behind."""

import math
from pathlib import Path

import pytest

from moclip.tracking.pending import deliver, is_empty, keep
from moclip.tracking.result import Child, Result
from moclip.tracking.store import ServerError
from tests.tracking.test_record import result


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


def test_what_is_delivered_is_what_was_kept(kept: Result, tmp_path: Path) -> None:
    pending, delivered = tmp_path / "pending", []
    for _ in range(2):
        keep(kept, pending)
    (tmp_path / "report.md").write_text("# Another report")

    def take(one: Result) -> None:
        report, figures = one.artifacts
        assert report.read_text() == "# Report"
        assert (figures / "gain.svg").read_text() == "<svg/>"
        delivered.append(one)

    assert not is_empty(pending)
    assert deliver(pending, take) == 1
    assert is_empty(pending)
    (one,) = delivered
    for name in ("dataset", "key", "variant", "params", "tags", "summary", "dvc_experiment", "data", "environment"):
        assert getattr(one, name) == getattr(kept, name)
    assert (
        repr([(step, value) for step, value in one.children[0].curves["val_loss"]])
        == "[(0, nan), (1, 0.3333333333333333)]"
    )
    assert one.children[0].data == {"data/x": "0"}
    assert deliver(pending, take) == 0


def test_server_that_goes_down_meanwhile_leaves_the_rest(kept: Result, tmp_path: Path) -> None:
    pending, seen = tmp_path / "pending", []
    for key in ("a", "b"):
        keep(result(key), pending)

    def take(one: Result) -> None:
        if len(seen) == 1:
            raise ServerError("down again")
        seen.append(one.key)

    with pytest.raises(ServerError):
        deliver(pending, take)
    assert deliver(pending, lambda one: seen.append(one.key)) == 1
    assert seen == ["a", "b"]


def test_nothing_kept_is_nothing_to_do(tmp_path: Path) -> None:
    assert deliver(tmp_path / "pending", pytest.fail) == 0
    assert not (tmp_path / "pending").exists()
