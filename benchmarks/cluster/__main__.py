"""What many nodes cost and stand: blocks, kills, experiments and an index by the project's own code, and a projection.

    python -m benchmarks.cluster [PART ...] [--blocks N] [--nodes N] ...

Each part replaces its own figures in benchmarks/cluster.json; benchmarks/cluster.md is written of all that are there.
`costs` comes first: other parts take the seconds of its videos.
"""

import argparse
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.cluster.blocks import flatness, resumption
from benchmarks.cluster.costs import costs
from benchmarks.cluster.experiments import ablation
from benchmarks.cluster.index import index
from benchmarks.cluster.overhead import overhead
from benchmarks.cluster.page import page
from moclip.base.files import read_json, write_json, write_text
from moclip.demo.dataset import write_demo
from moclip.demo.spec import DemoSpec
from tests.support.imports import ROOT

RESULTS = ROOT / "benchmarks" / "cluster"
VIDEOS = DemoSpec(groups=3, clips_per_group=1, frames=60, width=320, height=240)


def main() -> None:
    """Run from the command line."""
    args = _parser().parse_args()
    found: dict[str, Any] = read_json(RESULTS.with_suffix(".json")) if RESULTS.with_suffix(".json").exists() else {}
    for name in args.parts or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            found[name] = _rounded(PARTS[name](Path(folder), found, args))
        write_json(RESULTS.with_suffix(".json"), found)
    write_text(RESULTS.with_suffix(".md"), text := page(found))
    print(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--blocks", type=int, default=200_000, help="of `flatness` and `resumption`")
    parser.add_argument("--few", type=int, default=2_000, help="blocks that `flatness` compares with")
    parser.add_argument("--nodes", type=int, default=64)
    parser.add_argument("--mean-s", type=float, default=0.7, help="seconds of a block, the mean")
    parser.add_argument("--experiments", type=int, default=300)
    parser.add_argument("--experiment-s", type=float, default=2.0)
    parser.add_argument("--index-videos", type=int, default=10_000_000)
    parser.add_argument("--videos", type=int, default=512, help="of `overhead`")
    parser.add_argument("--rounds", type=int, default=5, help="of `overhead`")
    parser.add_argument(
        "--folder", type=Path, help="of videos in AVI, for `costs` and `overhead`; else they are generated"
    )
    return parser


def _videos(folder: Path, args: Any) -> Path:
    if args.folder:
        return Path(args.folder).absolute()
    write_demo(folder / "demo", VIDEOS)
    return folder / "demo"


def _costs(folder: Path, found: Mapping[str, Any], args: Any) -> dict[str, Any]:
    return costs(folder, _videos(folder, args))


def _flatness(folder: Path, found: Mapping[str, Any], args: Any) -> dict[str, Any]:
    runs = flatness(folder, found["costs"]["video_ms"], (args.few, args.blocks), args.nodes, args.mean_s)
    return {"mean_s": args.mean_s, "runs": [{"nodes": args.nodes, **run} for run in runs]}


def _resumption(folder: Path, found: Mapping[str, Any], args: Any) -> dict[str, Any]:
    videos_s = found["costs"]["video_ms"]
    return {"nodes": args.nodes, **resumption(folder, videos_s, args.blocks, args.nodes, args.mean_s)}


def _ablation(folder: Path, found: Mapping[str, Any], args: Any) -> dict[str, Any]:
    return {"nodes": args.nodes, **ablation(folder, args.experiments, 0.1, args.nodes, args.experiment_s)}


def _index(folder: Path, found: Mapping[str, Any], args: Any) -> dict[str, Any]:
    return dict(index(folder, args.index_videos))


def _overhead(folder: Path, found: Mapping[str, Any], args: Any) -> dict[str, Any]:
    return overhead(folder, _videos(folder, args), args.videos, args.rounds)


Part = Callable[[Path, Mapping[str, Any], Any], dict[str, Any]]
PARTS: Mapping[str, Part] = {
    "costs": _costs,
    "flatness": _flatness,
    "resumption": _resumption,
    "ablation": _ablation,
    "index": _index,
    "overhead": _overhead,
}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return round(value, 4) if isinstance(value, float) else value


if __name__ == "__main__":
    main()
