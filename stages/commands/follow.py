"""Not a stage: shows one running training in MLflow. `stages/_live.py` starts it and writes to its input."""

import json
import os
import sys
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moclip.base.files import read_json
from moclip.params.flat import flatten
from moclip.tracking.result import variant_name
from moclip.tracking.store import store_at
from stages._entry import all_params, repository
from stages.dvc.baseline import baseline_params
from stages.dvc.cost import NO_COMMAND

if TYPE_CHECKING:
    from moclip.tracking.live import Row


def main() -> None:
    if hasattr(os, "nice"):
        os.nice(10)
    try:
        with os.fdopen(sys.stdin.fileno(), "rb", closefd=False) as lines:
            show(json.loads(lines.readline()), lines)
    except Exception as error:  # nobody reads a traceback here, and the training must hear of it
        say(f"{type(error).__name__}: {error}")
        sys.exit(1)


def show(header: dict[str, Any], lines: BufferedReader) -> None:
    # Read at once: the copy of the repository that an experiment runs in goes when the experiment ends.
    dataset = read_json(Path(header["data"]).with_name("dataset.json"))["name"]
    params, baseline = flatten(all_params()), flatten(baseline_params())
    # Late: MLflow takes 3 s to import.
    from moclip.tracking.live import Training, follow
    from moclip.tracking.process import process_tag

    training = Training(
        dataset=dataset,
        variant=variant_name(params, baseline),
        params=params,
        baseline=baseline,
        head=header["head"],
        split=header["split"],
        epochs=header["epochs"],
        pid=header["pid"],
        command=header["command"] if header["command"] != NO_COMMAND else process_tag(header["pid"]),
        dvc_experiment=os.environ.get("DVC_EXP_NAME"),
    )
    follow(training, rows(lines), store_at(repository(), os.environ.get("MLFLOW_TRACKING_URI")), say)


def rows(lines: BufferedReader) -> Iterator[list["Row"]]:
    """The epochs that a training writes, one a line: all that have come since the last time, at least one."""
    from moclip.tracking.live import Row

    rest = b""
    while chunk := lines.read1():
        *whole, rest = (rest + chunk).split(b"\n")  # the last one is cut where the training was killed
        if whole:
            yield [Row(**json.loads(line)) for line in whole]


def say(reason: str) -> None:
    """Tell the training, if it still runs."""
    try:
        print(reason, flush=True)  # noqa: T201
    except OSError:
        sys.stdout = None


if __name__ == "__main__":
    main()
