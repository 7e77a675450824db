"""Stage `linear_probe`: logistic regression on CLIP features, by split."""

from moclip.base.files import write_json
from moclip.data.splits import read_split
from moclip.heads.linear_probe import train_linear_probe
from moclip.params.heads.linear_probe import LinearProbeParams
from moclip.params.run import Splits
from moclip.store.features import read_features
from moclip.training.history import write_history
from stages._entry import arguments, run, section
from stages._layout import of_split
from stages._results import write_test_predictions


def main() -> None:
    args = arguments("classes", "splits", "images", "model", "chosen", "preds")
    params = section("linear_probe", LinearProbeParams)
    images = read_features(args.images)
    chosen = {}
    for number in section("splits", Splits):
        own = of_split(args, number)
        split = read_split(own.split, args.classes)
        test = split.part("test")
        probe = train_linear_probe(images, split.members, params, len(split.classes))
        probe.save(own.model)
        chosen[own.split.stem] = probe.classifier.record()
        write_history(own.history, [])  # no epochs
        write_test_predictions(own.preds, test, probe.log_probabilities(images.of(test.ids), len(split.classes)))
    write_json(args.chosen, chosen)


if __name__ == "__main__":
    run(main)
