"""What heads on frames share: how they are fed, trained, saved and asked.

Axes: n video, t frame, k class.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from moclip.base.errors import DataError, StoreError
from moclip.base.random import torch_stream
from moclip.data.splits import PARTS, Split
from moclip.heads.fitted import Cost, Fitted, Seed, Videos
from moclip.params.heads.tokens import TrainedOnFrames
from moclip.training.flops import multiply_adds, trainable_parameters
from moclip.training.history import Epoch
from moclip.training.loop import Batch, Loss, Schedule, batch_count, fit, held_out, shuffled
from moclip.training.weights import UNFIT, load_model, restored, save_model

OnEpoch = Callable[[Epoch], None]
FRAMES, GRID, RESIDUAL, MOTION_FRAMES, MOVING = "frames", "grid", "residual", "motion_frames", "moving"
"""Streams: CLIP's feature of each frame (n, t, d), its tokens (n, t, g, g, d), its residual stream (n, t, l, c), the
tokens of the motion network (n, t, m, m, d), and where it moves (n, t, 2), shares down and across."""

HELD_BYTES = 1 << 30  # of a stream that is kept in memory, and not read anew for each batch
MEASURED_VIDEOS = 512  # of the train part, whose tokens are held at once
VIDEOS_AT_ONCE = 64  # of a pass without gradients
Net = TypeVar("Net", bound=nn.Module)


class Feed:
    """Batches of streams as float32 tensors, held in memory where they are small.

    Args:
        videos: With all streams of `names`.
        names: In the order in which a network takes them.

    Raises:
        StoreError: a stream lacks a video; it is named.
    """

    def __init__(self, videos: Videos, names: Sequence[str]) -> None:
        self.streams = [videos.streams[name] for name in names]
        ids = [video for part in PARTS for video in videos.split.part(part).ids]
        self._place = {video: place for place, video in enumerate(ids)}
        self._held = [_held(stream, ids) for stream in self.streams]

    def __call__(self, ids: Sequence[str]) -> Batch:
        """Tensors (n, t, ...) of these videos, one a stream."""
        places = [self._place[video] for video in ids]
        both = zip(self.streams, self._held, strict=True)
        return tuple(as_tensor(stream.of(ids) if held is None else held[places]) for stream, held in both)


def _held(stream: Any, ids: Sequence[str]) -> np.ndarray | None:
    size = stream.of(ids[:1]).nbytes * len(ids)
    return stream.of(ids) if size <= HELD_BYTES else None


def as_tensor(values: np.ndarray) -> Tensor:
    """Values as float32."""
    return torch.from_numpy(np.asarray(values)).float()


def fit_on_frames(
    net: nn.Module,
    videos: Videos,
    names: Sequence[str],
    params: TrainedOnFrames,
    seed: Seed,
    on_epoch: OnEpoch,
    *,
    loss: Loss | None = None,
    schedule: Schedule | None = None,
    feed: Callable[[Sequence[str]], Batch] | None = None,
) -> list[Epoch]:
    """Train a network that maps streams to logits (n, k), in place; select on the val part.

    Args:
        net: Its forward takes the streams in the order of `names`.
        videos: The split.
        names: Streams.
        params: Of the training.
        seed: Of the order of the videos.
        on_epoch: As for `moclip.training.loop.fit`.
        loss: Of a batch (streams ..., labels); cross entropy unless given.
        schedule: One cycle unless given.
        feed: Gives what the network takes of videos; the streams themselves unless given.

    Raises:
        DataError: the train part is empty, or as `moclip.training.loop.fit`.
        StoreError: a stream lacks a video; it is named.
    """
    train, (val, test) = train_part(videos), (videos.split.part(part) for part in PARTS[1:])
    inputs, labels = feed or Feed(videos, names), torch.from_numpy(train.labels)

    def batches(epoch: int) -> Iterator[Batch]:
        order = shuffled(len(train.ids), params.batch_videos, torch_stream(*seed, epoch))
        return ((*inputs([train.ids[place] for place in batch.tolist()]), labels[batch]) for batch in order)

    def logits(part: Any) -> tuple[Tensor, Tensor]:
        return passes(net, lambda chosen: inputs(part.ids[chosen]), len(part.ids)), torch.from_numpy(part.labels)

    return fit(
        net,
        batches,
        batch_count(len(train.ids), params.batch_videos),
        schedule or Schedule(params.epochs, params.lr, params.weight_decay, params.select),
        loss=loss or cross_entropy,
        validate=held_out(
            params.select,
            (lambda: logits(val)) if val.ids else None,
            (lambda: logits(test)) if test.ids else None,
        ),
        on_epoch=on_epoch,
    )


def cross_entropy(net: nn.Module, batch: Batch) -> Tensor:
    """Of a batch (streams ..., labels)."""
    *inputs, labels = batch
    return functional.cross_entropy(net(*inputs), labels)


@torch.inference_mode()
def passes(net: Callable[..., Tensor], feed: Callable[[slice], Batch], count: int) -> Tensor:
    """What a network gives of videos (n, ...), some at a time."""
    starts = range(0, max(count, 1), VIDEOS_AT_ONCE)  # of no video, the network gives no row
    return torch.cat([net(*feed(slice(start, start + VIDEOS_AT_ONCE))) for start in starts])


@dataclass
class OnFrames(Fitted):
    """A network on frames.

    Attributes:
        net: In evaluation mode.
        facts: How the frames were chosen that it was trained on.
        shapes: Shape of one video in each stream, in the order of `streams`.
        arguments: What builds the same network, beside its weights; `streams` among them, unless the class has its own.
    """

    net: nn.Module
    facts: Mapping[str, Any]
    shapes: Sequence[Sequence[int]]
    arguments: Mapping[str, Any]

    @property
    def streams(self) -> tuple[str, ...]:
        """The streams in the order in which the network takes them."""
        return tuple(self.arguments["streams"])

    def config(self) -> dict[str, Any]:
        """All arguments of the network."""
        return dict(self.arguments)

    def logits(self, inputs: Mapping[str, Any]) -> np.ndarray:
        """Logits (n, k) of streams (n, t, ...) by name."""
        return self._passed(self.net.eval(), inputs)

    def _passed(self, net: Callable[..., Tensor], inputs: Mapping[str, Any]) -> np.ndarray:
        tensors = [inputs[name] for name in self.streams]
        found = passes(net, lambda chosen: tuple(as_tensor(one[chosen]) for one in tensors), len(tensors[0]))
        values: np.ndarray = found.numpy()
        return values

    def save(self, directory: Path) -> None:
        """Write weights and configuration, and how its frames were chosen."""
        beside = {"frames": dict(self.facts), "shapes": [list(shape) for shape in self.shapes]}
        save_model(directory, self.net, {"net": self.config(), **beside, **self.notes()})

    def notes(self) -> dict[str, Any]:
        """What else a reader of its configuration wants to know of it, as plain values."""
        return {}

    def cost(self) -> Cost | None:
        """Counted on one video of zeros, by a copy without gradients, for which the counter would ask."""
        example = [torch.zeros(1, *shape) for shape in self.shapes]
        net = copy.deepcopy(self.net).cpu().eval().requires_grad_(False)
        return Cost(trainable_parameters(self.net), multiply_adds(lambda: net(*example)))


def load_on_frames(
    directory: Path, build: Callable[..., Net]
) -> tuple[Net, Mapping[str, Any], Sequence[Sequence[int]], Mapping[str, Any]]:
    """Network, facts of its frames, shapes, and its configuration, as `OnFrames.save` wrote them.

    Raises:
        StoreError: a file is missing or torn, or weights and configuration do not fit.
    """
    config, state = load_model(directory)
    try:
        net = restored(lambda: build(**config["net"]), state)
        return net, config["frames"], config["shapes"], config["net"]
    except UNFIT as error:
        raise StoreError(f"{directory}: weights and config do not fit ({error})") from error


def train_part(videos: Videos) -> Split:
    """The videos that a head learns from.

    Raises:
        DataError: there is none.
    """
    train = videos.split.part("train")
    if not train.ids:
        raise DataError("the train part of this split has no video; nothing can be trained")
    return train


def some_of_train(videos: Videos) -> list[str]:
    """Videos at equal distances in the train part, from which inputs' means and deviations are taken.

    Raises:
        DataError: there is none.
    """
    ids = train_part(videos).ids
    return [ids[place] for place in torch.linspace(0, len(ids) - 1, min(len(ids), MEASURED_VIDEOS)).long().tolist()]


def facts_of(videos: Videos) -> Mapping[str, Any]:
    """How the frames of these videos were chosen."""
    found: Mapping[str, Any] = getattr(videos.streams[FRAMES], "facts", {})
    return found


def shapes_of(videos: Videos, names: Sequence[str]) -> list[list[int]]:
    """Shape of one video in each stream."""
    one = train_part(videos).ids[:1]
    return [list(videos.streams[name].of(one).shape[1:]) for name in names]
