"""CLIP features: one vector per video, one per class."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from moclip.base.files import fingerprint, read_json, sha256_file, write_json
from moclip.clip.cache import image_features
from moclip.clip.cost import clip_cost
from moclip.clip.encoder import META, load_encoder
from moclip.clip.precomputed import load_precomputed
from moclip.clip.prompts import Prompts, read_prompts
from moclip.data.manifest import read_classes, read_manifest
from moclip.params.clip import ClipParams
from moclip.params.compute import ComputeParams
from moclip.params.data import DataParams
from moclip.params.run import Seed
from moclip.store.features import Features, write_features
from moclip.training.device import Compute
from stages._entry import arguments, data_root, run, section, work_directory


def main() -> None:
    args = arguments("manifest", "classes", "model", "prompts", "templates", "images", "texts", "encoder")
    clip, classes = section("clip", ClipParams), read_classes(args.classes)
    names = text_order(classes, clip)
    if clip.precomputed is None:
        prompts = read_prompts(args.prompts, args.templates)
        images, texts, logit_scale = encode(args.manifest, args.model, clip, prompts, names)
    else:
        images, texts, logit_scale = select(args.manifest, args.model, names)
    write_features(args.images, images.ids.tolist(), images.values)
    write_features(args.texts, classes[: len(texts)], texts)
    cost = clip_cost(clip.model)
    facts = {"parameters": cost and cost.parameters, "frame_macs": cost and cost.frame_macs}
    beside = {} if clip.attention == "alone" else {"neighbours": clip.edges}
    write_json(args.encoder, {"logit_scale": logit_scale, "frame": clip.frame, "model": clip.model, **beside, **facts})


def text_order(classes: list[str], clip: ClipParams) -> list[str]:
    """Names whose texts the classes of the index get, in its order; `folders` gives some the text of another.

    The paper's code sorts the folders' names for the texts, and takes labels from the class index.
    """
    return sorted(classes) if clip.text_order == "folders" else classes


def encode(
    manifest: Path, model: Path, clip: ClipParams, prompts: Prompts, names: Sequence[str]
) -> tuple[Features, np.ndarray, float]:
    """Features of the videos and of the named classes, and the logits' scale, by the encoder."""
    hardware = section("compute", ComputeParams)
    encoder = load_encoder(model, Compute.of(hardware))
    texts = encoder.class_features([prompts.of(name) for name in names], clip.text_mean)
    seed: int = section("seed", Seed) if clip.frame == "random" else 0  # the other rules draw nothing
    arithmetic = (encoder.compute.device.type, hardware.amp, hardware.kernels)
    neighbours = None if clip.attention == "alone" else clip.edges
    digest = fingerprint(read_json(model / META), sha256_file(manifest), clip.frame, seed, arithmetic, neighbours)
    ids, images = image_features(
        encoder,
        list(read_manifest(manifest).values()),
        data_root(section("data", DataParams).root),
        work_directory(f"cache_clip-{digest}"),
        frame=clip.frame,
        seed=seed,
        batch_images=clip.batch_images,
        neighbours=neighbours,
    )
    return Features("images", np.array(ids), images), texts, encoder.logit_scale


def select(manifest: Path, model: Path, names: Sequence[str]) -> tuple[Features, np.ndarray, float]:
    """The same of features that somebody already had; without text features, no class gets one."""
    found = load_precomputed(model)
    ids = list(read_manifest(manifest))
    return Features("images", np.array(ids), found.images_of(ids)), found.texts_of(names), found.logit_scale


if __name__ == "__main__":
    run(main)
