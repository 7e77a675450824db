"""How long an answer takes on a CPU, as ratios inside one run: what is not CLIP's forward pass, and the first answer.

    python -m benchmarks.predict VIDEOS

VIDEOS is a folder of UCF101's clips. CLIP is open_clip's ViT-B-32 with random weights, which cost what trained ones do.
Writes benchmarks/predict.json and benchmarks/predict.md.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from ruamel.yaml import YAML

from moclip.base.files import write_json, write_text
from moclip.clip.encoder import Encoder, save_encoder
from moclip.heads.fitted import ClassTexts
from moclip.heads.mlp import Head
from moclip.motion.net import MotionNet
from moclip.params.motion_net import MotionInput
from moclip.predict.bundle import ModelFiles, write_bundle
from moclip.predict.portable import write_networks
from moclip.predict.predictor import Predictor
from moclip.training.weights import save_model

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "predict"
CLIP_MODEL, CLASSES, SPLIT = "ViT-B-32", 101, 1

NETWORKS: dict[str, dict[str, Any]] = {
    "small": {"motion": {"cell_px": 8}, "motion_net": {"arch": "small", "input_px": None}},
    "efficientnet_b0": {
        "motion": {
            "cell_px": 16,
            "reference": "backward",
            "distance": "nearest",
            "accumulate": "none",
            "window_frames": None,
        },
        "motion_net": {"arch": "efficientnet_b0", "input_px": 224},
    },
}


def made_for(arch: str) -> MotionInput:
    """What the network takes, by params.yaml where `NETWORKS` says nothing."""
    params = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")
    sections = {name: {**params[name], **changes} for name, changes in NETWORKS[arch].items()}
    return MotionInput.model_validate({**sections, "seed": 0, "split": SPLIT})


def make_bundle(folder: Path, arch: str) -> Path:
    """A whole model of UCF101's sizes with random weights."""
    torch.manual_seed(0)
    clip = folder / "clip"
    if not clip.exists():
        model = open_clip.create_model(CLIP_MODEL)
        config = {"model_cfg": open_clip.get_model_config(CLIP_MODEL), "preprocess_cfg": model.visual.preprocess_cfg}
        save_encoder(clip, model, config, {"model": CLIP_MODEL, "weights": "random"})
    width = open_clip.get_model_config(CLIP_MODEL)["embed_dim"]
    net = MotionNet(arch, CLASSES, 20.0)
    motion = folder / f"motion-{arch}"
    save_model(motion, net, {**net.config(), "input": made_for(arch).model_dump()})
    heads = {}
    both = {"clip": width, "motion": net.classifier.in_features}
    for name, inputs in (("clip_probe", {"clip": width}), ("fusion", both)):
        head = Head(inputs, 512, CLASSES)
        heads[name] = folder / f"{name}-{arch}"
        save_model(heads[name], head, head.config())
    texts = np.random.default_rng(0).normal(size=(CLASSES, width)).astype(np.float32)
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    classes = [f"class{i}" for i in range(CLASSES)]
    files = ModelFiles(SPLIT, classes, clip, motion, heads, ClassTexts(texts, 100.0), "middle", "")
    write_bundle(
        folder / f"bundle-{arch}", files, lambda place: write_networks(place, files) if arch == "small" else None
    )
    return folder / f"bundle-{arch}"


def shares(bundle: Path, videos: list[Path], rounds: int) -> dict[str, float]:
    """Milliseconds by part, mean over videos of each one's quickest round, and the share that is not CLIP's network."""
    predictor = Predictor.load(bundle)
    assert isinstance(predictor.encoder, Encoder)
    network = predictor.encoder.model.backbone
    spent_s = 0.0
    real = network.encode_image

    def timed(*given: Any, **named: Any) -> Any:
        nonlocal spent_s
        start = time.perf_counter()
        features = real(*given, **named)
        spent_s += time.perf_counter() - start
        return features

    network.encode_image = timed
    predictor.predict(videos[0])
    rows = []
    for path in videos:
        tries = []
        for _ in range(rounds):
            spent_s, start = 0.0, time.perf_counter()
            answer = predictor.predict(path)
            total_s = time.perf_counter() - start
            tries.append({"total": 1000 * total_s, "clip_forward": 1000 * spent_s, **answer.ms})
        rows.append(min(tries, key=lambda row: row["total"]))
    mean = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    return {f"{name}_ms": value for name, value in mean.items()} | {
        "not_clip_forward_share": 1 - mean["clip_forward"] / mean["total"],
    }


def first_answer(bundle: Path, video: Path, rounds: int) -> dict[str, float]:
    """Seconds of whole processes, the best of `rounds` in turn: imports alone, and a first answer by both engines."""
    words = ["predict", str(video), "--model", str(bundle), "--engine"]
    programs = {
        "torch_import_s": "import torch",
        "imports_s": "import torch, open_clip",
        "first_answer_s": f"from moclip.cli.main import main; main({[*words, 'torch']})",
        "first_answer_by_onnxruntime_s": f"from moclip.cli.main import main; main({[*words, 'onnx']})",
    }
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, program in programs.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True)
            seconds[name].append(time.perf_counter() - start)
    best = {name: min(found) for name, found in seconds.items()}
    return best | {
        "first_answer_vs_imports": best["first_answer_s"] / best["imports_s"],
        "first_answer_by_onnxruntime_vs_torch_import": best["first_answer_by_onnxruntime_s"] / best["torch_import_s"],
    }


def table(videos: int, figures: dict[str, dict[str, float]]) -> str:
    """The results in Markdown."""
    lines = [
        "# Speed of `moclip predict`",
        "",
        f"Written by `python -m benchmarks.predict`: {videos} clips of UCF101, {CLIP_MODEL} with random weights, "
        f"{torch.get_num_threads()} threads. Ratios are of one run; times are the best of several rounds. "
        "CLIP takes both threads, decoding one process of one thread.",
        "",
        "| motion network | figure | measured |",
        "| --- | --- | ---: |",
    ]
    for arch, values in figures.items():
        lines += [f"| {arch} | {name} | {value:.2f} |" for name, value in values.items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("videos", type=Path)
    parser.add_argument("--every", type=int, default=4, help="take every so many videos")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    videos = sorted(path.absolute() for path in args.videos.rglob("*.avi"))[:: args.every]
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as place:
        for arch in NETWORKS:
            bundle = make_bundle(Path(place), arch)
            figures[arch] = shares(bundle, videos, args.rounds)
            if arch == "small":
                figures[arch] |= first_answer(bundle, videos[0], args.rounds)
    rounded = {arch: {name: round(value, 4) for name, value in values.items()} for arch, values in figures.items()}
    write_json(RESULTS.with_suffix(".json"), {"videos": len(videos), "torch": torch.__version__, "figures": rounded})
    write_text(RESULTS.with_suffix(".md"), table(len(videos), figures))


if __name__ == "__main__":
    main()
