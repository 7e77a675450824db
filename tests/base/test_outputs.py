"""No command removes, empties or overwrites what it did not write, nor what it reads."""

import argparse
import itertools
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from moclip.base import console, outputs
from moclip.base.errors import OutputError
from moclip.base.files import read_npz, sha256_file
from moclip.cli import main as cli
from moclip.cli import report, search
from moclip.cli.options.scripts import SCRIPTS, parser_of
from moclip.data import audit
from moclip.predict import onnx as exporting
from moclip.predict import portable
from moclip.predict.bundle import open_model, write_bundle
from moclip.report.reader.systems import TABLE
from moclip.results.verification import VERDICTS
from moclip.search import ask, sheet
from moclip.tracking import registry
from moclip.video import container
from moclip.video import decode as video
from stages.commands import ablate, compare, verify
from stages.dvc.experiments import DONE
from tests.support.clips import encode, scrolling
from tests.support.imports import ROOT
from tests.support.trained import pipeline

SEED = 20261126
SWEEP = 500
PAIRS = SWEEP if os.environ.get("MOCLIP_SWEEP") == "1" else SWEEP // 10


@dataclass
class Scene:
    """A folder with all that commands read."""

    root: Path
    video: Path = field(init=False)
    videos: Path = field(init=False)
    model: Path = field(init=False)
    preset: Path = field(init=False)
    manifest: Path = field(init=False)
    report: Path = field(init=False)

    def __post_init__(self) -> None:
        self.video, self.videos, self.model = (self.root / name for name in ("own.mp4", "videos", "model"))
        self.preset, self.manifest = self.root / "presets" / "micro.yaml", self.root / "manifest.csv"
        self.report = self.root / "report.md"


@dataclass(frozen=True)
class Output:
    """An option that names an output: how its command is called, and what is written for a target.

    Attributes:
        ending: Of the target; none for a folder.
        call: Command line for a scene and a target.
        source: What the command reads, that could be named as its output.
        written: The files that a target stands for; a folder stands for all in it.
        again: Whether an old output of its own is replaced.
    """

    ending: str
    call: Callable[[Scene, Path], list[Any]]
    source: Callable[[Scene], Path]
    written: Callable[[Path], list[Path]] = lambda target: [target]
    again: bool = True


def page_and_table(page: Path) -> list[Path]:
    return [page, page.with_suffix(".csv")]


def derived(ending: str) -> Callable[[Path], list[Path]]:
    return lambda folder: [folder / f"a.mp4{ending}", folder / "deep" / f"b.mp4{ending}"]


def data_audit(scene: Scene, target: Path) -> list[Any]:
    return [
        "data",
        "audit",
        "--manifest",
        scene.manifest,
        "--splits",
        scene.root,
        "--root",
        scene.root,
        "--csv",
        target,
    ]


def searching(scene: Scene, option: str, target: Path) -> list[Any]:
    return ["search", "a square", scene.video, "--model", scene.model, "--cache", scene.root / "cache", option, target]


class Searched:
    """The search of one video, whose answer is known."""

    def __init__(self, *given: Any) -> None:
        self.question = SimpleNamespace(title="a square", unit="cosine")

    def look(self, videos: list[Path], failures: list[str]) -> dict[Path, Any]:
        return {path: SimpleNamespace(is_steady=True, start_s=0.0) for path in videos}

    def curves(self, seen: dict[Path, Any], failures: list[str]) -> dict[Path, Any]:
        return {path: np.zeros(1) for path in seen}


