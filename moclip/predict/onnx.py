"""The motion network and a head as ONNX files, held against PyTorch before they are written.

Axes: n video (dynamic), s segment, h and w grid rows and columns, d feature, k class.

    motion.onnx   fields (n, s, 2, h, w) -> features (n, d), logits (n, k)
    head.onnx     features of each stream (n, d_i), not normalised -> logits (n, k)
    model.json    classes, the sizes above, and how a video becomes fields, which hold pixels or, with `encoding` bytes,
                  what `moclip.motion.transforms.encode_bytes` makes of them with `bound_px`; SHA-256 of the
                  other files
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from moclip.base.errors import ParamsError, StoreError
from moclip.base.outputs import write_manifest, writing_directory
from moclip.heads.mlp import Head, concatenate
from moclip.heads.train import Mlp
from moclip.motion.grid import grid_shape
from moclip.motion.net import MotionNet
from moclip.predict.bundle import Pipeline, open_model, with_weights
from moclip.predict.loading import load_head, load_motion
from moclip.predict.runtime import library

TOLERANCE = 1e-4
"""Largest absolute difference between PyTorch and ONNX Runtime, in units of the output, that is let through."""

MOTION, HEAD, META = "motion.onnx", "head.onnx", "model.json"
_BATCHES = (1, 3)  # other sizes than the one that was traced
_TRACED = 2
_UCF101_PX = (320, 240)
FIELD_PX = 10.0  # displacements that are compared: some of them beyond `bound_px`


@dataclass(frozen=True)
class ModelInput:
    """One input of a model: its shape without the batch, and mean and deviation of the values it gets.

    The axes of the shape that are `free` may have any length. Tokens are whole numbers below `vocabulary`.
    """

    shape: tuple[int, ...]
    centre: Tensor | float
    spread: Tensor | float
    free: tuple[int, ...] = ()
    vocabulary: int | None = None


class _MotionOutputs(nn.Module):
    """Features and logits at once, as `features_and_logits` gives them."""

    def __init__(self, net: MotionNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, fields: Tensor) -> tuple[Tensor, Tensor]:
        features = self.net.features(fields)
        return features, self.net.classifier(features)


class HeadOnStreams(nn.Module):
    """A head with what is done to its streams before."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.head = head

    def forward(self, *streams: Tensor) -> Tensor:
        """Logits (n, k) of features (n, d_i), not normalised."""
        logits: Tensor = self.head(concatenate(streams))
        return logits


def export(source: Path | Pipeline, split: int | None, head: str, out: Path) -> dict[str, float]:
    """Write the motion network and a head of a trained model as ONNX, as a whole or not at all.

    Args:
        source: A bundle, or a pipeline.
        split: Which of the pipeline's models.
        head: An MLP on features.
        out: Directory to make.

    Returns:
        Largest absolute difference from PyTorch by file name.

    Raises:
        MoclipError: ONNX is not installed.
        StoreError: a part is missing, or ONNX Runtime's results differ by more than `TOLERANCE`.
        OutputError: `out` is there and no unchanged export, overlaps with a part, or cannot be written.
    """
    check_extra()
    if head not in with_weights():
        raise ParamsError(f"head must be one of {with_weights()}, which have weights of their own; got '{head}'")
    files = open_model(source, split)
    fitted, motion = load_head(files, head), load_motion(files)
    if not isinstance(fitted, Mlp):
        raise ParamsError(f"head '{head}': only an MLP can be written as ONNX; ask it by `moclip predict`")
    if motion.net.vit is not None:
        raise ParamsError("motion_net.arch: vit cannot be written as ONNX; ask its heads by `moclip predict`")
    made_for, widths = motion.made_for, stream_inputs(fitted.head)
    shape = field_shape(made_for.motion_net.input_px, made_for.motion.cell_px, made_for.motion_net.eval_segments)
    fields = {"fields": ModelInput(shape, 0.0, FIELD_PX)}
    facts: dict[str, Any] = {
        "split": files.split,
        "head": head,
        "classes": list(files.classes),
        "input": made_for.saved(),
        "encoding": motion.net.encoding,
        "bound_px": motion.net.bound_px,
        "fields": ["n", *shape],
        "streams": {name: inputs.shape[0] for name, inputs in widths.items()},
    }
    with writing_directory(out, META, files.folders) as temporary:
        deviations = {
            MOTION: write_onnx(temporary / MOTION, _MotionOutputs(motion.net), fields, ("features", "logits")),
            HEAD: write_onnx(temporary / HEAD, HeadOnStreams(fitted.head), widths, ("logits",)),
        }
        write_manifest(temporary, META, facts)
    return deviations


