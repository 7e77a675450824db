"""The report's charts as SVG: values in, one file out, equal bytes for equal values.

Text is stored as outlines and the page is white, so a chart looks the same in every viewer and on
a dark page.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from moclip.base.files import atomic_path
from moclip.base.lettering import drawable
from moclip.base.markdown import signed
from moclip.heads.registry import BLACK, BLUE, GREEN, GREY, ORANGE, SKY, VERMILLION
from moclip.results.gains import ClassGain
from moclip.training.history import Epoch

WIDTH_IN = 8.0  # 768 px as browsers scale SVG: the text column of a code host
_FAMILY_COLOURS = (BLUE, ORANGE, GREEN, VERMILLION, SKY, GREY)
_RING: dict[str, Any] = {
    "marker": "o", "markersize": 6.0, "markerfacecolor": "none", "linestyle": "none"
}  # fmt: skip
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
    "text.parse_math": False,  # a dollar sign in a name is one
}


@dataclass(frozen=True)
class AccuracyBar:
    """One head: mean top-1 over splits, its interval where there is one, and each split's value."""

    title: str
    colour: str
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
    axes.barh(row, bar.mean_pct, height=0.5, color=bar.colour, alpha=0.75)
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


def gain_chart(path: Path, gains: Sequence[ClassGain], axis: str, most: int = 15) -> None:
    """Gain in recall by class in points, sorted, with intervals; pale where no difference is shown.

    With many classes, the ends of the order are shown. `axis` says whose recall is held against whose.
    """
    shown = gains if len(gains) <= 2 * most else [*gains[:most], *gains[-most:]]
    with _chart(path, height_in=1.3 + 0.27 * len(shown)) as figure:
        axes = figure.subplots()
        rows = np.arange(len(shown))[::-1]
        for row, gain in zip(rows, shown, strict=True):
            _gain_row(axes, row, gain)
        axes.axvline(0, color="black", linewidth=1)
        ends = [value for g in shown for value in (g.gain_points, g.low_points, g.high_points) if value is not None]
        low, high = min(*ends, 0.0), max(*ends, 0.0)
        reach = max(high - low, 1.0)
        axes.set_xlim(low - 0.03 * reach, high + 0.03 * reach)
        for row, gain in zip(rows, shown, strict=True):  # in a column of their own, clear of the intervals
            axes.annotate(signed(gain.gain_points), (1.0, row), xycoords=("axes fraction", "data"), fontsize=9,
                          xytext=(44, 0), textcoords="offset points", ha="right", va="center")  # fmt: skip
        axes.set_yticks(rows, [f"{drawable(gain.name)} ({gain.n})" for gain in shown], fontsize=9)
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(-0.7, len(shown) - 0.3)
        axes.grid(axis="x")
        axes.set_xlabel(f"{axis}, in points (in brackets: test videos)")
        kinds = [("different", 0.9), ("no difference shown", _PALE)]
        figure.legend([Rectangle((0, 0), 1, 1, color=GREY, alpha=alpha) for _, alpha in kinds],
                      [kind for kind, _ in kinds], loc="outside lower center", ncols=2, fontsize=9)  # fmt: skip
        if left_out := len(gains) - len(shown):
            axes.axhline(len(shown) / 2 - 0.5, color=GREY, linestyle=":", linewidth=1.2)
            axes.set_title(f"{most} classes from each end; {left_out} between are left out")


_PALE = 0.35


def _gain_row(axes: Axes, row: int, gain: ClassGain) -> None:
    colour = BLUE if gain.gain_points >= 0 else VERMILLION
    axes.barh(row, gain.gain_points, color=colour, height=0.7, alpha=0.9 if gain.different else _PALE)
    if gain.low_points is not None and gain.high_points is not None:
        axes.plot([gain.low_points, gain.high_points], [row, row], color="black", linewidth=1.1, solid_capstyle="butt")


@dataclass(frozen=True)
class CostPoint:
    """One head: multiply-adds of a video in 10^9, mean top-1, its interval where there is one."""

    title: str
    colour: str
    gmac: float
    top1_pct: float
    interval_pct: tuple[float, float] | None


