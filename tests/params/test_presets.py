from pathlib import Path

import pytest
from ruamel.yaml import YAML

from moclip.base.errors import ParamsError
from moclip.heads.registry import check_params
from moclip.params.flat import leaves
from moclip.params.presets import apply_preset, list_presets
from moclip.report.papers import read_papers
from tests.support.imports import ROOT

PRESETS = ROOT / "presets"
NAMES = sorted(list_presets(PRESETS))


@pytest.fixture
def params(tmp_path: Path) -> Path:
    path = tmp_path / "params.yaml"
    path.write_bytes((ROOT / "params.yaml").read_bytes())
    return path


def comments(text: str) -> list[str]:
    return [line.split("# ", 1)[1] for line in text.splitlines() if "# " in line]


def test_every_preset_says_what_it_is_for() -> None:
    assert {"demo", "folder", "micro", "ucf101", "ucf101_paper"} <= set(NAMES)
    assert all(len(purpose) > 20 for purpose in list_presets(PRESETS).values())


@pytest.mark.parametrize("name", NAMES)
def test_preset_is_valid_and_keeps_every_comment(name: str, params: Path) -> None:
    before = params.read_text()
    apply_preset(name, PRESETS, params, check_params)
    assert comments(params.read_text()) == comments(before)


@pytest.mark.parametrize("name", NAMES)
def test_demo_brings_back_what_another_preset_changed(name: str, params: Path) -> None:
    before = params.read_bytes()
    apply_preset(name, PRESETS, params, check_params)
    assert (params.read_bytes() == before) == (name == "demo")
    apply_preset("demo", PRESETS, params, check_params)
    assert params.read_bytes() == before


BASES = [name for name in NAMES if "data.source" in dict(leaves(YAML(typ="safe").load(PRESETS / f"{name}.yaml")))]


@pytest.mark.parametrize("name", BASES)
@pytest.mark.parametrize("first", NAMES)
def test_base_preset_keeps_nothing_of_the_one_before(first: str, name: str, params: Path) -> None:
    apply_preset(name, PRESETS, params, check_params)
    alone = params.read_bytes()
    apply_preset("demo", PRESETS, params, check_params)
    apply_preset(first, PRESETS, params, check_params)
    before = values_of(params)
    back = apply_preset(name, PRESETS, params, check_params)
    assert params.read_bytes() == alone
    own = dict(leaves(YAML(typ="safe").load(PRESETS / f"{name}.yaml")))
    assert sorted(back) == sorted(k for k, v in values_of(params).items() if v != before[k] and k not in own)


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(BASES)))
@pytest.mark.parametrize("base", BASES)
def test_overlay_changes_its_own_keys_alone(base: str, name: str, params: Path) -> None:
    apply_preset(base, PRESETS, params, check_params)
    before = values_of(params)
    assert apply_preset(name, PRESETS, params, check_params) == []
    changed = {key for key, value in values_of(params).items() if value != before[key]}
    assert changed <= dict(leaves(YAML(typ="safe").load(PRESETS / f"{name}.yaml"))).keys()


def values_of(params: Path) -> dict[str, object]:
    return dict(leaves(YAML(typ="safe", pure=True).load(params)))


def test_what_cannot_be_set_back_is_named(tmp_path: Path, params: Path) -> None:
    (tmp_path / "demo.yaml").write_text("# the demo\ndata: {source: demo}\n")
    (tmp_path / "other.yaml").write_text("# another\ndata: {source: demo}\nfusion: {hidden: 8}\n")
    with pytest.raises(ParamsError, match=r"cannot set back 'fusion.hidden', which preset 'other' sets"):
        apply_preset("demo", tmp_path, params, check_params)


def test_honest_protocol_keeps_nothing_of_the_papers(params: Path) -> None:
    """Whoever ran the paper's protocol first must not choose epochs on the test list ever after."""
    apply_preset("ucf101", PRESETS, params, check_params)
    honest = params.read_bytes()
    apply_preset("ucf101_paper", PRESETS, params, check_params)
    assert params.read_bytes() != honest
    apply_preset("ucf101", PRESETS, params, check_params)
    assert params.read_bytes() == honest


def test_papers_protocol_has_the_settings_that_the_report_compares_with(params: Path) -> None:
    apply_preset("ucf101_paper", PRESETS, params, check_params)
    values = dict(leaves(YAML(typ="safe", pure=True).load(params.read_text())))
    settings = read_papers(ROOT / "papers")["moclip_lite"].settings
    assert {key: value for key, value in values.items() if key in settings} == settings


def test_lists_are_replaced_and_the_next_comment_stays(tmp_path: Path, params: Path) -> None:
    (tmp_path / "short.yaml").write_text("# two heads\nheads:\n  - zero_shot\n  - fusion\n")
    apply_preset("short", tmp_path, params, check_params)
    assert "\n- zero_shot\n- fusion\n\ndata:\n" in params.read_text()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("fusion:\n  hiden: 3\n", "parameter 'fusion.hiden': no such parameter"),
        ("fusion:\n  hidden: wide\n", "parameter 'fusion.hidden': .* \\(value 'wide'\\)"),
        ("motion:\n  accumulate: gop\n", "window_frames is a number with accumulate: window, and null otherwise"),
        ("fusion: [", "cannot be read"),
        ("3\n", "must be a mapping"),
    ],
)
def test_bad_preset_is_refused_and_nothing_written(tmp_path: Path, params: Path, content: str, message: str) -> None:
    before = params.read_bytes()
    (tmp_path / "bad.yaml").write_text(content)
    with pytest.raises(ParamsError, match=message):
        apply_preset("bad", tmp_path, params, check_params)
    assert params.read_bytes() == before


def test_unknown_preset_is_refused_with_the_known_ones(params: Path) -> None:
    known = "demo, folder, micro, related, ucf101"
    with pytest.raises(ParamsError, match=rf"preset 'ucf': no such preset; there are {known}"):
        apply_preset("ucf", PRESETS, params, check_params)
