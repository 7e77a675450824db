"""The head `metadata_only`: logistic regression on what a file gives away without being decoded.

Bytes are left out: how many a picture takes depends on what it shows and how that moves.

Axes: n video, d input.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from moclip.data.facts import Facts
from moclip.heads.fitted import Fitted, Seed, Videos
from moclip.heads.logistic import (
    Labelled,
    Logistic,
    check_learnable,
    fit_logistic,
    load_logistic,
    save_logistic,
)
from moclip.params.heads.metadata_only import MetadataOnlyParams

STREAM = "container"
BINS = 10


@dataclass(frozen=True)
class Encoding:
    """How facts become inputs: an input of 0 or 1 for each word seen in training, and for each range of a length.

    words: by fact, its words; edges: by fact, inner edges of at most `BINS` ranges that hold equal shares of the
    training part, for lengths are no straight line to a class.
    """

    words: Mapping[str, Sequence[str]]
    edges: Mapping[str, Sequence[float]]

    @classmethod
    def of(cls, facts: Sequence[Facts]) -> "Encoding":
        """Collect words and ranges from the facts of the training part, of which there must be one or more."""
        # By name, as JSON gives them back: weights stand in this order.
        kinds = {name: isinstance(value, str) for name, value in sorted(facts[0].items())}
        return cls(
            words={name: sorted({str(row[name]) for row in facts}) for name, word in kinds.items() if word},
            edges={name: _edges([int(row[name]) for row in facts]) for name, word in kinds.items() if not word},
        )

    def inputs(self, facts: Sequence[Facts]) -> np.ndarray:
        """Inputs (n, d) of 0 and 1; a word that was not seen in training leaves all inputs of its fact at 0."""
        columns = [[row[name] == word for row in facts] for name, words in self.words.items() for word in words]
        for name, edges in self.edges.items():
            ranges = [bisect_right(edges, int(row[name])) for row in facts]
            columns += [[found == number for found in ranges] for number in range(len(edges) + 1)]
        return np.array(columns, dtype=np.float64).reshape(len(columns), len(facts)).T

    def config(self) -> dict[str, Any]:
        """Words and edges as plain values."""
        return {
            "words": {name: list(words) for name, words in self.words.items()},
            "edges": {name: list(edges) for name, edges in self.edges.items()},
        }


@dataclass
class MetadataClassifier(Fitted):
    """A classifier and the encoding of its inputs."""

    classifier: Logistic
    encoding: Encoding
    streams = (STREAM,)

    def logits(self, inputs: Mapping[str, Any]) -> np.ndarray:
        """Log-probabilities (n, k) of n videos' facts."""
        return self.classifier.log_probabilities(self.encoding.inputs(inputs[STREAM]))

    def save(self, directory: Path) -> None:
        """Write weights, words and edges."""
        save_logistic(directory, self.classifier, self.encoding.config())

    def cost(self) -> None:
        """No network runs."""
        return


def fit(videos: Videos, params: MetadataOnlyParams, seed: Seed, **_: Any) -> MetadataClassifier:
    """Fit on the train part, choose C on the val part; the test part is not looked at.

    Raises:
        DataError: as `moclip.heads.logistic.fit_logistic`.
    """
    check_learnable(videos.split.part("train").labels)
    facts = {part: videos.inputs(part)[STREAM] for part in ("train", "val")}
    encoding = Encoding.of(facts["train"])
    train, val = (Labelled(encoding.inputs(rows), videos.split.part(part).labels) for part, rows in facts.items())
    classifier = fit_logistic(train, val, params.c_values, len(videos.split.classes))
    fitted = MetadataClassifier(classifier, encoding)
    fitted.choice = classifier.record()
    return fitted


def load(directory: Path) -> MetadataClassifier:
    """Read what `MetadataClassifier.save` wrote.

    Raises:
        StoreError: a file is missing or damaged.
    """
    classifier, config, _ = load_logistic(directory)
    return MetadataClassifier(classifier, Encoding(config["words"], config["edges"]))


def _edges(values: Sequence[int]) -> list[float]:
    cuts = np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1])
    return sorted({float(cut) for cut in cuts if min(values) < cut})