def cost_chart(path: Path, points: Sequence[CostPoint]) -> None:
    """Top-1 over multiply-adds of a video, on a logarithmic scale: a labelled point with interval a head."""
    with _chart(path, height_in=4.4) as figure:
        axes = figure.subplots()
        axes.set_xscale("log")
        for point in points:
            if point.interval_pct:
                axes.plot([point.gmac] * 2, point.interval_pct, color=point.colour, linewidth=2, alpha=0.6)
            axes.plot(point.gmac, point.top1_pct, "o", color=point.colour, markersize=8, markeredgecolor="white")
        least, most = min(p.gmac for p in points), max(p.gmac for p in points)
        room = max((most / least) ** 0.55, 1.6)  # on both sides, for the labels
        axes.set_xlim(least / room, most * room)
        axes.set_ylim(0, 104)
        _label_points(axes, points)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.grid()
        axes.set_xlabel("multiply-adds of a video in 10\u2079 (logarithmic), all networks that the head needs")
        axes.set_ylabel("top-1 in %")


def _label_points(axes: Axes, points: Sequence[CostPoint]) -> None:
    """Name each point: to its left where another stands near on its right; labels of one side keep apart."""
    crowded = {p.title for p in points if any(1.05 < other.gmac / p.gmac < 2.5 for other in points)}
    for left in (True, False):
        side = [p for p in points if (p.title in crowded) == left]
        for point, y in zip(side, _apart([p.top1_pct for p in side], 5.0), strict=True):
            axes.annotate(
                f"{point.title} {point.top1_pct:.1f}", (point.gmac, point.top1_pct),
                (point.gmac * (0.93 if left else 1.07), y), ha="right" if left else "left", va="center", fontsize=9,
                arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.7, "shrinkA": 0, "shrinkB": 5},
            )  # fmt: skip


def _apart(values: Sequence[float], least: float) -> list[float]:
    """Places for labels, in the same order, at least so far from each other and as near to the values as may be."""
    places = np.array(values, dtype=float)
    order = np.argsort(places, kind="stable")
    for _ in range(200):
        gaps = np.diff(places[order])
        close = gaps < least - 1e-9
        if not close.any():
            break
        push = np.where(close, (least - gaps) / 2, 0.0)
        places[order[:-1]] -= push
        places[order[1:]] += push
    return [float(place) for place in places]


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
            axes.barh(rows, 100 * column, left=start, color=colour, height=0.75, label=_in_legend(family))
            start += 100 * column
        axes.set_yticks(rows, [drawable(name) for name in shown])
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(-0.7, len(shown) - 0.3)
        axes.set_xlim(0, 100)
        axes.set_xlabel("groups of the class by encoder family, in %")
        if step > 1:
            axes.set_title(f"{len(shown)} of {len(ordered)} classes, at equal steps in the order of their shares")
        figure.legend(loc="outside lower center", ncols=3, fontsize=9)


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
        axes.set_xticks(
            np.arange(len(predicted)) + 0.5, [drawable(name) for name in predicted], rotation=40, ha="right"
        )
        axes.set_yticks(np.arange(len(actual)) + 0.5, [drawable(name) for name in actual])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("predicted class (framed: right)")
        axes.set_ylabel("actual class")


_COLUMNS = 4
_CURVES = (
    ("train_loss", BLUE, "training"),
    ("val_loss", VERMILLION, "validation"),
    ("val_top1_pct", VERMILLION, "validation"),
    ("test_top1_pct", BLACK, "test list, looked at by select: test"),
)


