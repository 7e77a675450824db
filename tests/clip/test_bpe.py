"""CLIP's tokenizer from its table: the tokens of open_clip's, whatever the text."""

import numpy as np
import open_clip
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moclip.clip.encoder import Tokenizer
from moclip.clip.text.bpe import BpeTokenizer

THEIRS = Tokenizer(None, 24)
OURS = BpeTokenizer(THEIRS.merges(), 24)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a photo of a person serving.",
        "  It's &amp;amp; caf\u00e9 \u2019 12345 don't",
        "\u65e5\u672c\u8a9e \U0001f600!!",
        "<start_of_text> x <END_OF_TEXT>",
        "\u00c3\u00a9t\u00e9 \u0130stanbul \u00df",
        "x" * 200,
        "more words than are read " * 20,
    ],
)
def test_tokens_are_those_of_open_clip(text: str) -> None:
    np.testing.assert_array_equal(OURS([text]), THEIRS([text]).numpy(), strict=True)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_tokens_of_any_text_are_those_of_open_clip(text: str) -> None:
    np.testing.assert_array_equal(OURS([text]), THEIRS([text]).numpy(), strict=True)


def test_another_tokenizer_gives_no_table() -> None:
    from moclip.base.errors import StoreError

    other = Tokenizer(None, 24)
    other.own = open_clip.SimpleTokenizer(context_length=24, clean="whitespace")
    with pytest.raises(StoreError, match="read by SimpleTokenizer in its own way"):
        other.merges()
