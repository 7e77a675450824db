"""What the stage `track` reads (dvc.lock, metrics, histories of a small pipeline) and refuses."""

import json
import shutil
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from moclip.base.errors import StoreError
from moclip.tracking.provenance import c_library, git_state, processor
from moclip.tracking.result import Result, numbers
from stages import _entry, track
from stages.dvc.digest import md5
from stages.dvc.lock import Lock, read_lock
from tests.support.tracking import free_port, mlflow_server

PARAMS = {
    "seed": 0,
    "splits": [1],
    "heads": ["zero_shot", "fusion"],
    "fusion": {"hidden": 64},
    "compute": {"kernels": "portable"},
}
METRICS = {"top1_pct": 50.0, "top5_pct": 90.0, "mean_class_pct": 45.0, "n_test": 12}
ARGS = Namespace(
    locks="dvc.lock",
    manifest=Path("data/manifest.csv"),
    splits=Path("data/splits"),
    motion=Path("data/motion"),
    clip=Path("models/clip"),
    images=Path("data/clip/images.npz"),
    results=Path("results/heads"),
    summary=Path("reports/summary.json"),
    report=Path("reports/report.md"),
    verdicts=Path("reports/verdicts.json"),
    figures=Path("reports/figures"),
    contact_sheet=Path("reports/contact_sheet.png"),
    cards=[],
    cost_page=Path("reports/cost.md"),
    costs=Path("reports/cost.json"),
)
LOCK = Path("dvc.lock")
RESULTS = [ARGS.results / head for head in ("zero_shot", "fusion")]
METRICS_FILE = RESULTS[0] / "split1_metrics.json"


def read_result() -> Result:
    inputs = {name: vars(ARGS)[name] for name in ("manifest", "splits", "motion", "clip", "images")}
    lock = read_lock(LOCK)
    git = git_state(Path.cwd(), {*lock.outputs(), "dvc.lock", "params.yaml"})
    return track.read_result(lock, git, RESULTS, ARGS.summary, ARGS.verdicts, inputs, [ARGS.report])


def item(path: str) -> dict[str, Any]:
    return {"path": path, "hash": "md5", "md5": md5(Path(path))}


def write(path: str, text: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)


def write_yaml(path: str, value: Any) -> None:
    YAML(typ="safe", pure=True).dump(value, Path(path))


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("DVC_EXP_NAME", "DVC_EXP_BASELINE_REV"):
        monkeypatch.delenv(name, raising=False)
    _entry.all_params.cache_clear()
    summary = {
        head: {
            "top1_pct": {"mean": 50.0, "std": None, "per_split": {"1": 50.0}},
            "top1_interval_pct": {"mean": None},
            "n_test": {"1": 12},
        }
        for head in PARAMS["heads"]  # type: ignore[attr-defined]
    }
    write_yaml("params.yaml", PARAMS)
    write("data/manifest.csv", "id\n")
    write("code.py", "pass\n")
    write("data/motion_features/split1.npz", "features")
    columns = "epoch,lr,train_loss,val_loss,val_top1_pct\n"
    write("results/heads/zero_shot/split1_history.csv", columns)
    write("results/heads/fusion/split1_history.csv", columns + "0,0.1,2.5,,\n1,0.1,1.5,2.0,40.0\n")
    write("reports/report.md", "# Report\n")
    write("reports/verdicts.json", json.dumps({"toy": {"verdict": "Differences: 1 reproduced."}}))
    write("reports/figures/a.svg", "<svg/>")
    write(
        "reports/summary.json", json.dumps({"dataset": "demo", "splits": [1], "confidence_pct": 95.0, "heads": summary})
    )
    for head in ("zero_shot", "fusion"):
        write(f"preds/{head}/split1.npz", head)
        write(f"results/heads/{head}/split1_metrics.json", json.dumps(METRICS))
    write_yaml("dvc.lock", {"schema": "2.0", "stages": lock_stages()})
    return tmp_path


