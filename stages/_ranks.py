"""Ranks that share one training, as the environment asks for them. They move no number, so no stage hangs on them.

MOCLIP_RANKS says how many processes of a machine share it, MOCLIP_RDZV (HOST:PORT/MACHINES) where machines meet.
torchrun starts `stages.commands.rank` so often, here by this stage and on other machines by a person (docs/cluster.md).
"""

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from moclip.base.errors import MoclipError, ParamsError
from stages.dvc import program

RANKS, MEETING = "MOCLIP_RANKS", "MOCLIP_RDZV"
MODULE = "stages.commands.rank"


@dataclass(frozen=True)
class Asked:
    """How many ranks each machine runs, how many machines there are, and where they meet (HOST:PORT)."""

    ranks: int
    machines: int = 1
    endpoint: str | None = None

    def words(self) -> list[str]:
        """The options of torchrun."""
        if self.endpoint is None:
            return ["--standalone", "--nproc-per-node", str(self.ranks)]
        meeting = ["--rdzv-backend", "c10d", "--rdzv-endpoint", self.endpoint, "--rdzv-id", "moclip"]
        return ["--nnodes", str(self.machines), "--nproc-per-node", str(self.ranks), *meeting]


def asked() -> Asked | None:
    """What the environment asks for; None where one process is to train.

    Raises:
        ParamsError: a variable has another form.
    """
    ranks, meeting = os.environ.get(RANKS), os.environ.get(MEETING)
    if not ranks and not meeting:
        return None
    if not re.fullmatch(r"[1-9]\d{0,3}", count := ranks or "1"):
        raise ParamsError(f"{RANKS} is {ranks!r}; it is a number of processes, from 1 on, or unset")
    if not meeting:
        return Asked(int(count))
    form = re.fullmatch(r"(\[[0-9A-Fa-f:]+\]|\w[\w.-]*):(\d{1,5})/([1-9]\d{0,3})", meeting)
    if form is None:
        raise ParamsError(f"{MEETING} is {meeting!r}; write HOST:PORT/MACHINES, such as head:29500/4, or unset it")
    return Asked(int(count), int(form[3]), f"{form[1]}:{form[2]}")


def launch(ranks: Asked, batch_parts: int, words: Sequence[str], name: str) -> None:
    """Train in ranks, and wait for all of them.

    Args:
        ranks: How many.
        batch_parts: As the parameter says: no more ranks can share a training.
        words: Arguments of `stages.commands.rank`.
        name: Of the training, for errors.

    Raises:
        ParamsError: there are more ranks than parts.
        MoclipError: a rank ended.
    """
    count = ranks.ranks * ranks.machines
    if count > batch_parts:
        raise ParamsError(
            f"{RANKS} and {MEETING} ask for {count} ranks, but motion_net.batch_parts is {batch_parts}, and each takes "
            f"one or more; ask for less, or set motion_net.batch_parts to {count} or more, which is another training"
        )
    if program.run(sys.executable, "-m", "torch.distributed.run", *ranks.words(), "-m", MODULE, *words).returncode:
        raise MoclipError(
            f"{name}: one of {count} ranks ended, and its words are above; run the stage again, which goes on where "
            "this one was"
        )
