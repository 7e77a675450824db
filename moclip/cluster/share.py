"""One share of the tasks that nodes would do: a job of an array, which nothing connects with the others."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn, TypeVar

from moclip.base.errors import MoclipError, ParamsError
from moclip.base.parallel import keep_pools
from moclip.base.work import Work, gather
from moclip.cluster.engine import Engine, FactsOf
from moclip.cluster.journal import Journal

T = TypeVar("T")
R = TypeVar("R")


class SharedOutError(MoclipError):
    """A share is done, and it is for another process to make one of all."""


@dataclass(frozen=True)
class Share(Engine):
    """Each `count`-th task from the `number`-th on, which count from 1, by this process.

    All shares write into one directory, whose name says what their results hang on; so none need be refused.
    """

    number: int
    count: int

    @classmethod
    def of(cls, text: str) -> "Share":
        """By words such as `3/16`.

        Raises:
            ParamsError: they are others.
        """
        form = re.fullmatch(r"([1-9]\d{0,5})/([1-9]\d{0,5})", text)
        if form is None or int(form[1]) > int(form[2]):
            raise ParamsError(f"share {text!r}: write NUMBER/COUNT, such as 3/16, with a number from 1 to the count")
        return cls(int(form[1]), int(form[2]))

    @contextmanager
    def hold(self, directory: Path, doing: str) -> Iterator[Path]:
        """Make the directory; the other shares work there too."""
        directory.mkdir(parents=True, exist_ok=True)
        yield directory

    def own(self, tasks: Sequence[T]) -> Sequence[T]:
        """Those of this share."""
        return tasks[self.number - 1 :: self.count]

    def seen(self, files: Sequence[Path]) -> NoReturn:
        """Never: another process goes on with the files, once all shares are done."""
        there = sum(file.exists() for file in files)
        raise SharedOutError(f"share {self.number}/{self.count} is done: {there} of {len(files)} files are there")

    def journal(self, directory: Path) -> Journal:
        """Nothing: many shares work there at once, and each is to know the same tasks."""
        return Journal(None)

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
        keep_pools()
        return gather(tasks, partial(_told, do, on_result), progress)


def _told(do: Callable[[T], R], on_result: Callable[[T, R], None], task: T) -> R:
    result = do(task)
    on_result(task, result)
    return result
