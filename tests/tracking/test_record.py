"""Recording of results, against real SQLite databases."""

import multiprocessing
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.exc import SQLAlchemyError

from moclip.base.errors import StoreError
from moclip.params.flat import flatten
from moclip.tracking import client as mlflow_client
from moclip.tracking import record as track
from moclip.tracking import tags
from moclip.tracking.record import record
from moclip.tracking.result import Child, Result, variant_name, verdict_tags, verdicts_in
from moclip.tracking.store import ServerError, Store, store_at

CURVE = [(0, 2.0), (1, 1.5), (2, 1.25)]


def result(key: str = "k0", variant: str = "base", **changes: object) -> Result:
    metrics = {"top1_pct": 50.0, "top5_pct": 90.0, "mean_class_pct": 45.0, "n_test": 12}
    made = Result(
        dataset="demo",
        key=key,
        variant=variant,
        params={"fusion.hidden": "64", "seed": "0"},
        tags={"moclip.git_dirty": "false"},
        summary={"accuracy/fusion": 50.0},
        children=[
            Child("zero_shot", 1, metrics),
            Child("fusion", 1, metrics, {"train_loss": CURVE, "val_top1_pct": [(2, 40.0)]}),
        ],
        data={"manifest.csv": "0" * 32},
    )
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.fixture
def store(migrated: Path, tmp_path: Path) -> Store:
    root = tmp_path / "a repository"
    root.mkdir()
    shutil.copy(migrated, root / "mlflow.db")
    return store_at(root)


def runs(store: Store, kind: str | None = None) -> list[track.Run]:
    client = track.MlflowClient(tracking_uri=store.uri)
    experiments = [e.experiment_id for e in client.search_experiments() if e.name != "Default"]
    condition = f"tags.`{tags.KIND}` = '{kind}'" if kind else ""
    return list(client.search_runs(experiments, condition)) if experiments else []


def shape(store: Store) -> tuple[int, int]:
    """How many parent and child runs there are; no run may be neither."""
    parents, children = runs(store, "result"), runs(store, "head")
    assert len(runs(store)) == len(parents) + len(children)
    ids = {run.info.run_id for run in parents}
    assert all(run.data.tags["mlflow.parentRunId"] in ids for run in children)
    return len(parents), len(children)


def test_new_result_becomes_a_parent_and_a_child_for_each_head_and_split(store: Store) -> None:
    recorded = record(result(), store)
    assert recorded.created
    assert shape(store) == (1, 2)
    parent = runs(store, "result")[0]
    assert parent.info.run_id == recorded.run_id
    assert parent.info.run_name == "base"
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics == {"accuracy/fusion": 50.0}
    assert parent.data.tags["moclip.n_test"] == "12"
    assert parent.inputs.dataset_inputs[0].dataset.digest == "0" * 32
    for child in runs(store, "head"):
        assert child.data.params == result().params
        assert child.data.metrics.keys() >= {"top1_pct", "top5_pct", "mean_class_pct"}
        assert "n_test" not in child.data.metrics, "a count is no chart"
        assert child.data.tags["moclip.n_test"] == "12"
        assert child.info.status == "FINISHED"


def test_curves_have_the_epoch_as_step(store: Store) -> None:
    record(result(), store)
    client = track.MlflowClient(tracking_uri=store.uri)
    fusion = next(run for run in runs(store, "head") if run.data.tags["moclip.head"] == "fusion")
    history = client.get_metric_history(fusion.info.run_id, "train_loss")
    assert sorted((point.step, point.value) for point in history) == CURVE


def test_same_key_is_recorded_once_and_other_keys_beside_it(store: Store) -> None:
    first = record(result(), store)
    again = record(result(), store)
    assert (again.run_id, again.created) == (first.run_id, False)
    record(result("k1", "fusion.hidden=256"), store)
    assert shape(store) == (2, 4)


