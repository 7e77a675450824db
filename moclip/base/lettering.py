"""Names that people choose, in figures: drawn by a font that a package brings, or spelled out, never as boxes."""

import functools
import importlib.util
import unicodedata
from pathlib import Path

from PIL import ImageFont

LONGEST = 48  # characters of a name in a figure
_PROBE_PX = 16
_NO_CHARACTER = "\U0010ffff"
# Written from right to left, where letters join: neither Matplotlib nor Pillow alone sets them right.
_FROM_THE_RIGHT = ("R", "AL", "AN", "RLE", "RLO", "RLI")
_JOINING = ("Mn", "Mc", "Me", "Cf", "Co", "Cs")


def drawable(name: str) -> str:
    """A name in characters that `font_file` has; each other one as its number, as in `U+8DD1`; long ones cut.

    >>> drawable("a$b_{$"), drawable("跑")
    ('a$b_{$', 'U+8DD1')
    """
    words: list[str] = []
    spelled = False
    for character in unicodedata.normalize("NFC", name):
        if _can_draw(character):
            words.append(f" {character}" if spelled and not character.isspace() else character)
            spelled = False
        else:
            gap = " " if words and (spelled or not words[-1].isspace()) else ""
            words.append(f"{gap}U+{ord(character):04X}")
            spelled = True
    text = "".join(words)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"


@functools.cache
def font_file() -> Path:
    """DejaVu Sans, which Matplotlib brings and draws figures with; Matplotlib itself is not imported."""
    found = importlib.util.find_spec("matplotlib")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib")
    return Path(found.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"


@functools.cache
def _can_draw(character: str) -> bool:
    if character.isascii():
        return character.isprintable()
    if unicodedata.bidirectional(character) in _FROM_THE_RIGHT or unicodedata.category(character) in _JOINING:
        return False
    font = ImageFont.truetype(font_file(), _PROBE_PX)
    return character.isspace() or bytes(font.getmask(character)) != bytes(font.getmask(_NO_CHARACTER))
