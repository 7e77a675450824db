"""A model out of MLflow, as the bundle inside it.

What a server says chooses no place on this disk: its ids and paths are checked before they become one.
"""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mlflow import MlflowClient, artifacts
from mlflow.entities import LoggedModel
from mlflow.entities.model_registry import ModelVersion
from ruamel.yaml import YAMLError

from moclip.base.errors import MoclipError, StoreError
from moclip.base.files import atomic_path, fingerprint
from moclip.base.outside import yaml
from moclip.base.outside.addresses import shown_address
from moclip.predict.bundle import MANIFEST
from moclip.tracking import tags
from moclip.tracking.failures import is_absent, is_of_transport, pages
from moclip.tracking.serving import LOADERS
from moclip.tracking.store import ServerError, connect_once, first_line
from moclip.tracking.upkeep.moved import local_path

_ID = re.compile(r"[\w-]{1,64}", re.ASCII)
# Whence a server may have a model fetched: elsewhere, and never from this disk, nor round by another name of its own.
_ELSEWHERE = frozenset(
    ["mlflow-artifacts", "http", "https", "s3", "gs", "r2", "b2", "wasb", "wasbs", "abfs", "abfss", "dbfs", "hdfs"]
)
_MEND = "`dvc repro track` logs the model of the present result again, and says what is the best; `make ui` lists all"


def fetch_model(uri: str, tracking_uri: str, cache: Path) -> Path:
    """The bundle inside an MLflow model.

    Args:
        uri: Such as `models:/moclip-demo-01234567@best`, `models:/moclip-demo-01234567/1`, `models:/<model id>` or
            `runs:/<run id>/fusion`. A name without its digest stands for the one data set of that name.
        tracking_uri: The store with both runs and registered models.
        cache: Directory that keeps what a server sends, by model id; a model on this machine is used where it lies.

    Raises:
        StoreError: there is no such model, its files are gone, it is none of moclip's, or a server names as its id or
            its place what would lead to other files of this machine.
        ServerError: the store is down or refuses.
    """
    with _told(uri, tracking_uri):
        connect_once(tracking_uri)
        client = MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)
        model = client.get_logged_model(_checked(uri, _model_id(client, uri)))
        folder = _folder(client, uri, model, cache)
        if not (folder / "MLmodel").is_file():
            raise StoreError(f"{uri}: MLflow lists the model, and its files are not in {folder}; {_MEND}")
    bundle = _bundle(uri, folder)
    if not (bundle / MANIFEST).is_file():
        raise StoreError(f"{uri}: MLflow lists the model, and {bundle / MANIFEST} is gone; {_MEND}")
    return bundle


def _bundle(uri: str, folder: Path) -> Path:
    """Where MLflow's description of a model says that its bundle lies: inside its folder."""
    flavour = _flavour(uri, folder / "MLmodel")
    if flavour.get("loader_module") not in LOADERS:
        raise StoreError(f"{uri}: an MLflow model, but none of moclip's ({flavour.get('loader_module')!r:.80})")
    data = flavour.get("data")
    bundle = folder / str(data)
    if not isinstance(data, str) or folder.resolve() not in bundle.resolve().parents:
        raise StoreError(
            f"{folder / 'MLmodel'}: data: {data!r:.80} is no folder inside it; take the model from its maker"
        )
    return bundle


def _flavour(uri: str, path: Path) -> dict[str, Any]:
    """How MLflow loads the model; by hand, since MLflow takes a path for an address, and decodes it."""
    try:
        found = yaml.load(path)
        for key in ("flavors", "python_function"):
            found = found.get(key, {})
        return dict(found)
    except (YAMLError, OSError, AttributeError, TypeError, ValueError) as error:
        raise StoreError(
            f"{uri}: {path} cannot be read as MLflow's description of a model ({first_line(error)})"
        ) from error


@contextmanager
def _told(uri: str, tracking_uri: str) -> Iterator[None]:
    """Tell what is not there from a store that does not answer."""
    try:
        yield
    except MoclipError:
        raise
    except Exception as error:
        if is_absent(error) or _is_refused_name(error):
            told = first_line(error, tracking_uri)
            raise StoreError(f"{uri}: no such MLflow model in the store ({told}); {_MEND}") from error
        if not is_of_transport(error):
            raise
        raise ServerError(
            f"{uri}: MLflow at {shown_address(tracking_uri)} failed ({first_line(error, tracking_uri)}); bring the "
            "store back or change MLFLOW_TRACKING_URI"
        ) from error


def _is_refused_name(error: Exception) -> bool:
    """Whether MLflow says that a name, an alias or an id is none; it says so of an alias that nobody set."""
    return getattr(error, "error_code", None) in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST")


def _model_id(client: MlflowClient, uri: str) -> str:
    kind, _, rest = uri.partition(":/")
    name, _, version = rest.strip("/").partition("/")
    if kind == "runs":
        return _of_run(client, uri, name)
    if "@" in rest:
        name, _, alias = rest.partition("@")
        return _id_of(client.get_model_version_by_alias(_whole_name(client, uri, name), alias))
    return _id_of(client.get_model_version(_whole_name(client, uri, name), version)) if version else rest


def _of_run(client: MlflowClient, uri: str, run_id: str) -> str:
    run = client.get_run(run_id)
    if own := run.data.tags.get(tags.MODEL):
        return str(own)
    outputs = run.outputs.model_outputs if run.outputs else []
    if not outputs:
        raise StoreError(f"{uri}: no such MLflow model in the store (the run has none); {_MEND}")
    return str(outputs[0].model_id)


def _whole_name(client: MlflowClient, uri: str, name: str) -> str:
    """A registered name; one that lacks its digest is completed where only one begins so."""
    found = [model.name for model in pages(client.search_registered_models, f"name LIKE '{name}%'")]
    if name in found:
        return name
    longer = sorted(one for one in found if tags.is_completed(one, name))
    if len(longer) > 1:
        raise StoreError(f"{uri}: models of several data sets begin so; name one of {', '.join(longer)}")
    return longer[0] if longer else name


def _id_of(version: ModelVersion) -> str:
    return str(version.tags.get(tags.MODEL) or version.model_id)


def _checked(uri: str, model_id: str) -> str:
    """An id, unless it is none: it becomes part of addresses and paths."""
    if not _ID.fullmatch(str(model_id)):
        raise StoreError(
            f"{uri}: the store names {model_id!r:.80} as the model's id, which is none; nothing was fetched"
        )
    return str(model_id)


def _folder(client: MlflowClient, uri: str, model: LoggedModel, cache: Path) -> Path:
    place, is_server = local_path(model.artifact_location), client.tracking_uri.startswith("http")
    if place is not None and not is_server:
        return place
    if is_server and urlsplit(model.artifact_location).scheme not in _ELSEWHERE:
        raise StoreError(
            f"{uri}: the server has the model at {model.artifact_location!r:.200}, a place of this machine, and "
            "no server chooses what is opened here; start it with --serve-artifacts, or name its folder `data` by "
            "--model"
        )
    kept = cache / fingerprint(shown_address(client.tracking_uri), _checked(uri, model.model_id))
    if not kept.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with atomic_path(kept) as temporary, tempfile.TemporaryDirectory(dir=cache) as folder:
            # By the place: `models:/<id>` is looked up in the store of the whole process.
            place_of = {"artifact_uri": model.artifact_location, "tracking_uri": client.tracking_uri}
            Path(artifacts.download_artifacts(**place_of, dst_path=folder)).replace(temporary)
    return kept
