"""moclip.figures: equal values give equal bytes, and what a chart must show is in it."""

import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from moclip.report.figures import (
    AccuracyBar,
    CostPoint,
    accuracy_chart,
    confusion_chart,
    cost_chart,
    curves_chart,
    gain_chart,
    reliability_chart,
)
from moclip.results.gains import ClassGain
from moclip.training.history import kept_epoch
from tests.support.epochs import epoch

BARS = [
    AccuracyBar("zero-shot CLIP", "#56B4E9", 41.7, (35.2, 48.6), [41.7, 38.2, 45.1]),
    AccuracyBar("fusion", "#009E73", 100.0, None, [100.0]),
]
NAN = float("nan")
HISTORY = [epoch(0, 2.0, 2.1, 20.0), epoch(1, 1.0, 1.5, 50.0), epoch(2, 0.5, 1.2, 60.0)]
NO_VALIDATION = [epoch(0, 2.0, NAN, NAN), epoch(1, 1.0, NAN, NAN)]

LEAKED = [epoch(0, 2.0, 2.1, 20.0, 25.0), epoch(1, 1.0, 1.5, 50.0, 45.0)]
COSTS = [
    CostPoint("zero-shot CLIP", "#56B4E9", 4.4, 65.0, (63.0, 67.0)),
    CostPoint("CLIP probe", "#0072B2", 4.4, 66.0, None),
    CostPoint("motion alone", "#E69F00", 9.5, 60.0, (58.0, 62.0)),
    CostPoint("fusion", "#009E73", 13.9, 89.0, (88.0, 90.0)),
]


def gain(name: str, points: float, known: bool = True) -> ClassGain:
    low, high = (points - 5, points + 5) if known else (None, None)
    return ClassGain(name, 12, 3, 6, 6, points, low, high, 0.01, 0.04, known)


CHARTS: dict[str, Callable[[Path], None]] = {
    "accuracy": lambda path: accuracy_chart(path, BARS, 8.3),
    "gain": lambda path: gain_chart(path, [gain("Run", 12.5), gain("Still", 0.0), gain("Jump", -3.0)], "gain"),
    "gain of one class": lambda path: gain_chart(path, [gain("Run", 0.0)], "gain"),
    "gain, losses alone": lambda path: gain_chart(path, [gain("Run", -1.0), gain("Jump", -3.0)], "gain"),
    "cost": lambda path: cost_chart(path, COSTS),
    "cost of one head": lambda path: cost_chart(path, COSTS[:1]),
    "confusion": lambda path: confusion_chart(
        path, np.array([[3, 1, 0], [0, 0, 5]]), ["Run", "Jump"], ["Run", "Jump", "any other"]
    ),
    "curves": lambda path: curves_chart(path, {"motion network": {1: HISTORY, 2: HISTORY}}),
    "curves of seven trainings": lambda path: curves_chart(
        path, {f"head {i}": {1: LEAKED, 3: LEAKED} for i in range(7)}
    ),
    "curves with kept epochs": lambda path: curves_chart(path, {"fusion": {1: HISTORY}}, {"fusion": {1: 2}}),
    "reliability": lambda path: reliability_chart(path, np.array([0.5, 0.9]), np.array([True, False]), 15),
    "curves without validation": lambda path: curves_chart(path, {"fusion": {3: NO_VALIDATION}}),
}


@pytest.mark.parametrize("name", CHARTS)
def test_equal_values_give_equal_bytes_whatever_the_user_set_up(tmp_path: Path, name: str) -> None:
    CHARTS[name](tmp_path / "one.svg")
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black", "svg.hashsalt": "x"}):
        CHARTS[name](tmp_path / "two.svg")
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.svg", "two.svg"]


