"""Zero-shot CLIP on the val and test parts of each split."""

from pathlib import Path

from moclip.base.errors import StoreError
from moclip.base.files import read_json
from moclip.data.manifest import read_classes
from moclip.data.splits import read_split
from moclip.heads.zero_shot import zero_shot_logits
from moclip.params.run import Splits
from moclip.store.features import Features, read_features
from moclip.training.history import write_history
from stages._entry import arguments, run, section
from stages._layout import of_split
from stages._results import write_test_predictions, write_val_predictions


def main() -> None:
    args = arguments("classes", "splits", "images", "texts", "scale", "preds")
    images = read_features(args.images)
    texts = text_features(args.texts).of(read_classes(args.classes))
    logit_scale = read_json(args.scale)["logit_scale"]
    for number in section("splits", Splits):
        own = of_split(args, number)
        split = read_split(own.split, args.classes)
        write_history(own.history, [])  # nothing is trained
        for part, path, write in (
            ("val", own.val_preds, write_val_predictions),
            ("test", own.preds, write_test_predictions),
        ):
            videos = split.part(part)
            write(path, videos, zero_shot_logits(images.of(videos.ids), texts, logit_scale))


def text_features(path: Path) -> Features:
    """Text features of the classes.

    Raises:
        StoreError: there are none, as with precomputed image features alone.
    """
    texts = read_features(path)
    if not len(texts.ids):
        raise StoreError(
            f"{path}: holds no text features, because clip.precomputed lacks the arrays 'class' and 'text'; zero_shot "
            "needs them. Add them, or take zero_shot out of `heads` and run `dvc repro track`, which leaves it out"
        )
    return texts


if __name__ == "__main__":
    run(main)
