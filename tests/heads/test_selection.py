import numpy as np
import pytest

from moclip.heads.selection import Trial, best, most_right, record, trial


def test_trial_counts_hits_and_mean_loss():
    logs = np.log([[0.5, 0.5], [0.25, 0.75], [0.9, 0.1]])
    found = trial(3.0, logs, np.array([0, 1, 1]))
    assert (found.setting, found.val_top1_pct) == (3.0, pytest.approx(200 / 3))
    assert found.val_loss == pytest.approx(-np.log([0.5, 0.75, 0.1]).mean())


@pytest.mark.parametrize(
    ("trials", "setting"),
    [
        ([Trial(0.1, 50, 1.0), Trial(1.0, 60, 9.0)], 0.1),
        ([Trial(0.1, 50, 1.0), Trial(1.0, 60, 1.0)], 1.0),
        ([Trial(1.0, 50, 1.0), Trial(0.1, 50, 1.0)], 0.1),
    ],
    ids=["lowest loss", "then highest top-1", "then smallest setting"],
)
def test_best_by_loss_then_top1_then_setting(trials, setting):
    assert best(trials).setting == setting


@pytest.mark.parametrize(
    ("top1", "setting"), [([50, 60, 60, 60, 40], 0.5), ([50, 60, 60, 40, 30], 0.25), ([10, 20, 30, 40, 50], 1.0)]
)
def test_most_right_is_the_middle_of_those_that_tie(top1, setting):
    trials = [Trial(step / 4, pct, float(step)) for step, pct in enumerate(top1)]
    assert most_right(trials[::-1]).setting == setting


def test_record_names_every_setting_that_was_tried():
    assert record("c", 0.1, [Trial(0.1, 50.00004, 1.00000049)]) == {
        "c": 0.1,
        "tried": [{"setting": 0.1, "val_top1_pct": 50.0, "val_loss": 1.0}],
    }
