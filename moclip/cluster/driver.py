"""Hands out tasks to the nodes of a cluster: Dask distributed knows the nodes, and the tasks' files are the state.

A node has one worker of Dask, without a nanny, and works its cores by processes of its own. No task is tried again
because it failed; one whose node is lost goes to another.
"""

import errno
import logging
import math
import pickle
import time
from bisect import insort
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from moclip.base.errors import explain
from moclip.base.progress import Progress
from moclip.base.work import Work, alone_in
from moclip.cluster.address import VARIABLE, address_of
from moclip.cluster.engine import Engine, FactsOf
from moclip.cluster.journal import Journal
from moclip.cluster.node import Answer, Job, NodeError, all_facts, work
from moclip.video.bounded.limits import current

T = TypeVar("T")
R = TypeVar("R")
STRAGGLES, STRAGGLES_S = 10.0, 1.0  # a task that takes so many times the median, and so many seconds, is told of
VISIBLE_S, _LOOK_S = 30.0, 0.2  # until a file that another host has written is seen
ASKS_S = 1.0  # the answer to who is there is as long as there are nodes: not after each task
_GPU = "GPU"
_CONNECT_S = 30

log = logging.getLogger(__name__)


class Cluster(Engine):
    """Nodes that work for this process; made by `connected`."""

    def __init__(self, client: Any, address: str) -> None:
        self._client, self.address = client, address
        self._known: dict[str, str] = {}
        self._asked_at = -math.inf

    def hold(self, directory: Path, doing: str) -> AbstractContextManager[Path]:
        """One driver works in a directory, on whatever host."""
        return alone_in(directory, doing, between_hosts=True)

    def own(self, tasks: Sequence[T]) -> Sequence[T]:
        """All."""
        return tasks

    def seen(self, files: Sequence[Path]) -> list[Path]:
        """All files, each once this host sees it; OSError where it does not."""
        return list(map(await_file, files))

    def journal(self, directory: Path) -> Journal:
        """Of the drivers that held the directory, one after the other."""
        return Journal(directory / "digests.jsonl")

    def _gather(
        self,
        tasks: Sequence[T],
        do: Callable[[T], R],
        progress: Work,
        facts_of: FactsOf,
        on_gpu: bool,
        at_once: int,
        on_result: Callable[[T, R], None],
    ) -> list[R]:
        job = Job(facts_of, all_facts(facts_of), pickle.dumps(do), current())
        found: dict[int, R] = {}
        seconds: list[float] = []
        total = sum(map(progress.size, tasks))
        with Progress(total=total, desc=progress.name, unit=progress.unit, disable=not tasks) as bar:
            for number, answer in self._each(tasks, job, {_GPU: 1} if on_gpu else {}, at_once):
                found[number] = answer.result
                on_result(tasks[number], answer.result)
                _name_straggler(answer, seconds)
                bar.update(progress.size(tasks[number]))
        return [found[number] for number in range(len(tasks))]

    def _each(self, tasks: Sequence[Any], job: Job, needs: dict[str, int], at_once: int) -> Iterator[tuple[int, Any]]:
        """Number and answer of each task, as answers come."""
        from distributed import as_completed

        self._asked_at = -math.inf  # other nodes may have what these need
        waiting = deque(enumerate(tasks))
        flying: dict[Any, tuple[int, str]] = {}
        done = as_completed(loop=self._client.loop)
        try:
            while waiting or flying:
                for number, task, node in self._next_tasks(waiting, flying, needs, at_once):
                    pinned = {"workers": [node], "allow_other_workers": True} if node else {}
                    future = self._client.submit(work, job, task, pure=False, resources=needs or None, **pinned)
                    flying[future] = number, node
                    done.add(future)
                future = next(done)
                number, _ = flying.pop(future)
                yield number, _answer(future)
        except (OSError, CancelledError) as error:
            raise NodeError(
                f"the scheduler at {self.address} is gone; what is finished stays: start it again, then this"
            ) from error
        finally:
            with suppress(Exception):  # the scheduler may be gone, and has taken them along
                self._client.cancel(list(flying), force=True)

    def _next_tasks(
        self,
        waiting: deque[tuple[int, Any]],
        flying: Mapping[Any, tuple[int, str]],
        needs: Mapping[str, int],
        at_once: int,
    ) -> Iterator[tuple[int, Any, str]]:
        """Tasks that can be handed out now, each with a node; without one, whoever comes first is to take it."""
        nodes = self._nodes(needs)
        busy = Counter(dict.fromkeys(nodes, 0) or {"": 0})
        busy.update(node for _, node in flying.values() if node in busy)
        if not nodes and not flying:
            log.warning("no node%s is there yet; waiting for one", f" with {', '.join(needs)}" if needs else "")
        while waiting and (least := min(busy.items(), key=lambda item: item[1]))[1] < at_once:
            busy[least[0]] += 1
            yield *waiting.popleft(), least[0]

    def _nodes(self, needs: Mapping[str, int]) -> list[str]:
        """Addresses of the nodes that have what is needed, as they were a moment ago; one that is lost is told of."""
        if self._known and time.monotonic() - self._asked_at < ASKS_S:
            return sorted(self._known)
        self._asked_at = time.monotonic()
        workers = self._client.scheduler_info()["workers"]
        nodes = {
            address: str(facts.get("host", address))
            for address, facts in workers.items()
            if all(facts.get("resources", {}).get(name, 0) >= count for name, count in needs.items())
        }
        for address in self._known.keys() - nodes.keys():
            log.warning("node %s is lost; others do its tasks", self._known[address])
        self._known = nodes
        return sorted(nodes)


def _answer(future: Any) -> Any:
    from distributed import KilledWorker

    error = future.exception()
    if isinstance(error, KilledWorker):
        raise NodeError(f"a task ended every node that worked on it: {error}") from error
    if isinstance(error, OSError):
        raise NodeError(f"a node was refused something: {explain(error) or error}") from error
    if error is not None:
        raise error
    return future.result()


def _name_straggler(answer: Answer[Any], seconds: list[float]) -> None:
    """Tell of a task that took long; `seconds` are of those before it, sorted, and get its own."""
    insort(seconds, answer.seconds)
    usual = seconds[len(seconds) // 2]
    if answer.seconds > STRAGGLES * usual and answer.seconds > STRAGGLES_S:
        log.warning("node %s took %.0f s for a task, of which half take %.1f s", answer.host, answer.seconds, usual)


def await_file(file: Path, wait_s: float = VISIBLE_S) -> Path:
    """A file that another host has written, once this one sees it: file systems of networks tell late.

    Raises:
        OSError: it is not seen in time, or cannot be opened.
    """
    deadline = time.monotonic() + wait_s
    while True:
        try:
            with file.open("rb"):
                return file
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ESTALE) or time.monotonic() > deadline:
                raise
        time.sleep(_LOOK_S)


@contextmanager
def connected(text: str) -> Iterator[Cluster]:
    """The cluster at an address, or of a scheduler's file; certificates are those of Dask's configuration.

    Raises:
        ParamsError: the text is neither.
        NodeError: nobody answers there.
    """
    address = address_of(text)
    from distributed import Client

    try:
        client = Client(address, timeout=_CONNECT_S, set_as_default=False)
    except OSError as error:
        raise NodeError(
            f"{VARIABLE}: no scheduler answers at {address} ({error}); start one as docs/cluster.md says, or unset it"
        ) from error
    try:
        yield Cluster(client, address)
    finally:
        client.close()
