"""Not a stage: `make pictures` takes the README's pictures of MLflow's pages, of real runs in a headless Chromium."""

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import psutil
import requests
from PIL import Image

from moclip.base.errors import StoreError
from moclip.base.progress import Progress
from moclip.heads.registry import MAIN
from moclip.report.contact_sheet import write_png
from moclip.tracking import tags
from moclip.tracking.view.page import COLUMNS, page_of
from stages._entry import arguments, command, log

COMPARED = 3
IN_SIGHT = 3  # columns of the list that are so in any case
WIDTH_PX = 1360
WAIT_SECONDS = 120.0
# Without these, Chromium calls home at every start.
FLAGS = (
    "--disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync "
    "--disable-extensions --disable-default-apps --disable-gpu --hide-scrollbars --headless=new"
)
# What is not about the runs: the assistant, and the tools of a chart, which hide its corner.
HIDDEN = "[data-assistant-ui], .modebar { display: none !important }"


@dataclass(frozen=True)
class Chosen:
    """What the pictures show: the newest results of an experiment, and a head of the newest that has a curve."""

    experiment: str
    parents: list[Any]
    child: Any


def main() -> None:
    args = arguments("out")
    with served() as address, browser() as driver:
        chosen = choose(address)
        args.out.mkdir(parents=True, exist_ok=True)
        pages = {"runs": show_runs, "comparison": show_comparison, "curves": show_curves}
        for name, show in Progress(pages.items(), desc="pictures", unit="page"):
            show(driver, address, chosen)
            write_png(args.out / f"{name}.png", photograph(driver))
    log.info("%s: %s", args.out, ", ".join(f"{name}.png" for name in pages))


@contextmanager
def served() -> Iterator[str]:
    """The address of the user's tracking server, or of one that is started for the time being."""
    given = os.environ.get("MLFLOW_TRACKING_URI", "")
    if given.startswith(("http://", "https://")):
        yield given.rstrip("/")
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "stages.commands.ui", "--port", str(port)]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as server:
        try:
            address = f"http://127.0.0.1:{port}"
            _await_server(server, address)
            yield address
        finally:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)  # the server's own workers too


def _await_server(server: "subprocess.Popen[bytes]", address: str) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end and server.poll() is None:
        try:
            if requests.get(f"{address}/health", timeout=5).ok:
                return
        except requests.RequestException:
            time.sleep(0.2)
    raise StoreError("the MLflow UI does not start; `make ui` shows why")


@contextmanager
def browser() -> Iterator[Any]:
    """A headless Chromium with a profile of its own.

    Raises:
        StoreError: Chromium, ChromeDriver or selenium is not installed.
    """
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in programs:
        raise StoreError("chromium and chromedriver are needed; on Debian: apt-get install chromium chromium-driver")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = str(programs[0])
        flags = [*FLAGS.split(), f"--user-data-dir={profile}"]
        # Chromium refuses to run as root in its sandbox; it opens nothing but the pages of the server above.
        for flag in [*flags, *(["--no-sandbox"] if os.geteuid() == 0 else [])]:
            options.add_argument(flag)
        service = Service(str(programs[1]))
        try:
            driver = webdriver.Chrome(options, service)
            connection: Any = driver.command_executor
            connection.client_config.timeout = WAIT_SECONDS  # of one command: it would wait for ever
            yield driver
        finally:
            _end(service)


def _end(service: Any) -> None:
    """End the driver and its browser, whether they still answer or not."""
    driver = psutil.Process(service.process.pid) if service.process and service.process.poll() is None else None
    processes = [*driver.children(recursive=True), driver] if driver else []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=10)


def choose(address: str) -> Chosen:
    """Find what to show.

    Raises:
        StoreError: no experiment has three results, or none of their heads has a curve.
    """
    most = 0
    for experiment in _ask(address, "experiments/search", {"max_results": 100}).get("experiments", []):
        identity = experiment["experiment_id"]
        parents = _runs(address, identity, f"tags.`{tags.KIND}` = 'result'")
        most = max(most, len(parents))
        if len(parents) >= COMPARED:
            return Chosen(identity, parents, _child_with_curve(address, identity, parents[:COMPARED]))
    raise StoreError(
        f"pictures compare {COMPARED} results of one data set, and the store has {most}; run `dvc repro`, then "
        "experiments such as `dvc exp run -S fusion.hidden=256`"
    )


def _child_with_curve(address: str, experiment: str, parents: Sequence[Any]) -> Any:
    for parent in parents:
        children = _runs(address, experiment, f"tags.`mlflow.parentRunId` = '{parent['info']['run_id']}'")
        # The main head if it has one; another one will do.
        for child in sorted(
            children, key=lambda child: (f"/ {MAIN} /" not in (name := child["info"]["run_name"]), name)
        ):
            if any(metric["key"] == "train_loss" for metric in child["data"].get("metrics", [])):
                return child
    raise StoreError("no head of the newest results was trained, so there is no curve to show; run `dvc repro`")


