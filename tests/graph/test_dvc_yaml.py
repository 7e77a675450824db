"""The graph as written: every file, path and parameter that a stage uses is declared, and nothing else is."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from moclip.heads.registry import HEADS, MAIN, sections
from moclip.report.plot_tables import TRAINED
from stages.dvc.code import NO_NUMBER
from tests.support.imports import ROOT, closure

GRAPHS = ("dvc.yaml", "heads/dvc.yaml")


def expanded(name: str, stage: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """A stage of a matrix of mappings as its members; a matrix of plain values stands as it is written."""
    of_mappings = [(key, of) for key, of in stage.get("matrix", {}).items() if isinstance(of, list)]
    if not of_mappings:
        yield name, stage
        return
    ((key, items),) = of_mappings
    for number, item in enumerate(items):
        text = json.dumps(stage)
        for field, value in item.items():
            text = text.replace(f"${{item.{key}.{field}}}", value)
        yield f"{name}@{key}{number}", json.loads(text)


STAGES: dict[str, dict[str, Any]] = {
    member: stage
    for graph in GRAPHS
    for name, written in YAML(typ="safe", pure=True).load(ROOT / graph)["stages"].items()
    for member, stage in expanded(name, written)
}
MODELS: dict[str, Any] = dict(sections())
# The scripts' packages choose kernels for all; these stages compute nothing that kernels could move.
NO_KERNELS = {"code", "download", "extract_motion", "audit", "contact_sheet", "account", "report", "track"}
IGNORED = (ROOT / ".gitignore").read_text().splitlines()
FOLDERS = {"papers"}  # of the repository, read whole
LOCKS = {"dvc.lock", "heads/dvc.lock"}
# Always run, after everything: what it reads needs no declaration, only a maker.
ALWAYS_RUN = {"track"}
# What it writes itself: seconds and hardware, which are no result, so neither DVC nor Git keeps them.
COSTS = {"reports/cost.md", "reports/cost.json"}


def script(name: str) -> Path:
    match = re.match(r"python -m (stages\.\w+) ", STAGES[name]["cmd"])
    assert match, f"stage {name} does not run a script of stages/"
    return Path(*match[1].split(".")).with_suffix(".py")


def entries(name: str, kind: str) -> list[str]:
    """Paths under deps, outs, metrics or plots; an entry with options is a mapping of one key."""
    return [next(iter(entry)) if isinstance(entry, dict) else entry for entry in STAGES[name].get(kind, [])]


def outputs(name: str) -> list[str]:
    return [path for kind in ("outs", "metrics", "plots") for path in entries(name, kind)]


def uncached(name: str) -> set[str]:
    given = [entry for kind in ("outs", "metrics", "plots") for entry in STAGES[name].get(kind, [])]
    return {path for entry in given if isinstance(entry, dict) for path, o in entry.items() if o.get("cache") is False}


def options(name: str) -> dict[str, list[str]]:
    """Arguments of the command by option."""
    found: dict[str, list[str]] = {}
    for word in STAGES[name]["cmd"].split()[3:]:
        if word.startswith("--"):
            values = found.setdefault(word, [])
        else:
            values.append(word)
    return found


def command_paths(name: str) -> set[str]:
    return {
        word
        for words in options(name).values()
        for word in words
        if "/" in word or word.startswith("${clip") or word in FOLDERS
    }


def own_scripts(name: str) -> list[Path]:
    """The script of a stage, and what it reaches in stages/ that can move a number."""
    shown = {Path(*module.split(".")).with_suffix(".py") for module in NO_NUMBER}
    return sorted(path for path in closure(script(name), shown) if path.parts[0] == "stages")


def parameters(name: str) -> set[str]:
    """Keys that a stage declares; a file without keys stands for all sections."""
    given = STAGES[name].get("params", [])
    return {key for key in given if isinstance(key, str)} or (set(MODELS) if given else set())


def heads_of(name: str) -> list[str]:
    """Heads that a stage of `stages.head` fits."""
    return options(name).get("--heads", [])


def calls(path: Path) -> Iterator[ast.Call]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name))


def sections_read(name: str) -> set[str]:
    """Names of all sections that a stage asks for, and those of its heads; `all_params` asks for every one."""
    rows = [HEADS[head] for head in heads_of(name)]
    read = {section for row in rows for section in (row.section, *row.also_reads) if section}
    for path in own_scripts(name):
        for call in calls(path):
            if call.func.id == "section" and isinstance(call.args[0], ast.Constant):
                read.add(call.args[0].value)
            elif call.func.id == "all_params" and path == script(name):
                read |= set(MODELS)
    return read


def keys_in(path: Path) -> set[str]:
    """Keys such as `data.root`, of `section("data", ...)` and of names that are assigned one."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            names |= dict(_assigned_sections(node.targets[0], node.value))
    keys = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            name = _section_of(node.value)
            if isinstance(node.value, ast.Name):
                name = names.get(node.value.id)
            if name and node.attr in getattr(MODELS[name], "model_fields", ()):
                keys.add(f"{name}.{node.attr}")
    return keys


