"""CLIP features: one vector per video, one per class."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from moclip.base.files import fingerprint, read_json, sha256_file, write_json
from moclip.clip.cache import image_features
from moclip.clip.cost import clip_cost
from moclip.clip.encoder import CONFIG, META, load_encoder
from moclip.clip.precomputed import load_precomputed
from moclip.clip.prompts import Prompts, check_apart, check_classes, check_lengths, read_prompts
from moclip.data.manifest import Video, read_classes, read_manifest
from moclip.motion.maps import boundary_energy, moving_box, peak_frames
from moclip.motion.store import MotionStore
from moclip.params.clip import HUB, ClipParams
from moclip.params.compute import ComputeParams
from moclip.params.data import DataParams
from moclip.params.run import Seed
from moclip.store.features import Features, write_features
from moclip.store.pictures import PictureStore, pictures_in
from moclip.training.device import Compute
from moclip.video.crop import Box
from stages._cluster import cluster
from stages._entry import arguments, data_root, run, section, work_directory
from stages._kept_frames import kept_in, kept_rule


def main() -> None:
    args = arguments("manifest", "classes", "model", "templates", "motion", "images", "texts", "encoder")
    clip, classes = section("clip", ClipParams), read_classes(args.classes)
    names = text_order(classes, clip)
    if clip.precomputed is None:
        # By params.yaml, and not by the command: a shell would read what a path may hold.
        prompts = read_prompts(Path(clip.prompts), args.templates / f"{clip.templates}.yaml")
        check_classes(prompts, classes, Path(clip.prompts))
        images, texts, logit_scale = encode(args.manifest, args.model, args.motion, clip, prompts, names)
    else:
        images, texts, logit_scale = select(args.manifest, args.model, names)
    write_features(args.images, images.ids.tolist(), images.values)
    write_features(args.texts, classes[: len(texts)], texts)
    is_of_hub = clip.model.startswith(HUB) and clip.precomputed is None
    cost = clip_cost(clip.model, read_json(args.model / CONFIG)["model_cfg"] if is_of_hub else None)
    facts = {"parameters": cost and cost.parameters, "frame_macs": cost and cost.frame_macs}
    crop = {} if clip.crop == "centre" else {"crop": clip.crop}
    beside = {} if clip.attention == "alone" else {"neighbours": clip.edges}
    seen = {"frame": clip.frame, **crop, "model": clip.model, **beside}
    write_json(args.encoder, {"logit_scale": logit_scale, **seen, **facts})


def text_order(classes: list[str], clip: ClipParams) -> list[str]:
    """Names whose texts the classes of the index get, in its order; `folders` gives some the text of another.

    The paper's code sorts the folders' names for the texts, and takes labels from the class index.
    """
    return sorted(classes) if clip.text_order == "folders" else classes


def encode(
    manifest: Path, model: Path, motion: Path, clip: ClipParams, prompts: Prompts, names: Sequence[str]
) -> tuple[Features, np.ndarray, float]:
    """Features of the videos and of the named classes, and the logits' scale, by the encoder."""
    hardware = section("compute", ComputeParams)
    encoder = load_encoder(model, Compute.of(hardware))
    by_class = {name: prompts.of(name) for name in names}
    needed, read = encoder.tokens([text for texts in by_class.values() for text in texts])
    check_lengths(by_class, needed, len(read[0]), Path(clip.prompts))
    check_apart(by_class, read, Path(clip.prompts))
    texts = encoder.class_features(list(by_class.values()), clip.text_mean)
    seed: int = section("seed", Seed) if clip.frame == "random" else 0  # the other rules draw nothing
    arithmetic = (encoder.compute.key, hardware.kernels)
    neighbours = None if clip.attention == "alone" else clip.edges
    videos = read_manifest(manifest).videos
    store = MotionStore.open(motion) if clip.follows_motion else None
    by_motion = (clip.crop, store.digest) if store else ()
    made_by = (read_json(model / META), sha256_file(manifest), clip.frame, seed, arithmetic, neighbours)
    digest = fingerprint(*made_by, *by_motion)
    with cluster() as nodes:
        ids, images = image_features(
            encoder,
            videos,
            data_root(section("data", DataParams).root),
            work_directory(f"cache_clip-{digest}"),
            frame=clip.frame,
            seed=seed,
            batch_images=clip.batch_images,
            neighbours=neighbours,
            peaks=peaks_of(videos, store, clip.frame) if store else None,
            box_of=partial(box_of, store) if store and clip.crop == "motion" else None,
            kept=PictureStore(pictures_in(kept_in(manifest, rule))) if (rule := kept_rule()) else None,
            cluster=nodes,
        )
    return Features("images", np.array(ids), images), texts, encoder.logit_scale


def peaks_of(videos: Sequence[Video], store: MotionStore, rule: str) -> dict[str, np.ndarray] | None:
    """Frames of each video where most moves, one in each part; None where another rule chooses."""
    name, _, count = rule.partition(":")
    if name != "motion":
        return None
    return {video.id: peak_frames(boundary_energy(store.clip(video.id)), int(count)) for video in videos}


def box_of(store: MotionStore, video: str, frame: int) -> Box | None:
    """Where something moves in a frame."""
    return moving_box(store.clip(video), frame)


def select(manifest: Path, model: Path, names: Sequence[str]) -> tuple[Features, np.ndarray, float]:
    """The same of features that somebody already had; without text features, no class gets one."""
    found = load_precomputed(model)
    ids = list(read_manifest(manifest))
    return Features("images", np.array(ids), found.images_of(ids)), found.texts_of(names), found.logit_scale


if __name__ == "__main__":
    run(main)
