"""The files of one trained model: where the pipeline leaves them, and the same together in one directory.

A bundle is a directory that can be moved or sent: safetensors and JSON, no pickle, nothing outside it.

    bundle.json         format, split, classes in index order, logit scale, what the model was trained on, and the
                        SHA-256 of every other file
    clip/               the frozen CLIP, as the stage clip_model writes it
    motion/             the motion network, with what it was made for
    heads/<head>/       the servable heads with weights of their own that there are
    texts.safetensors   one unit vector per class, where CLIP's text features exist
    onnx/               the same networks for onnxruntime, where they were asked for (`moclip.predict.runtime`)
"""

import os
import shutil
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from moclip.base.errors import StoreError
from moclip.base.files import MAX_FACTS_MIB, read_facts, read_json, sha256_file, write_text
from moclip.base.outputs import write_manifest, writing_directory
from moclip.data.manifest import read_classes
from moclip.heads.fitted import ClassTexts
from moclip.heads.registry import CLIP, HEADS, MOTION, servable
from moclip.predict.origin import Origin, Record, printable
from moclip.store.features import read_features

FORMAT = "moclip-bundle"
FORMAT_VERSION = 1
MANIFEST = "bundle.json"
TEXTS = "texts.safetensors"
HEAD_FOLDERS = "heads"
ONNX = "onnx"
_MOST_BYTES = 4 << 30  # of a file; a file with a hole takes nothing on a disk, and hours to read
_MOST_CLIP_BYTES = 32 << 30


def _inside(name: str) -> str:
    path = PurePosixPath(printable(name))
    if path.is_absolute() or ".." in path.parts or "\\" in name or path.as_posix() != name:
        raise ValueError("is no plain path inside the bundle")
    return name


def most_bytes(name: str) -> int:
    """The most that a file of a bundle may have, by its name: the largest networks that there are, and more."""
    return _MOST_CLIP_BYTES if name.startswith(f"{CLIP}/") else _MOST_BYTES


def _known_head(name: str) -> str:
    if name not in with_weights():
        raise ValueError(f"is no head that answers by itself here; these do: {', '.join(with_weights())}")
    return name


@dataclass(frozen=True)
class Pipeline:
    """Where a pipeline keeps what its models consist of.

    Attributes:
        models: Directory of the trained models: `clip`, and for each network and head a folder with one a split.
        classes: File of class names.
        texts: CLIP's text features of the classes.
        encoder: Facts of CLIP: the logits' scale, and which frame of a video it saw.
        record: What is known of the models; None where nobody asks.
    """

    models: Path
    classes: Path
    texts: Path
    encoder: Path
    record: Record | None = None


@dataclass(frozen=True)
class ModelFiles:
    """One model: what its files are, and what is small enough to be read at once.

    Attributes:
        split: The split whose train part it was trained on.
        classes: Names in index order.
        clip: Directory of the frozen CLIP.
        motion: Directory of the motion network.
        heads: Directories of the servable heads with weights of their own that are there, by name.
        texts: Text features (k, d) float32, or None where there are none.
        frame: The rule by which CLIP saw a frame of each video, as of `clip.frame`; and its crop, where not the middle.
        remedy: What to do where something is missing.
        origin: What it was trained on, where that is known.
        onnx: Directory of its networks for onnxruntime, where it has them.
    """

    split: int
    classes: Sequence[str]
    clip: Path
    motion: Path
    heads: dict[str, Path]
    texts: ClassTexts | None
    frame: str
    remedy: str
    origin: Origin | None = None
    onnx: Path | None = None

    @property
    def folders(self) -> list[Path]:
        """All directories that it consists of."""
        return [self.clip, self.motion, *self.heads.values()]


def open_model(source: Path | Pipeline, split: int | None = None) -> ModelFiles:
    """The model at `source`: a bundle, or one of a pipeline.

    Args:
        source: Directory of a bundle, or a pipeline, whose directory of models may be a bundle as well.
        split: Which model of a pipeline; None is 1. Of a bundle, whose one model is taken, it is checked where given.

    Raises:
        StoreError: it is neither, a part is missing (with what to do about it), or a file was changed.
    """
    folder = source.models if isinstance(source, Pipeline) else source
    if (folder / MANIFEST).is_file():
        return _of_bundle(folder, split)
    if isinstance(source, Pipeline) and (folder / MOTION).is_dir():
        return _of_pipeline(source, 1 if split is None else split)
    raise StoreError(
        f"{folder}: holds neither a bundle ({MANIFEST}) nor the pipeline's models; run `dvc repro` in the repository, "
        "or name a bundle (made by `moclip bundle`) or an MLflow model (models:/NAME@best)"
    )


