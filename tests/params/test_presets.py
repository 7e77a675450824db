from pathlib import Path

import open_clip
import pytest
from ruamel.yaml import YAML

from moclip.base.errors import ParamsError
from moclip.clip.tiny import CONFIG
from moclip.heads.registry import check_params
from moclip.params.flat import leaves
from moclip.params.presets.apply import Applied, Change, apply_presets
from moclip.params.presets.files import read_presets
from moclip.report.papers import read_papers
from tests.support.imports import ROOT

PRESETS = ROOT / "presets"
ALL = read_presets(PRESETS)
NAMES = sorted(ALL)
BASES = [name for name in NAMES if ALL[name].is_base]


@pytest.fixture
def params(tmp_path: Path) -> Path:
    path = tmp_path / "params.yaml"
    path.write_bytes((ROOT / "params.yaml").read_bytes())
    return path


def comments(text: str) -> list[str]:
    return [line.split("# ", 1)[1] for line in text.splitlines() if "# " in line]


def test_every_preset_says_what_it_is_for() -> None:
    assert {"demo", "folder", "micro", "ucf101", "ucf101_paper"} <= set(NAMES)
    assert all(len(preset.purpose) > 20 for preset in ALL.values())


@pytest.mark.parametrize("name", NAMES)
def test_preset_is_valid_and_keeps_every_comment(name: str, params: Path) -> None:
    before = params.read_text()
    apply_presets([name], PRESETS, params, check_params)
    assert comments(params.read_text()) == comments(before)


@pytest.mark.parametrize("name", NAMES)
def test_demo_brings_back_what_another_preset_changed(name: str, params: Path) -> None:
    before = params.read_bytes()
    apply_presets([name], PRESETS, params, check_params)
    assert (params.read_bytes() == before) == (name == "demo")
    apply_presets(["demo"], PRESETS, params, check_params)
    assert params.read_bytes() == before


@pytest.mark.parametrize("name", BASES)
@pytest.mark.parametrize("first", NAMES)
def test_base_preset_keeps_nothing_of_the_one_before(first: str, name: str, params: Path) -> None:
    apply_presets([name], PRESETS, params, check_params)
    alone = params.read_bytes()
    apply_presets(["demo"], PRESETS, params, check_params)
    apply_presets([first], PRESETS, params, check_params)
    before = values_of(params)
    (done,) = apply_presets([name], PRESETS, params, check_params)
    assert params.read_bytes() == alone
    changed = {key for key, value in values_of(params).items() if value != before[key]}
    assert {change.key for change in done.set_back} == changed - ALL[name].values.keys()
    assert {change.key for change in done.own} == changed & ALL[name].values.keys()


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(BASES)))
@pytest.mark.parametrize("base", BASES)
def test_overlay_changes_its_own_keys_alone(base: str, name: str, params: Path) -> None:
    apply_presets([base], PRESETS, params, check_params)
    before = values_of(params)
    (done,) = apply_presets([name], PRESETS, params, check_params)
    assert done.set_back == []
    changed = {key for key, value in values_of(params).items() if value != before[key]}
    assert changed <= ALL[name].values.keys()


def values_of(params: Path) -> dict[str, object]:
    return dict(leaves(YAML(typ="safe", pure=True).load(params)))


@pytest.mark.parametrize("base", BASES)
def test_related_heads_fit_the_clip_of_every_base(base: str, params: Path) -> None:
    """A run refuses what does not fit only where the head begins: after CLIP saw all frames."""
    apply_presets([base, "related"], PRESETS, params, check_params)
    values = values_of(params)
    model = values["clip.model"]
    config = CONFIG["model_cfg"] if model == "demo" else open_clip.get_model_config(model)
    blocks = config["vision_cfg"]["layers"]
    is_resnet = isinstance(blocks, list)
    assert values["frames.cut"] <= (len(blocks) if is_resnet else blocks)
    assert values["evl.layers"] <= values["frames.cut"] + is_resnet


