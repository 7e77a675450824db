"""What a trained model says of a new video, from Python in two lines.

    from moclip.predict.predictor import Predictor
    answer = Predictor.load("models", split=1).predict("VIDEO.avi")

`answer.top()` is a list of (class, probability), `answer.logits` has the logits of every head, `answer.ms` the time by
part. Every step is the pipeline's own function, so that a video of the test list gets the logits of the pipeline.

Axes: k class.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from moclip.base.errors import ParamsError, StoreError, VideoError
from moclip.heads.mlp import Head, concatenate, load_head
from moclip.heads.train import head_logits
from moclip.heads.zero_shot import zero_shot_logits
from moclip.motion.extract import MotionOptions, read_grid
from moclip.motion.features import SEED_NAME, describe_held_out
from moclip.motion.grid import MotionGrid
from moclip.motion.net import MotionNet, load_motion_net
from moclip.motion.sampler import FieldSampler
from moclip.motion.store import OneClip
from moclip.params.motion_net import MotionInput
from moclip.params.section import validated
from moclip.predict.bundle import TRAINED_HEADS, Parts, check_clip, open_parts
from moclip.training.weights import load_model
from moclip.video.decode import Middle, decoding

if TYPE_CHECKING:
    from moclip.clip.encoder import Encoder

SERVABLE = ("zero_shot", "motion_only", "clip_probe", "fusion")
"""Heads that can answer for a new video; the controls that are no models, or need a whole split, cannot."""

SECONDS_TO_MS = 1000.0


@dataclass(frozen=True)
class Prediction:
    """What a model says of one video.

    Attributes:
        video: The file.
        frames: How many frames it has.
        head: The head that was asked for.
        split: The split that the model is of.
        classes: (k,) names in index order.
        logits: float32 (k,) of the head that was asked for, and of every head that sees one stream alone, by name.
        ms: Milliseconds of `decode` (pictures and vectors, and their grid), `motion` (fields and network), `clip`
            (preprocessing and forward pass) and `head` (all heads together).
    """

    video: str
    frames: int
    head: str
    split: int
    classes: Sequence[str]
    logits: Mapping[str, np.ndarray]
    ms: Mapping[str, float]

    def top(self, most: int = 5, head: str | None = None) -> list[tuple[str, float]]:
        """Class names and probabilities (softmax of the logits), the likeliest first; of `head`, or the asked one."""
        logits = self.logits[head or self.head].astype(np.float64)
        odds = np.exp(logits - logits.max())
        order = np.argsort(-logits, kind="stable")[:most]
        return [(self.classes[i], float(odds[i] / odds.sum())) for i in order]

    def as_dict(self, most: int = 5) -> dict[str, Any]:
        """The same as JSON-able values."""
        return {
            "video": self.video,
            "frames": self.frames,
            "head": self.head,
            "split": self.split,
            "top": _named(self.top(most)),
            "streams": {name: _named(self.top(most, name)) for name in self.logits if name != self.head},
            "ms": dict(self.ms),
        }


def _named(top: Sequence[tuple[str, float]]) -> list[dict[str, Any]]:
    return [{"class": name, "probability": probability} for name, probability in top]


@dataclass
class Stopwatch:
    """Seconds by part."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        """Add what the block takes."""
        start = time.perf_counter()
        yield
        self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - start


@dataclass(frozen=True)
class Predictor:
    """A loaded model; `load` makes one. One may answer for any number of videos."""

    head: str
    split: int
    classes: Sequence[str]
    motion: "MotionStream | None"
    encoder: "Encoder | None"
    heads: Mapping[str, Head]
    texts: np.ndarray | None
    logit_scale: float

    @classmethod
    def load(cls, source: str | Path, split: int | None = None, head: str = "fusion") -> "Predictor":
        """Load a model.

        Args:
            source: The folder `models` of a repository in which the pipeline ran, or a bundle (`moclip bundle`).
                For an MLflow model see `moclip.tracking.registry.fetch_model`.
            split: Which of the pipeline's models, 1 unless given; a bundle holds one.
            head: One of `SERVABLE`. A head on motion alone loads no CLIP, one on CLIP alone no motion network.

        Raises:
            ParamsError: `head` cannot answer for a new video.
            StoreError: a part is missing, with the command that makes it, or torn.
        """
        if head not in SERVABLE:
            raise ParamsError(f"head must be one of {list(SERVABLE)}, which need no more than a video; got '{head}'")
        return cls.of_parts(open_parts(Path(source), split), head)

    @classmethod
    def of_parts(cls, parts: Parts, head: str) -> "Predictor":
        """Load the parts that `head` needs, and the heads on each of its streams alone."""
        if head in TRAINED_HEADS and head not in parts.heads:
            raise StoreError(f"no head '{head}' of split {parts.split}; {parts.remedies[head]}")
        if head == "fusion" and (parts.heads[head] / "motion").is_dir():
            raise StoreError(
                f"{parts.heads[head]}: fusion was trained with a motion network whose statistics drifted "
                "(fusion.backbone_statistics: drift), which answers for no other head; choose --head motion_only or "
                "clip_probe, or train with frozen statistics"
            )
        if head != "motion_only" and parts.frame != "middle":
            raise StoreError(
                f"CLIP saw frames by clip.frame: {parts.frame} when this model was made, and a new video is answered "
                "for by its middle frame alone; take --head motion_only, or set clip.frame: middle and run `dvc repro`"
            )
        if head == "zero_shot" and parts.texts is None:
            raise StoreError(f"no text features of the classes, which zero_shot needs; {parts.remedies[head]}")
        trained = {name: load_head(*load_model(path)) for name, path in parts.heads.items()}
        streams = streams_of(head, trained)
        heads = {name: one for name, one in trained.items() if name == head or _is_one_of(streams, one)}
        motion = load_motion(parts) if "motion" in streams else None
        check_classes(parts, motion, heads)
        return cls(
            head=head,
            split=parts.split,
            classes=parts.classes,
            motion=motion,
            encoder=load_clip(parts) if "clip" in streams else None,
            heads=heads,
            texts=parts.texts,
            logit_scale=parts.logit_scale,
        )

    def predict(self, video: str | Path) -> Prediction:
        """Answer for one video, which is decoded once for both streams.

        Raises:
            VideoError: it cannot be read, or its codec has no motion vectors; with the reason and a remedy.
        """
        path, timed = Path(video), Stopwatch()
        if not path.is_file():
            raise VideoError(f"{path}: no such file. Check the name and the folder.")
        middle = Middle() if self.encoder else None
        with timed("decode"):
            grid = self.motion.read(path, middle) if self.motion else None
            frames = _count_frames(path, middle) if grid is None else len(grid.mv)
            picture = middle.picture(path, frames) if middle else None
        seen: dict[str, torch.Tensor] = {}
        logits: dict[str, np.ndarray] = {}
        if self.motion and grid is not None:
            with timed("motion"):
                seen["motion"], logits["motion_only"] = self.motion.see(path.stem, grid)
        if self.encoder and picture is not None:
            with timed("clip"):
                seen["clip"] = torch.from_numpy(self.encoder.images([picture]))
        with timed("head"):
            logits |= self._answer(seen)
        logits = {name: logits[name][0] for name in SERVABLE if name in logits}
        if unsound := [name for name, values in logits.items() if not np.isfinite(values).all()]:
            raise VideoError(f"{path}: logits of {unsound[0]} are not finite; the model does not fit this video")
        ms = {part: round(SECONDS_TO_MS * seconds, 3) for part, seconds in timed.seconds.items()}
        return Prediction(str(video), frames, self.head, self.split, self.classes, logits, ms)

    def _answer(self, seen: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
        """Logits (1, k) of every head that takes features (1, d) of what was seen."""
        logits: dict[str, np.ndarray] = {}
        if "clip" in seen and self.texts is not None:
            logits["zero_shot"] = zero_shot_logits(seen["clip"].numpy(), self.texts, self.logit_scale)
        for name, head in self.heads.items():
            logits[name] = head_logits(head, concatenate([seen[stream] for stream in head.widths]))
        return logits


@dataclass(frozen=True)
class MotionStream:
    """The frozen motion network, and how a video becomes what it takes."""

    net: MotionNet
    made_for: MotionInput

    def read(self, path: Path, middle: Middle | None) -> MotionGrid:
        """The video's motion; `middle` keeps a picture on the way."""
        motion = self.made_for.motion
        return read_grid(path, MotionOptions(motion.cell_px, motion.reference, motion.source), middle=middle)

    def see(self, name: str, grid: MotionGrid) -> tuple[torch.Tensor, np.ndarray]:
        """Features (1, d) and logits (1, k); the name decides a coin of the paper's ten crops, as in the pipeline."""
        sampler = FieldSampler(OneClip(grid), self.made_for.motion, self.made_for.motion_net)
        seed = (self.made_for.seed, SEED_NAME, self.made_for.split)
        features, logits = describe_held_out(self.net, sampler, [name], seed)
        return torch.from_numpy(features), logits


