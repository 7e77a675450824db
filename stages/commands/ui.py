"""Not a stage: `make ui` opens the MLflow UI, for this machine alone, on what `track` wrote."""

import os
import socket
import subprocess
import sys

from moclip.base.errors import StoreError
from moclip.tracking.client import connected, locked
from moclip.tracking.store import Store, store_at
from moclip.tracking.view.page import landing
from stages._entry import arguments, command, log, repository

HOST = "127.0.0.1"

# Waits until the server answers, then opens the page; a desktop's browser alone, never one of the terminal.
_OPEN = """
import sys, time, urllib.request, webbrowser
address, page = sys.argv[1:]
for _ in range(240):
    try:
        urllib.request.urlopen(address + "/health", timeout=5).close()
        break
    except OSError:
        time.sleep(0.25)
else:
    sys.exit(1)
webbrowser.open(page)
"""


def main() -> None:
    args = arguments(numbers=("port",))
    store = store_at(repository(), os.environ.get("MLFLOW_TRACKING_URI"))
    if store.artifacts is None:
        raise StoreError(f"the runs are on a tracking server: open {store.shown}{_page(store)} in a browser")
    _claim(args.port)  # after the store: a tracking server may well be what has the port
    address = f"http://{HOST}:{args.port}"
    page = address + _page(store)
    log.info("%s shows %s, in half a minute, when MLflow has started; stop with Ctrl-C", page, store.shown)
    if has_desktop():
        subprocess.Popen([sys.executable, "-c", _OPEN, address, page], stderr=subprocess.DEVNULL)
    os.environ["MLFLOW_BACKEND_STORE_URI"] = store.uri  # as an option, every user of the machine could read a password
    command = {
        "--default-artifact-root": store.artifacts,
        "--host": HOST,
        "--port": str(args.port),
        "--workers": "1",
    }
    # Jobs serve judges of language models; their start alone keeps two cores busy for 15 s.
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    words = [word for option in command.items() for word in option]
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", "server", *words])


def _claim(port: int) -> None:
    """MLflow would say it in a traceback, and the page that opens would be another program's.

    Raises:
        StoreError: another program has the port.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise StoreError(
                f"port {port} of {HOST}: {error.strerror}; choose another: make ui PORT={port + 1}"
            ) from error


def _page(store: Store) -> str:
    """The path of the page with the results, and nothing where there are none; a fresh database is set up."""
    with (connected if store.artifacts is None else locked)(store) as client:
        return landing(client) or ""


def has_desktop() -> bool:
    """Whether there is a browser to open: `BROWSER` names one, or somebody sits before a screen."""
    named = os.environ.get("BROWSER")
    return bool(named) or sys.platform != "linux" or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))


if __name__ == "__main__":
    command(main)
