"""Who works for a stage beside this machine: the cluster that MOCLIP_CLUSTER names, or jobs that take a share each.

It moves no number, so no stage hangs on it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from moclip.base.errors import StoreError
from moclip.cluster.address import VARIABLE
from moclip.cluster.driver import connected
from moclip.cluster.engine import Engine
from moclip.cluster.share import Share
from moclip.store.disks import network_file_system
from moclip.tracking import store as tracking

_shares: ContextVar[Share | None] = ContextVar("shares", default=None)


@contextmanager
def sharing(share: Share) -> Iterator[None]:
    """Let stages of this process make one share of their blocks, and no more."""
    before = _shares.set(share)
    try:
        yield
    finally:
        _shares.reset(before)


@contextmanager
def cluster() -> Iterator[Engine | None]:
    """The cluster of the environment; None where there is to be one machine, and Dask is not even imported."""
    if share := _shares.get():
        yield share
        return
    address = os.environ.get(VARIABLE)
    if not address:
        yield None
        return
    with connected(address) as found:
        yield found


def check_database(store: tracking.Store) -> None:
    """Refuse a database file on a network's disk where several machines may write it: its locks do not reach them.

    Raises:
        StoreError: names the file and the remedy.
    """
    if not (os.environ.get(VARIABLE) and store.is_file):
        return
    if kind := network_file_system(store.file.parent):
        raise StoreError(
            f"{store.file} lies on {kind}, where SQLite cannot keep other machines out, and {VARIABLE} is set; let "
            f"{tracking.VARIABLE} name an MLflow server, or unset {VARIABLE} for this"
        )
