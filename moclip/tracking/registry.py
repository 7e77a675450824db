"""The fusion model of a result in MLflow, and the best model of a data set under a registered name.

One model is logged for each result: that of the first split, since one is enough to serve, and the report has the
accuracies of all.

The best result is the one with the highest validation top-1 of its fusion head, averaged over splits; the test part has
no say. In detail:

- Of each split the epoch that was kept counts: the best on validation, or the last where `fusion.select` says so.
- A result over more splits beats one over fewer. Of equals the older one stays.
- A result without validation videos is never the best.

A model consists of a bundle (`moclip.predict.bundle`: safetensors and JSON) and this package's code, which reads it
(`moclip.tracking.serving`). Its environment needs the libraries in its requirements, and no installed moclip.
"""

import base64
import logging
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
from mlflow import MlflowClient, artifacts, pyfunc
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model

import moclip
from moclip.base.errors import StoreError
from moclip.base.files import atomic_path
from moclip.heads.registry import MAIN
from moclip.predict.bundle import Pipeline, check_clip, open_model, write_bundle
from moclip.tracking import tags
from moclip.tracking.client import locked
from moclip.tracking.provenance import package_versions
from moclip.tracking.result import Result
from moclip.tracking.serving import signature
from moclip.tracking.store import Store, first_line
from moclip.video.write import encode

