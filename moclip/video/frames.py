"""Which frames of a video a network sees: one segment rule for training and for evaluation (TSN)."""

import numpy as np

from moclip.base.errors import DataError, ParamsError


def segment_points(frames: int, segments: int, rng: np.random.Generator | None = None) -> np.ndarray:
    """One frame index per segment of a video cut into `segments` equal parts.

    With a generator the frame is drawn uniformly from its segment (training); without one it is
    the segment's centre, so that evaluation cannot be random. Segment i covers the frames
    floor(i * frames / segments) to floor((i + 1) * frames / segments), the end excluded; a segment
    of a short video that covers no frame takes the frame at its start, so that no video is lost.

    Returns:
        Ascending frame indices, int64, shape (segments,).

    Raises:
        DataError: the video has no frame.

    Source: temporal segment networks (Wang et al., ECCV 2016).

    >>> segment_points(10, 3).tolist()
    [1, 4, 8]
    """
    if frames < 1:
        raise DataError("a video without frames has no segments")
    edges = np.arange(segments + 1, dtype=np.int64) * frames // segments
    start, width = edges[:-1], np.maximum(np.diff(edges), 1)
    offset = width // 2 if rng is None else rng.integers(0, width)
    return start + offset


def middle_frame(frames: int) -> int:
    """Index of the middle frame, the later one of two."""
    return int(segment_points(frames, 1)[0])


def evaluation_frames(rule: str, frames: int, rng: np.random.Generator | None = None) -> np.ndarray:
    """Frames that CLIP sees of a video: `middle`, `random` (one of all), or `uniform:K` (K segment centres).

    Only `random` draws from the generator, and needs one. With more segments than frames, frames come twice.

    >>> evaluation_frames("uniform:3", 10).tolist()
    [1, 4, 8]
    """
    name, _, count = rule.partition(":")
    if name == "random" and rng is None:
        raise ParamsError("a random frame needs a generator")
    return segment_points(frames, int(count or 1), rng if name == "random" else None)
