"""Train the fusion head on one split: on cached features, on views of them, or with the motion network in the loop."""

from collections.abc import Mapping
from typing import Any

import torch

from moclip.compute import Compute
from moclip.files import fingerprint, sha256_file
from moclip.head_training import Inputs, Part
from moclip.models.store import WEIGHTS, load_model, save_model
from moclip.motion_store import MotionStore
from moclip.schema.compute import ComputeParams
from moclip.schema.motion import MotionParams
from moclip.schema.run import Seed
from moclip.schema.training import HeadParams, MotionNetParams
from stages._entry import arguments, run, section, work_directory
from stages._heads import read_inputs, train_and_write
from stages._resume import running_code


def main() -> None:
    args = arguments(
        "manifest",
        "classes",
        "split",
        "motion",
        "network",
        "model",
        "history",
        "preds",
        "val_preds",
        path_lists=("streams",),
        numbers=("number",),
    )
    params, seed = section("fusion", HeadParams), (section("seed", Seed), "fusion", args.number)
    parts = read_inputs(args, params, seed)
    inputs: Any = changing(args, parts, params, seed) if params.views or params.online else Inputs(parts)
    if not params.online:
        torch.set_num_threads(1)  # the MLP is so small that handing work to a second thread takes longer
    train_and_write(args, inputs, params, seed)
    if params.backbone_statistics == "drift":
        save_model(args.model / "motion", inputs.net, inputs.net.config())  # what the head was selected and tested with


def changing(args: Any, parts: Mapping[str, Part], params: HeadParams, seed: tuple[int, str, int]) -> Any:
    """Inputs whose motion features change from epoch to epoch."""
    from moclip.models.motion import load_motion_net  # here: with plain features, the seconds of this import are saved
    from moclip.motion_fields import FieldSampler
    from moclip.motion_views import OnlineInputs, ViewInputs, view_features

    motion, motion_net = section("motion", MotionParams), section("motion_net", MotionNetParams)
    compute = Compute.of(section("compute", ComputeParams))
    store = MotionStore.open(args.motion)
    sampler = FieldSampler(store, motion, motion_net, compute)
    net = compute.place(load_motion_net(*load_model(args.network)))
    if params.online:
        return OnlineInputs(parts, net, sampler, seed, drift=params.backbone_statistics == "drift")
    ids = parts["train"].ids
    made_by = (sha256_file(args.network / WEIGHTS), store.digest, motion.model_dump(), motion_net.model_dump())
    work = work_directory(f"fusion_views-{fingerprint(*made_by, str(compute), ids, seed, running_code())}")
    return ViewInputs(parts, view_features(net, sampler, ids, seed, views=params.views, work=work), seed)


if __name__ == "__main__":
    run(main)
