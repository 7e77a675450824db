import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from moclip.base.errors import DataError, StoreError
from moclip.base.files import read_json, read_npz, write_json
from moclip.heads.logistic import LOG_OF_NO_CHANCE, Labelled, fit_logistic, load_logistic, save_logistic


def blobs(seed: int, n: int, *, noise: float = 0.3, classes: int = 3) -> Labelled:
    """Classes around corners of a simplex, in 6 dimensions of which all but the first few are noise."""
    random = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    return Labelled(np.eye(6)[labels] + random.normal(0, noise, (n, 6)), labels)


def accuracy(logs: np.ndarray, part: Labelled) -> float:
    return float((logs.argmax(axis=1) == part.labels).mean())


@pytest.mark.parametrize("classes", [2, 3])
def test_separable_classes_are_recovered_with_scikit_learns_probabilities(classes):
    train, val, test = (blobs(seed, 60, classes=classes) for seed in (1, 2, 3))
    fitted = fit_logistic(train, val, [1.0], classes)
    logs = fitted.log_probabilities(test.inputs)
    assert accuracy(logs, test) > 0.9
    for solver, within in (("newton-cholesky", 1e-9), ("lbfgs", 1e-3)):
        model = LogisticRegression(C=1.0, solver=solver, max_iter=2000).fit(train.inputs, train.labels)
        np.testing.assert_allclose(np.exp(logs), model.predict_proba(test.inputs), atol=within)


def test_better_c_is_chosen_on_validation():
    """One strong input beside thirty of small noise: too small a C sees neither, too large a one learns the noise."""
    random = np.random.default_rng(0)

    def part(n: int) -> Labelled:
        labels = (np.arange(n) % 3 > 0).astype(np.int64)
        signal = 3 * labels + random.normal(0, 1.2, n)
        return Labelled(np.column_stack([signal, random.normal(0, 0.2, (n, 30))]), labels)

    train, val, test = part(60), part(300), part(3000)
    c_values = [1e-6, 0.1, 1e6]
    fitted = fit_logistic(train, val, c_values, 2)
    alone = [accuracy(fit_logistic(train, val, [c], 2).log_probabilities(test.inputs), test) for c in c_values]
    assert alone[1] > max(alone[0], alone[2]) + 0.05
    assert fitted.c == 0.1
    assert accuracy(fitted.log_probabilities(test.inputs), test) == alone[1]
    assert [found.setting for found in fitted.trials] == c_values


def test_what_is_held_out_is_fitted_on_only_when_asked():
    train, val = blobs(1, 60, noise=0.8), blobs(2, 60, noise=0.8)
    plain, both = (fit_logistic(train, val, [0.1, 1.0], 3, refit=refit) for refit in ("train", "train_val"))
    assert plain.c == both.c
    assert plain.trials == both.trials
    joined = Labelled(np.concatenate([train.inputs, val.inputs]), np.concatenate([train.labels, val.labels]))
    empty = Labelled(np.zeros((0, 6)), np.zeros(0, np.int64))
    np.testing.assert_array_equal(plain.weights, fit_logistic(train, empty, [plain.c], 3).weights)
    np.testing.assert_array_equal(both.weights, fit_logistic(joined, empty, [plain.c], 3).weights)


def test_class_without_a_training_video_gets_no_chance_and_stays_finite():
    train = blobs(1, 30)
    renamed = Labelled(train.inputs, np.array([0, 2, 4])[train.labels])
    logs = fit_logistic(renamed, renamed, [1.0], 5).log_probabilities(train.inputs)
    assert (logs[:, [1, 3]] == LOG_OF_NO_CHANCE).all()
    assert np.isfinite(logs.astype(np.float32)).all()
    np.testing.assert_allclose(np.exp(logs).sum(axis=1), 1)


def test_nothing_to_choose_by_and_nothing_to_learn_are_refused():
    train, empty = blobs(1, 30), Labelled(np.zeros((0, 6)), np.zeros(0, np.int64))
    with pytest.raises(DataError, match=r"no validation part; raise data\.val_groups, .* or leave one value"):
        fit_logistic(train, empty, [0.1, 1.0], 3)
    assert fit_logistic(train, empty, [0.1], 3).trials == []
    one = Labelled(train.inputs, np.zeros(30, np.int64))
    with pytest.raises(DataError, match="fewer than two classes"):
        fit_logistic(one, train, [1.0], 3)


def test_saved_twice_is_the_same_bytes_and_all_that_it_takes(tmp_path):
    fitted = fit_logistic(blobs(1, 30), blobs(2, 30), [0.1, 1.0], 3)
    for name in ("one", "two"):
        save_logistic(tmp_path / name, fitted, {"words": ["a"]}, mean=np.zeros(6))
    arrays = read_npz(tmp_path / "one/model.npz", "weights", "offsets", "labels", "mean")
    np.testing.assert_array_equal(arrays["weights"], fitted.weights)
    config = read_json(tmp_path / "one/config.json")
    assert (config["c"], config["words"], [trial["setting"] for trial in config["tried"]]) == (
        fitted.c,
        ["a"],
        [0.1, 1],
    )
    for file in ("model.npz", "config.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_saved_classifier_is_read_again_with_what_was_kept_beside_it(tmp_path):
    part = blobs(1, 30)
    renamed = Labelled(part.inputs, np.array([0, 2, 4])[part.labels])  # classes 1 and 3 have no training video
    fitted = fit_logistic(renamed, renamed, [0.1, 1.0], 5)
    save_logistic(tmp_path / "m", fitted, {"words": ["a"]}, mean=np.ones(6))
    again, config, arrays = load_logistic(tmp_path / "m", "mean")
    assert (again.c, again.classes, config["words"], arrays["mean"].tolist()) == (fitted.c, 5, ["a"], [1.0] * 6)
    np.testing.assert_array_equal(again.log_probabilities(part.inputs), fitted.log_probabilities(part.inputs))
    with pytest.raises(StoreError, match="lacks the array 'scale'"):
        load_logistic(tmp_path / "m", "scale")
    write_json(tmp_path / "m/config.json", {"c": 1.0})
    with pytest.raises(StoreError, match=r"config\.json: lacks 'classes'; run the stage that fits this head again"):
        load_logistic(tmp_path / "m")
