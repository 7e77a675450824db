"""The tables behind `dvc plots`, and that dvc.yaml names their columns."""

import math

import numpy as np
from ruamel.yaml import YAML

from moclip.report.plot_tables import (
    ACCURACY,
    CONFUSION,
    CURVES,
    RECALL,
    TRAINED,
    accuracy_rows,
    confusion_rows,
    curve_rows,
    recall_rows,
)
from moclip.results.predictions import ClassRow, Outcomes
from moclip.training.history import Epoch
from tests.results.test_summary import results, summary_of
from tests.support.epochs import epoch
from tests.support.imports import ROOT


def epochs(*val_top1: float) -> list[Epoch]:
    return [epoch(k, 1.0, 2.0, value) for k, value in enumerate(val_top1)]


def test_curves_are_means_over_splits_and_nan_where_there_is_none():
    rows = curve_rows(
        {"fusion": {1: epochs(10, 20, 60), 2: epochs(30, 40, 80)}, "motion_only": {1: epochs(5)}}, "val_top1_pct"
    )
    assert [row[0] for row in rows] == [0, 1, 2]
    table = {name: [row[1 + k] for row in rows] for k, name in enumerate(TRAINED)}
    assert table["fusion"] == [20, 30, 70]
    assert table["motion_only"][0] == 5
    assert all(math.isnan(value) for value in [*table["motion_only"][1:], *table["clip_probe"]])


def test_undefined_validation_stays_undefined():
    (row,) = curve_rows({"fusion": {1: epochs(math.nan), 2: epochs(50)}}, "val_top1_pct")
    assert math.isnan(row[1 + TRAINED.index("fusion")])


def test_recall_pools_splits_by_count_not_by_mean():
    rows = recall_rows([[ClassRow("a", 1, 1), ClassRow("b", 0, 0)], [ClassRow("a", 3, 0), ClassRow("b", 0, 0)]])
    assert rows == [("a", 25.0, 4)]


def test_confusion_has_a_row_for_each_video():
    outcome = Outcomes(*(np.array(list(text)) for text in ("12", "gg", "ab", "bb")))
    assert confusion_rows([outcome, outcome]) == [("a", "b"), ("b", "b")] * 2


def test_accuracy_has_a_row_for_each_head():
    summary = summary_of(results("clip_probe", "fusion"))
    assert accuracy_rows(summary)[1] == ("fusion", summary["heads"]["fusion"]["top1_pct"]["mean"], 180)


def test_charts_of_dvc_yaml_name_columns_that_the_tables_have():
    """DVC draws nothing of a chart that misses a column, and says so in a warning alone."""
    columns = {"accuracy": ACCURACY, "val_top1": CURVES, "train_loss": CURVES, "recall": RECALL, "confusion": CONFUSION}
    charts = YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")["plots"]
    seen = set()
    for (chart,) in (entry.values() for entry in charts):
        ((path, named),) = chart["y"].items()
        name = path.removeprefix("results/plots/").removesuffix(".csv")
        if name in columns:
            seen.add(name)
            wanted = [chart["x"], *(named if isinstance(named, list) else [named])]
            assert set(wanted) <= set(columns[name])
        if name in ("val_top1", "train_loss"):
            assert named == list(TRAINED)
    assert seen == set(columns)