@pytest.mark.parametrize("name", CHARTS)
def test_charts_are_opaque_bear_no_date_and_fit_a_text_column(tmp_path: Path, name: str) -> None:
    CHARTS[name](tmp_path / "chart.svg")
    text = (tmp_path / "chart.svg").read_text()
    root = ET.fromstring(text)
    assert float(root.attrib["width"].removesuffix("pt")) == 576  # 768 px
    assert "fill: #ffffff" in text
    assert "dc:date" not in text


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that get saved, for a look at what is on their axes."""
    figures: list[Figure] = []
    save = Figure.savefig

    def keep(figure: Figure, *args: object, **options: object) -> None:
        figures.append(figure)
        save(figure, *args, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


def test_many_classes_are_shown_from_both_ends(tmp_path: Path, drawn: list[Figure]) -> None:
    gains = [gain(f"Class{i:03}", float(50 - i), known=i != 0) for i in range(101)]
    gain_chart(tmp_path / "gain.svg", gains, "gain", most=3)
    (axes,) = drawn[0].axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == [f"Class{i:03} (12)" for i in (0, 1, 2, 98, 99, 100)]
    assert "95 between" in axes.get_title(loc="left")
    assert [text.get_text() for text in axes.texts][:2] == ["+50.0", "+49.0"]


def test_labels_of_heads_that_cost_alike_keep_apart(tmp_path: Path, drawn: list[Figure]) -> None:
    cost_chart(tmp_path / "cost.svg", COSTS)
    (axes,) = drawn[0].axes
    assert axes.get_xscale() == "log"
    places = {text.get_text(): text.xyann for text in axes.texts}  # type: ignore[attr-defined]
    assert set(places) == {"zero-shot CLIP 65.0", "CLIP probe 66.0", "motion alone 60.0", "fusion 89.0"}
    assert places["CLIP probe 66.0"][1] - places["zero-shot CLIP 65.0"][1] >= 5.0 - 1e-6
    low, high = axes.get_xlim()
    assert low < 4.4 < 13.9 < high


def test_curves_of_the_test_list_are_drawn_where_epochs_were_chosen_on_it(tmp_path: Path, drawn: list[Figure]) -> None:
    for history in (HISTORY, LEAKED):
        curves_chart(tmp_path / "curves.svg", {"fusion": {1: history}})
    labels = [[text.get_text() for text in figure.legends[0].get_texts()] for figure in drawn]
    assert labels[0] == ["training", "validation"]
    assert labels[1] == ["training", "validation", "test list, looked at by select: test"]
    assert [line.get_ydata().tolist() for line in drawn[1].axes[1].lines] == [[20.0, 50.0], [25.0, 45.0]]


def test_accuracy_shows_mean_interval_and_every_split(tmp_path: Path, drawn: list[Figure]) -> None:
    accuracy_chart(tmp_path / "accuracy.svg", BARS, 8.3)
    (axes,) = drawn[0].axes
    assert [bar.get_width() for bar in axes.patches] == [41.7, 100.0]
    rings = [collection.get_offsets()[:, 0].tolist() for collection in axes.collections]
    assert [41.7, 38.2, 45.1] in rings
    assert {"41.7", "100.0", "chance 8.3"} <= {text.get_text() for text in axes.texts}


def test_ring_marks_the_epoch_that_was_kept(tmp_path: Path, drawn: list[Figure]) -> None:
    kept = kept_epoch(HISTORY, "val")
    assert kept is not None
    curves_chart(tmp_path / "curves.svg", {"fusion": {1: HISTORY}}, {"fusion": {1: kept}})
    above, below = drawn[0].axes
    place = [epoch.epoch for epoch in HISTORY].index(kept)
    for axes, name in ((above, "val_loss"), (below, "val_top1_pct")):
        (ring,) = [line for line in axes.lines if line.get_marker() == "o"]
        assert (list(ring.get_xdata()), list(ring.get_ydata())) == ([place], [HISTORY[place][name]])
    assert "epoch kept" in {text.get_text() for text in drawn[0].legends[0].get_texts()}


def test_reliability_shows_accuracy_and_count_by_confidence(tmp_path: Path, drawn: list[Figure]) -> None:
    confidence, hits = np.array([0.55, 0.58, 0.95, 0.99]), np.array([True, False, True, True])
    reliability_chart(tmp_path / "reliability.svg", confidence, hits, 10)
    above, below = drawn[0].axes
    (line,) = [line for line in above.lines if line.get_marker() == "o"]
    assert line.get_xdata() == pytest.approx([56.5, 97.0])
    assert line.get_ydata() == pytest.approx([50.0, 100.0])
    assert [bar.get_height() for bar in below.patches] == [0, 0, 0, 0, 0, 2, 0, 0, 0, 2]
