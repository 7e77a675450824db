"""The parameters that a run is compared with, to name it by what differs."""

import os
from pathlib import Path
from typing import Any

from moclip.base.outside import yaml
from moclip.tracking.provenance import committed_text
from stages._entry import PARAMS_FILE, all_params


def baseline_params() -> Any:
    """Parameters of the commit that a run starts from; those of the run where there is no commit."""
    revision = os.environ.get("DVC_EXP_BASELINE_REV", "HEAD")
    text = committed_text(Path.cwd(), PARAMS_FILE.as_posix(), revision)
    return all_params() if text is None else yaml.load(text)
