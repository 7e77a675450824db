"""Motion grids of every video, in few files."""

from pathlib import Path

import numpy as np

from moclip.base.files import fingerprint, sha256_file
from moclip.base.parallel import cores
from moclip.data.manifest import Video, read_manifest
from moclip.motion.extract import MotionOptions, VideoFile, extract
from moclip.params.data import DataParams
from moclip.params.motion import MotionParams
from moclip.store.table import Rows
from moclip.video.frames import evaluation_frames
from stages._cluster import cluster
from stages._entry import arguments, data_root, run, section, work_directory
from stages._kept_frames import kept_in, kept_rule


def main() -> None:
    args = arguments("manifest", "out")
    data, motion = section("data", DataParams), section("motion", MotionParams)
    root, rule = data_root(data.root), kept_rule()
    listed = read_manifest(args.manifest).videos
    videos = Rows(lambda place: video_file(root, listed[place], rule), range(len(listed)))
    options = MotionOptions(motion.cell_px, motion.reference, motion.source, motion.distance)
    stored = motion.model_dump(include={"source", "cell_px", "reference", "distance"})
    work = work_directory(f"extract_motion-{fingerprint(sha256_file(args.manifest), stored)}")
    kept = kept_in(args.manifest, rule) if rule else None
    with cluster() as nodes:
        extract(videos, args.out, work, options, jobs=cores(), cluster=nodes, pictures=kept)


def video_file(root: Path, video: Video, rule: str | None) -> VideoFile:
    """What is to be extracted of a row of the manifest, and which frames CLIP will see, if they are to be kept."""
    keep = tuple(np.unique(evaluation_frames(rule, video.frames)).tolist()) if rule else ()
    return VideoFile(video.id, root / video.path, video.sha256, video.is_damaged, keep)


if __name__ == "__main__":
    run(main)