# Every option of every command that names an output, by command and option.
OUTPUTS: dict[tuple[str, str], Output] = {
    ("motion", "--out"): Output(".npz", lambda s, t: ["motion", s.video, "--out", t], lambda s: s.video),
    ("motion", "--png"): Output(".png", lambda s, t: ["motion", s.video, "--png", t], lambda s: s.video),
    ("motion", "--mp4"): Output(".mp4", lambda s, t: ["motion", s.video, "--mp4", t], lambda s: s.video),
    ("bundle", "--out"): Output(
        "", lambda s, t: ["bundle", "--no-onnx", "--model", s.model, "--out", t], lambda s: s.model
    ),
    ("export", "--out"): Output("", lambda s, t: ["export", "--model", s.model, "--out", t], lambda s: s.model),
    ("preset", "--params"): Output(
        ".yaml",
        lambda s, t: ["preset", "micro", "--directory", s.preset.parent, "--params", t],
        lambda s: s.preset,
    ),
    ("bundle", "--mlflow"): Output(
        "",
        lambda s, t: ["bundle", "--model", s.model, "--out", s.root / "made", "--mlflow", t],
        lambda s: s.model,
    ),
    ("data audit", "--csv"): Output(".csv", data_audit, lambda s: s.manifest, again=False),
    ("compare", "--out"): Output(
        ".md", lambda s, t: ["compare", "other", "--out", t], lambda s: s.manifest, page_and_table
    ),
    ("search", "--cut"): Output("", lambda s, t: searching(s, "--cut", t), lambda s: s.video),
    ("search", "--sheet"): Output(".png", lambda s, t: searching(s, "--sheet", t), lambda s: s.video),
    ("ablate", "--out"): Output(".md", lambda s, t: ["ablate", "--out", t], lambda s: s.manifest, page_and_table),
    ("verify", "--out"): Output(".txt", lambda s, t: ["verify", "--out", t], lambda s: s.manifest, again=False),
    ("predict", "--mp4"): Output(
        ".mp4",
        lambda s, t: ["predict", s.video, "--model", s.model, "--head", "motion_only", "--mp4", t],
        lambda s: s.video,
    ),
    ("report", "--html"): Output(".html", lambda s, t: ["report", s.report, "--html", t], lambda s: s.report),
    ("report", "--systems"): Output(".md", lambda s, t: ["report", s.report, "--systems", t], lambda s: s.report),
    ("report", "--errors"): Output(".html", lambda s, t: ["report", "--errors", t], lambda s: s.manifest),
    ("report", "--fiftyone"): Output("", lambda s, t: ["report", "--fiftyone", t], lambda s: s.videos),
}
# The same options for a folder of videos.
FOLDERS = {
    ("motion FOLDER", f"--{option}"): Output(
        "",
        lambda s, t, option=option: ["motion", s.videos, f"--{option}", t],  # type: ignore[misc]
        lambda s: s.videos,
        derived(f".{ending}"),
    )
    for option, ending in (("out", "npz"), ("png", "png"), ("mp4", "mp4"))
}
CASES = OUTPUTS | FOLDERS
# Options and arguments that take a value and name no output.
OTHERS = {
    ("preset", "name"), ("preset", "--directory"),
    ("predict", "--engine"), ("search", "--engine"), ("init", "directory"),
    ("predict", "--limit"), ("motion", "--limit"), ("search", "--limit"), ("data audit", "--limit"),
    ("results", "summary"), ("results", "--report"), ("results", "--costs"),
    ("motion", "video"), ("motion", "--cell-px"), ("motion", "--reference"), ("motion", "--distance"),
    ("data verify", "--against"), ("data verify", "--manifest"), ("data verify", "--root"), ("data verify", "--params"),
    ("data audit", "--motion"),
    ("data audit", "--splits"), ("data audit", "--manifest"), ("data audit", "--root"), ("data audit", "--params"),
    ("predict", "videos"), ("predict", "--model"), ("predict", "--split"), ("predict", "--head"), ("predict", "--top"),
    ("bundle", "--model"), ("bundle", "--split"), ("bundle", "--push"),
    ("export", "--model"), ("export", "--split"), ("export", "--head"),
    ("compare", "experiments"), ("compare", "--baseline"),
    *(("search", name) for name in ("words", "--model", "--split", "--top", "--every", "--chunks", "--chunk")),
    ("search", "--merge"),
    *(("search", name) for name in ("--class", "--head", "--like", "--by", "--cache")),
    ("ablate", "names"), ("ablate", "--jobs"), ("ablate", "--seeds"), ("ablate", "--suite"),
    ("verify", "--against"), ("predict", "--window"), ("completion", "shell"), ("completion", "--words"),
    *(("report", name) for name in ("report", "--head", "--over", "--split", "--most", "--limit")),
}  # fmt: skip


