"""The registry of heads: what follows from its rows."""

import re
import subprocess
import sys
from importlib.util import find_spec

import pytest
from ruamel.yaml import YAML

from moclip.base.errors import ParamsError
from moclip.heads.registry import (
    HEADS,
    MAIN,
    Heads,
    check_params,
    contrasts,
    in_order,
    main_head,
    module_of,
    sections,
    settings_of,
)
from moclip.params.section import Section, validated
from tests.support.imports import ROOT


@pytest.mark.parametrize(
    ("heads", "expected"),
    [
        (["zero_shot"], []),
        (["zero_shot", "motion_only"], []),
        (["fusion", "motion_only"], [("fusion", "motion_only")]),
        (
            ["zero_shot", "clip_probe", "fusion"],
            [("fusion", "zero_shot"), ("fusion", "clip_probe"), ("clip_probe", "zero_shot")],
        ),
        (
            ["clip_probe", "score_average", "motion_permuted"],
            [("score_average", "clip_probe"), ("motion_permuted", "clip_probe")],
        ),
    ],
)
def test_contrasts_follow_the_heads(heads: list[str], expected: list[tuple[str, str]]) -> None:
    assert contrasts(heads) == expected


def test_main_head_is_fusion_or_the_nearest_to_it() -> None:
    assert main_head(["fusion", "zero_shot"]) == "fusion"
    assert main_head(["motion_only", "zero_shot"]) == "motion_only"


def test_nothing_beside_heads_names_a_head() -> None:
    """The main head's name is also that of a section, so `fusion` may stand where parameters are meant."""
    names = "|".join(set(HEADS) - {MAIN})
    told = [
        path.relative_to(ROOT).as_posix()
        for path in sorted((ROOT / "moclip").rglob("*.*"))
        if path.suffix in (".py", ".j2") and re.search(rf"[\"'.](?:{names})\b(?!\s+import)", path.read_text())
    ]
    own = ("moclip/heads/", "moclip/params/heads/")
    assert [path for path in told if not path.startswith(own)] == []


def test_heads_come_in_one_order_with_the_main_one_last() -> None:
    assert in_order(reversed(list(HEADS))) == list(HEADS)
    assert in_order(["fusion", "zero_shot", "clip_probe"]) == ["zero_shot", "clip_probe", "fusion"]
    assert list(HEADS)[-1] == MAIN


@pytest.mark.parametrize(
    ("heads", "message"),
    [
        (["zero_shot", "fusions"], r"parameter 'heads': .*'fusions' is no head; known: zero_shot, .*, fusion \(value"),
        (["fusion", "zero_shot", "fusion"], r"parameter 'heads': .*each entry may stand here once"),
        ([], r"parameter 'heads': List should have at least 1 item"),
        ("fusion", r"parameter 'heads': Input should be a valid list"),
    ],
)
def test_parameter_that_lists_heads_refuses_what_is_none(heads: object, message: str) -> None:
    assert validated("heads", Heads, ["fusion", "zero_shot"]) == ["fusion", "zero_shot"]
    with pytest.raises(ParamsError, match=message):
        validated("heads", Heads, heads)


@pytest.mark.parametrize("head", HEADS)
def test_row_names_what_there_is(head: str) -> None:
    spec, known = HEADS[head], sections()
    assert callable(module_of(head).fit)
    assert callable(module_of(head).load)
    assert find_spec(spec.module) is not None
    assert spec.section is None or spec.section in known
    assert {*spec.also_reads, *spec.chosen_by} <= set(known)
    assert set(spec.rivals) <= set(HEADS) - {head, MAIN}, "the main head is held against every other one anyway"
    assert set(spec.streams) <= {"clip", "motion"}
    for section in spec.chosen_by:
        assert "select" in known[section].model_fields


def test_section_of_a_head_has_the_model_that_its_row_names() -> None:
    for head, spec in HEADS.items():
        kind = settings_of(head)
        assert (kind is None) == (spec.settings is None)
        if kind is not None:
            assert issubclass(kind, Section)
            assert spec.section is not None
            assert sections()[spec.section] is kind, "heads that share a section share its model"


def test_heads_on_demand_need_the_set_of_their_stages() -> None:
    values = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")
    check_params({**values, "heads": ["evl"], "related": ["frames"]})
    with pytest.raises(ParamsError, match="'evl' has stages only where `related` lists frames; add it there"):
        check_params({**values, "heads": ["fusion", "evl"], "related": []})


def test_no_two_heads_look_or_read_alike() -> None:
    for values in ([spec.title for spec in HEADS.values()], [spec.colour for spec in HEADS.values()]):
        assert len(set(values)) == len(HEADS)


def test_registry_and_the_models_of_all_sections_are_light() -> None:
    """Every stage and every page reads them: no head's libraries come with its row."""
    program = (
        "import sys; from moclip.heads.registry import sections; sections()\n"
        "print([name for name in ('torch', 'sklearn', 'pandas', 'scipy', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
