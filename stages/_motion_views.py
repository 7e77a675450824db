"""Two ways for the stage train_fusion in which motion features differ from epoch to epoch."""

from contextlib import ExitStack
from typing import Any

from moclip.base.files import fingerprint, sha256_file
from moclip.data.splits import Split
from moclip.heads.views import OnlineInputs, ViewInputs, view_features
from moclip.motion.net import MotionNet, load_motion_net
from moclip.motion.sampler import FieldSampler
from moclip.motion.store import MotionStore
from moclip.params.compute import ComputeParams
from moclip.params.heads.fusion import HeadParams
from moclip.params.motion import MotionParams
from moclip.params.motion_net import MotionNetParams
from moclip.training.checkpoint import checkpoint_in
from moclip.training.device import Compute
from moclip.training.weights import WEIGHTS, load_model, save_model
from stages._entry import work_directory
from stages._heads import Seed, one_thread, read_inputs, train_and_write
from stages._resume import running_code


def train_on_views(
    args: Any,
    split: Split,
    params: HeadParams,
    seed: Seed,
    motion: MotionParams,
    motion_net: MotionNetParams,
    compute: ComputeParams,
) -> None:
    """On cached augmented views, which are computed now unless they were before, for another head."""
    store = MotionStore.open(args.motion)
    net, sampler = _network(args, store, motion, motion_net, compute)
    parts = read_inputs(args, split, params, seed)
    ids = parts["train"].ids
    work = work_directory(f"fusion_views-{fingerprint(_made_by(args, store, sampler), ids, seed)}")
    views = view_features(net, sampler, ids, seed, views=params.views, work=work)
    with one_thread():
        train_and_write(args, split, ViewInputs(parts, views, seed), params, seed)


def train_online(
    args: Any,
    split: Split,
    params: HeadParams,
    seed: Seed,
    motion: MotionParams,
    motion_net: MotionNetParams,
    compute: ComputeParams,
    kept: ExitStack,
) -> None:
    """With the motion network in the loop: that may take hours, so it goes on after a kill.

    The state of the training, finished or not, stays until `kept` ends without an error.
    """
    store = MotionStore.open(args.motion)
    net, sampler = _network(args, store, motion, motion_net, compute)
    drift = params.backbone_statistics == "drift"
    inputs = OnlineInputs(read_inputs(args, split, params, seed), net, sampler, seed, drift=drift)
    files = [sha256_file(path) for path in (args.classes, args.split, *args.streams)]
    key = fingerprint(_made_by(args, store, sampler), files, params.model_dump(), seed)
    checkpoint = kept.enter_context(checkpoint_in(work_directory(f"train_fusion-{key}")))
    train_and_write(args, split, inputs, params, seed, checkpoint)
    if drift:  # what the head was selected and tested with
        save_model(args.model / "motion", net, net.config())


def _network(
    args: Any, store: MotionStore, motion: MotionParams, motion_net: MotionNetParams, compute: ComputeParams
) -> tuple[MotionNet, FieldSampler]:
    sampler = FieldSampler(store, motion, motion_net, Compute.of(compute))
    return sampler.compute.place(load_motion_net(*load_model(args.network))), sampler


def _made_by(args: Any, store: MotionStore, sampler: FieldSampler) -> str:
    """Stands for the network, its input and the code: what others have made may not be taken up."""
    settings = (sampler.motion.model_dump(), sampler.params.model_dump(), str(sampler.compute))
    return fingerprint(sha256_file(args.network / WEIGHTS), store.digest, settings, running_code())