def test_verdicts_of_a_known_result_follow_the_papers_on_file(store: Store, tmp_path: Path) -> None:
    """A paper that is put on trial later moves no result: its verdict goes to the run that is there."""
    page, client = tmp_path / "report.md", track.MlflowClient(tracking_uri=store.uri)
    for told in ({"evl": "1 not run"}, {"evl": "1 reproduced", "toy": "1 not run"}, {"toy": "1 not run"}):
        page.write_text(str(told))
        given = verdict_tags({name: {"verdict": words} for name, words in told.items()})
        run = record(result(verdicts=given, artifacts=[page]), store).run_id
        assert shape(store) == (1, 2)
        (parent,) = runs(store, "result")
        assert verdicts_in(parent.data.tags) == given == {f"moclip.verdict.{name}": told[name] for name in told}
        assert Path(client.download_artifacts(run, "report.md", str(tmp_path))).read_text() == str(told)
    assert not any(verdicts_in(child.data.tags) for child in runs(store, "head"))


def test_known_result_is_found_under_every_experiment_that_came_to_it(store: Store) -> None:
    for name in ("macro-sham", "wedgy-myth", "wedgy-myth", None):
        record(result(dvc_experiment=name), store)
    assert {run.data.tags[tags.EXPERIMENT] for run in runs(store)} == {"macro-sham wedgy-myth"}


@pytest.mark.parametrize("step", ["_create_child", "_log_artifacts"])
def test_interrupted_recording_is_made_again(store: Store, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    real = getattr(track, step)

    def once_then_die(*arguments: object) -> None:
        real(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(track, step, once_then_die)
        with pytest.raises(KeyboardInterrupt):
            record(result(), store)
    assert len(runs(store)) > 0
    assert record(result(), store).created
    assert shape(store) == (1, 2)
    assert not record(result(), store).created


def test_children_left_by_a_deletion_in_the_ui_do_not_stay(store: Store) -> None:
    parent = record(result(), store).run_id
    track.MlflowClient(tracking_uri=store.uri).delete_run(parent)
    assert record(result(), store).created
    assert shape(store) == (1, 2)


def test_deleted_experiment_comes_back_without_doubles(store: Store) -> None:
    record(result(), store)
    client = track.MlflowClient(tracking_uri=store.uri)
    experiment = client.get_experiment_by_name("moclip-demo")
    assert experiment is not None
    client.delete_experiment(experiment.experiment_id)
    record(result("k1"), store)
    record(result(), store)
    assert shape(store) == (2, 4)


def test_artifacts_lie_beside_the_database(store: Store, tmp_path: Path) -> None:
    figures = tmp_path / "figures"
    figures.mkdir()
    (figures / "gain.svg").write_text("<svg/>")
    (tmp_path / "report.md").write_text("# Report")
    record(result(artifacts=[tmp_path / "report.md", figures], environment={"python": "3"}), store)
    found = {path.name for path in (store.lock.parent / "mlartifacts").rglob("*") if path.is_file()}
    assert found == {"report.md", "gain.svg", "environment.json"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"params": {"prompt": "x" * 6001}},
            r"parameter 'prompt': 6001 characters, .* at most 6000",
        ),
        ({"artifacts": [Path("absent.md")]}, r"artifact absent\.md: missing"),
    ],
)
def test_what_mlflow_would_cut_or_lack_is_refused_before_anything_is_made(
    store: Store, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(StoreError, match=message):
        record(result(**changes), store)
    assert runs(store) == []


def test_more_parameters_and_points_than_one_request_takes(store: Store) -> None:
    params = {f"p{i:03}": str(i) for i in range(230)}
    curve = [(i, float(i)) for i in range(1200)]
    child = Child("fusion", 1, {"top1_pct": 1.0}, {"train_loss": curve})
    record(result(params=params, children=[child]), store)
    run = runs(store, "head")[0]
    assert run.data.params == params
    client = track.MlflowClient(tracking_uri=store.uri)
    assert len(client.get_metric_history(run.info.run_id, "train_loss")) == 1200


def _record_two(root: Path, number: int) -> None:
    for made in (result("shared"), result(f"own{number}", f"seed={number}")):
        record(made, store_at(root))


def test_four_processes_at_once_on_a_fresh_database(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])  # imports MLflow once
    processes = [context.Process(target=_record_two, args=(tmp_path, number)) for number in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    assert shape(store_at(tmp_path)) == (5, 10)


def test_deleted_database_is_filled_again(store: Store, migrated: Path) -> None:
    record(result(), store)
    root = store.lock.parent
    (root / "mlflow.db").unlink()
    shutil.copy(migrated, root / "mlflow.db")
    # MLflow keeps a connection for each address, here to the deleted file; a new process has none.
    (root / "sub").mkdir()
    fresh = store_at(root / "sub" / "..")
    assert record(result(), fresh).created
    assert shape(fresh) == (1, 2)
    fusion = next(run for run in runs(fresh, "head") if run.data.tags[tags.HEAD] == "fusion")
    points = track.MlflowClient(tracking_uri=fresh.uri).get_metric_history(fusion.info.run_id, "train_loss")
    assert sorted((point.step, point.value) for point in points) == CURVE


def test_lock_that_never_comes_free_is_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow_client, "LOCK_TIMEOUT_S", 0.05)
    with mlflow_client.FileLock(store.lock), pytest.raises(StoreError, match=r"mlflow\.db\.lock: held by"):
        record(result(), store)


