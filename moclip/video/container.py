"""What a video file says of itself without being decoded: who encoded it, and where its key frames are."""

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from pathlib import Path

import av

from moclip.base.errors import DataError, StoreError, VideoError
from moclip.base.tables import columns_of, read_csv, read_rows, write_csv
from moclip.base.work import Work, gather
from moclip.video.bounded.limits import current
from moclip.video.bounded.worker import CRASHED, Held
from moclip.video.decode import open_container
from moclip.video.file.streams import choose


@dataclass(frozen=True)
class Container:
    """Traits of one file.

    Attributes:
        codec_tag: Four letters that the encoder signs with: `xvid` and `XVID` are two encoders.
        b_frames: Whether the stream may hold B-frames.
        audio: Whether there is sound.
        gop_frames: Longest run of frames from one key frame to the next, or to the end.
    """

    codec_tag: str
    b_frames: bool
    audio: bool
    gop_frames: int

    def encoder(self, codec: str) -> str:
        """Family of encoders, of which each signs in its own way: `mpeg4/xvid`."""
        return f"{codec}/{self.codec_tag}"


def read_container(path: Path) -> Container:
    """Read a file's traits from its headers and packets.

    Raises:
        VideoError: no video, or one that cannot be read.
    """
    try:
        with open_container(path) as file:
            chosen = choose(file.streams)
            if chosen is None:
                raise VideoError(f"{path}: has no video stream")
            stream = chosen.stream
            if stream.codec_context is None:
                raise VideoError(f"{path}: its codec has no decoder here")
            keys: list[bool] = []
            limits = current()
            for packet in file.demux(stream):
                if packet.size:
                    keys.append(packet.is_keyframe)
                if len(keys) > limits.frames:
                    raise VideoError(f"{path}: {limits.refusal('frames', f'more than {limits.frames} frames')}.")
            return Container(
                codec_tag=stream.codec_context.codec_tag.rstrip("\0 "),
                b_frames=bool(stream.codec_context.has_b_frames),
                audio=bool(file.streams.audio),
                gop_frames=_longest_run(keys),
            )
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise VideoError(f"{path}: cannot be read as a video ({error})") from error


def read_containers(paths: Mapping[str, Path], *, jobs: int | None = None) -> dict[str, Container]:
    """Traits of many files by video id, in parallel over files; `jobs` None takes every core.

    Raises:
        DataError: lists every file that cannot be read, with its reason.
    """
    tasks = sorted(paths)
    work = Work(
        "audit",
        "video",
        refuse=lambda bad: DataError(f"{len(bad)} of {len(tasks)} videos cannot be read:\n" + "\n".join(bad)),
        crashed=("{}: " + CRASHED).format,
    )
    found = gather([paths[stem] for stem in tasks], Held(read_container, Path), work, jobs=jobs)
    return dict(zip(tasks, found, strict=True))


def write_container_table(path: Path, containers: Mapping[str, Container]) -> None:
    """Write traits by video id as CSV, sorted by id."""
    write_csv(
        path, ("id", *columns_of(Container)), [(stem, *astuple(found)) for stem, found in sorted(containers.items())]
    )


def read_container_table(path: Path) -> dict[str, Container]:
    """Read what `write_container_table` wrote.

    Raises:
        StoreError: the file is missing or torn, or holds another kind of value.
    """
    try:
        ids = [row["id"] for row in read_csv(path, ["id"])]
        return dict(zip(ids, read_rows(path, Container), strict=True))
    except StoreError as error:
        raise StoreError(f"{error}; run `dvc repro audit`") from error


def _longest_run(keys: list[bool]) -> int:
    starts = [index for index, key in enumerate(keys) if key] or [0]
    return max(stop - start for start, stop in zip(starts, [*starts[1:], len(keys)], strict=True))
