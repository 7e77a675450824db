import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from moclip.base.files import write_json
from moclip.cli.main import COMMANDS, main
from moclip.cli.options.scripts import SCRIPTS
from tests.support.imports import ROOT

N_TEST = {"1": 9, "3": 8}
SUMMARY = {
    "dataset": "demo",
    "splits": [1, 3],
    "confidence_pct": 95.0,
    "heads": {
        "fusion": {
            "top1_pct": {"mean": 80.04, "per_split": {"1": 79.0, "3": 81.08}},
            "top1_interval_pct": {"mean": {"low": 71.96, "high": 88.0}},
            "n_test": N_TEST,
        },
        "zero_shot": {
            "top1_pct": {"mean": 50, "per_split": {"1": 50, "3": 50}},
            "top1_interval_pct": {"mean": None},
            "n_test": N_TEST,
        },
    },
}


def test_results_prints_every_head_with_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_json(tmp_path / "summary.json", SUMMARY)
    assert main(["results", str(tmp_path / "summary.json")]) == 0
    assert capsys.readouterr().out.splitlines()[:4] == [
        "data set: demo",
        "top-1 in %  split 1  split 3  mean  95 % interval  test videos",
        "zero_shot      50.0     50.0  50.0              -        9 + 8",
        "fusion         79.0     81.1  80.0   72.0 to 88.0        9 + 8",
    ]


def test_refusal_is_one_message_and_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["results", str(tmp_path / "absent.json")]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.match(r"error: .*absent\.json: cannot be read", printed.err)


def test_refused_words_are_spelled(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["motion", "a.avi", "--\x1b[31mred.avi"])
    assert ended.value.code == 2
    assert "unrecognized arguments: --\\x1b[31mred.avi" in capsys.readouterr().err


def test_preset_without_a_name_lists_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["preset", "--directory", str(ROOT / "presets")]) == 0
    printed = capsys.readouterr().out
    table, _, said = printed.partition("\n\n")
    assert re.search(r"^demo +4 min +0\.3 GB +generated demo data", table, re.MULTILINE)
    assert re.search(r"^ucf101 +not run here +14 GB +UCF101", table, re.MULTILINE)
    assert re.search(r"^gpu +- +- +one CUDA GPU", table, re.MULTILINE)
    starts = {re.match(r"(\S+ ?)+ {2,}", line).end() for line in table.splitlines()}  # type: ignore[union-attr]
    assert len(starts) == 1, "one column for all times"
    assert "They stack" in said


def test_a_stack_of_presets_says_what_each_overrides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    words = ["preset", "ucf101", "gpu", "related", "--directory", str(ROOT / "presets")]
    assert main([*words, "--params", str(tmp_path / "params.yaml")]) == 0
    base, gpu, related, last = capsys.readouterr().out.splitlines()
    assert base.startswith("ucf101: overrides ")
    assert base.endswith(" more")
    assert gpu.startswith("gpu: overrides compute.device (auto -> cuda), ")
    assert related == "related: overrides related (0 of them -> 1 of them), heads (8 of them -> 21 of them)"
    assert f"{tmp_path / 'params.yaml'} now holds ucf101 + gpu + related" in last


def documented_commands() -> list[list[str]]:
    """Commands in the shell blocks of README, CONTRIBUTING and the pages of docs, and in their backticks."""
    text = "".join(
        page.read_text() for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md"))
    )
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL)).splitlines()
    inline = re.findall(r"`((?:make|moclip|dvc) [^`]+)`", text)
    return [shlex.split(line, comments=True) for line in [*blocks, *inline] if line.strip()]


