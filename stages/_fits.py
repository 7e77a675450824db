"""Fits of a head: of each split several trainings; what is finished is kept, and not done again.

The first training of a split is what the head is: its model is kept. Of the others it is what they say that counts.
"""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from moclip.base.files import atomic_path, fingerprint, remove, write_json
from moclip.base.parallel import cores
from moclip.base.progress import one_of
from moclip.base.work import Work, alone_in, finish
from moclip.data.splits import PARTS, Split
from moclip.heads.fitted import Account, Fitted, Resources, Videos, total
from moclip.heads.registry import HEADS, module_of, sections, settings_of
from moclip.params.compute import ComputeParams
from moclip.params.run import Seed, SeedsParams, Splits, repeat_seed
from moclip.results.halves import Halves, write_halves
from moclip.store.features import write_features
from stages._entry import section, work_directory
from stages._layout import place_among, predicted, repeat_directory, repeats_in, split_file
from stages._live import Live
from stages._predictions import predictions, write_account, write_split
from stages._streams import Sources, sources_of
from stages.dvc.code import HEAD_SCRIPT, running_code

VIDEOS_AT_ONCE = 64  # whose features are made in one pass
WORTH_PROCESSES_S = 15.0  # of a processor's work; less is done sooner than processes have imported what they need
log = logging.getLogger(__name__)
PREDS, MODEL, FEATURES, CHOICE = "preds", "model", "features", "choice.json"


@dataclass(frozen=True)
class Fit:
    """One training of a head on a split; `repeat` counts from 0, the first."""

    head: str
    split: int
    repeat: int = 0

    def __str__(self) -> str:
        return f"{self.head}-split{self.split}-training{self.repeat + 1}"


@dataclass
class Given:
    """What the stage was given, by the name of its option; a process that it is handed to opens the files anew."""

    paths: Mapping[str, Path | None]
    makes_features: bool
    _opened: dict[int, Sources] = field(default_factory=dict)

    def __reduce__(self) -> tuple[Any, ...]:
        return Given, (self.paths, self.makes_features)

    def sources(self, repeat: int = 0) -> Sources:
        """The streams that a training takes."""
        first = self._opened.setdefault(0, sources_of(self.paths))
        number = repeat % first.repeats
        return self._opened.setdefault(number, first.of_repeat(number) if number else first)

    def stamps(self) -> list[tuple[str, str, int, int]]:
        """Names, sizes and times of all files; by these DVC tells too whether something changed since it looked."""
        files = [
            (name, path, file)
            for name, path in sorted(self.paths.items())
            if path is not None
            for file in (sorted(path.rglob("*")) if path.is_dir() else [path])
            if file.is_file()
        ]
        stats = [(name, file.relative_to(path).as_posix(), file.stat()) for name, path, file in files]
        return [(name, relative, own.st_size, own.st_mtime_ns) for name, relative, own in stats]


def fit_all(head: str, given: Given, kept: ExitStack) -> Path:
    """Fit a head on all splits, as often as there are trainings of it, as far as that is not done.

    Args:
        head: Its name.
        given: What the stage was given.
        kept: Ends when the stage is done; until then what is finished stays.

    Returns:
        Where the results lie: `Fit` as text names a directory.
    """
    splits: Sequence[int] = section("splits", Splits)
    first = [Fit(head, split) for split in splits]
    others = [Fit(head, split, repeat) for repeat in range(1, repeats_of(head, given)) for split in splits]
    shelf = kept.enter_context(_shelf(head, given))
    work = Work(head, "training")
    module_of(head)  # imported before the clock runs: it is no part of each training's time
    begun = time.process_time()
    done = finish(first, str, partial(fit_one, given, kept), shelf, work)
    expected = (time.process_time() - begun) / max(done.made, 1) * len(others)
    apart = expected > WORTH_PROCESSES_S and not _takes_the_machine(head)
    finish(others, str, partial(fit_one, given, None), shelf, work, jobs=min(cores(), len(others)) if apart else 1)
    return shelf


def repeats_of(head: str, given: Given) -> int:
    """How many trainings there are of a head; one that draws nothing has as many as what it is made of."""
    below = given.sources().repeats
    return below if HEADS[head].draws_nothing else max(section("seeds", SeedsParams).heads, below)


def place_of(fit: Fit, given: Given) -> tuple[int, int]:
    """Which of the head's trainings a fit is, from 1, and how many there are."""
    return place_among(section("splits", Splits), fit.split, fit.repeat, repeats_of(fit.head, given))


def _takes_the_machine(head: str) -> bool:
    """Whether one fit is to have all cores, or the accelerator, for itself."""
    if section("compute", ComputeParams).kernels == "native":
        return True
    own = _also_read(head).get("compute")
    return own is not None and own.device != "cpu"


@contextmanager
def _shelf(head: str, given: Given) -> Iterator[Path]:
    """A directory that belongs to these fits alone; emptied at the end, kept after an error."""
    settings = [_settings(head), *_also_read(head).values()]
    own = [None if one is None else one.model_dump() for one in settings]
    key = fingerprint(head, section("seed", Seed), own, given.stamps(), running_code(HEAD_SCRIPT, head))
    with alone_in(work_directory(f"fits-{key}"), "fits the same") as shelf:
        yield shelf
        for folder in shelf.glob(f"{head}-*"):
            remove(folder)


