"""The fusion model of a result as an MLflow model, and the best one of a data set under a name.

Which is best: the result whose fusion head has the highest validation top-1, averaged over the splits that were run; of
each split the epoch that was kept counts (the best on validation, or the last where `fusion.select` says so). The test
part has no say. A result over more splits goes before one over fewer, whose mean is another figure, and of equals the
older one stays. A result without validation videos is never the best. What is logged is the model of the first split
in `splits`: one model is enough to serve, and the report has the accuracies of every split.

The model is a bundle (`moclip.predict.bundle`: safetensors and JSON) with the code that reads it
(`moclip.tracking.serving`), so its environment needs the libraries of its requirements, and no installed moclip.
"""

from moclip.tracking.store import Store, turn  # first: it sets what MLflow reads while it is imported

# isort: split

import base64
import logging
import math
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np

import moclip
from moclip.base.errors import StoreError
from moclip.base.files import atomic_path
from moclip.predict.bundle import check_clip, open_parts, write_bundle
from moclip.tracking.provenance import package_versions
from moclip.tracking.record import KEY_TAG, Result
from moclip.video.write import encode

# After moclip.tracking.record, which sets what MLflow reads while it is imported.
from mlflow import MlflowClient, artifacts, pyfunc  # isort: skip
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus  # isort: skip
from mlflow.entities.model_registry import ModelVersion  # isort: skip
from mlflow.exceptions import MlflowException  # isort: skip
from mlflow.models import Model, ModelSignature  # isort: skip
from mlflow.types.schema import Array, ColSpec, DataType, Object, ParamSchema, ParamSpec, Property, Schema  # isort: skip

