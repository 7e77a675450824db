"""A node of the cluster: a worker of Dask as moclip needs it, in a clone at the same path as the driver's.

    python -m stages.commands.worker [ADDRESS] [options of `dask worker`]

The kernels of params.yaml are chosen before NumPy is loaded, as in a stage. There is one thread, for a node's cores are
worked by processes of its own, and no nanny, whose workers may have no processes and trim memory all the time.
"""

import os
import sys

from moclip.base.errors import ParamsError
from moclip.cluster.address import VARIABLE, address_of
from moclip.cluster.node import code_digest
from stages._entry import command

OURS = ("--nthreads", "1", "--no-nanny", "--no-dashboard")
DEFAULTS = {"--death-timeout": "60"}


def main() -> None:
    words = sys.argv[1:]
    given = [] if words and not words[0].startswith("-") else [os.environ.get(VARIABLE, "")]
    if given == [""]:
        raise ParamsError(f"name the scheduler, by an argument or by {VARIABLE}")
    address = address_of(given[0] if given else words.pop(0))
    defaults = [word for name, value in DEFAULTS.items() if name not in words for word in (name, value)]
    code_digest()  # of the files that are loaded, whatever becomes of them later
    from distributed.cli.dask_worker import main as worker

    worker([address, *OURS, *defaults, *words])


if __name__ == "__main__":
    command(main)
