"""Stage `metadata_only`: logistic regression on what the files of one split give away without being decoded."""

from moclip.container import read_container_table
from moclip.files import write_json
from moclip.history import write_history
from moclip.manifest import read_classes, read_manifest, read_split
from moclip.metadata import facts_of, train_metadata_classifier
from moclip.schema.controls import MetadataOnlyParams
from moclip.splits import members_of
from stages._entry import arguments, run, section
from stages._results import write_test_predictions


def main() -> None:
    args = arguments("manifest", "containers", "classes", "split", "model", "chosen", "history", "preds")
    params = section("metadata_only", MetadataOnlyParams)
    members, classes = read_split(args.split), len(read_classes(args.classes))
    facts = facts_of(read_manifest(args.manifest), read_container_table(args.containers))
    classifier = train_metadata_classifier(facts, members, params, classes)
    classifier.save(args.model)
    write_json(args.chosen, classifier.classifier.record())
    write_history(args.history, [])  # no epochs
    test = members_of(members, "test")
    logits = classifier.log_probabilities([facts[member.id] for member in test], classes)
    write_test_predictions(args.preds, test, logits, args.classes, args.manifest)


if __name__ == "__main__":
    run(main)
