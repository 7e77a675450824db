"""MLflow's pages in a real browser: the list of results, three of them compared, the curves of a head; and pictures."""

import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from PIL import Image

from moclip.base.arithmetic import AVX2, ONE_THREAD
from moclip.base.errors import StoreError
from moclip.tracking.record import record
from moclip.tracking.result import Child, Result
from moclip.tracking.store import store_at
from moclip.tracking.view.measures import gain
from moclip.tracking.view.page import landing, page_of
from tests.support.imports import ROOT
from tools import pictures
from tools.pictures import Chosen

EPOCHS = 15
LONGEST_S = 300
VARIANTS = {"base": (192, 97.25), "fusion.hidden=256": (256, 96.5), "fusion.hidden=64": (64, 93.75)}


def curve(start: float, end: float) -> list[tuple[int, float]]:
    return [(epoch, start + (end - start) * (1 - math.exp(-epoch / 5))) for epoch in range(EPOCHS)]


def result(variant: str) -> Result:
    hidden, top1 = VARIANTS[variant]
    metrics = {"top1_pct": top1, "top5_pct": 100.0, "mean_class_pct": top1, "n_test": 144}
    curves = {"train_loss": curve(2.5, 0.25), "val_loss": curve(2.5, 0.5), "val_top1_pct": curve(10, top1)}
    return Result(
        dataset="demo",
        key=variant,
        variant=variant,
        params={"fusion.hidden": str(hidden), "seed": "0"},
        tags={"moclip.git_dirty": "false"},
        summary={"accuracy/fusion": top1, "accuracy/zero_shot": 47.5, gain(): top1 - 50.0},
        children=[Child("clip_probe", 1, metrics, curves), Child("fusion", 1, metrics, curves)],
        data={"manifest.csv": "0" * 32},
    )


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A store with three variants, shown by what `make ui` starts."""
    if not shutil.which("chromium") or not shutil.which("chromedriver"):
        pytest.skip("needs chromium and chromedriver (Debian: chromium, chromium-driver), which are not installed")
    root = tmp_path_factory.mktemp("repository")
    for variant in VARIANTS:
        record(result(variant), store_at(root))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setenv("DVC_ROOT", str(root))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        with pictures.served() as address:
            yield address


@pytest.fixture(scope="module")
def driver(address: str) -> Iterator[Any]:
    pytest.importorskip("selenium")
    with pictures.browser() as driver:
        yield driver


@pytest.fixture(scope="module")
def chosen(address: str) -> Chosen:
    return pictures.choose(address)


@pytest.fixture(autouse=True)
def limited() -> Iterator[None]:
    """A browser that hangs ends its own test, and not the whole run."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"longer than {LONGEST_S} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LONGEST_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def text(driver: Any) -> str:
    return str(driver.find_element("css selector", "main").text)


def vivid_pixels(image: Image.Image) -> int:
    """Pixels of a saturated colour: lines and marks, neither text nor paper."""
    return sum(count for count, (r, g, b) in image.getcolors(1 << 24) if max(r, g, b) - min(r, g, b) > 100)  # type: ignore[misc,union-attr]


def test_the_newest_results_and_a_fusion_head_are_chosen(chosen: Chosen) -> None:
    assert [parent["info"]["run_name"] for parent in chosen.parents] == list(reversed(VARIANTS))
    assert chosen.child["info"]["run_name"] == "fusion.hidden=64 / fusion / split 1"


def test_ui_names_the_address_that_shows_each_result_with_its_gain_and_no_head(
    driver: Any, address: str, chosen: Chosen
) -> None:
    """A browser that has never been here: columns, order and filter come with the address alone."""
    client = MlflowClient(tracking_uri=address)
    assert landing(client) == page_of(chosen.experiment)
    pictures.show_runs(driver, address, chosen)
    assert driver.current_url.startswith(address + page_of(chosen.experiment).partition("?")[0])
    shown = text(driver)
    known = result("base").summary.keys()
    assert "Results on demo: one run for each" in shown, "the experiment's note"
    assert "3 matching runs" in shown
    for variant, (_, top1) in VARIANTS.items():
        assert f"\n{variant}\n" in shown
        assert f"\n{top1}\n" in shown
        assert f"\n{top1 - 50}\n" in shown
    assert all(name in shown for name in known)
    assert "/ split 1" not in shown


def test_three_results_are_compared_by_a_chart_and_a_table(driver: Any, address: str, chosen: Chosen) -> None:
    pictures.show_comparison(driver, address, chosen)
    axes = [axis.text for axis in driver.find_elements("css selector", ".parcoords .axis-title")]
    assert axes == ["fusion.hidden", "accuracy/fusion"]
    assert vivid_pixels(pictures.photograph(driver)) > 500
    shown = text(driver)
    for variant, (hidden, top1) in VARIANTS.items():
        assert variant in shown
        assert str(hidden) in shown
        assert str(top1) in shown
    driver.find_element("xpath", "//*[text()='Scatter Plot']").click()
    pictures._await_text(driver, "X-axis:")
    pictures._await_drawn(driver, ".js-plotly-plot canvas")
    assert vivid_pixels(pictures.photograph(driver)) > 100  # three dots


def test_the_curves_of_a_head_have_a_point_for_each_epoch(driver: Any, address: str, chosen: Chosen) -> None:
    pictures.show_curves(driver, address, chosen)
    charts = driver.find_elements("css selector", ".js-plotly-plot .scatterlayer")
    assert len(charts) == 3
    assert [len(chart.find_elements("css selector", ".points path")) for chart in charts] == [EPOCHS] * 3
    assert vivid_pixels(pictures.photograph(driver)) > 500


def test_command_writes_small_pictures_of_the_pages(
    driver: Any, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setattr(pictures, "browser", lambda: nullcontext(driver))  # two at once starved a machine of two cores
    monkeypatch.setattr(sys, "argv", ["pictures", "--out", str(tmp_path / "pictures")])
    pictures.main()
    made = sorted((tmp_path / "pictures").iterdir())
    assert [path.name for path in made] == ["comparison.png", "curves.png", "runs.png"]
    for path in made:
        assert path.stat().st_size < 200_000
        with Image.open(path) as image:
            assert image.width > 1000
            assert not image.info.keys() - {"dpi"}


def test_a_store_with_too_few_results_is_refused_with_the_remedy(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "COMPARED", 4)
    with pytest.raises(StoreError, match=r"compare 4 results.*has 3; run `dvc repro`, then experiments such as"):
        pictures.choose(address)


def test_a_missing_browser_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(StoreError, match="apt-get install chromium chromium-driver"), pictures.browser():
        pass


def test_program_starts_in_an_environment_that_pins_nothing() -> None:
    """Its libraries bring NumPy, before which kernels are chosen; the tests' own environment has them already."""
    env = {name: value for name, value in os.environ.items() if name not in {**ONE_THREAD, **AVX2}}
    done = subprocess.run(
        [sys.executable, "-c", "import tools.pictures"], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
