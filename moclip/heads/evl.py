"""The head `evl`: a small decoder over the levels of frozen CLIP, from its kept residual stream on.

CLIP's top is frozen. It is saved beside the decoder, so that a loaded head answers by itself, and by no other CLIP;
four blocks of a ViT-B weigh about as much as their decoder. Departures from the published code: tokens are kept, so
there are no random crops; a ResNet has no queries, so likeness of places stands for its attention, and the mean of its
places for a class token.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from moclip.base.errors import ParamsError, StoreError
from moclip.base.files import read_json
from moclip.base.random import make_deterministic
from moclip.clip.encoder import CONFIG, build, load_encoder
from moclip.clip.top import ClipTop
from moclip.data.splits import PARTS
from moclip.heads.evl_net import EvlDecoder
from moclip.heads.fitted import Resources, Seed, Videos
from moclip.heads.frames import (
    HELD_BYTES,
    RESIDUAL,
    VIDEOS_AT_ONCE,
    Feed,
    OnEpoch,
    OnFrames,
    facts_of,
    fit_on_frames,
    load_on_frames,
    shapes_of,
)
from moclip.heads.train import ignore
from moclip.params.heads.evl import EvlParams
from moclip.training.frozen import Frozen
from moclip.training.loop import Batch, Schedule


class EvlNet(nn.Module):
    """CLIP's frozen top, and the decoder over its levels.

    Args:
        clip: open_clip's configuration of the model whose top it is.
        cut: Blocks of it.
        layers: Levels that are read, the last ones: outputs of blocks, and before them the kept stream itself.
        decoder: Arguments of `EvlDecoder`.
    """

    def __init__(self, clip: Mapping[str, Any], cut: int, layers: int, decoder: Mapping[str, Any]) -> None:
        super().__init__()
        with torch.device("meta"):  # no draws for a CLIP whose weights are put in right after
            top = ClipTop(build(clip), cut)
        self.top = Frozen(top.to_empty(device="cpu"))
        self.layers = layers
        self.decoder = EvlDecoder(**decoder)

    def forward(self, stream: Tensor) -> Tensor:
        """Logits (n, k) of the kept residual stream (n, t, l, c)."""
        logits: Tensor = self.decoder(*self.levels(stream))
        return logits

    def features(self, stream: Tensor) -> Tensor:
        """What the query has read of the kept residual stream (n, t, l, c), as `EvlDecoder.features`."""
        return self.decoder.features(*self.levels(stream))

    @torch.no_grad()
    def levels(self, stream: Tensor) -> Batch:
        """Three tensors a level, as float16 holds them: a kept level and one that is made anew are alike."""
        found = levels_of(self.top.backbone, stream, self.layers)
        return tuple(part.half().float() for level in found for part in level)


def levels_of(top: ClipTop, stream: Tensor, layers: int) -> Sequence[tuple[Tensor, Tensor, Tensor]]:
    """The last levels of a stream.

    Raises:
        ParamsError: there are fewer.
    """
    found = [top.entry(stream), *top.levels(stream)] if top.is_resnet else list(top.levels(stream))
    if layers > len(found):
        raise ParamsError(f"evl.layers: {layers}, but frames.cut leaves {len(found)} levels; take fewer, or cut deeper")
    return found[-layers:]


@torch.no_grad()
def level_shapes(top: ClipTop, shape: Sequence[int], params: EvlParams) -> Sequence[torch.Size]:
    """Shape (t, l, c) of one video in each level of a stream of this shape.

    Raises:
        ParamsError: as `levels_of`, or the levels' widths do not fit `width` and `heads`.
        StoreError: the stream is not of this CLIP.
    """
    try:
        found = [out.shape[1:] for out, _, _ in levels_of(top, torch.zeros(1, *shape), params.layers)]
    except RuntimeError as error:
        raise StoreError(
            f"{RESIDUAL}: a stream of {tuple(shape)} (frames, tokens, width) does not enter this CLIP's last "
            f"{len(top.blocks)} blocks ({error}); run the stages clip_model and cache_residual again"
        ) from error
    widths = [level[-1] for level in found]
    if params.width is None and len(set(widths)) > 1:
        raise ParamsError(f"evl.width: null takes CLIP's own, but its levels have {widths}; give a number")
    if params.width is None and widths[0] % params.heads:
        raise ParamsError(f"evl.heads: {params.heads} do not divide CLIP's width {widths[0]}; take a number that does")
    return found


@dataclass
class Evl(OnFrames):
    """An `EvlNet`."""

    net: EvlNet
    streams = (RESIDUAL,)

    def logits(self, inputs: Mapping[str, Any]) -> np.ndarray:
        """Logits (n, k) of the residual stream (n, t, l, c).

        Raises:
            StoreError: it has other frames, places or width than the one that the head was trained on.
        """
        self._check(inputs)
        return super().logits(inputs)

    def features(self, inputs: Mapping[str, Any]) -> np.ndarray:
        """What the query has read of each video (n, C), the classifier's input; raises as `logits`."""
        self._check(inputs)
        return self._passed(self.net.eval().features, inputs)

    def _check(self, inputs: Mapping[str, Any]) -> None:
        own, found = tuple(self.shapes[0]), inputs[RESIDUAL].shape[1:]
        if found != own:
            raise StoreError(
                f"{RESIDUAL}: a video is {found} (frames, tokens, width), but this head was trained on {own}; give it "
                "frames chosen as then, of the same CLIP, or train it anew"
            )


