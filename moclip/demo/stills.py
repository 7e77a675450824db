"""Captioned stills that a tiny CLIP learns from: the renderer of the videos, with seeds and worlds of their own."""

from functools import partial

import numpy as np
from PIL import Image

from moclip.base.work import Work, gather
from moclip.demo.render import Picture, draw_clip, draw_style, dress
from moclip.demo.spec import APPEARANCES, PAIRS, Appearance

STILL_STREAM = 2  # first word of every seed; the videos use another
PER_BACKGROUND = 12
PICTURE = Picture(width=192, height=144, sharpness=1)
VIDEO_FPS = 25
CAPTIONS = (
    "a person with {thing} {place}.",
    "a photo of a person with {thing} {place}.",
    "a frame of a video of a person with {thing} {place}.",
    "a photo of a person with {thing}.",
    "a photo of a person {place}.",
    "{thing} {place}.",
)


def captioned_stills(
    count: int, seed: int, size_px: int = 64, *, jobs: int | None = None
) -> tuple[np.ndarray, list[str]]:
    """Random stills of all appearances in any movement, each with a caption that names the appearance alone.

    Args:
        count: Number of stills.
        seed: Decides every pixel and word; the process count does not.
        size_px: Side of the square stills: the middle of a picture, as CLIP's preprocessing cuts it.
        jobs: Processes, None for one a core.

    Returns:
        Images, uint8 of shape (count, size_px, size_px, 3), and as many captions.
    """
    numbers = range(count)
    batches = [numbers[start : start + PER_BACKGROUND] for start in range(0, count, PER_BACKGROUND)]
    work = Work("stills", "still", size=len)
    drawn = gather(batches, partial(_batch, seed=seed, size_px=size_px), work, jobs=jobs)
    return np.concatenate([images for images, _ in drawn]), [caption for _, words in drawn for caption in words]


def _batch(numbers: range, *, seed: int, size_px: int) -> tuple[np.ndarray, list[str]]:
    """Stills that share one painted background: figures, movements, cameras and captions differ."""
    rng = np.random.default_rng([STILL_STREAM, seed, numbers.start])
    names = list(APPEARANCES)
    appearance = APPEARANCES[names[(numbers.start // PER_BACKGROUND) % len(names)]]
    background = draw_style(appearance, rng, PICTURE).background
    stills = [_still(appearance, background, rng, size_px) for _ in numbers]
    return np.stack(stills), [_caption(appearance, rng) for _ in numbers]


def _still(appearance: Appearance, background: Image.Image, rng: np.random.Generator, size_px: int) -> np.ndarray:
    movements = sorted({movement for _, movement in PAIRS.values()})
    movement = str(rng.choice(movements))
    clip = draw_clip(dress(appearance, background, rng), movement, rng, frames=2, fps=VIDEO_FPS)
    return square(clip.frame(0, PICTURE), size_px)


def square(image: Image.Image, size_px: int) -> np.ndarray:
    """The middle square of an image, resized."""
    left = (image.width - image.height) / 2
    box = (left, 0, left + image.height, image.height)
    return np.asarray(image.resize((size_px, size_px), Image.Resampling.BICUBIC, box=box))


def _caption(appearance: Appearance, rng: np.random.Generator) -> str:
    template = CAPTIONS[int(rng.integers(len(CAPTIONS)))]
    return template.format(thing=appearance.thing, place=appearance.place)
