"""What an epoch of fusion costs with the motion network in the loop, against cached views, as ratios inside one run.

    python -m benchmarks.fusion STORE

STORE is a motion store, such as data/motion of the demo after `dvc repro extract_motion`. Its motion is real; labels,
CLIP features and the network's weights are drawn, since they change no time. Settings are those of params.yaml, but for
what a case names. Writes benchmarks/fusion.json and benchmarks/fusion.md.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from ruamel.yaml import YAML

from moclip.base.files import write_json, write_text
from moclip.data.splits import Member, Split
from moclip.heads.fitted import Videos
from moclip.heads.train import Examples, Source, fit_mlp, read_examples
from moclip.heads.views import OnlineSource, ViewSource, view_features
from moclip.motion.features import describe_videos
from moclip.motion.net import MotionNet
from moclip.motion.sampler import FieldSampler
from moclip.motion.store import MotionStore
from moclip.params.heads.fusion import HeadParams
from moclip.params.motion import MotionParams
from moclip.params.motion_net import MotionNetParams
from moclip.params.section import validated
from moclip.store.features import Features

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "fusion"
SEED = (0, "fusion", 1)
CLIP_WIDTH, CLASSES, VIEWS = 512, 101, 2


class Case(NamedTuple):
    """A network and how many training videos it sees; the head is the paper's."""

    name: str
    arch: str
    input_px: int | None
    videos: int


CASES = (
    Case("demo network on the native grid", "small", None, 256),
    Case("EfficientNet-B0 at 224", "efficientnet_b0", 224, 32),
)


class Bench:
    """One case: network, sampler and cached features of its videos."""

    def __init__(self, case: Case, store: MotionStore, params: dict[str, Any]) -> None:
        motion = validated("motion", MotionParams, params["motion"])
        net_params = validated("motion_net", MotionNetParams, params["motion_net"])
        net_params = net_params.model_copy(update={"arch": case.arch, "input_px": case.input_px})
        head = validated("fusion", HeadParams, params["fusion"])
        self.head = head.model_copy(update={"hidden": 512, "select": "last", "batch_videos": 64})
        self.sampler = FieldSampler(store, motion, net_params)
        torch.manual_seed(0)
        self.net = MotionNet(case.arch, CLASSES, net_params.bound_px).eval()
        self.ids = store.ids[: case.videos]
        self.examples = self._examples()

    def _examples(self) -> dict[str, Examples]:
        rng = np.random.default_rng(0)
        clip = rng.normal(size=(len(self.ids), CLIP_WIDTH)).astype(np.float32)
        few = self.ids[:2]  # one pass tells the width; values change no time
        width = describe_videos(self.net, self.sampler, few)[0].shape[1]
        motion = rng.normal(size=(len(self.ids), width)).astype(np.float32)
        pairs = (("clip", clip), ("motion", motion))
        streams = {name: Features(name, np.array(self.ids), values) for name, values in pairs}
        members = [Member(video, i % CLASSES, "train", "") for i, video in enumerate(self.ids)]
        split = Split(members, [f"class {label}" for label in range(CLASSES)])
        return read_examples(Videos(split, streams), *streams)

    def views(self) -> tuple[Source, float]:
        """Inputs by cached views, and the CPU seconds that one view took."""
        with tempfile.TemporaryDirectory() as work:
            start = time.process_time()
            found = view_features(self.net, self.sampler, self.ids, SEED, views=VIEWS, work=Path(work))
            return ViewSource(self.examples, found, SEED), (time.process_time() - start) / VIEWS

    def online(self, drift: bool) -> Source:
        """Inputs by the network in the loop."""
        return OnlineSource(self.examples, self.net, self.sampler, SEED, drift=drift)

    def epoch_s(self, source: Source, epochs: int) -> float:
        """CPU seconds of an epoch, the best of all but the first."""
        ends: list[float] = []
        settings = self.head.model_copy(update={"epochs": epochs})
        fit_mlp(source, CLASSES, settings, SEED, lambda epoch: ends.append(time.process_time()))
        return float(np.diff(ends).min())


def measure(case: Case, store: MotionStore, params: dict[str, Any], rounds: int) -> dict[str, float]:
    """CPU seconds of an epoch each way, best of rounds that take turns, and their ratios."""
    bench = Bench(case, store, params)
    views, view_s = bench.views()
    found: dict[str, list[float]] = {"views_epoch_s": [], "online_epoch_s": [], "drift_epoch_s": []}
    for _ in range(rounds):
        found["views_epoch_s"].append(bench.epoch_s(views, 30))
        found["online_epoch_s"].append(bench.epoch_s(bench.online(False), 2))
        found["drift_epoch_s"].append(bench.epoch_s(bench.online(True), 2))
    best = {name: min(seconds) for name, seconds in found.items()}
    return {
        "videos": len(bench.ids),
        **best,
        "view_s": view_s,
        "online_vs_views": best["online_epoch_s"] / best["views_epoch_s"],
        "drift_vs_views": best["drift_epoch_s"] / best["views_epoch_s"],
        "view_vs_online": view_s / best["online_epoch_s"],
    }


def table(found: dict[str, dict[str, float]]) -> str:
    """The results in Markdown."""
    lines = [
        "# An epoch of fusion: the motion network in the loop, or cached views",
        "",
        "Written by `python -m benchmarks.fusion`; CPU seconds of one thread, best epochs of several rounds. `views`:"
        " the motion features of one of K cached views of each video. `online`: computed anew with the motion network's"
        " training augmentation; `drift`: the same, the network's batch norms in training mode. A view is computed once"
        " and costs about an epoch online, so K views pay off after K epochs, and for every further head at once.",
        "",
        "| network | videos | epoch on views | online | drift | online / views | drift / views |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, row in found.items():
        lines.append(
            f"| {name} | {row['videos']:.0f} | {1000 * row['views_epoch_s']:.1f} ms | {row['online_epoch_s']:.2f} s |"
            f" {row['drift_epoch_s']:.2f} s | {row['online_vs_views']:.0f} | {row['drift_vs_views']:.0f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    params = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")
    store = MotionStore.open(args.store)
    torch.set_num_threads(1)  # CPU time is then what a free core takes, whatever else the machine does
    found = {case.name: measure(case, store, params, args.rounds) for case in CASES}
    rounded = {name: {key: round(value, 4) for key, value in row.items()} for name, row in found.items()}
    write_json(RESULTS.with_suffix(".json"), {"torch": torch.__version__, "cases": rounded})
    write_text(RESULTS.with_suffix(".md"), table(found))


if __name__ == "__main__":
    main()