def lock_stages() -> dict[str, Any]:
    manifest, code = map(item, ("data/manifest.csv", "code.py"))
    stages: dict[str, Any] = {
        "download": {"params": {"params.yaml": {"seed": 0}}, "outs": [manifest]},
        "zero_shot": {"deps": [manifest], "outs": [item("preds/zero_shot")]},
        "train_fusion": {
            "deps": [manifest, code, item("data/motion_features")],
            "params": {"params.yaml": {"splits": [1], "fusion": {"hidden": 64}}},
            "outs": [item("preds/fusion")],
        },
        "train_motion@1": {
            "deps": [manifest],
            "params": {"params.yaml": {"motion_net": {"lr": 0.1}}},
            "outs": [item("data/motion_features/split1.npz")],
        },
        "report": {"outs": [item(f"reports/{name}") for name in ("summary.json", "report.md", "verdicts.json")]},
        "track": {"deps": [item("reports/summary.json")]},
    }
    for head in ("zero_shot", "fusion"):
        stages[f"evaluate@{head}"] = {
            "deps": [item(f"preds/{head}"), code],
            "params": {"params.yaml": {"splits": [1]}},
            "outs": [item(f"results/heads/{head}")],
        }
    return stages


def _stale_split(stages: dict[str, Any]) -> None:
    stages["train_motion@2"] = {
        "params": {"params.yaml": {"old": 1}},
        "outs": [{"path": "data/motion_features/split2.npz", "md5": "0" * 32}],
    }


def _stale_renamed_stage(stages: dict[str, Any]) -> None:
    stages["old_fusion"] = {
        "params": {"params.yaml": {"old": 1}},
        "outs": [{"path": "preds/fusion", "md5": "0" * 32}],
    }


def _track_and_report(stages: dict[str, Any]) -> None:
    stages["track"] = {"deps": [], "params": {"params.yaml": {"x": 1}}}
    stages["report"]["outs"][1]["md5"] = "0" * 32


def _code(stages: dict[str, Any]) -> None:
    for name in ("train_fusion", "evaluate@fusion"):
        stages[name]["deps"][1]["md5"] = "0" * 32


def _predictions(stages: dict[str, Any]) -> None:
    stages["train_fusion"]["outs"][0]["md5"] = "1" * 32
    stages["evaluate@fusion"]["deps"][0]["md5"] = "1" * 32


def _params(stages: dict[str, Any]) -> None:
    stages["train_fusion"]["params"]["params.yaml"]["fusion"]["hidden"] = 65


def _params_of_a_part(stages: dict[str, Any]) -> None:
    stages["train_motion@1"]["params"]["params.yaml"]["motion_net"]["lr"] = 0.2


def _upstream_params(stages: dict[str, Any]) -> None:
    stages["download"]["params"]["params.yaml"]["seed"] = 1


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize("edit", [_stale_split, _stale_renamed_stage, _track_and_report, _code])
def test_key_ignores_what_is_not_the_result(edit: Callable[[dict[str, Any]], None]) -> None:
    stages = lock_stages()
    edit(stages)
    assert stages != lock_stages()
    assert Lock(stages).result_key(RESULTS) == Lock(lock_stages()).result_key(RESULTS)


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize("edit", [_predictions, _params, _params_of_a_part, _upstream_params])
def test_key_changes_with_predictions_and_parameters(
    edit: Callable[[dict[str, Any]], None],
) -> None:
    stages = lock_stages()
    edit(stages)
    assert Lock(stages).result_key(RESULTS) != Lock(lock_stages()).result_key(RESULTS)


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize(("split", "changes"), [(1, True), (2, False)])
def test_key_holds_predictions_that_stages_of_one_split_each_made(split: int, changes: bool) -> None:
    """DVC knows such a directory by one digest, which also counts what is left of splits that are off."""
    result = item("results/heads/fusion")
    stages: dict[str, Any] = {
        "evaluate@motion_only": {
            "deps": [{"path": "preds/motion_only", "md5": "0" * 32 + ".dir"}],
            "params": {"params.yaml": {"splits": [1]}},
            "outs": [result],
        }
    }
    for k in (1, 2):
        stages[f"train_motion@{k}"] = {"outs": [{"path": f"preds/motion_only/split{k}.npz", "md5": str(k) * 32}]}
    before = Lock(stages).result_key([Path(result["path"])])
    stages[f"train_motion@{split}"]["outs"][0]["md5"] = "f" * 32
    stages["evaluate@motion_only"]["deps"][0]["md5"] = "f" * 32 + ".dir"
    assert (Lock(stages).result_key([Path(result["path"])]) != before) is changes


