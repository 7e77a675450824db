"""The report's charts as SVG: values in, one file out, equal bytes for equal values.

Text is stored as outlines and the page is white, so a chart looks the same in every viewer and on
a dark page. Colours are of Okabe and Ito's palette, which colour-blind readers can tell apart.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from moclip.files import atomic_path
from moclip.history import Epoch

WIDTH_IN = 8.0  # 768 px as browsers scale SVG: the text column of a code host
BLUE, SKY, ORANGE, VERMILLION, GREEN, PURPLE, YELLOW, GREY = (
    "#0072B2", "#56B4E9", "#E69F00", "#D55E00", "#009E73", "#CC79A7", "#F0E442", "#767676",
)  # fmt: skip
HEAD_COLOURS = {
    "zero_shot": SKY,
    "motion_only": ORANGE,
    "metadata_only": GREY,
    "clip_probe": BLUE,
    "linear_probe": PURPLE,
    "score_average": YELLOW,
    "motion_permuted": VERMILLION,
    "fusion": GREEN,
}
_FAMILY_COLOURS = (BLUE, ORANGE, GREEN, VERMILLION, SKY, GREY)
_SPLIT_LINES = ("-", "--", ":")
_STYLE = {
    "axes.axisbelow": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "font.family": "DejaVu Sans",  # comes with Matplotlib
    "font.size": 10,
    "grid.color": "#DDDDDD",
    "legend.frameon": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "moclip",
}


@dataclass(frozen=True)
class AccuracyBar:
    """One head: mean top-1 over splits, its interval where there is one, and each split's value."""

    head: str
    title: str
    mean_pct: float
    interval_pct: tuple[float, float] | None
    per_split_pct: Sequence[float]


def accuracy_chart(path: Path, bars: Sequence[AccuracyBar], chance_pct: float) -> None:
    """Top-1 by head: bar to the mean, interval, a ring for each split, and the chance level."""
    with _chart(path, height_in=1.3 + 0.55 * len(bars)) as figure:
        axes = figure.subplots()
        rows = np.arange(len(bars))[::-1]
        for row, bar in zip(rows, bars, strict=True):
            _accuracy_row(axes, row, bar)
        axes.axvline(chance_pct, color=GREY, linestyle="--", linewidth=1.2)
        axes.text(chance_pct + 0.8, len(bars) - 0.5, f"chance {chance_pct:.1f}", color=GREY)
        axes.set_yticks(rows, [bar.title for bar in bars])
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(-0.6, len(bars) - 0.2)
        axes.set_xlim(0, 112)
        axes.set_xticks(range(0, 101, 20))
        axes.grid(axis="x")
        axes.set_xlabel("top-1 accuracy on the test lists in % (rings: single splits)")


def _accuracy_row(axes: Axes, row: int, bar: AccuracyBar) -> None:
    colour = HEAD_COLOURS.get(bar.head, GREY)
    axes.barh(row, bar.mean_pct, height=0.5, color=colour, alpha=0.75)
    offsets = np.linspace(-0.14, 0.14, len(bar.per_split_pct)) if len(bar.per_split_pct) > 1 else [0]
    axes.scatter(
        bar.per_split_pct, row + np.asarray(offsets), s=22, facecolor="white", edgecolor="black",
        linewidth=0.9, zorder=4,
    )  # fmt: skip
    right = bar.mean_pct
    if bar.interval_pct:
        low, high = bar.interval_pct
        right = max(right, high)
        errors = [[max(bar.mean_pct - low, 0)], [max(high - bar.mean_pct, 0)]]
        axes.errorbar(bar.mean_pct, row, xerr=errors, color="black", capsize=5, linewidth=1.6, zorder=3)
    axes.text(max(right, *bar.per_split_pct) + 1.5, row, f"{bar.mean_pct:.1f}", va="center")


def gain_chart(path: Path, gains_pct: Mapping[str, float], most: int = 12) -> None:
    """Gain in recall by class in percentage points: with many classes, the ends of the order."""
    ordered = sorted(gains_pct.items(), key=lambda item: (-item[1], item[0]))
    shown = ordered if len(ordered) <= 2 * most else [*ordered[:most], *ordered[-most:]]
    with _chart(path, height_in=1.1 + 0.26 * len(shown)) as figure:
        axes = figure.subplots()
        rows, values = np.arange(len(shown))[::-1], np.array([gain for _, gain in shown])
        axes.barh(rows, values, color=np.where(values >= 0, BLUE, VERMILLION), height=0.7)
        axes.axvline(0, color="black", linewidth=1)
        _label_bars(axes, rows, values)
        axes.set_yticks(rows, [name for name, _ in shown])
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(-0.7, len(shown) - 0.3)
        axes.grid(axis="x")
        axes.set_xlabel("recall of fusion minus recall of the CLIP probe, in percentage points")
        if left_out := len(ordered) - len(shown):
            axes.axhline(most - 0.5, color=GREY, linestyle=":", linewidth=1.2)
            axes.set_title(f"{most} classes from each end; {left_out} between are left out")


