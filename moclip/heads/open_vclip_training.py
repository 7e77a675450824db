"""How the head `open_vclip` is trained: on which classes and videos, with which sentences, by which loss.

Axes: n video, t frame, l token, c width, d joint space, k class.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from moclip.base.errors import ParamsError
from moclip.base.random import stream, torch_stream
from moclip.clip.captions import read_captions, sentences_of
from moclip.clip.encoder import Encoder
from moclip.data.splits import Member, Split
from moclip.heads.fitted import Seed, Videos
from moclip.heads.frames import RESIDUAL, Feed, OnEpoch, passes, train_part
from moclip.heads.open_vclip_net import OpenVclipNet, Tower, matching_loss, regularised
from moclip.params.heads.open_vclip import OpenVclipParams
from moclip.training.checkpoint import Checkpoint
from moclip.training.device import Compute
from moclip.training.history import Epoch
from moclip.training.loop import Batch, Schedule, batch_count, fit, held_out, shuffled

SENTENCES_AT_ONCE = 256

log = logging.getLogger(__name__)


def base_classes(split: Split, named: Sequence[str] | None = None) -> list[int]:
    """Indexes of the base classes, ascending: the named ones, or else the half with most train videos.

    That half is rounded up, and counts the videos held out for validation. Of equal classes, those whose names come
    later in the order of letters are taken. On UCF101's first train list these are the published 51 classes.

    Raises:
        ParamsError: a name is no class, or no class is left to be unseen.
    """
    classes = list(split.classes)
    if unknown := [name for name in named or () if name not in classes]:
        raise ParamsError(f"open_vclip.base: '{unknown[0]}' is no class of this data set; set null for the larger half")
    if named is None:
        labels = np.concatenate([split.part(part).labels for part in ("train", "val")])
        counts = np.bincount(labels, minlength=len(classes))
        named = sorted(classes, key=lambda name: (counts[classes.index(name)], name), reverse=True)
        named = named[: (len(classes) + 1) // 2]
    if len(named) == len(classes):
        raise ParamsError("open_vclip.base: names every class, so none is left to be unseen; set classes: all")
    return sorted(classes.index(name) for name in named)


def seen_part(videos: Videos, params: OpenVclipParams, seed: Seed) -> tuple[Videos, Sequence[int]]:
    """The videos of the classes that train, of train and val alone, by labels among these; and their class indexes.

    Raises:
        ParamsError: as `base_classes`, or there are fewer videos of a class than `shots`.
        DataError: nothing trains.
    """
    split = videos.split
    chosen = base_classes(split, params.base) if params.classes == "base" else list(range(len(split.classes)))
    train = [member for member in train_part(videos).members if member.label in set(chosen)]
    kept = _shots(Split(train, split.classes), params.shots, seed)
    place = {label: number for number, label in enumerate(chosen)}
    members = [
        Member(member.id, place[member.label], member.part, member.group)
        for member in split.members
        if member.label in place and (member.part == "val" or (member.part == "train" and member.id in kept))
    ]
    seen = Videos(Split(members, [split.classes[label] for label in chosen]), videos.streams)
    train_part(seen)
    return seen, chosen


def _shots(part: Split, shots: int | None, seed: Seed) -> set[str]:
    """Ids of so many videos of each class, drawn by class."""
    if shots is None:
        return set(part.ids)
    kept: set[str] = set()
    for label in np.unique(part.labels).tolist():
        own = [member.id for member in part.members if member.label == label]
        if len(own) < shots:
            raise ParamsError(
                f"open_vclip.shots: {shots}, but class {part.classes[label]} has {len(own)} train videos; take fewer, "
                "or null for all"
            )
        kept |= set(stream(*seed, "shots", label).permutation(own)[:shots].tolist())
    return kept


class Sentences:
    """CLIP's features of sentences by video; each epoch draws one of a video's.

    Raises:
        DataError: a video that trains has none.
        StoreError: the table cannot be read.
    """

    def __init__(self, path: Path, ids: Sequence[str], encoder: Encoder) -> None:
        table = read_captions(path)
        self.own = sentences_of(table, ids, str(path))
        words = sorted({sentence for sentences in self.own for sentence in sentences})
        parts = [words[start : start + SENTENCES_AT_ONCE] for start in range(0, len(words), SENTENCES_AT_ONCE)]
        self.features = torch.from_numpy(np.concatenate([encoder.texts(part) for part in parts]))
        self.place = {sentence: place for place, sentence in enumerate(words)}
        log.info(
            "video-text loss on %d sentences of %d videos; those of %d other videos in %s are not read",
            *(sum(map(len, self.own)), len(ids), len(table.keys() - set(ids)), path),
        )

    def of_epoch(self, generator: torch.Generator) -> Tensor:
        """A feature for each video (n, d)."""
        draws = torch.rand(len(self.own), generator=generator).tolist()
        chosen = [own[int(draw * len(own))] for own, draw in zip(self.own, draws, strict=True)]
        return self.features[[self.place[sentence] for sentence in chosen]]


@dataclass(frozen=True)
class Training:
    """One training of a network's tower, on the videos of the classes that are seen."""

    net: OpenVclipNet
    videos: Videos
    chosen: Sequence[int]
    params: OpenVclipParams
    seed: Seed
    compute: Compute
    sentences: Sentences | None

    @cached_property
    def feed(self) -> Feed:
        """Streams of the videos that train or are held out."""
        return Feed(self.videos, [RESIDUAL])

    def run(self, on_epoch: OnEpoch, checkpoint: Checkpoint | None) -> list[Epoch]:
        """Train in place; the tower is left at the average of its epochs, or at the last one."""
        part, val, params = self.videos.split.part("train"), self.videos.split.part("val"), self.params
        tower = self.net.tower
        anchor = {name: own.detach().clone() for name, own in tower.named_parameters()}
        return fit(
            tower,
            self._batches(part),
            batch_count(len(part.ids), params.batch_videos),
            schedule_of(params),
            loss=lambda net, batch: self._loss(net, anchor, batch),
            validate=held_out(params.select, (lambda: self._held_out(val)) if val.ids else None, None),
            on_epoch=on_epoch,
            compute=self.compute,
            checkpoint=checkpoint,
            title=f"open_vclip split {self.seed[-1]}",
        )

    def _batches(self, part: Split) -> Callable[[int], Iterator[Batch]]:
        """By epoch, batches of stream, share of CLIP, sentences (none without a table) and labels."""
        labels, params = torch.from_numpy(part.labels), self.params

        def batches(epoch: int) -> Iterator[Batch]:
            order = shuffled(len(part.ids), params.batch_videos, torch_stream(*self.seed, epoch))
            draws = torch.rand(len(order), generator=torch_stream(*self.seed, "share", epoch))
            shares = params.share_low + (params.share_high - params.share_low) * draws
            told = self._told(epoch, len(part.ids))
            for batch, share in zip(order, shares, strict=True):
                (tokens,) = self.feed([part.ids[place] for place in batch.tolist()])
                yield tuple(map(self.compute.tensor, (tokens, share, told[batch], labels[batch])))

        return batches

    def _told(self, epoch: int, count: int) -> Tensor:
        if self.sentences is None:
            return torch.empty(count, 0)
        return self.sentences.of_epoch(torch_stream(*self.seed, "sentence", epoch))

    def _loss(self, tower: nn.Module, anchor: Mapping[str, Tensor], batch: Batch) -> Tensor:
        tokens, share, told, labels = batch
        params = self.params

        def loss(of: Tower) -> Tensor:
            features = of(tokens)
            found = functional.cross_entropy(self._logits(features), labels)
            if self.sentences is None:
                return found
            return found + params.caption_weight * matching_loss(features, told, self.net.logit_scale)

        return regularised(loss, tower, anchor, share, params.regularise, params.chain_rule)

    def _logits(self, features: Tensor) -> Tensor:
        """Logits among the classes that are seen."""
        return self.net.logit_scale * features @ self.net.texts[list(self.chosen)].T

    def _held_out(self, val: Split) -> tuple[Tensor, Tensor]:
        features = answers(self.net.tower, lambda part: self.feed(val.ids[part]), len(val.ids), self.compute)
        logits = self._logits(self.compute.tensor(torch.from_numpy(features)))
        return logits.cpu(), torch.from_numpy(val.labels)


def answers(net: nn.Module, feed: Callable[[slice], Batch], count: int, compute: Compute) -> np.ndarray:
    """What a network gives of videos (n, ...), computed where it lies."""
    found = passes(net.eval(), lambda chosen: tuple(map(compute.tensor, feed(chosen))), count)
    values: np.ndarray = found.float().cpu().numpy()
    return values


def schedule_of(params: OpenVclipParams) -> Schedule:
    """Warm-up and cosine; epochs count from 1 in the parameters."""
    return Schedule(
        params.epochs,
        params.lr,
        params.weight_decay,
        params.select,
        shape="cosine",
        warmup_epochs=params.warmup_epochs,
        clip_norm=params.clip_norm,
        average_from=None if params.average_from is None else params.average_from - 1,
        decays_vectors=False,
    )
