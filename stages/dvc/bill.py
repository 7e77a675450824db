"""What a result cost, written beside the report: the stages behind it by dvc.lock, their records by what they wrote."""

from collections.abc import Iterable
from pathlib import Path

from moclip.base.files import sha256_file, write_json, write_text
from moclip.report.cost import StageCost, cost_page, cost_summary
from stages._entry import costs
from stages.dvc.cost import dvc_command, find
from stages.dvc.lock import Lock


def write_bill(lock: Lock, files: Iterable[Path], summary: Path, page: Path, values: Path) -> None:
    """Write the cost of all stages behind `files`, as a page and as values."""
    found = cost_summary([stage_cost(lock, name) for name in lock.behind(files)], sha256_file(summary))
    write_text(page, cost_page(found))
    write_json(values, found)


def span(lock: Lock, files: Iterable[Path]) -> tuple[float, float] | tuple[None, None]:
    """When the command that finished a result began and ended its stages, in seconds since 1970, as far as is known.

    Stages that an earlier command ran do not count: a variant begins where its own first stage does.
    """
    known = [found for name in lock.behind(files) if (found := find(costs(), name, lock.written(name)))]
    if not known:
        return None, None
    last = max(known, key=lambda record: record.ended)
    begun = [record.ended - record.cost.wall_s for record in known if record.command == last.command]
    return min(begun), last.ended


def stage_cost(lock: Lock, name: str) -> StageCost:
    """The record of the run that made what the lock says this stage wrote."""
    record = find(costs(), name, lock.written(name))
    if record is None:
        return StageCost(name, None, now=False)
    return StageCost(name, record.cost, now=record.command == dvc_command())
