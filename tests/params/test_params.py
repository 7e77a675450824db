"""params.yaml and its models: what stands in the file is valid, and each way to break it has a readable message."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from moclip.base.errors import ParamsError
from moclip.heads.registry import check_params, section_names, sections
from moclip.params import registry
from moclip.params.section import Section, validated
from stages import _entry

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "params.yaml").read_text(encoding="utf-8")
PARAMS: dict[str, Any] = YAML(typ="safe", pure=True).load(TEXT)
MODELS = sections()


@pytest.fixture(autouse=True)
def fresh_cache() -> None:
    _entry.all_params.cache_clear()


def changed(key: str, value: Any) -> dict[str, Any]:
    """The project's parameters with one key set, such as `fusion.lr`."""
    params = deepcopy(PARAMS)
    *sections, last = key.split(".")
    place = params
    for name in sections:
        place = place[name]
    place[last] = value
    return params


def test_stages_know_the_sections_that_have_models():
    assert set(PARAMS) == set(MODELS) == section_names()
    without_heads = [name for name in PARAMS if name in registry.MODELS]
    assert without_heads == list(registry.MODELS), "the file and the registry list the sections in one order"


@pytest.mark.parametrize("name", MODELS)
def test_each_section_of_the_file_is_valid(name):
    value = validated(name, MODELS[name], PARAMS[name])
    assert (value.model_dump() if isinstance(value, Section) else value) == PARAMS[name]


def test_every_key_of_every_model_stands_in_the_file():
    """No default hides in the code: a section that lacks any one key is refused."""
    for name, model in MODELS.items():
        if isinstance(PARAMS[name], dict):
            assert list(model.model_fields) == list(PARAMS[name])
            assert all(field.is_required() for field in model.model_fields.values())


def test_every_leaf_has_a_comment_and_every_list_is_in_block_style():
    loaded, lines = YAML().load(TEXT), TEXT.splitlines()
    places = [(loaded, key) for key in loaded if not isinstance(loaded[key], dict)]
    places += [(section, key) for section in loaded.values() if isinstance(section, dict) for key in section]
    assert len(places) > 40
    for section, key in places:
        if section[key] == []:  # has no block form; its comment stands above
            assert lines[section.lc.key(key)[0] - 1].startswith("# ")
            continue
        line = lines[section.lc.key(key)[0]]
        comment = line.partition("#")[2]
        assert len(comment.strip()) > 5, f"params.yaml: {line!r} lacks a comment"
        if isinstance(section[key], list):
            assert not section[key].fa.flow_style(), f"params.yaml: {key} is in flow style"


