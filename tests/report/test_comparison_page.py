"""Both forms of a comparison: for a terminal, and as a page."""

from dataclasses import replace

from moclip.report.comparison_page import as_markdown, as_text
from moclip.results.comparison import COLUMNS, compare
from tests.results.test_comparison import posing, variant
from tests.results.test_summary import LEVEL


def test_pages_show_every_row_and_note():
    every = variant("a", "fusion", "zero_shot", **{"fusion.hidden": "64"})
    base, new = posing(every, "fusion", "zero_shot", "base"), posing(every, "fusion", "fusion", "new|1")
    new = replace(new, params={"fusion.hidden": "128"})
    found = compare(base, [new], LEVEL, notes=["late: queued, has no result yet"])
    text, page = as_text(found), as_markdown(found)
    for shown in ("late: queued", "fusion.hidden", "64", "128"):
        assert shown in text
        assert shown in page
    difference = f"{found.rows[1].difference:+.1f}"
    line = next(line for line in text.splitlines() if "new|1" in line and difference in line)
    assert line.endswith("  different")
    (row,) = [line for line in page.splitlines() if difference in line]
    assert row.startswith("| fusion | new\\|1 | 1, 2 | 120 |")
    assert row.endswith("| different |")
    assert "| `fusion.hidden` | `64` | `128` |" in page
    assert len(found.rows[1].values()) == len(COLUMNS)
