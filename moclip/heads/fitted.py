"""What a head is given, and what it gives: videos with their streams in, a fitted classifier out.

Axes: n video, d feature of a stream, k class.

A head is a module with two functions:

    fit(videos: Videos, params, seed: Seed, on_epoch=..., resources=...) -> Fitted
    load(directory: Path) -> Fitted
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np

from moclip.data.splits import Split
from moclip.training.history import Epoch

Seed = tuple[int, str, int]
"""The one seed, the head's name and the split's number: together they seed every draw."""


class Stream(Protocol):
    """Something known of each video; a missing video is a `StoreError` that names it."""

    def of(self, ids: Sequence[str]) -> Any:
        """A row for each of these videos, in this order."""


@dataclass(frozen=True)
class ClassTexts:
    """What CLIP knows of the classes: a unit text feature each (k, d), and the inverse temperature of its logits."""

    features: np.ndarray
    logit_scale: float


@dataclass(frozen=True)
class Videos:
    """The videos of one split, and what is known of each by the name of a stream; of the classes, `texts`."""

    split: Split
    streams: Mapping[str, Stream]
    texts: ClassTexts | None = None

    def inputs(self, part: str) -> dict[str, Any]:
        """Rows of a part by stream; features are (n, d)."""
        ids = self.split.part(part).ids
        return {name: stream.of(ids) for name, stream in self.streams.items()}


@dataclass(frozen=True)
class Resources:
    """What a fit may need beside features.

    Attributes:
        sections: Sections of the parameters that the registry says the head also reads, by name.
        work: Directory of this fit alone, for what a killed process is to find again.
        code: Digest of the code that runs; half-done work of other code is not taken up.
        kept: Ends when the fits of all splits are done; until then a finished split keeps its state.
        fields: Directory of the motion store, where the stage was given one.
        network: Directory of the split's motion network, with it.
        clip: Directory of the frozen CLIP, where the stage was given one.
    """

    sections: Mapping[str, Any]
    work: Path
    code: str
    kept: ExitStack
    fields: Path | None = None
    network: Path | None = None
    clip: Path | None = None


@dataclass(frozen=True)
class Cost:
    """What a head needs beside its streams: parameters that its fit chose, multiply-adds of one video."""

    parameters: int
    macs: int


@dataclass(frozen=True)
class Account:
    """What a stream or a head costs in all.

    Attributes:
        trainable_parameters: Its own.
        trained_in_all: Those of the trained networks that it builds on added.
        macs_per_video: Multiply-adds of one video, all networks.
        streams: Facts of the networks behind its streams, by stream.
    """

    trainable_parameters: int
    trained_in_all: int
    macs_per_video: int
    streams: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of_clip(cls, facts: Mapping[str, Any]) -> Self:
        """Account of the frozen CLIP on one frame, or on as many as `frames` of the facts says."""
        return cls(0, 0, facts.get("frames", 1) * facts["frame_macs"], {"clip": facts})

    @classmethod
    def of_motion(cls, facts: Mapping[str, Any]) -> Self:
        """Account of the motion network on all fields of a video."""
        parameters = facts["parameters"]
        return cls(parameters, parameters, facts["inputs"] * facts["input_macs"], {"motion": facts})


def total(own: Cost, below: Sequence[Account]) -> Account:
    """Account of a head on these streams or heads."""
    return Account(
        own.parameters,
        own.parameters + sum(account.trained_in_all for account in below),
        own.macs + sum(account.macs_per_video for account in below),
        {name: facts for account in below for name, facts in account.streams.items()},
    )


class Fitted(ABC):
    """A head that was fitted, or loaded.

    Attributes:
        history: Epochs of its training; none where it has no epochs.
        choice: What was chosen on validation, and what was tried, as plain values; None where nothing was.
        seen: Names of the classes that it was fitted on, where it meets the others in the test alone; else None.
    """

    history: Sequence[Epoch] = ()
    choice: Mapping[str, Any] | None = None
    seen: Sequence[str] | None = None

    @property
    @abstractmethod
    def streams(self) -> tuple[str, ...]:
        """Streams that `logits` reads, by name."""

    @abstractmethod
    def logits(self, inputs: Mapping[str, Any]) -> np.ndarray:
        """Log-probabilities (n, k), up to a constant a video, of rows by stream."""

    def features(self, inputs: Mapping[str, Any]) -> np.ndarray:
        """Features (n, d) that another head may take for a stream, of rows by stream."""
        raise NotImplementedError(f"{type(self).__name__} makes no feature of a video, only logits")

    @abstractmethod
    def save(self, directory: Path) -> None:
        """Write it as one directory, atomically: numbers without pickle, the rest as JSON."""

    @abstractmethod
    def cost(self) -> Cost | None:
        """What it costs beside its streams; None where no network runs."""

    def beside(self, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Log-probabilities (n, k) of what it is read beside where it has not seen all classes, by name; none else."""
        return {}

    def sees(self, videos: Videos) -> Videos:
        """The videos as this head sees them, where it was fitted on other streams than those that it was handed."""
        return videos
