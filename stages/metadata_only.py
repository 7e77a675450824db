"""Stage `metadata_only`: logistic regression on what the files give away without being decoded, by split."""

from moclip.base.files import write_json
from moclip.data.manifest import read_classes, read_manifest, read_split
from moclip.data.splits import members_of
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
    params, classes = section("metadata_only", MetadataOnlyParams), len(read_classes(args.classes))
    facts = facts_of(read_manifest(args.manifest), read_container_table(args.containers))
    chosen = {}
    for split in section("splits", Splits):
        own = of_split(args, split)
        members = read_split(own.split)
        classifier = train_metadata_classifier(facts, members, params, classes)
        classifier.save(own.model)
        chosen[own.split.stem] = classifier.classifier.record()
        write_history(own.history, [])  # no epochs
        test = members_of(members, "test")
        logits = classifier.log_probabilities([facts[member.id] for member in test], classes)
        write_test_predictions(own.preds, test, logits, args.classes, args.manifest)
    write_json(args.chosen, chosen)


if __name__ == "__main__":
    run(main)
