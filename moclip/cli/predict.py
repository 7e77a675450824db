"""`moclip predict`: a trained model says what videos show."""

import argparse
import csv
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moclip.base.errors import MoclipError, ParamsError, VideoError, explain
from moclip.base.outside.terminal import message, name, say, table_cell
from moclip.cli.options import limit, model
from moclip.video.bounded.limits import FILMS

if TYPE_CHECKING:
    from moclip.predict.film import Window
    from moclip.predict.predictor import Prediction, Predictor

CSV_COLUMNS = ("video", "head", "rank", "class", "probability", "decode_ms", "motion_ms", "clip_ms", "head_ms")

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("videos", nargs="+", metavar="VIDEO", help="video files, or folders of them")
    model.add_arguments(parser)
    model.add_head(parser)
    model.add_engine(parser)
    parser.add_argument("--top", type=model.positive, default=5, help="classes to show (default 5)")
    parser.add_argument(
        "--reencode",
        action="store_true",
        help="read motion from a re-encoding (340x256, MPEG-4), for codecs without vectors: HEVC, VP8, VP9, AV1",
    )
    parser.add_argument(
        "--mp4", type=Path, metavar="FILE", help="write the video with motion, label and probabilities to this .mp4"
    )
    parser.add_argument(
        "--window", type=float, default=10.0, metavar="S", help="with --mp4: answer every S seconds (default 10)"
    )
    limit.add_arguments(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object a line, one for each video")
    form.add_argument("--csv", action="store_true", help="print one row for each video, head and class")
    parser.epilog = (
        "The first line says what the model is: on standard output, or with --json and --csv on standard error. "
        "For a folder, or several videos, --mp4 is a folder too; its films are held to the limits of long ones."
    )


def run(args: argparse.Namespace) -> int:
    """Answer for every video; one that fails is reported, the others are still answered, and the status is 1."""
    if args.engine != "onnx":
        log.info("predict: loading the model (PyTorch and CLIP take some seconds)")
    if args.mp4 is not None:
        args.limits = FILMS
    limit.apply(args)
    videos = _videos(args.videos)
    films = _films(args, videos)
    from moclip.heads.registry import MAIN
    from moclip.predict.predictor import Predictor

    predictor = Predictor.load(model.source_of(args.model), args.split, args.head or MAIN, args.engine)
    printed = _Printed(args, predictor)
    failed = 0
    for video in videos:
        try:
            if film := films.get(video):
                printed.film(video, film)
            else:
                printed.answer(predictor.predict(video, reencode=args.reencode))
        except (MoclipError, OSError) as error:
            told = explain(error, video) if isinstance(error, OSError) else str(error)
            if told is None:
                raise
            say(message(f"error: {told}"), file=sys.stderr)
            failed += 1
        sys.stdout.flush()
    if failed and len(videos) > 1:
        say(f"error: {failed} of {len(videos)} videos have no answer", file=sys.stderr)
    return 1 if failed else 0


def _videos(names: Sequence[str]) -> list[Path]:
    """All videos, those of a folder in the order of their names.

    Raises:
        VideoError: a folder holds none.
    """
    return [video for one in map(Path, names) for video in (_below(one) if one.is_dir() else [one])]


def _below(folder: Path) -> list[Path]:
    from moclip.base.files import VIDEO_SUFFIXES
    from moclip.data.walk import walk

    found = walk(folder)
    found.tell()
    if not found.videos:
        raise VideoError(f"{folder}: no videos in it (looked for {' '.join(sorted(VIDEO_SUFFIXES))})")
    return found.videos


def _films(args: argparse.Namespace, videos: Sequence[Path]) -> dict[Path, Path]:
    """Where the film of each video goes, if films are asked for; all places are looked at before the first is made.

    Raises:
        OutputError: a place is taken.
        ParamsError: two videos would have one place, or options do not go together.
    """
    if args.mp4 is None:
        return {}
    from moclip.base.outputs import claim_files

    if args.csv:
        raise ParamsError("--mp4 and --csv: windows have no place in that table; take --json")
    if len(args.videos) == 1 and not Path(args.videos[0]).is_dir():
        places = {videos[0]: args.mp4}
    else:
        roots = [Path(one) for one in args.videos if Path(one).is_dir()]
        places = {video: args.mp4 / f"{_relative(video, roots)}.mp4" for video in videos}
    if len(set(places.values())) < len(places):
        raise ParamsError("--mp4: two videos of one name would share a film; ask for them one after the other")
    claim_files([(place, "mp4") for place in places.values()], videos)
    return places


def _relative(video: Path, roots: Sequence[Path]) -> Path:
    root = next((root for root in roots if video.is_relative_to(root)), video.parent)
    return video.relative_to(root)


class _Printed:
    """Answers as they are asked for, below one line on the model."""

    def __init__(self, args: argparse.Namespace, predictor: "Predictor") -> None:
        self.args, self.predictor = args, predictor
        self.rows = csv.writer(sys.stdout, lineterminator="\n")
        if args.json or args.csv:
            log.info("%s", name(predictor.introduction))
        else:
            say(name(predictor.introduction))
        if args.csv:
            self.rows.writerow(CSV_COLUMNS)

    def answer(self, answer: "Prediction") -> None:
        """Print one answer."""
        if self.args.json:
            say(json.dumps(answer.as_dict(self.args.top)))
        elif self.args.csv:
            for warning in answer.warnings:
                log.warning("%s: %s", name(answer.video), name(warning))
            self.rows.writerows(_rows(answer, self.args.top))
        else:
            say(_text(answer, self.args.top))

    def film(self, video: Path, film: Path) -> None:
        """Make a film, and print what was answered for each of its windows."""
        from moclip.predict.film import save_film, windows

        seen = self.predictor.look(video, reencode=self.args.reencode)
        found = windows(video, self.predictor, seen, self.args.window, reencode=self.args.reencode)
        save_film(film, video, seen, found, self.args.top)
        say(self._windows(video, film, seen.frames, found))

    def _windows(self, video: Path, film: Path, frames: int, found: Sequence["Window"]) -> str:
        top, first = self.args.top, found[0].answer
        if self.args.json:
            parts = [
                {"start_s": round(one.start_s, 3), "end_s": round(one.end_s, 3), **_part(one.answer, top)}
                for one in found
            ]
            facts = {"head": first.head, "split": first.split, "warnings": list(first.warnings)}
            return json.dumps({"video": str(video), "frames": frames, "film": str(film), **facts, "windows": parts})
        lines = [f"{name(video)}  ({frames} frames, {first.head}, split {first.split})", *_warned(first)]
        for one in found:
            likeliest = ", ".join(f"{_percent(chance)} {name(label)}" for label, chance in one.answer.top(top))
            lines.append(f"  {one.start_s:7.1f} - {one.end_s:.1f} s: {likeliest}")
        return "\n".join([*lines, f"  film: {name(film)}"])


def _part(answer: "Prediction", top: int) -> dict[str, Any]:
    whole = answer.as_dict(top)
    return {key: whole[key] for key in ("frames", "top", "streams")}


def _rows(answer: "Prediction", most: int) -> list[list[Any]]:
    ms = [answer.ms.get(part, "") for part in ("decode", "motion", "clip", "head")]
    heads = [answer.head, *(head for head in answer.logits if head != answer.head)]
    return [
        [table_cell(str(answer.video)), head, rank, table_cell(found), f"{probability:.6f}", *ms]
        for head in heads
        for rank, (found, probability) in enumerate(answer.top(most, head), start=1)
    ]


def _text(answer: "Prediction", most: int) -> str:
    lines = [f"{name(answer.video)}  ({answer.frames} frames, {answer.head}, split {answer.split})", *_warned(answer)]
    lines += [f"  {_percent(probability)}  {name(found)}" for found, probability in answer.top(most)]
    alone = [(head, answer.top(1, head)[0]) for head in answer.logits if head != answer.head]
    width = max((len(head) for head, _ in alone), default=0)
    lines += [f"  {head:{width}} alone: {_percent(probability)}  {name(top)}" for head, (top, probability) in alone]
    lines.append("  ms: " + ", ".join(f"{part} {ms:.1f}" for part, ms in answer.ms.items()))
    return "\n".join(lines)


def _warned(answer: "Prediction") -> list[str]:
    return [f"  warning: {name(warning)}" for warning in answer.warnings]


def _percent(probability: float) -> str:
    return f"{100 * probability:5.1f} %"