LOADER = "moclip.tracking.serving"
LOADERS = (LOADER, "moclip.serving")  # the module's name in models that were logged before it moved
REQUIREMENTS = (
    *("av", "filelock", "mlflow", "numpy", "open_clip_torch", "pandas", "pillow", "pydantic"),
    *("safetensors", "scipy", "timm", "torch", "torchvision", "tqdm"),
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Logged:
    """The MLflow model of a result: its id, whether this call made it, and its version where it is registered."""

    model_id: str
    created: bool
    version: str | None


def validation_score(result: Result, select: str) -> float | None:
    """Validation top-1 of the fusion head in percent: that of the epoch kept, averaged over splits; None without one.

    >>> from moclip.tracking.result import Child
    >>> fusion = Child("fusion", 1, {}, {"val_top1_pct": [(0, 50.0), (1, 75.0), (2, 70.0)]})
    >>> result = Result("demo", "k", "base", {}, {}, {}, [fusion])
    >>> validation_score(result, "val"), validation_score(result, "last")
    (75.0, 70.0)
    """
    kept = []
    for child in result.children:
        if child.head == MAIN:
            values = [value for _, value in child.curves.get("val_top1_pct", [])]
            kept.append((max(values) if select == "val" else values[-1]) if values else math.nan)
    score = sum(kept) / len(kept) if kept else math.nan
    return None if math.isnan(score) else score


def log_model(result: Result, run_id: str, models: Pipeline, store: Store) -> Logged | None:
    """Make sure that the fusion model of a recorded result is in MLflow once, and registered if it is the best.

    Args:
        result: What was recorded.
        run_id: Its parent run.
        models: The pipeline's trained models; read only if MLflow lacks the model.
        store: Where it was recorded.

    Returns:
        What is there now; None where the result has no fusion model that can answer for a new video, which is logged.

    Raises:
        StoreError: the store is down, refuses or is busy.
    """
    splits = [child.split for child in result.children if child.head == MAIN]
    if not splits:
        log.info("no model for MLflow: this result has no head '%s'", MAIN)
        return None
    with locked(store) as client:
        known = _known_model(client, run_id, result.key)
        model_id = known or _save_model(client, run_id, result, models, splits[0])
        if model_id is None:
            return None
        version = _register(client, run_id, model_id, result, splits)
        client.set_tag(run_id, tags.MODEL, model_id)  # last: `moclip.tracking.lookup` takes it for the end of this work
        return Logged(model_id, known is None, version)


def _known_model(client: MlflowClient, run_id: str, key: str) -> str | None:
    """The complete model of a result; those that an interrupted call left are deleted."""
    experiment = client.get_run(run_id).info.experiment_id
    known = None
    for model in client.search_logged_models([experiment], f"tags.`{tags.KEY}` = '{key}'"):
        if model.status == LoggedModelStatus.READY:
            known = known or str(model.model_id)
        else:
            client.delete_logged_model(model.model_id)
    return known


def _save_model(client: MlflowClient, run_id: str, result: Result, models: Pipeline, split: int) -> str | None:
    try:
        files = open_model(models, split)
        check_clip(files)
    except StoreError as error:
        log.warning("no model for MLflow: %s", error)
        return None
    with tempfile.TemporaryDirectory() as folder:
        write_bundle(Path(folder) / "bundle", files)
        return _log(client, run_id, result, Path(folder))


def _log(client: MlflowClient, run_id: str, result: Result, folder: Path) -> str:
    """Log the bundle in `folder` as the model of a run; its status is READY once all of it is there."""
    entry = client.create_logged_model(
        client.get_run(run_id).info.experiment_id,
        name=MAIN,
        source_run_id=run_id,
        tags={tags.KEY: result.key},
        params=dict(result.params),
    )
    versions = package_versions(REQUIREMENTS)
    pyfunc.save_model(
        path=str(folder / "model"),
        mlflow_model=Model(
            artifact_path=entry.artifact_location, model_uuid=entry.model_id, run_id=run_id, model_id=entry.model_id
        ),
        loader_module=LOADER,
        data_path=str(folder / "bundle"),
        code_paths=[str(Path(moclip.__path__[0]))],
        signature=signature(),
        input_example=({"base64": [example_video(folder)]}, {"top": 5}),
        pip_requirements=[f"{name}=={versions[name]}" for name in REQUIREMENTS],
    )
    client.log_outputs(run_id, [LoggedModelOutput(entry.model_id, step=0)])
    client.log_model_artifacts(entry.model_id, str(folder / "model"))
    client.finalize_logged_model(entry.model_id, LoggedModelStatus.READY)
    return str(entry.model_id)


def _register(client: MlflowClient, run_id: str, model_id: str, result: Result, splits: list[int]) -> str | None:
    """The version of this model, made now if it is the best so far; None if it never was."""
    name = tags.registered_name(result.dataset)
    score = validation_score(result, result.params.get(f"{MAIN}.select", "val"))
    best = _best(client, name)
    versions = client.search_model_versions(f"name = '{name}'")
    mine = [version for version in versions if version.tags.get(tags.KEY) == result.key]
    if score is None or (best is not None and _rank(best) >= (len(splits), score)):
        return str(mine[0].version) if mine else None
    if not mine:
        own = {
            tags.KEY: result.key,
            tags.MODEL: model_id,  # SQLite forgets the id that a version is given
            tags.SCORE: repr(score),
            tags.SPLITS: " ".join(map(str, splits)),
        }
        mine = [_create_version(client, name, run_id, model_id, tags=own, description=result.variant)]
    client.set_registered_model_alias(name, tags.BEST, mine[0].version)
    return str(mine[0].version)


def _create_version(client: MlflowClient, name: str, run_id: str, model_id: str, **words: Any) -> ModelVersion:
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    # Not `models:/<id>`, which MLflow looks up in the store of the whole process.
    place = client.get_logged_model(model_id).artifact_location
    return client.create_model_version(name, place, run_id, model_id=model_id, **words)


def _best(client: MlflowClient, name: str) -> ModelVersion | None:
    try:
        return client.get_model_version_by_alias(name, tags.BEST)
    except MlflowException:  # neither the name nor the alias needs to be there yet
        return None


def _rank(version: ModelVersion) -> tuple[int, float]:
    return len(version.tags.get(tags.SPLITS, "").split()), float(version.tags.get(tags.SCORE, "-inf"))


def example_video(folder: Path) -> str:
    """A second of a bright square that moves over a dark ground, as base64 of an AVI file."""
    side, step, frames = 96, 2, 24
    pictures = np.full((frames, side, side, 3), 40, dtype=np.uint8)
    for index, picture in enumerate(pictures):
        picture[32:64, step * index : step * index + 32] = 220
    encode(folder / "example.avi", pictures, fps=24, width=side, height=side)
    return base64.b64encode((folder / "example.avi").read_bytes()).decode()


def fetch_model(uri: str, tracking_uri: str, cache: Path) -> Path:
    """The bundle inside an MLflow model.

    Args:
        uri: Such as `models:/moclip-demo@best`, `models:/moclip-demo/1`, `models:/<model id>` or
            `runs:/<run id>/fusion`.
        tracking_uri: The store with both runs and registered models.
        cache: Directory that keeps what a server sends, by model id; a model on this machine is used where it lies.

    Raises:
        StoreError: there is no such model, or it is none of moclip's.
    """
    client = MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)
    try:
        folder = _folder(client, client.get_logged_model(_model_id(client, uri)), cache)
        flavour = Model.load(str(folder)).flavors["python_function"]
    except (MlflowException, OSError, KeyError, IndexError) as error:
        raise StoreError(
            f"{uri}: no such MLflow model in the store ({first_line(error)}); "
            "`dvc repro track` makes one, `make ui` lists them"
        ) from error
    if flavour.get("loader_module") not in LOADERS:
        raise StoreError(f"{uri}: an MLflow model, but none of moclip's ({flavour.get('loader_module')})")
    return folder / str(flavour["data"])


def _model_id(client: MlflowClient, uri: str) -> str:
    kind, _, rest = uri.partition(":/")
    name, _, version = rest.partition("/")
    if kind == "runs":
        return str(client.get_run(name).outputs.model_outputs[0].model_id)
    if "@" in rest:
        return _id_of(client.get_model_version_by_alias(*rest.split("@", 1)))
    return _id_of(client.get_model_version(name, version)) if version else rest


def _id_of(version: ModelVersion) -> str:
    return str(version.tags.get(tags.MODEL, version.model_id))


def _folder(client: MlflowClient, model: LoggedModel, cache: Path) -> Path:
    place = urlsplit(model.artifact_location)
    if place.scheme == "file":
        return Path(url2pathname(place.path))
    kept = cache / model.model_id
    if not kept.exists():
        with atomic_path(kept) as temporary:
            temporary.mkdir()
            artifacts.download_artifacts(
                f"models:/{model.model_id}", dst_path=str(temporary), tracking_uri=client.tracking_uri
            )
    return kept
