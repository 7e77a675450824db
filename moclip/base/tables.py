"""CSV tables with named columns, written atomically and read strictly."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from moclip.base.errors import StoreError
from moclip.base.files import write_text


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[tuple]) -> None:
    """Write rows under a header line, atomically, with Unix line ends."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def read_csv(
    path: Path, columns: Sequence[str], *, may_be_empty: bool = False, exactly: bool = False
) -> list[dict[str, str]]:
    """Read the rows of a CSV file that has at least these columns, or exactly these in this order.

    Raises:
        StoreError: the file is missing or torn, lacks a column, or has no row and may not be empty.
    """
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            reader = csv.DictReader(handle, strict=True)
            rows, found = list(reader), list(reader.fieldnames or ())
    except (OSError, ValueError, csv.Error) as error:
        raise StoreError(f"{path}: cannot be read as CSV ({error})") from error
    if exactly and found != list(columns):
        raise StoreError(f"{path}: columns must be {list(columns)}, are {found}")
    if absent := [name for name in columns if name not in found]:
        raise StoreError(f"{path}: lacks the column '{absent[0]}'")
    if not rows and not may_be_empty:
        raise StoreError(f"{path}: has no rows")
    for number, row in enumerate(rows, start=2):
        # DictReader fills a short row with None and files a long one's surplus under the key None.
        if absent := [name for name in columns if row.get(name) is None]:
            raise StoreError(f"{path}, line {number}: no value for column '{absent[0]}'")
    return rows
