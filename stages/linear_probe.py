"""Stage `linear_probe`: logistic regression on CLIP features of one split."""

from moclip.features import read_features
from moclip.files import write_json
from moclip.history import write_history
from moclip.linear_probe import train_linear_probe
from moclip.manifest import read_classes, read_split
from moclip.schema.controls import LinearProbeParams
from moclip.splits import members_of
from stages._entry import arguments, run, section
from stages._results import write_test_predictions


def main() -> None:
    args = arguments("manifest", "classes", "split", "images", "model", "chosen", "history", "preds")
    params = section("linear_probe", LinearProbeParams)
    images, members, classes = read_features(args.images), read_split(args.split), len(read_classes(args.classes))
    probe = train_linear_probe(images, members, params, classes)
    probe.save(args.model)
    write_json(args.chosen, probe.classifier.record())
    write_history(args.history, [])  # no epochs
    test = members_of(members, "test")
    logits = probe.log_probabilities(images.of([member.id for member in test]), classes)
    write_test_predictions(args.preds, test, logits, args.classes, args.manifest)


if __name__ == "__main__":
    run(main)
