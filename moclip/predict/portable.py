"""Write the networks of a model for onnxruntime, and hold their answers against PyTorch's.

The folder's form is that of `moclip.predict.runtime`. Axes: n video, s segment, d feature, k class.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn

from moclip.base.errors import StoreError
from moclip.base.files import write_text
from moclip.base.outputs import write_manifest
from moclip.base.progress import Progress
from moclip.clip.text.bpe import BpeTokenizer
from moclip.heads.fitted import Fitted
from moclip.heads.motion_only import MotionOnly
from moclip.heads.registry import CLIP, HEADS, MOTION, servable
from moclip.heads.train import Mlp
from moclip.predict import loading, runtime
from moclip.predict.bundle import ModelFiles
from moclip.predict.onnx import FIELD_PX, HeadOnStreams, ModelInput, check_extra, field_shape, stream_inputs, write_onnx
from moclip.predict.parts import Parts
from moclip.predict.predictor import Predictor, softmax
from moclip.predict.runtime import MERGES, META, TEXT, Networks, PictureInput, TextInput, part_of

if TYPE_CHECKING:
    from moclip.clip.encoder import Encoder

TOLERANCE = 1e-4
"""Largest difference of a probability from PyTorch's that is let through."""

_STEPS = ("Resize", "CenterCrop", "MaybeConvertMode", "MaybeToTensor", "Normalize")
"""Of open_clip's preprocessing; a square that is squashed is not cut."""


@dataclass
class _Written:
    """What was written: facts on the inputs, what is missing and why, deviations from PyTorch by file."""

    facts: dict[str, Any] = field(default_factory=lambda: {CLIP: None, TEXT: None, MOTION: None})
    missing: dict[str, str] = field(default_factory=dict)
    deviations: dict[str, float] = field(default_factory=dict)


