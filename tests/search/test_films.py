"""Films composed of clips, and what a search in them is worth: every group once, figures that one can work out."""

import numpy as np
import pytest

from moclip.base.errors import DataError
from moclip.data.splits import Member, Split
from moclip.heads.fitted import ClassTexts
from moclip.heads.zero_shot import ZeroShot
from moclip.params.frames import SearchParams
from moclip.results.intervals import Level
from moclip.search import trial
from moclip.search.films import compose

PARAMS = SearchParams(every_s=1.0, chunk_s=4.0, chunks=None, merge=None, runs=20)
CLASSES = 4


def part(groups: int, clips: int = 2, classes: int = CLASSES) -> Split:
    members = [
        Member(f"v{label}{group}{clip}", label, "test", f"g{group}")  # a group's name spans classes
        for label in range(classes)
        for group in range(groups)
        for clip in range(clips)
    ]
    return Split(members, [f"C{label}" for label in range(classes)])


def seen_of(split: Split, noise: float, seed: int = 0) -> trial.Features:
    """Features of 3 steps a clip near the vector of its class; the motion ones are of pairs of classes."""
    rng = np.random.default_rng(seed)
    texts = np.eye(CLASSES, 8)
    clip = {m.id: texts[m.label] + noise * rng.normal(size=(3, 8)) for m in split.members}
    motion = {m.id: np.eye(2, 5)[m.label % 2] + noise * rng.normal(size=(3, 5)) for m in split.members}
    return trial.Features(clip, motion, texts, {"zero_shot": ZeroShot(ClassTexts(texts, 10.0))})


def asked(split: Split, seen: trial.Features, seed: int = 0) -> list[trial.Query]:
    films, _ = compose(split, dict.fromkeys(split.ids, 3), PARAMS.runs, np.random.default_rng(seed))
    return trial.queries(films, seen, lambda film, label: np.random.default_rng([seed, film, label]))


def test_every_group_stands_in_one_film_with_all_its_clips() -> None:
    split = part(3)
    films, left_out = compose(split, dict.fromkeys(split.ids, 3), 20, np.random.default_rng(0))
    assert left_out == 0
    assert len(films) == 3
    assert sorted(video for film in films for video in film.ids) == sorted(split.ids)
    for film in films:
        assert sorted(run.label for run in film.runs) == list(range(CLASSES))
        assert film.steps == 24
        assert [run.start for run in film.runs] == [0, 6, 12, 18]
    assert [run.label for run in films[0].runs] != [run.label for run in films[1].runs]


def test_films_have_no_more_runs_than_asked_and_lone_groups_are_counted() -> None:
    split = Split([*part(2).members, Member("alone", 0, "test", "g9")], part(2).classes)
    films, left_out = compose(split, dict.fromkeys(split.ids, 3), 3, np.random.default_rng(0))
    assert left_out == 1
    assert [len(film.runs) for film in films] == [2, 2, 2, 2]


def test_a_film_without_a_run_is_laid_end_to_end_again() -> None:
    films, _ = compose(part(1), dict.fromkeys(part(1).ids, 3), 20, np.random.default_rng(0))
    (film,) = films
    shorter = film.without(film.runs[1])
    assert shorter.steps == 18
    assert [(run.start, run.end) for run in shorter.runs] == [(0, 6), (6, 12), (12, 18)]


def test_true_bounds_and_clean_features_are_found_and_random_ones_are_not() -> None:
    split = part(3)
    queries = asked(split, seen_of(split, noise=0.0))
    ways = {way.name: way for way in trial.ways(PARAMS, ["zero_shot"])}
    figures = {}
    for name, way in ways.items():
        choice, _ = trial.choose(queries, way, 4.0)
        figures[name] = {metric: values.mean() for metric, values in trial.answers(queries, way, choice, 4.0).items()}
    for name in ("oracle", "shots", "query", "query_zero_shot"):
        assert figures[name]["miou"] == 1.0
        assert figures[name]["kept"] == pytest.approx(2 / 6)  # a tenth of 24 steps
    assert figures["random"]["miou"] < 0.5
    assert figures["uniform"]["miou"] < 1.0
    assert set(figures["query"]) == set(trial.METRICS)


def test_the_published_form_cuts_too_short_under_noise() -> None:
    split = part(6)
    queries = asked(split, seen_of(split, noise=0.05))
    ways = {way.name: way for way in trial.ways(PARAMS, [])}
    found = {
        name: trial.answers(queries, ways[name], trial.choose(queries, ways[name], 4.0)[0], 4.0)["miou"].mean()
        for name in ("published", "query")
    }
    assert found["query"] > 0.9
    assert found["published"] < found["query"] - 0.2


