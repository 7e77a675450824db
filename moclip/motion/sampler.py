"""Fields of stored motion as a network takes them: which frames, in which encoding, at which size, in which crops.

Axes: n video, s segment, h and w grid rows and columns.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from moclip.base.errors import DataError
from moclip.motion.fields import field_at
from moclip.motion.store import MotionStore, OneClip
from moclip.motion.transforms import TEN_CROPS_SCALE, TURN, augment, cut_at_random, encode_bytes, resize, ten_crops
from moclip.params.motion import MotionParams
from moclip.params.motion_net import MotionNetParams
from moclip.training.device import ON_CPU, Compute
from moclip.video.frames import segment_points

Draws = tuple[int, *tuple[str | int, ...]]
"""The one seed, and names of the purpose that draws by it."""


@dataclass(frozen=True)
class FieldSampler:
    """Fields of videos at the frames that the segment rule picks, accumulated on the fly.

    Fields are read on their native grids and brought to a common size on the device, as late as can be: a grid is a
    hundredth of a picture.
    """

    store: MotionStore | OneClip
    motion: MotionParams
    params: MotionNetParams
    compute: Compute = ON_CPU

    def __call__(self, ids: Sequence[str], segments: int, rng: np.random.Generator | None = None) -> Tensor:
        """Whole fields (n, s, 2, h, w); random frames with a generator, centres without.

        Raises:
            DataError: the videos differ in grid size, and no common size was asked for.
        """
        return self.whole(ids, self.read(ids, segments, rng))

    def read(self, ids: Sequence[str], segments: int, rng: np.random.Generator | None = None) -> list[Tensor]:
        """Fields in pixels on each video's native grid, (s, 2, h, w), on the CPU."""
        return [self._read(video, segments, rng) for video in ids]

    def _read(self, video: str, segments: int, rng: np.random.Generator | None) -> Tensor:
        return self.at(video, segment_points(self.store.info(video).frames, segments, rng))

    def at(self, video: str, points: Sequence[int] | np.ndarray) -> Tensor:
        """Fields in pixels of a video at any of its frames, (s, 2, h, w), on its native grid and the CPU."""
        grid = self.store.clip(video)
        return torch.from_numpy(field_at(grid, points, self.motion.accumulate, self.motion.window_frames or 1))

    def whole(self, ids: Sequence[str], fields: Sequence[Tensor], side: int | None = None) -> Tensor:
        """Encoded fields (n, s, 2, h, w) of what `read` gave, squares of `side` or of `input_px` cells.

        Raises:
            DataError: as for a call.
        """
        side = side or self.params.input_px
        if side is None:
            for video, field in zip(ids, fields, strict=True):
                if field.shape != fields[0].shape:
                    raise DataError(
                        f"{video} has a grid of {tuple(field.shape[2:])}, {ids[0]} one of "
                        f"{tuple(fields[0].shape[2:])}; set motion_net.input_px to bring them to one size"
                    )
        return torch.stack([resize(self._encoded(field), side, whole=self._bytes) for field in fields])

    def augmented(
        self, ids: Sequence[str], segments: int, rng: np.random.Generator, generator: torch.Generator
    ) -> Tensor:
        """Random frames in random crops, mirrored by chance (n, s, 2, h, w): what training sees.

        Args:
            ids: Videos.
            segments: Frames of each.
            rng: Source of the frames.
            generator: Source of crops and mirrors, on the CPU.
        """
        fields, side = self.read(ids, segments, rng), self.params.input_px
        if self.params.train_crops == "cut" and side is not None:
            cut = [
                cut_at_random(self._encoded(field), side, generator, self.turn, whole=self._bytes) for field in fields
            ]
            return torch.stack(cut)
        return augment(self.whole(ids, fields), generator, self.turn)

    def crops(self, ids: Sequence[str], fields: Sequence[Tensor], mirrored: Tensor) -> Iterator[Tensor]:
        """Ten crops (n, s, 2, h, w) of what `read` gave, of fields enlarged as 256 is to 224, one after the other."""
        side = self.params.input_px
        assert side is not None, "the parameters' model refuses ten crops without a size"
        enlarged = self.whole(ids, fields, round(side / TEN_CROPS_SCALE))
        return ten_crops(enlarged, side, mirrored, self.turn)

    @property
    def _bytes(self) -> bool:
        return self.params.encoding == "bytes"

    @property
    def turn(self) -> int:
        """What a mirrored dx and the one that it came from add up to."""
        return TURN[self.params.encoding, self.params.mirror]

    def _encoded(self, field: Tensor) -> Tensor:
        placed = self.compute.tensor(field)
        return encode_bytes(placed, self.params.bound_px) if self._bytes else placed
