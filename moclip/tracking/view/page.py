"""The page that `make ui` opens: the list of results, with the columns that the project is about.

MLflow has no setting for the page that it starts with. It does have views that one shares: a tag of the experiment with
columns and filter, and an address that names it. The tag is plain JSON as the page itself would keep it; MLflow 3.17
reads it so, beside the compressed form that its button *Share* writes.
"""

import json
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Experiment

from moclip.heads.registry import CONTROL, HEADS, MAIN, QUOTED
from moclip.tracking import tags
from moclip.tracking.failures import pages
from moclip.tracking.view.measures import accuracy, gain
from moclip.tracking.view.notes import experiment_note, note_tags, set_all
from moclip.tracking.view.titles import title_of

KEY = "moclip"
TAG = f"mlflow.sharedViewState.{KEY}"
_PER_LETTER_PX, _BESIDE_PX = 7, 30  # of a column, so that its name can be read
COLUMNS = {
    accuracy(MAIN): "top-1 of the fusion head in %, mean over splits",
    accuracy(CONTROL): "the same classifier on CLIP's feature alone: what fusion must beat",
    gain(): "the first minus the second on the same videos, in points: what motion adds",
    f"{gain()}_low": "lower end of its interval; above 0, motion helped",
    f"{gain()}_high": "upper end",
    **{accuracy(head): f"top-1 of {HEADS[head].title} in %" for head in QUOTED if head not in (MAIN, CONTROL)},
}


def view_state() -> dict[str, Any]:
    """Columns and filter, as MLflow's page of runs keeps them."""
    columns = [f"metrics.`{name}`" for name in COLUMNS]
    return {
        "searchFilter": f"tags.`{tags.KIND}` = 'result'",
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": ["attributes.`Created`", "attributes.`Duration`", *columns],
        "columnOrder": columns,
        "columnWidths": {f"metrics.`{name}`": _BESIDE_PX + _PER_LETTER_PX * len(name) for name in COLUMNS},
    }


def share_view(client: MlflowClient, experiment: Experiment) -> None:
    """Give one of moclip's experiments the shared view and a note, where it lacks them."""
    title = title_of(experiment.name.removeprefix(tags.experiment_name("")))
    state = json.dumps(view_state())
    wanted = {} if experiment.tags.get(TAG) == state else {TAG: state}
    wanted |= note_tags(experiment.tags, experiment_note(title, COLUMNS))
    set_all(lambda name, value: client.set_experiment_tag(experiment.experiment_id, name, value), wanted)


def landing(client: MlflowClient) -> str | None:
    """The path of the page with the newest result, behind a server's address; None where there is no result.

    Experiments of an older version get their view and note on the way.
    """
    own = tags.experiment_name("")
    found = {one.experiment_id: one for one in pages(client.search_experiments, filter_string=f"name LIKE '{own}%'")}
    for experiment in found.values():
        share_view(client, experiment)
    newest = client.search_runs(
        list(found), f"tags.`{tags.KIND}` = 'result'", max_results=1, order_by=["attributes.start_time DESC"]
    )
    return page_of(newest[0].info.experiment_id) if newest else None


def page_of(experiment: str) -> str:
    """The path of an experiment's page of runs in its shared view."""
    return f"/#/experiments/{experiment}/runs?viewStateShareKey={KEY}&workflowType=machine_learning"
