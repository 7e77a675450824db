"""What a person asks of videos: words, a class that a trained head knows, or an example; and the moments that answer.

Axes: t step, d feature, k class.
"""

import difflib
import logging
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from moclip.base.errors import ParamsError, StoreError, VideoError
from moclip.base.files import fingerprint
from moclip.heads.fitted import Fitted
from moclip.heads.registry import CLIP, MOTION, servable
from moclip.predict.bundle import ModelFiles, check_clip
from moclip.predict.engine import Loader
from moclip.predict.parts import Clip, NoPartError
from moclip.search.moments import Rule, chunk_scores, chunks, cosine, retrieve, sliding_mean, softmax_over_time
from moclip.search.timeline import Eyes, Timeline

By = Literal["clip", "motion", "both"]

log = logging.getLogger(__name__)

_SPAN = re.compile(r"(?P<file>.+?):(?P<start>[\d.:]+)-(?P<end>[\d.:]+)")
_TIME = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?|\.\d+)")
_NEAR = 3  # names that are offered for one that is unknown


@dataclass(frozen=True)
class Moment:
    """A stretch of a video that answers a question.

    Attributes:
        video: The file.
        steps: Half-open span of its steps.
        start_s: From the video's first frame.
        end_s: Excluded.
        score: Of the question; what it means is the question's `unit`.
        best: The step with the highest score.
        motion_px: Mean motion beside the camera's, px a frame; None where the codec exports no vectors.
    """

    video: Path
    steps: tuple[int, int]
    start_s: float
    end_s: float
    score: float
    best: int
    motion_px: float | None