def options(parser: argparse.ArgumentParser, name: str) -> Iterator[tuple[str, str]]:
    """Everything that takes a value, by command and name."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, inner in action.choices.items():
                yield from options(inner, f"{name} {word}".strip())
        elif action.nargs != 0:
            yield name, action.option_strings[-1] if action.option_strings else action.dest


def test_every_option_that_names_an_output_is_known_here() -> None:
    """An option that is new belongs into one of the two lists: outputs are then put to all tests below."""
    found = [
        *options(cli.parser_of(cli.COMMANDS), ""),
        *(one for name in SCRIPTS for one in options(parser_of(name), name)),
    ]
    assert set(found) == set(OUTPUTS) | OTHERS


@pytest.fixture(scope="module")
def prepared(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a scene is copied from: small, as no command here reads CLIP's weights."""
    scene = Scene(tmp_path_factory.mktemp("prepared"))
    encode(scene.video, scrolling(4, 3, -2, width=64, height=64), "libx264")
    (scene.videos / "deep").mkdir(parents=True)
    for name in ("a.mp4", "deep/b.mp4"):
        shutil.copy(scene.video, scene.videos / name)
    shutil.copytree(trained / "models", scene.root / "models")
    shutil.copytree(trained / "data", scene.root / "data", ignore=shutil.ignore_patterns("videos", "motion"))
    (scene.root / "models/clip/open_clip_model.safetensors").write_bytes(b"weights")
    write_bundle(scene.model, open_model(pipeline(scene.root)))
    shutil.rmtree(scene.root / "models")
    shutil.copy(trained / "data/manifest.csv", scene.manifest)
    shutil.copy(trained / "data/splits/split1.csv", scene.root)
    scene.report.write_text(f"# Report\n\n## {TABLE}\n")
    shutil.rmtree(scene.root / "data")
    shutil.copytree(ROOT / "presets", scene.preset.parent)
    return scene.root


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what takes long or needs a repository; all that has to do with outputs stays."""

    def write_onnx(path: Path, *given: Any) -> float:
        path.write_bytes(b"network")
        return 0.0

    def write_networks(folder: Path, *given: Any) -> dict[str, str]:
        folder.mkdir()
        (folder / "networks.json").write_text("{}")
        return {}

    numbers = itertools.count()  # so that no page is like the one before
    table = pd.DataFrame({"split": [1]})
    found = SimpleNamespace(
        parts=table, by_class=table, associations=[], warnings=[], as_csv=lambda: f"split\n{next(numbers)}\n"
    )
    fakes: dict[Any, dict[str, Any]] = {
        exporting: {"write_onnx": write_onnx, "check_extra": lambda: None},
        portable: {"write_networks": write_networks},
        registry: {"write_served": lambda folder, bundle: (folder / "MLmodel").write_text(f"{next(numbers)}")},
        container: {"read_containers": lambda paths: {}},
        audit: {"audit": lambda *given: found},
        search: {"_Search": Searched},
        ask: {
            "moments": lambda video, *given: [ask.Moment(video, (0, 1), 0.0, 0.16, 0.5, 0, None)],
            "best_of": lambda by_video, top: [one for of_video in by_video.values() for one in of_video],
        },
        sheet: {"draw_sheet": lambda *given: Image.new("RGB", (8, 8), (next(numbers) % 256, 0, 0))},
        compare: {
            "level_of_params": lambda: None,
            "find": lambda name: SimpleNamespace(name=name, state=DONE),
            "_variant": lambda *given: None,
            "compare": lambda *given: SimpleNamespace(rows=[]),
            "as_text": lambda found: "",
            "as_markdown": lambda found: f"# {next(numbers)}\n",
        },
        verify: {
            "find": lambda name: name,
            "_files": lambda *given: Path(),
            "_lock": lambda *given: None,
            "origins": lambda *given: SimpleNamespace(not_comparable=[], other=["x"]),
            "_heads": lambda *given: ["fusion"],
            "_checks": lambda *given: [None],
            "worst": lambda checks: VERDICTS[0],
            "_as_text": lambda *given: "verdict\n",
        },
        report: {
            "_params": lambda places: {"data": {"root": "videos"}, "splits": [1]},
            "_found": lambda *given: ([], []),
            "_page": lambda *given: f"<!-- {next(numbers)} -->\n",
        },
        ablate: {
            "level_of_params": lambda: None,
            "read_encoders": lambda suite: None,
            "read_suite": lambda *given: [],
            "choose": lambda suite, names: [],
            "all_params": lambda: {"seed": 0},
            "store_at": lambda *given: None,
            "program": SimpleNamespace(run=lambda *given, **options: SimpleNamespace(returncode=0)),
            "graph": SimpleNamespace(sources=lambda params: [], digester=lambda: str),
            "plan": lambda *given: ([], []),
            "bring": lambda *given: {},
            "read_runs": lambda jobs: {},
            "baselines": dict,
            "questions": SimpleNamespace(as_markdown=lambda *given: f"# {next(numbers)}\n"),
        },
    }
    for module, names in fakes.items():
        for name, fake in names.items():
            monkeypatch.setattr(module, name, fake)


def run(words: list[Any]) -> int:
    """Call a command as its user does, in this process."""
    first, *rest = map(str, words)
    if first not in SCRIPTS:
        return cli.main([first, *rest])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [first, *rest])
        return console.run({"compare": compare, "ablate": ablate, "verify": verify}[first].main, more="--verbose")


def copied(prepared: Path, root: Path) -> Scene:
    shutil.copytree(prepared, root)
    return Scene(root)


def tree(root: Path) -> dict[Path, str]:
    """What lies below a folder: of files the SHA-256, of links where they lead."""
    return {path: _content(path) for path in sorted(root.rglob("*"))}


def _content(path: Path) -> str:
    if path.is_symlink():
        return f"link to {path.readlink()}"
    return "folder" if path.is_dir() else sha256_file(path) if path.is_file() else "no file"


# What may lie at a target already. Each maker takes the output, scene, target and chance; it returns the target to
# name and what of it the command may replace.
Target = tuple[Path, list[Path]]
Maker = Callable[[Output, Scene, Path, random.Random], Target]


def nothing(output: Output, scene: Scene, target: Path, chance: random.Random) -> Target:
    return target, []


def foreign_file(output: Output, scene: Scene, target: Path, chance: random.Random) -> Target:
    target.write_bytes(chance.choice([b"", b"years of work", chance.randbytes(3000)]))
    return target, []


def source_of_others(output: Output, scene: Scene, target: Path, chance: random.Random) -> Target:
    """A file of the right form, by somebody else."""
    shutil.copy(chance.choice([scene.video, scene.manifest, ROOT / "README.md"]), target)
    return target, []


def pipe(output: Output, scene: Scene, target: Path, chance: random.Random) -> Target:
    os.mkfifo(target)
    return target, []


def foreign_folder(output: Output, scene: Scene, target: Path, chance: random.Random) -> Target:
    target.mkdir()
    (target / chance.choice(["thesis.tex", ".hidden", "bundle.json", "model.json"])).write_text("{}")
    return target, []


def empty_folder(output: Output, scene: Scene, target: Path, chance: random.Random) -> Target:
    target.mkdir()
    return target, []


def link(output: Output, scene: Scene, target: Path, chance: random.Random) -> Target:
    target.symlink_to(chance.choice([scene.manifest, scene.videos, scene.root / "nowhere", target]))
    return target, []


def link_to_own(output: Output, scene: Scene, target: Path, chance: random.Random) -> Target:
    kept = scene.root / f"kept{output.ending}"
    old_output(output, scene, kept, chance)
    target.symlink_to(kept)
    return target, output.written(kept) if output in FOLDERS.values() else []


def own_input(output: Output, scene: Scene, target: Path, chance: random.Random) -> Target:
    source = output.source(scene)
    away = source.parent / "videos" / ".." / source.name if source.parent == scene.root else source
    return chance.choice([source, away, source.parent, source / f"inside{output.ending}"]), []


def own_input_by_another_name(output: Output, scene: Scene, target: Path, chance: random.Random) -> Target:
    source = output.source(scene)
    if source.is_dir() or chance.random() < 0.5:
        target.symlink_to(source)
    else:
        target.hardlink_to(source)
    return target, []


def below_a_file(output: Output, scene: Scene, target: Path, chance: random.Random) -> Target:
    return chance.choice([scene.manifest, scene.video, scene.manifest / "deeper"]) / target.name, []


def no_name(output: Output, scene: Scene, target: Path, chance: random.Random) -> Target:
    return chance.choice([scene.videos / "..", Path()]), []


def odd_name(output: Output, scene: Scene, target: Path, chance: random.Random) -> Target:
    name = chance.choice(["a:b", "pipe:1", "x" * 300, "-", "ä b%d", "*", "concat:a|b"])
    return scene.root / f"{name}{output.ending}", []


def old_output(output: Output, scene: Scene, target: Path, chance: random.Random) -> Target:
    if output is OUTPUTS["preset", "--params"]:
        shutil.copy(ROOT / "params.yaml", target)
    else:
        assert run(output.call(scene, target)) == 0
    written = output.written(target)
    return target, [path for place in written for path in [place, *place.rglob("*")]] if output.again else []


def changed_output(output: Output, scene: Scene, target: Path, chance: random.Random) -> Target:
    """An old output of which a file was changed since: that file is no longer the command's."""
    old_output(output, scene, target, chance)
    places = [target, *target.rglob("*"), *output.written(target)]
    files = [path for path in dict.fromkeys(places) if path.is_file()]
    path = chance.choice(files)
    content = bytearray(path.read_bytes())
    place = chance.randrange(len(content))
    content[place] ^= 1 << chance.randrange(8)
    path.write_bytes(content if chance.random() < 0.5 else path.read_bytes() + b"a note")
    return target, [target] if output is OUTPUTS["preset", "--params"] else []


