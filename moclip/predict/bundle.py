"""The parts of one trained model: where the pipeline leaves them, and the same together in one directory.

A bundle is a directory that can be moved or sent: safetensors and JSON, no pickle, nothing outside it.

    bundle.json         format, split, classes in index order, logit scale, SHA-256 of every other file
    clip/               the frozen CLIP, as the stage clip_model writes it
    motion/             the motion network, with what it was made for
    heads/<head>/       the trained heads that there are
    texts.safetensors   one unit vector per class, where CLIP's text features exist
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from moclip.base.errors import StoreError
from moclip.base.files import read_json, sha256_file
from moclip.base.outputs import write_manifest, writing_directory
from moclip.store.features import read_features

FORMAT = "moclip-bundle"
FORMAT_VERSION = 1
MANIFEST = "bundle.json"
TEXTS = "texts.safetensors"

TRAINED_HEADS = ("clip_probe", "fusion")
"""Heads with weights of their own that take the features of one video."""


@dataclass(frozen=True)
class Parts:
    """One model: what its files are, and what is small enough to be read at once.

    Attributes:
        split: The split whose train part it was trained on.
        classes: Names in index order.
        clip: Directory of the frozen CLIP.
        motion: Directory of the motion network.
        heads: Directories of the trained heads that are there, by name.
        texts: Unit text features (k, d) float32, or None where there are none.
        logit_scale: CLIP's inverse temperature.
        frame: The rule by which CLIP saw a frame of each video, as of `clip.frame`.
        remedies: By part (`clip`, `motion` or a head's name), what to do where it is missing.
    """

    split: int
    classes: Sequence[str]
    clip: Path
    motion: Path
    heads: dict[str, Path]
    texts: np.ndarray | None
    logit_scale: float
    frame: str
    remedies: dict[str, str]

    @property
    def folders(self) -> list[Path]:
        """All directories that it consists of."""
        return [self.clip, self.motion, *self.heads.values()]


def open_parts(source: Path, split: int | None = None) -> Parts:
    """The model at `source`: a bundle, or the folder `models` of a pipeline's repository.

    Args:
        source: Directory.
        split: Which model of a pipeline; None is 1. Of a bundle, whose one model is taken, it is checked where given.

    Raises:
        StoreError: it is neither, a part is missing (with the command that makes it), or a file was changed.
    """
    if (source / MANIFEST).is_file():
        return _of_bundle(source, split)
    if source.is_dir() and (source / "motion").is_dir():
        return _of_pipeline(source, 1 if split is None else split)
    raise StoreError(
        f"{source}: holds neither a bundle ({MANIFEST}) nor the pipeline's models; run `dvc repro` in the repository, "
        "or name a bundle (made by `moclip bundle`) or an MLflow model (models:/NAME@best)"
    )


def _of_pipeline(models: Path, split: int) -> Parts:
    """Where `dvc.yaml` puts what belongs to one model; a test holds the two together."""
    data = models.parent / "data"
    texts_file, scale_file = data / "clip" / "texts.npz", data / "clip" / "scale.json"
    motion = models / "motion" / f"split{split}"
    if not motion.is_dir():
        raise StoreError(f"{motion}: no motion network of split {split}; run `dvc repro train_motion@{split}`")
    classes_file = data / "classes.csv"
    if not classes_file.is_file():
        raise StoreError(f"{classes_file}: missing; run `dvc repro download`")
    from moclip.data.manifest import read_classes  # brings pandas, which a bundle does without

    heads = {name: models / name / f"split{split}" for name in TRAINED_HEADS}
    classes = read_classes(classes_file)
    texts, scale, frame = None, 1.0, "middle"
    if texts_file.is_file() and scale_file.is_file():
        found = read_features(texts_file)
        texts = found.of(classes) if len(found.ids) else None
        facts = read_json(scale_file)
        scale, frame = float(facts["logit_scale"]), str(facts["frame"])
    return Parts(
        split=split,
        classes=classes,
        clip=models / "clip",
        motion=motion,
        heads={name: path for name, path in heads.items() if path.is_dir()},
        texts=texts,
        logit_scale=scale,
        frame=frame,
        remedies={
            "clip": "run `dvc repro clip_model`",
            "motion": f"run `dvc repro train_motion@{split}`",
            "zero_shot": "run `dvc repro cache_clip`",
            "clip_probe": "run `dvc repro clip_probe`",
            "fusion": "run `dvc repro train_fusion`",
        },
    )


def write_bundle(out: Path, parts: Parts) -> None:
    """Copy a model into one directory, as a whole or not at all.

    Raises:
        StoreError: a part is missing.
        OutputError: `out` is there and no unchanged bundle, overlaps with a part, or cannot be written.
    """
    check_clip(parts)
    with writing_directory(out, MANIFEST, parts.folders) as temporary:
        _copy(parts.clip, temporary / "clip")
        _copy(parts.motion, temporary / "motion")
        for name, path in parts.heads.items():
            _copy(path, temporary / "heads" / name)
        if parts.texts is not None:
            (temporary / TEXTS).write_bytes(save({"texts": np.ascontiguousarray(parts.texts)}))
        facts = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "split": parts.split,
            "classes": list(parts.classes),
            "heads": sorted(parts.heads),
            "logit_scale": parts.logit_scale,
            "frame": parts.frame,
        }
        write_manifest(temporary, MANIFEST, facts)


def _copy(folder: Path, to: Path) -> None:
    """Copy all files of a folder; it ends at the first that cannot be, and `shutil.copytree` would go on."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        target = to / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def _of_bundle(folder: Path, split: int | None) -> Parts:
    facts = _read_manifest(folder)
    if split not in (None, facts["split"]):
        raise StoreError(f"{folder}: is a model of split {facts['split']}, not {split}; give --split {facts['split']}")
    for name, digest in facts["files"].items():
        # CLIP's own files are held against its meta.json when they are read: once is enough for 600 MB.
        path = folder / name
        if not path.is_file() or (not name.startswith("clip/") and sha256_file(path) != digest):
            raise StoreError(f"{path}: missing or changed since the bundle was written; copy the bundle again")
    remedy = "make the bundle again with `moclip bundle` after `dvc repro`"
    return Parts(
        split=facts["split"],
        classes=facts["classes"],
        clip=folder / "clip",
        motion=folder / "motion",
        heads={name: folder / "heads" / name for name in facts["heads"]},
        texts=_read_texts(folder / TEXTS),
        logit_scale=facts["logit_scale"],
        frame=facts["frame"],
        remedies=dict.fromkeys(("clip", "motion", "zero_shot", *TRAINED_HEADS), remedy),
    )


def _read_manifest(folder: Path) -> dict[str, Any]:
    facts: dict[str, Any] = read_json(folder / MANIFEST)
    if facts.get("format") != FORMAT or facts.get("format_version") != FORMAT_VERSION:
        raise StoreError(
            f"{folder / MANIFEST}: format {facts.get('format')} {facts.get('format_version')}, this reads "
            f"{FORMAT} {FORMAT_VERSION}; make the bundle again with `moclip bundle`"
        )
    return facts


def _read_texts(path: Path) -> np.ndarray | None:
    if not path.is_file():
        return None
    try:
        texts: np.ndarray = load_file(path)["texts"]
    except (SafetensorError, KeyError) as error:
        raise StoreError(f"{path}: cannot be read as text features ({error}); copy the bundle again") from error
    return texts


def check_clip(parts: Parts) -> None:
    """Refuse a model whose CLIP cannot see a new video.

    Raises:
        StoreError: there is no CLIP, or features that somebody had stand in its place.
    """
    meta = parts.clip / "meta.json"
    if not meta.is_file():
        raise StoreError(f"{parts.clip}: no CLIP model; {parts.remedies['clip']}")
    if "precomputed" in read_json(meta):
        raise StoreError(
            f"{parts.clip}: the CLIP features were brought ready-made (clip.precomputed), so there is no encoder that "
            "could see a new video; set clip.model and clip.pretrained or clip.checkpoint and run `dvc repro`, or ask "
            "the motion stream alone (--head motion_only)"
        )
