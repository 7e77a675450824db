"""Stage `metadata_only`: logistic regression on what the files give away without being decoded, by split."""

from moclip.base.files import write_json
from moclip.data.manifest import read_manifest
from moclip.data.splits import read_split
from moclip.heads.metadata_only import facts_of, train_metadata_classifier
from moclip.params.heads.metadata_only import MetadataOnlyParams
from moclip.params.run import Splits
from moclip.training.history import write_history
from moclip.video.container import read_container_table
from stages._entry import arguments, run, section
from stages._layout import of_split
from stages._results import write_test_predictions


def main() -> None:
    args = arguments("manifest", "containers", "classes", "splits", "model", "chosen", "preds")
    params = section("metadata_only", MetadataOnlyParams)
    facts = facts_of(read_manifest(args.manifest), read_container_table(args.containers))
    chosen = {}
    for number in section("splits", Splits):
        own = of_split(args, number)
        split = read_split(own.split, args.classes)
        test = split.part("test")
        classifier = train_metadata_classifier(facts, split.members, params, len(split.classes))
        classifier.save(own.model)
        chosen[own.split.stem] = classifier.classifier.record()
        write_history(own.history, [])  # no epochs
        logits = classifier.log_probabilities([facts[stem] for stem in test.ids], len(split.classes))
        write_test_predictions(own.preds, test, logits)
    write_json(args.chosen, chosen)


if __name__ == "__main__":
    run(main)