def keys_read(name: str) -> set[str]:
    return {key for path in own_scripts(name) for key in keys_in(path)}


def _assigned_sections(target: ast.AST, value: ast.AST) -> Iterator[tuple[str, str]]:
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for one, other in zip(target.elts, value.elts, strict=True):
            yield from _assigned_sections(one, other)
    elif isinstance(target, ast.Name) and (name := _section_of(value)):
        yield target.id, name


def _section_of(node: ast.AST) -> str | None:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "section":
        name = node.args[0]
        return str(name.value) if isinstance(name, ast.Constant) else None
    return None


ALL = sorted(STAGES)
DECLARING = sorted(set(STAGES) - ALWAYS_RUN)


def test_helpers_see_what_they_should():
    assert sections_read("report") == set(MODELS)
    assert sections_read("train_motion") == {
        *["seed", "seeds", "splits", "motion", "motion_net", "compute"],
        *["motion_pretrain", "motion_mcl", "motion_vit", "motion_mae"],
    }
    assert keys_read("extract_motion") >= {"data.root", "motion.cell_px"}
    assert "data.root" in keys_read("contact_sheet")
    assert command_paths("summarize") == {
        *["data/dataset.json", "results/heads", "reports/summary.json"],
        *["reports/class_gains.csv", "reports/metrics.json"],
    }


@pytest.mark.parametrize("name", [name for name in ALL if name != "code"])
def test_code_is_one_dep(name):
    """DVC does not follow imports: a text stands for all that a script reaches, and nothing else does."""
    of_heads = [f"code/heads/{head}.txt" for head in heads_of(name)]
    declared = [path for path in entries(name, "deps") if path.startswith(("code/", "moclip", "stages"))]
    # `track` always runs, so it needs no reason to.
    assert declared == ([] if name in ALWAYS_RUN else of_heads or [f"code/{script(name).stem}.txt"])


def test_the_first_stage_reads_all_code():
    assert entries("code", "deps") == ["moclip", "stages"]


@pytest.mark.parametrize("name", ALL)
def test_what_kernels_can_move_hangs_on_them(name):
    declared = parameters(name)
    assert name in NO_KERNELS or declared & {"compute", "compute.kernels"}


@pytest.mark.parametrize("name", ALL)
def test_paths_stand_once(name):
    for kind in ("deps", "params"):
        listed = entries(name, kind)
        assert len(listed) == len(set(listed))
    assert not set(entries(name, "deps")) & set(outputs(name))


@pytest.mark.parametrize("name", DECLARING)
def test_paths_of_a_command_are_declared(name):
    declared = {path for path in (*entries(name, "deps"), *outputs(name)) if not path.startswith("code/")}
    if name == "code":
        assert outputs(name) == options(name)["--out"]
        return
    # What the scripts take from params.yaml, since no shell may read it: a path, and a name in a folder that is given.
    declared.discard("${clip.prompts}")
    named = {path: path.rpartition("/")[0] for path in declared if path.endswith("/${clip.templates}.yaml")}
    assert command_paths(name) == {named.get(path, path) for path in declared}


def test_what_no_stage_makes_is_in_the_repository():
    params = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")
    made = [Path(path) for name in ALL for path in outputs(name)]
    made += [Path(path.replace("${item.head}", head)) for path in outputs("evaluate") for head in HEADS]
    for path in {Path(filled(path, params)) for name in ALL for path in entries(name, "deps")}:
        by_a_stage = any(path == out or path in out.parents or out in path.parents for out in made)
        assert by_a_stage or (ROOT / path).exists(), f"{path}: made by no stage, and not here"


