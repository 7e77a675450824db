"""Stage `contact_sheet`: a test video of each class, a frame and the motion field at that frame."""

from moclip.data.manifest import read_manifest
from moclip.data.splits import read_split
from moclip.motion.store import MotionStore
from moclip.params.data import DataParams
from moclip.params.motion import MotionParams
from moclip.report.contact_sheet import chosen, draw_sheet, read_tile, write_png
from stages._entry import arguments, data_root, run, section

MOST_CLASSES = 12


def main() -> None:
    args = arguments("manifest", "classes", "split", "motion", "out")
    root = data_root(section("data", DataParams).root)
    motion = section("motion", MotionParams)
    videos, split = read_manifest(args.manifest), read_split(args.split, args.classes)
    store = MotionStore.open(args.motion)
    tiles = [
        read_tile(videos[video_id], split.classes[label], root, store, motion.accumulate, motion.window_frames)
        for label, video_id in chosen(split.members, MOST_CLASSES)
    ]
    write_png(args.out, draw_sheet(tiles))


if __name__ == "__main__":
    run(main)