@pytest.mark.usefixtures("workspace")
def test_key_of_one_head_does_not_hang_on_the_parameters_of_another() -> None:
    changed = lock_stages()
    _params(changed)
    assert Lock(changed).result_key(RESULTS[:1]) == Lock(lock_stages()).result_key(RESULTS[:1])
    assert Lock(changed).result_key(RESULTS[:1]) != Lock(changed).result_key(RESULTS)


@pytest.mark.usefixtures("workspace")
def test_result_holds_every_head_and_split_that_params_ask_for() -> None:
    result = read_result()
    assert result.dataset == "demo"
    assert result.variant == "base"
    assert result.verdicts == {"moclip.verdict.toy": "Differences: 1 reproduced."}
    assert result.params["fusion.hidden"] == "64"
    assert result.summary == {"accuracy/zero_shot": 50.0, "accuracy/fusion": 50.0}
    assert [(c.head, c.split, dict(c.metrics)) for c in result.children] == [
        ("zero_shot", 1, METRICS),
        ("fusion", 1, METRICS),
    ]
    assert result.children[0].curves == {}
    assert result.children[1].curves["train_loss"] == [(0, 2.5), (1, 1.5)]
    assert result.data == result.children[1].data == {"data/manifest.csv": item("data/manifest.csv")["md5"]}


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize("path", [METRICS_FILE, RESULTS[1] / "split1_history.csv", ARGS.summary])
def test_file_that_the_lock_does_not_describe_is_refused(path: Path) -> None:
    made = path if path == ARGS.summary else path.parent
    path.write_text("{}")
    with pytest.raises(StoreError, match=rf"{made}: not what the pipeline wrote.*dvc repro"):
        read_result()
    path.unlink()
    with pytest.raises(StoreError, match=rf"{made}: {'missing' if made == path else 'not what the pipeline wrote'}"):
        read_result()


@pytest.mark.usefixtures("workspace")
def test_metrics_file_without_a_required_number_is_refused() -> None:
    METRICS_FILE.write_text('{"top1_pct": 50.0}')
    write_yaml("dvc.lock", {"stages": lock_stages()})
    with pytest.raises(StoreError, match="lacks the number 'top5_pct'"):
        read_result()


@pytest.mark.usefixtures("workspace")
def test_summary_of_other_heads_than_asked_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.RESULTS", RESULTS[1:])
    with pytest.raises(StoreError, match=r"holds heads \['fusion', 'zero_shot'\].*asks for"):
        read_result()


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize("text", ["", "schema: '2.0'\n", "a: [", "- 1\n"])
def test_lock_that_is_none_is_refused(text: str) -> None:
    write("dvc.lock", text)
    with pytest.raises(StoreError, match="cannot be read as DVC's lock file"):
        read_lock(LOCK)


