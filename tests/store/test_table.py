"""moclip.store.table: columns give back what they took, and rows are made when they are asked for."""

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moclip.store.table import Column, Paths, Rows, Table, Texts, Words, digests, numbers, reals

texts = st.lists(st.text(st.characters(codec="utf-8") | st.sampled_from("/a")))


@given(texts)
@pytest.mark.parametrize("column", [Texts, Words, Paths, digests])
def test_a_column_of_texts_gives_them_back(column: Callable[[Any], Column[str]], values: list[str]) -> None:
    kept = column(values)
    assert [kept[at] for at in range(len(values))] == values


@given(st.lists(st.from_regex("[0-9a-f]{64}", fullmatch=True)))
def test_digests_come_back(values: list[str]) -> None:
    kept = digests(values)
    assert [kept[at] for at in range(len(values))] == values


@given(st.lists(st.integers(-(2**63), 2**63 - 1)), st.lists(st.floats(allow_nan=False)))
def test_columns_of_numbers_give_them_back(whole: list[int], real: list[float]) -> None:
    for values, column in ((whole, numbers(whole)), (real, reals(real))):
        assert [column[at] for at in range(len(values))] == values


def test_a_number_of_more_than_64_bits_is_no_column() -> None:
    with pytest.raises(OverflowError):
        numbers([1, 2**63])


@dataclass(frozen=True)
class Row:
    name: str
    count: int
    said: str = "nothing"


def test_rows_are_those_of_all_pieces_and_the_last_may_be_short() -> None:
    rows = [Row(f"n{place}", place) for place in range(10)]
    some = (rows[:4], rows[4:8], rows[8:])
    pieces = [{"name": [row.name for row in own], "count": [row.count for row in own]} for own in some]
    table = Table(Row, {"name": Texts, "count": numbers, "said": Words}, pieces)
    assert list(table.rows) == rows
    assert [table.rows[at] for at in (-1, 0, 7)] == [rows[-1], rows[0], rows[7]]
    assert list(table.column("count")[3:9:2]) == [3, 5, 7]
    with pytest.raises(IndexError):
        table.rows[10]


def test_a_slice_makes_its_own_rows_alone_and_is_pickled_as_these() -> None:
    made: list[int] = []

    def make(place: int) -> Row:
        made.append(place)
        return Row(str(place), place)

    some = Rows(make, range(1_000))[500:504]
    assert (len(some), made) == (4, [])
    assert pickle.loads(pickle.dumps(some)) == tuple(Row(str(place), place) for place in range(500, 504))
    assert made == [500, 501, 502, 503]
