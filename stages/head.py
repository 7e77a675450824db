"""Stage of a head, or of heads that always run together: fit each on every split, and write what it says."""

import shutil
from contextlib import ExitStack
from pathlib import Path

from moclip.base.files import read_json, write_json
from moclip.params.run import Splits
from stages._entry import arguments, run, section
from stages._fits import CHOICE, FEATURES, MODEL, PREDS, Fit, Given, fit_all, repeats_of
from stages._layout import chosen_file, repeat_directory, split_file

STREAMS = (
    *("clip", "texts", "encoder", "motion", "clip_predictions", "motion_predictions", "manifest", "containers"),
    *("frames", "grid", "residual", "motion_frames", "moving", "motion_facts", "chosen_frames"),
    "appearance",
)
RESOURCES = ("fields", "network", "clip_model")


def main() -> None:
    args = arguments(
        *("classes", "splits"),
        optional=(*STREAMS, *RESOURCES, "features"),
        word_lists=("heads",),
        path_lists=("model", "preds"),
    )
    names = ("classes", "splits", *STREAMS, *RESOURCES)
    given = Given({name: getattr(args, name) for name in names}, makes_features=args.features is not None)
    with ExitStack() as kept:  # what is done stays until all is: a kill costs no training
        for head, model, preds in zip(args.heads, args.model, args.preds, strict=True):
            shelf = fit_all(head, given, kept)
            publish(head, shelf, repeats_of(head, given), {MODEL: model, PREDS: preds, FEATURES: args.features})
            choices = {f"split{k}": read_json(shelf / str(Fit(head, k)) / CHOICE) for k in section("splits", Splits)}
            if any(choices.values()):
                write_json(chosen_file(preds), choices)


def publish(head: str, shelf: Path, repeats: int, declared: dict[str, Path | None]) -> None:
    """Copy what finished fits keep to where the graph declares it."""
    for repeat in range(repeats):
        for split in section("splits", Splits):
            folder = shelf / str(Fit(head, split, repeat))
            sources = {MODEL: folder / MODEL, PREDS: folder / PREDS / head, FEATURES: folder / FEATURES}
            for name, source in sources.items():
                target = declared[name]
                if target is not None and source.is_dir():
                    own = split_file(target, split, "") if name == MODEL else repeat_directory(target, repeat)
                    shutil.copytree(source, own, dirs_exist_ok=True)


if __name__ == "__main__":
    run(main)
