"""Stage `linear_probe`: logistic regression on CLIP features, by split."""

from moclip.base.files import write_json
from moclip.data.manifest import read_classes, read_split
from moclip.data.splits import members_of
from moclip.heads.linear_probe import train_linear_probe
from moclip.params.heads.linear_probe import LinearProbeParams
from moclip.params.run import Splits
from moclip.store.features import read_features
from moclip.training.history import write_history
from stages._entry import arguments, run, section
from stages._layout import of_split
from stages._results import write_test_predictions


def main() -> None:
    args = arguments("manifest", "classes", "splits", "images", "model", "chosen", "preds")
    params, classes = section("linear_probe", LinearProbeParams), len(read_classes(args.classes))
    images = read_features(args.images)
    chosen = {}
    for split in section("splits", Splits):
        own = of_split(args, split)
        members = read_split(own.split)
        probe = train_linear_probe(images, members, params, classes)
        probe.save(own.model)
        chosen[own.split.stem] = probe.classifier.record()
        write_history(own.history, [])  # no epochs
        test = members_of(members, "test")
        logits = probe.log_probabilities(images.of([member.id for member in test]), classes)
        write_test_predictions(own.preds, test, logits, args.classes, args.manifest)
    write_json(args.chosen, chosen)


if __name__ == "__main__":
    run(main)
