"""A model behind `mlflow models serve`: what MLflow loads, and what it hands to the model.

A request has one row for each video, with one of two columns filled:

    path    a file that the *server* reads; whoever may ask the server may make it open any file that it can read,
            so leave the port on this machine, or put a gate before it that lets `base64` alone through
    base64  the bytes of a video file, as base64

The answer has one row for each video: what `Prediction.as_dict` holds, with the heads of single streams as a list.
MLflow finds `_load_pyfunc` by its name, so that nothing of this package is pickled; the package's own code travels with
the model (`code_paths`), which therefore needs nothing but the libraries in its requirements.
"""

import base64
import binascii
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types.schema import Array, ColSpec, DataType, Object, ParamSchema, ParamSpec, Property, Schema

from moclip.base.errors import DataError, MoclipError
from moclip.predict.predictor import Predictor

LOADER = "moclip.tracking.serving"
LOADERS = (LOADER, "moclip.serving")  # this module's name in models that were logged before it moved
PATH, BYTES = "path", "base64"
_FORM = 'a request is {"dataframe_records": [{"path": "VIDEO.avi"}]} or {"dataframe_records": [{"base64": "..."}]}'


class Served:
    """A model that takes a table of videos."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """Answers in the order of the rows; `params` may hold `top`, the number of classes.

        Raises:
            MlflowException: no row, one that does not say exactly one of `path` and `base64`, bytes that are no base64,
                a video that cannot be read, or `top` below 1; the request as a whole has no answer, and its status is
                400.
        """
        try:
            most = _positive((params or {}).get("top", 5))
            if not set(model_input.columns) & {PATH, BYTES} or not len(model_input):
                # MLflow drops columns that it does not know, and with the last of them every row.
                raise DataError(f"the request has no row with a column '{PATH}' or '{BYTES}'; {_FORM}")
            return [self._answer(row, most) for row in model_input.to_dict("records")]
        except MoclipError as error:  # of any other kind, MLflow would hide the message
            raise MlflowException.invalid_parameter_value(str(error)) from error

    def _answer(self, row: dict[Any, Any], most: int) -> dict[str, Any]:
        given = {name: row[name] for name in (PATH, BYTES) if isinstance(row.get(name), str) and row[name]}
        if len(given) != 1:
            raise DataError(
                f"each row must have exactly one of '{PATH}' and '{BYTES}', this one has {sorted(given)}; {_FORM}"
            )
        if PATH in given:
            return as_row(self.predictor.predict(given[PATH]).as_dict(most))
        with tempfile.TemporaryDirectory() as folder:
            video = Path(folder) / "video"
            video.write_bytes(_decoded(given[BYTES]))
            return as_row({**self.predictor.predict(video).as_dict(most), "video": ""})


def _positive(top: Any) -> int:
    if isinstance(top, bool) or int(top) != top or top < 1:
        raise DataError(f"the parameter 'top' is {top}; it must be a whole number of classes, 1 or more")
    return int(top)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise DataError(f"'{BYTES}' is not base64 ({error})") from error


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
            ]
        ),
        params=ParamSchema([ParamSpec("top", DataType.long, 5)]),
    )


def _load_pyfunc(folder: str) -> Served:
    """MLflow's way in: the model of a bundle."""
    return Served(Predictor.load(folder))
