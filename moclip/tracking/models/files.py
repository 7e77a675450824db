"""Whether what MLflow lists is there: a row may outlive its files, and a model its deletion."""

from collections.abc import Iterable

from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelStatus

from moclip.tracking.failures import is_absent
from moclip.tracking.upkeep.moved import local_path

MODEL_FILES = ("MLmodel", "data")  # of a logged model, at its top: MLflow's own description, and the bundle


def living_model(client: MlflowClient, model_id: str) -> LoggedModel | None:
    """A logged model that is whole, with its files; None where MLflow says that there is none."""
    try:
        model = client.get_logged_model(model_id)
    except Exception as error:
        if is_absent(error):
            return None
        raise
    return model if is_whole(client, model) else None


def is_whole(client: MlflowClient, model: LoggedModel) -> bool:
    """Whether a logged model was finished and its files are there."""
    if model.status != LoggedModelStatus.READY:
        return False
    if is_out_of_sight(client, model.artifact_location):
        return True
    return holds((file.path for file in client.list_logged_model_artifacts(model.model_id)), MODEL_FILES)


def is_out_of_sight(client: MlflowClient, place: str) -> bool:
    """Whether files lie on another machine's disk, so that nobody here can look for them."""
    path = local_path(place)
    return client.tracking_uri.startswith("http") and path is not None and not path.exists()


def holds(paths: Iterable[str], names: Iterable[str]) -> bool:
    """Whether all names are among the last parts of paths."""
    return set(names) <= {path.rstrip("/").rpartition("/")[2] for path in paths}