HEAD = "fusion"
ALIAS = "best"
FIGURE_TAG = "moclip.val_top1_pct"
SPLITS_TAG = "moclip.splits"
MODEL_TAG = "moclip.model_id"  # SQLite forgets the id that a version is given
LOADER = "moclip.tracking.serving"
REQUIREMENTS = (
    *("av", "filelock", "mlflow", "numpy", "open_clip_torch", "pandas", "pillow", "pydantic"),
    *("safetensors", "timm", "torch", "torchvision", "tqdm"),
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Logged:
    """The MLflow model of a result: its id, whether this call made it, and its version where it is registered."""

    model_id: str
    created: bool
    version: str | None


def registered_name(dataset: str) -> str:
    """The name that the models of a data set are registered under.

    >>> registered_name("UCF101, 10 classes")
    'moclip-ucf101-10-classes'
    """
    return "moclip-" + re.sub(r"[^a-z0-9]+", "-", dataset.lower()).strip("-")


def selection_figure(result: Result, select: str) -> float | None:
    """Mean over splits of the fusion head's validation top-1 in percent, at the epoch kept; None without validation.

    >>> from moclip.tracking.record import Child
    >>> fusion = Child("fusion", 1, {}, {"val_top1_pct": [(0, 50.0), (1, 75.0), (2, 70.0)]})
    >>> result = Result("demo", "k", "base", {}, {}, {}, [fusion])
    >>> selection_figure(result, "val"), selection_figure(result, "last")
    (75.0, 70.0)
    """
    kept = []
    for child in result.children:
        if child.head == HEAD:
            values = [value for _, value in child.curves.get("val_top1_pct", [])]
            kept.append((max(values) if select == "val" else values[-1]) if values else math.nan)
    figure = sum(kept) / len(kept) if kept else math.nan
    return None if math.isnan(figure) else figure


def log_model(result: Result, run_id: str, models: Path, store: Store) -> Logged | None:
    """Make sure that the fusion model of a recorded result is in MLflow once, and registered if it is the best.

    Nothing heavy happens where it is there already.

    Args:
        result: What was recorded.
        run_id: Its parent run.
        models: The pipeline's trained models.
        store: Where it was recorded.

    Returns:
        What is there now; None where the result has no fusion model that could answer for a new video, which is logged.

    Raises:
        StoreError: the store is down.
    """
    splits = [child.split for child in result.children if child.head == HEAD]
    if not splits:
        log.info("no model for MLflow: this result has no fusion head")
        return None
    with turn(store):
        client = MlflowClient(tracking_uri=store.uri, registry_uri=store.uri)
        experiment = client.get_run(run_id).info.experiment_id
        found = list(client.search_logged_models([experiment], f"tags.`{KEY_TAG}` = '{result.key}'"))
        ready = [model for model in found if model.status == LoggedModelStatus.READY]
        for model in found:
            if model not in ready:
                client.delete_logged_model(model.model_id)
        if ready:
            model_id = ready[0].model_id
        else:
            try:
                parts = open_parts(models, splits[0])
                check_clip(parts)
            except StoreError as error:
                log.warning("no model for MLflow: %s", error)
                return None
            with tempfile.TemporaryDirectory() as folder:
                write_bundle(Path(folder) / "bundle", parts)
                model_id = _log(client, experiment, run_id, result, Path(folder))
        return Logged(model_id, not ready, _register(client, run_id, model_id, result, splits))


def _log(client: MlflowClient, experiment: str, run_id: str, result: Result, folder: Path) -> str:
    """Save the bundle in `folder` as an MLflow model of a run, and call it ready when all of it is there."""
    entry = client.create_logged_model(
        experiment, name=HEAD, source_run_id=run_id, tags={KEY_TAG: result.key}, params=dict(result.params)
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
    name = registered_name(result.dataset)
    figure = selection_figure(result, result.params.get("fusion.select", "val"))
    best = _best(client, name)
    mine = [version for version in _versions(client, name) if version.tags.get(KEY_TAG) == result.key]
    if figure is None or (best is not None and _rank(best) >= (len(splits), figure)):
        return str(mine[0].version) if mine else None
    if not mine:
        tags = {
            KEY_TAG: result.key,
            MODEL_TAG: model_id,
            FIGURE_TAG: repr(figure),
            SPLITS_TAG: " ".join(map(str, splits)),
        }
        try:
            client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        # Not `models:/<id>`, which MLflow looks up in the store of the whole process.
        place = client.get_logged_model(model_id).artifact_location
        mine = [
            client.create_model_version(name, place, run_id, tags=tags, description=result.variant, model_id=model_id)
        ]
    client.set_registered_model_alias(name, ALIAS, mine[0].version)
    return str(mine[0].version)


def _versions(client: MlflowClient, name: str) -> list[ModelVersion]:
    return list(client.search_model_versions(f"name = '{name}'"))


def _best(client: MlflowClient, name: str) -> ModelVersion | None:
    try:
        return client.get_model_version_by_alias(name, ALIAS)
    except MlflowException:  # neither the name nor the alias needs to be there yet
        return None


def _rank(version: ModelVersion) -> tuple[int, float]:
    return len(version.tags.get(SPLITS_TAG, "").split()), float(version.tags.get(FIGURE_TAG, "-inf"))


def signature() -> ModelSignature:
    """What a request and an answer hold; see `moclip.tracking.serving`."""
    text, number = DataType.string, DataType.double
    top = Array(Object([Property("class", text), Property("probability", number)]))
    streams = Array(Object([Property("head", text), Property("top", top)]))
    times = Array(Object([Property("part", text), Property("ms", number)]))
    return ModelSignature(
        inputs=Schema([ColSpec(text, name, required=False) for name in ("path", "base64")]),
        outputs=Schema(
            [
                ColSpec(text, "video"),
                ColSpec(DataType.long, "frames"),
                ColSpec(text, "head"),
                ColSpec(DataType.long, "split"),
                ColSpec(top, "top"),
                ColSpec(streams, "streams"),
                ColSpec(times, "ms"),
            ]
        ),
        params=ParamSchema([ParamSpec("top", DataType.long, 5)]),
    )


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
        reason = str(error).strip().partition("\n")[0][:300]
        raise StoreError(
            f"{uri}: no such MLflow model in the store ({reason}); `dvc repro track` makes one, `make ui` lists them"
        ) from error
    if flavour.get("loader_module") != LOADER:
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
    return str(version.tags.get(MODEL_TAG, version.model_id))


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
