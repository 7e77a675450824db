"""What a person meets in MLflow: names of runs, metrics and data, notes, times; on real SQLite databases."""

import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path, PurePath
from types import SimpleNamespace

import pytest
from mlflow import MlflowClient

from moclip.base.errors import StoreError
from moclip.tracking import tags
from moclip.tracking.record import record
from moclip.tracking.result import Result
from moclip.tracking.store import Store, store_at
from moclip.tracking.view.measures import gain, measures
from moclip.tracking.view.notes import MOST_CHARACTERS, NOTE, note_tags, result_note, shortened
from moclip.tracking.view.page import COLUMNS, TAG, landing
from moclip.tracking.view.titles import data_names
from stages.commands import ui
from tests.support.imports import ROOT
from tests.tracking.test_record import result

# MLflow 3.17 uses an option that SQLAlchemy 2.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")
SUMMARY = json.loads((ROOT / "reports/summary.json").read_text())
VERDICTS = json.loads((ROOT / "reports/verdicts.json").read_text())


@pytest.fixture
def store(migrated: Path, tmp_path: Path) -> Store:
    shutil.copy(migrated, tmp_path / "mlflow.db")
    return store_at(tmp_path)


@pytest.fixture
def client(store: Store) -> MlflowClient:
    return MlflowClient(tracking_uri=store.uri, registry_uri=store.uri)


def parent(client: MlflowClient, made: Result, store: Store) -> object:
    return client.get_run(record(made, store).run_id)


def test_metrics_of_the_recorded_summary_begin_with_accuracy_and_hold_the_gain_with_its_interval() -> None:
    found = measures(SUMMARY)
    assert min(found).startswith("accuracy/")
    assert found.keys() >= COLUMNS.keys()
    known = SUMMARY["differences"]["fusion_minus_clip_probe"]
    ends = (known["interval"]["low"], known["interval"]["high"])
    assert (found[gain()], found[f"{gain()}_low"], found[f"{gain()}_high"]) == (known["mean"], *ends)
    assert found["calibration/fusion"] == SUMMARY["heads"]["fusion"]["ece_pct"]["mean"]


def test_gain_without_an_interval_has_no_ends() -> None:
    known = SUMMARY["differences"]["fusion_minus_clip_probe"] | {"interval": None}
    found = measures(SUMMARY | {"differences": {"fusion_minus_clip_probe": known}})
    assert [name for name in found if name.startswith("gain/")] == [gain()]


