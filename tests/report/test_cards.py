"""Model card and data card: what they say of demo data, of a part, of UCF101, and what they must not leave out."""

import re
import tomllib
from typing import Any

import pytest
from ruamel.yaml import YAML

from moclip.base.markdown import NO_VALUE
from moclip.data.manifest import Video
from moclip.report.cards import data_card, model_card
from moclip.report.verdict import judge
from tests.report.test_page import ACCOUNTING as OF_PAGE
from tests.report.test_page import PAPERS
from tests.results.test_summary import results, summary_of
from tests.support.imports import ROOT

WARNING = "encoder and class go together: Cramer's V 0.90 over 36 groups, by chance hardly over 0.30; 9 of 12"
PAPER_COSTS = OF_PAGE["papers"]
SECTIONS = ["Model details", "Intended use", "Training data", "Evaluation", "Limits", "Not tested"]


def params(**data: Any) -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")
    return {**found, "data": {**found["data"], **data}}


def audit(*warnings: str) -> dict[str, Any]:
    parts = [
        {
            "split": k,
            "part": part,
            "videos": n,
            "groups": n // 4,
            "frames_min": 10,
            "frames_median": 20.0,
            "frames_max": 30,
        }
        for k in (1, 2, 3)
        for part, n in (("test", 60), ("train", 100 + k), ("val", 12))
    ]
    found = [{"trait": "encoder", "cramers_v": 0.9, "shuffled_v": 0.3, "single": 9, "classes": 12, "groups": 36}]
    return {"parts": parts, "associations": found if warnings else [], "warnings": list(warnings)}


def dataset(source: str = "demo", complete: bool = True, **chosen: Any) -> dict[str, Any]:
    name = source if complete else f"{source} (part)"
    base = {"classes": None, "clips_per_class": None, "subset": "full"}
    return {
        **{"name": name, "source": source, "complete": complete, "classes": 3, "videos": 8, "groups": 4},
        "chosen": {**base, **chosen},
    }


ACCOUNTING = {
    "run": {
        "clip": {"model": "demo", "parameters": 123456, "frame_gmac": 0.5},
        "heads": {
            "fusion": {"trainable_parameters": 969829, "trained_in_all": 5000000, "gmac_per_video": 4.5},
            "zero_shot": {"trainable_parameters": 0, "trained_in_all": 0, "gmac_per_video": 4.4},
        },
    }
}


def card(source: str = "demo", complete: bool = True, found: dict[str, Any] | None = None) -> str:
    of = dataset(source, complete)
    summary = summary_of(results("zero_shot", "clip_probe", "fusion"), of["name"], complete)
    trials = judge(PAPERS, summary, params(source=source), PAPER_COSTS)
    return model_card(summary, params(source=source), ACCOUNTING, found or audit(), of, trials)


def videos() -> list[Video]:
    return [
        Video(f"v{k}", "ab"[k % 2], f"g{k // 2}", f"v{k}.avi", 2**20, "0" * 64, "mpeg4", 25.0, 320, 240, 100)
        for k in range(8)
    ]


def test_model_card_has_the_sections_of_the_field_and_every_figure_with_its_count():
    page = card()
    assert re.findall(r"^## (.+)$", page, re.MULTILINE) == SECTIONS
    summary = summary_of(results("zero_shot", "clip_probe", "fusion"))
    fusion = summary["heads"]["fusion"]
    row = next(line for line in page.splitlines() if line.startswith("| fusion |") and "180" in line)
    assert f"| {fusion['top1_pct']['mean']:.1f} |" in row
    assert f"{fusion['top1_interval_pct']['mean']['low']:.1f}" in row
    assert "| fusion | 969,829 | 5,000,000 | 4.5 G |" in page
    assert "123,456 parameters" in page
    assert "| CLIP probe |" + 3 * f" {NO_VALUE} |" in page, "what was not counted is not made up"
    assert "| 2 | 102 (25) | 12 (3) |" in page


def test_generated_videos_are_called_so_first():
    for page in (card(), data_card(dataset(), params(), audit(), videos())):
        assert re.search(r"[Gg]enerated", page)
    assert "nothing about\n  films of people" in card()
    own = re.sub(r"(?ms)^### Claims of papers$.*?^## ", "## ", card())
    assert "UCF101" not in own.replace("all official test videos of UCF101", "")


def test_model_card_says_whose_motion_network_saw_the_test_videos():
    given = {**params(), "motion_pretrain": {"method": "mae", "videos": "all"}}
    summary = summary_of(results("zero_shot", "clip_probe", "fusion"))
    trials = judge(PAPERS, summary, given, PAPER_COSTS)
    page = model_card(summary, given, ACCOUNTING, audit(), dataset(), trials)
    assert "**Transductive**: before their training, the motion networks of fusion saw the held-out videos too" in page
    assert "Transductive" not in card()


def test_every_claim_of_every_paper_has_its_verdict():
    page = card()
    claims = page[page.index("### Claims of papers") : page.index("## Limits")]
    rows = [line for line in claims.splitlines() if line.startswith("| ")][2:]
    assert len(rows) == sum(len(paper.claims) for paper in PAPERS.values())
    assert sum("| *not run*: " in row or "| *not comparable*: " in row for row in rows) > 5
    assert "| EVL | Cost of one video | 444 GFLOPs | 444.0 G (8 frames, 3 views) | *reproduced*: 0.0 % less |" in rows


def test_encoder_that_goes_with_the_class_is_a_limit():
    assert f"- **Class and encoder**: {WARNING}." in card(found=audit(WARNING))
    assert "**Class and encoder**" not in card()
    page = data_card(dataset(), params(), audit(WARNING), videos())
    assert "| encoder | 0.90 | 0.30 | 9 of 12 |" in page
    assert f"**Warning**: {WARNING}." in page


def test_heads_that_were_left_out_and_the_papers_claims_are_not_tested():
    page = card("folder")
    untested = page[page.index("## Not tested") :]
    assert "motion alone" in untested
    assert "The paper's accuracies" in untested


@pytest.mark.parametrize("source", ["demo", "ucf101", "hmdb51", "folder"])
@pytest.mark.parametrize("complete", [True, False])
def test_data_card_counts_what_is_there_and_says_what_was_chosen(source, complete):
    page = data_card(dataset(source, complete, clips_per_class=4), params(source=source), audit(), videos())
    assert "8 videos of 3 classes (4 a class) from 4 groups; 0.5 minutes, 800 frames, 8.0 MiB." in page
    assert "| clips of each class | at most 4 |" in page
    assert f"| source | `{source}` |" in page
    assert "| complete | yes |" in page if complete else "| complete | no: results are a part's |" in page
    assert "| size in pixels | 320 x 240 (8) |" in page
    assert "| 3 | train | 103 | 25 | 20 (10 to 30) |" in page
    assert "Licence" in page


def test_tables_stay_tables():
    """Each row of a table has as many cells as its header."""
    for page in (card(), card(found=audit(WARNING)), data_card(dataset("folder"), params(), audit(WARNING), videos())):
        for block in re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE):
            assert len({line.count("|") for line in block.splitlines()}) == 1, block
        assert "\n\n\n" not in page


def test_licence_is_the_projects():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"the code is {project['license']}" in card()
