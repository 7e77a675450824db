"""An ablation suite: named questions, each a change of parameters, answered by the accuracy of one head.

Values in, values out: what runs the experiments, and where their files lie, is the caller's business.
"""

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from pydantic import Field
from ruamel.yaml import YAMLError

from moclip.base.errors import DataError, ParamsError
from moclip.base.files import fingerprint
from moclip.base.markdown import compatible
from moclip.base.outside import yaml
from moclip.params.flat import flatten
from moclip.params.section import Section, validated
from moclip.results.contrast import DIFFERENT, EQUAL, NONE_DIFFERS, NOT_KNOWN, Contrast, among, equality
from moclip.results.estimate import Design
from moclip.results.intervals import Level, paired, paired_hits
from moclip.results.predictions import Outcomes
from moclip.results.seeds import Noise, differences_of, hits_of, noise
from moclip.results.summary import Json, sample_std

NAME_PATTERN = r"^[a-z0-9]+(-[a-z0-9]+)*$"
BASE = "base"
Check = Callable[[Mapping[str, Any]], None]
Code = str | Callable[[Mapping[str, Any]], str]


class _Named(Protocol):
    @property
    def name(self) -> str: ...


NamedT = TypeVar("NamedT", bound=_Named)


class Variant(Section):
    """One question: which parameters to set, which head answers, which head of the base it is held against."""

    name: str = Field(pattern=NAME_PATTERN, max_length=40)
    topic: str = Field(min_length=1)
    question: str = Field(min_length=1)
    head: str
    against: str | None = Field(default=None, description="Head of the base; null for the same head.")
    set: dict[str, Any] = Field(default={}, description="Parameters by dotted name; none for a head of the base.")
    equal_within: float | None = Field(
        default=None, gt=0, description="Points of top-1 that count as none, where sameness is the question."
    )

    @property
    def rival(self) -> str:
        """The head of the base that this variant is held against."""
        return self.against or self.head


def read_suite(path: Path, heads: Collection[str], main: str) -> list[Variant]:
    """Read the variants of a suite, in the file's order.

    Args:
        path: The file.
        heads: Every head that there is.
        main: The head that answers where a variant names none.

    Raises:
        ParamsError: the file is unreadable, a variant breaks a rule or names an unknown head, or a name stands twice.
    """
    try:
        content = yaml.load(path)
    except (OSError, YAMLError) as error:
        raise ParamsError(f"{path}: cannot be read ({error})") from error
    if isinstance(content, list):
        content = [{"head": main, **entry} if isinstance(entry, dict) else entry for entry in content]
    variants = validated(str(path), list[Variant], content)
    for name, head in ((variant.name, head) for variant in variants for head in (variant.head, variant.rival)):
        if head not in heads:
            raise ParamsError(f"{path}: variant '{name}': '{head}' is no head; known: {', '.join(heads)}")
    names = [variant.name for variant in variants]
    if twice := sorted({name for name in [*names, BASE] if [*names, BASE].count(name) > 1}):
        raise ParamsError(f"{path}: variant '{twice[0]}' stands twice (the base itself is '{BASE}')")
    return variants


def choose(variants: Sequence[NamedT], names: Sequence[str]) -> list[NamedT]:
    """The variants, or encoders, of these names, in the suite's order; all where no name is given.

    Raises:
        ParamsError: a name is not in the suite.
    """
    known = [variant.name for variant in variants]
    if unknown := [name for name in names if name not in known]:
        raise ParamsError(f"'{unknown[0]}': not in the suite; it has {', '.join(known)}")
    return [variant for variant in variants if not names or variant.name in names]


@dataclass(frozen=True)
class Job:
    """One experiment: a variant (`base` for none) with one seed; equal names are equal experiments."""

    variant: str
    seed: int
    heads: tuple[str, ...]
    changes: Mapping[str, Any]
    name: str


