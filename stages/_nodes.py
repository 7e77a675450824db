"""Experiments by the nodes of a cluster, each in a clone of its own."""

import os
import platform
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any

from moclip.base.arithmetic import AVX2, ONE_THREAD
from moclip.base.outside.addresses import shown_address
from moclip.base.work import Work
from moclip.cluster.engine import Engine
from moclip.params.compute import ComputeParams
from moclip.results.suite import Job
from moclip.tracking.store import VARIABLE
from stages._entry import section
from stages.dvc.clone import origin, run_experiment

PACKAGES = (
    *("av", "dvc", "mlflow", "numpy", "open_clip_torch", "pandas", "scikit-learn", "scipy", "timm"),
    *("torch", "torchvision"),
)


def bring(jobs: Sequence[Job], nodes: Engine, target: str) -> dict[str, str]:
    """Finish all jobs up to a stage; what a lost node had, another does.

    Returns:
        By name of each job that failed, the end of what was said.
    """
    compute = section("compute", ComputeParams)
    told = nodes.gather(
        jobs,
        partial(run_experiment, origin(), target),
        Work("experiments", "experiment"),
        partial(facts, compute),
        on_gpu=compute.device == "cuda",
        at_once=1,
    )
    return {job.name: words for job, words in zip(jobs, told, strict=True) if words is not None}


def facts(compute: ComputeParams) -> Mapping[str, Any]:
    """What an experiment hangs on beside the repository, and where its run is shown."""
    return {
        "Python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        **{name: os.environ.get(name) for name in (*ONE_THREAD, *AVX2)},
        "processor": _processor(compute),
        VARIABLE: shown_address(os.environ.get(VARIABLE, "")),
    }


def _processor(compute: ComputeParams) -> str:
    if compute.device == "cpu":
        return compute.device
    import torch  # two seconds, for the name of a GPU

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "without a GPU"