def test_documented_commands_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    presets = {path.stem for path in (ROOT / "presets").glob("*.yaml")} | {"NAME"}
    found = set()
    for words in documented_commands():
        found.add(words[0])
        if words[0] == "make":
            assert {word for word in words[1:] if "=" not in word} <= targets, words
        if words[:2] == ["moclip", "preset"]:
            assert set(words[2:]) <= presets, words
    assert {"make", "moclip", "dvc"} <= found


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["pre"], {"preset", "predict"}),
        (["predict", "--re"], {"--reencode"}),
        (["preset", "--dir"], {"--directory"}),
        (["verify", "--ag"], {"--against"}),
        (["preset", "ucf101_p"], {"ucf101_paper", "ucf101_part"}),
        (["predict", "--head", "f"], {"fusion"}),
        (["ablate", "motion-on"], {"motion-only"}),
        (["compare", "tried-"], {"tried-first", "tried-second"}),
        (["compare", "tried-first", "tried-s"], {"tried-second"}),
        (["verify", "--against", "HE"], {"HEAD"}),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, list) else "",
)
def test_bash_completes_commands_options_and_words_that_exist(
    words: list[str], expected: set[str], tmp_path: Path
) -> None:
    """In a repository with two experiments, one of them also a tag, and references of DVC's own."""
    for name in ("presets", "ablations.yaml"):
        (tmp_path / name).symlink_to(ROOT / name)
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "first"], check=True)
    for ref in (f"refs/exps/{'a' * 2}/{'b' * 38}/tried-first", "refs/tags/tried-second", "refs/exps/tried-none"):
        subprocess.run([*git, "update-ref", ref, "HEAD"], check=True)
    script = (
        'eval "$1"; shift; COMP_WORDS=(moclip "$@"); COMP_CWORD=$#; _shtab_moclip; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    made = subprocess.run(
        [sys.executable, "-m", "moclip", "completion", "bash"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    done = subprocess.run(
        ["bash", "-c", script, "bash", made.stdout, *words],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=env,
    )
    assert set(done.stdout.split()) == expected


def test_each_command_is_told_in_a_line_of_a_narrow_terminal() -> None:
    env = {**os.environ, "COLUMNS": "80"}
    command = [sys.executable, "-m", "moclip", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=env)
    lines = done.stdout.partition("  COMMAND\n")[2].partition("\n\n")[0].splitlines()
    assert [line.split()[0] for line in lines] == [*COMMANDS, *SCRIPTS]


def test_version_and_module_say_what_runs() -> None:
    command = [sys.executable, "-m", "moclip", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert re.fullmatch(r"moclip [\d.]+ \(Python [\d.]+; torch \S+, open_clip_torch .*mlflow \S+\)\n", done.stdout)


@pytest.mark.parametrize(("command", "words"), [("compare", "EXP"), ("ablate", "--jobs"), ("verify", "--against")])
def test_scripts_give_help_before_they_import(command: str, words: str) -> None:
    """The silence was the fault: help and slips wait for no library."""
    heavy = {"numpy", "scipy", "pydantic", "jinja2", "dvc", "moclip.results", "moclip.report"}
    code = (
        "import atexit, sys; from stages.commands import start\n"
        f"atexit.register(lambda: print('HEAVY', sorted({heavy!r} & set(sys.modules))))\n"
        "sys.argv = ['start', *sys.argv[1:]]; start.main()"
    )
    for more, status in (("--help", 0), ("--nonsense", 2)):
        done = subprocess.run(
            [sys.executable, "-c", code, command, more], capture_output=True, text=True, check=False, cwd=ROOT
        )
        assert (done.returncode, words in done.stdout + done.stderr) == (status, True)
        assert done.stdout.endswith("HEAVY []\n")
    asked = subprocess.run(
        [sys.executable, "-m", "moclip", command, "--help"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert asked.stdout.startswith(f"usage: moclip {command} [-h] [-q] [-v] ")


@pytest.mark.parametrize("words", [["preset"], ["results"], ["data", "verify"], ["preset", "demo"]])
def test_outside_a_repository_commands_say_where_to_go(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 1
    told = capsys.readouterr().err
    assert "repository of moclip" in told or "`dvc repro download` writes it" in told
    assert "Errno" not in told


def test_help_names_every_command_without_heavy_imports() -> None:
    heavy = "{'torch', 'mlflow', 'av', 'numpy'} & set(sys.modules)"
    code = f"import sys; from moclip.cli.main import main\ntry: main(['--help'])\nfinally: print(sorted({heavy}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.endswith("[]\n")
    used = {words[1] for words in documented_commands() if words[0] == "moclip" and len(words) > 1}
    assert {"preset", "predict", "ablate"} <= used
    for command in used - {"COMMAND"}:
        assert re.search(rf"^ +{command} ", done.stdout, re.MULTILINE)