def curves_chart(
    path: Path,
    histories: Mapping[str, Mapping[int, Sequence[Epoch]]],
    kept: Mapping[str, Mapping[int, int]] | None = None,
) -> None:
    """Loss above, accuracy below, by epoch: a column a training, a line a split; wrapped after four columns.

    A ring marks the epoch that was `kept`, by training and split.
    """
    columns = min(_COLUMNS, len(histories))
    bands = -(-len(histories) // columns)
    with _chart(path, height_in=0.5 + 4.1 * bands) as figure:
        grid = figure.subplots(2 * bands, columns, squeeze=False)
        for place in range(bands * columns):
            band, column = divmod(place, columns)
            above, below = grid[2 * band : 2 * band + 2, column]
            if place < len(histories):
                title, by_split = list(histories.items())[place]
                _training_curves(above, below, title, by_split)
                _mark_kept(above, below, by_split, (kept or {}).get(title, {}))
            for axes in (above, below):
                axes.grid()
                axes.set_visible(place < len(histories))
                axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
                axes.tick_params(labelleft=column == 0)
            above.tick_params(labelbottom=False)
            below.set_ylim(0, 103)
        top = max(axes.get_ylim()[1] for axes in grid[::2].flat if axes.get_visible())
        for axes in grid[::2].flat:
            axes.set_ylim(0, top)
        for band in range(bands):
            grid[2 * band, 0].set_ylabel("loss (cross entropy)")
            grid[2 * band + 1, 0].set_ylabel("top-1 in %")
        shown = {label for axes in grid.flat for label in axes.get_legend_handles_labels()[1]}
        handles = {label: Line2D([], [], color=colour) for _, colour, label in _CURVES if label in shown}
        splits = sorted({split for by_split in histories.values() for split in by_split})
        if len(splits) > 1:
            handles |= {f"split {split}": Line2D([], [], color=GREY, linestyle=_line(split)) for split in splits}
        if any((kept or {}).values()):
            handles["epoch kept"] = Line2D([], [], color=BLACK, **_RING)
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3, fontsize=9)


def _mark_kept(above: Axes, below: Axes, by_split: Mapping[int, Sequence[Epoch]], kept: Mapping[int, int]) -> None:
    """A ring on the validation's curves, or the training's where nothing was held out."""
    for split, number in kept.items():
        place, epoch = next((i, one) for i, one in enumerate(by_split[split]) if one.epoch == number)
        for axes, names in ((above, ("val_loss", "train_loss")), (below, ("val_top1_pct", "test_top1_pct"))):
            values = [epoch[name] for name in names if not np.isnan(epoch[name])]
            axes.plot([place] * len(values[:1]), values[:1], color=BLACK, **_RING)


def reliability_chart(path: Path, confidence: np.ndarray, hits: np.ndarray, bins: int) -> None:
    """Accuracy against confidence by bin of confidence, and below it how many videos lie in each.

    Args:
        path: Of the chart.
        confidence: (n,) largest probability of each video, in 0..1.
        hits: (n,) whether it was right.
        bins: Bins of equal width, as `moclip.results.metrics.calibration_error_pct` has them.
    """
    of_bin = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    counts = np.bincount(of_bin, minlength=bins)
    used = np.flatnonzero(counts)
    said, right = (
        100.0 * np.bincount(of_bin, weights=values, minlength=bins)[used] / counts[used]
        for values in (confidence, hits.astype(float))
    )
    with _chart(path, height_in=5.0) as figure:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        above.plot([0, 100], [0, 100], color=GREY, linestyle="--", linewidth=1.2, label="as confident as right")
        above.plot(said, right, color=BLUE, marker="o", linewidth=1.3, label="this head")
        above.set_ylim(0, 103)
        above.set_ylabel("right in %")
        above.legend(loc="upper left")
        below.bar(100.0 * (np.arange(bins) + 0.5) / bins, counts, 90.0 / bins, color=BLUE)
        below.set_ylabel("videos")
        below.set_xlim(0, 101)
        below.set_xlabel("confidence in %")
        for axes in (above, below):
            axes.grid()


def _training_curves(above: Axes, below: Axes, title: str, by_split: Mapping[int, Sequence[Epoch]]) -> None:
    above.set_title(title, fontsize=10)
    below.set_xlabel("epoch")
    for split, history in sorted(by_split.items()):
        for name, colour, label in _CURVES:
            values = [epoch[name] for epoch in history]
            if not np.isnan(values).all():
                axes = above if name.endswith("loss") else below
                axes.plot(values, _line(split), color=colour, label=label, linewidth=1.3)


def _in_legend(name: str) -> str:
    """A name that Matplotlib lists: it leaves out those that begin with an underscore."""
    return drawable(name if not name.startswith("_") else f" {name}")


def _line(split: int) -> str:
    return _SPLIT_LINES[(split - 1) % len(_SPLIT_LINES)]


@contextmanager
def _chart(path: Path, height_in: float) -> Iterator[Figure]:
    with matplotlib.style.context(["default", _STYLE]):
        figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained", facecolor="white")
        yield figure
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format="svg", metadata={"Date": None, "Creator": None})