REFUSALS = [
    # unknown, missing
    ("fusion.hiden", 256, r"parameter 'fusion\.hiden': no such parameter \(value 256\); check its spelling"),
    # wrong type
    ("fusion.hidden", "256", r"parameter 'fusion\.hidden': Input should be a valid integer \(value '256'\)"),
    ("fusion.hidden", 256.0, r"parameter 'fusion\.hidden': Input should be a valid integer \(value 256\.0\)"),
    ("fusion.hidden", True, r"parameter 'fusion\.hidden': Input should be a valid integer \(value True\)"),
    ("fusion.lr", "1e-3", r"parameter 'fusion\.lr': Input should be a valid number \(value '1e-3'\)"),
    ("fusion.lr", True, r"parameter 'fusion\.lr': Input should be a valid number \(value True\)"),
    ("fusion.lr", None, r"parameter 'fusion\.lr': Input should be a valid number \(value None\)"),
    ("motion_net.pretrained", 1, r"parameter 'motion_net\.pretrained': Input should be a valid boolean \(value 1\)"),
    ("data.classes", "YoYo", r"parameter 'data\.classes': Input should be a valid list \(value 'YoYo'\)"),
    ("seed", "0", r"parameter 'seed': Input should be a valid integer \(value '0'\)"),
    ("fusion", None, r"parameter 'fusion': Input should be .*(dictionary|HeadParams).* \(value None\)"),
    # out of range
    ("fusion.schedule", "steps", r"parameter 'fusion\.schedule': Input should be 'one_cycle' or 'constant'"),
    ("fusion.lr", 0.0, r"parameter 'fusion\.lr': Input should be greater than 0 \(value 0\.0\)"),
    ("fusion.lr", float("nan"), r"parameter 'fusion\.lr': .*(finite|greater).* \(value nan\)"),
    ("fusion.weight_decay", float("inf"), r"parameter 'fusion\.weight_decay': .*(finite|less).* \(value inf\)"),
    ("fusion.dropout", 1.0, r"parameter 'fusion\.dropout': Input should be less than 1 \(value 1\.0\)"),
    ("seed", -1, r"parameter 'seed': Input should be greater than or equal to 0 \(value -1\)"),
    ("demo.groups", 4, r"parameter 'demo\.groups': Input should be a multiple of 3 \(value 4\)"),
    ("demo.width_px", 100, r"parameter 'demo\.width_px': Input should be a multiple of 16 \(value 100\)"),
    (
        "evaluate.resamples",
        2000,
        r"resamples is gone, for intervals come from a formula without draws; delete the line",
    ),
    ("evaluate.confidence_pct", 0.95, r"parameter 'evaluate\.confidence_pct': .*greater than 50 \(value 0\.95\)"),
    # no such choice
    ("motion.cell_px", 12, r"parameter 'motion\.cell_px': Input should be 8 or 16 \(value 12\)"),
    ("motion.reference", "past", r"parameter 'motion\.reference': .*'backward', 'forward' or 'both' \(value 'past'\)"),
    ("motion.distance", "far", r"parameter 'motion\.distance': .*'nearest' or 'as_coded' \(value 'far'\)"),
    ("data.subset", "some", r"parameter 'data\.subset': Input should be 'full' or 'present' \(value 'some'\)"),
    ("fusion.select", "best", r"parameter 'fusion\.select': Input should be 'val', 'test' or 'last' \(value 'best'\)"),
    ("motion_net.eval_crops", 5, r"parameter 'motion_net\.eval_crops': Input should be 1 or 10 \(value 5\)"),
    ("motion_net.lr_drop_epochs", [0], r"parameter 'motion_net\.lr_drop_epochs\.0': .*greater than or equal to 1"),
    ("compute.device", "gpu", r"parameter 'compute\.device': Input should be 'cpu', 'cuda' or 'auto' \(value 'gpu'\)"),
    ("compute.amp", True, r"parameter 'compute\.amp': Input should be False, 'bf16' or 'fp16' \(value True\)"),
    ("compute.deterministic", "no", r"parameter 'compute\.deterministic': Input should be True, 'warn' or False"),
    ("clip.frame", "uniform:0", r"parameter 'clip\.frame': String should match pattern .*\(value 'uniform:0'\)"),
    ("clip.frame", "motion:0", r"parameter 'clip\.frame': String should match pattern"),
    ("clip.frame", "motion", r"parameter 'clip\.frame': String should match pattern"),
    ("clip.crop", "center", r"parameter 'clip\.crop': Input should be 'centre' or 'motion' \(value 'center'\)"),
    ("motion_pretrain.method", "moco", r"parameter 'motion_pretrain\.method': Input should be 'none', 'mcl' or 'mae'"),
    ("motion_mae.decoder_mask", 0.4, r"parameter 'motion_mae': .*a running cell has 4 places, so it is one of"),
    ("motion_mae.decoder_heads", 3, r"parameter 'motion_mae': .*decoder_heads: 3 do not divide decoder_width: 32"),
    ("motion_vit.tube", 3, r"parameter 'motion_vit': .*tube: 3 does not divide segments: 8"),
    ("motion_mcl.batch_videos", 1, r"parameter 'motion_mcl\.batch_videos': .*greater than or equal to 2"),
    ("clip.frame", "uniform:65", r"parameter 'clip\.frame': String should match pattern"),
    ("clip.frame", "first", r"parameter 'clip\.frame': String should match pattern '\^\(middle\|random\|uniform:"),
    ("clip.templates", "a/b", r"parameter 'clip\.templates': String should match pattern"),
    ("clip.patch", "open_vclip.pth", r"parameter 'clip': .*patch and patch_share go together"),
    ("clip.patch_share", 0.5, r"parameter 'clip': .*patch and patch_share go together"),
    ("clip.patch_share", 1.5, r"parameter 'clip\.patch_share': Input should be less than or equal to 1"),
    (
        "clip.attention",
        "neighbours",
        r"parameter 'clip': .*needs frames in order, frame: uniform:K, and frame is middle",
    ),
    ("clip.keep_frames", "all", r"parameter 'clip\.keep_frames': String should match pattern"),
    ("clip.keep_frames", "motion:2", r"parameter 'clip': .*keep_frames: motion:2 follows the motion, .*; set null"),
    ("clip.keep_frames", "random", r"parameter 'clip': .*keep_frames: random would follow `seed`, .*; set null"),
    ("clip.keep_frames", "uniform:3", r"parameter 'clip': .*keep_frames is uniform:3, and frame is middle: give both"),
    ("clip.edges", "mirror", r"parameter 'clip\.edges': Input should be 'repeat' or 'zeros'"),
    ("clip.text_mean", "mean", r"parameter 'clip\.text_mean': Input should be 'unit' or 'raw' \(value 'mean'\)"),
    ("clip.text_order", "sorted", r"parameter 'clip\.text_order': Input should be 'index' or 'folders'"),
    ("data.short_videos", True, r"parameter 'data\.short_videos': Input should be 'keep' or 'drop' \(value True\)"),
    ("data.short_frames", 0, r"parameter 'data\.short_frames': .*greater than or equal to 1 \(value 0\)"),
    ("fusion.hidden", -1, r"parameter 'fusion\.hidden': Input should be greater than or equal to 0 \(value -1\)"),
    (
        "fusion.inputs",
        "text",
        r"parameter 'fusion\.inputs': Input should be 'both', 'clip' or 'motion'",
    ),
    (
        "fusion.normalisation",
        "batch",
        r"parameter 'fusion\.normalisation': .*'unit_standard', 'unit'.* \(value",
    ),
    ("fusion.combine", "sum", r"parameter 'fusion\.combine': Input should be 'concat' or 'gated' \(value 'sum'\)"),
    ("score_average.clip_head", "fusion", r"parameter 'score_average\.clip_head': .*'clip_probe' or 'zero_shot'"),
    ("score_average.motion_weight", 1.5, r"parameter 'score_average\.motion_weight': .*less than or equal to 1"),
    ("linear_probe.refit", "test", r"parameter 'linear_probe\.refit': Input should be 'train' or 'train_val'"),
    # lists
    ("linear_probe.c_values", [], r"parameter 'linear_probe\.c_values': List should have at least 1 item"),
    ("linear_probe.c_values", [1.0, 0.0], r"parameter 'linear_probe\.c_values\.1': Input should be greater than 0"),
    (
        "metadata_only.c_values",
        [1.0, 0.1],
        r"parameter 'metadata_only\.c_values': .*must rise from one entry to",
    ),
    ("splits", [], r"parameter 'splits': List should have at least 1 item"),
    ("splits", [1, 4], r"parameter 'splits\.1': Input should be 1, 2 or 3 \(value 4\)"),
    ("splits", [1, 2, 1], r"parameter 'splits': .*each entry may stand here once \(value \[1, 2, 1\]\)"),
    ("heads", ["fusion", "fusion"], r"parameter 'heads': .*each entry may stand here once"),
    ("heads", ["fusions"], r"parameter 'heads': .*'fusions' is no head; known: .*fusion \(value \['fusions'\]\)"),
    ("data.classes", ["YoYo"], r"parameter 'data\.classes': .*at least two classes, each named once"),
    ("data.classes", ["A", "B", "A"], r"parameter 'data\.classes': .*each named once"),
    ("data.clips_per_class", 0, r"parameter 'data\.clips_per_class': .*greater than or equal to 1 \(value 0\)"),
    ("data.url", "ftp://host/a.zip", r"parameter 'data\.url': String should match pattern"),
    ("data.lists_url", "https://me:S3/cret@host/l.zip", r"parameter 'data\.lists_url': .*names a user or a password"),
    (
        "data.lists_url",
        "https://me%3AS3cret%40host/l.zip",
        r"parameter 'data\.lists_url': .*names a user or a password",
    ),
    ("data.lists_url", "https://host/l.zip;token=S3cret", r"parameter 'data\.lists_url': .*has options other than"),
    # keys that must agree
    ("data.archive", "thumos", r"parameter 'data': .*archive goes with source: ucf101"),
    ("data.url", "https://host/a.zip", r"parameter 'data': .*url is a mirror of archive: official or thumos"),
    ("data.group_pattern", "_(g", r"parameter 'data\.group_pattern': .*not a regular expression"),
    ("data.group_pattern", r"_g\d+_", r"parameter 'data\.group_pattern': .*exactly one capture group, has 0"),
    ("motion.window_frames", None, r"parameter 'motion': .*window_frames is a number with accumulate: window"),
    ("motion.accumulate", "gop", r"parameter 'motion': .*window_frames is .*null otherwise"),
    ("motion_net.pretrained", True, r"parameter 'motion_net': .*pretrained needs arch: efficientnet_b0"),
    (
        "motion_net.checkpoint",
        "b0.safetensors",
        r"parameter 'motion_net': .*checkpoint names the weights of pretrained",
    ),
    (
        "motion_net.schedule",
        "steps",
        r"parameter 'motion_net': .*lr_drop_epochs is a list of epochs with schedule: steps",
    ),
    ("motion_net.lr_drop_epochs", [80], r"parameter 'motion_net': .*lr_drop_epochs is a list .*null otherwise"),
    ("motion_net.mirror", "complement", r"parameter 'motion_net': .*complement .* needs encoding: bytes"),
    (
        "motion_net.train_crops",
        "cut",
        r"parameter 'motion_net': .*train_crops: cut .* input_px, which must be a number",
    ),
    ("motion_net.batch_parts", 25, r"parameter 'motion_net': .*batch_parts: 25 needs batch_videos of 50 or more"),
    ("motion_net.eval_crops", 10, r"parameter 'motion_net': .*eval_crops: 10 .* input_px, which must be a number"),
    ("motion_net.mirrored_crops", "coin", r"parameter 'motion_net': .*coin needs eval_crops: 10"),
    ("fusion.views", -1, r"parameter 'fusion\.views': .*greater than or equal to 0 \(value -1\)"),
    ("fusion.online", 1, r"parameter 'fusion\.online': Input should be a valid boolean \(value 1\)"),
    ("fusion.backbone_statistics", "drift", r"parameter 'fusion': .*drift needs online: true"),
    ("clip.pretrained", "openai", r"parameter 'clip': .*model demo is trained here"),
    ("clip.precomputed", "features.npz", r"parameter 'clip': .*model demo is trained here"),
    ("clip.checkpoint", "", r"parameter 'clip\.checkpoint': String should have at least 1 character"),
    ("clip.model", "ViT-B-32", r"parameter 'clip': .*name the weights either by pretrained or by checkpoint"),
    ("clip.model", "hf-hub:tiny", r"parameter 'clip': .*hf-hub:tiny names no repository; write hf-hub:ORG/NAME"),
    ("clip.model", "hf-hub:a/../b", r"parameter 'clip': .*names no repository"),
]


