"""The cluster that works for a stage: MOCLIP_CLUSTER names it. It moves no number, so no stage hangs on it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from moclip.cluster.address import VARIABLE
from moclip.cluster.driver import Cluster, connected


@contextmanager
def cluster() -> Iterator[Cluster | None]:
    """The cluster of the environment; None where there is to be one machine, and Dask is not even imported."""
    address = os.environ.get(VARIABLE)
    if not address:
        yield None
        return
    with connected(address) as found:
        yield found
