"""CLIP's tokenizer from its table alone: byte pairs, as open_clip has them, without open_clip.

The table is OpenAI's (`bpe_simple_vocab_16e6.txt` of CLIP, MIT licence), which open_clip ships; a bundle holds the part
of it that is read. Axes: n text, l token.
"""

import html
import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import ftfy
import numpy as np
import regex

END = "</w>"
SPECIAL = ("<start_of_text>", "<end_of_text>")
_WORD = regex.compile(
    "|".join(SPECIAL) + r"|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+", regex.IGNORECASE
)
_SHOWN = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_HIDDEN = [byte for byte in range(256) if byte not in _SHOWN]
LETTERS = {**{byte: chr(byte) for byte in _SHOWN}, **{byte: chr(256 + n) for n, byte in enumerate(_HIDDEN)}}
"""A letter for each byte, in the order of the first tokens; what cannot be shown has one behind those of all bytes."""


class BpeTokenizer:
    """Texts to tokens.

    Args:
        merges: Pairs that become one, the most frequent first.
        length: Tokens that the text tower reads.
    """

    def __init__(self, merges: Sequence[tuple[str, str]], length: int) -> None:
        self.length = length
        self._ranks = {pair: rank for rank, pair in enumerate(merges)}
        letters = list(LETTERS.values())
        words = [*letters, *(letter + END for letter in letters), *map("".join, merges), *SPECIAL]
        self._tokens = {word: token for token, word in enumerate(words)}

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Tokens int64 (n, l) of texts, each cut or filled up to the tower's length."""
        start, end = (self._tokens[word] for word in SPECIAL)
        tokens = np.zeros((len(texts), self.length), np.int64)
        for row, text in zip(tokens, texts, strict=True):
            own = [*[start, *self._of(text)][: self.length - 1], end]
            row[: len(own)] = own
        return tokens

    def _of(self, text: str) -> list[int]:
        clean = " ".join(html.unescape(html.unescape(ftfy.fix_text(text))).split()).lower()
        return [self._tokens[part] for word in _WORD.findall(clean) for part in self._parts(word)]

    def _parts(self, word: str) -> list[str]:
        """A word in its known parts: the most frequent neighbours are joined first."""
        if word in SPECIAL:
            return [word]
        letters = [LETTERS[byte] for byte in word.encode()]
        parts = [*letters[:-1], letters[-1] + END]
        while len(parts) > 1:
            best = min(pairwise(parts), key=lambda pair: self._ranks.get(pair, math.inf))
            if best not in self._ranks:
                break
            parts = _joined(parts, best)
        return parts


def _joined(parts: Sequence[str], pair: tuple[str, str]) -> list[str]:
    """The parts with each such pair as one."""
    found, at = [], 0
    while at < len(parts):
        width = 2 if tuple(parts[at : at + 2]) == pair else 1
        found.append("".join(parts[at : at + width]))
        at += width
    return found


def read_part(tokenize: Callable[[list[str]], Any], text: str) -> str:
    """As much of a text, from its start, as the text tower reads: what stands behind changes none of its tokens."""

    def is_cut(part: str) -> bool:
        """Whether the text reads as its beginning does."""
        whole, begun = tokenize([text, part])
        return bool(np.array_equal(whole, begun))

    if not is_cut(text[:-1]):
        return text
    words = text.split()
    read = bisect_left(range(len(words) + 1), True, key=lambda n: is_cut(" ".join(words[:n])))
    part = " ".join(words[:read])
    while part and is_cut(part[:-1]):
        part = part[:-1]
    return part
