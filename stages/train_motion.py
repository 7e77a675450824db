"""Train the motion network on one split; keep its predictions, and its frozen features of all videos."""

from moclip.features import write_features
from moclip.history import write_history
from moclip.manifest import read_classes, read_split
from moclip.models.store import save_model
from moclip.motion_store import MotionStore
from moclip.motion_training import FieldSampler, Labelled, describe_videos, train_motion_net
from moclip.schema.motion import MotionInput, MotionParams
from moclip.schema.run import Seed
from moclip.schema.training import MotionNetParams
from moclip.splits import Member, members_of
from stages._entry import arguments, run, section
from stages._live import Live
from stages._results import write_test_predictions, write_val_predictions


def main() -> None:
    args = arguments(
        "manifest",
        "classes",
        "split",
        "motion",
        "model",
        "features",
        "history",
        "preds",
        "val_preds",
        numbers=("number",),
    )
    params, motion = section("motion_net", MotionNetParams), section("motion", MotionParams)
    members = read_split(args.split)
    train, val, test = (members_of(members, part) for part in ("train", "val", "test"))
    sampler = FieldSampler(MotionStore.open(args.motion), motion, params.input_px)
    net, history = train_motion_net(
        sampler,
        labelled(train),
        labelled(val),
        len(read_classes(args.classes)),
        params,
        (section("seed", Seed), "motion", args.number),
        Live("motion_only", args.number, params.epochs, args.manifest),
    )
    ids = [member.id for member in [*train, *val, *test]]
    features, logits = describe_videos(net, sampler, ids, params)
    made_for = MotionInput(motion=motion, input_px=params.input_px, eval_segments=params.eval_segments)
    save_model(args.model, net, {**net.config(), "input": made_for.model_dump()})
    write_features(args.features, ids, features)
    write_history(args.history, history)
    of_val, of_test = logits[len(train) :][: len(val)], logits[len(train) + len(val) :]
    write_val_predictions(args.val_preds, val, of_val, args.classes, args.manifest)
    write_test_predictions(args.preds, test, of_test, args.classes, args.manifest)


def labelled(members: list[Member]) -> Labelled:
    return Labelled([member.id for member in members], [member.label for member in members])


if __name__ == "__main__":
    run(main)
