"""What does not print is spelled, at each exit: standard output, messages, tables and pages."""

import csv
import io
import subprocess
import sys

import pytest

from moclip.base import markdown
from moclip.base.outside.terminal import message, name, printable, say, table_cell
from tests.support.imports import ROOT

EVIL = "a\x1b]0;title\x07\x1b[2J\x9b31m\u202etxt\x7f\udce9"


def test_nothing_that_moves_a_terminal_is_left() -> None:
    told = printable(f"{EVIL}\nsecond")
    assert told.replace("\n", "").isprintable()
    assert told.endswith("\\xe9\nsecond")
    assert printable(told) == told, "what was escaped once stays as it is"
    assert name("a\nerror: fake") == "a\\nerror: fake"
    assert name("a\u2028error: fake\u2029") == "a\\u2028error: fake\\u2029"


@pytest.mark.parametrize("text", ["跳 高", "می‌خواهم", "👩‍🚀", "caf\u00e9", "a\u00a0b", "█▌ 50 %"])
def test_any_script_is_shown_as_it_is(text: str) -> None:
    assert printable(text) == text


def test_no_line_of_a_message_passes_for_another(capsys: pytest.CaptureFixture[str]) -> None:
    say(message("error: v\nerror: fake"))
    assert capsys.readouterr().out == "error: v\n  error: fake\n"


@pytest.mark.parametrize("raised", ["DataError", "ValueError"])
def test_command_ends_without_raw_control_characters(raised: str) -> None:
    program = (
        "from moclip.base import console; from moclip.base.errors import DataError; import logging\n"
        "console.set_up_logging('stages: %(message)s')\n"
        f"def work():\n    logging.getLogger('moclip.x').warning({EVIL!r})\n    raise {raised}({EVIL!r})\n"
        "console.run(work, more='--verbose')"
    )
    for env in ({}, {"MOCLIP_VERBOSE": "1"}):
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=False, env={"PATH": "/usr/bin", **env}
        )
        text = done.stderr.decode()
        assert text.count("title") >= 2
        assert text.replace("\n", "").isprintable(), text


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", " =1", "=cmd|' /C calc'!A0"])
def test_no_text_of_a_table_is_a_formula(cell: str) -> None:
    written = io.StringIO()
    csv.writer(written).writerow([table_cell(cell), table_cell(-1.5), table_cell("a\nb")])
    (row,) = csv.reader(io.StringIO(written.getvalue()))
    assert row[0].startswith("'")
    assert row[1:] == ["-1.5", "a\\nb"]


@pytest.mark.parametrize("text", ["<img src=x onerror=alert(1)>", "a|b", "a`b``c", "`", "&lt;", "x\n# y", EVIL])
def test_pages_show_what_is_written(text: str) -> None:
    for made in (markdown.cell(text), markdown.literal(text)):
        assert "<" not in made.replace("\\<", "").replace("&lt;", "")
        assert "\n" not in made
        assert "|" not in made.replace("\\|", "")
    code = markdown.code(text)
    fence = code[: len(code) - len(code.lstrip("`"))]
    assert code.endswith(fence)
    assert fence not in code.strip("`").replace("\\|", "|").split() or text == "`"
    assert "\n" not in code