class _Features(nn.Module):
    """What a motion network makes of fields (n, s, 2, gh, gw), (n, d)."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net = net

    def forward(self, fields: Tensor) -> Tensor:
        features: Tensor = self.net.features(fields)
        return features


class _Texts(nn.Module):
    """What CLIP makes of tokens (n, l), (n, d)."""

    def __init__(self, clip: Any) -> None:
        super().__init__()
        self.clip = clip

    def forward(self, tokens: Tensor) -> Tensor:
        features: Tensor = self.clip.encode_text(tokens)
        return features


class _Pictures(nn.Module):
    """What CLIP makes of pixels (n, 3, h, w), (n, d)."""

    def __init__(self, clip: Any) -> None:
        super().__init__()
        self.clip = clip

    def forward(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.clip.encode_image(pixels)
        return features


def write_networks(folder: Path, files: ModelFiles, videos: Sequence[Path] = ()) -> Mapping[str, str]:
    """Write a model's networks, and let both answer for videos.

    Args:
        folder: Directory to make.
        files: The model.
        videos: On which answers are compared; the deviation is kept.

    Returns:
        Why a part could not be written, by its name.

    Raises:
        MoclipError: what writes ONNX is not installed.
        StoreError: a head's first class is another, or a probability differs by more than `TOLERANCE`; names both.
    """
    check_extra()
    folder.mkdir()
    done = _Written()
    encoder = loading.load_clip(files)
    _write_pictures(folder, encoder, done)
    _write_texts(folder, encoder, files.classes, done)
    network = loading.load_motion(files)
    _write_motion(folder, network, done)
    for head in servable():
        if loading.is_there(files, head):
            _write_head(folder, head, loading.load_head(files, head), done)
    facts = {**done.facts, "missing": done.missing, "deviations": done.deviations}
    write_manifest(folder, META, facts)
    answers = {} if not videos else _compared(files, folder, runtime.read_networks(folder), videos)
    (folder / META).unlink()
    write_manifest(folder, META, {**facts, "answers": answers})
    return done.missing


def _write_pictures(folder: Path, encoder: "Encoder", done: _Written) -> None:
    try:
        done.facts[CLIP] = picture_input(encoder.preprocess).model_dump()
        shape = tuple(encoder.pixels([np.zeros((64, 64, 3), np.uint8)]).shape[1:])
        inputs = {"pixels": ModelInput(shape, 0.0, 1.0)}
        done.deviations[CLIP] = write_onnx(
            folder / f"{CLIP}.onnx", _Pictures(encoder.model.backbone), inputs, ("features",)
        )
    except StoreError as error:
        done.facts[CLIP], done.missing[CLIP] = None, str(error)
        (folder / f"{CLIP}.onnx").unlink(missing_ok=True)


def _write_texts(folder: Path, encoder: "Encoder", classes: Sequence[str], done: _Written) -> None:
    try:
        merges, length = encoder.tokenize.merges(), encoder.tokenize.own.context_length
        ours = BpeTokenizer(merges, length)
        read = [f"a video of {name}" for name in classes]
        if not np.array_equal(ours(read), encoder.tokenize(read)):
            raise StoreError("its tokenizer reads the classes' names in another way than CLIP's own")
        tokens = {"tokens": ModelInput((length,), 0.0, 1.0, vocabulary=encoder.tokenize.own.vocab_size)}
        model = _Texts(encoder.model.backbone)
        done.deviations[TEXT] = write_onnx(folder / f"{TEXT}.onnx", model, tokens, ("features",))
        write_text(folder / MERGES, "".join(f"{first} {second}\n" for first, second in merges))
        done.facts[TEXT] = TextInput(tokens=length).model_dump()
    except StoreError as error:
        done.missing[TEXT] = str(error)
        (folder / f"{TEXT}.onnx").unlink(missing_ok=True)


def picture_input(preprocess: Any) -> PictureInput:
    """What an encoder's preprocessing does, as data.

    Raises:
        StoreError: it has other steps than CLIP's own; they are named.
    """
    steps = {type(step).__name__: step for step in preprocess.transforms}
    if list(steps) != [name for name in _STEPS if name in steps or name != "CenterCrop"]:
        raise StoreError(f"pictures are prepared by {', '.join(steps)}, and only {', '.join(_STEPS)} can be written")
    size, scale = steps["Resize"].size, steps["Normalize"]
    return PictureInput(
        resize=size if isinstance(size, int) else tuple(size),
        interpolation=steps["Resize"].interpolation.value,
        crop=tuple(steps["CenterCrop"].size) if "CenterCrop" in steps else None,
        mean=tuple(scale.mean),
        std=tuple(scale.std),
    )


def _write_motion(folder: Path, network: MotionOnly, done: _Written) -> None:
    own = network.made_for.motion_net
    for name, value, plain in (
        ("arch", "vit" if network.net.vit else None, None),
        ("encoding", own.encoding, "float"),
        ("input_px", own.input_px, None),
        ("eval_crops", own.eval_crops, 1),
    ):
        if value != plain:
            done.missing[MOTION] = f"motion_net.{name}: {value} cannot be written as ONNX"
            return
    shape = field_shape(None, network.made_for.motion.cell_px, own.eval_segments)
    inputs = {"fields": ModelInput(shape, 0.0, FIELD_PX, free=(0, 2, 3))}
    done.facts[MOTION] = network.made_for.saved()
    done.deviations[MOTION] = write_onnx(folder / f"{MOTION}.onnx", _Features(network.net), inputs, ("features",))


def _write_head(folder: Path, head: str, fitted: Fitted, done: _Written) -> None:
    part = part_of(head)
    if isinstance(fitted, MotionOnly):
        inputs = {MOTION: ModelInput((fitted.net.classifier.in_features,), 0.0, 1.0)}
        model: nn.Module = fitted.net.classifier
    elif isinstance(fitted, Mlp):
        inputs, model = stream_inputs(fitted.head), HeadOnStreams(fitted.head)
    else:
        if not HEADS[head].is_of_stream:
            done.missing[part] = f"{type(fitted).__name__} is no MLP, and nothing else can be written"
        return
    (folder / part).parent.mkdir(exist_ok=True)
    done.deviations[part] = write_onnx(folder / f"{part}.onnx", model, inputs, ("logits",))


def _compared(files: ModelFiles, folder: Path, known: Networks, videos: Sequence[Path]) -> dict[str, Any]:
    """Largest difference of a probability by head, over these videos."""
    found: dict[str, float] = {}
    pairs = list(_pairs(files, folder, known))
    for video in Progress(videos, desc="compare with PyTorch", unit="video"):
        for torch_answers, onnx_answers in pairs:
            seen = torch_answers.look(video)
            one, other = (each.answer(video, seen.grid, seen.picture) for each in (torch_answers, onnx_answers))
            for head, logits in one.items():
                found[head] = max(found.get(head, 0.0), _difference(head, video, logits, other[head]))
    return {"videos": len(videos), "probability": found}


def _pairs(files: ModelFiles, folder: Path, known: Networks) -> Iterator[tuple[Predictor, Predictor]]:
    """By PyTorch and by onnxruntime, the fewest heads that together ask every part there is."""
    asked: set[str] = set()
    for head in sorted(servable(), key=lambda head: -len(HEADS[head].streams)):
        with suppress(StoreError):  # of a part that was refused, and so has no answer
            if head not in asked:
                both = [loading.load_parts(files, head), runtime.parts_of(files, folder, known, head)]
                heads = set(both[1].heads)
                asked |= heads
                yield tuple(_predictor(files, head, _of(parts, heads)) for parts in both)  # type: ignore[misc]


def _of(parts: Parts, heads: set[str]) -> Parts:
    return Parts({name: fitted for name, fitted in parts.heads.items() if name in heads}, parts.motion, parts.encoder)


def _predictor(files: ModelFiles, head: str, parts: Parts) -> Predictor:
    return Predictor(head, files.split, files.classes, parts.heads, parts.motion, parts.encoder, files.origin)


def _difference(head: str, video: Path, ours: np.ndarray, theirs: np.ndarray) -> float:
    one, other = softmax(ours), softmax(theirs)
    difference = float(np.abs(one - other).max())
    if one.argmax() != other.argmax() or not difference <= TOLERANCE:
        raise StoreError(
            f"{video}: {head} by onnxruntime differs from PyTorch by {difference:.1e} of a probability, and no more "
            f"than {TOLERANCE:.0e} with the same first class is let through; `--no-onnx` makes the bundle without"
        )
    return difference
