"""Not a stage: `moclip compare` holds DVC experiments against a baseline, on the same videos."""

import shlex
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moclip.base.errors import DataError, ParamsError, StoreError
from moclip.base.outputs import claim_page, table_of, write_page
from moclip.base.outside.terminal import say
from moclip.cli.options.scripts import parser_of
from moclip.params.flat import flatten
from moclip.report.comparison_page import as_markdown, as_text
from moclip.results.comparison import COLUMNS, Variant, compare
from moclip.results.predictions import read_outcomes
from moclip.results.summary import read_metrics
from stages._entry import PARAMS_FILE, command, read_params
from stages._layout import evaluated
from stages._results import level_of_params
from stages.dvc.digest import md5
from stages.dvc.experiments import DONE, Revision, find, snapshot
from stages.dvc.lock import Lock, read_lock

LOCKS = ("dvc.lock", "heads/dvc.lock")


def main() -> None:
    args = parser_of("compare").parse_args()
    if args.out:
        claim_page(args.out)
    level = level_of_params()
    baseline, *asked = (find(name) for name in dict.fromkeys([args.baseline, *args.experiments]))
    if not asked:
        raise DataError(f"nothing to hold against {args.baseline}: name another experiment, or --baseline")
    notes = [f"{revision.name}: {revision.state}, has no result yet" for revision in asked if revision.state != DONE]
    with tempfile.TemporaryDirectory() as folder:
        variants = [_variant(revision, Path(folder)) for revision in [baseline, *asked] if revision.state == DONE]
    if baseline.state != DONE or len(variants) < 2:
        raise DataError("; ".join([*notes, f"there is nothing to hold against {args.baseline}"]))
    found = compare(variants[0], variants[1:], level, notes)
    say(as_text(found))
    if args.out:
        write_page(args.out, as_markdown(found), COLUMNS, (row.values() for row in found.rows))
        say(f"\nwritten: {args.out}, {table_of(args.out)}")


def _variant(revision: Revision, folder: Path) -> Variant:
    """The result of a revision: figures and outcomes of the heads and splits that its parameters ask for.

    Raises:
        DataError: there is no result, or it is one of other parameters than the revision's.
    """
    root = snapshot(revision, [*LOCKS, PARAMS_FILE.as_posix()], folder / (revision.commit or revision.name))
    try:
        params, lock = read_params(root / PARAMS_FILE), read_lock(*(root / name for name in LOCKS))
        asked = _results(lock, params)
        snapshot(revision, list(asked.values()), root)
        _check_parameters(lock, params, {path: md5(root / path) for path in asked.values()})
        files = {
            head: {split: evaluated(root / path, split) for split in params["splits"]} for head, path in asked.items()
        }
        behind = {head: flatten(lock.params_behind({path: md5(root / path)})) for head, path in asked.items()}
        metrics = {head: {k: read_metrics(made.metrics, head, k) for k, made in files[head].items()} for head in files}
        outcomes = {head: {k: read_outcomes(made.outcomes) for k, made in files[head].items()} for head in files}
    except (StoreError, ParamsError) as error:
        raise DataError(f"{revision.name}: has no result that can be compared: {error}") from error
    return Variant(revision.name, flatten(params), metrics, outcomes, behind)


def _results(lock: Lock, params: Mapping[str, Any]) -> dict[str, str]:
    """The directory of results of each head that is asked for and was evaluated."""
    stages = {head: lock.stages.get(f"evaluate@{head}") for head in params["heads"]}
    found = {head: _option(stage["cmd"], "--out") for head, stage in stages.items() if stage is not None}
    if not found:
        raise StoreError("no head that its parameters ask for was evaluated; run `dvc repro`")
    return found


def _option(cmd: str, name: str) -> str:
    """The word behind an option of a stage's command: dvc.yaml alone says where results lie."""
    words = shlex.split(cmd)
    return words[words.index(name) + 1]


def _check_parameters(lock: Lock, params: Mapping[str, Any], files: Mapping[str, str]) -> None:
    """Refuse files, digests by path, that were made with other parameters than `params`."""
    asked = flatten(params)
    for key, locked in sorted(flatten(lock.params_behind(files)).items()):
        if locked != asked.get(key):
            raise StoreError(
                f"its results were made with {key} = {locked}, its {PARAMS_FILE} says {asked.get(key, 'nothing')}; "
                "run `dvc repro`, or put the parameter back"
            )


if __name__ == "__main__":
    command(main)