@pytest.mark.parametrize(("key", "value", "message"), REFUSALS, ids=[f"{key}={value!r}" for key, value, _ in REFUSALS])
def test_refusal_names_key_rule_and_value(key, value, message):
    params, name = changed(key, value), key.split(".")[0]
    with pytest.raises(ParamsError, match=message):
        validated(name, MODELS[name], params[name])
    with pytest.raises(ParamsError, match=message):
        check_params(params)


@pytest.mark.parametrize("key", ["fusion.hidden", "data.classes", "demo.frames", "clip.frame", "evaluate.fdr_pct"])
def test_missing_key_is_refused_where_null_is_allowed_too(key):
    params = deepcopy(PARAMS)
    name, last = key.split(".")
    del params[name][last]
    with pytest.raises(ParamsError, match=rf"^parameter '{name}\.{last}': required, but missing$"):
        validated(name, MODELS[name], params[name])


@pytest.mark.parametrize("drops", [[160, 80], [80, 80]])
def test_epochs_of_lower_rates_ascend(drops):
    params = changed("motion_net.schedule", "steps")
    params["motion_net"]["lr_drop_epochs"] = drops
    with pytest.raises(ParamsError, match="lr_drop_epochs must ascend, each epoch once"):
        check_params(params)


def test_all_faults_of_a_file_are_named_at_once():
    params = changed("fusion.lr", -1.0) | {"fussion": {}}
    params["demo"]["frames"] = 3
    del params["clip"]
    with pytest.raises(ParamsError) as caught:
        check_params(params)
    for key in ("'fussion': no such section", "'clip': required, but missing", "'fusion.lr'", "'demo.frames'"):
        assert key in str(caught.value)


