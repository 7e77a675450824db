"""What runs are called: by what differs from the base of their experiment."""

from collections.abc import Iterable, Mapping

from mlflow.entities import Run

from moclip.tracking import tags
from moclip.tracking.result import BASE, variant_name


def base_of(parents: Iterable[Run]) -> Run | None:
    """The base of an experiment: the oldest complete result that was named so."""
    own = [run for run in parents if run.data.tags.get(tags.VARIANT) == BASE and tags.COMPLETE in run.data.tags]
    return min(own, key=lambda run: int(run.info.start_time), default=None)


def name_against(base: Run | None, params: Mapping[str, str], commit: Mapping[str, str], known: str) -> str:
    """What differs from the base, also where the variant was committed since and its commit says `base`.

    Args:
        base: The base of the experiment; where there is none, the name is `known`.
        params: Parameters of the run.
        commit: Those of the commit that it started from, which stand in for what the base did not have yet.
        known: Its name by that commit alone.
    """
    if base is None:
        return known
    of_base = base.data.params
    return variant_name(
        params,
        {name: of_base.get(name, commit.get(name, value)) for name, value in params.items()}
        | {name: value for name, value in commit.items() if name not in params},
    )