def _count_frames(path: Path, middle: Middle | None) -> int:
    """Frames of a video whose motion nobody asks for, so that its codec need not have any."""
    with decoding(path, middle) as (_, frames):
        return sum(1 for _ in frames)


def streams_of(head: str, trained: Mapping[str, Head]) -> tuple[str, ...]:
    """What a head sees: `clip`, `motion` or both, in the order in which it takes them."""
    if head in trained:
        return tuple(trained[head].widths)
    return ("motion",) if head == "motion_only" else ("clip",)


def _is_one_of(streams: Sequence[str], head: Head) -> bool:
    """The head sees one of these streams alone."""
    return len(head.widths) == 1 and set(head.widths) <= set(streams)


def load_motion(parts: Parts) -> MotionStream:
    """The motion network with what it was made for.

    Raises:
        StoreError: it is missing, torn, or was saved before that was kept beside the weights.
    """
    if not parts.motion.is_dir():
        raise StoreError(f"{parts.motion}: no motion network; {parts.remedies['motion']}")
    config, state = load_model(parts.motion)
    made_for = config.pop("input", None)
    if made_for is None:
        raise StoreError(f"{parts.motion}: does not say how its input was made; {parts.remedies['motion']} again")
    return MotionStream(load_motion_net(config, state), validated("input", MotionInput, made_for))


def load_clip(parts: Parts) -> "Encoder":
    """CLIP's encoder; imported here, because open_clip takes seconds and a head on motion alone needs none of it."""
    check_clip(parts)
    from moclip.clip.encoder import load_encoder

    return load_encoder(parts.clip)


def check_classes(parts: Parts, motion: MotionStream | None, heads: Mapping[str, Head]) -> None:
    """Refuse parts that do not belong together.

    Raises:
        StoreError: a head, the motion network or the text features are of another number of classes.
    """
    sizes = {f"head {name}": int(head.config()["classes"]) for name, head in heads.items()}
    if motion is not None:
        sizes["motion network"] = motion.net.classifier.out_features
    if parts.texts is not None:
        sizes["text features"] = len(parts.texts)
    for name, size in sizes.items():
        if size != len(parts.classes):
            raise StoreError(f"{name}: {size} classes, but there are {len(parts.classes)} names; run `dvc repro`")
