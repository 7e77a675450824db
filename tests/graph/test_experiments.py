"""What DVC and `moclip compare` show of real experiments, and what each stage is said to have cost."""

import csv
import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from moclip.base.errors import DataError
from moclip.report.plot_tables import TRAINED
from stages.dvc.digest import md5
from stages.dvc.experiments import unfinished_experiments
from tests.graph.test_pipeline import HEADS, Repository


@pytest.fixture(scope="module")
def variants(finished: Repository, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A copy with the result committed, one experiment on top, one that failed and one that waits."""
    repository = Repository(tmp_path_factory.mktemp("experiments") / "repository", forks=True)
    shutil.copytree(finished.path, repository.path, symlinks=True)
    repository.run("git", "add", "-A")
    repository.run("git", "commit", "-qm", "result")
    repository.run("dvc", "exp", "run", "-q", "-n", "wider", "-S", "fusion.hidden=64", "-S", "fusion.epochs=12")
    repository.run("dvc", "exp", "run", "-q", "--queue", "-n", "broken", "-S", "data.classes=[Nope,Never]")
    repository.run("dvc", "queue", "start")
    deadline = time.monotonic() + 900
    while "0 active, 0 idle" not in (status := repository.run("dvc", "queue", "status")) or "Failed" not in status:
        assert time.monotonic() < deadline, status
        time.sleep(5)  # DVC takes seconds of a processor to say how its queue stands
    repository.run("dvc", "exp", "run", "-q", "--queue", "-n", "waiting", "-S", "fusion.hidden=8")
    return repository


def bill(repository: Repository) -> dict[str, Any]:
    return {row["stage"]: row for row in json.loads((repository.path / "reports/cost.json").read_text())["stages"]}


def test_every_stage_behind_a_result_has_its_cost(finished: Repository) -> None:
    found = bill(finished)
    assert {"download", "train_motion", "fusion", "evaluate@fusion", "report"} <= set(found)
    assert "track" not in found
    ran = {name: row for name, row in found.items() if row["cost"]}
    assert set(ran) == set(found), "all were run here"
    for row in ran.values():
        assert row["cost"]["peak_mib"] > 10
        assert row["cost"]["cpu_s"] > 0
        assert 0 < row["cost"]["wall_s"] < 1000
    printed = finished.run("moclip", "results")
    total = json.loads((finished.path / "reports/cost.json").read_text())["total_wall_s"]
    assert f"cost: {total:.0f} s over {len(found)} stages" in printed
    page = (finished.path / "reports/cost.md").read_text()
    assert page.count("| ran now |") == len(found) or "not run now" in page


def test_cost_is_no_result(finished: Repository) -> None:
    """Neither DVC nor Git keeps it, so that equal results stay equal."""
    assert "cost" not in re.sub(r"--(paper-)?cost\S*|reports/cost\S*|data/paper_costs\S*", "", finished.lock())
    assert finished.run("git", "check-ignore", "reports/cost.md", "reports/cost.json")


def test_stage_from_the_run_cache_shows_what_it_cost_when_it_ran(finished: Repository, variants: Repository) -> None:
    wider = bill(variants)
    assert {name for name, row in wider.items() if row["now"]} >= {"fusion", "clip_probe", "report"}
    assert not wider["download"]["now"]
    assert wider["download"]["cost"] == bill(finished)["download"]["cost"]
    kept = {name: (variants.path / name).read_bytes() for name in ("params.yaml", "dvc.lock", "heads/dvc.lock")}
    try:
        variants.run("git", "checkout", "-q", "HEAD", "--", ".")
        printed = variants.run("dvc", "repro")
        assert "Running stage 'heads/dvc.yaml:fusion'" not in printed
        back = bill(variants)
    finally:
        variants.run("dvc", "exp", "apply", "wider")
    assert kept == {name: (variants.path / name).read_bytes() for name in kept}
    before, after = bill(finished)["fusion"], back["fusion"]
    assert after["cost"] == before["cost"] != wider["fusion"]["cost"]
    assert after["status"] == f"not run now; cost {before['cost']['wall_s']:.1f} s when it ran"


def test_cost_that_nobody_knows_is_said_to_be_unknown(variants: Repository) -> None:
    records = variants.path / ".work/costs-1"
    records.rename(records.with_name("aside"))
    try:
        variants.run("dvc", "repro", "-q", "-s", "track")
        found = bill(variants)
        printed = variants.run("moclip", "results")
    finally:
        records.with_name("aside").rename(records)
    assert {row["status"] for row in found.values()} == {"not run here"}
    assert f"cost: not known; none of the {len(found)} stages behind this result was run here" in printed


def test_cost_of_another_result_is_not_printed(variants: Repository) -> None:
    summary = variants.path / "reports/summary.json"
    text = summary.read_text()
    summary.write_text(text + "\n")
    try:
        assert "cost:" not in variants.run("moclip", "results")
    finally:
        summary.write_text(text)


def test_compare_shows_parameters_accuracies_and_paired_differences(variants: Repository) -> None:
    printed = variants.run("moclip", "compare", "wider", "--out", "compared.md")
    assert re.search(r"^fusion\.hidden +16 +64$", printed, re.MULTILINE)
    assert re.search(r"^fusion\.epochs +2 +12$", printed, re.MULTILINE)
    assert "motion_net" not in printed
    rows = list(csv.DictReader((variants.path / "compared.csv").read_text().splitlines()))
    assert {(row["head"], row["variant"]) for row in rows} == {(h, v) for h in HEADS for v in ("HEAD", "wider")}
    for row in rows:
        assert int(row["n_test"]) == 12
        metrics = json.loads(shown(variants, row["variant"], f"results/heads/{row['head']}/split1_metrics.json"))
        assert float(row["top1_pct"]) == pytest.approx(metrics["top1_pct"], abs=1e-4)
    by_head = {row["head"]: row for row in rows if row["variant"] == "wider"}
    assert float(by_head["motion_only"]["difference_points"]) == 0
    assert by_head["motion_only"]["verdict"] == "identical"
    alike = [head for head, row in by_head.items() if row["verdict"] == "identical"]
    assert f"\nidentical: {', '.join(alike)}\n" in printed
    assert "results of another machine" not in printed
    for head, row in by_head.items():
        before = next(float(r["top1_pct"]) for r in rows if (r["head"], r["variant"]) == (head, "HEAD"))
        assert float(row["difference_points"]) == pytest.approx(float(row["top1_pct"]) - before, abs=1e-3)
        if row["verdict"] in ("identical", "no video differs"):
            assert (row["low_points"], row["high_points"]) == ("", "")
            continue
        leaves_out = not float(row["low_points"]) <= 0 <= float(row["high_points"])
        assert row["verdict"] == ("different" if leaves_out else "no difference shown")
    page = (variants.path / "compared.md").read_text()
    assert "| `fusion.hidden` | `16` | `64` |" in page
    assert page.count("| 12 |") == len(rows) - 2 * len(alike)


def shown(repository: Repository, revision: str, path: str) -> str:
    if revision == "HEAD":
        return repository.run("git", "show", f"HEAD:{path}")
    refs = repository.run("git", "for-each-ref", "--format=%(refname)", "refs/exps").split()
    (ref,) = [ref for ref in refs if ref.endswith(f"/{revision}")]
    return repository.run("git", "show", f"{ref}:{path}")


def test_compare_names_what_has_no_result(variants: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(variants.path)
    monkeypatch.setenv("PATH", variants.env["PATH"])
    assert unfinished_experiments() == {"broken": "failed", "waiting": "queued"}
    printed = variants.run("moclip", "compare", "wider", "waiting", "broken")
    assert "waiting: queued, has no result yet" in printed
    assert "broken: failed, has no result" in printed
    assert refused(variants, "compare", "waiting").startswith(
        "error: waiting: queued, has no result yet; there is nothing"
    )
    assert "'absent': no experiment and no Git revision; experiments: broken, waiting, wider" in refused(
        variants, "compare", "absent"
    )


FAKE = """#!/bin/sh
echo x >> asked
if [ $(wc -l < asked) -ge %d ]; then
  echo '[{"experiments": [{"name": "waiting", "executor": {"state": "Queued"}}]}]'
  exit 0
fi
echo "ERROR: unexpected error - [Errno 2] No such file or directory: 'a.run'" >&2
exit 255
"""


@pytest.mark.parametrize("answers", [3, 4])
def test_dvc_is_asked_again_where_an_experiment_ends_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: int
) -> None:
    (tmp_path / "dvc").write_text(FAKE % answers)
    (tmp_path / "dvc").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    if answers == 3:
        assert unfinished_experiments() == {"waiting": "queued"}
    else:
        with pytest.raises(DataError, match=r"`dvc exp show` failed: ERROR: .*a\.run"):
            unfinished_experiments()
    assert len((tmp_path / "asked").read_text().split()) == 3


def refused(repository: Repository, *words: str) -> str:
    done = subprocess.run(
        ["moclip", *words], check=False, cwd=repository.path, env=repository.env, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


def test_compare_of_the_workspace_and_of_what_it_lacks(variants: Repository) -> None:
    printed = variants.run("moclip", "compare", "workspace", "--baseline", "wider")
    assert "no parameter differs" in printed
    params = variants.path / "params.yaml"
    text = params.read_text()
    try:
        variants.set(heads=["zero_shot", "fusion"])
        printed = variants.run("moclip", "compare", "workspace")
        assert "clip_probe: not run in workspace" in printed
        params.write_text(text.replace("hidden: 64", "hidden: 65"))
        line = refused(variants, "compare", "workspace")
    finally:
        params.write_text(text)
    assert line.startswith("error: workspace: has no result that can be compared")
    assert "made with fusion.hidden = 64, its params.yaml says 65" in line


def test_compare_refuses_other_data(variants: Repository) -> None:
    """The labels of one video changed in the workspace, and the lock with them: another data set."""
    results = variants.path / "results/heads/fusion"
    path = results / "split1_outcomes.csv"
    lock = variants.path / "dvc.lock"
    before = {path: path.read_text(), lock: lock.read_text()}
    try:
        digest = md5(results)
        rows = list(csv.reader(before[path].splitlines()))
        rows[1][2] = next(row[2] for row in rows[1:] if row[2] != rows[1][2])
        path.write_text("".join(",".join(row) + "\n" for row in rows))
        assert "not what the pipeline wrote" in refused(variants, "compare", "workspace")
        lock.write_text(before[lock].replace(digest, md5(results)))
        line = refused(variants, "compare", "workspace")
    finally:
        for file, text in before.items():
            file.write_text(text)
    assert re.search(r"workspace and HEAD were not tested on the same data.*fusion, split 1.*is labelled", line)


def test_dvc_tells_variants_apart_by_few_figures(variants: Repository) -> None:
    metrics = json.loads(variants.run("dvc", "metrics", "diff", "HEAD", "wider", "--all", "--json"))
    figures = metrics.pop("reports/metrics.json")
    assert not metrics, "one file alone is for telling variants apart"
    assert len(figures) <= 8
    summary = json.loads(shown(variants, "wider", "reports/summary.json"))
    for head in HEADS:
        if f"top1_pct.{head}" in figures:
            assert figures[f"top1_pct.{head}"]["new"] == summary["heads"][head]["top1_pct"]["mean"]
    assert {"top1_pct.fusion", "top1_pct.clip_probe"} <= set(figures)
    assert figures["gain_points.mean"]["new"] == summary["differences"]["fusion_minus_clip_probe"]["mean"]
    params = json.loads(variants.run("dvc", "params", "diff", "HEAD", "wider", "--json"))["params.yaml"]
    changed = {key: (values["old"], values["new"]) for key, values in params.items()}
    assert changed == {"fusion.epochs": (2, 12), "fusion.hidden": (16, 64)}


def test_dvc_plots_overlay_heads_and_variants(variants: Repository) -> None:
    charts = specs(variants, "diff", "HEAD", "wider")
    assert list(charts) == [
        "Top-1 by head",
        "Validation top-1 by epoch",
        "Training loss by epoch",
        "Gain of fusion over the CLIP probe by class",
        "Recall of the main head by class",
        "Confusion of the main head",
    ]
    for chart in charts.values():
        assert {row["rev"] for row in chart["data"]["values"]} == {"HEAD", "wider"}
    bars = {(row["rev"], row["head"]): float(row["top1_pct"]) for row in charts["Top-1 by head"]["data"]["values"]}
    summary = json.loads(shown(variants, "wider", "reports/summary.json"))
    assert bars["wider", "fusion"] == summary["heads"]["fusion"]["top1_pct"]["mean"]
    assert {head for _, head in bars} == set(HEADS)
    curves = charts["Validation top-1 by epoch"]["data"]["values"]
    assert {row["field"] for row in curves} == set(TRAINED)
    drawn = [row for row in curves if row["field"] == "fusion" and row["fusion"] != "nan"]
    assert [sum(row["rev"] == rev for row in drawn) for rev in ("HEAD", "wider")] == [2, 12]


def test_dvc_plots_show_the_workspace(variants: Repository) -> None:
    charts = specs(variants, "show")
    confusion = charts["Confusion of the main head"]["data"]["values"]
    assert len(confusion) == 12
    assert (variants.path / "shown/static").is_dir(), "the contact sheet stands beside the charts"


def specs(repository: Repository, *words: str) -> dict[str, Any]:
    """The Vega specifications of the page that `dvc plots` writes, by title."""
    repository.run("dvc", "plots", *words, "--out", "shown")
    page = (repository.path / "shown/index.html").read_text()
    found = [json.loads(text) for text in re.findall(r"var spec = (\{.*?\});\n", page, re.DOTALL)]
    return {spec["title"]["text"] if isinstance(spec["title"], dict) else spec["title"]: spec for spec in found}


def test_verify_holds_a_run_against_itself_and_against_another_setting(variants: Repository) -> None:
    found = json.loads(variants.run("moclip", "verify", "--against", "wider", "--json"))
    assert found["verdict"] == "identical"
    assert {check["head"] for check in found["heads"]} == set(HEADS)
    assert found["conclusions"]
    assert all(found["conclusions"].values())
    said = variants.run("moclip", "verify").splitlines()
    assert "of other parameters" in said[0]
    compared = {line.split()[0] for line in said[2:-1]}
    assert "zero_shot" in compared
    assert not compared & {"fusion", "clip_probe", "motion_permuted"}
    assert said[-1] == "verdict: identical"


def test_verify_sees_three_other_answers(variants: Repository) -> None:
    file = variants.path / "results/heads/fusion/split1_outcomes.csv"
    before = file.read_text()
    header, *rows = before.splitlines()
    column = header.split(",").index("predicted")
    for place in (0, 4, 8):
        fields = rows[place].split(",")
        fields[column] = next(other for row in rows if (other := row.split(",")[column]) != fields[column])
        rows[place] = ",".join(fields)
    file.write_text("\n".join([header, *rows, ""]))
    try:
        found = json.loads(variants.run("moclip", "verify", "--against", "wider", "--json", status=1))
    finally:
        file.write_text(before)
    by_head = {check["head"]: check for check in found["heads"]}
    assert by_head["fusion"]["changed"] == 3
    assert found["verdict"] == by_head["fusion"]["verdict"] in {"undecided", "different"}
    assert {check["verdict"] for head, check in by_head.items() if head != "fusion"} == {"identical"}


def test_verify_judges_nothing_of_another_seed(variants: Repository) -> None:
    before = {path: path.read_text() for path in (variants.path / "dvc.lock", variants.path / "heads/dvc.lock")}
    for path, text in before.items():
        path.write_text(text.replace("seed: 0\n", "seed: 1\n"))
    try:
        printed = variants.run("moclip", "verify", "--against", "wider", status=2)
    finally:
        for path, text in before.items():
            path.write_text(text)
    assert printed.startswith("nothing of this run can be held against wider: ")