def _of_pipeline(source: Pipeline, split: int) -> ModelFiles:
    """One model by the names that `dvc.yaml` and the stages give its files; a test holds the two together."""
    remedy = "run `dvc repro`"
    name = f"split{split}"
    motion = source.models / MOTION / name
    if not motion.is_dir():
        raise StoreError(f"{motion}: no motion network of split {split}; {remedy}")
    if not source.classes.is_file():
        raise StoreError(f"{source.classes}: missing; {remedy}")
    classes = read_classes(source.classes)
    facts = read_json(source.encoder) if source.encoder.is_file() else None
    return ModelFiles(
        split=split,
        classes=classes,
        clip=source.models / CLIP,
        motion=motion,
        heads={head: path for head in with_weights() if (path := source.models / head / name).is_dir()},
        texts=_class_texts(source.texts, classes, facts),
        frame=_seen(facts) if facts else "middle",
        remedy=remedy,
        origin=source.record.origin(split) if source.record else None,
    )


def _seen(facts: dict[str, Any]) -> str:
    """Which frame of a video CLIP saw, and where that is not its middle, which part."""
    return f"{facts['frame']}, clip.crop: {facts['crop']}" if "crop" in facts else str(facts["frame"])


def _class_texts(path: Path, classes: Sequence[str], facts: dict[str, Any] | None) -> ClassTexts | None:
    if facts is None or not path.is_file():
        return None
    found = read_features(path)
    return ClassTexts(found.of(classes), float(facts["logit_scale"])) if len(found.ids) else None


def with_weights() -> list[str]:
    """Servable heads that have a directory of their own."""
    return [head for head in servable() if not HEADS[head].is_of_stream]


def write_bundle(
    out: Path,
    files: ModelFiles,
    networks: Callable[[Path], object] | None = None,
    texts: Mapping[str, str] | None = None,
) -> None:
    """Copy a model into one directory, as a whole or not at all.

    Args:
        out: The directory.
        files: The model.
        networks: Makes a folder with the model's networks for onnxruntime; None leaves them out.
        texts: Pages for a reader, by file name.

    Raises:
        StoreError: a part is missing.
        OutputError: `out` is there and no unchanged bundle, overlaps with a part, or cannot be written.
    """
    check_clip(files)
    with writing_directory(out, MANIFEST, files.folders) as temporary:
        _copy(files.clip, temporary / CLIP)
        _copy(files.motion, temporary / MOTION)
        for name, path in files.heads.items():
            _copy(path, temporary / HEAD_FOLDERS / name)
        if files.texts is not None:
            (temporary / TEXTS).write_bytes(save({"texts": np.ascontiguousarray(files.texts.features)}))
        if networks is not None:
            networks(temporary / ONNX)
        for name, text in (texts or {}).items():
            write_text(temporary / name, text)
        facts = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "split": files.split,
            "classes": list(files.classes),
            "heads": sorted(files.heads),
            "logit_scale": files.texts and files.texts.logit_scale,
            "frame": files.frame,
            "origin": files.origin and files.origin.model_dump(mode="json", exclude_none=True),
        }
        write_manifest(temporary, MANIFEST, facts)


