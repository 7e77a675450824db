"""What stages that go on after a kill share: when half-done work may be taken up."""

import sys
from pathlib import Path

import torch

from moclip.base.files import fingerprint, sha256_file


def running_code() -> str:
    """Stands for the code of this process: the project's files that it has imported, and PyTorch's version.

    Half-done work of other code, taken up, would end in results that no code gives from start to end.
    """
    names = [name for name in sys.modules if name.split(".")[0] in ("moclip", "stages", "__main__")]
    files = [Path(path) for name in sorted(names) if (path := getattr(sys.modules[name], "__file__", None))]
    return fingerprint([sha256_file(path) for path in files], torch.__version__)