def plan(
    variants: Sequence[Variant],
    params: Mapping[str, Any],
    seeds: Sequence[int],
    code: Code,
    check: Check,
    related: Callable[[Sequence[str]], Collection[str]],
) -> tuple[list[Job], list[Job]]:
    """The experiments that answer `variants`: those of the base, which come first, and the others.

    A variant without changes, or whose values the base has already, needs no experiment of its own.
    A job's name holds a digest of all parameters and of `code`, so that a finished experiment is
    known again, and only while it would come out the same.

    Args:
        variants: The questions.
        params: Parameters of the base.
        seeds: With which each experiment runs.
        code: Stands for all that an experiment rests on beside its parameters; a function where they choose it.
        check: Refuses a whole set of parameters that breaks a rule, by a `ParamsError`.
        related: Entries of the parameter `related` that some heads need; an experiment with such heads gets them.

    Raises:
        ParamsError: a change names an unknown parameter or breaks a rule; the variant is named.
    """
    rivals = {variant.rival for variant in variants} | {v.head for v in variants if not needs_run(v, params)}
    heads = [*params["heads"], *sorted(rivals - set(params["heads"]))]
    job = partial(job_of, params=params, code=code, check=check, related=related)
    base = [job(BASE, seed, heads, {}) for seed in seeds]
    others = [
        job(variant.name, seed, [variant.head], variant.set)
        for variant in variants
        if needs_run(variant, params)
        for seed in seeds
    ]
    return base, others


def needs_run(variant: Variant, params: Mapping[str, Any]) -> bool:
    """Whether the variant differs from the base in any value."""
    return any(_get(params, name, variant.name) != value for name, value in variant.set.items())


def job_of(
    variant: str,
    seed: int,
    heads: Sequence[str],
    values: Mapping[str, Any],
    params: Mapping[str, Any],
    code: Code,
    check: Check,
    related: Callable[[Sequence[str]], Collection[str]],
) -> Job:
    """One experiment: `values` by dotted name over `params`; the rest is as for `plan`.

    Raises:
        ParamsError: as `plan`.
    """
    values = {**values, "heads": list(heads), "seed": seed}
    if lacking := set(related(heads)) - set(params.get("related", [])):
        values["related"] = [*params["related"], *sorted(lacking)]
    changes = {name: value for name, value in values.items() if _get(params, name, variant) != value}
    whole = copy.deepcopy(dict(params))
    for name, value in changes.items():
        section, _, key = name.rpartition(".")
        (whole[section] if section else whole)[key] = value
    try:
        check(whole)
    except ParamsError as error:
        raise ParamsError(f"variant '{variant}': {error}") from error
    rests_on = code if isinstance(code, str) else code(whole)
    return Job(variant, seed, tuple(heads), changes, f"ablate-{variant}-s{seed}-{fingerprint(whole, rests_on)}")


def _get(params: Mapping[str, Any], name: str, variant: str) -> Any:
    node: Any = params
    for key in name.split("."):
        if not isinstance(node, Mapping) or key not in node:
            raise ParamsError(f"variant '{variant}': parameter '{name}': no such parameter")
        node = node[key]
    return node


@dataclass(frozen=True)
class HeadCost:
    """What a head costs: parameters that were trained, multiply-adds of one video in billions."""

    trainable_parameters: int
    gmac_per_video: float


@dataclass(frozen=True)
class Run:
    """What one finished experiment says: its summary, outcomes by head and split, cost of the heads."""

    summary: Json
    outcomes: Mapping[str, Mapping[int, Outcomes]]
    costs: Mapping[str, HeadCost]

    def top1_pct(self, head: str) -> float:
        """Top-1 of a head, mean over splits and trainings."""
        return float(np.mean(self.top1_by_training_pct(head)))

    def top1_by_training_pct(self, head: str) -> list[float]:
        """Top-1 of each training of a head, mean over splits."""
        of_splits = [outcomes.hits_by_training.mean(axis=1) for outcomes in self.outcomes[head].values()]
        return [100.0 * float(value) for value in np.mean(of_splits, axis=0)]


