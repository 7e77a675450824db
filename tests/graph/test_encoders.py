"""`moclip ablate` over encoders: the demo's, and one of a hub on loopback, through the whole graph."""

import csv
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from moclip.base.markdown import NO_VALUE
from moclip.clip.encoder import build
from moclip.clip.tiny import CONFIG
from moclip.report.suites.encoders import ASKED
from tests.graph.test_pipeline import Repository
from tests.support.hub_server import Hub, hub_environment, serving

TINY = "someone/tiny"
SUITE = f"""
set: {{clip.prompts: prompts/names.yaml, clip.templates: mteb}}
encoders:
- {{model: demo}}
- {{model: "hf-hub:{TINY}"}}
"""

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@pytest.fixture
def hub() -> Iterator[Hub]:
    """With an untrained CLIP of half the demo's width."""
    torch.manual_seed(0)
    config: dict[str, Any] = json.loads(json.dumps(CONFIG))
    config["model_cfg"]["vision_cfg"]["width"] //= 2
    content = save(build(config["model_cfg"]).state_dict())
    facts = json.dumps(config).encode()
    with serving({f"{TINY}/open_clip_config.json": facts, f"{TINY}/open_clip_model.safetensors": content}) as hub:
        yield hub


@pytest.fixture
def repository(finished: Repository, tmp_path: Path) -> Repository:
    repository = Repository(tmp_path / "repository", forks=True)
    shutil.copytree(finished.path, repository.path, symlinks=True)
    (repository.path / "encoders.yaml").write_text(SUITE)
    repository.run("git", "add", "-A")
    repository.run("git", "commit", "-qm", "result")
    return repository


def ablate(repository: Repository, *words: str, status: int = 0) -> str:
    both = 'exec "$0" "$@" 2>&1'
    suite = ["-m", "stages.commands.ablate", "--suite", "encoders.yaml"]
    return repository.run("sh", "-c", both, sys.executable, *suite, *words, status=status)


def experiments(repository: Repository) -> list[str]:
    refs = repository.run("git", "for-each-ref", "--format=%(refname)", "refs/exps/").splitlines()
    return sorted(ref.rsplit("/", 1)[1] for ref in refs if "/celery/" not in ref)


def test_encoders_stand_on_one_table_and_those_without_weights_are_named(repository: Repository, hub: Hub) -> None:
    files, hub.files = hub.files, {}
    repository.env = {**repository.env, **hub_environment(hub.url, repository.path / ".work/hub")} | {
        name: repository.env[name] for name in ("PATH", "GIT_CONFIG_GLOBAL")
    }
    told = ablate(repository, status=1)
    assert "1 of 2 encoders have no weights; nothing was run" in told
    assert f"hf-hub-someone-tiny: CLIP hf-hub:{TINY}: not on this machine" in told
    assert experiments(repository) == []

    hub.files = files
    ablate(repository)
    with (repository.path / "reports/encoders.csv").open() as file:
        rows = {row["encoder"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["demo", "hf-hub-someone-tiny"]
    assert sorted(row["experiment"] for row in rows.values()) == experiments(repository)
    for row in rows.values():
        shown = ["git", "show", f"refs/exps/{_baseline(repository)}/{row['experiment']}:reports/summary.json"]
        summary = json.loads(repository.run(*shown))
        assert set(summary["heads"]) == set(ASKED)
        for head in ASKED:
            assert float(row[f"{head}_top1_pct"]) == summary["heads"][head]["top1_pct"]["mean"]
        assert float(row["gain_points"]) == summary["differences"]["fusion_minus_clip_probe"]["mean"]
        assert float(row["encoding_s"]) > 0
        assert float(row["peak_mib"]) > 10
    assert int(rows["hf-hub-someone-tiny"]["parameters"]) < int(rows["demo"]["parameters"])
    page = (repository.path / "reports/encoders.md").read_text()
    assert "on 12 test videos. All else is as in `params.yaml`, with `clip.prompts`: `prompts/names.yaml`" in page
    assert f"| `hf-hub:{TINY}` | {NO_VALUE} |" in page

    asked = len(hub.requests)
    assert "2 of 2 experiments are finished" in ablate(repository, "--jobs", "2")
    assert len(hub.requests) == asked, "what is here is not fetched again"


def _baseline(repository: Repository) -> str:
    head = repository.run("git", "rev-parse", "HEAD").strip()
    return f"{head[:2]}/{head[2:]}"


def test_encoders_are_listed_chosen_and_run_once_each(repository: Repository) -> None:
    assert ablate(repository, "--list").splitlines() == [
        f"{'demo':32} demo",
        f"{'hf-hub-someone-tiny':32} hf-hub:{TINY}",
    ]
    assert "'vit': not in the suite; it has demo, hf-hub-someone-tiny" in ablate(repository, "vit", status=1)
    assert "--seeds: of encoders, one run each is tried" in ablate(repository, "demo", "--seeds", "2", status=1)
