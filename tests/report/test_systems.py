"""The page of all systems says what the report says of them, and nothing else of it."""

from pathlib import Path

import pytest

from moclip.cli.main import main
from moclip.report.papers import read_papers
from moclip.report.reader.systems import MOMENTS, TABLE, systems_page
from tests.support.imports import ROOT

REPORT = ROOT / "reports/report.md"


def test_every_system_of_the_report_is_on_the_page(tmp_path: Path) -> None:
    out = tmp_path / "systems.md"
    assert main(["report", str(REPORT), "--systems", str(out)]) == 0
    page, report = out.read_text(), REPORT.read_text()
    rows = [line for line in report.splitlines() if line.startswith("| ") and ", arXiv " in line and "`" in line]
    assert len(rows) == len(read_papers(ROOT / "papers"))
    assert all(row in page for row in rows)
    assert "## Accuracy" not in page
    assert "](figures/" not in page, "its pictures lie beside the report alone"


def test_moments_are_there_where_videos_were_searched(tmp_path: Path) -> None:
    report = tmp_path / "report.md"
    table = f"# A paper on drawings\n\nwords\n\n## {TABLE}\n\n| a |\n\n### Beside\n\n## Accuracy\n\n| b |\n"
    report.write_text(table)
    page = systems_page(report)
    assert page.startswith(f"# {TABLE}: drawings\n")
    assert "### Beside" in page
    assert "| b |" not in page
    assert MOMENTS not in page
    report.write_text(f"{table}\n## {MOMENTS}\n\n| c |\n\n## Cost\n")
    assert systems_page(report).endswith(f"## {MOMENTS}\n\n| c |\n")


def test_a_report_without_the_table_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (report := tmp_path / "report.md").write_text("# A paper on drawings\n\n## Accuracy\n")
    assert main(["report", str(report), "--systems", str(tmp_path / "s.md")]) == 1
    assert "`dvc repro report`" in capsys.readouterr().err
    assert not (tmp_path / "s.md").exists()
