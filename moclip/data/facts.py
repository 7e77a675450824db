"""What a file gives away without being decoded: encoder, frame rate, size, key frames, B-frames, sound, length.

Bytes are left out: how many a picture takes depends on what it shows and how that moves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from moclip.base.errors import DataError
from moclip.data.manifest import Video

if TYPE_CHECKING:
    from moclip.video.container import Container

Facts = Mapping[str, str | int]
"""By name: words stand for themselves, whole numbers are lengths in frames."""


def facts_of(videos: Mapping[str, Video], containers: Mapping[str, "Container"]) -> dict[str, Facts]:
    """Facts of files by video id.

    Raises:
        DataError: a video has no container facts; it is named.
    """
    if missing := sorted(set(videos) - set(containers)):
        raise DataError(f"{missing[0]}: no container facts ({len(missing)} of {len(videos)}); run `dvc repro audit`")
    return {stem: _facts(video, containers[stem]) for stem, video in videos.items()}


def _facts(video: Video, container: "Container") -> Facts:
    return {
        "encoder": container.encoder(video.codec),
        "fps": f"{video.fps:.3f}",
        "size": f"{video.width}x{video.height}",
        "b_frames": str(container.b_frames),
        "audio": str(container.audio),
        "frames": video.frames,
        "gop_frames": container.gop_frames,
    }


@dataclass(frozen=True)
class FactsByVideo:
    """Facts of files by video id, as a stream."""

    facts: Mapping[str, Facts]

    def of(self, ids: Sequence[str]) -> list[Facts]:
        """Facts of these videos, in this order."""
        return [self.facts[video] for video in ids]
