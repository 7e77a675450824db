"""CLIP features: one vector per video, one per class."""

from typing import Any

from moclip.clip import META, load_encoder
from moclip.clip_cache import image_features
from moclip.compute import Compute
from moclip.features import write_features
from moclip.files import fingerprint, read_json, sha256_file, write_json
from moclip.manifest import read_classes, read_manifest
from moclip.precomputed import load_precomputed
from moclip.prompts import read_prompts
from moclip.schema.clip import ClipParams
from moclip.schema.compute import ComputeParams
from moclip.schema.data import DataParams
from stages._entry import arguments, data_root, run, section, work_directory


def main() -> None:
    args = arguments("manifest", "classes", "model", "prompts", "images", "texts", "scale")
    clip = section("clip", ClipParams)
    if clip.precomputed is None:
        encode(args, clip)
    else:
        select(args)


def encode(args: Any, clip: ClipParams) -> None:
    """Features by the encoder, of the videos themselves."""
    data, hardware = section("data", DataParams), section("compute", ComputeParams)
    encoder = load_encoder(args.model, Compute.of(hardware))
    classes, prompts = read_classes(args.classes), read_prompts(args.prompts)
    texts = encoder.class_features([prompts.of(name) for name in classes])
    arithmetic = (encoder.compute.device.type, hardware.amp)
    digest = fingerprint(read_json(args.model / META), sha256_file(args.manifest), clip.frame, arithmetic)
    videos = list(read_manifest(args.manifest).values())
    ids, images = image_features(
        encoder, videos, data_root(data.root), work_directory(f"cache_clip-{digest}"), batch_images=clip.batch_images
    )
    write_features(args.images, ids, images)
    write_features(args.texts, classes, texts)
    write_json(args.scale, {"logit_scale": encoder.logit_scale})


def select(args: Any) -> None:
    """Features that somebody already had; without text features, no class gets one."""
    found = load_precomputed(args.model)
    ids, classes = list(read_manifest(args.manifest)), read_classes(args.classes)
    texts = found.texts_of(classes)
    write_features(args.images, ids, found.images_of(ids))
    write_features(args.texts, classes[: len(texts)], texts)
    write_json(args.scale, {"logit_scale": found.logit_scale})


if __name__ == "__main__":
    run(main)
