"""Where files lie: disks that several machines share, and this machine's own for what nobody else is to see."""

import os
import tempfile
from pathlib import Path

import psutil

from moclip.base.errors import ParamsError

SCRATCH = "MOCLIP_SCRATCH"
NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs"})
"""File systems whose locks SQLite cannot rely on."""


def network_file_system(path: Path) -> str | None:
    """The name of the network file system that a path lies on, such as `nfs4`; None on a disk of this machine."""
    place = path.resolve()
    kinds = {Path(disk.mountpoint): disk.fstype for disk in psutil.disk_partitions(all=True)}
    mounted = next((folder for folder in (place, *place.parents) if folder in kinds), None)
    kind = None if mounted is None else kinds[mounted]
    return kind if kind in NETWORK else None


def scratch() -> Path:
    """This machine's own disk: MOCLIP_SCRATCH, or where temporary files go.

    Raises:
        ParamsError: MOCLIP_SCRATCH names no directory.
    """
    folder = Path(os.environ.get(SCRATCH) or tempfile.gettempdir())
    if not folder.is_dir():
        raise ParamsError(f"{SCRATCH} is {folder}, which is no directory; make it on every node, or unset it")
    return folder
