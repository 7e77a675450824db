import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.hub_server import Hub, hub_environment, serving
from tests.support.imports import ROOT

PROGRAM = """
import sys, time
from moclip.base.errors import MoclipError
from moclip.base.hub import hub_file
start = time.perf_counter()
try: print(hub_file("someone/tiny", sys.argv[1:]).read_text())
except MoclipError as error: print(f"{type(error).__name__}: {error}")
print(f"{time.perf_counter() - start:.1f} s", file=sys.stderr)
"""
LARGE = "0123456789" * 2_500_000  # more than twice what the hub library holds back before it writes
FILES = {
    "someone/tiny/b.bin": b"the second choice",
    "someone/tiny/only.bin": b"whole",
    "someone/tiny/large.bin": LARGE.encode(),
}


def fetched(endpoint: str, home: Path, *names: str, **environment: str) -> str:
    """What a process of its own says, at most 40 s after its start: the hub library alone retries for 45 s after it."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *names],
        cwd=ROOT,
        env=hub_environment(endpoint, home, **environment),
        capture_output=True,
        text=True,
        timeout=40,
        check=True,
    )
    return done.stdout.strip()


@pytest.fixture(scope="module")
def hub():
    with serving(FILES) as server:
        yield server


@pytest.fixture(autouse=True)
def healthy(hub: Hub) -> None:
    hub.fault = ""
    hub.requests.clear()


def test_first_name_that_is_there_is_fetched_once_and_then_needs_no_network(hub, tmp_path):
    assert fetched(hub.url, tmp_path, "a.safetensors", "b.bin") == "the second choice"
    assert hub.requests[-1] == "GET /cdn/someone/tiny/b.bin"
    assert not any("telemetry" in request for request in hub.requests)
    hub.requests.clear()
    assert fetched(hub.url, tmp_path, "a.safetensors", "b.bin") == "the second choice"
    assert hub.requests == []
    assert fetched("http://127.0.0.1:9", tmp_path, "a.safetensors", "b.bin") == "the second choice"


@pytest.mark.parametrize(
    ("fault", "kind"), [("down", "ConnectError"), ("stall", "Timeout"), ("offline", "OfflineMode"), ("private", "401")]
)
def test_file_that_cannot_be_had_is_refused_within_seconds_and_says_where_it_lies(hub, tmp_path, fault, kind):
    hub.fault = fault
    environment = {"HF_HUB_OFFLINE": "1"} if fault == "offline" else {"HF_HUB_ETAG_TIMEOUT": "1"}
    endpoint = "http://127.0.0.1:9" if fault == "down" else hub.url
    said = fetched(endpoint, tmp_path, "a.safetensors", "b.bin", **environment)
    assert said.startswith("DataError: a.safetensors or b.bin of the hub's repository someone/tiny cannot be had (")
    assert kind in said
    assert said.endswith(f"Fetch {endpoint}/someone/tiny/resolve/main/a.safetensors where there is a network")


def test_repository_without_any_of_the_names_is_refused(hub, tmp_path):
    said = fetched(hub.url, tmp_path, "x.safetensors", "y.bin")
    assert "EntryNotFound" in said
    assert [request.rsplit("/", 1)[1] for request in hub.requests] == ["x.safetensors", "y.bin"]


def test_bytes_other_than_the_hub_announced_are_refused(hub, tmp_path):
    hub.fault = "damage"
    said = fetched(hub.url, tmp_path, "only.bin")
    assert said.startswith("StoreError: ")
    assert "only.bin: damaged, its SHA-256 is not the one that the hub announced; delete " in said
    Path(said.rsplit("delete ", 1)[1]).unlink()
    hub.fault = ""
    assert fetched(hub.url, tmp_path, "only.bin") == "whole"


def test_transfer_that_breaks_off_goes_on_where_it_stopped(hub, tmp_path):
    hub.fault = "cut"
    whole = fetched(hub.url, tmp_path, "large.bin") == LARGE  # no comparison of 25 MB in a failure's message
    assert whole
    bodies = [request for request in hub.requests if request.startswith("GET /cdn/")]
    assert [body.split("=")[0] for body in bodies] == [
        "GET /cdn/someone/tiny/large.bin",
        "GET /cdn/someone/tiny/large.bin bytes",
    ]
    assert 10_000_000 < int(bodies[1].split("=")[1].rstrip("-")) < len(LARGE) / 2
