"""Stage of a store of frames: what CLIP sees of each frame apart, for the heads that need it."""

from moclip.base.errors import ParamsError
from moclip.base.files import fingerprint, read_json, sha256_file
from moclip.clip.encoder import META, load_encoder
from moclip.clip.frames import cache_frames, made_by
from moclip.data.manifest import read_manifest
from moclip.params.clip import ClipParams
from moclip.params.compute import ComputeParams
from moclip.params.data import DataParams
from moclip.params.frames import FramesParams
from moclip.training.device import Compute
from stages._entry import arguments, data_root, run, section, work_directory


def main() -> None:
    args = arguments("manifest", "model", "out", words=("array",))
    clip, frames = section("clip", ClipParams), section("frames", FramesParams)
    if clip.precomputed is not None:
        raise ParamsError(
            "clip.precomputed: it has one feature a video, and heads that read frames need the network; name weights "
            "by clip.pretrained or clip.checkpoint, or take these heads out of `heads`"
        )
    hardware = section("compute", ComputeParams)
    encoder = load_encoder(args.model, Compute.of(hardware))
    of_network = {"clip": read_json(args.model / META)["sha256"], "arithmetic": [hardware.amp, hardware.kernels]}
    facts = {"manifest": sha256_file(args.manifest), **of_network}
    digest = fingerprint(facts, made_by(args.array, frames), encoder.compute.device.type)
    cache_frames(
        encoder,
        list(read_manifest(args.manifest).values()),
        data_root(section("data", DataParams).root),
        work_directory(f"cache_frames-{digest}"),
        args.out,
        args.array,
        frames,
        batch_images=clip.batch_images,
        provenance=facts,
    )


if __name__ == "__main__":
    run(main)
