"""The only file that imports CLIP: weights in and out, and the encoder together with its preprocessing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from open_clip import CLIP, CLIPTextCfg, CLIPVisionCfg
from PIL import Image
from torch import Tensor, nn

from moclip.errors import ParamsError, StoreError
from moclip.files import atomic_path, read_json, sha256_file, write_json
from moclip.models.frozen import Frozen
from moclip.models.store import write_weights

# The names under which open_clip looks for a model in a local directory.
CONFIG = "open_clip_config.json"
WEIGHTS = "open_clip_model.safetensors"
META = "meta.json"


@dataclass(frozen=True)
class Encoder:
    """A frozen CLIP with the preprocessing and the tokenizer that belong to it."""

    model: Frozen[CLIP]
    preprocess: Any
    tokenize: Any
    logit_scale: float

    @torch.inference_mode()
    def images(self, frames: Sequence[np.ndarray]) -> np.ndarray:
        """Projected features, not normalised, (n, d) float32, of RGB frames (h, w, 3) uint8."""
        batch = torch.stack([self.preprocess(Image.fromarray(frame)) for frame in frames])
        return self._finite(self.model.backbone.encode_image(batch), "image")

    @torch.inference_mode()
    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """Projected features, not normalised, (n, d) float32."""
        return self._finite(self.model.backbone.encode_text(self.tokenize(list(texts))), "text")

    def class_features(self, prompts: Sequence[Sequence[str]]) -> np.ndarray:
        """One unit vector per class, (k, d): mean of the unit vectors of its prompts, normalised.

        Source: Radford et al. 2021, section 3.1.4 (ensembling over prompts).
        """
        means = [_unit(self.texts(of_class)).mean(axis=0) for of_class in prompts]
        return _unit(np.stack(means))

    def _finite(self, features: Tensor, kind: str) -> np.ndarray:
        if not torch.isfinite(features).all():
            raise StoreError(f"CLIP's {kind} features are not finite; its weights are damaged or do not fit")
        return features.float().numpy()


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def build(config: Mapping[str, Any]) -> CLIP:
    """An untrained CLIP from open_clip's model configuration."""
    return CLIP(config["embed_dim"], CLIPVisionCfg(**config["vision_cfg"]), CLIPTextCfg(**config["text_cfg"]))


def fetch(name: str, pretrained: str | None, checkpoint: Path | None) -> tuple[nn.Module, dict[str, Any]]:
    """A published model by open_clip's name, with weights by tag or from a local file.

    Returns:
        The model, and its configuration in the form of `open_clip_config.json`.

    Raises:
        ParamsError: no such model or tag, weights and activation that do not belong together, or
            weights that cannot be had.
    """
    model_config = open_clip.get_model_config(name)
    if model_config is None:
        raise ParamsError(f"parameter 'clip.model': open_clip knows no {name!r}; see open_clip.list_models()")
    if pretrained is not None:
        _check_tag(name, pretrained, model_config)
    source = pretrained if checkpoint is None else str(checkpoint)
    if checkpoint is not None and not checkpoint.is_file():
        raise ParamsError(f"parameter 'clip.checkpoint': {checkpoint} is not a file")
    try:
        model = open_clip.create_model(name, pretrained=source, require_pretrained=True, weights_only=True)
    except Exception as error:  # hub, network and torch each raise their own kinds
        raise ParamsError(
            f"CLIP {name}: weights {source!r} cannot be loaded ({type(error).__name__}: {error}). Without a network, "
            "fetch the weights elsewhere and set clip.checkpoint to the file (and clip.pretrained to null)."
        ) from error
    preprocess = {key: value for key, value in open_clip.get_model_preprocess_cfg(model).items() if value is not None}
    return model, {"model_cfg": model_config, "preprocess_cfg": preprocess}


def _check_tag(name: str, tag: str, model_config: Mapping[str, Any]) -> None:
    tags = open_clip.list_pretrained_tags_by_model(name)
    if tag not in tags:
        raise ParamsError(f"parameter 'clip.pretrained': {name} has no weights {tag!r}; it has {tags}")
    wanted = bool(open_clip.get_pretrained_cfg(name, tag).get("quick_gelu", False))
    if wanted != bool(model_config.get("quick_gelu", False)):
        raise ParamsError(
            f"CLIP {name} with weights {tag!r}: the weights were trained {'with' if wanted else 'without'} QuickGELU "
            f"and the model is built {'without' if wanted else 'with'} it; choose the model name "
            f"{'ending in -quickgelu' if wanted else 'without -quickgelu'}"
        )


def save_encoder(directory: Path, model: nn.Module, config: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
    """Write weights, configuration and what is known of them as one directory, atomically."""
    with atomic_path(directory) as temporary:
        temporary.mkdir()
        write_weights(temporary / WEIGHTS, model)
        write_json(temporary / CONFIG, dict(config))
        facts = {
            "parameters": sum(p.numel() for p in model.parameters()),
            "sha256": sha256_file(temporary / WEIGHTS),
        }
        write_json(temporary / META, {**meta, **facts})


def load_encoder(directory: Path) -> Encoder:
    """The frozen encoder of a directory that `save_encoder` wrote.

    Raises:
        StoreError: a file is missing or torn, or the weights are not those that were written.
    """
    meta = read_json(directory / META)
    weights = directory / WEIGHTS
    if not weights.is_file() or sha256_file(weights) != meta.get("sha256"):
        raise StoreError(f"{weights}: not the weights that {META} describes; run the stage clip_model again")
    location = f"local-dir:{directory.resolve()}"
    model, preprocess = open_clip.create_model_from_pretrained(location)
    return Encoder(
        Frozen(model), preprocess, open_clip.get_tokenizer(location), float(model.logit_scale.detach().exp())
    )
