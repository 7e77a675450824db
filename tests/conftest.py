"""Fixtures that several test files share: a small demo data set, made once, and PyTorch's global switches put back."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

# The networks here are tiny: more threads than one only wait for each other, the more so on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from moclip.demo.dataset import write_demo
from moclip.demo.spec import DemoSpec

ROOT = Path(__file__).parents[1]
REAL = ROOT.parent / "shared" / "data" / "ucf101"


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set in UCF101's layout: 12 classes, 3 groups, 36 real videos of 12 frames, 64 x 64 pixels. Read only."""
    folder = tmp_path_factory.mktemp("demo")
    write_demo(folder, DemoSpec(groups=3, clips_per_group=1, frames=12, width=64, height=64), jobs=1, progress=False)
    return folder


@pytest.fixture(scope="session")
def real_ucf101() -> Path:
    """UCF101's official lists and a few of its clips, where this machine has them."""
    if not REAL.is_dir():
        pytest.skip("needs the UCF101 clips and lists in ../shared/data/ucf101, which are not here")
    return REAL


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that MLflow has set up once, to be copied: its migrations are the slow part."""
    from moclip.track import prepare, store_at

    root = tmp_path_factory.mktemp("migrated")
    prepare(store_at(root))
    return root / "mlflow.db"


@pytest.fixture(autouse=True)
def restore_torch() -> Iterator[None]:
    """Training asks for deterministic kernels globally; the next test starts without."""
    yield
    torch = sys.modules.get("torch")
    if torch and torch.are_deterministic_algorithms_enabled():
        torch.use_deterministic_algorithms(False)
