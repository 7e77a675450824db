"""Results that wait for a server: nothing is lost on the way, and nothing stays behind."""

import math
from pathlib import Path

import pytest

from moclip.tracking.outbox import deliver, keep
from moclip.tracking.record import Child, Result
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
    outbox, delivered = tmp_path / "outbox", []
    for _ in range(2):
        keep(kept, outbox)
    (tmp_path / "report.md").write_text("# Another report")

    def take(one: Result) -> None:
        report, figures = one.artifacts
        assert report.read_text() == "# Report"
        assert (figures / "gain.svg").read_text() == "<svg/>"
        delivered.append(one)

    assert deliver(outbox, take) == 1
    (one,) = delivered
    for name in ("dataset", "key", "variant", "params", "tags", "summary", "dvc_experiment", "data", "environment"):
        assert getattr(one, name) == getattr(kept, name)
    assert (
        repr([(step, value) for step, value in one.children[0].curves["val_loss"]])
        == "[(0, nan), (1, 0.3333333333333333)]"
    )
    assert one.children[0].data == {"data/x": "0"}
    assert deliver(outbox, take) == 0


def test_server_that_goes_down_meanwhile_leaves_the_rest(kept: Result, tmp_path: Path) -> None:
    outbox, seen = tmp_path / "outbox", []
    for key in ("a", "b"):
        keep(result(key), outbox)

    def take(one: Result) -> None:
        if len(seen) == 1:
            raise ServerError("down again")
        seen.append(one.key)

    with pytest.raises(ServerError):
        deliver(outbox, take)
    assert deliver(outbox, lambda one: seen.append(one.key)) == 1
    assert seen == ["a", "b"]


def test_nothing_kept_is_nothing_to_do(tmp_path: Path) -> None:
    assert deliver(tmp_path / "outbox", pytest.fail) == 0
    assert not (tmp_path / "outbox").exists()
