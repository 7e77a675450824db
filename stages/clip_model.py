"""The frozen CLIP as files: weights, configuration, preprocessing, digest. Or somebody's features in its place."""

from pathlib import Path
from typing import Any

from torch import nn

from moclip.base.files import sha256_file
from moclip.clip.encoder import save_encoder
from moclip.clip.patch import apply_patch
from moclip.clip.precomputed import save_precomputed
from moclip.clip.tiny import CONFIG, IMAGE_PX, train_demo_clip
from moclip.clip.weights import fetch
from moclip.demo.stills import captioned_stills
from moclip.params.clip import DEMO, ClipParams
from moclip.params.data import DataParams
from moclip.params.demo_clip import DemoClipParams
from stages._entry import arguments, repository, run, section


def main() -> None:
    args = arguments("out")
    clip, demo = section("clip", ClipParams), section("demo_clip", DemoClipParams)
    if clip.model == DEMO:
        make_demo(args.out, clip, demo, section("data", DataParams).seed)
    elif clip.precomputed is not None:
        save_precomputed(args.out, repository() / clip.precomputed, {"model": clip.model})
    else:
        checkpoint = None if clip.checkpoint is None else repository() / clip.checkpoint
        found = fetch(clip.model, clip.pretrained, checkpoint)
        weights = clip.pretrained or found.source.get("revision", "checkpoint")
        facts = {"model": clip.model, "weights": weights, **found.source, **patch(found.model, clip)}
        save_encoder(args.out, found.model, found.config, facts)


def make_demo(out: Path, clip: ClipParams, demo: DemoClipParams, seed: int) -> None:
    images, captions = captioned_stills(demo.stills, seed, IMAGE_PX)
    model = train_demo_clip(images, captions, demo, seed)
    facts = {"model": DEMO, "weights": f"trained on {len(images)} generated stills", **patch(model, clip)}
    save_encoder(out, model, CONFIG, facts)


def patch(model: nn.Module, clip: ClipParams) -> dict[str, Any]:
    """Interpolate with the patch, where there is one; what is known of it."""
    if clip.patch is None or clip.patch_share is None:
        return {}
    path = repository() / clip.patch
    apply_patch(model, path, clip.patch_share)
    return {"patch": {"file": path.name, "file_sha256": sha256_file(path), "share_of_model": clip.patch_share}}


if __name__ == "__main__":
    run(main)
