"""The report as one file, in a real browser too: all inside, nothing fetched, nothing overwritten."""

import re
import shutil
from pathlib import Path

import pytest

from moclip.base.errors import StoreError
from moclip.cli.main import main
from moclip.report.reader.onefile import one_file
from tests.support.imports import ROOT

REPORT = ROOT / "reports/report.md"


def test_recorded_report_becomes_one_file_with_its_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "report.html"
    assert main(["report", str(REPORT), "--html", str(out)]) == 0
    text = out.read_text()
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]*)\)", REPORT.read_text())
    assert len(pictures) >= 4
    assert text.count('src="data:image/') == len(pictures)
    assert not re.findall(r'(?:src|href)="(?!data:|#|https://)', text)
    assert 'id="data_card.md"' in text
    assert "written: " in capsys.readouterr().out
    assert main(["report", str(REPORT), "--html", str(out)]) == 0, "its own file is replaced"
    out.write_text(text + "my own words")
    assert main(["report", str(REPORT), "--html", str(out)]) == 1
    assert out.read_text().endswith("my own words")


def test_links_lead_to_pages_inside_and_others_become_words(tmp_path: Path) -> None:
    (tmp_path / "report.md").write_text("# A & B\n\n[card](model_card.md) [cost](cost.md) [web](https://a.example/x)\n")
    (tmp_path / "model_card.md").write_text("# Card\n\n| a |\n| --- |\n| b<br>c |\n")
    text = one_file([tmp_path / "report.md", tmp_path / "model_card.md"])
    assert "<title>A &amp; B</title>" in text
    assert '<a href="#model_card.md">card</a> cost <a href="https://a.example/x">web</a>' in text
    assert "<td>b<br>c</td>" in text


def test_picture_that_is_missing_or_none_is_named(tmp_path: Path) -> None:
    page = tmp_path / "report.md"
    for picture, said in (("a.svg", "a.svg: cannot be read"), ("secret.txt", "secret.txt: no picture of a report")):
        page.write_text(f"# R\n\n![x]({picture})\n")
        with pytest.raises(StoreError, match=said):
            one_file([page])
    with pytest.raises(StoreError, match=r"absent\.md: cannot be read"):
        one_file([tmp_path / "absent.md"])


def test_report_without_an_option_says_how_it_opens(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    page = tmp_path / "report.md"
    page.write_text("# Paper on videos\n\n**The claim.** It *works*.\n\n## Verdict\n\nmore\n")
    assert main(["report", str(page)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Paper on videos\n\nThe claim. It works.\n")
    assert "more" not in printed


@pytest.mark.parametrize(
    "words", [[], ["--html", "r.html"], ["--systems", "s.md"], ["--errors", "e.html"], ["--fiftyone", "f"]], ids="".join
)
def test_elsewhere_than_in_a_repository_it_leads_to_one(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["report", *words]) == 1
    assert "go to the top of the repository of moclip" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_browser_shows_pictures_and_runs_nothing(tmp_path: Path) -> None:
    if not shutil.which("chromium") or not shutil.which("chromedriver"):
        pytest.skip("needs chromium and chromedriver (Debian: chromium, chromium-driver), which are not installed")
    pytest.importorskip("selenium")
    from tools import pictures

    shutil.copytree(ROOT / "reports/figures", tmp_path / "figures")
    page = tmp_path / "report.md"
    chart = "figures/accuracy.svg"
    page.write_text(
        f"# R\n\n![x]({chart})\n\n<script>document.title = 'ran'</script>\n\n"
        "<details><summary>s</summary>\n\nin\n\n</details>\n"
    )
    (tmp_path / "r.html").write_text(one_file([page]))
    with pictures.browser() as driver:
        driver.get((tmp_path / "r.html").as_uri())
        assert driver.title == "R"
        assert driver.execute_script("return document.images[0].naturalWidth") > 100
        assert driver.find_element("css selector", "details").text == "s"
