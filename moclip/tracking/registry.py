"""The fusion model of a result in MLflow.

One model is logged for each result: that of the first split, since one is enough to serve, and the report has the
accuracies of all. `moclip.tracking.models.best` says which becomes the best of its data set.

A model consists of a bundle (`moclip.predict.bundle`: safetensors and JSON) and this package's code, which reads it
(`moclip.tracking.serving`). Its environment needs the libraries in its requirements, and no installed moclip.
"""

import base64
import logging
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mlflow import MlflowClient, pyfunc
from mlflow.entities import LoggedModelOutput, LoggedModelStatus
from mlflow.models import Model

import moclip
from moclip.base.errors import StoreError
from moclip.heads.registry import MAIN
from moclip.predict.bundle import ModelFiles, Pipeline, check_clip, open_model, write_bundle
from moclip.tracking import tags
from moclip.tracking.client import locked, uploading
from moclip.tracking.failures import pages
from moclip.tracking.models.best import Entry, enter
from moclip.tracking.models.files import is_whole
from moclip.tracking.provenance import package_versions
from moclip.tracking.result import Result
from moclip.tracking.serving import LOADER, signature
from moclip.tracking.store import Store
from moclip.video.write import encode

REQUIREMENTS = (
    *("av", "filelock", "mlflow", "numpy", "open_clip_torch", "pandas", "pillow", "pydantic"),
    *("safetensors", "scipy", "timm", "torch", "torchvision", "tqdm"),
)
WITHOUT_TORCH = (
    *("av", "filelock", "ftfy", "mlflow", "numpy", "onnxruntime", "pandas", "pillow", "psutil", "pydantic", "regex"),
    *("safetensors", "tqdm"),
)
"""Of a bundle whose networks onnxruntime asks."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Logged:
    """The MLflow model of a result: whether this call made it, its version if it has one, and where it stands."""

    model_id: str
    created: bool
    version: str | None
    words: str


def log_model(result: Result, run_id: str, models: Pipeline | Path, store: Store) -> Logged | None:
    """Make sure that the fusion model of a recorded result is in MLflow once, with its files, and the best is named.

    Args:
        result: What was recorded.
        run_id: Its parent run.
        models: The pipeline's trained models, or a bundle of the one to log; read only if MLflow lacks the model.
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
        _link(client, run_id, model_id)
        standing = enter(client, Entry(result, run_id, model_id, splits))
        client.set_tag(run_id, tags.MODEL, model_id)  # last: `moclip.tracking.lookup` takes it for the end of this work
        return Logged(model_id, known is None, standing.version, standing.words)


def _known_model(client: MlflowClient, run_id: str, key: str) -> str | None:
    """The complete model of a result; those that an interrupted call left, or that lost their files, are deleted."""
    experiment = client.get_run(run_id).info.experiment_id
    known = None
    found = list(pages(client.search_logged_models, [experiment], filter_string=f"tags.`{tags.KEY}` = '{key}'"))
    for model in found:
        if known is None and is_whole(client, model):
            known = str(model.model_id)
        elif known is None:
            if model.status == LoggedModelStatus.READY:
                log.warning("MLflow: the files of model %s are gone; it is logged again", model.model_id)
            client.delete_logged_model(model.model_id)
    return known


def _link(client: MlflowClient, run_id: str, model_id: str) -> None:
    """Name the model among the outputs of its run, also of one that was made anew."""
    outputs = client.get_run(run_id).outputs
    if model_id not in {output.model_id for output in (outputs.model_outputs if outputs else [])}:
        client.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])


def _save_model(client: MlflowClient, run_id: str, result: Result, models: Pipeline | Path, split: int) -> str | None:
    files = servable(models, split)
    if files is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        write_bundle(Path(folder) / "bundle", files)
        return _log(client, run_id, result, Path(folder))


def servable(models: Pipeline | Path, split: int) -> ModelFiles | None:
    """The files of a model that can answer for new videos; None, with the reason logged, where there are none."""
    try:
        files = open_model(models, split)
        check_clip(files)
    except StoreError as error:
        log.warning("no model for MLflow: %s", error)
        return None
    return files


def _log(client: MlflowClient, run_id: str, result: Result, folder: Path) -> str:
    """Log the bundle in `folder` as the model of a run; its status is READY once all of it is there."""
    entry = client.create_logged_model(
        client.get_run(run_id).info.experiment_id,
        name=MAIN,
        source_run_id=run_id,
        tags={tags.KEY: result.key},
        params=dict(result.params),
    )
    write_served(
        folder / "model",
        folder / "bundle",
        REQUIREMENTS,
        mlflow_model=Model(
            artifact_path=entry.artifact_location, model_uuid=entry.model_id, run_id=run_id, model_id=entry.model_id
        ),
        input_example=({"base64": [example_video(folder)]}, {"top": 5}),
    )
    with uploading(folder / "model"):
        client.log_model_artifacts(entry.model_id, str(folder / "model"))
    client.finalize_logged_model(entry.model_id, LoggedModelStatus.READY)
    return str(entry.model_id)


def write_served(path: Path, bundle: Path, requirements: Sequence[str] = WITHOUT_TORCH, **more: Any) -> None:
    """Write a bundle and this package's code as a model that `mlflow models serve` serves.

    Args:
        path: Folder to make.
        bundle: The model.
        requirements: Packages that it needs; the versions are those that are installed here.
        more: What MLflow's `save_model` takes beside.
    """
    versions = package_versions(requirements)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*input example was not provided", UserWarning)  # the signature is stated
        pyfunc.save_model(
            path=str(path),
            loader_module=LOADER,
            data_path=str(bundle),
            code_paths=[str(Path(moclip.__path__[0]))],
            signature=signature(),
            pip_requirements=[f"{name}=={versions[name]}" for name in requirements],
            **more,
        )


def example_video(folder: Path) -> str:
    """A second of a bright square that moves over a dark ground, as base64 of an AVI file."""
    side, step, frames = 96, 2, 24
    pictures = np.full((frames, side, side, 3), 40, dtype=np.uint8)
    for index, picture in enumerate(pictures):
        picture[32:64, step * index : step * index + 32] = 220
    encode(folder / "example.avi", pictures, fps=24, width=side, height=side)
    return base64.b64encode((folder / "example.avi").read_bytes()).decode()
