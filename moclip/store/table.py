"""Rows of a table that are kept as columns, and made when they are asked for.

A dataclass of a dozen fields takes a kilobyte with what it refers to; its values in columns take less than their text.
Columns lie in pieces of some rows each, so that reading a table takes no more memory than having it.
"""

import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, Generic, Protocol, TypeVar, overload

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_WIDTHS = "BHIq"  # of `array`: 1, 2 and 4 bytes without a sign, 8 with one
_SHA256, _SHA256_BYTES = re.compile("[0-9a-f]{64}"), 32


class Rows(Sequence[T_co]):
    """Rows that are made when they are asked for, and not kept. So are those of a slice, which is pickled as a tuple.

    Args:
        make: Makes the row of a place.
        places: Of the rows, in order.
    """

    def __init__(self, make: Callable[[int], T_co], places: range) -> None:
        self._make, self._places = make, places

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[T_co]:
        return map(self._make, self._places)

    @overload
    def __getitem__(self, at: int) -> T_co: ...
    @overload
    def __getitem__(self, at: slice) -> "Rows[T_co]": ...
    def __getitem__(self, at: int | slice) -> "T_co | Rows[T_co]":
        places = self._places[at]
        return Rows(self._make, places) if isinstance(places, range) else self._make(places)

    def __reduce__(self) -> tuple[Any, ...]:
        return tuple, (tuple(self),)


class Column(Protocol[T_co]):
    """Values of one field, by place."""

    def __getitem__(self, at: int, /) -> T_co: ...


def numbers(values: Sequence[int]) -> Column[int]:
    """Whole numbers, each in as many bytes as the widest needs; OverflowError where that is more than eight."""
    for width in _WIDTHS[:-1]:
        try:
            return array(width, values)
        except OverflowError:
            continue
    return array(_WIDTHS[-1], values)


def reals(values: Sequence[float]) -> Column[float]:
    """Floating-point numbers, as they are."""
    return array("d", values)


class Texts:
    """Texts that differ, one behind the other."""

    __slots__ = ("_ends", "_joined")

    def __init__(self, values: Iterable[str]) -> None:
        encoded = [value.encode() for value in values]
        self._joined = b"".join(encoded)
        self._ends = numbers(list(accumulate(map(len, encoded), initial=0)))

    def __getitem__(self, at: int) -> str:
        return self._joined[self._ends[at] : self._ends[at + 1]].decode()


class Words:
    """Texts that are often the same: each once, and its number in each row."""

    __slots__ = ("_numbers", "_texts")

    def __init__(self, values: Iterable[str]) -> None:
        number: dict[str, int] = {}
        self._numbers = numbers([number.setdefault(value, len(number)) for value in values])
        self._texts = Texts(number)

    def __getitem__(self, at: int) -> str:
        return self._texts[self._numbers[at]]


class Paths:
    """Paths with `/`, of which many have the folder in common."""

    __slots__ = ("_folders", "_names")

    def __init__(self, values: Sequence[str]) -> None:
        names = [value.rpartition("/")[2] for value in values]
        self._names = Texts(names)
        self._folders = Words(value[: len(value) - len(name)] for value, name in zip(values, names, strict=True))

    def __getitem__(self, at: int) -> str:
        return self._folders[at] + self._names[at]


class _Digests:
    __slots__ = ("_bytes",)

    def __init__(self, values: Sequence[str]) -> None:
        self._bytes = bytes.fromhex("".join(values))

    def __getitem__(self, at: int) -> str:
        start = at * _SHA256_BYTES
        return self._bytes[start : start + _SHA256_BYTES].hex()


def digests(values: Sequence[str]) -> Column[str]:
    """SHA-256 in small hexadecimal digits, in 32 bytes each; as texts where one is no such digest."""
    return _Digests(values) if all(map(_SHA256.fullmatch, values)) else Texts(values)


class Table(Generic[T]):
    """Dataclasses of one kind, a column a field.

    Args:
        kind: Of the rows.
        columns: By field, what makes a column of values.
        pieces: Values by field of some rows at a time, all but the last of as many rows; a field that is not there has
            its default.

    Raises:
        OverflowError: a whole number needs more than 64 bits.
    """

    def __init__(
        self,
        kind: Callable[..., T],
        columns: Mapping[str, Callable[[Any], Column[Any]]],
        pieces: Iterable[Mapping[str, Sequence[Any]]],
    ) -> None:
        self._kind = kind
        self._pieces: list[dict[str, Column[Any]]] = []
        sizes = [0]
        for piece in pieces:
            self._pieces.append({name: columns[name](values) for name, values in piece.items()})
            sizes.append(len(next(iter(piece.values()))))
        self._size = max(sizes)  # of a piece
        self.rows = Rows(self._row, range(sum(sizes)))

    def column(self, name: str) -> Rows[Any]:
        """The values of a field that each row states."""
        return Rows(lambda place: self._pieces[place // self._size][name][place % self._size], range(len(self.rows)))

    def _row(self, place: int) -> T:
        piece, at = divmod(place, self._size)
        return self._kind(**{name: column[at] for name, column in self._pieces[piece].items()})