def fit_one(given: Given, kept: ExitStack | None, fit: Fit, folder: Path) -> None:
    """Fit once, and write all that it gives as one directory; without `kept`, in a process that only fits."""
    with one_of("training", *place_of(fit, given)), ExitStack() as own, atomic_path(folder) as made:
        made.mkdir()
        sources = given.sources(fit.repeat)
        videos = sources.videos(fit.split)
        fitted = fit_split(fit, videos, sources, resources_of(fit, given, kept or own))
        write_predictions_of(fitted, videos, made / PREDS / fit.head, fit.split)
        if fit.repeat:
            return
        fitted.save(made / MODEL)
        if given.makes_features:
            write_features_of(fitted, videos, made / FEATURES, fit.split)
        account = account_of(fitted, sources, fit.split)
        for name in (PREDS, FEATURES):
            if (made / name).is_dir():
                write_account(made / name / (fit.head if name == PREDS else ""), account)
        write_json(made / CHOICE, fitted.choice)


def fit_split(fit: Fit, videos: Videos, sources: Sources, resources: Resources | None) -> Fitted:
    """Fit a head on one split; the epochs of the first training are shown live."""
    spec, params = HEADS[fit.head], _settings(fit.head)
    seed = (repeat_seed(section("seed", Seed), fit.repeat), fit.head, fit.split)
    is_shown = params and spec.has_epochs and not fit.repeat
    shown = {"on_epoch": Live(fit.head, fit.split, params.epochs, sources.classes)} if is_shown else {}
    fitted: Fitted = module_of(fit.head).fit(videos, params, seed, resources=resources, **shown)
    return fitted


def _settings(head: str) -> Any:
    spec, kind = HEADS[head], settings_of(head)
    return section(spec.section, kind) if spec.section and kind else None


def _also_read(head: str) -> dict[str, Any]:
    kinds: Mapping[str, Any] = sections()
    return {name: section(name, kinds[name]) for name in HEADS[head].also_reads}


def resources_of(fit: Fit, given: Given, kept: ExitStack) -> Resources | None:
    """What a fit may need beside features; None where the stage was given neither motion nor CLIP."""
    paths = given.paths
    fields, network, clip = (paths.get(name) for name in ("fields", "network", "clip_model"))
    if fields is None and clip is None:
        return None
    return Resources(
        _also_read(fit.head),
        work_directory(fit.head),
        running_code(HEAD_SCRIPT, fit.head),
        kept,
        fields,
        network and split_file(repeat_directory(network, fit.repeat % repeats_in(network)), fit.split, ""),
        clip,
    )


def write_predictions_of(fitted: Fitted, videos: Videos, preds: Path, split: int) -> None:
    """Write logits of the held-out parts as the head sees them, and its epochs; of some classes, its halves too."""
    seen = fitted.sees(videos)
    parts: dict[str, Split] = {part: videos.split.part(part) for part in ("test", "val")}
    test, val = (predictions(own, fitted.logits(seen.inputs(part))) for part, own in parts.items())
    write_split(preds, split, test, val, fitted.history)
    if fitted.seen is not None:
        models = {**fitted.beside(seen.inputs("test")), preds.name: test.logits}
        write_halves(predicted(preds, split).halves, Halves(fitted.seen, models))


def write_features_of(fitted: Fitted, videos: Videos, directory: Path, split: int) -> None:
    """Write what the head makes of each video of the split, for a head that takes it for a stream."""
    ids = [video for part in PARTS for video in videos.split.part(part).ids]
    starts = range(0, len(ids), VIDEOS_AT_ONCE)
    batches = (ids[start : start + VIDEOS_AT_ONCE] for start in starts)
    found = [fitted.features({name: videos.streams[name].of(own) for name in fitted.streams}) for own in batches]
    write_features(split_file(directory, split, ".npz"), ids, np.concatenate(found))


def account_of(fitted: Fitted, sources: Sources, split: int) -> Any:
    """What a head costs with its streams; None where no network runs, or one is unknown.

    A stage that was not told what a stream costs leaves out the head's cost with a warning.
    """
    own, accounts = fitted.cost(), sources.accounts(split)
    if own is not None and (untold := [stream for stream in fitted.streams if stream not in accounts]):
        log.warning(
            "split %d: the head's cost is left out, for the stage is not told what stream %s costs: of clip, hand it "
            "`--encoder data/clip/encoder.json` (moclip/heads/README.md)",
            split,
            untold[0],
        )
    below = [accounts.get(stream) for stream in fitted.streams]
    return None if own is None or None in below else total(own, _each_once(one for one in below if one))


def _each_once(accounts: Iterable[Account]) -> list[Account]:
    """Accounts without those of a network that stands there already: it runs once for all its streams."""
    found: list[Account] = []
    for account in accounts:
        if account not in found:
            found.append(account)
    return found
