"""Words of strangers on their way to people: terminals, tables, pages; and what a name may not do."""

import csv
import io
import shutil
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

from benchmarks.attacks.bench import Bench
from benchmarks.attacks.table import NEW, Attack, Outcome, answered, refused, says

NAMES: dict[str, tuple[str, str]] = {
    "escape sequences": ("L2", "\x1b[2J\x1b]0;owned\x07x"),
    "a second line that looks like an error": ("L2", "x\nerror: fake"),
    "a return": (NEW, "x\rerror: fake"),
    "a turn of direction": (NEW, "x\u202egnp"),
    "an isolate": (NEW, "x\u2066y\u2069"),
    "a line separator": (NEW, "x\u2028error: fake"),
    "a zero-width space": (NEW, "pay\u200bpal"),
    "an 8-bit control": (NEW, "x\x9b31m"),
    "bytes that are no UTF-8": (NEW, "x\udcff\udc80"),
    "a dash first": ("tries", "-rf"),
    "a formula": ("L3", "=cmd|'/c calc'!A0"),
    "a formula by +": (NEW, "+1+cmd"),
    "a formula by @": (NEW, "@SUM(1)"),
    "a formula behind a blank": (NEW, " =1+1"),
    "a formula behind a tab": (NEW, "\t=1+1"),
    "a command of a shell": ("tries", "$(touch ran);`touch ran`"),
    "a name that Windows keeps": (NEW, "CON"),
    "HTML": ("L12", "<img src=x onerror=alert(1)>"),
}
MARKS = ("<img src=x onerror=alert(1)>", "<script>x</script>", "a|b", "`code`", "[x](javascript:x)", "&lt;", "a\nb")


def attacks() -> Iterator[Attack]:
    """All of them."""
    for tried, (number, name) in NAMES.items():
        must = "nothing raw at the terminal, no line of its own"
        yield Attack(number, f"a video's name: {tried}, by `moclip motion`", must, _motion(name))
        yield Attack(number, f"a file's name: {tried}, in an error", must, _error(name))
        yield Attack(number, f"a video's name: {tried}, by `moclip predict --csv`", "no formula", _table(name))
    yield Attack(NEW, "an option of escape sequences", "nothing raw at the terminal", _option)
    yield Attack(NEW, "a class that is a formula, in `moclip data --csv`", "no formula", _audit)
    for text in MARKS:
        yield Attack("L12", f"`{ascii(text)[1:-1]}` in a page", "stays text", _page(text))
    yield Attack("L12", "a video's name of HTML, on the page of `moclip report --errors`", "stays text", _errors)


def _film(bench: Bench, name: str) -> Path:
    """A video of that name; a slash in it is none."""
    return Path(shutil.copy(bench.film, bench.given / f"{name.replace('/', '_')}.avi"))


def _lines(done_text: str) -> list[str]:
    return [line for line in done_text.splitlines() if line.startswith("error: fake")]


def _motion(name: str) -> Callable[[Bench], Outcome]:
    def do(bench: Bench) -> Outcome:
        film = _film(bench, name)
        done = bench.moclip("motion", film.parent, "--out", bench.work / "out")
        return says(False, "a line of its own") if _lines(done.out + done.err) else answered(done)

    return do


def _error(name: str) -> Callable[[Bench], Outcome]:
    def do(bench: Bench) -> Outcome:
        path = bench.given / f"{name.replace('/', '_')}.avi"
        path.write_text("no video")
        done = bench.moclip("motion", "--out", bench.work / "out", "--", path)
        return says(False, "a line of its own") if _lines(done.out + done.err) else refused(done, "video")

    return do


def _table(name: str) -> Callable[[Bench], Outcome]:
    def do(bench: Bench) -> Outcome:
        film = _film(bench, name)
        words = ("--csv", "--head", "motion_only", "--model", bench.good)
        done = bench.moclip("predict", *words, "--", film)
        rows = list(csv.reader(io.StringIO(done.out)))
        formulas = [cell for row in rows for cell in row[:4] if cell.lstrip().startswith(("=", "+", "-", "@"))]
        if formulas or _lines(done.out):
            return says(False, f"a formula or a line of its own: {formulas[:1]}")
        return answered(done)

    return do


def _option(bench: Bench) -> Outcome:
    done = bench.moclip("motion", "--\x1b[31mred\x07")
    faults = [*done.crossed, *([f"status {done.status}"] if done.status != 2 else [])]
    return says(not faults, "; ".join(faults) or f"refused: {done.told}")


def _audit(bench: Bench) -> Outcome:
    import pandas as pd

    from moclip.data.audit import Audit

    table = pd.DataFrame([{"split": 1, "part": "train", "class_name": "=cmd|calc", "videos": 1}])
    rows = list(csv.reader(io.StringIO(Audit(table, table, table, []).as_csv())))
    return says(rows[1][2] == "'=cmd|calc", f"written as {rows[1][2]}")


class _Tags(HTMLParser):
    """Names of the tags of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: object) -> None:
        """Note one."""
        self.found.append(tag)


def _page(text: str) -> Callable[[Bench], Outcome]:
    def do(bench: Bench) -> Outcome:
        from moclip.base.markdown import cell, code, literal

        for form in (cell, code, literal):
            told = form(text)
            plain = told.replace("\\<", "&lt;") if form is not code else ""
            if _Tags(plain).found or "\n" in told or "|" in told.replace("\\|", ""):
                return says(False, f"{form.__name__} leaves {told!r}")
        return says(True, "escaped in cells, code and plain text")

    return do


def _errors(_: Bench) -> Outcome:
    import numpy as np

    from moclip.report.contact_sheet import Tile
    from moclip.report.reader.mistakes import Case, page
    from tests.motion.test_draw import uniform

    evil = MARKS[0]
    case = Case(evil, evil, "both", {"fusion": [(evil, 0.7)], "clip_probe": [(evil, 0.7)]})
    tile = Tile("", np.full((30, 40, 3), 90, np.uint8), uniform(4.0, 0), cell_px=16, width_px=40, height_px=30)
    titles = {"fusion": "fusion", "clip_probe": "CLIP probe"}
    text = page([case], {evil: tile}, titles, "fusion", "clip_probe", evil)
    held = "onerror=alert(1)>" not in text
    return says(held, "escaped in the page" if held else "it is markup in the page")
