"""What a trained model says of a new video, from Python in two lines.

    from moclip.predict.predictor import Predictor
    answer = Predictor.load("my_model").predict("VIDEO.avi")

`answer.top()` is a list of (class, probability), `answer.logits` has the logits of every head, `answer.ms` the time by
part. Every step is the pipeline's own function, so that a video of the test list gets the logits of the pipeline.

Axes: d feature, k class.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from moclip.base.errors import ParamsError, StoreError, VideoError
from moclip.heads.fitted import Fitted
from moclip.heads.registry import CLIP, HEADS, MAIN, MOTION, servable
from moclip.motion.extract import REENCODED, MotionOptions, Seen, look
from moclip.motion.grid import MotionGrid
from moclip.predict.bundle import Pipeline, open_model, without_clip
from moclip.predict.engine import Engine, loader_of
from moclip.predict.origin import Kind, Origin, introduction
from moclip.predict.parts import Motion, Pictures
from moclip.video.bounded.worker import start_early
from moclip.video.file.shard import find
from moclip.video.reencode import HEIGHT, WIDTH

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
        warnings: In what the video is unlike those that the model was trained on.
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
    warnings: Sequence[str] = ()

    def top(self, most: int = 5, head: str | None = None) -> list[tuple[str, float]]:
        """Class names and probabilities (softmax of the logits), the likeliest first; of `head`, or the asked one."""
        logits = self.logits[head or self.head]
        probabilities = softmax(logits)
        order = np.argsort(-logits, kind="stable")[:most]
        return [(self.classes[i], float(probabilities[i])) for i in order]

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
            "warnings": list(self.warnings),
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
    """A loaded model; `load` makes one. One may answer for any number of videos.

    Attributes:
        head: The head that is asked.
        split: The split that the model is of.
        classes: Names in index order.
        heads: The head that is asked, and those on one of its streams alone, in the order of all tables.
        motion: The motion network, where a head needs it.
        encoder: CLIP, where a head needs it.
        origin: What the model was trained on, where that is known.
    """

    head: str
    split: int
    classes: Sequence[str]
    heads: Mapping[str, Fitted]
    motion: Motion | None
    encoder: Pictures | None
    origin: Origin | None = None

    @classmethod
    def load(
        cls, source: str | Path | Pipeline, split: int | None = None, head: str = MAIN, engine: Engine = "auto"
    ) -> "Predictor":
        """Load a model.

        Args:
            source: A bundle (`moclip bundle`), or a pipeline that ran. For an MLflow model see
                `moclip.tracking.models.fetch.fetch_model`.
            split: Which of the pipeline's models, 1 unless given; a bundle holds one.
            head: A servable one. A head on motion alone loads no CLIP, one on CLIP alone no motion network.
            engine: What computes. Only a bundle can be asked by "onnx", which needs no PyTorch.

        Raises:
            ParamsError: `head` cannot answer for a new video.
            StoreError: a part is missing, with what to do about it, or torn.
            MoclipError: what computes is not installed.
        """
        if head not in servable():
            raise ParamsError(f"head must be one of {servable()}, which answer for a single video; got '{head}'")
        start_early()
        files = open_model(Path(source) if isinstance(source, str) else source, split)
        if CLIP in HEADS[head].streams and files.frame != "middle":
            raise StoreError(
                f"CLIP saw frames by clip.frame: {files.frame} when this model was made, and a new video is answered "
                f"for by its middle frame alone, whole; take {without_clip()}, or set clip.frame: middle, clip.crop: "
                "centre, and run `dvc repro`"
            )
        parts = loader_of(engine).load_parts(files, head)
        return cls(head, files.split, files.classes, parts.heads, parts.motion, parts.encoder, files.origin)

    @property
    def introduction(self) -> str:
        """One line on the model: what it was trained on, how often it is right, what it can answer."""
        return introduction(self.head, self.split, self.classes, self.origin)

    def predict(self, video: str | Path, *, reencode: bool = False) -> Prediction:
        """Answer for one video, which is decoded once for both streams.

        Args:
            video: The file.
            reencode: Read motion from the video as `moclip.video.reencode` writes it, also with a model that was not
                trained on such; for codecs without vectors (HEVC, VP8, VP9, AV1). A warning says so.

        Raises:
            VideoError: it cannot be read, or its codec has no motion vectors; with the reason and a remedy.
            StoreError: a head is of another number of classes than there are names.
        """
        path, timed = Path(video), Stopwatch()
        with timed("decode"):
            seen = self.look(path, reencode=reencode)
        logits = self.answer(path, seen.grid, seen.picture, timed)
        ms = {part: round(SECONDS_TO_MS * seconds, 3) for part, seconds in timed.seconds.items()}
        warnings = self.warnings(seen, reencode=reencode)
        return Prediction(str(video), seen.frames, self.head, self.split, self.classes, logits, ms, warnings)

    def look(self, path: Path, *, reencode: bool = False) -> Seen:
        """What the heads need of a video, in one decoding pass.

        Raises:
            VideoError: as `predict`.
        """
        if find(path) is None:
            raise VideoError(f"{path}: no such file. Check the name and the folder.")
        return look(path, self._options(reencode), middle=self.encoder is not None)

    def answer(
        self, path: Path, grid: MotionGrid | None, picture: np.ndarray | None, timed: "Stopwatch | None" = None
    ) -> dict[str, np.ndarray]:
        """Logits (k,) of every head, for a video or a stretch of one.

        Args:
            path: The file, which errors name.
            grid: Its motion, where a head reads motion.
            picture: Its middle frame, uint8 (h, w, 3), where a head reads CLIP.
            timed: Takes the seconds of each part.

        Raises:
            VideoError, StoreError: as `predict`.
        """
        timed = timed or Stopwatch()
        seen: dict[str, np.ndarray] = {}
        if self.motion and grid is not None:
            with timed("motion"):
                seen[MOTION] = self.motion.describe(path.stem, grid)
        if self.encoder and picture is not None:
            with timed("clip"):
                seen[CLIP] = self.encoder.images([picture])
        with timed("head"):
            return {name: self._answer(name, path, seen) for name in self.heads}

    def _options(self, reencode: bool) -> MotionOptions | None:
        """How motion is read, where a head needs it."""
        if self.motion is None:
            return None
        options = motion_options(self.motion)
        return replace(options, source=REENCODED) if reencode else options

    def warnings(self, seen: Seen, *, reencode: bool = False) -> list[str]:
        """In what a video is unlike those of the training, as far as the heads could notice."""
        found, is_trained_so = [], self.motion is not None and motion_options(self.motion).source == REENCODED
        if reencode and self.motion is not None and not is_trained_so:
            found.append(
                f"motion is that of a re-encoding (mpeg4, {WIDTH} x {HEIGHT}), and the model was trained on vectors as "
                "they come"
            )
        if self.origin is None:
            return found
        height_px, width_px = _size(seen)
        codec = seen.codec if self.motion is not None and not (reencode or is_trained_so) else None
        kind = Kind(codec, width_px, height_px, seen.fps if self.motion is not None else 0.0)
        if unlike := self.origin.differences(kind):
            found.append(f"unlike the videos that the model was trained on (theirs in brackets): {unlike}")
        return found

    def _answer(self, head: str, path: Path, seen: Mapping[str, np.ndarray]) -> np.ndarray:
        """Logits (k,) of a head that takes features (1, d) of what was seen."""
        logits: np.ndarray = self.heads[head].logits(seen)[0]
        if len(logits) != len(self.classes):
            raise StoreError(
                f"head {head}: {len(logits)} classes, but there are {len(self.classes)} names; run `dvc repro`"
            )
        if not np.isfinite(logits).all():
            raise VideoError(f"{path}: logits of {head} are not finite; the model does not fit this video")
        return logits


def _size(seen: Seen) -> tuple[int, int]:
    """Height and width in pixels of the picture as it is shown, or as its motion was read."""
    if seen.picture is not None:
        return seen.picture.shape[0], seen.picture.shape[1]
    assert seen.grid is not None, "a head reads a picture, motion, or both"
    return seen.grid.height, seen.grid.width


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities (k,), float64."""
    shares = np.exp(logits.astype(np.float64) - logits.max())
    probabilities: np.ndarray = shares / shares.sum()
    return probabilities


def motion_options(network: Motion) -> MotionOptions:
    """How motion is read for a network: as it was when the network was made."""
    motion = network.made_for.motion
    return MotionOptions(motion.cell_px, motion.reference, motion.source, motion.distance)
