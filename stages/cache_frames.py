"""Stage of a store of frames: what CLIP sees of each frame apart, for the heads that need it."""

from moclip.clip.frames import cache_frames, made_by
from moclip.params.frames import FramesParams
from stages._cluster import cluster
from stages._entry import arguments, run, section
from stages._frame_store import Caching


def main() -> None:
    args = arguments("manifest", "model", "out", words=("array",))
    frames = section("frames", FramesParams)
    caching = Caching.of(args.manifest, args.model, "heads that read frames need", "take these heads out of `heads`")
    with cluster() as nodes:
        cache_frames(
            caching.encoder,
            caching.videos,
            caching.root,
            caching.shelf("cache_frames", made_by(args.array, frames)),
            args.out,
            args.array,
            frames,
            batch_images=caching.batch_images,
            provenance=caching.facts,
            cluster=nodes,
        )


if __name__ == "__main__":
    run(main)
