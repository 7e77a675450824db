from pathlib import Path

import pytest

from tests.support.datasets import make_ucf101


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    return make_ucf101(tmp_path / "ucf", {"YoYo": 6, "Archery": 5, "Punch": 4})
