"""What a head is given, and what it gives: videos with their streams in, a fitted classifier out.

Axes: n video, d feature of a stream, k class.

A head is a module with two functions:

    fit(videos: Videos, params, seed: Seed, ...) -> Fitted
    load(directory: Path) -> Fitted
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

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
class Cost:
    """What a head needs beside its streams: parameters that its fit chose, multiply-adds of one video."""

    parameters: int
    macs: int


class Fitted(ABC):
    """A head that was fitted, or loaded.

    Attributes:
        history: Epochs of its training; none where it has no epochs.
        choice: What was chosen on validation, and what was tried, as plain values; None where nothing was.
    """

    history: Sequence[Epoch] = ()
    choice: Mapping[str, Any] | None = None

    @property
    @abstractmethod
    def streams(self) -> tuple[str, ...]:
        """Streams that `logits` reads, by name."""

    @abstractmethod
    def logits(self, inputs: Mapping[str, Any]) -> np.ndarray:
        """Log-probabilities (n, k), up to a constant a video, of rows by stream."""

    @abstractmethod
    def save(self, directory: Path) -> None:
        """Write it as one directory, atomically: numbers without pickle, the rest as JSON."""

    @abstractmethod
    def cost(self) -> Cost | None:
        """What it costs beside its streams; None where no network runs."""

    def sees(self, videos: Videos) -> Videos:
        """The videos as this head sees them, where it was fitted on other streams than those that it was handed."""
        return videos
