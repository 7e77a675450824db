"""Weights between two checkpoints of one architecture: a share of one, the rest of the other, tensor by tensor.

Fine-tuned weights lie near those that they started from, and between the two lie networks that know both tasks.

Source: Ilharco et al., Patching open-vocabulary models by interpolating weights (NeurIPS 2022), taken up by Open-VCLIP,
whose released files `read_patch` reads.
"""

import logging
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from moclip.base.errors import ParamsError
from moclip.clip.weights import ARCHIVE_EXTRAS

STATE, PREFIX, RAW = "model_state", "model.", "raw_model."
"""Open-VCLIP's files: where the tensors lie, what CLIP's names begin with, and those of a second, untouched CLIP."""

TRAINED, WRAPPER = "state_dict", "module."
"""Of open_clip's training: where the tensors lie, and what their names begin with after training on several devices."""

log = logging.getLogger(__name__)


def interpolated(first: Mapping[str, Tensor], second: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """The tensors share * first + (1 - share) * second, by name, each in the type that it has in `first`.

    With a share of 1 or 0 the tensors are those of one side to the bit; equal tensors stay what they are. What is no
    floating point number, as the count of batches that a batch norm has seen, is no weight, and is that of `first`.

    Args:
        first: Tensors by name.
        second: Tensors of the same names and shapes.
        share: Of `first`, from 0 to 1.

    Raises:
        ParamsError: the two are not of one architecture, or a value is not finite; the first tensor concerned is named.

    >>> interpolated({"w": torch.tensor([1.0])}, {"w": torch.tensor([3.0])}, 0.25)["w"].item()
    2.5
    """
    if not 0.0 <= share <= 1.0:
        raise ParamsError(f"a share of weights must lie from 0 to 1, is {share}")
    _check_alike(first, second)
    return {name: _between(own, second[name], share) for name, own in first.items()}


def _between(own: Tensor, other: Tensor, share: float) -> Tensor:
    if not own.is_floating_point():
        return own.clone()
    return torch.lerp(other.to(own), own, share)  # exact at both ends, and where the two are equal


def _check_alike(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> None:
    only = [("second", name) for name in first if name not in second] + [
        ("first", name) for name in second if name not in first
    ]
    if only:
        lacking, name = only[0]
        raise ParamsError(
            f"the two checkpoints are of different architectures: the {lacking} one lacks '{name}' "
            f"({len(only)} names stand in one alone); only weights of one architecture can be interpolated"
        )
    for name, own in first.items():
        other = second[name]
        if own.shape != other.shape:
            raise ParamsError(
                f"the two checkpoints are of different architectures: '{name}' is {tuple(own.shape)} in the first and "
                f"{tuple(other.shape)} in the second; only weights of one architecture can be interpolated"
            )
        for which, tensor in (("first", own), ("second", other)):
            if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                raise ParamsError(f"'{name}' of the {which} checkpoint is not finite; bring the file anew")


def apply_patch(model: nn.Module, path: Path, share: float) -> None:
    """Move a CLIP's weights in place: `share` of its own, the rest of a file's.

    Raises:
        ParamsError: as `read_patch` and `interpolated`.
    """
    try:
        model.load_state_dict(interpolated(model.state_dict(), read_patch(path), share))
    except ParamsError as error:
        raise ParamsError(f"parameter 'clip.patch': {path.name} (second) and clip.model (first): {error}") from error


def read_patch(path: Path) -> dict[str, Tensor]:
    """CLIP's tensors of a file by OpenAI's names: safetensors, a torch file of tensors, or one of Open-VCLIP's.

    Nothing but tensors, numbers and words is read; code in a file is never run.

    Raises:
        ParamsError: the file is missing, torn, holds code or what is no tensor, or weights that are no part of CLIP.
    """
    if not path.is_file():
        raise ParamsError(f"parameter 'clip.patch': {path} is not a file")
    content = _content(path)
    if STATE in content:
        return _of_open_vclip(path, content[STATE])
    return _tensors(path, _of_training(content))


def _of_training(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """The weights of a file; open_clip's training holds them under a key, perhaps with a wrapper's prefix."""
    own = content.get(TRAINED, content)
    if not isinstance(own, Mapping):
        return content
    wrapped = bool(own) and all(name.startswith(WRAPPER) for name in own)
    return {name.removeprefix(WRAPPER) if wrapped else name: value for name, value in own.items()}


def _content(path: Path) -> dict[str, Any]:
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, pickle.UnpicklingError, SafetensorError) as error:
        raise _unreadable(path, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}") from error
    if not isinstance(found, Mapping):
        raise _unreadable(path, f"it holds a {type(found).__name__}, no tensors by name")
    return dict(found)


def _unreadable(path: Path, why: str) -> ParamsError:
    return ParamsError(
        f"parameter 'clip.patch': {path.name} cannot be read as weights ({why}). It must be safetensors (named so), or "
        "a torch file of nothing but tensors, numbers and words: code in a file is never run. A transfer may also have "
        "been cut off: compare size and digest with the publisher's"
    )


def _of_open_vclip(path: Path, state: Any) -> dict[str, Tensor]:
    """CLIP's part; a second CLIP that was kept beside it in training is the untouched one, and is left out."""
    if not isinstance(state, Mapping):
        raise _unreadable(path, f"its '{STATE}' is a {type(state).__name__}")
    own = {name.removeprefix(PREFIX): value for name, value in state.items() if name.startswith(PREFIX)}
    raw = [name for name in state if name.startswith(RAW)]
    if foreign := [name for name in state if not name.startswith((PREFIX, RAW))]:
        raise ParamsError(
            f"parameter 'clip.patch': {path.name} holds '{foreign[0]}' ({len(foreign)} such), which is no part of "
            f"CLIP; only weights under '{PREFIX}' can be taken, those of a model without parts of its own"
        )
    if raw:
        log.info("%s: %d tensors of an untouched CLIP (%s...) are left out", path.name, len(raw), RAW)
    return _tensors(path, own)


def _tensors(path: Path, state: Mapping[str, Any]) -> dict[str, Tensor]:
    if foreign := [name for name, value in state.items() if not isinstance(value, Tensor)]:
        raise ParamsError(f"parameter 'clip.patch': {path.name} holds {foreign[0]!r}, which is no tensor")
    return {name: value for name, value in state.items() if name not in ARCHIVE_EXTRAS}
