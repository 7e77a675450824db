"""Papers on file: they follow the schema, and a file that does not is refused by name and key."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from moclip.base.errors import PaperError
from moclip.data.ucf101 import UCF101_TEST_VIDEOS
from moclip.params.flat import leaves
from moclip.report.papers import Count, FeatureFusion, Measured, read_papers
from tests.support.imports import ROOT

PAPERS = read_papers(ROOT / "papers")
TOY = """
title: Toy
arxiv: null
code: null
dataset: demo
mechanism: It adds motion.
switch: {heads: [fusion]}
left_out: []
settings: {fusion.select: val}
claims:
  - statement: Motion adds something
    about: difference
    head: fusion
    minus: clip_probe
    above: 0.0
    unit: points
    where: here
    protocol: none
    needs: [fusion.select]
"""


def test_the_papers_on_file_begin_with_the_main_one() -> None:
    names = ["moclip_lite", "evl", "free_video_llm", "mobile_videogpt", "multi", "oneclip_rag", "open_vclip"]
    names.append("tinyllava_video")
    assert list(PAPERS) == names
    assert PAPERS["moclip_lite"].named == "MoCLIP-Lite, arXiv 2509.17084"
    assert [name for name, paper in PAPERS.items() if paper.code is None] == ["multi"]


@pytest.mark.parametrize("name", PAPERS)
def test_every_setting_that_is_a_parameter_here_is_one_of_params_yaml(name: str) -> None:
    known = dict(leaves(YAML(typ="safe", pure=True).load(ROOT / "params.yaml")))
    later = {head for claim in PAPERS[name].claims for head in claim.heads}
    assert all(key in known or key.split(".")[0] in later for key in PAPERS[name].settings)


def test_what_the_main_papers_costs_share_with_its_settings_is_equal() -> None:
    paper = PAPERS["moclip_lite"]
    assert isinstance(paper.costs, FeatureFusion)
    shared = {"clip": "clip.model", "arch": "motion_net.arch", "input_px": "motion_net.input_px"}
    for field, key in (shared | {"hidden": "fusion.hidden"}).items():
        assert getattr(paper.costs, field) == paper.settings[key]


@pytest.mark.parametrize(("split", "count"), UCF101_TEST_VIDEOS.items())
def test_counts_are_those_of_the_official_test_lists(split: int, count: int) -> None:
    path = ROOT.parent / f"shared/data/ucf101/ucfTrainTestlist/testlist0{split}.txt"
    if not path.is_file():
        pytest.skip("the official lists are not at hand (../shared/data/ucf101)")
    assert len(path.read_text().split()) == count


def test_the_parameter_claim_is_that_of_its_protocol() -> None:
    (claim,) = [
        claim for claim in PAPERS["moclip_lite"].claims if isinstance(claim, Count) and claim.about == "parameters"
    ]
    inputs, hidden, classes = map(int, claim.protocol.split(";")[0].split("-"))
    count = inputs * hidden + hidden + hidden * classes + classes
    assert round(count / 1e6, 2) == claim.value


def test_a_claim_is_shown_as_it_is_made() -> None:
    shown = {claim.claimed for paper in PAPERS.values() for claim in paper.claims}
    minus = "\N{MINUS SIGN}"
    assert shown == {
        *("65.0 %", "66.5 %", "89.2 %", "0.97 M", "16.9 GFLOPs"),
        *("82.8 %", "33.18 M", "444 GFLOPs", "above 0 points", f"above {minus}1 points"),
        *("83.4 %", "94.8 %", "77.5 %", "85.3 %"),
        *("62.9 %", "72.3 %", "64.9 %"),
    }


def test_the_example_of_the_readme_is_a_paper(tmp_path: Path) -> None:
    text = (ROOT / "papers/README.md").read_text()
    assert read(tmp_path, mine=text.split("```yaml\n")[1].split("```")[0])["mine"].named == "Mine"


def read(directory: Path, **texts: str) -> dict[str, Any]:
    for name, text in texts.items():
        (directory / f"{name}.yaml").write_text(text)
    return dict(read_papers(directory))


def test_one_file_is_a_paper(tmp_path: Path) -> None:
    paper = read(tmp_path, toy=TOY)["toy"]
    assert (paper.named, paper.dataset, paper.split) == ("Toy", "demo", None)
    (claim,) = paper.claims
    assert isinstance(claim, Measured)
    assert (claim.heads, claim.needs) == (("fusion", "clip_probe"), ["fusion.select"])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("    above: 0.0", "    abov: 0.0", "key 'claims.0.abov': no such key; check its spelling"),
        ("title: Toy", "titel: Toy", "key 'title': required, but missing"),
        ("    unit: points", "    unit: M", "key 'claims.0.unit': Input should be 'points'"),
        ("    above: 0.0", "    above: 0.0\n    below: 1.0", "key 'claims.0': .*one of value, above and below"),
        ("about: difference", "about: opinion", "key 'claims.0': .*'opinion'"),
        ("{fusion.select: val}", "{fusion.selct: val}", "key 'settings.fusion.selct': no such parameter"),
        ("{fusion.select: val}", "{splits: [1]}", "key 'claims.0.needs': 'fusion.select' is none of its settings"),
        ("{heads: [fusion]}", "{head: fusion}", "key 'switch.head': no such parameter"),
        ("arxiv: null", "arxiv: 2509.17084", "key 'arxiv': Input should be a valid string"),
        ("arxiv: null", "arxiv: arXiv", "key 'arxiv': String should match pattern"),
        ("title: Toy", "title: [", "cannot be read"),
        ("title: Toy", "title: Toy\ntitle: Toy", "cannot be read"),
        (TOY, "- 3\n", "must be a mapping of keys"),
        (
            TOY[TOY.index("    about") : TOY.index("    where")],
            "    about: cost\n    value: 1.0\n    unit: M\n",
            "key 'claims.0.needs': no such key",
        ),
    ],
)
def test_a_fault_is_named_by_file_and_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in TOY
    with pytest.raises(PaperError, match=message) as refusal:
        read(tmp_path, fine=TOY, toy=TOY.replace(old, new))
    assert str(refusal.value).startswith(str(tmp_path / "toy.yaml"))


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        ("{about: cost, value: 1.0, unit: M}", "parameters are claimed in M, a cost in GFLOPs"),
        ("{about: cost, value: 1.0, unit: GFLOPs}", "a claim of cost needs `costs`"),
    ],
)
def test_a_count_needs_its_unit_and_what_is_counted(tmp_path: Path, claim: str, message: str) -> None:
    words = claim.replace("{", "{statement: s, where: w, protocol: p, ")
    with pytest.raises(PaperError, match=rf"toy\.yaml: key 'claims\.0': .*{message}"):
        read(tmp_path, toy=TOY[: TOY.index("claims:")] + f"claims: [{words}]")


def test_one_paper_has_one_file(tmp_path: Path) -> None:
    with pytest.raises(PaperError, match=r"b\.yaml: key 'arxiv': .*a\.yaml has '2509\.17084' too"):
        read(tmp_path, **dict.fromkeys("ab", TOY.replace("arxiv: null", 'arxiv: "2509.17084"')))
    with pytest.raises(PaperError, match=r"b\.yaml: key 'main': .*a\.yaml has True too; one paper is first"):
        read(tmp_path, **dict.fromkeys("ab", TOY.replace("code: null", "code: null\nmain: true")))


def test_a_directory_without_papers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PaperError, match="holds no paper"):
        read_papers(tmp_path)


def test_claims_and_files_can_be_told_apart(tmp_path: Path) -> None:
    twice = TOY + TOY[TOY.index("  - statement") :]
    with pytest.raises(PaperError, match=r"toy\.yaml: key 'claims\.1\.statement': another claim has the same"):
        read(tmp_path, toy=twice)
    (tmp_path / "toy.yaml").rename(tmp_path / "my toy.yaml")
    with pytest.raises(PaperError, match=r"my toy\.yaml: a paper's file is named by letters"):
        read_papers(tmp_path)


def test_settings_of_a_head_to_come_wait_for_it(tmp_path: Path) -> None:
    """A claim may name a head that a later version has; the settings of its section are held from then on."""
    text = TOY.replace("head: fusion", "head: to_come").replace("fusion.select", "to_come.layers")
    assert read(tmp_path, toy=text)["toy"].claims[0].heads == ("to_come", "clip_probe")
