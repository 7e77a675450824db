"""CLIP features that somebody already has: an npz of `video` ids and `feat`, perhaps with `class` names and `text`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from moclip.base.errors import DataError, StoreError
from moclip.base.files import atomic_path, read_json, read_npz, sha256_file, write_json
from moclip.store.features import Features, read_features, write_features

IMAGES = "images.npz"
TEXTS = "texts.npz"
META = "meta.json"
# What OpenAI's models learnt, and their bound. It moves no ranking, so a file need not give it.
LOGIT_SCALE = 100.0


@dataclass(frozen=True)
class Precomputed:
    """Image features by video id, unit text features by class name (none: no rows), and the scale of logits."""

    images: Features
    texts: Features
    logit_scale: float

    def images_of(self, ids: Sequence[str]) -> np.ndarray:
        """Image features of these videos, (len(ids), d).

        Raises:
            DataError: says how many videos have no feature, and names the first.
        """
        return _rows(self.images, ids, "videos of the manifest")

    def texts_of(self, classes: Sequence[str]) -> np.ndarray:
        """Unit text features of these classes, (len(classes), d), or no rows (0, d) where the file has none.

        Raises:
            DataError: there are text features, but not of every class.
        """
        return _rows(self.texts, classes if len(self.texts.ids) else [], "classes")


def _rows(features: Features, ids: Sequence[str], what: str) -> np.ndarray:
    known = set(features.ids.tolist())
    if missing := [name for name in ids if name not in known]:
        raise DataError(
            f"clip.precomputed has no feature of {len(missing)} of the {len(ids)} {what}, first {missing[0]}; "
            "add them to the file, or leave these out of the data"
        )
    return features.of(ids)


def read_precomputed(path: Path) -> Precomputed:
    """Read somebody's features, and check them.

    Arrays: `video` (n,) text and `feat` (n, d) of any float type; optionally `class` (k,) text, `text` (k, d)
    and `logit_scale`, a number. Others are not read.

    Raises:
        StoreError: the file is missing, damaged or pickled; lacks an array; an id stands twice; a feature is not
            finite, or all zeros, as a gap is often filled.
    """
    arrays = read_npz(path, "video", "feat", optional=("class", "text", "logit_scale"))
    images = _features(path, arrays, "video", "feat")
    width = images.values.shape[1]
    texts = Features(f"{path} (text)", np.zeros(0, np.str_), np.zeros((0, width), np.float32))
    if arrays.keys() & {"class", "text"}:
        texts = _features(path, arrays, "class", "text")
    if texts.values.shape[1] != width:
        raise StoreError(f"{path}: 'feat' has {width} columns and 'text' {texts.values.shape[1]}; must be equal")
    scale = arrays.get("logit_scale", np.array(LOGIT_SCALE))
    if scale.shape or scale.dtype.kind not in "fiu" or not 0 < scale < np.inf:
        raise StoreError(f"{path}: 'logit_scale' must be one positive number, is {scale}")
    lengths = np.linalg.norm(texts.values, axis=1, keepdims=True)
    return Precomputed(images, Features(texts.name, texts.ids, texts.values / lengths), float(scale))


def _features(path: Path, arrays: Mapping[str, np.ndarray], ids: str, values: str) -> Features:
    if absent := {ids, values} - arrays.keys():
        raise StoreError(f"{path}: lacks the array '{absent.pop()}'; '{ids}' and '{values}' come together")
    if arrays[ids].dtype.kind != "U" or arrays[ids].ndim != 1 or arrays[values].dtype.kind != "f":
        raise StoreError(f"{path}: '{ids}' must be a list of text and '{values}' a table of floats")
    features = Features(f"{path} ({values})", arrays[ids], arrays[values].astype(np.float32))
    if len(empty := features.ids[~features.values.any(axis=1)]):
        raise StoreError(f"{path}: {len(empty)} rows of '{values}' are all zeros, first {empty[0]}; leave gaps out")
    return features


def save_precomputed(directory: Path, source: Path, meta: Mapping[str, str]) -> None:
    """Copy checked features into a directory, so that what follows hangs on these bytes and not on the file."""
    found = read_precomputed(source)
    with atomic_path(directory) as temporary:
        temporary.mkdir()
        write_features(temporary / IMAGES, found.images.ids.tolist(), found.images.values)
        write_features(temporary / TEXTS, found.texts.ids.tolist(), found.texts.values)
        facts = {
            "precomputed": sha256_file(source),
            "videos": len(found.images.ids),
            "classes": len(found.texts.ids),
            "dimensions": found.images.values.shape[1],
            "logit_scale": found.logit_scale,
        }
        write_json(temporary / META, {**meta, **facts})


def load_precomputed(directory: Path) -> Precomputed:
    """The features of a directory that `save_precomputed` wrote.

    Raises:
        StoreError: the directory holds a CLIP model instead, or a file is missing or torn.
    """
    meta = read_json(directory / META)
    if "precomputed" not in meta:
        raise StoreError(f"{directory}: holds no precomputed features; run the stage clip_model again")
    return Precomputed(read_features(directory / IMAGES), read_features(directory / TEXTS), meta["logit_scale"])
