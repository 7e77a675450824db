"""Encoding, crops and mirror images of motion fields. The only copy of these.

Axes: n video, s segment, m any number of fields, c component (dx, dy), h and w grid rows and columns.

Fields hold displacements in pixels, or bytes as `encode_bytes` makes them. A mirror turns dx into `turn` - dx: for
pixels about zero (`turn` 0); for bytes about their zero (256, and byte 0 becomes 255) or by complement (255).
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

CROP_SCALES = (1.0, 0.875, 0.75)
TEN_CROPS_SCALE = 0.875  # 224 of 256
LAST_BYTE = 255
ZERO_BYTE = 128
TURN = {("float", "negate"): 0, ("bytes", "negate"): 2 * ZERO_BYTE, ("bytes", "complement"): LAST_BYTE}


def encode_bytes(fields_px: Tensor, bound_px: float) -> Tensor:
    """Whole numbers from 0 to 255, as float32, with no motion at 128; `bound_px` and beyond saturate.

    Source: pytorch-coviar `dataset.py` (scale 127.5 / 20, truncation toward zero), as the paper's code repeats it.

    >>> encode_bytes(torch.tensor([20.0, -5.0, 0.0, 0.1, -90.0]), 20.0).tolist()
    [255.0, 97.0, 128.0, 128.0, 0.0]
    """
    return ((fields_px * (LAST_BYTE / 2 / bound_px)).trunc() + ZERO_BYTE).clamp(0, LAST_BYTE)


def resize(fields: Tensor, side: int | None, *, whole: bool = False) -> Tensor:
    """Resize fields (m, 2, h, w) to a square of `side` cells; None leaves the native grid.

    Displacements keep their values: they stay pixels of the decoded frame. With `whole`, bytes stay bytes.
    """
    if side is None:
        return fields
    resized = functional.interpolate(fields, (side, side), mode="bilinear", antialias=True)
    return resized.round() if whole else resized


def mirror(fields: Tensor, turn: int) -> Tensor:
    """Mirror images (..., 2, h, w): columns in reverse order, dx turned round."""
    dx, dy = fields.flip(-1).unbind(-3)
    return torch.stack([_turned(dx, turn), dy], dim=-3)


def _turned(dx: Tensor, turn: int) -> Tensor:
    turned = turn - dx
    return turned.clamp(max=LAST_BYTE) if turn else turned


def augment(fields: Tensor, generator: torch.Generator, turn: int = 0) -> Tensor:
    """Crop and mirror each video's fields at random, alike for all its segments.

    Each video gets a crop of a side drawn from `CROP_SCALES` at a uniform place, resampled to the
    size it had, and is mirrored with probability one half.

    Args:
        fields: (n, s, 2, h, w), x right, y down.
        generator: Source of the draws, on the CPU.
        turn: What a mirrored dx and the one that it came from add up to.

    Returns:
        New fields of the same shape.

    Source of the scales: the training crops of TSN, as the paper's code uses them.
    """
    n = len(fields)
    picks = torch.randint(len(CROP_SCALES), (n,), generator=generator)
    scale = torch.tensor(CROP_SCALES)[picks]
    shift = (2 * torch.rand(n, 2, generator=generator) - 1) * (1 - scale)[:, None]
    sign = 1 - 2 * torch.randint(2, (n,), generator=generator).float()
    return _resampled(fields, torch.stack([scale, scale], dim=1), shift, sign, turn)


def crop(fields: Tensor, boxes: Tensor, mirrored: Tensor, turn: int = 0) -> Tensor:
    """A box of each video's fields, resampled to the size that they had, and mirrored where asked for.

    Args:
        fields: (n, s, 2, h, w), x right, y down; values stay as they are.
        boxes: Left, top, right and bottom (n, 4), as shares of width and height.
        mirrored: bool (n,).
        turn: As for `augment`.
    """
    corner, other = boxes[:, :2], boxes[:, 2:]
    return _resampled(fields, other - corner, corner + other - 1, 1 - 2 * mirrored.float(), turn)


def _resampled(fields: Tensor, scale: Tensor, shift: Tensor, sign: Tensor, turn: int) -> Tensor:
    """Boxes of `scale` (n, 2) about `shift` (n, 2), in half pictures from the middle; `sign` (n,) is -1 in a mirror."""
    n, s, c, h, w = fields.shape
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1], theta[:, :, 2] = scale[:, 0] * sign, scale[:, 1], shift
    grid = functional.affine_grid(theta, [n, s * c, h, w], align_corners=False)
    moved = functional.grid_sample(
        fields.reshape(n, s * c, h, w), grid.to(fields), padding_mode="border", align_corners=False
    ).reshape(n, s, c, h, w)
    # The grid has reversed the columns already: what is left of the mirror is dx.
    turns = torch.stack([sign < 0, torch.zeros(n, dtype=torch.bool)], dim=1)[:, None, :, None, None]
    return torch.where(turns.to(fields.device), _turned(moved, turn), moved)


def cut_at_random(
    fields: Tensor, side: int, generator: torch.Generator, turn: int = 0, *, whole: bool = False
) -> Tensor:
    """Squares of `side` cells out of one video's enlarged fields, mirrored with probability one half.

    The fields are resized to `side` / scale, a scale of `CROP_SCALES` for the video; each segment's square lies at a
    place of its own, as in the paper's code (TSN takes one place for all).

    Args:
        fields: (s, 2, h, w) of one video, on its native grid.
        side: Rows and columns of the result.
        generator: Source of the draws, on the CPU.
        turn: As for `augment`.
        whole: As for `resize`.

    Returns:
        New fields (s, 2, side, side).
    """
    scale = CROP_SCALES[_draw(len(CROP_SCALES), generator)]
    large = resize(fields, round(side / scale), whole=whole)
    room = large.shape[-1] - side + 1
    corners = [(_draw(room, generator), _draw(room, generator)) for _ in range(len(fields))]
    cut = torch.stack([field[:, y : y + side, x : x + side] for field, (y, x) in zip(large, corners, strict=True)])
    return mirror(cut, turn) if _draw(2, generator) else cut


def ten_crops(fields: Tensor, side: int, mirrored: Tensor, turn: int = 0) -> Iterator[Tensor]:
    """Four corners and the centre, then the same of the mirror image; one crop at a time, to bound memory.

    Args:
        fields: (n, s, 2, h, w), larger than `side`; `side` / `TEN_CROPS_SCALE` as the paper has it.
        side: Rows and columns of a crop.
        mirrored: bool (n,): of which videos the second half is mirrored; of others it repeats the first.
        turn: As for `augment`.

    Yields:
        Fields (n, s, 2, side, side), ten times.
    """
    second = torch.where(mirrored.to(fields.device)[:, None, None, None, None], mirror(fields, turn), fields)
    bottom, right = fields.shape[-2] - side, fields.shape[-1] - side
    for image in (fields, second):
        for y, x in ((0, 0), (0, right), (bottom, 0), (bottom, right), (round(bottom / 2), round(right / 2))):
            yield image[..., y : y + side, x : x + side]


def _draw(count: int, generator: torch.Generator) -> int:
    return int(torch.randint(count, (), generator=generator))