def check_extra() -> None:
    """Refuse to write where what it takes is not installed.

    Raises:
        MoclipError: names the package and the extra.
    """
    import onnx  # noqa: F401
    import onnxscript  # noqa: F401

    library()


def field_shape(input_px: int | None, cell_px: int, segments: int) -> tuple[int, ...]:
    """(s, 2, h, w) of what the network takes: its own side, or the native grid of 320 x 240 pixels."""
    side = (input_px, input_px) if input_px else grid_shape(*_UCF101_PX, cell_px)
    return (segments, 2, *side)


def stream_inputs(head: Head) -> dict[str, ModelInput]:
    """Each stream that a head takes, like those that it was trained on.

    Unlike ones would be divided by the small deviations of the training part, and compare numbers that never come up.
    """
    sizes = list(head.widths.values())
    like = zip(head.widths, sizes, head.mean.split(sizes), head.scale.split(sizes), strict=True)
    return {name: ModelInput((size,), centre, spread) for name, size, centre, spread in like}


def write_onnx(path: Path, model: nn.Module, inputs: Mapping[str, ModelInput], outputs: Sequence[str]) -> float:
    """Write a model with a dynamic batch, and hold it against PyTorch.

    Args:
        path: File to write.
        model: In evaluation mode.
        inputs: By name, in the order of the model's arguments.
        outputs: Names of what it returns.

    Returns:
        The largest absolute difference.

    Raises:
        StoreError: it is more than `TOLERANCE`.
    """
    example = draw(inputs, _TRACED)
    batch = torch.export.Dim("n")
    free = torch.export.Dim.DYNAMIC
    dynamic: Any = tuple({0: batch, **{axis + 1: free for axis in one.free}} for one in inputs.values())
    if isinstance(model, HeadOnStreams):
        dynamic = (dynamic,)  # one argument that takes all of them
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the exporter, about its own inside
        torch.onnx.export(
            model.eval(),
            tuple(example),
            path,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=dynamic,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    deviation = max(compare(path, model, draw(inputs, count)) for count in _BATCHES)
    if not deviation <= TOLERANCE:
        raise StoreError(
            f"{path.name}: ONNX Runtime differs from PyTorch by {deviation:.2e}, more than {TOLERANCE:.0e}; "
            "nothing was written. Other releases of torch and onnxscript may do better; `moclip bundle` needs neither"
        )
    return deviation


def draw(inputs: Mapping[str, ModelInput], count: int) -> list[Tensor]:
    """Random inputs (count, ...), the same at every call; a free axis is longer the larger the count."""
    generator = torch.Generator().manual_seed(count)
    shapes = [[n + count * (axis in one.free) for axis, n in enumerate(one.shape)] for one in inputs.values()]
    return [
        one.centre + one.spread * torch.randn(count, *shape, generator=generator)
        if one.vocabulary is None
        else torch.randint(one.vocabulary, (count, *shape), generator=generator)
        for one, shape in zip(inputs.values(), shapes, strict=True)
    ]


@torch.inference_mode()
def compare(path: Path, model: nn.Module, inputs: Sequence[Tensor]) -> float:
    """Largest absolute difference between ONNX Runtime and PyTorch on these inputs."""
    session = library().InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]
    found = session.run(None, {name: value.numpy() for name, value in zip(names, inputs, strict=True)})
    expected = model(*inputs)
    pairs = zip(found, expected if isinstance(expected, tuple) else (expected,), strict=True)
    return max(float(np.abs(one - other.numpy()).max()) for one, other in pairs)