@pytest.mark.parametrize(
    "rule",
    ["middle", "random", "uniform:1", "uniform:9", "uniform:10", "uniform:59", "uniform:64", "motion:1", "motion:64"],
)
def test_rules_for_frames(rule):
    assert validated("clip", MODELS["clip"], changed("clip.frame", rule)["clip"]).frame == rule


@pytest.mark.parametrize("rule", ["middle", "uniform:1", "uniform:64"])
def test_frames_of_fixed_positions_can_be_kept(rule):
    clip = changed("clip.frame", rule)["clip"] | {"keep_frames": rule}
    assert validated("clip", MODELS["clip"], clip).keep_frames == rule


def test_precomputed_features_need_no_frames():
    features = {"model": "ViT-B-32", "precomputed": "features.npz", "keep_frames": "middle"}
    with pytest.raises(ParamsError, match="precomputed features need no frames: keep_frames must be null"):
        validated("clip", MODELS["clip"], PARAMS["clip"] | features)


def test_whole_numbers_do_for_floats():
    assert validated("fusion", MODELS["fusion"], changed("fusion.lr", 1)["fusion"]).lr == 1.0


def test_models_cannot_be_changed_afterwards():
    params = validated("fusion", MODELS["fusion"], PARAMS["fusion"])
    with pytest.raises(ValueError, match="frozen"):
        params.hidden = 3


