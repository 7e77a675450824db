"""evaluate, summarize, contact_sheet and report as processes, on logits and videos made here."""

import json
import re
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from ruamel.yaml import YAML

from moclip.base.files import read_json, write_json
from moclip.data.dataset import Clip
from moclip.data.manifest import write_classes, write_manifest
from moclip.data.measure import measure
from moclip.data.splits import Member, write_split
from moclip.motion.grid import rasterise
from moclip.results.predictions import Predictions, write_predictions
from moclip.tracking.record import record
from moclip.tracking.result import verdict_tags
from moclip.tracking.store import store_at
from moclip.video.decode import stream_motion
from tests.report.test_papers import TOY
from tests.support.motion_clips import write_store
from tests.tracking.test_record import result

ROOT = Path(__file__).parents[2]
CLASSES = ["Run", "Jump"]
HEADS = ["zero_shot", "fusion", "clip_probe"]
COST = {
    "trainable_parameters": 10,
    "trained_in_all": 30,
    "macs_per_video": 2_000_000_000,
    "streams": {
        "clip": {"model": "demo", "parameters": 1000, "frame_macs": 1_000_000_000},
        "motion": {"arch": "small", "parameters": 20, "field": [18, 24], "input_macs": 125_000_000, "inputs": 8},
    },
}
HISTORY = "epoch,lr,train_loss,val_loss,val_top1_pct\n1,0.1,2.5,2.6,10\n2,0.1,1.5,2.0,40\n"


def stage(name: str, cwd: Path, **paths: str | int) -> subprocess.CompletedProcess[str]:
    words = [f"--{key.replace('_', '-')}={value}" for key, value in paths.items()]
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", f"stages.{name}", *words],
        cwd=cwd,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "DVC_ROOT": str(cwd)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def succeed(name: str, cwd: Path, **paths: str | int) -> None:
    done = stage(name, cwd, **paths)
    assert done.returncode == 0, done.stderr


