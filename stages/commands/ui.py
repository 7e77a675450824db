"""Not a stage: `make ui` opens the MLflow UI, for this machine alone, on what `track` wrote."""

import os
import sys

from moclip.base.errors import StoreError
from moclip.tracking.client import prepare
from moclip.tracking.store import store_at
from stages._entry import arguments, command, log, repository


def main() -> None:
    args = arguments(numbers=("port",))
    store = store_at(repository(), os.environ.get("MLFLOW_TRACKING_URI"))
    if store.artifacts is None:
        raise StoreError(f"the runs are on a tracking server: open {store.shown} in a browser")
    prepare(store)
    log.info("http://127.0.0.1:%d shows %s; stop with Ctrl-C", args.port, store.shown)
    os.environ["MLFLOW_BACKEND_STORE_URI"] = store.uri  # as an option, every user of the machine could read a password
    command = {
        "--default-artifact-root": store.artifacts,
        "--host": "127.0.0.1",
        "--port": str(args.port),
        "--workers": "1",
    }
    # Jobs serve judges of language models; their start alone keeps two cores busy for 15 s.
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    words = [word for option in command.items() for word in option]
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", "server", *words])


if __name__ == "__main__":
    command(main)
