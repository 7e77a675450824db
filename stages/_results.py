"""Results of heads, read from the directories that `evaluate` wrote."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from moclip.base.files import read_json
from moclip.params.evaluate import EvaluateParams
from moclip.results.halves import HalfRow, read_half_rows
from moclip.results.intervals import Level
from moclip.results.predictions import Outcomes, read_kept, read_outcomes, with_repeats
from stages._entry import section
from stages._layout import cost_file, evaluated


def read_all_outcomes(results: Path, heads: Iterable[str], splits: Sequence[int]) -> dict[str, dict[int, Outcomes]]:
    """Outcomes by head and split, with what repeats of each training say."""
    return {head: {k: _outcomes(results / head, k) for k in splits} for head in heads}


def _outcomes(head: Path, split: int) -> Outcomes:
    files = evaluated(head, split)
    outcomes = read_outcomes(files.outcomes)
    # An older version of moclip kept no logits, and trained once.
    return with_repeats(outcomes, read_kept(files.logits), files.logits) if files.logits.is_file() else outcomes


def read_all_halves(results: Path, head: str, splits: Sequence[int]) -> dict[int, Sequence[HalfRow]]:
    """Test videos by half and split, of a head that was fitted on some of the classes; else none."""
    files = {k: evaluated(results / head, k).halves for k in splits}
    return {k: read_half_rows(file) for k, file in files.items() if file.is_file()}


def read_costs(results: Path, heads: Iterable[str]) -> Mapping[str, Any]:
    """What heads cost, of those that know it."""
    files = {head: cost_file(results / head) for head in heads}
    return {head: read_json(file) for head, file in files.items() if file.is_file()}


def level_of_params() -> Level:
    """How sure intervals and words are, by the parameters."""
    return Level(**section("evaluate", EvaluateParams).model_dump())
