"""The head `multiway`: zero-shot, and what class texts read of the video's tokens (after MuLTI).

Multiple choice: the true class and a few others, each by one random prompt, a cross entropy over their logits. Without
captions of other data it holds no new label.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from moclip.base.errors import StoreError
from moclip.base.random import make_deterministic, torch_stream
from moclip.heads.fitted import Seed, Videos
from moclip.heads.frames import (
    FRAMES,
    Feed,
    OnEpoch,
    OnFrames,
    cross_entropy,
    facts_of,
    fit_on_frames,
    load_on_frames,
    shapes_of,
    some_of_train,
)
from moclip.heads.multiway_net import MultiwayNet
from moclip.heads.token_net import STREAMS_OF
from moclip.heads.train import ignore
from moclip.params.heads.multiway import MultiwayParams
from moclip.training.loop import Batch


@dataclass
class Multiway(OnFrames):
    """A `MultiwayNet`."""


def fit(videos: Videos, params: MultiwayParams, seed: Seed, on_epoch: OnEpoch = ignore, **_: Any) -> Multiway:
    """Train on class labels, on multiple choice, or on one after the other.

    Raises:
        DataError: as `moclip.heads.frames.fit_on_frames`.
        StoreError: there are no text features of the classes, or a stream lacks a video; it is named.
    """
    if videos.texts is None:
        raise StoreError("multiway needs text features of the classes, and there are none; take it out of `heads`")
    read = STREAMS_OF[params.inputs]
    names = [FRAMES, *(name for name in read if name != FRAMES)]
    shapes = shapes_of(videos, names)
    own = {"width", "heads", "depth", "queries", "residual", "text_guided", "shared_attention", "dropout"}
    arguments = {
        "streams": names,
        "widths": [shape[-1] for shape in shapes],
        "inputs": list(read),
        "classes": len(videos.split.classes),
        "logit_scale": videos.texts.logit_scale,
        **params.model_dump(include=own),
    }
    make_deterministic(*seed)
    net = MultiwayNet(**arguments)
    net.texts.copy_(torch.from_numpy(videos.texts.features))
    feed = Feed(videos, names)
    by_name = dict(zip(names, feed(some_of_train(videos)), strict=True))
    norms: Any = net.norms
    for norm, name in zip(norms, read, strict=True):
        norm.fit(by_name[name])
    fitted = Multiway(net, facts_of(videos), shapes, arguments)
    questions = Questions(net.texts, params, torch_stream(*seed, "choices"))
    if params.pretrain_epochs:
        first = params.model_copy(update={"epochs": params.pretrain_epochs, "select": "last"})
        fit_on_frames(
            net, videos, names, first, (*seed[:1], f"{seed[1]} choices", seed[2]), ignore, loss=questions.loss
        )
    loss = questions.added_to_labels if params.choice_weight else cross_entropy
    fitted.history = fit_on_frames(net, videos, names, params, seed, on_epoch, loss=loss, feed=feed)
    return fitted


@dataclass
class Questions:
    """Multiple-choice questions about videos: the true class among others, in random order.

    Attributes:
        texts: Unit class features (k, d).
        params: How many choices, and which.
        generator: Of all draws.
    """

    texts: Tensor
    params: MultiwayParams
    generator: torch.Generator

    def loss(self, net: nn.Module, batch: Batch) -> Tensor:
        """Cross entropy over the choices of each video."""
        assert isinstance(net, MultiwayNet)
        *streams, labels = batch
        options = self.options(labels)
        logits = net.of_texts(self.texts[options], *streams)
        right = (options == labels[:, None]).long().argmax(dim=1)
        return functional.cross_entropy(logits, right)

    def added_to_labels(self, net: nn.Module, batch: Batch) -> Tensor:
        """Cross entropy of the labels, and `choice_weight` times that of the choices."""
        return cross_entropy(net, batch) + self.params.choice_weight * self.loss(net, batch)

    def options(self, labels: Tensor) -> Tensor:
        """Classes (n, choices) of each question, each once, the true one among them."""
        k = len(self.texts)
        count = min(self.params.choices, k)
        drawn = torch.rand(len(labels), k, generator=self.generator)
        if self.params.negatives == "near":  # the likest texts first, ties by the draw
            drawn = (self.texts @ self.texts.T)[labels] + 1e-6 * drawn
        drawn[torch.arange(len(labels)), labels] = torch.inf
        options = drawn.topk(count, dim=1).indices
        order = torch.rand(len(labels), count, generator=self.generator).argsort(dim=1)
        return options.gather(1, order)


def load(directory: Path) -> Multiway:
    """Read what `OnFrames.save` wrote.

    Raises:
        StoreError: a file is missing or torn, or weights and configuration do not fit.
    """
    net, facts, shapes, arguments = load_on_frames(directory, MultiwayNet)
    return Multiway(net, facts, shapes, arguments)
