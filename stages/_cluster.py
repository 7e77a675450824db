"""The cluster that works for a stage: MOCLIP_CLUSTER names it. It moves no number, so no stage hangs on it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from moclip.base.errors import StoreError
from moclip.cluster.address import VARIABLE
from moclip.cluster.driver import Cluster, connected
from moclip.store.disks import network_file_system
from moclip.tracking import store as tracking


@contextmanager
def cluster() -> Iterator[Cluster | None]:
    """The cluster of the environment; None where there is to be one machine, and Dask is not even imported."""
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