@dataclass(frozen=True)
class Answer:
    """The answer to one question; accuracies in percent, differences in percentage points.

    `top1_std_pct` is the sample standard deviation over seeds (None for one seed), each seed being
    the mean over splits. The contrast is over groups of test videos, with the seeds' hits averaged.
    `acts` is False where the change moved not one score of a test video: here it cannot be tested.
    """

    variant: Variant
    change: str
    n_test: int
    seeds: int
    top1_pct: float
    top1_std_pct: float | None
    contrast: Contrast
    noise: Noise
    acts: bool
    cost: HeadCost | None

    @property
    def delta_points(self) -> float:
        """The difference of top-1, mean over splits."""
        return self.contrast.points

    @property
    def interval(self) -> Mapping[str, float] | None:
        """Of the difference; None where no video differs or no spread can be estimated."""
        return self.contrast.interval

    @property
    def testable(self) -> bool:
        """Whether the row is a question that these data can answer one way or the other."""
        return bool(self.change) and self.acts and self.contrast.p is not None

    @property
    def word(self) -> str:
        """The answer in one word, by the one rule; where sameness is the question, by that of `equality`."""
        if not self.change:
            return "is the base itself"
        if not self.acts:
            return "not testable here"
        margin = self.variant.equal_within
        word = self.contrast.word if margin is None else equality(self.contrast, margin)
        # With one training the page says that its noise is left out; with several it counts.
        return self.noise.word if word == DIFFERENT and len(self.noise.per_training) > 1 else word

    @property
    def verdict(self) -> str:
        """The question's answer in words, with what is still compatible where nothing was shown."""
        word = self.word
        if word == DIFFERENT:
            return f"{abs(self.delta_points):.1f} points {'above' if self.delta_points > 0 else 'below'}"
        if word == EQUAL:
            return f"equal within {self.variant.equal_within:g} point{'' if self.variant.equal_within == 1 else 's'}"
        if word == NONE_DIFFERS:
            return f"{word} (at most {self.contrast.at_most_pct:.1f} % of recordings)"
        if word == NOT_KNOWN:
            return "no interval can be given"
        if self.interval is None or not self.change or not self.acts:
            return word
        return compatible(word, self.interval)


def answer(
    variant: Variant, params: Mapping[str, Any], base: Sequence[Run], own: Sequence[Run], level: Level
) -> Answer:
    """Hold a variant's runs against the base's, seed by seed, on the videos that both tested.

    Args:
        variant: The question.
        params: Parameters of the base.
        base: Runs of the base, by seed.
        own: Runs of the variant, in the same order of seeds; the base's where it needs none of its own.
        level: Of intervals and words.

    Raises:
        DataError: the two have no split, or no test video of a split, in common.
    """
    firsts = [run.outcomes[variant.head] for run in own]
    seconds = [run.outcomes[variant.rival] for run in base]
    per_seed = [run.top1_pct(variant.head) for run in own]
    values, design = _differences(firsts, seconds)
    return Answer(
        variant,
        _change(variant, params),
        n_test=sum(len(value) for value in values.values()),
        seeds=len(own),
        top1_pct=round(float(np.mean(per_seed)), 4),
        top1_std_pct=sample_std(per_seed if len(own) > 1 else own[0].top1_by_training_pct(variant.head)),
        contrast=level.contrast(values, design),
        noise=noise(_by_training(firsts, seconds), design, level.confidence_pct),
        acts=_acts(firsts, seconds),
        cost=own[0].costs.get(variant.head),
    )


def answered_together(rows: Sequence[Answer]) -> list[Answer]:
    """The same answers as those of one suite: each question that can be tested gets its q among all that can."""
    asked = [row for row in rows if row.testable]
    corrected = dict(zip(map(id, asked), among([row.contrast for row in asked]), strict=True))
    return [replace(row, contrast=corrected.get(id(row), row.contrast)) for row in rows]


def _acts(firsts: Sequence[Mapping[int, Outcomes]], seconds: Sequence[Mapping[int, Outcomes]]) -> bool:
    """Whether anything at all differs: the videos, an answer, or a score of one."""
    return any(_differ(a, b) for a, b in zip(firsts, seconds, strict=True))