def output_with_a_note(output: Output, scene: Scene, target: Path, chance: random.Random) -> Target:
    _, own = old_output(output, scene, target, chance)
    if not target.is_dir():
        (target.parent / f"{target.stem}.txt").write_text("a note")
        return target, own
    places = [target, *(path for path in target.rglob("*") if path.is_dir())]
    note = chance.choice(places) / chance.choice(["note.txt", ".note", "bundle.json~"])
    chance.choice(
        [lambda: note.write_text("a note"), note.mkdir, lambda: note.symlink_to(scene.video), lambda: os.mkfifo(note)]
    )()
    return target, own if output in FOLDERS.values() else []


MAKERS: tuple[Maker, ...] = (
    *(nothing, foreign_file, source_of_others, pipe, foreign_folder, empty_folder, link, link_to_own),
    *(own_input, own_input_by_another_name, below_a_file, no_name, odd_name),
    *(old_output, changed_output, output_with_a_note),
)


@dataclass(frozen=True)
class Outcome:
    status: int
    error: str
    lost: list[Path]


def tried(
    output: Output, maker: Maker, scene: Scene, chance: random.Random, capsys: pytest.CaptureFixture[str]
) -> Outcome:
    """What a command does where something lies at its target."""
    target, own = maker(output, scene, scene.root / f"target{output.ending}", chance)
    before = tree(scene.root)
    capsys.readouterr()
    status = run(output.call(scene, target))
    after = tree(scene.root)
    lost = [path for path, content in before.items() if after.get(path) != content and path not in own]
    assert not [path for path in after if ".part" in path.name], "nothing half-written stays"
    return Outcome(status, capsys.readouterr().err, lost)