@dataclass(frozen=True)
class Cutting:
    """How a curve becomes moments: the rule, the length that chunks are meant to have, how many of the best merge."""

    rule: Rule = "query"
    chunk_s: float = 10.0
    merge: int = 1

    def __post_init__(self) -> None:
        if not math.isfinite(self.chunk_s) or self.chunk_s <= 0:
            raise ParamsError(f"a chunk of {self.chunk_s:g} s: must be longer than 0")
        if self.merge < 1:
            raise ParamsError(f"merge: {self.merge}; merge 1 or more")

    def spans(self, curve: np.ndarray, duration_s: float, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Spans of steps, the best first, and their scores."""
        count = max(1, math.ceil(duration_s / self.chunk_s - 1e-9))
        found = chunks(curve, count, self.rule, features)
        values = softmax_over_time(curve) if self.rule == "published" else curve
        return retrieve(found, chunk_scores(values, found, self.rule), self.merge)


def moments(video: Path, seen: Timeline, curve: np.ndarray, cutting: Cutting) -> list[Moment]:
    """All moments of a video, the best first; together they cover it."""
    spans, scores = cutting.spans(curve, seen.duration_s, seen.clip if seen.clip.shape[1] else seen.statistics)
    return [
        _moment(video, seen, curve, span, score) for span, score in zip(spans.tolist(), scores.tolist(), strict=True)
    ]


def _moment(video: Path, seen: Timeline, curve: np.ndarray, span: Sequence[int], score: float) -> Moment:
    start, end = span
    speed = seen.speed_px
    return Moment(
        video,
        (start, end),
        *seen.times(span),
        score,
        start + int(np.argmax(curve[start:end])),
        None if speed is None else float(speed[start:end].mean()),
    )


def best_of(found: Mapping[Path, Sequence[Moment]], top: int) -> list[Moment]:
    """The best moments of all videos; of equal ones that of the earlier video first."""
    every = [moment for of_video in found.values() for moment in of_video[:top]]
    return sorted(every, key=lambda moment: -moment.score)[:top]


def eyes_of(files: ModelFiles, loader: Loader, *, needs_clip: bool, needs_motion: bool = False) -> Eyes:
    """What a model has to look with: CLIP, unless ready-made features stand in its place, and its motion network.

    Args:
        files: The model.
        loader: Of the engine that is asked.
        needs_clip: Whether the question is one for CLIP.
        needs_motion: Whether it is one for the motion network, where the model has one.

    Raises:
        StoreError: what is needed is not there, cannot be asked by this engine, or is torn.
    """
    encoder = network = None
    try:
        check_clip(files)
        encoder = loader.load_clip(files)
    except StoreError:
        if needs_clip:
            raise
    try:
        network = loader.motion_of(files) if files.motion.is_dir() else None
    except NoPartError as error:
        if needs_motion:
            raise
        log.warning("motion is told by plain statistics: %s", error)
    clip, motion = loader.digests(files)
    made_for = [motion, network.made_for.model_dump()] if network else None
    return Eyes(encoder, network, fingerprint(clip if encoder else None, made_for))


def text_feature(encoder: Clip, words: str) -> np.ndarray:
    """CLIP's feature (d,) of words; what its text tower does not read is said.

    Raises:
        ParamsError: there are no words.
    """
    if not words.strip():
        raise ParamsError('no words to search for; say what is to be seen, for example "a person serving"')
    read = encoder.read_part(words.strip())
    if read != words.strip():
        log.warning(
            'CLIP reads no further than "%s"; left out: "%s"', read[-60:], words.strip()[len(read) :].strip()[:60]
        )
    feature: np.ndarray = encoder.texts([read])[0]
    return feature


def text_curve(seen: Timeline, text: np.ndarray) -> np.ndarray:
    """Cosine of each step with a text's feature (d,), (t,)."""
    return cosine(seen.clip, text)


def label_of(files: ModelFiles, name: str) -> int:
    """Index of a class.

    Raises:
        ParamsError: the model has no such class; those with near names are offered.
    """
    if name in files.classes:
        return list(files.classes).index(name)
    near = difflib.get_close_matches(name, files.classes, _NEAR, 0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else f"it knows {', '.join(sorted(files.classes)[:20])}"
    raise ParamsError(f"--class: the model knows no class '{name}' among its {len(files.classes)}; {hint}")


def head_of(files: ModelFiles, loader: Loader, name: str) -> Fitted:
    """A head that answers for a step of a video.

    Raises:
        ParamsError: there is none of that name that could.
        StoreError: the model lacks it, or it is torn.
    """
    if name not in servable():
        raise ParamsError(f"--head: '{name}' answers for no new video; take one of {', '.join(servable())}")
    return loader.load_head(files, name)


def class_curve(video: Path, seen: Timeline, head: Fitted, label: int) -> np.ndarray:
    """Log-probability that a head gives a class at each step, from CLIP's feature and the motion network's there, (t,).

    Raises:
        VideoError: the head reads motion, and the codec exports no vectors.
    """
    if MOTION in head.streams and not seen.motion.shape[1]:
        raise VideoError(
            f"{video} ({seen.codec}): this codec exports no motion vectors, which the head reads. Take a --head "
            "without motion, or re-encode the video, for example with `ffmpeg -i IN -c:v mpeg4 OUT.avi`."
        )
    inputs = {CLIP: seen.clip.astype(np.float32), MOTION: seen.motion}
    logits = head.logits({name: inputs[name] for name in head.streams})
    from_largest = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    found: np.ndarray = from_largest[:, label] - np.log(np.exp(from_largest).sum(axis=1))
    return found


@dataclass(frozen=True)
class Example:
    """A stretch of a video that others shall be like.

    Attributes:
        video: The file.
        seen: The video at a constant rate.
        steps: Those of the stretch, int64.
    """

    video: Path
    seen: Timeline
    steps: np.ndarray


def parse_example(text: str) -> tuple[Path, tuple[float, float | None]]:
    """File and seconds of `CLIP.mp4` or `CLIP.mp4:START-END`; a time is `12.5`, `1:02.5` or `1:00:02`.

    Raises:
        ParamsError: the times cannot be read, or the end is not behind the start.

    >>> parse_example("a.mp4:0:30-1:02.5")
    (PosixPath('a.mp4'), (30.0, 62.5))
    """
    found = _SPAN.fullmatch(text)
    if found is None or Path(text).exists():
        return Path(text), (0.0, None)
    start, end = _seconds(text, found["start"]), _seconds(text, found["end"])
    if end <= start:
        raise ParamsError(f"--like {text}: ends at {end:g} s, not behind its start at {start:g} s")
    return Path(found["file"]), (start, end)


def _seconds(text: str, time: str) -> float:
    parts = _TIME.fullmatch(time)
    if parts is None:
        raise ParamsError(f"--like {text}: '{time}' is no time; write 12.5, 1:02.5 or 1:00:02")
    hours, minutes, seconds = (float(part or 0) for part in parts.groups())
    return 3600 * hours + 60 * minutes + seconds


def example_of(video: Path, seen: Timeline, start_s: float, end_s: float | None) -> Example:
    """A stretch of a video, all of it where no end is given.

    Raises:
        ParamsError: it reaches past the end of the video.
    """
    end = seen.duration_s if end_s is None else end_s
    if end > seen.duration_s + 0.5 * seen.every_s:
        raise ParamsError(f"--like {video}: ends at {end:g} s, and the video at {seen.duration_s:.2f} s")
    return Example(video, seen, seen.steps(start_s, end))


def like_curves(found: Mapping[Path, Timeline], example: Example, by: By) -> dict[Path, np.ndarray]:
    """How like an example each step of each video is, (t,): the cosine of mean features, of a window as long.

    By `motion` it is the motion network's features, or plain statistics of motion where there is no network. By
    `both` it is the mean of the two, each at mean 0 and deviation 1 over all steps of all videos, so that neither
    outweighs the other.

    Raises:
        VideoError: motion is asked for, and a video's codec exports no vectors.
    """
    if by == "both":
        one, other = (_standard(like_curves(found, example, way)) for way in ("clip", "motion"))
        return {video: (one[video] + other[video]) / 2 for video in found}
    features = {video: described(video, seen, by) for video, seen in found.items()}
    asked = described(example.video, example.seen, by)[example.steps].mean(axis=0)
    return {video: cosine(sliding_mean(values, len(example.steps)), asked) for video, values in features.items()}


def described(video: Path, seen: Timeline, by: By) -> np.ndarray:
    """Features (t, d) of steps by which stretches are alike.

    Raises:
        VideoError: motion is asked for, and the codec exports no vectors.
    """
    if by == "clip":
        values = seen.clip.astype(np.float64)
        return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
    if not seen.statistics.shape[1]:
        raise VideoError(
            f"{video} ({seen.codec}): this codec exports no motion vectors. Ask with --by clip, or re-encode the "
            "video, for example with `ffmpeg -i IN -c:v mpeg4 OUT.avi`."
        )
    return (seen.motion if seen.motion.shape[1] else seen.statistics).astype(np.float64)


def _standard(curves: Mapping[Path, np.ndarray]) -> dict[Path, np.ndarray]:
    every = np.concatenate(list(curves.values()))
    mean, deviation = every.mean(), every.std() or 1.0
    return {video: (curve - mean) / deviation for video, curve in curves.items()}
