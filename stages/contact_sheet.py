"""Stage `contact_sheet`: a test video of each class, a frame and the motion field at that frame."""

from moclip.data.manifest import checked_path, read_manifest
from moclip.data.splits import read_split
from moclip.motion.fields import field_at
from moclip.motion.store import MotionStore
from moclip.params.data import DataParams
from moclip.params.motion import MotionParams
from moclip.report.contact_sheet import Tile, chosen, draw_sheet, write_png
from moclip.video.bounded.worker import call
from moclip.video.decode import read_frames
from moclip.video.frames import middle_frame
from stages._entry import arguments, data_root, run, section

MOST_CLASSES = 12


def main() -> None:
    args = arguments("manifest", "classes", "split", "motion", "out")
    root = data_root(section("data", DataParams).root)
    motion = section("motion", MotionParams)
    videos, split = read_manifest(args.manifest), read_split(args.split, args.classes)
    store = MotionStore.open(args.motion)
    tiles = []
    for label, video_id in chosen(split.members, MOST_CLASSES):
        video = videos[video_id]
        grid, middle = store.clip(video_id), middle_frame(video.frames)
        path = checked_path(root, video)
        tiles.append(
            Tile(
                title=split.classes[label],
                frame=call(path, read_frames, path, [middle], damaged=video.is_damaged)[0],
                field_px=field_at(grid, [middle], motion.accumulate, motion.window_frames or 1)[0],
                cell_px=grid.cell_px,
                width_px=grid.width,
                height_px=grid.height,
            )
        )
    write_png(args.out, draw_sheet(tiles))


if __name__ == "__main__":
    run(main)
