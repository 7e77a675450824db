"""Long videos composed of short ones: of each class one group's clips end to end, the classes one after the other.

Nothing is encoded: a film is an order of clips, and its features are theirs. Axes: t step, d feature.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from moclip.data.splits import Split

LEAST_RUNS = 2


@dataclass(frozen=True)
class Run:
    """All clips of one group of one class, in a film.

    Attributes:
        label: Index of the class.
        group: The recording.
        ids: Its clips.
        start, end: Half-open span of steps.
    """

    label: int
    group: str
    ids: tuple[str, ...]
    start: int
    end: int


@dataclass(frozen=True)
class Film:
    """Runs of distinct classes, one after the other."""

    runs: tuple[Run, ...]

    @property
    def ids(self) -> list[str]:
        """Clips in their order."""
        return [video for run in self.runs for video in run.ids]

    @property
    def steps(self) -> int:
        """Steps in all."""
        return self.runs[-1].end

    def without(self, left_out: Run) -> "Film":
        """The same without one of its runs."""
        parts = [(run.label, run.group, run.ids, run.end - run.start) for run in self.runs if run != left_out]
        return Film(tuple(_laid_end_to_end(parts)))


def compose(part: Split, steps: Mapping[str, int], most_runs: int, rng: np.random.Generator) -> tuple[list[Film], int]:
    """Compose films of a part of a split, in which every group stands once.

    The v-th groups of all classes, in an order that is drawn, make films of at most `most_runs` runs, as equal as can
    be.

    Args:
        part: The videos.
        steps: Of each video.
        most_runs: Runs of a film.
        rng: Draws groups and order.

    Returns:
        The films, and how many groups are in none: those that would have made a film of one run, in which there is
        nothing to search.
    """
    groups: dict[int, dict[str, list[str]]] = {}
    for member in sorted(part.members, key=lambda member: member.id):
        groups.setdefault(member.label, {}).setdefault(member.group, []).append(member.id)
    drawn = {label: [list(own)[i] for i in rng.permutation(len(own))] for label, own in sorted(groups.items())}
    films, left_out = [], 0
    for layer in range(max(map(len, drawn.values()), default=0)):
        labels = rng.permutation([label for label, own in drawn.items() if len(own) > layer])
        for some in np.array_split(labels, -(-len(labels) // most_runs)):
            if len(some) < LEAST_RUNS:
                left_out += len(some)
                continue
            own = [(int(label), group := drawn[label][layer], groups[label][group]) for label in some.tolist()]
            lengths = [sum(steps[video] for video in ids) for _, _, ids in own]
            films.append(
                Film(tuple(_laid_end_to_end([(*one, length) for one, length in zip(own, lengths, strict=True)])))
            )
    return films, left_out


def _laid_end_to_end(parts: Sequence[tuple[int, str, Sequence[str], int]]) -> Iterator[Run]:
    start = 0
    for label, group, ids, length in parts:
        yield Run(label, group, tuple(ids), start, start + length)
        start += length
