"""`moclip report`: the report of the last run, where it lies or as one file to send; its systems; its errors."""

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moclip.base.errors import ParamsError, StoreError
from moclip.base.outputs import claim_directory, claim_file, write_manifest, writing_directory, writing_file
from moclip.base.outside.terminal import name, say
from moclip.cli.options import limit, model
from moclip.cli.places import PLACES, Places

if TYPE_CHECKING:
    from moclip.data.manifest import Video
    from moclip.report.reader.mistakes import Case

CARDS = ("model_card.md", "data_card.md")
_TOP = "go to the top of the repository of moclip"
MANIFEST = "moclip.json"  # of a folder for FiftyOne


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("report", type=Path, nargs="?", default=PLACES.report, help=f"({PLACES.report})")
    parser.add_argument(
        "--html", type=Path, metavar="FILE.html", help="write the report there, with its pictures and both cards inside"
    )
    parser.add_argument(
        "--systems",
        type=Path,
        metavar="FILE.md",
        help="write the table of all systems, and the moments in long videos, as a page of its own",
    )
    parser.add_argument(
        "--errors",
        type=Path,
        metavar="FILE.html",
        help="write a page of the test videos that the head rescues, loses or gets wrong: frame, motion, answers",
    )
    parser.add_argument(
        "--fiftyone",
        type=Path,
        metavar="DIR",
        help="write those videos' answers for FiftyOne (fiftyone.types.FiftyOneDataset)",
    )
    model.add_head(parser, "with --errors: the head that is looked at")
    parser.add_argument(
        "--over", metavar="HEAD", help="with --errors: the head that it is held against (default clip_probe)"
    )
    parser.add_argument("--split", type=model.positive, help="with --errors: which split (default: the first that ran)")
    parser.add_argument("--most", type=model.positive, default=24, help="with --errors: videos to show of a kind (24)")
    limit.add_arguments(parser)


def run(args: argparse.Namespace, places: Places = PLACES) -> int:
    """Print how the report opens and where it lies, or write what was asked for."""
    limit.apply(args)
    of_report = args.html is not None or args.systems is not None
    if (of_report or args.errors is args.fiftyone is None) and not args.report.is_file():
        raise StoreError(f"{args.report}: no report is there; {_TOP}, and run `make repro` where nothing has run yet")
    if args.html is not None:
        _one_file(args)
    if args.systems is not None:
        from moclip.report.reader.systems import systems_page

        claim_file(args.systems, "page", [args.report])
        _write(args.systems, systems_page(args.report), [args.report])
    if args.errors is not None or args.fiftyone is not None:
        _errors(args, places)
    if args.html is args.systems is args.errors is args.fiftyone is None:
        from moclip.report.reader.opening import first_sentences

        say(first_sentences(args.report))
        say(f"\nreport: {name(args.report)}; `moclip report --html FILE.html` makes one file to send")
    return 0


def _one_file(args: argparse.Namespace) -> None:
    from moclip.report.reader.onefile import one_file

    pages = [args.report, *(card for own in CARDS if (card := args.report.with_name(own)).is_file())]
    claim_file(args.html, "page", pages)
    _write(args.html, one_file(pages), pages)


def _errors(args: argparse.Namespace, places: Places) -> None:
    params = _params(places)
    root = places.params.parent / params["data"]["root"]
    if args.errors is not None:
        claim_file(args.errors, "page", [places.manifest])
    if args.fiftyone is not None:
        claim_directory(args.fiftyone, MANIFEST, [root])
    found, videos = _found(args, params, places)
    if args.errors is not None:
        _write(args.errors, _page(args, found, videos, params, places), [places.manifest])
        kinds = Counter(case.kind for case in found)
        counts = f"{kinds['rescued']} rescued, {kinds['lost']} lost, {kinds['both']} wrong in both"
        main, other, split = _asked(args, params)
        say(f"{main} over {other}, split {split}: {counts}")
    if args.fiftyone is not None:
        _fiftyone(args.fiftyone, found, {video.id: root / video.path for video in videos}, root)


def _params(places: Places) -> Mapping[str, Any]:
    from ruamel.yaml import YAMLError

    from moclip.base.outside import yaml
    from moclip.heads.registry import check_params

    try:
        params: Mapping[str, Any] = yaml.load(places.params)
    except (OSError, YAMLError) as error:
        raise ParamsError(f"{places.params}: cannot be read ({error}); {_TOP}") from error
    check_params(params)
    return params


def _asked(args: argparse.Namespace, params: Mapping[str, Any]) -> tuple[str, str, int]:
    """The head, the one that it is held against, and the split."""
    from moclip.heads.registry import CONTROL, MAIN

    return known(args.head or MAIN), known(args.over or CONTROL), args.split or params["splits"][0]


def _found(
    args: argparse.Namespace, params: Mapping[str, Any], places: Places
) -> "tuple[Sequence[Case], Sequence[Video]]":
    from moclip.data.manifest import read_manifest
    from moclip.report.reader.mistakes import cases
    from moclip.results.predictions import read_predictions

    main, other, split = _asked(args, params)
    said = {
        head: read_predictions(places.predictions / head / f"split{split}.npz")
        for head in dict.fromkeys([main, other, *params["heads"]])
    }
    found, videos = cases(said, main, other), read_manifest(places.manifest)
    return found, [videos[case.id] for case in found]


def known(head: str) -> str:
    """A head's name.

    Raises:
        ParamsError: there is no such head.
    """
    from moclip.heads.registry import HEADS

    if head not in HEADS:
        raise ParamsError(f"--head, --over: no head {head!r}; there are {', '.join(HEADS)}")
    return head


def _page(
    args: argparse.Namespace,
    found: "Sequence[Case]",
    videos: "Sequence[Video]",
    params: Mapping[str, Any],
    places: Places,
) -> str:
    from moclip.base.progress import Progress
    from moclip.heads.registry import HEADS
    from moclip.motion.store import MotionStore
    from moclip.params.motion import MotionParams
    from moclip.report.contact_sheet import read_tile
    from moclip.report.reader.mistakes import first_of_each, page

    main, other, split = _asked(args, params)
    store, motion = MotionStore.open(places.motion), MotionParams(**params["motion"])
    root = places.params.parent / params["data"]["root"]
    shown = {case.id for case in first_of_each(found, args.most)}
    taken = [video for video in videos if video.id in shown]
    tiles = {
        video.id: read_tile(video, video.class_name, root, store, motion.accumulate, motion.window_frames)
        for video in Progress(taken, desc="errors", unit="video")
    }
    titles = {head: HEADS[head].title for head in dict.fromkeys([main, other, *params["heads"]])}
    return page(found, tiles, titles, main, other, f"{params['data']['source']}, split {split}")


def _fiftyone(target: Path, found: "Sequence[Case]", paths: Mapping[str, Path], root: Path) -> None:
    from moclip.report.reader.mistakes import for_fiftyone

    with writing_directory(target, MANIFEST, [root]) as folder:
        for_fiftyone(found, paths, folder)
        write_manifest(folder, MANIFEST, {"made_for": "fiftyone.types.FiftyOneDataset"})
    say(f"written: {name(target)}, {len(found)} videos")


def _write(target: Path, text: str, inputs: Sequence[Path]) -> None:
    with writing_file(target, "page", inputs) as made:
        made.write_text(text, encoding="utf-8")
    say(f"written: {name(target)}")
