"""Names by which runs and models are found in MLflow."""

import re

# Tags of runs; KEY stands at models too.
KEY = "moclip.result"
KIND = "moclip.kind"  # result, head or live
COMPLETE = "moclip.complete"
EXPERIMENT = "moclip.dvc_experiments"
HEAD = "moclip.head"
SPLIT = "moclip.split"
VARIANT = "moclip.variant"
MODEL = "moclip.model_id"
CLONE = "moclip.clone"
COMMAND = "moclip.command"  # the process that started a training, see moclip/tracking/process.py
KERNELS = "moclip.kernels"
FORM = "moclip.form"  # of what a run shows: names of metrics, note, counts
FORM_NOW = "2"
VERDICT = "moclip.verdict."  # and the name of a paper's file; at the run of the result alone
CPU, GLIBC = "moclip.cpu", "moclip.glibc"  # of the machine that ran `track`; no tracked file names them
# Tags of registered models.
SCORE = "moclip.val_top1_pct"
SPLITS = "moclip.splits"
IDENTITY = "moclip.identity"  # of the videos, classes and splits that a result is of, by content
# Alias of the best registered model.
BEST = "best"


def experiment_name(dataset: str) -> str:
    """The MLflow experiment that holds the runs of a data set."""
    return f"moclip-{dataset}"


def registered_name(dataset: str, identity: str = "") -> str:
    """The name that models of the same videos, classes and splits are registered under.

    >>> registered_name("UCF101, 10 classes", "0123456789abcdef")
    'moclip-ucf101-10-classes-01234567'
    """
    return f"{family(dataset)}-{identity[:8]}" if identity else family(dataset)


def family(dataset: str) -> str:
    """What the registered names begin with of all that was ever a data set of this name."""
    return "moclip-" + re.sub(r"[^a-z0-9]+", "-", dataset.lower()).strip("-")


def is_completed(name: str, start: str) -> bool:
    """Whether a registered name is `start` with the digest of a data set behind it.

    >>> is_completed("moclip-demo-01234567", "moclip-demo"), is_completed("moclip-demo-b", "moclip-demo")
    (True, False)
    """
    return re.fullmatch(f"{re.escape(start)}-[0-9a-f]{{8}}", name) is not None


def run_name(variant: str, head: str, split: int) -> str:
    """Name of the run of one head on one split."""
    return f"{variant} / {head} / split {split}"


def of_head(head: str, split: int) -> dict[str, str]:
    """Tags of a run of one head on one split."""
    return {HEAD: head, SPLIT: str(split)}
