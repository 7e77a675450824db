"""What the heads on tokens of frames share: they differ in how tokens are squeezed, and in nothing else."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moclip.base.random import make_deterministic
from moclip.heads.fitted import Seed, Videos
from moclip.heads.frames import (
    GRID,
    Feed,
    OnEpoch,
    OnFrames,
    facts_of,
    fit_on_frames,
    load_on_frames,
    shapes_of,
    some_of_train,
)
from moclip.heads.token_net import STREAMS_OF, TOKEN_PROJECTOR, TokenNet
from moclip.params.heads.tokens import TokenParams


@dataclass
class OnTokens(OnFrames):
    """A `TokenNet` on the streams that it names."""


def fit_tokens(kind: str, videos: Videos, params: TokenParams, seed: Seed, on_epoch: OnEpoch) -> OnTokens:
    """Train a head of one kind.

    Raises:
        DataError: as `moclip.heads.frames.fit_on_frames`.
        StoreError: a stream lacks a video; it is named.
    """
    names = [name for name in STREAMS_OF[params.inputs] if kind != TOKEN_PROJECTOR or name != "frames"]
    shapes = shapes_of(videos, names)
    arguments = {
        "kind": kind,
        "streams": names,
        "widths": [shape[-1] for shape in shapes],
        "classes": len(videos.split.classes),
        "side": shapes[names.index(GRID)][1] if GRID in names else params.motion_grid,
        **params.model_dump(include={"width", "heads", "depth", "queries", "groups", "positions"}),
        **params.model_dump(include={"dropout", "frame_dropout"}),
    }
    make_deterministic(*seed)
    net = TokenNet(**arguments)
    feed = Feed(videos, names)
    norms: Any = net.norms
    for norm, stream in zip(norms, feed(some_of_train(videos)), strict=True):
        norm.fit(stream)
    fitted = OnTokens(net, facts_of(videos), shapes, arguments)
    fitted.history = fit_on_frames(net, videos, names, params, seed, on_epoch, feed=feed)
    return fitted


def load(directory: Path) -> OnTokens:
    """Read what `OnFrames.save` wrote.

    Raises:
        StoreError: a file is missing or torn, or weights and configuration do not fit.
    """
    net, facts, shapes, arguments = load_on_frames(directory, TokenNet)
    return OnTokens(net, facts, shapes, arguments)
