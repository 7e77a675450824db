"""Papers on trial, one file each: what a paper claims, and the settings that its code ran with.

Everything that a verdict needs to know of a paper stands in its file; `papers/README.md` says how one is written.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, model_validator
from ruamel.yaml import YAMLError

from moclip.base.errors import PaperError
from moclip.base.outside import yaml
from moclip.heads.registry import HEADS, sections
from moclip.params.section import Section, broken_rule, is_of_keys

Text = Annotated[str, Field(min_length=1)]
Pair = Annotated[tuple[int, int], BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)]
PARAMETERS, GFLOPS = "M", "GFLOPs"


class Code(Section):
    """Where a paper's code lies, and what was read of it."""

    repository: Text
    commit: Text


class Claim(Section):
    """What all claims share: the words, where they stand, and what they hold for."""

    statement: Text
    where: Text
    protocol: Text

    @property
    def heads(self) -> tuple[str, ...]:
        """Heads that must have run before it can be judged."""
        return ()

    @property
    def claimed(self) -> str:
        """The figure, or the bound, as a table shows it."""
        raise NotImplementedError


class Count(Claim):
    """A count of trainable parameters, or of multiply-adds of a video; the paper's `costs` say of which networks."""

    about: Literal["parameters", "cost"]
    value: float
    unit: Literal["M", "GFLOPs"]

    @property
    def claimed(self) -> str:
        """The figure with its unit."""
        return f"{self.value:g} {self.unit}"

    @model_validator(mode="after")
    def _unit_of_what_it_is_about(self) -> "Count":
        if self.unit != (PARAMETERS if self.about == "parameters" else GFLOPS):
            raise ValueError("parameters are claimed in M, a cost in GFLOPs")
        return self


class Measured(Claim):
    """A claim that only test videos can settle.

    `needs` are the keys of the paper's `settings` in which a run must agree before it can be held against the claim;
    other differences are departures. `dataset` is of this claim alone, where it is not the paper's. `splits` are the
    lists that it was measured on, where they are known and not the paper's `split`. `margin` in points, with its
    reason, is what counts as the same: written down before there is a figure of ours.
    """

    head: Text
    dataset: Text | None = None
    needs: list[Text] = Field(default_factory=list)
    margin: float | None = Field(default=None, gt=0)
    margin_why: Text | None = None
    splits: list[Literal[1, 2, 3]] = Field(default_factory=list)

    @property
    def size(self) -> float | None:
        """The figure that is claimed; None where a direction alone is."""
        return None

    @model_validator(mode="after")
    def _margin_of_a_figure(self) -> "Measured":
        if (self.size is None) != (self.margin is None) or (self.margin is None) != (self.margin_why is None):
            raise ValueError(
                "a figure needs margin, the points of top-1 within which it counts as reproduced, and margin_why, the "
                "sentence that justifies it; a direction (above, below) has neither"
            )
        return self


class OfOneHead(Measured):
    """A top-1 of one head."""

    value: float
    unit: Literal["%"]

    @property
    def heads(self) -> tuple[str, ...]:
        """The one head."""
        return (self.head,)

    @property
    def size(self) -> float:
        """The figure."""
        return self.value

    @property
    def claimed(self) -> str:
        """The figure in percent."""
        return f"{self.value:.1f} %"


class Accuracy(OfOneHead):
    """Top-1 of one head among all classes."""

    about: Literal["head"]


class OfHalf(OfOneHead):
    """Top-1 of a head fitted on some of the classes, on test videos of one half among the classes of that half."""

    about: Literal["half"]
    half: Literal["seen", "unseen", "harmonic_mean"]


