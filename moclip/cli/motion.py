"""`moclip motion`: the motion of a video, or of every video in a folder, as arrays, pictures and films."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from moclip.base.errors import ParamsError, VideoError, apart, shown
from moclip.base.outside.terminal import name, say
from moclip.cli.options import limit

if TYPE_CHECKING:
    from moclip.base.outputs import Form

log = logging.getLogger(__name__)

_FORMS: dict[str, "Form"] = {"out": "npz", "png": "png", "mp4": "mp4"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("video", type=Path, help="a video, or a folder of videos")
    parser.add_argument("--out", type=Path, help="write mv_px, key_frame, cell_px and fps to this .npz")
    parser.add_argument("--png", type=Path, help="draw frames with their motion to this .png")
    parser.add_argument("--mp4", type=Path, help="draw the whole video with its motion to this .mp4")
    parser.add_argument("--cell-px", type=int, choices=(8, 16), default=16, help="side of a cell")
    parser.add_argument(
        "--reference",
        choices=("backward", "forward", "both"),
        default="backward",
        help="which vectors of B-frames count",
    )
    parser.add_argument(
        "--distance",
        choices=("nearest", "as_coded"),
        default="nearest",
        help="divide vectors over several frames by those to the nearest reference, or take them as they are",
    )
    parser.add_argument(
        "--reencode",
        action="store_true",
        help="re-encode first (340x256, MPEG-4, key frame every 12); for codecs without vectors",
    )
    limit.add_arguments(parser)
    parser.epilog = "For a folder, --out, --png and --mp4 are folders too."


def run(args: argparse.Namespace) -> int:
    """Write what was asked for; 0, or an error that lists every video that could not be read."""
    from moclip.base.outputs import claim_files

    limit.apply(args)
    if not any(getattr(args, option) for option in _FORMS):
        raise ParamsError("nothing to write: give at least one of --out, --png and --mp4")
    is_folder = args.video.is_dir()
    paths = _videos(args.video) if is_folder else [args.video]
    # All of them, before the first is decoded.
    claim_files([(target, form) for path in paths for form, target in _targets(args, path).items()], paths)
    if is_folder:
        _all(args, paths)
    else:
        _one(args, args.video)
        for target in _targets(args, args.video).values():
            say(f"written: {name(target)}")
    return 0


def _videos(root: Path) -> list[Path]:
    from moclip.base.files import VIDEO_SUFFIXES
    from moclip.data.walk import walk

    found = walk(root)
    found.tell()
    if not found.videos:
        raise VideoError(f"{root}: no videos in it (looked for {' '.join(sorted(VIDEO_SUFFIXES))})")
    return found.videos


def _targets(args: argparse.Namespace, path: Path) -> dict["Form", Path]:
    """What to write of a video; of one in the folder that was named, below the folders that were named."""
    asked = {form: place for option, form in _FORMS.items() if (place := getattr(args, option))}
    if path == args.video:
        return asked
    return {form: place / f"{path.relative_to(args.video)}.{form}" for form, place in asked.items()}


def _all(args: argparse.Namespace, paths: Sequence[Path]) -> None:
    from moclip.base.progress import Progress

    failures: list[str] = []
    frames = 0
    with Progress(paths, desc="motion", unit="video") as bar:
        for path in bar:
            with apart(path, failures):
                frames += _one(args, path)
            bar.set_postfix_str(f"{frames / bar.seconds:.0f} frames/s, {len(failures)} bad", False)
    for folder in _targets(args, args.video).values():
        say(f"written: {name(folder)}, {len(paths) - len(failures)} videos")
    if failures:
        listed = "\n  ".join(failures)
        raise VideoError(f"{len(failures)} of {len(paths)} videos cannot be used:\n  {listed}")


def _one(args: argparse.Namespace, path: Path) -> int:
    """Handle one video; returns its number of frames."""
    from moclip.motion import draw as motion_view
    from moclip.motion.extract import MotionOptions, look

    source = "reencoded" if args.reencode else "original"
    grid = look(path, MotionOptions(args.cell_px, args.reference, source, args.distance)).grid
    assert grid is not None, "it was asked for"
    targets = _targets(args, path)
    if out := targets.get("npz"):
        motion_view.save_arrays(out, grid)
    if png := targets.get("png"):
        motion_view.save_picture(png, path, grid)
    if mp4 := targets.get("mp4"):
        motion_view.save_film(mp4, path, grid)
    log.info(
        "%s: %d frames, %d of them key frames, %d cells clipped%s",
        shown(path),
        len(grid.mv),
        grid.key.sum(),
        grid.clipped,
        f", {grid.field_blocks} blocks left out that are coded as fields" if grid.field_blocks else "",
    )
    return len(grid.mv)
