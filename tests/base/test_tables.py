"""moclip.base.tables: dataclasses come back as they were, and a foreign cell is refused by its place."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moclip.base.errors import StoreError
from moclip.base.tables import read_csv, read_rows, write_rows


@dataclass(frozen=True)
class Row:
    class_name: Annotated[str, "class"]
    count: int
    share: float
    known: bool
    gain: float | None


numbers = st.floats(allow_nan=False)
rows = st.lists(
    st.builds(
        Row,
        st.text(st.characters(codec="utf-8", exclude_categories=["Cc"])),
        st.integers(),
        numbers,
        st.booleans(),
        st.none() | numbers,
    )
)


@given(rows)
def test_dataclasses_come_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, rows: list[Row]) -> None:
    path = tmp_path_factory.mktemp("tables") / "t.csv"
    write_rows(path, Row, rows)
    assert read_rows(path, Row, may_be_empty=True, exactly=True) == rows
    assert path.read_text(encoding="utf-8").startswith("class,count,share,known,gain\n")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("Run,1.5,1,True,", "column 'count' must be a whole number, is '1.5'"),
        ("Run,1,,True,", "column 'share' must be a number, is ''"),
        ("Run,1,1,yes,", "column 'known' must be true or false, is 'yes'"),
        ("Run,1,1,true,much", "column 'gain' must be a number, is 'much'"),
    ],
)
def test_a_foreign_cell_is_refused_by_line_and_column(tmp_path: Path, row: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(f"class,count,share,known,gain\nRun,1,1,True,\n{row}\n")
    with pytest.raises(StoreError) as refusal:
        read_rows(tmp_path / "t.csv", Row)
    assert str(refusal.value) == f"{tmp_path / 't.csv'}, line 3: {message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,group\n", "has no rows"),
        ("id\nv_1\n", "lacks the column 'group'"),
        ("id,group\nv_1,g\nv_2\n", "line 3: no value for column 'group'"),
        ("id,group\nv_1,g\nv_2,g,h\n", "line 3: 3 values for 2 columns"),
        ('id,group\n"v_1,g\n', "cannot be read as CSV"),
    ],
)
def test_a_torn_table_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(StoreError, match=message):
        read_csv(tmp_path / "t.csv", ("id", "group"))


def test_a_table_may_be_empty_where_that_is_said_but_needs_its_header(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,group\n")
    assert read_csv(tmp_path / "t.csv", ("id", "group"), may_be_empty=True) == []
    (tmp_path / "t.csv").write_text("")
    with pytest.raises(StoreError, match="lacks the column 'id'"):
        read_csv(tmp_path / "t.csv", ("id",), may_be_empty=True)


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"absent\.csv: there is no such file"):
        read_csv(tmp_path / "absent.csv", ("id",))