class Difference(Measured):
    """Top-1 of `head` over that of `minus`: its size is `value`, or it lies `above` or `below` so many points."""

    about: Literal["difference"]
    minus: Text
    value: float | None = None
    above: float | None = None
    below: float | None = None
    unit: Literal["points"]

    @property
    def heads(self) -> tuple[str, ...]:
        """Both heads."""
        return (self.head, self.minus)

    @property
    def size(self) -> float | None:
        """The figure, where one is claimed."""
        return self.value

    @property
    def claimed(self) -> str:
        """The figure or the bound, in points."""
        sign, bound = next((sign, bound) for sign, bound in self._figures() if bound is not None)
        return f"{sign}{bound:+g} points".replace("+0 ", "0 ").replace("-", "\N{MINUS SIGN}")

    def _figures(self) -> list[tuple[str, float | None]]:
        return [("", self.value), ("above ", self.above), ("below ", self.below)]

    @model_validator(mode="after")
    def _one_figure(self) -> "Difference":
        if sum(figure is not None for _, figure in self._figures()) != 1:
            raise ValueError("a difference has one of value, above and below")
        return self


class Retrieval(Claim):
    """Moments found by one way of searching over those found by another: `metric` in points lies `above` a bound.

    `row` and `minus` are rows of the search's table. `dataset` is of this claim alone, where it is not the paper's.
    """

    about: Literal["retrieval"]
    row: Literal["query", "query_fusion"]
    minus: Literal["uniform", "shots", "published", "query", "query_clip_probe"]
    metric: Literal["r1_30", "r1_50", "r1_70", "miou", "kept"]
    above: float
    unit: Literal["points"]
    dataset: Text | None = None

    @property
    def claimed(self) -> str:
        """The bound, in points."""
        return f"above {self.above:+g} points".replace("+0 ", "0 ").replace("-", "\N{MINUS SIGN}")


class Elsewhere(Claim):
    """A figure that nothing here can be held against; `lacks` says what would be needed."""

    about: Literal["elsewhere"]
    value: float
    unit: Text
    lacks: Text

    @property
    def claimed(self) -> str:
        """The figure with its unit."""
        return f"{self.value:g} {self.unit}"


class FeatureFusion(Section):
    """An MLP on one frame's CLIP feature and the mean feature of a motion network's inputs.

    `tests` are the test protocols of the code, as numbers of inputs and of crops; others are counted beside them.
    """

    network: Literal["feature_fusion"]
    clip: Text
    arch: Text
    input_px: int = Field(ge=1)
    hidden: int = Field(ge=1)
    classes: int = Field(ge=2)
    tests: list[Pair] = Field(min_length=1)
    inputs: list[int] = Field(min_length=1)
    crops: list[int] = Field(min_length=1)


class TemporalDecoder(Section):
    """A decoder of one query over the tokens of all frames, behind a frozen vision transformer of that width."""

    network: Literal["temporal_decoder"]
    clip: Text
    patches: Pair
    width: int = Field(ge=1)
    layers: int = Field(ge=1)
    mlp: int = Field(ge=1)
    classes: int = Field(ge=2)
    frames: int = Field(ge=1)
    views: int = Field(ge=1)


class Paper(Section):
    """One paper.

    `dataset` is what its claims are about, all of it; `split` is the one that its code ran, null for the mean over
    splits. `main` puts it first in the report, which is named after it, and opens with what it `says`: the words that
    follow "the paper claims". `switch` is how moclip runs its method.
    """

    title: Text
    arxiv: str | None = Field(pattern=r"^\d{4}\.\d{4,5}$")
    code: Code | None
    main: bool = False
    dataset: Text = "ucf101"
    split: Literal[1, 2, 3] | None = None
    says: Text | None = None
    mechanism: Text
    switch: dict[str, Any]
    left_out: list[Text]
    settings: dict[str, Any] = Field(default_factory=dict)
    costs: Annotated[FeatureFusion | TemporalDecoder, Field(discriminator="network")] | None = None
    claims: list[
        Annotated[Accuracy | OfHalf | Difference | Count | Retrieval | Elsewhere, Field(discriminator="about")]
    ] = Field(min_length=1)

    @property
    def named(self) -> str:
        """Its title, and where it can be read."""
        return f"{self.title}, arXiv {self.arxiv}" if self.arxiv else self.title

    def lists_of(self, claim: Measured) -> list[int]:
        """Splits that a claim was measured on; none where that is not known."""
        return list(claim.splits) or ([self.split] if self.split else [])

    def dataset_of(self, claim: Claim) -> str:
        """The data set that a claim is about."""
        return (claim.dataset if isinstance(claim, Measured | Retrieval) else None) or self.dataset