def _copy(folder: Path, to: Path) -> None:
    """Copy all files of a folder; it ends at the first that cannot be, and `shutil.copytree` would go on."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        target = to / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def _of_bundle(folder: Path, split: int | None) -> ModelFiles:
    facts = read_manifest(folder)
    if split not in (None, facts.split):
        raise StoreError(f"{folder}: is a model of split {facts.split}, not {split}; give --split {facts.split}")
    _refuse_what_is_not_listed(folder, facts)
    for name, digest in facts.files.items():
        # CLIP's own files and networks for onnxruntime are held against descriptions beside them when they are read:
        # once is enough for 600 MB.
        path, is_read_later = folder / name, name.startswith("clip/") or name.endswith(".onnx")
        if not path.is_file() or (not is_read_later and sha256_file(path) != digest):
            raise StoreError(f"{path}: missing or changed since the bundle was written; copy the bundle again")
    return ModelFiles(
        split=facts.split,
        classes=facts.classes,
        clip=folder / CLIP,
        motion=folder / MOTION,
        heads={name: folder / HEAD_FOLDERS / name for name in facts.heads},
        texts=_read_texts(folder / TEXTS, facts.logit_scale),
        frame=facts.frame,
        remedy="make the bundle again with `moclip bundle` after `dvc repro`",
        origin=facts.origin,
        onnx=folder / ONNX if (folder / ONNX).is_dir() else None,
    )


class Manifest(BaseModel):
    """What a bundle says of itself; whoever made it may be anybody."""

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)

    split: int = Field(ge=1, le=1_000)
    classes: list[Annotated[str, Field(min_length=1, max_length=300), AfterValidator(printable)]] = Field(
        min_length=1, max_length=100_000
    )
    heads: list[Annotated[str, AfterValidator(_known_head)]]
    logit_scale: float | None = Field(gt=0)
    frame: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(printable)]
    origin: Origin | None = None
    files: dict[Annotated[str, AfterValidator(_inside)], Annotated[str, Field(pattern="^[0-9a-f]{64}$")]]


def read_manifest(folder: Path) -> Manifest:
    """What a bundle says of itself.

    Raises:
        StoreError: it is torn, or says what cannot be.
    """
    path = folder / MANIFEST
    facts = read_json(path, MAX_FACTS_MIB)
    if not isinstance(facts, dict):
        raise StoreError(f"{path}: is no mapping of facts on a bundle; make it again with `moclip bundle`")
    if facts.get("format") != FORMAT or facts.get("format_version") != FORMAT_VERSION:
        raise StoreError(
            f"{path}: format {facts.get('format')!r:.60} {facts.get('format_version')!r:.60}, this reads "
            f"{FORMAT} {FORMAT_VERSION}; make the bundle again with `moclip bundle`"
        )
    try:
        return Manifest.model_validate(facts)
    except ValidationError as error:
        faults = {".".join(map(str, detail["loc"]))[:80]: detail["msg"] for detail in error.errors(include_url=False)}
        told = "; ".join(f"key '{key}': {words}" for key, words in faults.items())
        raise StoreError(f"{path}: {told[:500]}; make the bundle again with `moclip bundle`") from error


def _refuse_what_is_not_listed(folder: Path, facts: Manifest) -> None:
    """Refuse a bundle in whose folders something lies that its manifest does not list, that is vast or no plain file.

    Only what is listed is opened: a pipe would never end, a link would lead out.
    """
    parts = [MANIFEST, CLIP, MOTION, HEAD_FOLDERS, TEXTS, ONNX]
    found = [path for name in parts if os.path.lexists(path := folder / name)]
    for path in found:
        found.extend(sorted(path.iterdir()) if stat.S_ISDIR(path.lstat().st_mode) else ())
        status, name = path.lstat(), path.relative_to(folder).as_posix()
        mode = status.st_mode
        if stat.S_ISREG(mode) and status.st_size > most_bytes(name):
            raise StoreError(f"{path}: has {status.st_size:,} bytes, more than {most_bytes(name):,}; it is not opened")
        if not stat.S_ISDIR(mode) and (not stat.S_ISREG(mode) or name not in (MANIFEST, *facts.files)):
            what = "not listed in" if stat.S_ISREG(mode) else "a link, a pipe or a device; not a plain file of"
            raise StoreError(f"{path}: is {what} {MANIFEST}; it is not opened. Take the bundle from who made it again")


def _read_texts(path: Path, logit_scale: float | None) -> ClassTexts | None:
    if not path.is_file() or logit_scale is None:
        return None
    try:
        return ClassTexts(load_file(path)["texts"], logit_scale)
    except (SafetensorError, KeyError) as error:
        raise StoreError(f"{path}: cannot be read as text features ({error}); copy the bundle again") from error


def check_clip(files: ModelFiles) -> None:
    """Refuse a model whose CLIP cannot see a new video.

    Raises:
        StoreError: there is no CLIP, or features that somebody had stand in its place.
    """
    meta = files.clip / "meta.json"
    if not meta.is_file():
        raise StoreError(f"{files.clip}: no CLIP model; {files.remedy}")
    if "precomputed" in read_facts(meta):
        raise StoreError(
            f"{files.clip}: the CLIP features were brought ready-made (clip.precomputed), so there is no encoder that "
            "could see a new video; set clip.model and clip.pretrained or clip.checkpoint and run `dvc repro`, or ask "
            f"the motion stream alone ({without_clip()})"
        )


def without_clip() -> str:
    """The options that ask a head which does without CLIP."""
    return " or ".join(f"--head {head}" for head in servable() if CLIP not in HEADS[head].streams)
