"""A rank as tests start it: a state after each epoch, and what they ask for by the environment.

DIES       the rank of this number is killed while epochs are trained
"""

import os
import signal
from collections.abc import Sequence
from itertools import count

from torch import Tensor

from moclip.training import checkpoint
from moclip.training.ranks import Ranks
from stages._entry import command
from stages.commands.rank import main

SHARED = 12  # calls before the end: some epochs of two steps and a validation

_share, _calls = Ranks.share, count()


def share_and_die(self: Ranks, items: Sequence[Tensor]) -> None:
    if next(_calls) == SHARED:
        os.kill(os.getpid(), signal.SIGKILL)
    _share(self, items)


if __name__ == "__main__":
    checkpoint.SAVE_EVERY_S = 0.0
    if os.environ.get("DIES") == os.environ["RANK"]:
        Ranks.share = share_and_die  # type: ignore[method-assign]
    command(main)
