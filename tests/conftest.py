"""What all test files share: folders that are made once a run, the files' order, and global switches put back."""

import logging
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from moclip.demo.dataset import write_demo
from moclip.demo.spec import DemoSpec
from tests.support.order import longest_first
from tests.support.shared import shared

if TYPE_CHECKING:
    from tests.graph.test_pipeline import Repository

ROOT = Path(__file__).parents[1]
REAL = ROOT.parent / "shared" / "data" / "ucf101"

settings.register_profile("moclip", deadline=None)  # a busy machine takes longer; no test is of time
settings.load_profile("moclip")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    longest_first(items)


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set in UCF101's layout: 12 classes, 3 groups, 36 real videos of 12 frames, 64 x 64 pixels. Read only."""
    spec = DemoSpec(groups=3, clips_per_group=1, frames=12, width=64, height=64)
    return shared(tmp_path_factory, "demo", lambda folder: write_demo(folder, spec, jobs=1))


@pytest.fixture(scope="session")
def real_ucf101() -> Path:
    """UCF101's official lists and a few of its clips, where this machine has them."""
    if not REAL.is_dir():
        pytest.skip("needs the UCF101 clips and lists in ../shared/data/ucf101, which are not here")
    return REAL


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that MLflow has set up once, to be copied: its migrations are the slow part."""
    from moclip.tracking.client import prepare
    from moclip.tracking.store import store_at

    return shared(tmp_path_factory, "migrated", lambda root: prepare(store_at(root))) / "mlflow.db"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> "Repository":
    """The file's own repository with the whole graph run in it, on the smallest demo there is; leave it as it was."""
    from tests.graph.test_pipeline import Repository, finish

    made = shared(tmp_path_factory, "finished", finish)
    path = tmp_path_factory.mktemp("repository") / "finished"
    shutil.copytree(made, path, symlinks=True)
    return Repository(path, forks=True)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the pipeline leaves of split 1 of the smallest demo. Read only."""
    from tests.support.trained import build

    return shared(tmp_path_factory, "trained", build)


@pytest.fixture(autouse=True)
def unchosen_logging() -> None:
    """A command that ran in this process, for an earlier test or a shared fixture, chose how much is said."""
    for name in ("moclip", "stages", "__main__"):
        logging.getLogger(name).setLevel(logging.NOTSET)
    logging.getLogger().setLevel(logging.WARNING)


@pytest.fixture(autouse=True)
def restore_torch() -> Iterator[None]:
    """Training asks for deterministic kernels globally; the next test starts without."""
    yield
    torch = sys.modules.get("torch")
    if torch and torch.are_deterministic_algorithms_enabled():
        torch.use_deterministic_algorithms(False)