def test_server_that_is_down_is_an_error_that_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    down = store_at(tmp_path, "http://user:secret@127.0.0.1:9")
    with pytest.raises(StoreError, match=r"files are safe.*dvc repro track") as caught:
        record(result(), down)
    assert "secret" not in str(caught.value)


def test_database_server_that_is_down_is_told_before_mlflow_tries_for_minutes(tmp_path: Path) -> None:
    pytest.importorskip("psycopg2")
    down = store_at(tmp_path, "postgresql://user:secret@127.0.0.1:9/runs")
    with pytest.raises(ServerError, match=r"MLflow at postgresql.*127\.0\.0\.1:9/runs failed") as caught:
        record(result(), down)
    assert isinstance(caught.value.__cause__, SQLAlchemyError), "MLflow itself was not asked"
    assert "secret" not in str(caught.value)


def test_unknown_driver_is_named(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="nosuch"):
        record(result(), store_at(tmp_path, "postgresql+nosuch://user@127.0.0.1:9/runs"))


def test_relative_database_counts_from_the_repository(tmp_path: Path) -> None:
    assert store_at(tmp_path).uri == f"sqlite:///{tmp_path}/mlflow.db"
    assert store_at(tmp_path).shown == f"{tmp_path}/mlflow.db"
    assert store_at(tmp_path, "").uri == f"sqlite:///{tmp_path}/mlflow.db"
    assert store_at(tmp_path, "sqlite:///x/runs.db").uri == f"sqlite:///{tmp_path}/x/runs.db"
    assert store_at(tmp_path, "sqlite:////else/runs.db").uri == "sqlite:////else/runs.db"
    remote = store_at(tmp_path, "https://tracking.example:5000")
    assert (remote.uri, remote.artifacts) == ("https://tracking.example:5000", None)


def test_flatten_keeps_every_value() -> None:
    tree = {"a": {"b": {"c": 1e-3, "d": None}}, "t": "text", "l": ["x", 1], "e": {}, "f": True}
    assert flatten(tree) == {
        "a.b.c": "0.001",
        "a.b.d": "null",
        "t": "text",
        "l": '["x", 1]',
        "e": "{}",
        "f": "true",
    }


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, "base"),
        ({"a": "2"}, "a=2"),
        ({"heads": '["zero_shot", "fusion"]'}, "heads=[zero_shot,fusion]"),
        ({"a": "2", "b": "3", "c": "4", "d": "5", "e": "6"}, "a=2, b=3, c=4, 2 more"),
        ({"a": "y" * 50}, "a=" + "y" * 39 + "…"),
    ],
)
def test_variant_names_what_differs(params: dict[str, str], expected: str) -> None:
    baseline = dict.fromkeys(["a", "b", "c", "d", "e", "heads"], "1")
    assert variant_name(baseline | params, baseline) == expected


def test_removed_parameter_is_named_too() -> None:
    assert variant_name({}, {"a": "1"}) == "a=absent"
