"""What `moclip doctor` finds, on this machine and in repositories that lack one thing each."""

import argparse
import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from moclip.base.errors import DataError
from moclip.cli import doctor
from moclip.cli.doctor import Finding, examine, next_command
from moclip.cli.places import Places
from moclip.heads.registry import HEADS
from stages.dvc.state import reasons
from tests.support.imports import ROOT

ARITHMETIC = {"kernels": "portable", "pinned": True, "digests": {"conv": "1", "gemm": "2"}}


def says(answer: str) -> tuple[str, ...]:
    """A command that prints this."""
    return (sys.executable, "-c", f"print({answer!r})")


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """A repository in which everything is done; PyTorch answers at once."""
    monkeypatch.setattr(doctor, "_DEVICE", """print('{"cuda": "13.0", "gpus": ["Board 1"]}')""")
    monkeypatch.setattr(doctor, "_ARITHMETIC", f"print({json.dumps(ARITHMETIC)!r})")
    (tmp_path / "fingerprint.json").write_text(json.dumps(ARITHMETIC))
    monkeypatch.delenv("DVC_NO_ANALYTICS", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    (tmp_path / "config").write_text("[core]\n    analytics = false\n")
    monkeypatch.delenv("DVC_SITE_CACHE_DIR", raising=False)
    (tmp_path / "state/repo").mkdir(parents=True)
    (tmp_path / "config.local").write_text(f"[core]\n\tsite_cache_dir = {tmp_path / 'state'}\n")
    (tmp_path / "data" / "videos").mkdir(parents=True)
    (tmp_path / "data" / "videos" / "a.avi").touch()
    (tmp_path / "manifest.csv").write_text("id,path\na,a.avi\n")
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip" / "meta.json").write_text('{"model": "ViT-B-32", "weights": "openai"}')
    for head in HEADS:
        (tmp_path / "preds" / head).mkdir(parents=True)
        for split in (1, 2, 3):
            (tmp_path / "preds" / head / f"split{split}.npz").touch()
    (tmp_path / "report.md").touch()
    return Places(
        params=tmp_path / "params.yaml",
        manifest=tmp_path / "manifest.csv",
        clip=tmp_path / "clip",
        predictions=tmp_path / "preds",
        report=tmp_path / "report.md",
        fingerprint=tmp_path / "fingerprint.json",
        dvc_config=tmp_path / "config",
        pipeline=says("{}"),
    )


def test_a_video_that_came_later_is_found_with_the_command_that_takes_it_in(places: Places) -> None:
    root = places.manifest.parent / "data/videos"
    (root / "jump").mkdir()
    (root / "jump" / "new.m2ts").touch()
    one = finding(places, "videos")
    assert (one.state, one.remedy) == ("missing", "dvc repro -f download")
    assert "first jump/new.m2ts" in one.found


def set_params(places: Places, section: str, **values: object) -> None:
    params = YAML().load(places.params)
    params[section].update(values)
    YAML().dump(params, places.params)


def finding(places: Places, name: str) -> Finding:
    """One finding; all the others must be as they are in a repository that is whole."""
    found = {one.name: one for one in examine(places)}
    assert {one.name for one in found.values() if one.state != "ok"} <= {name}
    return found[name]


def test_state_that_others_may_write_is_named_with_what_shuts_it(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DVC unpickles what lies there."""
    state = places.dvc_config.with_name("state")
    assert finding(places, "state").state == "ok"
    (state / "repo").chmod(0o777)
    assert finding(places, "state") == Finding(
        "state", "missing", f"DVC reads what every user of this machine may write: {state / 'repo'}", "make state"
    )
    (state / "repo").chmod(0o1777)
    assert finding(places, "state").state == "ok", "the sticky bit keeps others from renaming"
    (open_to_all := places.dvc_config.with_name("open")).mkdir()
    open_to_all.chmod(0o777)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(open_to_all / "site"))
    assert str(open_to_all) in finding(places, "state").found


def test_all_is_well_leads_to_a_prediction(places):
    found = examine(places)
    assert {one.state for one in found} == {"ok"}
    assert not any(one.remedy for one in found)
    by_name = {one.name: one.found for one in found}
    assert f"torch {metadata.version('torch')}" in by_name["packages"]
    assert by_name["device"] == "Board 1 (PyTorch built for CUDA 13.0)"
    assert by_name["videos"].startswith("1 in ")
    assert by_name["CLIP"].startswith("ViT-B-32 in ")
    assert by_name["heads"] == "24 of 24 have predictions"
    assert next_command(found) == "moclip predict VIDEO"


@pytest.mark.parametrize(
    ("here", "found", "remedy"),
    [
        ({}, "portable: AVX2 kernels, one thread; all 2 families give the recorded digits", ""),
        (
            {"digests": {"conv": "9", "gemm": "2"}},
            "portable: AVX2 kernels, one thread, but conv give other digits than recorded",
            "moclip verify, after a run",
        ),
        ({"pinned": False}, "no AVX2 on this CPU: only threads are pinned", "moclip verify, after a run"),
        ({"kernels": "native"}, "native: this machine's fastest kernels; other machines give other digits", ""),
    ],
)
def test_arithmetic_is_held_against_the_recorded_one(places, monkeypatch, here, found, remedy):
    monkeypatch.setattr(doctor, "_ARITHMETIC", f"print({json.dumps(ARITHMETIC | here)!r})")
    by_name = {one.name: one for one in examine(places)}
    assert (by_name["arithmetic"].found, by_name["arithmetic"].remedy) == (found, remedy)


def test_a_missing_and_an_outdated_package_are_named(places, monkeypatch):
    real = metadata.version

    def version(name: str) -> str:
        if name == "timm":
            raise metadata.PackageNotFoundError(name)
        return "1.0" if name == "av" else real(name)

    monkeypatch.setattr(metadata, "version", version)
    found = finding(places, "packages")
    assert (found.state, found.remedy) == ("missing", "make setup")
    assert found.found == "av is 1.0, needed is <19,>=18; timm is not installed"


def test_a_package_that_does_not_even_import_stops_no_other_check(places, monkeypatch):
    monkeypatch.setitem(sys.modules, "psutil", None)
    found = finding(places, "machine")
    assert found.state == "missing"
    assert "could not be checked (ModuleNotFoundError" in found.found


def test_a_broken_pytorch_is_told_by_its_last_word(places, monkeypatch):
    monkeypatch.setattr(doctor, "_DEVICE", "import os, sys; print('libcudart is gone', file=sys.stderr); os._exit(3)")
    found = finding(places, "device")
    assert (found.state, found.found) == ("missing", "PyTorch does not work (libcudart is gone)")


def test_telemetry_that_is_on_is_a_fault_unless_the_environment_ends_it(places, monkeypatch):
    places.dvc_config.write_text("[core]\n")
    assert finding(places, "telemetry").remedy == "dvc config core.analytics false"
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    assert finding(places, "telemetry").state == "ok"


def test_a_value_out_of_range_is_named(places):
    set_params(places, "fusion", hidden=-1)
    found = finding(places, "parameters")
    assert found.state == "missing"
    assert "parameter 'fusion.hidden': Input should be greater than or equal to 0 (value -1)" in found.found


@pytest.mark.parametrize("text", ["a: [1", "seed: 1\n", "", "- 1\n"])
def test_parameters_that_cannot_be_read_leave_the_rest_examined(places, text):
    places.params.write_text(text)
    found = {one.name: one for one in examine(places)}
    assert found["parameters"].state == "missing"
    assert found["stages"].state == found["report"].state == "ok"
    assert next_command(list(found.values())) == f"edit {places.params}"


def test_another_directory_than_the_repository_is_told(places):
    places.params.unlink()
    found = finding(places, "parameters")
    assert found.remedy == "cd to the repository of moclip"


def test_videos_that_the_manifest_lists_must_be_there(places):
    places.manifest.write_text("id,path\na,a.avi\nb,b.avi\nc,c.avi\n")
    found = finding(places, "videos")
    assert found.found.startswith("2 of 3 videos of ")
    assert found.found.endswith("first b.avi")
    assert found.state == "missing"


@pytest.mark.parametrize(
    ("values", "state", "words"),
    [
        ({"source": "demo"}, "todo", "demo, not there yet; they are generated"),
        ({"source": "ucf101", "archive": "thumos"}, "todo", "they are downloaded when"),
        ({"source": "folder", "root": "data/videos"}, "todo", "is there and not listed yet"),
        ({"source": "folder", "root": "elsewhere"}, "missing", "elsewhere is not there"),
    ],
)
def test_before_the_first_run_it_counts_where_videos_come_from(places, values, state, words):
    places.manifest.unlink()
    set_params(places, "data", **values)
    found = finding(places, "videos")
    assert found.state == state
    assert words in found.found


@pytest.mark.parametrize(
    ("values", "state", "words"),
    [
        ({"model": "demo"}, "todo", "the pipeline trains it"),
        ({"model": "ViT-B-32", "checkpoint": "absent.pt"}, "missing", "absent.pt is not there"),
        ({"model": "ViT-B-32", "checkpoint": "config"}, "todo", "config is there"),
        ({"model": "ViT-B-32", "pretrained": "openai"}, "todo", "whose cache has timm/vit, x/y"),
    ],
)
def test_before_the_first_run_it_counts_where_clip_comes_from(places, values, state, words, tmp_path, monkeypatch):
    for name in ("models--x--y", "models--timm--vit"):
        (tmp_path / "hub" / name).mkdir(parents=True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    (places.clip / "meta.json").unlink()
    set_params(places, "clip", **values)
    found = finding(places, "CLIP")
    assert found.state == state
    assert words in found.found


@pytest.mark.parametrize(
    ("command", "state", "words"),
    [
        (says('{"a": ["its code changed", "x"], "b": ["y"], "c": ["z"], "d": ["w"]}'), "todo",
         "4 to run: a (its code changed, and more), b (y), c (z) and 1 more"),
        ((sys.executable, "-c", "raise SystemExit('error: Unable to acquire lock')"), "todo",
         "another DVC command is at work"),
        ((sys.executable, "-c", "raise SystemExit('error: no DVC here')"), "missing", "(error: no DVC here)"),
    ],
)  # fmt: skip
def test_the_state_of_the_pipeline_is_told_in_words(places, command, state, words):
    found = finding(Places(**{**vars(places), "pipeline": command}), "stages")
    assert found.state == state
    assert words in found.found


@pytest.mark.parametrize(
    ("findings", "command"),
    [
        ([("packages", "missing"), ("videos", "missing")], "repair packages"),
        ([("packages", "ok"), ("videos", "todo"), ("stages", "todo")], "make repro"),
        ([("packages", "ok"), ("report", "ok"), ("stages", "todo")], "dvc repro"),
    ],
)
def test_the_next_command_is_the_first_thing_to_do(findings, command):
    assert next_command([Finding(name, state, "", f"repair {name}") for name, state in findings]) == command


@pytest.mark.parametrize(
    ("address", "state", "words"),
    [
        ("", "ok", "this machine does the work"),
        ("tls://head:8786", "ok", "tls://head:8786 does the work"),
        ("tcp://127.0.0.1:8786", "ok", "does the work"),
        ("tcp://head:8786", "missing", "whoever reaches that port runs code as you"),
        ("head", "missing", "MOCLIP_CLUSTER is head, which is no address and no file"),
    ],
)
def test_a_cluster_that_strangers_could_reach_is_warned_of(places, address, state, words, monkeypatch):
    monkeypatch.setenv("MOCLIP_CLUSTER", address)
    found = finding(places, "cluster")
    assert found.state == state
    assert words in found.found


def test_words_for_what_dvc_says():
    status: dict[str, list[Any]] = {
        "train": [{"changed deps": {"params.yaml": {"fusion.hidden": "modified"}, "moclip/a.py": "modified",
                                    "stages/b.py": "modified", "data/x": "deleted"}}, "changed command"],
        "split": [{"changed outs": {"data/y": "not in cache", "data/z": "modified"}}],
        "track": ["always changed"],
    }  # fmt: skip
    assert reasons(status) == {
        "train": ["fusion.hidden changed", "its code changed", "data/x is not there yet", "its command changed"],
        "split": ["data/y is not there", "data/z changed"],
    }


def test_the_command_examines_this_machine_and_this_repository():
    call = [sys.executable, "-c", "import sys; from moclip.cli.main import main; sys.exit(main())", "doctor"]
    done = subprocess.run([*call, "--json"], cwd=ROOT, capture_output=True, text=True, check=False)
    said = json.loads(done.stdout)
    found = {one["name"]: one for one in said["findings"]}
    assert not [one for one in found.values() if "could not be checked" in one["found"] and one["name"] != "stages"]
    assert found["python"]["found"] == ".".join(map(str, sys.version_info[:3]))
    assert "PyTorch built" in found["device"]["found"]
    assert done.returncode == int(any(one["state"] == "missing" for one in found.values()))
    assert said["next"]


def test_where_no_package_is_installed_it_says_so(tmp_path):
    program = "import sys; from moclip.cli.main import main; sys.exit(main(['doctor', '--json']))"
    (tmp_path / "library").mkdir()
    (tmp_path / "library/moclip").symlink_to(ROOT / "moclip")  # an editable install leaves its metadata beside it
    bare = {"PYTHONPATH": str(tmp_path / "library"), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-S", "-c", program], cwd=tmp_path, env=bare, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.splitlines()) == (
        1,
        ["doctor: looking at this machine and this repository (PyTorch and DVC take some seconds)"],
    )
    said = json.loads(done.stdout)
    found = {one["name"]: one for one in said["findings"]}
    assert (found["packages"]["state"], found["packages"]["remedy"]) == ("missing", "make setup")
    assert found["disk"]["state"] == "ok"
    assert [one["name"] for one in said["findings"] if one["state"] == "missing"] == ["packages"], "one thing to do"
    assert said["next"] == "make setup"


def test_outside_a_repository_the_next_step_leads_to_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor, "_DEVICE", """print('{"cuda": null, "gpus": []}')""")
    monkeypatch.setattr(doctor, "_ARITHMETIC", f"print({json.dumps(ARITHMETIC)!r})")
    assert doctor.run(argparse.Namespace(json=True)) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["next"] == "cd to the repository of moclip"
    assert not {one["name"] for one in said["findings"]} & {"telemetry", "state", "git", "tracking"}


def test_report_of_another_machine_is_not_called_done(places):
    for path in places.predictions.glob("*/*.npz"):
        path.unlink()
    found = {one.name: one for one in examine(places)}
    assert found["report"].state == "todo"
    assert "came with the repository" in found["report"].found


def test_lines_have_the_remedy_below(places, capsys):
    places.dvc_config.write_text("")
    assert doctor.run(argparse.Namespace(json=False), places) == 1
    lines = capsys.readouterr().out.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("missing  telemetry"))
    assert lines[at + 1].strip() == "-> dvc config core.analytics false"
    assert lines[-1] == "next: dvc config core.analytics false"


def test_repository_that_git_refuses_is_named_with_gits_own_advice(places, monkeypatch):
    def refuse(root: Path) -> None:
        raise DataError(
            f"Git refuses to read the repository at {root}: fatal: detected dubious ownership in repository at '/x y' "
            "To add an exception for this directory, call: git config --global --add safe.directory '/x y'; then"
        )

    monkeypatch.setattr("moclip.tracking.provenance.git_state", refuse)
    found = finding(places, "git")
    assert (found.state, found.remedy) == ("missing", "git config --global --add safe.directory '/x y'")


def test_mistyped_tracking_address_and_a_server_that_is_down_are_told(places, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "localhost:5000")
    found = finding(places, "tracking")
    assert "is no address" in found.found
    for scheme in ("http", "HTTP", "postgresql"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{scheme}://me:secret@127.0.0.1:9")
        found = finding(places, "tracking")
        assert re.search("(?:http|postgresql.*)://127.0.0.1:9 does not answer", found.found)
        assert "secret" not in found.found


def git(root: Path, *words: str, status: int = 0) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
    done = subprocess.run(["git", "-C", str(root), *identity, *words], check=False, capture_output=True, text=True)
    assert done.returncode == status, done.stderr


@pytest.mark.parametrize("then", ["nothing", "add", "commit"])
def test_merge_conflict_in_the_lock_is_named_and_the_remedy_takes_it_away(tmp_path, monkeypatch, capsys, then):
    """A real merge of two results; the pipeline of this repository is a small one. Then somebody adds its signs."""
    monkeypatch.setattr(doctor, "_DEVICE", "print('null')")
    monkeypatch.setattr(doctor, "_ARITHMETIC", "print('null')")
    graph = "stages:\n  one:\n    cmd: cp in.txt out.txt\n    deps: [in.txt]\n    outs: [out.txt]\n"
    (tmp_path / "dvc.yaml").write_text(graph)
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / ".gitconfig"))
    git(tmp_path, "init", "-q", "-b", "main")
    subprocess.run(["dvc", "init", "-q"], check=True)
    for branch, text in (("main", "first"), ("other", "second"), ("main", "third")):
        if text != "first":
            git(tmp_path, "checkout", "-q", *(["-b"] if branch == "other" else []), branch)
        (tmp_path / "in.txt").write_text(text)
        subprocess.run(["dvc", "repro", "-q"], check=True)
        git(tmp_path, "add", "-A")
        git(tmp_path, "commit", "-qm", text)
    git(tmp_path, "merge", "-q", "other", status=1)
    (tmp_path / "in.txt").write_text("merged")
    git(tmp_path, "add", "in.txt")
    if then != "nothing":
        git(tmp_path, "add", "-A")
    if then == "commit":
        git(tmp_path, "commit", "-qm", "signs")
    assert doctor.run(argparse.Namespace(json=True)) == 1
    (found,) = [one for one in json.loads(capsys.readouterr().out)["findings"] if one["name"] == "stages"]
    assert found["found"] == "dvc.lock: a merge conflict"
    subprocess.run(["sh", "-c", found["remedy"]], check=True, capture_output=True)
    assert doctor._conflict(tmp_path) is None
    assert (tmp_path / "out.txt").read_text() == "merged"
    git(tmp_path, "commit", "-qm", "merged")
