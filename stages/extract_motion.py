"""Motion grids of every video, in few files."""

import numpy as np

from moclip.base.files import fingerprint, sha256_file
from moclip.base.parallel import cores
from moclip.data.manifest import Video, read_manifest
from moclip.motion.extract import MotionOptions, VideoFile, extract
from moclip.params.data import DataParams
from moclip.params.motion import MotionParams
from moclip.video.frames import evaluation_frames
from stages._cluster import cluster
from stages._entry import arguments, data_root, run, section, work_directory
from stages._kept_frames import kept_in, kept_rule


def main() -> None:
    args = arguments("manifest", "out")
    data, motion = section("data", DataParams), section("motion", MotionParams)
    root = data_root(data.root)
    rule = kept_rule()
    videos = [
        VideoFile(video.id, root / video.path, video.sha256, video.is_damaged, kept_of(video, rule))
        for video in read_manifest(args.manifest).values()
    ]
    options = MotionOptions(motion.cell_px, motion.reference, motion.source, motion.distance)
    stored = motion.model_dump(include={"source", "cell_px", "reference", "distance"})
    work = work_directory(f"extract_motion-{fingerprint(sha256_file(args.manifest), stored)}")
    with cluster() as nodes:
        kept = kept_in(args.manifest, rule) if rule else None
        extract(videos, args.out, work, options, jobs=cores(), cluster=nodes, pictures=kept)


def kept_of(video: Video, rule: str | None) -> tuple[int, ...]:
    """Positions of the frames that CLIP will see, ascending, if they are to be kept."""
    return tuple(np.unique(evaluation_frames(rule, video.frames)).tolist()) if rule else ()


if __name__ == "__main__":
    run(main)
