"""Stage that keeps what each split's motion network knows of the frames that CLIP sees apart."""

from pathlib import Path

from moclip.base.files import fingerprint, sha256_file
from moclip.heads.motion_only import load
from moclip.motion.sampler import FieldSampler
from moclip.motion.store import MotionStore
from moclip.motion.tokens import cache_motion_tokens
from moclip.params.compute import ComputeParams
from moclip.params.frames import FramesParams
from moclip.params.heads.tokens import TokenParams
from moclip.params.run import SeedsParams, Splits
from moclip.training.device import Compute
from moclip.training.weights import WEIGHTS
from stages._entry import arguments, run, section, work_directory
from stages._layout import repeat_directory, split_file


def main() -> None:
    args = arguments("motion", "network", "out")
    for repeat in range(section("seeds", SeedsParams).motion):
        network, out = (repeat_directory(path, repeat) for path in (args.network, args.out))
        for split in section("splits", Splits):
            keep(args.motion, split_file(network, split, ""), split_file(out, split, ""))


def keep(motion: Path, network: Path, out: Path) -> None:
    frames, tokens, compute = (
        section("frames", FramesParams),
        section("tokens", TokenParams),
        Compute.of(section("compute", ComputeParams)),
    )
    store, fitted = MotionStore.open(motion), load(network)
    sampler = FieldSampler(store, fitted.made_for.motion, fitted.made_for.motion_net, compute)
    facts = {
        "motion": store.digest,
        "network": sha256_file(network / WEIGHTS),
        "rule": frames.rule,
        "motion_grid": tokens.motion_grid,
    }
    work = work_directory(f"motion_tokens-{fingerprint(facts, compute.key)}")
    net = compute.place(fitted.net)
    cache_motion_tokens(net, sampler, store.ids, frames.count, tokens.motion_grid, work, out, facts)


if __name__ == "__main__":
    run(main)