def filled(path: str, params: dict[str, Any]) -> str:
    """A path with the parameters' values in it; that of a matrix stands for all."""
    for key in re.findall(r"\$\{([\w.]+)\}", path):
        section, _, field = key.partition(".")
        path = path.replace(f"${{{key}}}", MAIN if section == "item" else params[section][field])
    return path


@pytest.mark.parametrize("name", [name for name in ALL if heads_of(name)])
def test_stage_of_heads_hands_each_its_own_places(name):
    heads, given = heads_of(name), options(name)
    assert given["--model"] == [f"models/{head}" for head in heads]
    assert given["--preds"] == [f"preds/{head}" for head in heads]


def test_charts_of_epochs_list_heads_that_have_some():
    """DVC draws no chart that lists a column which its table lacks."""
    charts = [chart for one in YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")["plots"] for chart in one.values()]
    listed = [set(heads) for chart in charts for heads in chart["y"].values() if isinstance(heads, list)]
    assert len(listed) == 2
    assert all(MAIN in heads and heads <= set(TRAINED) for heads in listed)


@pytest.mark.parametrize("name", sorted(ALWAYS_RUN))
def test_stage_that_always_runs_reads_what_others_make_and_comes_last(name):
    assert STAGES[name]["always_changed"] is True
    made = [Path(path) for other in DECLARING for path in outputs(other)]
    for path in map(Path, command_paths(name) - LOCKS - COSTS):
        assert any(out == path or path in out.parents for out in made), f"{path} is made by no stage"
    assert not outputs(name)
    assert {"reports/summary.json", "reports/report.md"} <= set(entries(name, "deps"))


@pytest.mark.parametrize("name", ALL)
def test_options_are_those_that_the_script_parses(name):
    (call,) = [call for call in calls(script(name)) if call.func.id == "arguments"]
    tree = ast.parse((ROOT / script(name)).read_text(encoding="utf-8"))
    words = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    assert {option.removeprefix("--").replace("-", "_") for option in options(name)} <= words
    needed = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg != "optional")]
    required = {node.value for arg in needed for node in ast.walk(arg) if isinstance(node, ast.Constant)}
    assert {f"--{word.replace('_', '-')}" for word in required} <= set(options(name))


@pytest.mark.parametrize("name", DECLARING)
def test_parameters_that_a_script_reads_are_declared(name):
    declared = parameters(name)
    for section in sections_read(name):
        assert any(key.split(".")[0] == section for key in declared), f"stage {name} reads section {section}"
    for key in keys_read(name):
        assert {key, key.split(".")[0]} & declared, f"stage {name} reads {key}"


@pytest.mark.parametrize("name", DECLARING)
def test_declared_parameters_exist_and_are_read(name):
    read = sections_read(name) | {"compute"}
    for key in parameters(name):
        section, _, field = key.partition(".")
        assert section in read, f"stage {name} does not read {section}"
        assert not field or field in MODELS[section].model_fields


@pytest.mark.parametrize("name", ["clip_probe"])
def test_controls_do_not_hang_on_what_concerns_fusion_alone(name):
    """Else a change of these would train them again, to the same bytes."""
    declared = {key.removeprefix("fusion.") for key in STAGES[name]["params"] if key.startswith("fusion.")}
    assert set(MODELS["fusion"].model_fields) - declared == {"inputs", "views", "online", "backbone_statistics"}


def test_each_output_has_one_maker():
    made = [path for name in ALL for path in outputs(name)]
    assert len(made) == len(set(made))


@pytest.mark.parametrize("name", ALL)
def test_cached_outputs_are_kept_from_git_and_results_are_not(name):
    for path in outputs(name):
        top = f"/{path.split('/')[0]}/"
        if path in uncached(name):
            assert top not in IGNORED, f"{path} should show in a Git diff"
        else:
            assert top in IGNORED, f"{path} would be committed to Git"


@pytest.mark.parametrize("name", ALL)
def test_each_stage_says_what_it_is_for(name):
    desc = STAGES[name]["desc"]
    assert len(desc) > 15
    assert "frozen" not in STAGES[name], f"stage {name} is frozen"


def test_heads_that_are_evaluated_have_a_stage_that_predicts():
    """`evaluate` reads preds/<head>/...: each head that may stand in `heads` needs its maker."""
    made = {path.split("/")[1] for name in ALL for path in outputs(name) if path.startswith("preds/")}
    assert made == set(HEADS)
    assert STAGES["evaluate"]["matrix"] == {"head": "${heads}"}