def test_numbers_leaves_out_words_and_nulls_only() -> None:
    tree = {"a": 1, "b": {"low_pct": 2.5, "word": "x"}, "c": None, "d": True}
    assert numbers(tree) == {"a": 1, "b.low_pct": 2.5}


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_variant_is_named_against_the_commit(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.tracking.test_provenance import git

    git(workspace, "init", "-q")
    git(workspace, "add", ".")
    git(workspace, "commit", "-qm", "first")
    base = git(workspace, "rev-parse", "HEAD")
    write_yaml("params.yaml", PARAMS | {"fusion": {"hidden": 256}})
    result = read_result()
    assert result.variant == "fusion.hidden=256"
    assert result.tags == {
        "mlflow.source.git.commit": base,
        "moclip.git_dirty": "false",
        "moclip.digest.manifest": item("data/manifest.csv")["md5"],
        "moclip.kernels": "portable",
        "moclip.cpu": processor(),
        "moclip.glibc": c_library(),
    }
    write("code.py", "changed\n")
    git(workspace, "commit", "-qm", "second", "params.yaml")
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", base)
    _entry.all_params.cache_clear()
    result = read_result()
    assert result.variant == "fusion.hidden=256"
    assert result.tags["moclip.git_dirty"] == "true"
    assert result.environment["changed_since_commit"] == ["code.py"]


@pytest.mark.usefixtures("workspace")
def test_server_that_is_down_does_not_fail_the_stage_and_gets_the_result_later(
    migrated: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from mlflow import MlflowClient

    caplog.set_level("INFO")
    monkeypatch.setenv("DVC_ROOT", str(Path.cwd()))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(track, "write_bill", lambda *arguments: None)
    monkeypatch.setattr(track, "content", lambda *arguments: "0123456789abcdef")
    monkeypatch.setattr("moclip.tracking.registry.log_model", lambda *arguments: None)
    given = vars(ARGS) | {"cards": ARGS.report, "models": "m", "classes": "c", "texts": "t", "encoder": "e"}
    given |= {"dataset": "data/dataset.json", "preds": "preds"}
    words = [word for name, path in given.items() for word in (f"--{name.replace('_', '-')}", str(path))]
    monkeypatch.setattr("sys.argv", ["track", *words])
    for path in ("reports/contact_sheet.png", "reports/cost.md"):
        write(path, "")
    write("reports/cost.json", '{"summary_sha256": "of another result"}')
    shutil.copy(migrated, "runs.db")
    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    track.main()
    assert "kept in" in caplog.text
    assert "top-1 in %" in capsys.readouterr().out
    stages = lock_stages()
    _params(stages)
    write_yaml("dvc.lock", {"stages": stages})
    with mlflow_server(f"sqlite:///{Path('runs.db').resolve()}", Path.cwd(), port):
        track.main()
    assert "1 results recorded that had waited" in caplog.text
    assert not list(Path(".work/unrecorded").glob("*/*/"))
    client = MlflowClient(f"sqlite:///{Path('runs.db').resolve()}")
    experiment = client.get_experiment_by_name("moclip-demo")
    parents = client.search_runs([experiment.experiment_id], "tags.`moclip.kind` = 'result'")
    assert len(parents) == 2
    for parent in parents:
        place = Path("artifacts") / parent.info.artifact_uri.removeprefix("mlflow-artifacts:/")
        names = {file.name for file in place.iterdir()}
        assert names == {
            *["report.md", "figures", "contact_sheet.png", "summary.json", "dvc.lock", "params.yaml"],
            *["environment.json", "cost.md", "cost.json", "verdicts.json"],
        }


@pytest.mark.usefixtures("workspace")
def test_each_head_has_the_data_that_it_read() -> None:
    stages = lock_stages()
    read = {"data/motion": "m.dir", "data/splits/split1.csv": "s", "models/clip/x.json": "c"}
    stages["train_fusion"]["deps"] += [{"path": path, "md5": digest} for path, digest in read.items()]
    write_yaml("dvc.lock", {"stages": stages})
    result = read_result()
    manifest = {"data/manifest.csv": item("data/manifest.csv")["md5"]}
    assert [child.data for child in result.children] == [manifest, manifest | read]
    assert result.data == manifest | read
    assert result.tags["moclip.digest.motion"] == "m.dir"
    assert "moclip.digest.clip" not in result.tags