def test_permuted_labels_make_no_query_better_than_chance() -> None:
    """No way sees which run is meant but through the class that is asked for."""
    split = part(6)
    seen = seen_of(split, noise=0.05)
    turned = trial.Features(seen.clip, seen.motion, np.roll(seen.texts, 1, axis=0), {})
    queries = asked(split, turned)
    way = next(way for way in trial.ways(PARAMS, []) if way.name == "query")
    assert trial.answers(queries, way, trial.Choice("threshold", 1), 4.0)["r1_50"].mean() == 0.0


def test_kept_counts_a_tenth_of_the_film_the_best_spans_first() -> None:
    curve = np.zeros(40)
    curve[10:14] = [1.0, 3.0, 2.0, 4.0]
    spans = np.array([[10, 14], [0, 10], [14, 40]])
    assert trial.kept(spans, curve, (10, 14)) == 1.0
    assert trial.kept(spans, curve, (12, 20)) == 2 / 8
    assert trial.kept(spans[::-1], curve, (10, 14)) == 0.0


def test_choice_is_by_validation_alone_and_refused_without() -> None:
    split = part(3)
    queries = asked(split, seen_of(split, noise=0.0))
    way = next(way for way in trial.ways(PARAMS, []) if way.name == "query")
    choice, tried = trial.choose(queries, way, 4.0)
    assert len(tried) == 15
    assert max(row["miou_pct"] for row in tried) == 100.0
    assert {"rule": choice.rule, "merge": choice.merge, "miou_pct": 100.0} in tried
    with pytest.raises(DataError, match="set both, or hold groups out"):
        trial.choose([], way, 4.0)
    fixed = PARAMS.model_copy(update={"chunks": "maxima", "merge": 2})
    way = next(way for way in trial.ways(fixed, []) if way.name == "query")
    assert trial.choose([], way, 4.0) == (trial.Choice("maxima", 2), [])


def test_by_example_the_look_and_the_movement_find_their_own_runs() -> None:
    split = part(2)
    seen = seen_of(split, noise=0.01)
    films, _ = compose(split, dict.fromkeys(split.ids, 3), 20, np.random.default_rng(0))
    examples = {label: f"v{label}00" for label in range(CLASSES)}
    pairs = {0: 2, 1: 3, 2: 0, 3: 1}  # the same movement, another look
    moved = trial.by_example(films, examples, pairs, without_own=True)
    assert len(moved) == 8
    assert all(one.target.label == pairs[int(one.example[1])] for one in moved)
    choice = trial.Choice("threshold", 1)
    figures = {by: trial.alike_figures(moved, seen, by, choice, 4.0)["r1_50"].mean() for by in trial.BY}
    assert figures["motion"] == 1.0
    assert figures["clip"] < 0.8
    own = trial.by_example(films, examples, {label: label for label in examples}, without_own=False)
    assert trial.alike_figures(own, seen, "clip", choice, 4.0)["r1_50"].mean() == 1.0


def test_figures_and_differences_have_intervals_by_group() -> None:
    split = part(6)
    queries = {k: asked(split, seen_of(split, 0.3, k), k) for k in (1, 2)}
    level = Level(confidence_pct=95.0, fdr_pct=5.0)
    ways = {way.name: way for way in trial.ways(PARAMS, [])}
    choices = {"query": trial.Choice("threshold", 1), "random": trial.Choice("uniform", 1)}
    figures = {
        name: {k: trial.answers(of, ways[name], choice, 4.0) for k, of in queries.items()}
        for name, choice in choices.items()
    }
    design = trial.design_of({k: [query.run for query in of] for k, of in queries.items()})
    found = trial.summary(figures["query"], design, level)
    assert set(found) == set(trial.METRICS)
    low, high = found["miou"]["interval"]["low"], found["miou"]["interval"]["high"]
    assert low < found["miou"]["mean"] < high
    gained = trial.difference(figures["query"], figures["random"], design, level)["miou"]
    mean = np.mean([figures["query"][k]["miou"].mean() - figures["random"][k]["miou"].mean() for k in (1, 2)])
    assert gained["mean"] == pytest.approx(100 * mean, abs=1e-3)
    assert gained["interval"]["low"] > 0
    assert gained["word"] == "different"


def test_a_film_of_one_run_is_no_film() -> None:
    with pytest.raises(ValueError, match="runs"):
        SearchParams(every_s=1.0, chunk_s=4.0, chunks=None, merge=None, runs=1)
