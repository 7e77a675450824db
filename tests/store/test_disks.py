from pathlib import Path

import psutil
import pytest

from moclip.base.errors import ParamsError
from moclip.store.disks import network_file_system, scratch

MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
head:/export {root}/shared nfs4 rw,vers=4.2 0 0
/dev/sdb1 {root}/shared/fast xfs rw 0 0
//nas/films {root}/films cifs rw 0 0
"""


@pytest.fixture
def mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with these disks, as its kernel tells."""
    root = tmp_path.resolve()
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/mounts").write_text(MOUNTS.format(root=root))
    (root / "proc/filesystems").write_text("\text4\n\txfs\nnodev\tnfs4\nnodev\tcifs\n")
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(root / "proc"))
    return root


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("shared", "nfs4"),
        ("shared/repository/mlflow.db", "nfs4"),
        ("shared/fast/x", None),
        ("films/a", "cifs"),
        ("elsewhere", None),
    ],
)
def test_the_disk_that_a_path_lies_on_is_the_nearest_one_above(mounts, path, kind):
    assert network_file_system(mounts / path) == kind


def test_a_link_lies_where_it_leads(mounts):
    (mounts / "link").symlink_to(mounts / "shared")
    assert network_file_system(mounts / "link/mlflow.db") == "nfs4"


def test_scratch_is_where_the_machine_says(tmp_path, monkeypatch):
    monkeypatch.setenv("MOCLIP_SCRATCH", str(tmp_path))
    assert scratch() == tmp_path
    monkeypatch.setenv("MOCLIP_SCRATCH", str(tmp_path / "none"))
    with pytest.raises(ParamsError, match=r"MOCLIP_SCRATCH is .*none, which is no directory; make it on every node"):
        scratch()
