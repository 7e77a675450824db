"""DVC's lock files as the record of what ran: which stage made a file, from what, and a result's key.

While `dvc repro` runs, DVC rewrites dvc.lock after each stage, so a stage finds all those before it
there. Entries of splits, heads and stages that are no longer asked for stay in the file: an entry
counts only if it leads to a file that was asked for by name and matches it by content.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML, YAMLError

from moclip.base.errors import StoreError
from moclip.base.files import fingerprint
from moclip.base.outside import yaml
from stages.dvc.digest import md5

CODE = "code"  # directory of the texts that stand for each stage's code


@dataclass(frozen=True)
class Lock:
    """The stages by name; paths are relative to the repository."""

    stages: Mapping[str, Any]

    def outputs(self) -> set[str]:
        """Every path that some stage, also a forgotten one, has written."""
        return {out["path"] for stage in self.stages.values() for out in stage.get("outs", [])}

    def checked(self, path: Path) -> Path:
        """The path itself, after its bytes were held against the lock.

        Raises:
            StoreError: the file is missing, or is not what a stage of the lock has written.
        """
        self._maker(path.as_posix(), md5(path))
        return path

    def read_for(self, path: Path, data: Iterable[Path]) -> dict[str, str]:
        """Digest by path of all that was read, on the way to a file, of these files and directories.

        Where a directory was read that holds such a file, it stands for the file.
        """
        tops = list(data)
        read = [dep for name in self.behind([path]) for dep in self._deps(name)]
        return {
            dep["path"]: dep["md5"]
            for dep in sorted(read, key=lambda dep: str(dep["path"]))
            for at in [Path(dep["path"])]
            if any(top == at or top in at.parents or at in top.parents for top in tops)
        }

    def behind(self, files: Iterable[Path]) -> list[str]:
        """The stages that wrote these files, and all that those rest on, in the order of the lock."""
        reached = set(self._upstream([self._maker(path.as_posix(), md5(path)) for path in files]))
        return [name for name in self.stages if name in reached]

    def written(self, stage: str) -> dict[str, str]:
        """What a stage wrote: digests by path."""
        return {out["path"]: out["md5"] for out in self.stages[stage].get("outs", [])}

    def result_key(self, files: Iterable[Path]) -> str:
        """What the result in these files is, in 16 hexadecimal digits.

        Two keys are equal when the stages that wrote the files wrote the same, read the same from
        stages before them (predictions), and the parameters of all stages on the way there are the
        same. Code, durations, names of stages and whatever else was once run do not enter.
        """
        makers = [self._maker(path.as_posix(), md5(path)) for path in files]
        made = {
            item["path"]: item["md5"]
            for name in makers
            for item in [*self.stages[name].get("outs", []), *(item for _, item in self._sources(name))]
        }
        return fingerprint(made, self._params(makers))

    def params_behind(self, files: Mapping[str, str]) -> dict[str, Any]:
        """The parameters of all stages on the way to these files, digests by path; sections and dotted keys."""
        return self._params([self._maker(path, digest) for path, digest in files.items()])

    def _params(self, makers: Iterable[str]) -> dict[str, Any]:
        params: dict[str, Any] = {}
        for name in self._upstream(makers):
            for section in self.stages[name].get("params", {}).values():
                params |= section
        return params

    def upstream(self, name: str) -> list[str]:
        """A stage and all that it rests on."""
        return self._upstream([name])

    def _upstream(self, names: Iterable[str]) -> list[str]:
        """The named stages and all that they rest on, sorted."""
        seen: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                waiting += [maker for maker, _ in self._sources(name)]
        return sorted(seen)

    def _deps(self, name: str) -> list[Any]:
        deps: list[Any] = self.stages[name].get("deps", [])
        return deps

    def _sources(self, name: str) -> Iterator[tuple[str, Any]]:
        """What a stage read of others, each with the stage that wrote it."""
        for dep in self._deps(name):
            exact = [(maker, dep) for maker in self._makers(dep)]
            yield from exact or self._parts(name, Path(dep["path"]))

    def _parts(self, reader: str, directory: Path) -> Iterator[tuple[str, Any]]:
        """What stages of a matrix wrote into a directory, of those values that its reader's parameters list.

        DVC keeps no digest by file of a directory that was read, so what is left there of other
        values can only be told by the stage's name.
        """
        params = self.stages[reader].get("params", {}).values()
        listed = {
            str(item) for values in params for value in values.values() if isinstance(value, list) for item in value
        }
        for name, stage in self.stages.items():
            if name.partition("@")[2] in listed:
                yield from ((name, out) for out in stage.get("outs", []) if directory in Path(out["path"]).parents)

    def _makers(self, item: Mapping[str, Any]) -> list[str]:
        """Stages that wrote exactly this content to this path."""
        return [
            name
            for name, stage in self.stages.items()
            for out in stage.get("outs", [])
            if (out["path"], out.get("md5")) == (item["path"], item.get("md5"))
        ]

    def _maker(self, path: str, md5: str) -> str:
        makers = self._makers({"path": path, "md5": md5})
        if not makers:
            raise StoreError(f"{path}: not what the pipeline wrote (its MD5 is not in dvc.lock); run `dvc repro`")
        return makers[-1]  # a renamed stage stands after its old name


@dataclass(frozen=True)
class Origins:
    """Where two runs part: stages by name.

    Attributes:
        identical: They wrote the same.
        origin: They wrote something else from the same.
        follows: They read what another stage wrote otherwise.
        other: Their parameters are others, so they are another experiment.
        not_comparable: Heads that rest on one of these.
    """

    identical: tuple[str, ...]
    origin: tuple[str, ...]
    follows: tuple[str, ...]
    other: tuple[str, ...]
    not_comparable: tuple[str, ...]

    def __str__(self) -> str:
        starts = f" ({', '.join(self.origin)})" if self.origin else ""
        apart = f", {len(self.other)} of other parameters ({', '.join(self.other)})" if self.other else ""
        return (
            f"{len(self.identical)} stages identical, {len(self.origin)} where results start to differ{starts}, "
            f"{len(self.follows)} follow{apart}"
        )


def origins(then: Lock, now: Lock) -> Origins:
    """Sort the stages that both locks know by where they part."""
    kinds: dict[str, list[str]] = {"identical": [], "origin": [], "follows": [], "other": []}
    for name in now.stages:
        if name in then.stages:
            kinds[_kind(then.stages[name], now.stages[name])].append(name)
    apart = {name for name in now.stages for behind in now.upstream(name) if behind in kinds["other"]}
    heads = sorted(name.partition("@")[2] for name in apart if name.startswith("evaluate@"))
    return Origins(**{kind: tuple(names) for kind, names in kinds.items()}, not_comparable=tuple(heads))


def _kind(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    if then.get("params") != now.get("params"):
        return "other"
    if _digests(then, "outs") == _digests(now, "outs"):
        return "identical"
    return "origin" if _digests(then, "deps") == _digests(now, "deps") else "follows"


def _digests(stage: Mapping[str, Any], kind: str) -> dict[str, str]:
    return {item["path"]: item["md5"] for item in stage.get(kind, [])}


def read_lock(*paths: Path) -> Lock:
    """Read lock files, which know each stage by a name of its own; what they say of code is left out.

    Raises:
        StoreError: a file is missing, is not YAML, or lists no stages.
    """
    stages: dict[str, Any] = {}
    for path in paths:
        try:
            stages |= yaml.load(path, YAML(typ="safe"))["stages"]
        except (OSError, YAMLError, KeyError, TypeError) as error:
            raise StoreError(f"{path}: cannot be read as DVC's lock file ({error!r})") from error
    return Lock({name: _without_code(stage) for name, stage in stages.items()})


def _without_code(stage: Mapping[str, Any]) -> dict[str, Any]:
    deps = [dep for dep in stage.get("deps", []) if Path(dep["path"]).parts[0] != CODE]
    return {**stage, "deps": deps}
