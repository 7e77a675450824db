"""A model behind `mlflow models serve`: what MLflow loads, and what it hands to the model.

A request has one row for each video, with one of two columns filled:

    base64  the bytes of a video file, as base64
    path    a video below the folder that the server's MOCLIP_SERVE_ROOT names; refused where that is not set

What else the server's environment may say: MOCLIP_SERVE_HOSTS, the names that it answers for beside those of its own
machine (`a.example,b.example`); MOCLIP_SERVE_MAX_MIB, the size of a request; MOCLIP_LIMITS, what a video may cost
(`frames=5000,seconds=20`, see `moclip.video.bounded.limits`); MOCLIP_SERVE_ENGINE, what computes: torch, or onnx,
which a model of `moclip bundle --mlflow` has; unset, it is PyTorch where that is installed.

The answer has one row for each video: what `Prediction.as_dict` holds, with the heads of single streams as a list.
MLflow finds `_load_pyfunc` by its name, so that nothing of this package is pickled; the package's own code travels with
the model (`code_paths`), which therefore needs nothing but the libraries in its requirements.
"""

import base64
import binascii
import logging
import os
import stat
import tempfile
import threading
from pathlib import Path
from typing import Any, cast, get_args

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR
from mlflow.types.schema import Array, ColSpec, DataType, Object, ParamSchema, ParamSpec, Property, Schema

from moclip.base.errors import DataError, MoclipError, ParamsError
from moclip.base.parallel import cores
from moclip.predict.engine import Engine
from moclip.predict.predictor import Predictor
from moclip.tracking.models import gate
from moclip.tracking.models.gate import DEFAULT_MIB
from moclip.video.bounded import limits
from moclip.video.bounded.limits import MIB

log = logging.getLogger(__name__)

LOADER = "moclip.tracking.serving"
LOADERS = (LOADER, "moclip.serving")  # this module's name in models that were logged before it moved
PATH, BYTES = "path", "base64"
REENCODE = "reencode"
ROOT, LIMITS, ENGINE = "MOCLIP_SERVE_ROOT", "MOCLIP_LIMITS", "MOCLIP_SERVE_ENGINE"
_FORM = gate.FORM


