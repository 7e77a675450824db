"""CSV tables with named columns, written atomically and read strictly."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from moclip.errors import StoreError
from moclip.files import write_text


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[tuple]) -> None:
    """Write rows under a header line, atomically, with Unix line ends."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def read_csv(path: Path, columns: Sequence[str], *, may_be_empty: bool = False) -> list[dict[str, str]]:
    """Read the rows of a CSV file that has at least these columns.

    Raises:
        StoreError: the file is missing or torn, lacks a column, or has no row and may not be empty.
    """
    try:
        reader = csv.DictReader(path.read_text(encoding="utf-8").splitlines(), strict=True)
        rows = list(reader)
    except (OSError, ValueError, csv.Error) as error:
        raise StoreError(f"{path}: cannot be read as CSV ({error})") from error
    if absent := [name for name in columns if name not in (reader.fieldnames or ())]:
        raise StoreError(f"{path}: lacks the column '{absent[0]}'")
    if not rows and not may_be_empty:
        raise StoreError(f"{path}: has no rows")
    for number, row in enumerate(rows, start=2):
        # DictReader fills a short row with None and files a long one's surplus under the key None.
        if absent := [name for name in columns if row.get(name) is None]:
            raise StoreError(f"{path}, line {number}: no value for column '{absent[0]}'")
    return rows
