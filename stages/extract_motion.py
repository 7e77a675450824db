"""Motion grids of every video, in few files."""

from pathlib import Path

from moclip.base.files import fingerprint, sha256_file
from moclip.base.parallel import cores
from moclip.data.manifest import Video, read_manifest
from moclip.motion.extract import MotionOptions, VideoFile, extract
from moclip.params.data import DataParams
from moclip.params.motion import MotionParams
from moclip.store.table import Rows
from stages._cluster import cluster
from stages._entry import arguments, data_root, run, section, work_directory


def main() -> None:
    args = arguments("manifest", "out")
    data, motion = section("data", DataParams), section("motion", MotionParams)
    root = data_root(data.root)
    listed = read_manifest(args.manifest).videos
    videos = Rows(lambda place: video_file(root, listed[place]), range(len(listed)))
    options = MotionOptions(motion.cell_px, motion.reference, motion.source, motion.distance)
    stored = motion.model_dump(include={"source", "cell_px", "reference", "distance"})
    work = work_directory(f"extract_motion-{fingerprint(sha256_file(args.manifest), stored)}")
    with cluster() as nodes:
        extract(videos, args.out, work, options, jobs=cores(), cluster=nodes)


def video_file(root: Path, video: Video) -> VideoFile:
    """What is to be extracted of a row of the manifest."""
    return VideoFile(video.id, root / video.path, video.sha256, video.is_damaged)


if __name__ == "__main__":
    run(main)