def test_what_cannot_be_set_back_is_named(tmp_path: Path, params: Path) -> None:
    (tmp_path / "demo.yaml").write_text("# the demo\ndata: {source: demo}\n")
    (tmp_path / "other.yaml").write_text("# another\ndata: {source: demo}\nfusion: {hidden: 8}\n")
    with pytest.raises(ParamsError, match=r"cannot set back 'fusion.hidden', which preset 'other' sets"):
        apply_presets(["demo"], tmp_path, params, check_params)


def test_honest_protocol_keeps_nothing_of_the_papers(params: Path) -> None:
    """Whoever ran the paper's protocol first must not choose epochs on the test list ever after."""
    apply_presets(["ucf101"], PRESETS, params, check_params)
    honest = params.read_bytes()
    apply_presets(["ucf101_paper"], PRESETS, params, check_params)
    assert params.read_bytes() != honest
    apply_presets(["ucf101"], PRESETS, params, check_params)
    assert params.read_bytes() == honest


def test_papers_protocol_has_the_settings_that_the_report_compares_with(params: Path) -> None:
    apply_presets(["ucf101_paper"], PRESETS, params, check_params)
    values = dict(leaves(YAML(typ="safe", pure=True).load(params.read_text())))
    settings = read_papers(ROOT / "papers")["moclip_lite"].settings
    assert {key: value for key, value in values.items() if key in settings} == settings


def test_lists_are_replaced_and_the_next_comment_stays(tmp_path: Path, params: Path) -> None:
    (tmp_path / "short.yaml").write_text("# two heads\nheads:\n  - zero_shot\n  - fusion\n")
    apply_presets(["short"], tmp_path, params, check_params)
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
        apply_presets(["bad"], tmp_path, params, check_params)
    assert params.read_bytes() == before


def test_unknown_preset_is_refused_with_the_known_ones(params: Path) -> None:
    known = "demo, folder, gpu, micro, related, ucf101"
    with pytest.raises(ParamsError, match=rf"preset 'ucf': no such preset; there are {known}"):
        apply_presets(["ucf"], PRESETS, params, check_params)


def test_a_stack_is_its_presets_one_after_the_other(params: Path) -> None:
    for name in ("ucf101", "gpu", "related"):
        apply_presets([name], PRESETS, params, check_params)
    one_by_one = params.read_bytes()
    apply_presets(["demo"], PRESETS, params, check_params)
    apply_presets(["ucf101", "gpu", "related"], PRESETS, params, check_params)
    assert params.read_bytes() == one_by_one


def test_each_preset_of_a_stack_says_what_it_overrides(params: Path) -> None:
    base, gpu, related = apply_presets(["ucf101", "gpu", "related"], PRESETS, params, check_params)
    assert Change("compute.device", "cpu", "auto") in base.own
    assert [change.key for change in gpu.own] == ["compute.device", "compute.channels_last", "clip.batch_images"]
    assert Change("compute.device", "auto", "cuda") in gpu.own
    assert [change.key for change in related.own] == ["related", "heads"]
    assert "evl" not in related.own[1].old
    assert "evl" in related.own[1].new


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["ucf101", "gpu", "demo"], r"presets 'ucf101' and 'demo': each chooses the data"),
        (["gpu", "ucf101"], r"preset 'ucf101': chooses the data, and would set back what 'gpu' sets; name it first"),
        (["gpu", "gpu"], r"preset 'gpu': named twice"),
    ],
)
def test_presets_that_do_not_stack_are_refused_by_name(names: list[str], message: str, params: Path) -> None:
    before = params.read_bytes()
    with pytest.raises(ParamsError, match=message):
        apply_presets(names, PRESETS, params, check_params)
    assert params.read_bytes() == before


def test_what_a_preset_says_of_itself_goes_into_no_parameters_and_is_checked(tmp_path: Path, params: Path) -> None:
    (tmp_path / "own.yaml").write_text("# own\nabout: {minutes: 3}\nfusion: {hidden: 8}\n")
    (done,) = apply_presets(["own"], tmp_path, params, check_params)
    assert done == Applied(read_presets(tmp_path)["own"], [Change("fusion.hidden", 192, 8)], [])
    (tmp_path / "own.yaml").write_text("# own\nabout: {hours: 3}\n")
    with pytest.raises(ParamsError, match=r"parameter 'about.hours': no such parameter"):
        read_presets(tmp_path)