def read_papers(directory: Path) -> dict[str, Paper]:
    """Every paper of a directory by the name of its file: the main one first, then by name.

    Raises:
        PaperError: there is none; a file cannot be read or breaks a rule, by file and key; or two are the same paper.
    """
    files = sorted(directory.glob("*.yaml"))
    if not files:
        raise PaperError(f"{directory}: holds no paper (a file NAME.yaml)")
    papers = {file.stem: _read(file) for file in files}
    _refuse_twins(directory, papers)
    return dict(sorted(papers.items(), key=lambda item: not item[1].main))


def _read(file: Path) -> Paper:
    if not re.fullmatch(r"[\w-]+", file.stem, re.ASCII):  # it becomes the name of a tag
        raise PaperError(f"{file}: a paper's file is named by letters, digits, _ and - alone")
    try:
        values = yaml.load(file)
    except (OSError, ValueError, YAMLError) as error:
        raise PaperError(f"{file}: cannot be read ({error})") from error
    try:
        paper = Paper.model_validate(values)
    except ValidationError as error:
        raise PaperError("\n".join(_faults(file, error))) from error
    for key, fault in _unknown(paper):
        raise PaperError(f"{file}: key '{key}': {fault}")
    return paper


def _faults(file: Path, error: ValidationError) -> Iterator[str]:
    """Each fault by its key; which kind of claim or network was tried is no part of one."""
    for fault in error.errors(include_url=False):
        place = list(fault["loc"])
        if place[:1] == ["claims"]:
            del place[2:3]
        elif place[:1] == ["costs"]:
            del place[1:2]
        key = ".".join(map(str, place))
        if not key:
            yield f"{file}: must be a mapping of keys"
        elif fault["type"] == "missing":
            yield f"{file}: key '{key}': required, but missing"
        elif fault["type"] == "extra_forbidden":
            yield f"{file}: key '{key}': no such key; check its spelling"
        else:
            value = "" if is_of_keys(fault) else f" (value {fault['input']!r})"
            yield f"{file}: key '{key}': {broken_rule(fault)}{value}"


def _unknown(paper: Paper) -> Iterator[tuple[str, str]]:
    """Keys that name what is not there, each with the rule that it breaks."""
    known = set(_parameters())
    later = {head for claim in paper.claims for head in claim.heads} - set(HEADS)  # of a version that has these heads
    for where, keys in (("settings", paper.settings), ("switch", paper.switch)):
        for key in keys:
            if key not in known and key.split(".")[0] not in later:
                yield f"{where}.{key}", "no such parameter; params.yaml has them all"
    statements = [claim.statement for claim in paper.claims]
    for number, claim in enumerate(paper.claims):
        if claim.statement in statements[:number]:
            yield f"claims.{number}.statement", "another claim has the same; verdicts are told apart by it"
        for key in claim.needs if isinstance(claim, Measured) else ():
            if key not in paper.settings:
                yield f"claims.{number}.needs", f"'{key}' is none of its settings"
        if isinstance(claim, Count) and paper.costs is None:
            yield f"claims.{number}", f"a claim of {claim.about} needs `costs`, which say what is counted"


def _parameters() -> Iterator[str]:
    """Dotted keys of all parameters."""
    for name, model in sections().items():
        if isinstance(model, type) and issubclass(model, BaseModel):
            yield from (f"{name}.{field}" for field in model.model_fields)
        else:
            yield name


def _refuse_twins(directory: Path, papers: Mapping[str, Paper]) -> None:
    seen: dict[str, str] = {}
    for name, paper in papers.items():
        told = [("arxiv", paper.arxiv, "one paper has one file"), ("main", paper.main or None, "one paper is first")]
        for key, value, rule in told:
            if value is not None and (other := seen.setdefault(f"{key}: {value}", name)) != name:
                file, twin = directory / f"{name}.yaml", directory / f"{other}.yaml"
                raise PaperError(f"{file}: key '{key}': {twin} has {value!r} too; {rule}")
