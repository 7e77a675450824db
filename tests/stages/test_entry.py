import os
import subprocess
import sys
from pathlib import Path

import pytest

from moclip.base.errors import ParamsError
from stages._entry import arguments, data_root, repository, work_directory

ROOT = Path(__file__).parents[2]


def parse(monkeypatch: pytest.MonkeyPatch, *words: str):
    monkeypatch.setattr(sys, "argv", ["stage", *words])
    return arguments(
        *("per_class", "out"),
        optional=("chosen",),
        path_lists=("streams",),
        word_lists=("heads",),
        numbers=("split",),
    )


ALL = ("--per-class=a", "--out=b", "--streams", "c", "d", "--heads", "fusion", "x", "--split=2")


def test_arguments_have_their_types(monkeypatch):
    args = parse(monkeypatch, *ALL)
    assert (args.per_class, args.out, args.streams) == (Path("a"), Path("b"), [Path("c"), Path("d")])
    assert (args.split, args.heads, args.chosen) == (2, ["fusion", "x"], None)
    assert parse(monkeypatch, *ALL, "--chosen=c.json").chosen == Path("c.json")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (ALL[1:], "required: --per-class"),
        ((*ALL[:-1], "--spl=2"), "required: --split"),
        ((*ALL[:5], "--heads", "--split=2"), "--heads: expected at least one argument"),
        ((*ALL, "--more=1"), "unrecognized arguments: --more=1"),
        ((*ALL[:-1], "--split=one"), "--split: invalid int value: 'one'"),
    ],
)
def test_arguments_that_dvc_yaml_gets_wrong_are_refused(monkeypatch, capsys, words, message):
    with pytest.raises(SystemExit):
        parse(monkeypatch, *words)
    assert message in capsys.readouterr().err


def test_paths_hang_on_the_main_repository_not_on_an_experiments_copy(monkeypatch, tmp_path):
    copy, main = tmp_path / "copy", tmp_path / "main"
    copy.mkdir()
    monkeypatch.chdir(copy)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    assert repository() == copy
    monkeypatch.setenv("DVC_ROOT", str(main))
    assert data_root("data/videos") == main / "data/videos"
    assert data_root(str(tmp_path / "elsewhere")) == tmp_path / "elsewhere"
    assert work_directory("cache_clip-1").is_relative_to(main)


def test_a_clone_that_works_for_another_repository_takes_its_videos_and_its_work(monkeypatch, tmp_path):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "clone"))
    monkeypatch.setenv("MOCLIP_HOME", str(tmp_path))
    assert data_root("data/videos") == tmp_path / "data/videos"
    assert work_directory("cache_clip-1").parent == tmp_path / ".work"
    monkeypatch.setenv("MOCLIP_HOME", str(tmp_path / "mistyped"))
    with pytest.raises(ParamsError, match=r"MOCLIP_HOME is .*mistyped, which is no directory; name the main"):
        repository()


def stage(cwd: Path, program: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", program], cwd=cwd, env=env, capture_output=True, text=True, timeout=300, check=False
    )


def test_refusal_and_bug_are_one_message_and_a_trace_is_shown_on_demand(tmp_path, monkeypatch):
    (tmp_path / "params.yaml").write_text("seed: -3\n")
    imports = "from moclip.params.run import Seed; from stages._entry import run, section"
    refusal = stage(tmp_path, f"{imports}; run(lambda: section('seed', Seed))")
    assert refusal.returncode == 1
    assert refusal.stderr == "error: parameter 'seed': Input should be greater than or equal to 0 (value -3)\n"
    bug = stage(tmp_path, "from stages._entry import run; run(lambda: 1 / 0)")
    assert bug.returncode == 70
    assert bug.stderr.startswith("internal error: ZeroDivisionError: division by zero")
    assert "MOCLIP_VERBOSE=1" in bug.stderr
    assert bug.stderr.count("\n") == 1
    fine = stage(tmp_path, "from stages._entry import run; run(lambda: None)")
    assert fine.returncode == 0
    assert fine.stderr.startswith("stages: done in ")
    monkeypatch.setenv("MOCLIP_VERBOSE", "1")
    traced = stage(tmp_path, "from stages._entry import run; run(lambda: 1 / 0)")
    assert traced.returncode == 70
    assert traced.stderr.startswith("Traceback")
    monkeypatch.setenv("MOCLIP_VERBOSE", "")
    monkeypatch.setenv("MOCLIP_QUIET", "1")
    assert stage(tmp_path, "from stages._entry import run; run(lambda: None)").stderr == ""