def fit(
    videos: Videos,
    params: EvlParams,
    seed: Seed,
    on_epoch: OnEpoch = ignore,
    resources: Resources | None = None,
    **_: Any,
) -> Evl:
    """Train the decoder; levels are computed once where they fit into memory.

    Raises:
        DataError: as `moclip.heads.frames.fit_on_frames`.
        ParamsError: CLIP's top has fewer levels than are to be read, or levels of widths that do not fit `params`.
        StoreError: the stream lacks a video, which is named, or is of another CLIP.
    """
    assert resources is not None, "the decoder reads levels of a CLIP"
    assert resources.clip is not None, "the decoder reads levels of a CLIP"
    clip, cut = read_json(resources.clip / CONFIG)["model_cfg"], resources.sections["frames"].cut
    encoder = load_encoder(resources.clip)
    (shape,) = shapes_of(videos, [RESIDUAL])
    top = ClipTop(encoder.model.backbone, cut).eval()
    shapes = level_shapes(top, shape, params)
    decoder = {
        "widths": [level[-1] for level in shapes],
        "places": [level[-2] - 1 for level in shapes],
        "frames": shape[0],
        "classes": len(videos.split.classes),
        **params.model_dump(include={"width", "heads", "mlp", "temporal", "dropout"}),
    }
    arguments = {"clip": clip, "cut": cut, "layers": params.layers, "decoder": decoder}
    make_deterministic(*seed)
    net = EvlNet(**arguments)
    net.top.backbone.load_state_dict(top.state_dict())
    fitted = Evl(net, facts_of(videos), [shape], arguments)
    schedule = Schedule(params.epochs, params.lr, params.weight_decay, params.select, shape=params.schedule)
    fitted.history = fit_on_frames(
        net.decoder, videos, [RESIDUAL], params, seed, on_epoch, schedule=schedule, feed=LevelFeed(net, videos)
    )
    return fitted


class LevelFeed:
    """Batches of levels, held in memory where all of them are small, else computed for each batch."""

    def __init__(self, net: EvlNet, videos: Videos) -> None:
        self.net, self.feed = net, Feed(videos, [RESIDUAL])
        ids = [video for part in PARTS for video in videos.split.part(part).ids]
        one = self.net.levels(*self.feed(ids[:1]))
        self.place = {video: place for place, video in enumerate(ids)}
        self.held: list[Tensor] | None = None
        if len(ids) * sum(part.nelement() * 2 for part in one) <= HELD_BYTES:
            starts = range(0, len(ids), VIDEOS_AT_ONCE)
            parts = [self.net.levels(*self.feed(ids[start : start + VIDEOS_AT_ONCE])) for start in starts]
            self.held = [torch.cat(level).half() for level in zip(*parts, strict=True)]

    def __call__(self, ids: Sequence[str]) -> Batch:
        """Levels of these videos, three tensors each."""
        if self.held is None:
            return self.net.levels(*self.feed(ids))
        places = [self.place[video] for video in ids]
        return tuple(part[places].float() for part in self.held)


def load(directory: Path) -> Evl:
    """Read what `OnFrames.save` wrote.

    Raises:
        StoreError: a file is missing or torn, or weights and configuration do not fit.
    """
    net, facts, shapes, arguments = load_on_frames(directory, EvlNet)
    return Evl(net, facts, shapes, arguments)