class Served:
    """A model that takes a table of videos.

    Args:
        predictor: The model.
        root: Folder of the videos that `path` may name; None where it may name none.
        most_bytes: Of one video.
    """

    def __init__(self, predictor: Predictor, root: Path | None = None, most_bytes: int = DEFAULT_MIB * MIB) -> None:
        self.predictor, self.root, self.most_bytes = predictor, root, most_bytes
        self._at_once = threading.Semaphore(cores())  # each takes a decoding process

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """Answers in the order of the rows; `params` may hold `top`, the number of classes, and `reencode`, whether
        motion is read from a re-encoding, for codecs without vectors.

        Raises:
            MlflowException: no row, one that does not say exactly one of `path` and `base64`, a path that is not
                allowed, bytes that are too many or no base64, a video that cannot be read, or `top` below 1; the
                request as a whole has no answer, and its status is 400. What nobody foresaw is 500, and its message
                says no more than that.
        """
        try:
            if gate.is_serving() and not gate.passed():
                raise DataError("this server has no gate before it, so it does not answer; its log says more")
            most = _positive((params or {}).get("top", 5))
            reencode = bool((params or {}).get(REENCODE, False))
            if not set(model_input.columns) & {PATH, BYTES} or not len(model_input):
                # MLflow drops columns that it does not know, and with the last of them every row.
                raise DataError(f"the request has no row with a column '{BYTES}'; {_FORM}")
            return [
                self._answer(f"row {n}", row, most, reencode) for n, row in enumerate(model_input.to_dict("records"), 1)
            ]
        except MoclipError as error:  # of any other kind, MLflow would hide the message
            raise MlflowException.invalid_parameter_value(str(error)) from error
        except Exception as error:
            log.exception("a request failed")
            raise MlflowException("internal error; the server's log says more", INTERNAL_ERROR) from error

    def _answer(self, name: str, row: dict[Any, Any], most: int, reencode: bool) -> dict[str, Any]:
        given = {key: row[key] for key in (PATH, BYTES) if isinstance(row.get(key), str) and row[key]}
        if len(given) != 1:
            raise DataError(f"{name}: must have exactly one of '{PATH}' and '{BYTES}', it has {sorted(given)}; {_FORM}")
        with self._at_once:
            if PATH in given:
                video = self._below_root(name, given[PATH])
                return as_row({**self._predicted(name, video, most, reencode), "video": given[PATH]})
            content = self._decoded(name, given[BYTES])
            with tempfile.TemporaryDirectory() as folder:
                video = Path(folder) / "video"
                video.write_bytes(content)
                return as_row({**self._predicted(name, video, most, reencode), "video": ""})

    def _predicted(self, name: str, video: Path, most: int, reencode: bool) -> dict[str, Any]:
        """An answer, or an error that names the row and not where the video lies."""
        try:
            return self.predictor.predict(video, reencode=reencode).as_dict(most)
        except MoclipError as error:
            raise DataError(str(error).replace(str(video), name)) from error

    def _below_root(self, name: str, path: str) -> Path:
        """A regular file that resolves to below the root; of another one nothing is said, not even whether it is."""
        if self.root is None:
            raise DataError(f"{name}: this server opens no '{PATH}' (its {ROOT} is not set); send '{BYTES}'. {_FORM}")
        try:
            root = self.root.resolve(strict=True)
            found = (root / path).resolve(strict=True)
            if found.is_relative_to(root) and stat.S_ISREG(found.stat().st_mode):
                return found
        except (OSError, ValueError, RuntimeError):  # too long, NUL, links in a ring
            pass
        raise DataError(f"{name}: no such video below {ROOT}")

    def _decoded(self, name: str, text: str) -> bytes:
        if len(text) > -(-self.most_bytes // 3) * 4:
            raise DataError(f"{name}: more than {self.most_bytes // MIB} MiB, the limit of {gate.MOST_MIB}")
        try:
            return base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            raise DataError(f"{name}: '{BYTES}' is not base64 ({error})") from error


def _positive(top: Any) -> int:
    if isinstance(top, bool) or int(top) != top or top < 1:
        raise DataError(f"the parameter 'top' is {top}; it must be a whole number of classes, 1 or more")
    return int(top)


def as_row(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer whose keys do not depend on the model, as a signature wants it."""
    streams = [{"head": name, "top": top} for name, top in answer["streams"].items()]
    return {**answer, "streams": streams, "ms": [{"part": part, "ms": ms} for part, ms in answer["ms"].items()]}


def signature() -> ModelSignature:
    """The columns of a request and the fields of an answer, for MLflow to check and to show."""
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
                ColSpec(Array(text), "warnings"),
            ]
        ),
        params=ParamSchema([ParamSpec("top", DataType.long, 5), ParamSpec(REENCODE, DataType.boolean, False)]),
    )


def _load_pyfunc(folder: str) -> Served:
    """MLflow's way in: the model of a bundle, as the environment says.

    Raises:
        ParamsError: the environment says what cannot be.
    """
    rules = gate.Rules.of(os.environ)
    if stated := os.environ.get(LIMITS):
        limits.use(limits.parse(stated.split(",")))
    root = os.environ.get(ROOT)
    if root and not Path(root).is_dir():
        raise ParamsError(f"{ROOT} is '{root}'; it must be a folder")
    engine = os.environ.get(ENGINE, "auto")
    if engine not in get_args(Engine):
        raise ParamsError(f"{ENGINE} is '{engine}'; it must be one of {', '.join(get_args(Engine))}")
    predictor = Predictor.load(folder, engine=cast(Engine, engine))
    log.info("%s", predictor.introduction)
    served = Served(predictor, Path(root) if root else None, rules.most_bytes)
    if gate.is_serving():
        gate.stand_before_next_app(rules)
    return served
