"""`moclip predict`, `moclip bundle` and `moclip export`: a trained model answers, or goes somewhere else."""

import argparse
import csv
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moclip.base.errors import MoclipError

if TYPE_CHECKING:
    from moclip.predict.predictor import Prediction

_MLFLOW = ("models:/", "runs:/")
CSV_COLUMNS = ("video", "head", "rank", "class", "probability", "decode_ms", "motion_ms", "clip_ms", "head_ms")


def add_predict_arguments(parser: argparse.ArgumentParser, model: str) -> None:
    """Declare the arguments of `moclip predict`."""
    parser.add_argument("videos", nargs="+", metavar="VIDEO", help="video files")
    _add_model(parser, model)
    parser.add_argument("--head", default="fusion", help="fusion, clip_probe, motion_only or zero_shot")
    parser.add_argument("--top", type=_positive, default=5, help="classes to show")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object a line, one for each video")
    form.add_argument("--csv", action="store_true", help="print one row for each video, head and class")


def add_bundle_arguments(parser: argparse.ArgumentParser, model: str) -> None:
    """Declare the arguments of `moclip bundle`."""
    _add_model(parser, model)
    parser.add_argument("--out", type=Path, required=True, help="directory to make")


def add_export_arguments(parser: argparse.ArgumentParser, model: str) -> None:
    """Declare the arguments of `moclip export`."""
    add_bundle_arguments(parser, model)
    parser.add_argument("--head", default="fusion", help="fusion or clip_probe")


def _add_model(parser: argparse.ArgumentParser, model: str) -> None:
    parser.add_argument(
        "--model",
        default=model,
        metavar="PATH_OR_URI",
        help="the pipeline's models, a bundle, or an MLflow model such as models:/moclip-demo@best",
    )
    parser.add_argument("--split", type=_positive, help="which of the pipeline's models (default 1)")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def run_predict(args: argparse.Namespace) -> int:
    """Answer for every video; one that fails is reported, the others are still answered, and the status is 1."""
    from moclip.predict.predictor import Predictor

    predictor = Predictor.load(_folder(args.model), args.split, args.head)
    rows = csv.writer(sys.stdout, lineterminator="\n")
    if args.csv:
        rows.writerow(CSV_COLUMNS)
    failed = 0
    for video in args.videos:
        try:
            answer = predictor.predict(video)
        except MoclipError as error:
            print(f"error: {error}", file=sys.stderr)
            failed += 1
            continue
        if args.json:
            print(json.dumps(answer.as_dict(args.top)))
        elif args.csv:
            rows.writerows(_rows(answer, args.top))
        else:
            print(_text(answer, args.top))
        sys.stdout.flush()
    if failed and len(args.videos) > 1:
        print(f"error: {failed} of {len(args.videos)} videos have no answer", file=sys.stderr)
    return 1 if failed else 0


def run_bundle(args: argparse.Namespace) -> int:
    """Copy one model into a directory of its own."""
    from moclip.base.outputs import claim_directory
    from moclip.predict.bundle import MANIFEST, open_parts, write_bundle

    claim_directory(args.out, MANIFEST)  # before a model comes from MLflow
    write_bundle(args.out, open_parts(_folder(args.model), args.split))
    print(f"{args.out} holds the model; `moclip predict VIDEO --model {args.out}` asks it")
    return 0


def run_export(args: argparse.Namespace) -> int:
    """Write ONNX files, after ONNX Runtime has given what PyTorch gives."""
    from moclip.base.outputs import claim_directory
    from moclip.predict.onnx import META, export

    claim_directory(args.out, META)  # before a model comes from MLflow
    deviations = export(_folder(args.model), args.split, args.head, args.out)
    for name, deviation in deviations.items():
        print(f"{args.out / name}: at most {deviation:.1e} from PyTorch")
    return 0


def _folder(model: str) -> Path:
    """The directory that a path or an MLflow URI stands for."""
    if not model.startswith(_MLFLOW):
        return Path(model)
    from moclip.tracking.registry import fetch_model
    from moclip.tracking.store import store_at

    store = store_at(Path.cwd(), os.environ.get("MLFLOW_TRACKING_URI"))
    return fetch_model(model, store.uri, Path.cwd() / ".work" / "mlflow_models")


def _rows(answer: "Prediction", most: int) -> list[list[Any]]:
    ms = [answer.ms.get(part, "") for part in ("decode", "motion", "clip", "head")]
    heads = [answer.head, *(name for name in answer.logits if name != answer.head)]
    return [
        [answer.video, head, rank, name, f"{probability:.6f}", *ms]
        for head in heads
        for rank, (name, probability) in enumerate(answer.top(most, head), start=1)
    ]


def _text(answer: "Prediction", most: int) -> str:
    def percent(probability: float) -> str:
        return f"{100 * probability:5.1f} %"

    lines = [f"{answer.video}  ({answer.frames} frames, {answer.head}, split {answer.split})"]
    lines += [f"  {percent(probability)}  {name}" for name, probability in answer.top(most)]
    alone = [(name, answer.top(1, name)[0]) for name in answer.logits if name != answer.head]
    width = max((len(name) for name, _ in alone), default=0)
    lines += [f"  {name:{width}} alone: {percent(probability)}  {top}" for name, (top, probability) in alone]
    lines.append("  ms: " + ", ".join(f"{part} {ms:.1f}" for part, ms in answer.ms.items()))
    return "\n".join(lines)
