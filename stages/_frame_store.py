"""What the stages of frame stores share: the network that sees the frames, and what it makes them of."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moclip.base.errors import ParamsError
from moclip.base.files import fingerprint, read_json, sha256_file
from moclip.clip.encoder import META, Encoder, load_encoder
from moclip.data.manifest import Video, read_manifest
from moclip.params.clip import ClipParams
from moclip.params.compute import ComputeParams
from moclip.params.data import DataParams
from moclip.training.device import Compute
from stages._entry import data_root, section, work_directory


@dataclass(frozen=True)
class Caching:
    """An encoder with the videos that it is to see.

    `facts` say what a store was made from; `batch_images` is of one pass.
    """

    encoder: Encoder
    videos: Sequence[Video]
    root: Path
    batch_images: int
    facts: dict[str, Any]

    @classmethod
    def of(cls, manifest: Path, model: Path, needed_by: str, way_out: str) -> "Caching":
        """By params.yaml.

        Args:
            manifest: The videos.
            model: Directory of the frozen CLIP.
            needed_by: What needs the network, with its verb, for the message.
            way_out: The remedy beside naming weights.

        Raises:
            ParamsError: there is no network, as features were brought ready-made.
        """
        clip, hardware = section("clip", ClipParams), section("compute", ComputeParams)
        if clip.precomputed is not None:
            raise ParamsError(
                f"clip.precomputed: it has one feature a video, and {needed_by} the network; name weights by "
                f"clip.pretrained or clip.checkpoint, or {way_out}"
            )
        of_network = {"clip": read_json(model / META)["sha256"], "arithmetic": [hardware.amp, hardware.kernels]}
        return cls(
            load_encoder(model, Compute.of(hardware)),
            read_manifest(manifest).videos,
            data_root(section("data", DataParams).root),
            clip.batch_images,
            {"manifest": sha256_file(manifest), **of_network},
        )

    def shelf(self, name: str, made_by: Any) -> Path:
        """Directory of half-done work that belongs to these facts, this processor, and what the store is `made_by`."""
        digest = fingerprint(self.facts, made_by, self.encoder.compute.key)
        return work_directory(f"{name}-{digest}")