def write_video(path: Path, step_px: int) -> None:
    """A textured square that moves by `step_px` a frame to the right."""
    texture = np.random.default_rng(3).integers(0, 255, (32, 32, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(path, "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number in range(8):
            picture = np.full((64, 96, 3), 128, np.uint8)
            left = 8 + step_px * number
            picture[16:48, left : left + 32] = texture
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def write_data(root: Path) -> None:
    clips = {}
    for name, step_px in zip(CLASSES, (4, 1), strict=True):
        path = root / f"data/videos/{name}/v_{name}_g01_c01.avi"
        write_video(path, step_px)
        clips[path.stem] = Clip(path.stem, name, f"{name}_g01", path)
    write_manifest(root / "manifest.csv", measure(clips.values(), root / "data/videos", jobs=1))
    write_classes(root / "classes.csv", CLASSES)
    members = [Member(stem, i, "test", clip.group) for i, (stem, clip) in enumerate(clips.items())]
    for split in (1, 2, 3):
        write_split(root / f"splits/split{split}.csv", members)
    grids = ((name, rasterise(stream_motion(clip.path), 8)) for name, clip in clips.items())
    write_store(root / "motion", grids, {})
    chosen = {"classes": None, "clips_per_class": None, "subset": "full"}
    counts = {"classes": len(CLASSES), "videos": len(clips), "groups": len(clips)}
    dataset = {"name": "demo", "source": "demo", "complete": True, "chosen": chosen, **counts}
    write_json(root / "dataset.json", dataset)


def write_logits(root: Path) -> None:
    ids = [f"v_{name}_g{g:02}_c{c:02}" for name in CLASSES for g in range(4) for c in range(3)]
    labels = np.repeat([0, 1], 12)
    for head in HEADS:
        for split in (1, 3):
            rng = np.random.default_rng([len(head), split])
            logits = rng.normal(size=(24, 2)).astype(np.float32)
            logits[np.arange(24), labels] += 3.0 if head == "fusion" else 0.5
            groups = np.array([re.sub(r"v_(.*)_c\d+", r"\1", i) for i in ids]) + f"_{split}"
            write_predictions(
                root / f"preds/{head}/split{split}.npz",
                Predictions(np.array(ids), labels, logits, np.array(CLASSES), groups),
            )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Inputs of the four stages, and the results of `evaluate`."""
    root = tmp_path_factory.mktemp("project")
    params = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")
    params.update(heads=HEADS, splits=[1, 3])
    (root / "params.yaml").write_text(json.dumps(params))
    write_data(root)
    write_logits(root)
    audit = {"containers": "containers.csv", "by_class": "audit.csv", "out": "audit.json"}
    succeed("audit", root, manifest="manifest.csv", splits="splits", **audit)
    assert json.loads((root / "audit.json").read_text())["warnings"] == []
    shutil.copytree(ROOT / "papers", root / "papers")
    succeed("account", root, papers="papers", out="paper_costs.json")
    costs = json.loads((root / "paper_costs.json").read_text())
    assert costs["moclip_lite"]["parameters"]["count"] == 969_829
    for head in HEADS:
        history = HISTORY.splitlines(keepends=True)[: 1 if head == "zero_shot" else None]
        for split in (1, 3):
            (root / f"preds/{head}/split{split}_history.csv").write_text("".join(history))
        write_json(root / f"preds/{head}/cost.json", COST)
        succeed("evaluate", root, predictions=f"preds/{head}", out=f"results/{head}")
    return root


SUMMARIZE = {"dataset": "dataset.json", "results": "results"}
SHEET = {
    "manifest": "manifest.csv",
    "classes": "classes.csv",
    "split": "splits/split1.csv",
    "motion": "motion",
}
REPORT = {
    "papers": "papers",
    "paper_costs": "paper_costs.json",
    "results": "results",
    "dataset": "dataset.json",
    "manifest": "manifest.csv",
    "audit": "audit.json",
}


def written(folder: str) -> dict[str, str]:
    """What the stage `report` writes, below a folder."""
    return {
        "accounting": f"{folder}/accounting.json",
        "figures": f"{folder}/figures",
        "plots": f"{folder}/plots",
        "model_card": f"{folder}/model_card.md",
        "data_card": f"{folder}/data_card.md",
        "verdicts": f"{folder}/verdicts.json",
        "out": f"{folder}/report.md",
    }


def test_from_logits_to_a_report_twice_with_equal_bytes(project: Path) -> None:
    for out in ("one", "two"):
        sheet, summary, gains = (f"{out}/{name}" for name in ("contact_sheet.png", "summary.json", "gains.csv"))
        succeed("summarize", project, **SUMMARIZE, gains=gains, headline=f"{out}/headline.json", out=summary)
        succeed("contact_sheet", project, **SHEET, out=sheet)
        paths = {**REPORT, "summary": summary, "gains": gains, "contact_sheet": sheet}
        succeed("report", project, **paths, **written(out))
    made = sorted(p.relative_to(project / "one") for p in (project / "one").rglob("*.*"))
    assert {"report.md", "summary.json", "contact_sheet.png", "model_card.md", "verdicts.json"} <= {
        str(path) for path in made
    }
    for path in made:
        assert (project / "one" / path).read_bytes() == (project / "two" / path).read_bytes()
    text = (project / "one/report.md").read_text()
    targets = set(re.findall(r"\]\(([^)]+)\)", text))
    assert {"model_card.md", "data_card.md", "ablations.md"} < targets
    for target in targets - {"ablations.md"}:  # `moclip ablate` writes that one, and no stage
        assert (project / "one" / target).is_file()
    assert str(project) not in text
    summary = json.loads((project / "one/summary.json").read_text())
    assert summary["splits"] == [1, 3]
    assert sorted(summary["heads"]) == sorted(HEADS)
    costs = json.loads((project / "one/accounting.json").read_text())["run"]
    assert costs["heads"]["fusion"] == {"trainable_parameters": 10, "trained_in_all": 30, "gmac_per_video": 2.0}
    assert costs["motion_net"]["input_gmac"] == 0.125


def test_results_of_heads_that_are_switched_off_are_not_read(project: Path, tmp_path: Path) -> None:
    shutil.copytree(project, tmp_path, dirs_exist_ok=True)
    params = YAML(typ="safe", pure=True).load(project / "params.yaml")
    params.update(heads=["zero_shot"], splits=[3])
    (tmp_path / "params.yaml").write_text(json.dumps(params))
    left_over = [*tmp_path.glob("results/fusion/*"), *tmp_path.glob("results/zero_shot/split1*")]
    assert len(left_over) == 16
    for path in left_over:
        path.write_text("left over from another run")
    succeed("summarize", tmp_path, **SUMMARIZE, gains="gains.csv", headline="headline.json", out="summary.json")
    assert len((tmp_path / "gains.csv").read_text().splitlines()) == 1
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (list(summary["heads"]), summary["splits"]) == (["zero_shot"], [3])
    paths = {**REPORT, "summary": "summary.json", "gains": "gains.csv", "contact_sheet": "sheet.png"}
    succeed("report", tmp_path, **paths, **written("out"))
    assert [p.name for p in sorted((tmp_path / "out/figures").iterdir())] == [
        "accuracy.svg",
        "confusion.svg",
        "cost.svg",
        "reliability.svg",
    ]


def test_one_file_puts_a_paper_on_trial(project: Path, migrated: Path, tmp_path: Path) -> None:
    """Its verdict stands in the report, in the model card, and in MLflow: no code, no other edit."""
    from mlflow import MlflowClient

    root = tmp_path / "project"
    shutil.copytree(project, root)
    (root / "papers/toy.yaml").write_text(TOY)
    succeed("summarize", root, **SUMMARIZE, gains="gains.csv", headline="headline.json", out="summary.json")
    paths = {**REPORT, "summary": "summary.json", "gains": "gains.csv", "contact_sheet": "sheet.png"}
    succeed("report", root, **paths, **written("out"))
    told = json.loads((root / "out/verdicts.json").read_text())["toy"]
    assert (told["paper"], told["verdict"]) == ("Toy", "Differences: 1 undecided.")
    (claim,) = told["claims"]
    assert (claim["statement"], claim["claimed"]) == ("Motion adds something", "above 0 points")
    assert claim["ours"].endswith("mean over splits 1, 3")
    text = (root / "out/report.md").read_text()
    report = text[text.index("### Toy\n") : text.index("<summary>The rules")]
    assert "**Differences: 1 undecided.**" in report
    verdict = f"| above 0 points | {claim['ours']} | *undecided*: 1 seed run, 5 needed |"
    assert verdict in report
    assert f"| Toy | Motion adds something {verdict}" in (root / "out/model_card.md").read_text()
    shutil.copy(migrated, tmp_path / "mlflow.db")
    store = store_at(tmp_path)
    verdicts = root / "out/verdicts.json"
    run = record(result(verdicts=verdict_tags(read_json(verdicts)), artifacts=[verdicts]), store).run_id
    client = MlflowClient(tracking_uri=store.uri)
    assert client.get_run(run).data.tags["moclip.verdict.toy"] == "Differences: 1 undecided."
    assert "verdicts.json" in {file.path for file in client.list_artifacts(run)}


def test_a_fault_in_a_papers_file_is_named_before_anything_is_written(project: Path, tmp_path: Path) -> None:
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers/toy.yaml").write_text(TOY.replace("minus:", "minos:"))
    done = stage("account", tmp_path, papers="papers", out="paper_costs.json")
    assert done.returncode == 1
    assert "papers/toy.yaml: key 'claims.0.minos': no such key" in done.stderr
    assert not (tmp_path / "paper_costs.json").exists()


def test_damaged_logits_are_refused_and_nothing_is_written(project: Path, tmp_path: Path) -> None:
    shutil.copy(project / "params.yaml", tmp_path)
    shutil.copytree(project / "preds/fusion", tmp_path / "preds")
    (tmp_path / "preds/split3.npz").write_bytes(b"PK\x03\x04 torn")
    done = stage("evaluate", tmp_path, predictions="preds", out="results")
    assert done.returncode == 1
    assert "error: preds/split3.npz: cannot be read as npz" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["params.yaml", "preds"]


def test_a_changed_video_gets_no_place_on_the_sheet(project: Path, tmp_path: Path) -> None:
    shutil.copytree(project, tmp_path, dirs_exist_ok=True)
    write_video(tmp_path / "data/videos/Jump/v_Jump_g01_c01.avi", 2)
    done = stage("contact_sheet", tmp_path, **SHEET, out="sheet.png")
    assert done.returncode == 1
    assert "v_Jump_g01_c01" in done.stderr
    assert not (tmp_path / "sheet.png").exists()
