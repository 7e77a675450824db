"""Stage of a head, or of heads that always run together: fit each on every split, and write what it says."""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from moclip.base.files import write_json
from moclip.data.splits import PARTS, Split
from moclip.heads.fitted import Account, Fitted, Resources, Videos, total
from moclip.heads.registry import HEADS, module_of, sections, settings_of
from moclip.params.run import Seed, Splits
from moclip.results.halves import Halves, write_halves
from moclip.store.features import write_features
from stages._entry import arguments, run, section, work_directory
from stages._layout import predicted, split_file
from stages._live import Live
from stages._predictions import predictions, write_account, write_split
from stages._streams import Sources, sources_of
from stages.dvc.code import HEAD_SCRIPT, running_code

VIDEOS_AT_ONCE = 64  # whose features are made in one pass
STREAMS = (
    *("clip", "texts", "encoder", "motion", "clip_predictions", "motion_predictions", "manifest", "containers"),
    *("frames", "grid", "residual", "motion_frames", "moving", "motion_facts", "chosen_frames"),
    "appearance",
)


def main() -> None:
    args = arguments(
        *("classes", "splits"),
        optional=(*STREAMS, "fields", "network", "clip_model", "chosen", "features"),
        word_lists=("heads",),
        path_lists=("model", "preds"),
    )
    sources = sources_of(vars(args))
    with ExitStack() as kept:  # a split that is done keeps its state until all are: a kill costs no training
        for head, model, preds in zip(args.heads, args.model, args.preds, strict=True):
            choices = {}
            for split in section("splits", Splits):
                resources = resources_of(head, split, args, kept)
                fitted = fit_split(head, split, sources, resources)
                fitted.save(model / f"split{split}")
                write_predictions_of(fitted, sources.videos(split), preds, split)
                if args.features:
                    write_features_of(fitted, sources.videos(split), args.features, split)
                choices[f"split{split}"] = fitted.choice
            account = account_of(fitted, sources, split)
            for directory in filter(None, (preds, args.features)):
                write_account(directory, account)
            if args.chosen:
                write_json(args.chosen, choices)


def fit_split(head: str, split: int, sources: Sources, resources: Resources | None) -> Fitted:
    """Fit a head on one split; its epochs are shown live."""
    spec, kind = HEADS[head], settings_of(head)
    params = section(spec.section, kind) if spec.section and kind else None
    seed = (section("seed", Seed), head, split)
    shown = {"on_epoch": Live(head, split, params.epochs, sources.classes)} if params and spec.has_epochs else {}
    fitted: Fitted = module_of(head).fit(sources.videos(split), params, seed, resources=resources, **shown)
    return fitted


def resources_of(head: str, split: int, args: Any, kept: ExitStack) -> Resources | None:
    """What a fit may need beside features; None where the stage was given neither motion nor CLIP."""
    if args.fields is None and args.clip_model is None:
        return None
    kinds: Mapping[str, Any] = sections()
    own = {name: section(name, kinds[name]) for name in HEADS[head].also_reads}
    return Resources(
        own,
        work_directory(head),
        running_code(HEAD_SCRIPT, head),
        kept,
        args.fields,
        args.network and split_file(args.network, split, ""),
        args.clip_model,
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
    """What a head costs with its streams; None where no network runs, or one is unknown."""
    own, accounts = fitted.cost(), sources.accounts(split)
    below = [accounts.get(stream) for stream in fitted.streams]
    return None if own is None or None in below else total(own, _each_once(one for one in below if one))


def _each_once(accounts: Iterable[Account]) -> list[Account]:
    """Accounts without those of a network that stands there already: it runs once for all its streams."""
    found: list[Account] = []
    for account in accounts:
        if account not in found:
            found.append(account)
    return found


if __name__ == "__main__":
    run(main)
