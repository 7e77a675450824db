"""Who does the tasks of a stage where one machine does not do them all: a cluster's nodes, or one job of an array."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from moclip.base.work import Finished, Work
from moclip.cluster.journal import Journal

T = TypeVar("T")
R = TypeVar("R")
FactsOf = Callable[[], Mapping[str, Any]]
IN_FLIGHT = 2  # tasks a node at once


class Engine(ABC):
    """Does tasks whose files are the state: a file that is there is finished, whoever made it."""

    @abstractmethod
    def hold(self, directory: Path, doing: str) -> AbstractContextManager[Path]:
        """Make a directory for work and keep others from it, as far as that is needed; arguments of `alone_in`."""

    @abstractmethod
    def own(self, tasks: Sequence[T]) -> Sequence[T]:
        """Those that this engine does, in order."""

    @abstractmethod
    def seen(self, files: Sequence[Path]) -> list[Path]:
        """All files of some work, once they are there.

        Raises:
            MoclipError, OSError: they are not, or it is for others to go on with them.
        """

    @abstractmethod
    def journal(self, directory: Path) -> Journal:
        """What is known of finished files of the work in a directory that is held."""

    @abstractmethod
    def _gather(
        self,
        tasks: Sequence[T],
        do: Callable[[T], R],
        progress: Work,
        facts_of: FactsOf,
        on_gpu: bool,
        at_once: int,
        on_result: Callable[[T, R], None],
    ) -> list[R]: ...

    def gather(
        self,
        tasks: Sequence[T],
        do: Callable[[T], R],
        progress: Work,
        facts_of: FactsOf,
        *,
        on_gpu: bool = False,
        at_once: int = IN_FLIGHT,
        on_result: Callable[[T, R], None] = lambda task, result: None,
    ) -> list[R]:
        """Results of `do` in the order of this engine's own tasks, as `moclip.base.work.gather` gives them.

        Args:
            tasks: What there is to do; each can be pickled.
            do: Gives a task's result, on whatever node; it can be pickled.
            progress: What is shown. The first failure ends the work.
            facts_of: What results hang on beside the task; a node that gives others is refused by its name.
            on_gpu: Take nodes that were started with a resource GPU alone.
            at_once: Tasks that a node is given at once: two, so that it never waits for the next; one where they are so
                long that no node should keep a second from the others.
            on_result: Told of each result as it comes.

        Raises:
            MoclipError: what the first task raises that fails; NodeError: the scheduler is gone, or a node is refused.
        """
        return self._gather(self.own(tasks), do, progress, facts_of, on_gpu, at_once, on_result)

    def finish(
        self,
        items: Sequence[T],
        key: Callable[[T], str],
        do: Callable[[T, Path], Any],
        shelf: Path,
        progress: Work,
        *,
        facts_of: FactsOf,
        on_gpu: bool = False,
    ) -> Finished:
        """Make the file of each item that has none yet, as `moclip.base.work.finish` does."""
        files = [shelf / key(item) for item in items]
        own = self.own(list(zip(items, files, strict=True)))
        waiting = [(item, file) for item, file in own if not file.exists()]
        size = Work(progress.name, progress.unit, size=lambda task: progress.size(task[0]))
        self._gather(waiting, partial(_make, do), size, facts_of, on_gpu, IN_FLIGHT, lambda task, result: None)
        return Finished(self.seen(files), len(waiting))


def _make(do: Callable[[Any, Path], Any], task: tuple[Any, Path]) -> Any:
    return do(*task)