def _differ(first: Mapping[int, Outcomes], second: Mapping[int, Outcomes]) -> bool:
    if set(first) != set(second) or any(set(first[k].ids) != set(second[k].ids) for k in first):
        return True
    pairs = [paired(first[k], second[k]) for k in first]
    if any((a.predicted != b.predicted).any() for a, b in pairs):
        return True
    if any(a.scores is None or b.scores is None for a, b in pairs):
        return True  # results of an older version do not tell
    return any((a.scores.nll_nats != b.scores.nll_nats).any() for a, b in pairs if a.scores and b.scores)


def _by_training(
    firsts: Sequence[Mapping[int, Outcomes]], seconds: Sequence[Mapping[int, Outcomes]]
) -> list[dict[int, np.ndarray]]:
    """Differences of hits (n,) by split of each experiment; of a single one, of each training in it."""
    splits = sorted(set(firsts[0]) & set(seconds[0]))
    if len(firsts) > 1:
        both = zip(firsts, seconds, strict=True)
        return [{k: paired_hits(*_common(a[k], b[k]))[1] for k in splits} for a, b in both]
    pairs = {k: paired(*_common(firsts[0][k], seconds[0][k])) for k in splits}
    return differences_of(*(hits_of({k: pair[i] for k, pair in pairs.items()}) for i in (0, 1)))


def _differences(
    firsts: Sequence[Mapping[int, Outcomes]], seconds: Sequence[Mapping[int, Outcomes]]
) -> tuple[dict[int, np.ndarray], Design]:
    """Difference of hits per video (n,), averaged over seeds, by split, and the design of the videos."""
    splits = sorted(set(firsts[0]) & set(seconds[0]))
    if not splits:
        raise DataError(f"no split in common: {sorted(firsts[0])} and {sorted(seconds[0])}")
    values, ordered = {}, {}
    for split in splits:
        pairs = [paired_hits(*_common(a[split], b[split])) for a, b in zip(firsts, seconds, strict=True)]
        values[split] = np.mean([difference for _, difference in pairs], axis=0)
        ordered[split] = pairs[0][0]
    return values, Design.of(ordered)


def _common(first: Outcomes, second: Outcomes) -> tuple[Outcomes, Outcomes]:
    """Both without the videos that only one of them tested."""
    both = np.intersect1d(first.ids, second.ids)
    if not len(both):
        raise DataError("no test video in common")
    return first.only(np.isin(first.ids, both)), second.only(np.isin(second.ids, both))


def _change(variant: Variant, params: Mapping[str, Any]) -> str:
    values = {name: value for name, value in variant.set.items() if _get(params, name, variant.name) != value}
    changed = [f"{name}={text}" for name, text in flatten(values).items()]
    if variant.head != variant.rival:
        changed.insert(0, f"{variant.head} for {variant.rival}")
    return ", ".join(changed)


CSV_COLUMNS = (
    "variant", "topic", "question", "change", "head", "against", "n_test", "seeds", "top1_pct", "top1_std_pct",
    "delta_points", "low_points", "high_points", "p", "q", "detectable_points", "word", "trainable_parameters",
    "gmac_per_video", "answer",
)  # fmt: skip


def csv_row(row: Answer) -> tuple[Any, ...]:
    """Values of `CSV_COLUMNS`; what there is none of is empty."""
    variant, cost, ends = row.variant, row.cost, row.interval or {}
    values = (
        variant.name, variant.topic, variant.question, row.change, variant.head, variant.rival, row.n_test, row.seeds,
        row.top1_pct, row.top1_std_pct, row.delta_points, ends.get("low"), ends.get("high"), row.contrast.p,
        row.contrast.q, row.contrast.detectable_points, row.word, cost and cost.trainable_parameters,
        cost and cost.gmac_per_video, row.verdict,
    )  # fmt: skip
    return tuple("" if value is None else value for value in values)
