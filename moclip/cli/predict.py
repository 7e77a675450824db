"""`moclip predict`: a trained model says what videos show."""

import argparse
import csv
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moclip.base.errors import MoclipError, explain
from moclip.base.outside.terminal import message, name, say, table_cell
from moclip.cli import limit, model

if TYPE_CHECKING:
    from moclip.predict.predictor import Prediction

CSV_COLUMNS = ("video", "head", "rank", "class", "probability", "decode_ms", "motion_ms", "clip_ms", "head_ms")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    from moclip.heads.registry import MAIN, servable

    parser.add_argument("videos", nargs="+", metavar="VIDEO", help="video files")
    model.add_arguments(parser)
    parser.add_argument("--head", default=MAIN, help=f"one of {', '.join(servable())} (default {MAIN})")
    parser.add_argument("--top", type=model.positive, default=5, help="classes to show")
    limit.add_arguments(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object a line, one for each video")
    form.add_argument("--csv", action="store_true", help="print one row for each video, head and class")


def run(args: argparse.Namespace) -> int:
    """Answer for every video; one that fails is reported, the others are still answered, and the status is 1."""
    from moclip.predict.predictor import Predictor

    limit.apply(args)
    predictor = Predictor.load(model.source_of(args.model), args.split, args.head)
    rows = csv.writer(sys.stdout, lineterminator="\n")
    if args.csv:
        rows.writerow(CSV_COLUMNS)
    failed = 0
    for video in args.videos:
        try:
            answer = predictor.predict(video)
        except (MoclipError, OSError) as error:
            told = explain(error, Path(video)) if isinstance(error, OSError) else str(error)
            if told is None:
                raise
            say(message(f"error: {told}"), file=sys.stderr)
            failed += 1
            continue
        if args.json:
            say(json.dumps(answer.as_dict(args.top)))
        elif args.csv:
            rows.writerows(_rows(answer, args.top))
        else:
            say(_text(answer, args.top))
        sys.stdout.flush()
    if failed and len(args.videos) > 1:
        say(f"error: {failed} of {len(args.videos)} videos have no answer", file=sys.stderr)
    return 1 if failed else 0


def _rows(answer: "Prediction", most: int) -> list[list[Any]]:
    ms = [answer.ms.get(part, "") for part in ("decode", "motion", "clip", "head")]
    heads = [answer.head, *(head for head in answer.logits if head != answer.head)]
    return [
        [table_cell(str(answer.video)), head, rank, table_cell(found), f"{probability:.6f}", *ms]
        for head in heads
        for rank, (found, probability) in enumerate(answer.top(most, head), start=1)
    ]


def _text(answer: "Prediction", most: int) -> str:
    def percent(probability: float) -> str:
        return f"{100 * probability:5.1f} %"

    lines = [f"{name(answer.video)}  ({answer.frames} frames, {answer.head}, split {answer.split})"]
    lines += [f"  {percent(probability)}  {name(found)}" for found, probability in answer.top(most)]
    alone = [(head, answer.top(1, head)[0]) for head in answer.logits if head != answer.head]
    width = max((len(head) for head, _ in alone), default=0)
    lines += [f"  {head:{width}} alone: {percent(probability)}  {name(top)}" for head, (top, probability) in alone]
    lines.append("  ms: " + ", ".join(f"{part} {ms:.1f}" for part, ms in answer.ms.items()))
    return "\n".join(lines)
