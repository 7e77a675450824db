"""CSV tables with named columns, written atomically and read strictly; their rows are dataclasses, or texts."""

import csv
import io
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import MISSING, Field, fields
from itertools import islice
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, get_args

from moclip.base.errors import StoreError
from moclip.base.files import write_text

T = TypeVar("T")
_FIRST_LINE = 2  # of a row, behind the header
_ROWS_AT_ONCE = 1024  # a row of a dozen cells takes a kilobyte as texts
_READERS: dict[Any, tuple[Callable[[str], Any], str]] = {
    str: (str, "text"),
    int: (int, "a whole number"),
    float: (float, "a number"),
    bool: (lambda text: {"true": True, "false": False}[text.lower()], "true or false"),
}


def columns_of(kind: type) -> list[str]:
    """The columns of a dataclass's fields: `name: Annotated[str, "class"]` stands in `class`, `n: int` in `n`."""
    return [getattr(field.type, "__metadata__", (field.name,))[0] for field in fields(kind)]


def plain_cell(value: object) -> str:
    """A value as Python writes it; None is an empty cell."""
    return "" if value is None else str(value)


def write_rows(path: Path, kind: type[T], rows: Iterable[T], cell: Callable[[Any], str] = plain_cell) -> None:
    """Write dataclasses of one kind, a column a field; `cell` says how a value is written.

    A field with a default has a column where a row has another value, see `read_rows`.
    """
    rows = list(rows)
    shown = [
        (column, field.name)
        for column, field in zip(columns_of(kind), fields(kind), strict=True)  # type: ignore[arg-type]
        if field.default is MISSING or any(getattr(row, field.name) != field.default for row in rows)
    ]
    cells = (tuple(cell(getattr(row, name)) for _, name in shown) for row in rows)
    write_csv(path, [column for column, _ in shown], cells)


def read_rows(path: Path, kind: type[T], *, may_be_empty: bool = False, exactly: bool = False) -> list[T]:
    """Read dataclasses with fields of str, int, float and bool, or of one of these `| None`, which an empty cell is.

    A field with a default need not have a column.

    Raises:
        StoreError: as `read_csv`, or a cell is not of its field's type; names line, column and value.
    """
    return [
        kind(**dict(zip(some, row, strict=True)))
        for some in read_columns(path, kind, may_be_empty=may_be_empty, exactly=exactly)
        for row in zip(*some.values(), strict=True)
    ]


def read_columns(
    path: Path, kind: type, *, may_be_empty: bool = False, exactly: bool = False
) -> Iterator[dict[str, list[Any]]]:
    """Read what `read_rows` reads as values by field, of some rows at a time, so that no more of them are in memory.

    A field with a default is left out where it has no column.

    Raises:
        StoreError: as `read_rows`, once the rows that it names are asked for.
    """
    of_field = dict(zip(columns_of(kind), fields(kind), strict=True))
    optional = [column for column, field in of_field.items() if field.default is not MISSING]
    found, rows = _open(path, columns_of(kind), may_be_empty=may_be_empty, exactly=exactly, optional=optional)
    line = _FIRST_LINE
    while some := list(islice(rows, _ROWS_AT_ONCE)):
        cells = dict(zip(found, zip(*some, strict=True), strict=True))
        read = [column for column in of_field if column in cells]
        yield {of_field[column].name: _values(path, column, of_field[column], cells[column], line) for column in read}
        line += len(some)


def _values(path: Path, column: str, field: Field[Any], cells: Sequence[str], first_line: int) -> list[Any]:
    kinds = get_args(field.type) or (field.type,)
    read, rule = _READERS[kinds[0]]
    values = []
    for line, cell in enumerate(cells, start=first_line):
        try:
            values.append(None if NoneType in kinds and not cell else read(cell))
        except (ValueError, KeyError) as error:
            raise StoreError(f"{path}, line {line}: column '{column}' must be {rule}, is {cell!r}") from error
    return values


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[tuple]) -> None:
    """Write rows under a header line, atomically, with Unix line ends."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def read_csv(
    path: Path,
    columns: Sequence[str],
    *,
    may_be_empty: bool = False,
    exactly: bool = False,
    optional: Collection[str] = (),
) -> list[dict[str, str]]:
    """Read the rows of a CSV file that has at least these columns, or exactly these in this order.

    The `optional` ones of them may be left out.

    Raises:
        StoreError: the file is missing or torn, lacks a column, or has no row and may not be empty.
    """
    found, rows = _open(path, columns, may_be_empty=may_be_empty, exactly=exactly, optional=optional)
    return [dict(zip(found, row, strict=True)) for row in rows]


def _open(
    path: Path, columns: Sequence[str], *, may_be_empty: bool, exactly: bool, optional: Collection[str]
) -> tuple[list[str], Iterator[list[str]]]:
    """The names of a table's columns, and its rows as they are asked for; raises as `read_csv`."""
    lines = _lines(path)
    found = next(lines)
    if exactly and found != [name for name in columns if name in found or name not in optional]:
        raise StoreError(f"{path}: columns must be {list(columns)}, are {found}")
    if absent := [name for name in columns if name not in found and name not in optional]:
        raise StoreError(f"{path}: lacks the column '{absent[0]}'")
    return found, _whole(path, found, lines, may_be_empty)


def _lines(path: Path) -> Iterator[list[str]]:
    """The cells of each line that has any; those of the first one, whatever it has."""
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            reader = csv.reader(handle, strict=True)
            yield next(reader, [])
            yield from filter(None, reader)
    except FileNotFoundError as error:
        raise StoreError(f"{path}: there is no such file") from error
    except (OSError, ValueError, csv.Error) as error:
        raise StoreError(f"{path}: cannot be read as CSV ({error})") from error


def _whole(path: Path, found: Sequence[str], lines: Iterator[list[str]], may_be_empty: bool) -> Iterator[list[str]]:
    """The rows, each with a cell for each column."""
    line = 1
    for line, row in enumerate(lines, start=_FIRST_LINE):
        if len(row) < len(found):
            raise StoreError(f"{path}, line {line}: no value for column '{found[len(row)]}'")
        if len(row) > len(found):
            raise StoreError(f"{path}, line {line}: {len(row)} values for {len(found)} columns")
        yield row
    if line < _FIRST_LINE and not may_be_empty:
        raise StoreError(f"{path}: has no rows")
