"""CLIP features: one vector per video, one per class."""

from typing import Any

from moclip.base.files import fingerprint, read_json, sha256_file, write_json
from moclip.clip.cache import image_features
from moclip.clip.encoder import META, load_encoder
from moclip.clip.precomputed import load_precomputed
from moclip.clip.prompts import read_prompts
from moclip.data.manifest import read_classes, read_manifest
from moclip.params.clip import ClipParams
from moclip.params.compute import ComputeParams
from moclip.params.data import DataParams
from moclip.params.run import Seed
from moclip.store.features import write_features
from moclip.training.device import Compute
from stages._entry import arguments, data_root, run, section, work_directory


def main() -> None:
    args = arguments("manifest", "classes", "model", "prompts", "templates", "images", "texts", "scale")
    clip = section("clip", ClipParams)
    if clip.precomputed is None:
        encode(args, clip)
    else:
        select(args, clip)


def encode(args: Any, clip: ClipParams) -> None:
    """Features by the encoder, of the videos themselves."""
    data, hardware = section("data", DataParams), section("compute", ComputeParams)
    encoder = load_encoder(args.model, Compute.of(hardware))
    classes, prompts = read_classes(args.classes), read_prompts(args.prompts, args.templates)
    texts = encoder.class_features([prompts.of(name) for name in text_order(classes, clip)], clip.text_mean)
    seed: int = section("seed", Seed) if clip.frame == "random" else 0  # the other rules draw nothing
    arithmetic = (encoder.compute.device.type, hardware.amp)
    digest = fingerprint(read_json(args.model / META), sha256_file(args.manifest), clip.frame, seed, arithmetic)
    ids, images = image_features(
        encoder,
        list(read_manifest(args.manifest).values()),
        data_root(data.root),
        work_directory(f"cache_clip-{digest}"),
        frame=clip.frame,
        seed=seed,
        batch_images=clip.batch_images,
    )
    write_features(args.images, ids, images)
    write_features(args.texts, classes, texts)
    write_json(args.scale, {"logit_scale": encoder.logit_scale, "frame": clip.frame})


def text_order(classes: list[str], clip: ClipParams) -> list[str]:
    """Names whose texts the classes of the index get, in its order; `folders` gives some the text of another.

    The paper's code sorts the folders' names for the texts, and takes labels from the class index.
    """
    return sorted(classes) if clip.text_order == "folders" else classes


def select(args: Any, clip: ClipParams) -> None:
    """Features that somebody already had; without text features, no class gets one."""
    found = load_precomputed(args.model)
    ids, classes = list(read_manifest(args.manifest)), read_classes(args.classes)
    texts = found.texts_of(text_order(classes, clip))
    write_features(args.images, ids, found.images_of(ids))
    write_features(args.texts, classes[: len(texts)], texts)
    write_json(args.scale, {"logit_scale": found.logit_scale, "frame": clip.frame})


if __name__ == "__main__":
    run(main)