def encoder_chart(path: Path, groups: Mapping[str, Mapping[str, int]], most: int = 40) -> None:
    """Share of each class's groups by encoder family: a bar a class, pure classes at both ends."""
    families = list(next(iter(groups.values())))
    share = {name: [row[family] / sum(row.values()) for family in families] for name, row in groups.items()}
    ordered = sorted(share, key=lambda name: ([-part for part in share[name]], name))
    step = max(1, -(-len(ordered) // most))
    shown = ordered[::step]
    with _chart(path, height_in=1.5 + 0.2 * len(shown)) as figure:
        axes = figure.subplots()
        rows, start = np.arange(len(shown))[::-1], np.zeros(len(shown))
        for colour, family, column in zip(cycle(_FAMILY_COLOURS), families, np.transpose([share[n] for n in shown])):
            axes.barh(rows, 100 * column, left=start, color=colour, height=0.75, label=family)
            start += 100 * column
        axes.set_yticks(rows, shown)
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(-0.7, len(shown) - 0.3)
        axes.set_xlim(0, 100)
        axes.set_xlabel("groups of the class by encoder family, in %")
        if step > 1:
            axes.set_title(f"{len(shown)} of {len(ordered)} classes, at equal steps in the order of their shares")
        figure.legend(loc="outside lower center", ncols=3, fontsize=9)


def _label_bars(axes: Axes, rows: np.ndarray, values: np.ndarray) -> None:
    reach = max(float(np.abs(values).max()), 1.0)
    for row, value in zip(rows, values, strict=True):
        side = 1 if value >= 0 else -1
        axes.text(
            value + side * 0.015 * reach, row, f"{value:+.1f}", va="center", fontsize=9,
            ha="left" if side > 0 else "right",
        )  # fmt: skip
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    axes.set_xlim(low - 0.13 * reach * (low < 0), high + 0.13 * reach)


def confusion_chart(path: Path, counts: np.ndarray, actual: Sequence[str], predicted: Sequence[str]) -> None:
    """Videos by actual class (rows) and predicted class (columns), shaded by share of the row.

    Args:
        path: The SVG to write.
        counts: (rows, columns) whole numbers; every row has at least one video.
        actual: Names of the rows.
        predicted: Names of the columns; those that are also rows get their hits framed.
    """
    share = counts / counts.sum(axis=1, keepdims=True)
    with _chart(path, height_in=1.9 + 0.33 * len(actual)) as figure:
        axes = figure.subplots()
        axes.pcolormesh(share, cmap="Blues", vmin=0, vmax=1, edgecolor="white", linewidth=0.8)
        axes.invert_yaxis()
        for row, column in np.argwhere(counts > 0).tolist():
            colour = "white" if share[row, column] > 0.55 else "black"
            axes.text(
                column + 0.5, row + 0.5, str(counts[row, column]), color=colour, fontsize=9,
                ha="center", va="center",
            )  # fmt: skip
            if predicted[column] == actual[row]:
                axes.add_patch(Rectangle((column, row), 1, 1, fill=False, linewidth=1.6, clip_on=False))
        axes.set_xticks(np.arange(len(predicted)) + 0.5, predicted, rotation=40, ha="right")
        axes.set_yticks(np.arange(len(actual)) + 0.5, actual)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("predicted class (framed: right)")
        axes.set_ylabel("actual class")


def curves_chart(path: Path, histories: Mapping[str, Mapping[int, Sequence[Epoch]]]) -> None:
    """Loss above, validation accuracy below, by epoch: a column a training, a line a split."""
    with _chart(path, height_in=4.6) as figure:
        grid = figure.subplots(2, len(histories), sharex="col", sharey="row", squeeze=False)
        for (title, by_split), (above, below) in zip(histories.items(), grid.T, strict=True):
            above.set_title(title)
            below.set_xlabel("epoch")
            below.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            for line, (split, history) in zip(_SPLIT_LINES, sorted(by_split.items()), strict=False):
                of = f", split {split}"
                for axes, name, colour, label in (
                    (above, "train_loss", BLUE, "train" + of),
                    (above, "val_loss", VERMILLION, "validation" + of),
                    (below, "val_top1_pct", VERMILLION, None),
                ):
                    values = [getattr(epoch, name) for epoch in history]
                    axes.plot(range(len(values)), values, line, color=colour, label=label, linewidth=1.3)
        for axes in grid.flat:
            axes.grid()
            axes.set_ylim(bottom=0)
        grid[0, 0].set_ylabel("loss (cross entropy)")
        grid[1, 0].set_ylabel("validation top-1 in %")
        grid[1, 0].set_ylim(0, 103)
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=9)


@contextmanager
def _chart(path: Path, height_in: float) -> Iterator[Figure]:
    with matplotlib.style.context(["default", _STYLE]):
        figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained", facecolor="white")
        yield figure
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format="svg", metadata={"Date": None, "Creator": None})
