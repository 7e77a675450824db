import re
from pathlib import Path

import pytest

from moclip.base.errors import DataError
from moclip.data.lists import read_class_index, read_flags, read_list

CLASSES = ["HandstandPushups", "YoYo"]


def text_file(folder: Path, text: str) -> Path:
    path = folder / "list.txt"
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lists_with_unix_and_with_windows_line_ends(tmp_path, end):
    index = read_class_index(text_file(tmp_path, f"1 HandstandPushups{end}2 YoYo{end}"))
    assert index == CLASSES
    # UCF101 itself spells this class in two ways: folder and file differ.
    lines = ["HandstandPushups/v_HandStandPushups_g01_c02.avi 1", "YoYo/v_YoYo_g03_c01.avi 2", ""]
    assert read_list(text_file(tmp_path, end.join(lines)), index) == {
        "v_HandStandPushups_g01_c02": "HandstandPushups",
        "v_YoYo_g03_c01": "YoYo",
    }


def test_test_list_has_no_numbers(tmp_path):
    assert read_list(text_file(tmp_path, "YoYo/v_YoYo_g03_c01.avi\n"), CLASSES) == {"v_YoYo_g03_c01": "YoYo"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 A\n3 B\n", r"line 2 must read '2 ClassName', is '3 B'"),
        ("2 A\n", r"line 1 must read '1 ClassName', is '2 A'"),
        ("A\n", r"line 1 must read '1 ClassName', is 'A'"),
        ("1 A\n2 A\n", "each once"),
        ("\n", "at least one class"),
    ],
)
def test_class_index_refusals(tmp_path, text, message):
    with pytest.raises(DataError, match=rf"list\.txt: .*{message}"):
        read_class_index(text_file(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Yoga/v_Yoga_g01_c01.avi 1", r"class Yoga of v_Yoga_g01_c01\.avi is not in the class index"),
        ("YoYo/v_YoYo_g01_c01.avi 1", r"v_YoYo_g01_c01\.avi has number 1, but the class index gives YoYo the number 2"),
        ("YoYo/a.avi 2\nYoYo/b.avi 2\nYoYo/a.avi 2", "a is listed twice"),
        ("YoYo/a.txt 2", r"'YoYo/a\.txt 2' is not of the form .*line 1"),
        ("a.avi", ".*is not of the form"),
        ("YoYo/a.avi two", ".*is not of the form"),
        ("YoYo/../a.avi", ".*is not of the form"),
    ],
)
def test_list_refusals(tmp_path, text, message):
    with pytest.raises(DataError, match=rf"list\.txt: {message}"):
        read_list(text_file(tmp_path, text), CLASSES)


@pytest.mark.parametrize("read", [read_class_index, lambda path: read_list(path, CLASSES)])
def test_list_that_is_absent_or_no_text(tmp_path, read):
    with pytest.raises(DataError, match=r"none\.txt: cannot be read as a list"):
        read(tmp_path / "none.txt")
    (tmp_path / "list.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"list\.txt: cannot be read as a list"):
        read(tmp_path / "list.txt")


def test_flags_of_an_hmdb51_list(tmp_path):
    path = tmp_path / "kick_test_split1.txt"
    path.write_bytes(b"#20_Rhythm_(x)_kick_u_0.avi 1 \r\nb_kick_1.avi 2\r\nc_kick_0.avi 0\r\n\r\n")
    assert read_flags(path) == {"#20_Rhythm_(x)_kick_u_0": 1, "b_kick_1": 2, "c_kick_0": 0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.avi 3\n", "'a.avi 3' is not of the form file.avi 0|1|2"),
        ("a.avi\n", "is not of the form"),
        ("kick/a.avi 1\n", "is not of the form"),
        ("a.avi 1\na.avi 2\n", "a is listed twice"),
    ],
)
def test_flags_that_break_a_rule(tmp_path, text, message):
    (tmp_path / "l.txt").write_text(text)
    with pytest.raises(DataError, match=re.escape(message)):
        read_flags(tmp_path / "l.txt")


@pytest.mark.parametrize("name", ["..", ".", ".git", "-rf", "a\x1b[31m", "a\x07b", "a\u202eb", "..x"])
def test_names_that_would_lead_out_or_hide_are_refused(tmp_path, name):
    for text, read in (
        (f"1 {name}\n", read_class_index),
        (f"{name}/v_X.avi 1\n", lambda path: read_list(path, [name])),
        (f"YoYo/{name}.avi 1\n", lambda path: read_list(path, ["YoYo"])),
        (f"{name}.avi 1\n", read_flags),
    ):
        with pytest.raises(DataError, match=r"begins with a dot or a dash|does not print|must read|not of the form"):
            read(text_file(tmp_path, text))
