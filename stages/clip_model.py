"""The frozen CLIP as files: weights, configuration, preprocessing, digest. Or somebody's features in its place."""

from pathlib import Path

from moclip.clip.encoder import save_encoder
from moclip.clip.precomputed import save_precomputed
from moclip.clip.tiny import CONFIG, IMAGE_PX, train_demo_clip
from moclip.clip.weights import fetch
from moclip.demo.stills import captioned_stills
from moclip.params.clip import ClipParams
from moclip.params.demo_clip import DemoClipParams
from moclip.params.run import Seed
from stages._entry import arguments, repository, run, section


def main() -> None:
    args = arguments("out")
    clip, demo = section("clip", ClipParams), section("demo_clip", DemoClipParams)
    if clip.model == "demo":
        make_demo(args.out, demo, section("seed", Seed))
    elif clip.precomputed is not None:
        save_precomputed(args.out, repository() / clip.precomputed, {"model": clip.model})
    else:
        checkpoint = None if clip.checkpoint is None else repository() / clip.checkpoint
        found = fetch(clip.model, clip.pretrained, checkpoint)
        weights = clip.pretrained or "checkpoint"
        save_encoder(args.out, found.model, found.config, {"model": clip.model, "weights": weights, **found.source})


def make_demo(out: Path, demo: DemoClipParams, seed: int) -> None:
    images, captions = captioned_stills(demo.stills, seed, IMAGE_PX)
    model = train_demo_clip(images, captions, demo, seed)
    save_encoder(out, model, CONFIG, {"model": "demo", "weights": f"trained on {len(images)} generated stills"})


if __name__ == "__main__":
    run(main)
