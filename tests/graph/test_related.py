"""Every head of the registry on one finished run: heads on frames bring their own stages, and no other runs again."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from moclip.base.errors import StoreError
from moclip.heads.evl import load as load_evl
from moclip.heads.registry import HEADS as REGISTRY
from moclip.results.predictions import read_predictions
from moclip.results.summary import difference_name
from moclip.store.blocks import BlockStore
from moclip.store.features import read_features
from tests.graph.test_pipeline import HEADS, Repository

OWN = {
    f"{name}@frames"
    for name in ("cache_frames", "cache_grid", "cache_residual", "motion_tokens", "cache_search", "search")
}
NEW = set(REGISTRY) - set(HEADS)
OF_MOTION = {head for head, spec in REGISTRY.items() if spec.own_network}

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@pytest.fixture(scope="module")
def run(finished: Repository, tmp_path_factory: pytest.TempPathFactory) -> tuple[Repository, set[str]]:
    """A copy with all heads, and the names of the stages that ran for them."""
    repository = Repository(tmp_path_factory.mktemp("related") / "repository", forks=True)
    shutil.copytree(finished.path, repository.path, symlinks=True)
    repository.set(heads=list(REGISTRY), related=["frames"])
    printed = repository.run("dvc", "repro")
    started = [line.split("'")[1] for line in printed.splitlines() if line.startswith("Running stage")]
    return repository, {name.rpartition(":")[2] for name in started}


@pytest.fixture
def related(run: tuple[Repository, set[str]]) -> Path:
    return run[0].path


def test_heads_on_frames_bring_their_stages_and_no_other_runs_again(run: tuple[Repository, set[str]]) -> None:
    chosen = {name for name in run[1] if name.startswith("choose_frames@")}
    assert len(chosen) == 1
    heads = {f"{head}@frames" for head in NEW}
    reached = {*heads, *(f"evaluate@{head}" for head in NEW), *OWN, "summarize", "report", "track"}
    assert run[1] - chosen == {"code", *reached}, "`code` looks whether a stage fits each head"


def test_every_head_has_answers_intervals_costs_and_a_place_in_the_report(related: Path) -> None:
    summary = json.loads((related / "reports/summary.json").read_text())
    costs = json.loads((related / "reports/accounting.json").read_text())["run"]["heads"]
    report = (related / "reports/report.md").read_text()
    frame_gmac = costs["zero_shot"]["gmac_per_video"]
    for head in NEW:
        trainings = [read_predictions(path) for path in related.glob(f"preds/{head}/**/split1.npz")]
        hits = np.mean([(one.logits.argmax(axis=1) == one.labels).mean() for one in trainings])
        assert summary["heads"][head]["top1_pct"]["per_split"]["1"] == pytest.approx(100 * hits, abs=1e-3)
        if head not in OF_MOTION:
            assert costs[head]["gmac_per_video"] > 3.9 * frame_gmac  # four frames
        assert REGISTRY[head].title in report
    assert difference_name("group_resampler", "resampler") in summary["differences"]
    assert difference_name("prompt_guided", "frames_zero_shot") in summary["differences"]


def test_motion_networks_of_their_own_stand_beside_the_shared_one(related: Path) -> None:
    assert sorted(OF_MOTION) == ["motion_mae", "motion_mcl", "motion_vit"]
    summary = json.loads((related / "reports/summary.json").read_text())
    report = (related / "reports/report.md").read_text()
    costs = json.loads((related / "reports/accounting.json").read_text())["run"]
    for head in OF_MOTION:
        config = json.loads((related / f"models/{head}/split1/config.json").read_text())
        assert config["arch"] == ("small" if head == "motion_mcl" else "vit")
        assert config.get("learnt", {}).get("method") == {"motion_mcl": "mcl", "motion_mae": "mae"}.get(head)
        assert config.get("learnt", {}).get("videos", "train") == "train"
        assert difference_name(head, "motion_only") in summary["differences"]
    assert difference_name("motion_mae", "motion_vit") in summary["differences"]
    assert costs["motion_net"]["arch"] == "small", "the shared network is told of, not one of theirs"
    assert costs["heads"]["motion_mae"] == costs["heads"]["motion_vit"]
    assert "Transductive" not in report


def test_all_heads_saw_the_same_frames(related: Path) -> None:
    facts = json.loads((related / "data/frames/chosen/uniform/frames.json").read_text())
    assert facts == {
        **{"rule": "uniform:4", "select": "uniform", "keep": None, "order": "time"},
        **{"frames": 4, "looked_at": 4, "flat_share": 0.0},
    }
    for head in ("evl", "resampler", "multiway", "prompt_guided"):
        assert json.loads((related / f"models/{head}/split1/config.json").read_text())["frames"] == facts


def test_stores_have_all_videos_and_their_arrays(related: Path) -> None:
    rows = {"global": (64,), "grid": (2, 2, 64), "residual": (16, 128)}
    stores = {array: BlockStore(related / "data/frames" / array) for array in rows}
    ids = stores["global"].ids
    assert len(ids) == 36
    for array, store in stores.items():
        assert store.ids == ids
        (values,) = store.rows(array, ids[:1])
        assert values.shape == (4, *rows[array])
        assert values.dtype == "float16"
    (values,) = BlockStore(related / "data/motion_tokens/split1").rows("motion", ids[:1])
    assert values.shape == (4, 1, 1, 96)


def test_moments_are_searched_in_composed_films_and_shown(related: Path) -> None:
    found = json.loads((related / "results/heads/search/search.json").read_text())
    report = (related / "reports/report.md").read_text()
    assert found["queries"] == {"1": 12}
    assert found["films"] == {"1": 1}
    names = [row["name"] for row in found["rows"]]
    heads = [f"query_{head}" for head in ("motion_only", "clip_probe", "fusion")]
    assert names == ["random", "uniform", "shots", "published", "query", *heads, "oracle"]
    assert all(0 <= row["r1_50"]["mean"] <= row["r1_30"]["mean"] <= 100 for row in found["rows"])
    assert {(row["target"], row["by"]) for row in found["by_example"]} == {
        (target, by)
        for target in ("same class", "same scene, another movement", "same movement, another scene")
        for by in ("clip", "motion", "both")
    }
    assert "## Moments in long videos" in report
    assert "### By example" in report
    verdicts = json.loads((related / "reports/verdicts.json").read_text())["oneclip_rag"]["claims"]
    assert {claim["verdict"] for claim in verdicts} == {"not comparable"}
    (steps,) = BlockStore(related / "data/frames/search").rows(
        "global", BlockStore(related / "data/frames/search").ids[:1]
    )
    assert steps.shape == (4, 64)  # 16 frames of 0.04 s, a step of 0.16 s


def test_a_head_that_makes_features_hands_them_to_another_with_what_they_cost(related: Path) -> None:
    features = read_features(related / "data/evl_features/split1.npz")
    predictions = read_predictions(related / "preds/evl/split1.npz")
    decoder = load_evl(related / "models/evl/split1").net.decoder
    with torch.inference_mode():
        logits = decoder.outputs(torch.from_numpy(features.of(predictions.ids.tolist()))).numpy()
    np.testing.assert_allclose(logits, predictions.logits, rtol=1e-4, atol=1e-4)
    costs = json.loads((related / "reports/accounting.json").read_text())["run"]["heads"]
    below = costs["evl"]["trained_in_all"] + costs["motion_only"]["trained_in_all"]
    assert costs["evl_fusion"]["trained_in_all"] == costs["evl_fusion"]["trainable_parameters"] + below
    assert costs["evl_fusion"]["gmac_per_video"] > costs["evl"]["gmac_per_video"]


def test_another_choice_of_frames_runs_what_it_reads(run: tuple[Repository, set[str]]) -> None:
    repository, _ = run
    before = (repository.path / "params.yaml").read_text()
    (repository.path / "params.yaml").write_text(before.replace("select: uniform", "select: motion"))
    try:
        repository.run("dvc", "repro", "-q", "heads/dvc.yaml:frames_zero_shot@frames")
    finally:
        (repository.path / "params.yaml").write_text(before)
    facts = json.loads((repository.path / "data/frames/chosen/motion/frames.json").read_text())
    assert facts["select"] == "motion"


def test_half_a_block_is_refused(related: Path, tmp_path: Path) -> None:
    shutil.copytree(related / "data/frames/grid", tmp_path / "grid")
    block = tmp_path / "grid/blocks/000/000000.block"
    block.chmod(0o644)
    block.write_bytes(block.read_bytes()[:-1])
    with pytest.raises(StoreError, match="torn"):
        BlockStore(tmp_path / "grid")
