"""What the graph rests on: the inputs that DVC knows, each of which changes the digest; no parameter in a shell."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from ruamel.yaml import YAML

from moclip.heads.registry import sections
from moclip.params.section import PathText
from stages.dvc import graph
from tests.graph.test_pipeline import Repository, make_repository
from tests.support.imports import ROOT

NASTY = """a b'c"d$(touch pwned)`touch pwned`;touch pwned;&e"""
PATHS = sorted(
    f"{section}.{name}"
    for section, model in sections().items()
    if hasattr(model, "model_fields")
    for name, hint in get_type_hints(model, include_extras=True).items()
    if PathText in (hint, *get_args(hint))
)


def test_the_walk_sees_every_path():
    assert {
        "data.root",
        "data.archive",
        "data.ca_bundle",
        "clip.prompts",
        "clip.checkpoint",
        "clip.precomputed",
    } <= set(PATHS)
    assert "motion_net.checkpoint" in PATHS


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("path", ["~/videos", "~me/videos", "$HOME/videos", "${HOME}/videos"])
def test_path_that_only_a_shell_expands_is_refused_by_name(name: str, path: str):
    from moclip.base.errors import ParamsError
    from moclip.params.section import validated

    section, _, key = name.partition(".")
    values = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")[section]
    with pytest.raises(ParamsError, match=rf"parameter '{name}': .*write the path out"):
        validated(section, sections()[section], values | {key: path})


# All that DVC's own index reads and does not write; the stage `code` reads what its texts stand for.
DVC = """
import json
from dvc.repo import Repo
stages = [stage for stage in Repo().index.stages if stage.name != "code"]
outs = {out.fs_path for stage in stages for out in stage.outs}
deps = {dep.fs_path for stage in stages for dep in stage.deps if not dep.fs_path.endswith("params.yaml")}
near = lambda dep: any(dep == out or dep.startswith(out + "/") or out.startswith(dep + "/") for out in outs)
print(json.dumps([dep for dep in deps if not near(dep)]))
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """The project's graphs in a repository of their own, with something in the place of what stages bring."""
    return make_repository(tmp_path_factory.mktemp("copy"))


@pytest.mark.parametrize("related", [[], ["frames"]])
def test_inputs_are_those_that_dvc_itself_knows(copy: Repository, related: list[str]):
    copy.set(related=related)
    found = json.loads(copy.run(sys.executable, "-c", DVC))
    params = YAML(typ="safe", pure=True).load(copy.path / "params.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(copy.path)
        known = graph.inputs(params)
    assert {str(copy.path / path) for path in known} == set(found)
    copy.set(related=[])


def test_each_input_changes_the_digest(copy: Repository, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(copy.path)
    params: dict[str, Any] = YAML(typ="safe", pure=True).load(copy.path / "params.yaml")
    subprocess.run(["dvc", "repro", "-q", "code"], check=True, env=copy.env)
    brought = {path for stage in graph.sources(params) for path in stage.outs}
    for path in map(Path, brought):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("brought")
    before = graph.digester()(params)
    assert graph.digester()(params) == before
    for path in sorted({"dvc.yaml", "heads/dvc.yaml", *graph.inputs(params), *brought}):
        file = next(one for one in sorted([Path(path), *Path(path).rglob("*")]) if one.is_file())
        kept = file.read_bytes()
        file.write_bytes(kept + b"\n# changed\n")
        assert graph.digester()(params) != before, path
        file.write_bytes(kept)
    assert graph.digester()(params) == before
    own = Path("my own/p.yaml")
    own.parent.mkdir()
    shutil.copy("moclip/demo/prompts.yaml", own)
    chosen = params | {"clip": params["clip"] | {"prompts": str(own), "templates": "large"}}
    first = graph.digester()(chosen)
    own.write_text(own.read_text() + "\n")
    assert graph.digester()(chosen) != first, "a file of prompts that lies anywhere"


def test_no_path_and_no_free_text_reaches_a_shell():
    """What a command is filled with is a name that DVC has found as a dep, or one of the graph's own."""
    for name in ("dvc.yaml", "heads/dvc.yaml"):
        for stage, written in YAML(typ="safe", pure=True).load(ROOT / name)["stages"].items():
            for slot in re.findall(r"\S*\$\{[\w.]+\}\S*", written["cmd"]):
                assert not any(f"${{{path}}}" in slot for path in PATHS), f"{stage}: {slot}"
                paths = [str(entry) for kind in ("deps", "outs") for entry in written.get(kind, [])]
                of_graph = "${item.by." in slot  # written in the graph itself
                assert of_graph or any(slot in path for path in paths), f"{stage}: {slot}"


def test_any_path_works_and_nothing_of_it_is_run(tmp_path: Path):
    """A space, quotes and `$( )` in each path that the demo takes, run by DVC; the others never get near a command."""
    repository = make_repository(tmp_path)
    own = tmp_path / f"prompts/{NASTY}/p.yaml"
    own.parent.mkdir(parents=True)
    shutil.copy(tmp_path / "moclip/demo/prompts.yaml", own)
    params = YAML(typ="safe", pure=True).load(tmp_path / "params.yaml")
    root = f"data/{NASTY}"
    repository.set(
        data=params["data"] | {"root": root}, clip=params["clip"] | {"prompts": str(own.relative_to(tmp_path))}
    )
    repository.run("dvc", "repro", "-q", "cache_clip", "extract_motion")
    assert len(list((tmp_path / root).glob("demo-*"))) == 1
    assert (tmp_path / "data/clip/texts.npz").is_file()
    assert not list(tmp_path.rglob("pwned"))


@pytest.mark.parametrize(
    ("section", "key", "value", "stage"),
    [
        ("clip", "templates", "a$(touch pwned)", "cache_clip"),
        ("score_average", "clip_head", "x$(touch pwned)", "score_average"),
    ],
)
def test_a_name_is_refused_where_it_would_be_run(finished: Repository, section: str, key: str, value: str, stage: str):
    """The whole graph is asked for, and is at its end up to the stage that reads the name."""
    before = (finished.path / "params.yaml").read_text()
    finished.set(**{section: YAML(typ="safe", pure=True).load(before)[section] | {key: value}})
    try:
        done = subprocess.run(
            ["dvc", "repro"], cwd=finished.path, env=finished.env, capture_output=True, text=True, check=False
        )
    finally:
        (finished.path / "params.yaml").write_text(before)
    assert done.returncode
    assert not list(finished.path.rglob("pwned"))


def test_clone_with_windows_line_ends_has_the_same_bytes(tmp_path: Path):
    """`core.autocrlf`, as Git for Windows sets it, of this checkout's files."""
    source, clone = tmp_path / "source", tmp_path / "clone"
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "core.autocrlf=true"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "files"]):
        subprocess.run([*git, *words], cwd=source, check=True, capture_output=True)
    subprocess.run([*git, "clone", "-q", "--config", "core.autocrlf=true", str(source), str(clone)], check=True)
    same = [path.relative_to(source) for path in source.rglob("*") if path.is_file() and ".git" not in path.parts]
    assert len(same) > 300
    for path in same:
        assert (clone / path).read_bytes() == (source / path).read_bytes() == (ROOT / path).read_bytes(), path
    assert not subprocess.run(["git", "status", "--porcelain"], cwd=clone, check=True, capture_output=True).stdout
