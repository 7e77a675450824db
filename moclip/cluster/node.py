"""What a node does of work that is handed out: the same as the driver would, or it refuses by its name."""

import pickle
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Generic, TypeVar

import moclip
from moclip.base.errors import MoclipError
from moclip.base.files import fingerprint, sha256_file
from moclip.base.parallel import keep_pools
from moclip.video.bounded.limits import Limits, using

R = TypeVar("R")


class NodeError(MoclipError):
    """A node of the cluster cannot do what was asked, or would do it in another way than the driver."""


@dataclass(frozen=True)
class Job:
    """What all tasks of one piece of work share; it travels with each.

    Attributes:
        facts_of: Gives what the result hangs on beside task and code, such as versions. A function that can be pickled.
        facts: What `all_facts` gave where the work was handed out.
        do: The pickled function of a task.
        limits: What a video may cost.
    """

    facts_of: Callable[[], Mapping[str, Any]]
    facts: Mapping[str, Any]
    do: bytes
    limits: Limits


@dataclass(frozen=True)
class Answer(Generic[R]):
    """What a node gives back: its name, how long it took, and what came of the task."""

    host: str
    seconds: float
    result: R


@cache
def code_digest() -> str:
    """Of moclip's own files as they are when it is first asked, which a node does as it starts."""
    root = Path(moclip.__file__).parent
    return fingerprint([(str(file.relative_to(root)), sha256_file(file)) for file in sorted(root.rglob("*.py"))])


def all_facts(facts_of: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """What results hang on beside the task, the code too."""
    return {"code of moclip": code_digest(), **facts_of()}


def work(job: Job, task: Any) -> Answer[Any]:
    """Do one task; processes that it starts are kept for the next one.

    Raises:
        NodeError: this node's facts are others than those of the driver.
        MoclipError: what the task raises.
    """
    host, begun = socket.gethostname(), time.monotonic()
    own = all_facts(job.facts_of)
    if others := [name for name in sorted(own.keys() | job.facts.keys()) if own.get(name) != job.facts.get(name)]:
        told = ", ".join(f"{name} is {own.get(name)}, not {job.facts.get(name)}" for name in others)
        raise NodeError(f"host {host}: {told}. Give it what the driver has, or take it out of the cluster")
    keep_pools()
    with using(job.limits):
        result = _unpacked(job.do)(task)
    return Answer(host, time.monotonic() - begun, result)


@lru_cache(1)
def _unpacked(do: bytes) -> Callable[[Any], Any]:
    """The function; what it has loaded, such as a network, stays for the next task."""
    found: Callable[[Any], Any] = pickle.loads(do)
    return found
