"""A running training's epochs, sent to a process that shows them in MLflow: `stages/commands/follow.py`.

The training neither imports MLflow (3 s) nor waits for it. One that is over within seconds starts no process, and
whatever happens to the process costs the training one line of warning.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from moclip.training.history import Epoch
from stages._entry import all_params, log
from stages.dvc.cost import dvc_command

AFTER_VARIABLE = "MOCLIP_LIVE_AFTER_S"
AFTER_S = 5.0


class Live:
    """A callback for each epoch: logs it and, once a training takes longer, shows it in MLflow.

    `MOCLIP_LIVE_AFTER_S` says after how many seconds (`inf`: never). A head that params.yaml does not list, but that is
    trained for another one's sake, is not shown.
    """

    def __init__(self, head: str, split: int, epochs: int, data: Path) -> None:
        """`data` is any file beside dataset.json, which names the data set."""
        training = {"head": head, "split": split, "epochs": epochs, "pid": os.getpid(), "command": dvc_command()}
        self._last = epochs - 1
        self._begin = time.monotonic() + float(os.environ.get(AFTER_VARIABLE) or AFTER_S)
        self._unsent = _line({**training, "data": data.as_posix()})
        self._process: subprocess.Popen[bytes] | None = None
        self._given_up = head not in all_params()["heads"]
        self._warned = False

    def __call__(self, epoch: Epoch) -> None:
        log_epoch(epoch)
        if self._given_up:
            return
        row = {"epoch": epoch.epoch, "time_ms": time.time_ns() // 1_000_000}
        self._unsent += _line({**row, "values": {"lr": epoch.lr, **epoch.values}})
        try:
            self._show(over=epoch.epoch == self._last)
        except OSError as error:  # the follower is gone, or could not be started
            self._given_up = True
            self._warn(str(error))

    def _show(self, over: bool) -> None:
        if self._process is None and not over and time.monotonic() >= self._begin:
            self._process = _start()
        if self._process is None:
            return
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        # The pipe never blocks: what does not fit waits for the next epoch.
        self._unsent = self._unsent[self._process.stdin.write(self._unsent) or 0 :]
        if over:
            self._process.stdin.close()
        if said := self._process.stdout.read():
            self._warn(said.decode(errors="replace").strip())

    def _warn(self, reason: str) -> None:
        if not self._warned:
            log.warning("no live curves in MLflow (%s); the training goes on, and `track` shows them later", reason)
        self._warned = True


def log_epoch(epoch: Epoch) -> None:
    """One line per epoch, for who asks for details: the bar shows the last one to everybody."""
    log.debug("epoch %d: %s", epoch.epoch, ", ".join(f"{name} {value:.4f}" for name, value in epoch.values.items()))


def _start() -> subprocess.Popen[bytes]:
    """Start the follower in a session of its own: Ctrl-C reaches the training alone, which ends both.

    The follower holds the store's lock while it tries to reach a server, so its tries are short; it repeats them.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "stages.commands.follow"],
        bufsize=0,
        env={"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", **os.environ},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        os.set_blocking(pipe.fileno(), False)
    return process


def _line(value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"