@pytest.mark.sweep
@pytest.mark.usefixtures("light")
def test_nothing_is_lost_whatever_lies_at_the_output(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Random pairs of command and existing target; MOCLIP_SWEEP=1 tries all 500."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for number in range(PAIRS):
        chance = random.Random(SEED + number)
        (name, output), maker = chance.choice(list(CASES.items())), chance.choice(MAKERS)
        scene = copied(prepared, tmp_path / str(number))
        outcome = tried(output, maker, scene, chance, capsys)
        pair = f"pair {number}: {' '.join(name)}, {maker.__name__}: {outcome}"
        assert outcome.lost == [], pair
        assert outcome.status in (0, 1), pair
        assert outcome.error.count("error: ") == outcome.status, pair
        shutil.rmtree(scene.root)


REFUSED = (foreign_file, foreign_folder, link, own_input_by_another_name, below_a_file, no_name)


@pytest.mark.usefixtures("light")
@pytest.mark.parametrize("maker", REFUSED, ids=lambda maker: maker.__name__)
@pytest.mark.parametrize("case", OUTPUTS, ids="".join)
def test_what_is_not_its_own_is_refused_with_the_path_and_left(
    case: tuple[str, str], maker: Maker, prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = copied(prepared, tmp_path / "scene")
    outcome = tried(OUTPUTS[case], maker, scene, random.Random(SEED), capsys)
    assert (outcome.status, outcome.lost) == (1, [])
    assert outcome.error.startswith("error: ")
    assert outcome.error.count("\n") == 1
    assert maker is no_name or str(scene.root) in outcome.error


@pytest.mark.usefixtures("light")
@pytest.mark.parametrize("case", CASES, ids="".join)
def test_own_output_is_written_again_but_not_once_it_was_changed(
    case: tuple[str, str], prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, chance = CASES[case], random.Random(SEED)
    scene = copied(prepared, tmp_path / "scene")
    outcome = tried(output, old_output, scene, chance, capsys)
    assert (outcome.status, outcome.lost) == (0 if output.again else 1, [])
    if case == ("preset", "--params"):
        return  # it edits what a person wrote, which is its purpose
    outcome = tried(output, changed_output, copied(prepared, tmp_path / "changed"), chance, capsys)
    assert (outcome.status, outcome.lost) == (1, [])


def test_seals_leave_files_readable_and_tell_a_change(tmp_path: Path) -> None:
    source = encode(tmp_path / "source.mp4", scrolling(4, 3, -2, width=64, height=64), "libx264")
    assert (
        run(["motion", source, *(word for form in ("png", "mp4") for word in (f"--{form}", tmp_path / f"a.{form}"))])
        == 0
    )
    assert run(["motion", source, "--out", tmp_path / "a.npz"]) == 0
    assert read_npz(tmp_path / "a.npz", "mv_px")["mv_px"].shape == (4, 4, 4, 2)
    assert video.probe(tmp_path / "a.mp4").frames == 4
    with Image.open(tmp_path / "a.png") as image:
        image.load()
        assert image.info["Software"].startswith("written by moclip, SHA-256 ")
    np.savez(tmp_path / "saved.npz", **read_npz(tmp_path / "a.npz", "mv_px", "key_frame", "cell_px", "fps"))
    with pytest.raises(OutputError, match="is there already, and not as moclip wrote it"):
        outputs.claim_file(tmp_path / "saved.npz", "npz")
    with pytest.raises(OutputError, match="is there already"):
        outputs.claim_file(tmp_path / "a.mp4", "png")


def test_a_manifest_that_was_changed_lists_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    with outputs.writing_directory(folder, "m.json") as temporary:
        (temporary / "part").write_text("part")
        outputs.write_manifest(temporary, "m.json", {"split": 1})
    outputs.claim_directory(folder, "m.json")
    text = (folder / "m.json").read_text()
    for changed in (text.replace('"split": 1', '"split": 2'), "[]", "{}", "no JSON"):
        (folder / "m.json").write_text(changed)
        with pytest.raises(OutputError, match=r"folder: holds m\.json, which is not as moclip wrote it"):
            outputs.claim_directory(folder, "m.json")


def refusal(claim: Callable[[], None]) -> str:
    with pytest.raises(OutputError) as caught:
        claim()
    return str(caught.value)


def test_each_refusal_has_path_rule_and_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mine, folder, pointer = Path("mine"), Path("folder"), Path("pointer")
    mine.write_text("years of work")
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a").write_text("work")
    pointer.symlink_to(mine)
    kept = "nothing else is replaced: name another place, or remove it yourself first"
    assert refusal(lambda: outputs.claim_file(mine, "npz")) == (
        f"mine: is there already, and not as moclip wrote it; {kept}"
    )
    assert refusal(lambda: outputs.claim_file(mine, "npz", [Path("folder/../mine")])) == (
        "mine: is what the command reads, which is never written over; name another file"
    )
    assert refusal(lambda: outputs.claim_file(folder, "npz")) == (
        "folder: is a folder, and a file is to be written; name a file in it"
    )
    assert refusal(lambda: outputs.claim_file(pointer, "npz")) == (
        "pointer: is a link, which is neither replaced nor followed; name mine itself"
    )
    assert refusal(lambda: outputs.claim_file(mine / "a" / "b", "npz")) == (
        "mine/a/b: mine is no folder, so nothing can be written below it; name another place"
    )
    assert refusal(lambda: outputs.claim_files([(Path("a"), "npz"), (Path("folder/../a"), "png")])) == (
        "folder/../a: stands for two outputs; name a file for each"
    )
    assert refusal(lambda: outputs.claim_page(Path("a.csv"))) == (
        "a.csv: is where the table beside the page goes; name a page, such as a.md"
    )
    assert refusal(lambda: outputs.claim_file(Path(".."), "npz")) == (
        "..: is a place without a name of its own; end it in the name of what is to be written"
    )
    assert refusal(lambda: outputs.claim_directory(mine, "x.json")) == (
        "mine: is a file, and a folder is to be made; name another place"
    )
    assert refusal(lambda: outputs.claim_directory(folder, "x.json")) == (
        "folder: holds deep, which is not as moclip wrote it; a folder is replaced only where its x.json lists all "
        "that is in it: name another folder, or remove this one yourself first"
    )
    for place in (folder, folder / "deep", folder / "deep" / "below"):
        assert refusal(lambda place=place: outputs.claim_directory(place, "x.json", [folder / "deep"])) == (
            f"{place}: overlaps with folder/deep, which is read; name a folder elsewhere"
        )
    monkeypatch.setattr(os, "access", lambda *given: False)
    assert refusal(lambda: outputs.claim_file(Path("a"), "npz")) == (
        "a: . may not be written to; check who may, or name another place"
    )


def test_what_came_while_the_work_was_done_is_kept(tmp_path: Path) -> None:
    def late_file() -> None:
        with outputs.writing_file(tmp_path / "a.npz", "npz") as temporary:
            temporary.write_bytes(b"result")
            (tmp_path / "a.npz").write_bytes(b"mine")

    def late_folder() -> None:
        with outputs.writing_directory(tmp_path / "folder", "m.json") as temporary:
            outputs.write_manifest(temporary, "m.json", {})
            (tmp_path / "folder").mkdir()
            (tmp_path / "folder" / "mine.txt").write_text("mine")

    assert "is there already" in refusal(late_file)
    assert "holds mine.txt" in refusal(late_folder)
    assert (tmp_path / "a.npz").read_bytes() == b"mine"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.npz", "folder", "mine.txt"]


def test_a_colon_in_a_relative_name_is_no_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    encode(Path("own.mp4"), scrolling(4, 3, -2, width=64, height=64), "libx264")
    assert run(["motion", "own.mp4", "--mp4", "a:b.mp4"]) == 0
    assert video.probe(Path("a:b.mp4")).frames == 4


def test_a_video_that_another_one_would_be_written_over_stops_all_before_the_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.mp4", "b.mp4", "b.mp4.mp4"):
        encode(tmp_path / name, scrolling(4, 3, -2, width=64, height=64), "libx264")
    before = tree(tmp_path)
    assert run(["motion", tmp_path, "--mp4", tmp_path]) == 1
    assert f"error: {tmp_path / 'b.mp4.mp4'}: is what the command reads" in capsys.readouterr().err
    assert tree(tmp_path) == before


@pytest.mark.parametrize("option", ["--out", "--png", "--mp4"])
def test_no_space_is_one_line_with_the_path(tmp_path: Path, option: str) -> None:
    """A limit on the size of files stands for a full disk: every write beyond it fails alike."""
    source = encode(tmp_path / "own.mp4", scrolling(4, 3, -2), "libx264")
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))"
    program = f"{limit}; import sys; from moclip.cli.main import main; sys.exit(main())"
    words = [sys.executable, "-c", program, "motion", str(source), option, str(tmp_path / "out")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    refused = f"error: {tmp_path / 'out'}: File too large; choose a place that takes files of this size\n"
    assert (done.returncode, done.stderr) == (1, refused)
    assert list(tmp_path.iterdir()) == [source]


def test_refusal_of_the_system_names_the_place_that_a_person_named(tmp_path: Path) -> None:
    def write(error: OSError) -> None:
        with outputs.writing_file(tmp_path / "a", None):
            raise error

    place = tmp_path / "a"
    for error, message in (
        (
            OSError(28, "No space left on device"),
            f"{place}: No space left on device; free some space, then run it again",
        ),
        (OSError(13, "Permission denied", "other"), "other: Permission denied; check who may read and write it"),
        (OSError(16, "Device or resource busy"), f"{place}: Device or resource busy; name another place"),
        (OSError("torn"), f"{place}: torn; name another place"),
    ):
        assert refusal(lambda error=error: write(error)) == message
