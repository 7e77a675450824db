"""The parts of a trained model as PyTorch runs them: motion network, heads and CLIP of a bundle or a pipeline.

Axes: d feature.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from moclip.base.errors import StoreError
from moclip.base.files import read_json, sha256_file
from moclip.heads.fitted import Fitted
from moclip.heads.motion_only import MotionOnly
from moclip.heads.motion_only import load as load_network
from moclip.heads.registry import CLIP, HEADS, MOTION, module_of
from moclip.motion.features import SEED_NAME, describe_held_out
from moclip.motion.grid import MotionGrid
from moclip.motion.net import features_and_logits
from moclip.motion.sampler import FieldSampler
from moclip.motion.store import OneClip
from moclip.params.motion_net import MotionInput
from moclip.predict.bundle import ModelFiles, check_clip
from moclip.predict.parts import Parts, answering, of_class_texts
from moclip.training.weights import WEIGHTS

if TYPE_CHECKING:
    from moclip.clip.encoder import Encoder


@dataclass(frozen=True)
class TorchMotion:
    """A motion network as a predictor asks it."""

    network: MotionOnly

    @property
    def made_for(self) -> MotionInput:
        """What the network was made for."""
        return self.network.made_for

    def describe(self, name: str, grid: MotionGrid) -> np.ndarray:
        """Features (1, d) of a video; its name decides a coin of the paper's ten crops, as in the pipeline."""
        made_for = self.made_for
        sampler = FieldSampler(OneClip(grid), made_for.motion, made_for.motion_net)
        features, _ = describe_held_out(self.network.net, sampler, [name], (made_for.seed, SEED_NAME, made_for.split))
        return features

    def single(self, fields_px: np.ndarray) -> np.ndarray:
        """As `moclip.predict.parts.Motion`."""
        return field_features(self.network, fields_px)


def field_features(network: MotionOnly, fields_px: np.ndarray) -> np.ndarray:
    """The motion network's features of single fields (n, 2, gh, gw), float32 (n, d); a video's are their mean."""
    made_for = network.made_for
    # It reads no grid here: fields come ready, and it brings them to the network's size and encoding.
    sampler = FieldSampler(OneClip(None), made_for.motion, made_for.motion_net)  # type: ignore[arg-type]
    whole = sampler.whole(["video"], [torch.from_numpy(fields_px)])
    features, _ = features_and_logits(network.net.eval(), whole.transpose(0, 1))
    return features.float().numpy()


def load_parts(files: ModelFiles, asked: str) -> Parts:
    """What a head needs, and the heads on one of its streams alone that are there.

    Raises:
        StoreError: as `load_head`, or there is no CLIP that could see a new video.
    """
    heads = answering(asked, lambda head: load_head(files, head), lambda head: is_there(files, head))
    streams = heads[asked].streams
    network = next((fitted for fitted in heads.values() if isinstance(fitted, MotionOnly)), None)
    return Parts(
        heads,
        TorchMotion(network or load_motion(files)) if MOTION in streams else None,
        load_clip(files) if CLIP in streams else None,
    )


def is_there(files: ModelFiles, head: str) -> bool:
    """Whether a model has a head that answers: its own directory, or what its stream needs to answer by itself."""
    if not HEADS[head].is_of_stream:
        return head in files.heads and not _has_drifted(files, head)
    return files.motion.is_dir() if MOTION in HEADS[head].streams else files.texts is not None


def load_head(files: ModelFiles, head: str) -> Fitted:
    """A head, of its own directory or of its stream.

    Raises:
        StoreError: it is not there, is torn, or sees motion by a network that answers for no other head.
    """
    if not HEADS[head].is_of_stream:
        return _of_own_weights(files, head)
    return load_motion(files) if MOTION in HEADS[head].streams else of_class_texts(files, head)


def _of_own_weights(files: ModelFiles, head: str) -> Fitted:
    if head not in files.heads:
        raise StoreError(f"no head '{head}' of split {files.split}; {files.remedy}")
    if _has_drifted(files, head):
        raise StoreError(
            f"{files.heads[head]}: {head} was trained with a motion network whose statistics drifted "
            f"({HEADS[head].section}.backbone_statistics: drift), which answers for no other head; choose another "
            "head, or train with frozen statistics"
        )
    fitted: Fitted = module_of(head).load(files.heads[head])
    return fitted


def _has_drifted(files: ModelFiles, head: str) -> bool:
    """Whether a head was trained with a motion network of its own, which lies beside its weights."""
    return (files.heads[head] / MOTION).is_dir()


def load_motion(files: ModelFiles) -> MotionOnly:
    """The motion network with what it was made for.

    Raises:
        StoreError: it is missing, torn, or was saved before that was kept beside the weights.
    """
    if not files.motion.is_dir():
        raise StoreError(f"{files.motion}: no motion network; {files.remedy}")
    return load_network(files.motion)


def load_clip(files: ModelFiles) -> "Encoder":
    """CLIP's encoder; imported here, because open_clip takes seconds and a head on motion alone needs none of it."""
    check_clip(files)
    from moclip.clip.encoder import load_encoder

    return load_encoder(files.clip)


def motion_of(files: ModelFiles) -> TorchMotion:
    """The motion network as a predictor asks it.

    Raises:
        StoreError: as `load_motion`.
    """
    return TorchMotion(load_motion(files))


def digests(files: ModelFiles) -> tuple[object, object]:
    """What stands for the weights of CLIP and of the motion network, where they are; both were loaded."""
    clip = files.clip / "meta.json"
    return (
        read_json(clip).get("sha256") if clip.is_file() else None,
        sha256_file(files.motion / WEIGHTS) if files.motion.is_dir() else None,
    )
