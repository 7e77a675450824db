"""Names that people choose, as figures and pages show them."""

import numpy as np
import pytest

from moclip.base.lettering import LONGEST, drawable, font_file
from moclip.base.markdown import literal
from moclip.report.contact_sheet import Tile, draw_sheet
from moclip.report.figures import confusion_chart


@pytest.mark.parametrize(
    ("name", "drawn"),
    [
        ("a$b_{$", "a$b_{$"),
        ("Größe", "Größe"),
        ("Ходьба", "Ходьба"),
        ("跑步", "U+8DD1 U+6B65"),
        ("جري", "U+062C U+0631 U+064A"),
        ("🏃run", "U+1F3C3 run"),
        ("a\tb", "a U+0009 b"),
    ],
)
def test_a_name_is_drawn_or_spelled_and_never_a_box(name: str, drawn: str) -> None:
    assert drawable(name) == drawn
    assert font_file().is_file()


def test_a_long_name_is_cut_where_one_sees_it() -> None:
    assert drawable("跑" * 20).endswith("…")
    assert len(drawable("跑" * 20)) == LONGEST


def test_markup_in_a_name_stays_text() -> None:
    assert literal("pick_up _a_ $x$ *b* |c| <i> &d;") == r"pick_up \_a\_ \$x\$ \*b\* \|c\| \<i\> \&d;"


def test_figures_take_names_of_any_script(tmp_path) -> None:
    names = ["a$b_{$", "跑步", "<&>", "_x"]
    confusion_chart(tmp_path / "c.svg", np.eye(4, dtype=int) + 1, names, names)
    assert (tmp_path / "c.svg").stat().st_size > 1000
    frame, field = np.zeros((48, 64, 3), np.uint8), np.zeros((2, 6, 8), np.float32)
    sheets = [np.asarray(draw_sheet([Tile(name, frame, field, 8, 64, 48)])) for name in ("跑步", "跑跑", "跑步" * 9)]
    assert (sheets[0] != sheets[1]).any(), "a box for each letter would be alike"
    assert sheets[2].shape == sheets[0].shape