def test_variant_keeps_its_name_after_it_was_committed(client: MlflowClient, store: Store) -> None:
    base = {"fusion.hidden": "64", "seed": "0"}
    record(result(params=base, baseline=base), store)
    committed = {**base, "fusion.hidden": "256", "new.option": "1"}  # and moclip has learnt a parameter since
    run = parent(client, result("k1", "base", params=committed, baseline=committed), store)
    assert run.info.run_name == run.data.tags[tags.VARIANT] == "fusion.hidden=256"
    on_top = parent(client, result("k2", "seed=1", params={**committed, "seed": "1"}, baseline=committed), store)
    assert on_top.info.run_name == "fusion.hidden=256, seed=1"
    children = client.search_runs([run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run.info.run_id}'")
    assert {child.info.run_name for child in children} == {
        f"fusion.hidden=256 / {head} / split 1" for head in ("zero_shot", "fusion")
    }


def test_first_result_of_an_experiment_has_the_name_that_its_commit_gives(client: MlflowClient, store: Store) -> None:
    assert parent(client, result("k1", "seed=1"), store).info.run_name == "seed=1"


def test_runs_of_an_earlier_version_stand_beside_new_ones(client: MlflowClient, store: Store) -> None:
    """They get the present names too, also the result that comes again; what they had stays."""
    experiment = client.create_experiment("moclip-demo", artifact_location=store.artifacts_of("moclip-demo"))
    old = {"fusion/top1_pct_mean": 90.0, "clip_probe/top1_pct_mean": 50.0, "fusion/ece_pct_mean": 3.0}
    for key in ("k0", "k9"):
        run = client.create_run(experiment, tags={tags.KIND: "result", tags.KEY: key, tags.COMPLETE: "true"})
        for name, value in old.items():
            client.log_metric(run.info.run_id, name, value)
    again = record(result(summary={"accuracy/fusion": 90.0, f"{gain()}_low": 30.0}, note="**so**"), store)
    assert not again.created
    runs = client.search_runs([experiment], f"tags.`{tags.KIND}` = 'result'")
    renamed = {"accuracy/fusion": 90.0, "accuracy/clip_probe": 50.0, gain(): 40.0, "calibration/fusion": 3.0}
    by_key = {run.data.tags[tags.KEY]: run.data for run in runs}
    assert by_key["k9"].metrics == old | renamed
    assert by_key["k0"].metrics == old | renamed | {f"{gain()}_low": 30.0}
    assert by_key["k0"].tags.items() >= {tags.FORM: tags.FORM_NOW, NOTE: "**so**", "moclip.n_test": "12"}.items()


def test_verdict_is_the_note_of_a_run_and_follows_the_papers(client: MlflowClient, store: Store) -> None:
    note = result_note(SUMMARY, VERDICTS)
    assert note.startswith("**fusion over clip_probe: +")
    assert all(f"- `{name}`: {paper['verdict']}" in note for name, paper in VERDICTS.items())
    assert len(note) < 8000
    first = parent(client, result(note=note), store)
    assert first.data.tags[NOTE] == note
    later = result(note="other papers", verdicts={"moclip.verdict.toy": "1 not run"})
    assert parent(client, later, store).data.tags[NOTE] == "other papers"
    client.set_tag(first.info.run_id, NOTE, "mine")
    again = replace(later, note="third", verdicts={})
    assert parent(client, again, store).data.tags[NOTE] == "mine", "somebody's own note stays"


def test_note_that_was_cut_off_before_its_stamp_is_taken_for_moclips_own() -> None:
    whole = note_tags({}, "text")
    assert note_tags(whole, "text") == {}
    assert note_tags({NOTE: "text"}, "text") == {name: value for name, value in whole.items() if name != NOTE}
    assert note_tags(whole, "") == {}


def test_experiment_has_a_note_and_the_view_that_the_address_names(client: MlflowClient, store: Store) -> None:
    assert landing(client) is None
    run = parent(client, result(), store)
    experiment = client.get_experiment(run.info.experiment_id)
    state = json.loads(experiment.tags[TAG])
    assert f"metrics.`{gain()}`" in state["selectedColumns"]
    assert all(f"`{name}`" in experiment.tags[NOTE] for name in COLUMNS)
    assert max(len(experiment.tags[name]) for name in (TAG, NOTE)) < MOST_CHARACTERS
    client.delete_experiment_tag(experiment.experiment_id, TAG)
    assert f"/#/experiments/{experiment.experiment_id}/runs?viewStateShareKey=moclip" in str(landing(client))
    assert TAG in client.get_experiment(run.info.experiment_id).tags, "made again for a database of an earlier version"


def test_run_begins_and_ends_when_its_result_did(client: MlflowClient, store: Store) -> None:
    run = parent(client, result(started_ms=1_700_000_000_000, ended_ms=1_700_000_090_000), store)
    assert (run.info.start_time, run.info.end_time) == (1_700_000_000_000, 1_700_000_090_000)


def test_data_are_called_what_they_are(client: MlflowClient, store: Store) -> None:
    inputs = {name: PurePath(f"data/{name}") for name in ("manifest", "splits", "motion", "clip", "images")}
    paths = ["data/manifest", "data/splits/split2.csv", "data/motion", "data/clip", "data/images", "data/else"]
    names = data_names("ucf101 (part)", inputs, paths)
    assert names["data/splits/split2.csv"] == "UCF101 (part) split 2"
    assert list(names) == paths[:-1]
    assert len(set(names.values())) == len(names)
    run = parent(client, result(data=dict.fromkeys(paths, "0"), data_names=names), store)
    listed = {found.dataset.name: json.loads(found.dataset.source) for found in run.inputs.dataset_inputs}
    assert listed == {names.get(path, path): {"path": path} for path in paths}


def test_long_card_ends_with_a_section_and_says_where_the_rest_is() -> None:
    card = "# Card\n" + "".join(f"\n## Section {number}\n\n{'word ' * 150}\n" for number in range(12))
    text = shortened(card, "model_card.md", "0a1b")
    assert len(text) <= MOST_CHARACTERS
    assert card.startswith(text.partition("\n\nThe rest stands in `model_card.md` among the files of run 0a1b.")[0])
    assert shortened("short", "x", "y") == "short"


def test_port_that_is_taken_is_named_with_the_way_out(tmp_path: Path) -> None:
    """Before MLflow starts: its own words are a traceback, and the page would be another program's."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "stages.commands.ui", "--port", str(port)],
            env=os.environ | {"DVC_ROOT": str(tmp_path), "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/ui.db"},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert f"port {port} of 127.0.0.1: Address already in use; choose another: make ui PORT={port + 1}" in done.stderr
    assert not (tmp_path / "ui.db").exists()


def test_tracking_server_is_told_of_whatever_has_the_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be the server itself."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        monkeypatch.setattr(ui, "arguments", lambda **names: SimpleNamespace(port=port))
        monkeypatch.setattr(ui, "_page", lambda store: "/page")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        with pytest.raises(StoreError, match=f"tracking server: open http://127.0.0.1:{port}/page in a browser"):
            ui.main()