def _runs(address: str, experiment: str, condition: str) -> list[Any]:
    """Finished runs, the newest first."""
    asked = {
        "experiment_ids": [experiment],
        "filter": f"{condition} and attributes.status = 'FINISHED'",
        "order_by": ["attributes.start_time DESC"],
    }
    found: list[Any] = _ask(address, "runs/search", asked).get("runs", [])
    return found


def _ask(address: str, what: str, body: Any) -> Any:
    answer = requests.post(f"{address}/api/2.0/mlflow/{what}", json=body, timeout=30)
    if not answer.ok:
        raise StoreError(f"{address}: MLflow refused {what} ({answer.status_code}: {answer.text[:200]})")
    return answer.json()


def show_runs(driver: Any, address: str, chosen: Chosen) -> None:
    """The list of results, as the address of `make ui` shows it: nothing is set up in this browser."""
    _prepare(driver, address, height=420 + 32 * min(len(chosen.parents), 10))
    driver.get(address + page_of(chosen.experiment))
    names = [parent["info"]["run_name"] for parent in chosen.parents[:COMPARED]]
    # The page has columns of what some run knows, and draws those in sight.
    known = {metric["key"] for metric in chosen.parents[0]["data"].get("metrics", [])}
    _await_text(driver, *names, *[name for name in COLUMNS if name in known][:IN_SIGHT])


def show_comparison(driver: Any, address: str, chosen: Chosen) -> None:
    """Three results side by side: a line for each through its parameters and metrics."""
    _prepare(driver, address, height=640)
    ids = json.dumps([parent["info"]["run_id"] for parent in chosen.parents[:COMPARED]])
    driver.get(f"{address}/#/compare-runs?runs={quote(ids)}&experiments={quote(json.dumps([chosen.experiment]))}")
    _await_text(driver, f"Comparing {COMPARED} Runs")
    _await_drawn(driver, ".parcoords canvas, .js-plotly-plot svg")


def show_curves(driver: Any, address: str, chosen: Chosen) -> None:
    """The learning curves of one head."""
    _prepare(driver, address, height=640)
    driver.get(f"{address}/#/experiments/{chosen.experiment}/runs/{chosen.child['info']['run_id']}/model-metrics")
    box = "input[placeholder='Search metric charts']"
    _await_drawn(driver, box)
    driver.find_element("css selector", box).send_keys("loss|val_top1")
    _await_text(driver, "train_loss", "val_loss", "val_top1_pct", chosen.child["info"]["run_name"], absent="n_test")
    _await_drawn(driver, ".js-plotly-plot .scatterlayer path.js-line")


def photograph(driver: Any) -> Image.Image:
    """The page without the bars around it."""
    hide = (
        "const style = document.createElement('style'); style.textContent = arguments[0]; document.head.append(style)"
    )
    driver.execute_script(hide, HIDDEN)
    time.sleep(1)  # charts grow into their place
    page = driver.find_element("css selector", "main").screenshot_as_png
    return Image.open(io.BytesIO(page)).convert("RGB")


def _prepare(driver: Any, address: str, *, height: int) -> None:
    """A window of this height, with MLflow's assistant closed, as after a first click on its cross."""
    size = {"width": WIDTH_PX, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    driver.get(f"{address}/health")  # of the same origin, and keeps nothing itself
    closed = {"mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true", "mlflow.assistant.panelOpen_v1": "false"}
    for key, value in closed.items():
        driver.execute_script("localStorage.setItem(arguments[0], arguments[1])", key, value)


def _await_text(driver: Any, *texts: str, absent: str | None = None) -> None:
    def there(_: Any) -> bool:
        shown = driver.find_element("css selector", "body").text
        return all(text in shown for text in texts) and (absent is None or absent not in shown)

    _await(driver, there, f"{', '.join(texts)}")


def _await_drawn(driver: Any, selector: str) -> None:
    def drawn(_: Any) -> bool:
        return any(found.size["width"] > 1 for found in driver.find_elements("css selector", selector))

    _await(driver, drawn, selector)


def _await(driver: Any, condition: Any, what: str) -> None:
    from selenium.common.exceptions import StaleElementReferenceException, TimeoutException
    from selenium.webdriver.support.ui import WebDriverWait

    try:
        WebDriverWait(driver, WAIT_SECONDS, ignored_exceptions=[StaleElementReferenceException]).until(condition)
    except TimeoutException as error:
        raise StoreError(f"{driver.current_url}: the page does not show {what}; look at it with `make ui`") from error


if __name__ == "__main__":
    command(main)