@pytest.fixture
def params_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "params.yaml"


@pytest.mark.parametrize(("text", "value"), [("1e-3", 0.001), ("1E3", 1000.0), ("0.001", 0.001), ("1", 1)])
def test_numbers_are_read_as_dvc_reads_them(params_file, text, value):
    """PyYAML takes 1e-3 for text; a stage that did so would refuse what DVC's own parser takes."""
    params_file.write_text(TEXT.replace("lr: 0.002 ", f"lr: {text} "))
    assert _entry.all_params()["fusion"]["lr"] == value
    assert type(_entry.all_params()["fusion"]["lr"]) is type(value)


def test_section_reads_one_model(params_file):
    params_file.write_text(TEXT)
    assert _entry.section("fusion", MODELS["fusion"]).hidden == PARAMS["fusion"]["hidden"]
    assert _entry.section("seed", MODELS["seed"]) == 0
    assert _entry.section("splits", MODELS["splits"]) == [1, 2, 3]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"params\.yaml: cannot be read"),
        ("", r"params\.yaml: must be a mapping"),
        ("- 1\n", r"params\.yaml: must be a mapping"),
        ("seed: [\n", r"params\.yaml: cannot be read"),
        ("seed: 0\nseed: 1\n", r"(?s)params\.yaml: cannot be read .*duplicate key"),
        (
            "seed: 0\nfussion: {}\n",
            r"parameter 'fussion': no such section in params\.yaml; known: \['clip', 'compute', 'data'",
        ),
        ("demo: {}\n", r"parameter 'seed': required, but missing from params\.yaml"),
    ],
)
def test_file_that_is_no_set_of_sections_is_refused(params_file, text, message):
    if text is not None:
        params_file.write_text(text)
    with pytest.raises(ParamsError, match=message):
        _entry.section("seed", MODELS["seed"])
