"""Not a stage: shows one running training in MLflow. `stages/_live.py` starts it and writes to its input."""

import json
import os
import sys
import threading
import uuid
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from moclip.base.files import read_json
from moclip.params.flat import flatten
from moclip.tracking.followers import Ended, Followers, Row
from moclip.training.history import Epoch, columns, stored
from stages._entry import all_params, repository, work_directory
from stages.dvc.baseline import baseline_params


def main() -> None:
    if hasattr(os, "nice"):
        os.nice(10)
    # Each try holds the store's lock, so it is short; the follower tries again by itself.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    followers, name = Followers(work_directory("live")), uuid.uuid4().hex
    header = json.loads(sys.stdin.readline())
    with followers.alive(name):
        try:
            show(header, followers, name)
        except Exception as error:  # nobody reads a traceback here, and the training must hear of it
            say(f"{type(error).__name__}: {error}")
            os._exit(1)  # the thread that reads cannot be ended otherwise
        followers.forget(name)


def show(header: dict[str, Any], followers: Followers, name: str) -> None:
    # Read at once: the copy of the repository that an experiment runs in goes when the experiment ends.
    dataset = read_json(Path(header["manifest"]).with_name("dataset.json"))["name"]
    params, baseline = all_params(), baseline_params()
    arrivals: SimpleQueue[Row | bool] = SimpleQueue()
    threading.Thread(target=read, args=(header, followers, name, arrivals), daemon=True).start()
    # MLflow takes 3 s to import: by now the lock is held, and what comes is read.
    from moclip.tracking.live import Training, follow
    from moclip.tracking.record import variant_name
    from moclip.tracking.store import store_at

    training = Training(
        dataset=dataset,
        variant=variant_name(flatten(params), flatten(baseline)),
        head=header["head"],
        split=header["split"],
        name=name,
        dvc_experiment=os.environ.get("DVC_EXP_NAME"),
    )
    store = store_at(repository(), os.environ.get("MLFLOW_TRACKING_URI"))
    follow(training, arrivals, store, followers, say)


def read(header: dict[str, Any], followers: Followers, name: str, arrivals: "SimpleQueue[Row | bool]") -> None:
    """Pass on what the training writes; its last epoch ends it well, an earlier end of the input does not."""
    rows: list[Row] = []
    complete = False
    try:
        for line in sys.stdin:
            if not line.endswith("\n"):
                break  # killed while it wrote
            rows.append(parse(line))
            arrivals.put(rows[-1])
            if rows[-1].epoch == header["epochs"] - 1:
                curves = {name: [(row.epoch, row.values[name]) for row in rows] for name in rows[-1].values}
                followers.end(name, Ended(header["head"], header["split"], curves))
                complete = True
                break
    finally:
        arrivals.put(complete)


def parse(line: str) -> Row:
    value = json.loads(line)
    time_ms = value.pop("time_ms")
    epoch = stored(Epoch(**value))
    return Row(epoch.epoch, time_ms, {name: getattr(epoch, name) for name in columns([epoch])[1:]})


def say(reason: str) -> None:
    """Tell the training, if it still runs."""
    try:
        print(reason, flush=True)  # noqa: T201
    except OSError:
        sys.stdout = None


if __name__ == "__main__":
    main()
