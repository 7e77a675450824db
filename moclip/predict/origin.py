"""What a model was made of, so that its answers are read for what they are: data, classes, accuracy, kinds of video."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from moclip.base.files import read_json
from moclip.data.manifest import read_manifest
from moclip.data.splits import read_members
from moclip.heads.registry import servable

_DEMO = "demo"  # the `source` of generated videos in the file that describes the data set
_TRAIN, _TEST = "train", "test"
_SHOWN_CLASSES = 6
_RATE_TOLERANCE = 0.01  # 29.97 and 30 frames/s are one rate

Span = tuple[float, float]
N = TypeVar("N", int, float)


def printable(text: str) -> str:
    """The text, where a terminal shows all of it as it stands."""
    if not text.isprintable():
        raise ValueError("holds characters that do not print")
    return text


_Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(printable)]


class Score(BaseModel):
    """How often a head was right on videos that no training saw; its interval over recordings, where that is known."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    right: int = Field(ge=0)
    of: int = Field(ge=1)
    interval_pct: tuple[float, float] | None = None

    @property
    def pct(self) -> float:
        """Share of right answers in percent."""
        return 100 * self.right / self.of

    def __str__(self) -> str:
        return f"{self.right} of {self.of} test videos right ({self.pct:.1f} %)"


@dataclass(frozen=True)
class Kind:
    """What of a video moves its vectors: codec, size in pixels as it is shown, frames per second (0 where unknown)."""

    codec: str | None
    width_px: int
    height_px: int
    fps: float


class Origin(BaseModel):
    """What one model was trained on, and how good it was.

    Attributes:
        dataset: Its name.
        generated: Whether the videos were drawn by moclip.
        videos: How many it was trained on.
        codecs: Of these videos.
        width_px, height_px, fps: Smallest and largest of these videos; the rate is in frames per second.
        scores: On the split's test list, by head.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    dataset: _Name
    generated: bool
    videos: int = Field(ge=1)
    codecs: tuple[_Name, ...] = Field(min_length=1, max_length=100)
    width_px: tuple[int, int]
    height_px: tuple[int, int]
    fps: Span
    scores: dict[_Name, Score]

    def differences(self, seen: Kind) -> str:
        """In which a video is unlike all that the model was trained on, as words with its and their values.

        Args:
            seen: What was asked of; a codec of None is not compared.
        """
        found = []
        if seen.codec is not None and seen.codec not in self.codecs:
            found.append(f"codec {seen.codec} ({', '.join(self.codecs)})")
        if not (_within(seen.width_px, self.width_px) and _within(seen.height_px, self.height_px)):
            found.append(f"{seen.width_px} x {seen.height_px} px ({_words(self.width_px)} x {_words(self.height_px)})")
        if seen.fps and not _within(seen.fps, self.fps, _RATE_TOLERANCE):
            found.append(f"{seen.fps:.4g} frames/s ({_words(self.fps)})")
        return ", ".join(found)


@dataclass(frozen=True)
class Record:
    """Where a pipeline keeps what it knows of its models.

    Attributes:
        dataset: File that describes the data set.
        manifest: Of its videos.
        splits: Directory of the splits.
        predictions: Directory with one folder a head, whose stage writes them with the head's weights.
        results: Directory with one folder a head that has its figures with their intervals; None where nobody asks.
    """

    dataset: Path
    manifest: Path
    splits: Path
    predictions: Path
    results: Path | None = None

    def origin(self, split: int) -> Origin | None:
        """What is known of the models of a split; None where the data set's own files are not here.

        Raises:
            StoreError: a file is torn.
        """
        members = self.splits / f"split{split}.csv"
        if not all(path.is_file() for path in (self.dataset, self.manifest, members)):
            return None
        facts, videos = read_json(self.dataset), read_manifest(self.manifest)
        trained = [videos[member.id] for member in read_members(members) if member.part == _TRAIN]
        return Origin(
            dataset=facts["name"],
            generated=facts["source"] == _DEMO,
            videos=len(trained),
            codecs=tuple(sorted({video.codec for video in trained})),
            width_px=_span(video.width for video in trained),
            height_px=_span(video.height for video in trained),
            fps=_span(video.fps for video in trained),
            scores=self._scores(split),
        )

    def test_videos(self, split: int, root: Path) -> list[Path]:
        """Files of a split's test list below `root`, in its order; none where the data set's own files are not here."""
        members = self.splits / f"split{split}.csv"
        if not (self.manifest.is_file() and members.is_file()):
            return []
        videos = read_manifest(self.manifest)
        return [root / videos[member.id].path for member in read_members(members) if member.part == _TEST]

    def _scores(self, split: int) -> dict[str, Score]:
        """Of the heads whose predictions are here."""
        from moclip.results.predictions import read_predictions  # SciPy, which whoever asks a bundle need not wait for

        found = {}
        for head in servable():
            if (path := self.predictions / head / f"split{split}.npz").is_file():
                said = read_predictions(path)
                right = int((said.logits.argmax(axis=1) == said.labels).sum())
                found[head] = Score(right=right, of=len(said.labels), interval_pct=self._interval(head, split))
        return found

    def _interval(self, head: str, split: int) -> tuple[float, float] | None:
        if self.results is None or not (path := self.results / head / f"split{split}_metrics.json").is_file():
            return None
        figures = read_json(path)
        if figures["top1_low_pct"] is None:
            return None
        return figures["top1_low_pct"], figures["top1_high_pct"]


def introduction(head: str, split: int, classes: Sequence[str], origin: Origin | None) -> str:
    """One line on a model: the head, its data, how often it is right, and the classes that are all it can answer."""
    shown = ", ".join(classes[:_SHOWN_CLASSES])
    more = len(classes) - _SHOWN_CLASSES
    knows = f"knows {len(classes)} classes alone: {shown}{f' and {more} more' if more > 0 else ''}"
    if origin is None:
        return f"{head} of split {split}: what it was trained on is not recorded with it; {knows}"
    kind = "generated demo videos, no real ones" if origin.generated else f"videos of {origin.dataset}"
    score = origin.scores.get(head)
    return f"{head} of split {split}: trained on {origin.videos} {kind}; {score or 'not tested here'}; {knows}"


def _span(values: Iterable[N]) -> tuple[N, N]:
    every = list(values)
    return min(every), max(every)


def _within(value: float, span: Span, tolerance: float = 0.0) -> bool:
    return span[0] * (1 - tolerance) <= value <= span[1] * (1 + tolerance)


def _words(span: Span) -> str:
    low, high = (f"{value:.4g}" if isinstance(value, float) else str(value) for value in span)
    return low if low == high else f"{low} to {high}"
