"""CLIP as a directory of files, and the encoder together with its preprocessing."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import open_clip
import torch
from open_clip import CLIP, CLIPTextCfg, CLIPVisionCfg, CustomTextCLIP
from PIL import Image
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from moclip.base.arithmetic import AVX2, ONE_THREAD
from moclip.base.errors import StoreError
from moclip.base.files import MAX_FACTS_MIB, atomic_path, read_facts, read_json, sha256_file, write_json
from moclip.clip.architecture import check_config
from moclip.clip.text.bpe import SPECIAL, read_part
from moclip.training.device import ON_CPU, Compute
from moclip.training.frozen import Frozen
from moclip.training.weights import MOST_LETTERS, UNFIT, write_weights
from moclip.video.decode import versions

# The names under which open_clip looks for a model in a local directory.
CONFIG = "open_clip_config.json"
WEIGHTS = "open_clip_model.safetensors"
META = "meta.json"
_WHOLE = 8  # contexts that hold any prompt whole
# `nn.init` hands on its own functions, which draw before anybody sees the tensor's.
_DRAWS = frozenset([Tensor.uniform_, Tensor.normal_, nn.init.uniform_, nn.init.normal_, nn.init.kaiming_uniform_])


@dataclass(frozen=True)
class Encoder:
    """A frozen CLIP with the preprocessing and the tokenizer that belong to it."""

    model: Frozen[CLIP]
    preprocess: Any
    tokenize: Any
    logit_scale: float
    compute: Compute = ON_CPU
    directory: Path | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process loads the files itself: weights would travel with each of its tasks.
        return load_encoder, (self.directory, self.compute)

    @property
    def host_facts(self) -> Callable[[], dict[str, Any]]:
        """Gives what features hang on beside the files: a host that gives others computes others."""
        return partial(host_facts, self.compute)

    @torch.inference_mode()
    def images(self, frames: Sequence[np.ndarray]) -> np.ndarray:
        """Projected features, not normalised, (n, d) float32, of RGB frames (h, w, 3) uint8."""
        batch = self.pixels(frames)
        with self.compute.autocast():
            return self._finite(self.model.backbone.encode_image(batch), "image")

    def pixels(self, frames: Sequence[np.ndarray]) -> Tensor:
        """RGB frames (h, w, 3) uint8 as the network takes them, (n, 3, side, side) on its device."""
        return self.compute.tensor(torch.stack([self.preprocess(Image.fromarray(frame)) for frame in frames]))

    @torch.inference_mode()
    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """Projected features, not normalised, (n, d) float32."""
        tokens = self.compute.tensor(self.tokenize(list(texts)))
        with self.compute.autocast():
            return self._finite(self.model.backbone.encode_text(tokens), "text")

    def read_part(self, text: str) -> str:
        """As much of a text, from its start, as the text tower reads: what stands behind changes none of its tokens."""
        return read_part(self.tokenize, text)

    def tokens(self, texts: Sequence[str]) -> tuple[list[int], list[list[int]]]:
        """How many tokens each text has, and the tokens that this CLIP reads of each, which may be fewer."""
        read = self.tokenize(list(texts))
        whole = self.tokenize(list(texts), context_length=_WHOLE * read.shape[1])
        padding = self.tokenize([""], context_length=_WHOLE * read.shape[1])[0, -1]
        return [int((row != padding).sum()) for row in whole], read.tolist()

    def class_features(self, prompts: Sequence[Sequence[str]], mean: Literal["unit", "raw"]) -> np.ndarray:
        """One unit vector per class, (k, d): the mean of its prompts' features, normalised.

        Args:
            prompts: Texts of each class.
            mean: Of the features scaled to `unit` length, so that each prompt counts alike (Radford et al. 2021,
                section 3.1.4), or of the `raw` ones, as the paper's code takes it: a longer vector counts more.
        """
        scaled = unit if mean == "unit" else np.asarray
        return unit(np.stack([scaled(self.texts(of_class)).mean(axis=0) for of_class in prompts]))

    def _finite(self, features: Tensor, kind: str) -> np.ndarray:
        if not torch.isfinite(features).all():
            raise StoreError(f"CLIP's {kind} features are not finite; its weights are damaged or do not fit")
        return features.float().cpu().numpy()


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (..., d) scaled to length 1."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def build(config: Mapping[str, Any]) -> CLIP | CustomTextCLIP:
    """An untrained CLIP from open_clip's model configuration."""
    vision, text = CLIPVisionCfg(**config["vision_cfg"]), CLIPTextCfg(**config["text_cfg"])
    own = {key: value for key, value in config.items() if key.startswith("init_logit") or key == "quick_gelu"}
    kind = CustomTextCLIP if config.get("custom_text") else CLIP
    return kind(config["embed_dim"], vision, text, **own)


def known_config(name: str) -> dict[str, Any] | None:
    """open_clip's model configuration by name; None where it knows no such model."""
    config: dict[str, Any] | None = open_clip.get_model_config(name)
    return config


def save_encoder(directory: Path, model: nn.Module, config: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
    """Write weights, configuration and what is known of them as one directory, atomically, and try it out.

    Raises:
        StoreError: a first batch of images or texts gives features of another shape, or that are not finite.
    """
    with atomic_path(directory) as temporary:
        temporary.mkdir()
        write_weights(temporary / WEIGHTS, model)
        write_json(temporary / CONFIG, dict(config))
        facts = {
            "parameters": sum(p.numel() for p in model.parameters()),
            "sha256": sha256_file(temporary / WEIGHTS),
            "config_sha256": sha256_file(temporary / CONFIG),
        }
        write_json(temporary / META, {**meta, **facts})
        _try_out(load_encoder(temporary), config["model_cfg"]["embed_dim"])


def _try_out(encoder: Encoder, width: int) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 240, 320, 3), dtype=np.uint8)
    features = {"image": encoder.images(list(frames)), "text": encoder.texts(["a person", "a ball"])}
    for kind, values in features.items():
        if values.shape != (2, width):
            raise StoreError(f"CLIP's {kind} features of a first batch are {values.shape}, must be {(2, width)}")


class _NoDraws(TorchFunctionMode):
    """Leave out the random start of weights that are read from a file right after: more than half of the loading."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        if func in _DRAWS:
            return args[0] if args else named["tensor"]
        return func(*args, **named)


def load_encoder(directory: Path, compute: Compute = ON_CPU) -> Encoder:
    """The frozen encoder of a directory that `save_encoder` wrote, on the device and with the arithmetic of `compute`.

    Raises:
        StoreError: a file is missing or torn, or not the one that was written.
    """
    meta = read_facts(directory / META)
    for name, key in ((WEIGHTS, "sha256"), (CONFIG, "config_sha256")):
        path = directory / name
        if not path.is_file() or sha256_file(path) != meta.get(key):
            raise StoreError(f"{path}: not the file that {META} describes; run the stage clip_model again")
    config = read_json(directory / CONFIG, MAX_FACTS_MIB)
    known = check_config(directory / CONFIG, config, meta.get("model"))
    if known is None:
        _check_shapes(directory / WEIGHTS, config["model_cfg"])
    with _NoDraws():
        model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{directory.resolve()}")
    tokenize = Tokenizer(known, config["model_cfg"]["text_cfg"].get("context_length"))
    logit_scale = float(model.logit_scale.detach().exp())
    return Encoder(Frozen(compute.place(model)), preprocess, tokenize, logit_scale, compute, directory.resolve())


def host_facts(compute: Compute) -> dict[str, Any]:
    """Versions, the GPU's model where there is to be one, and the kernels that were chosen for a CPU."""
    has_device = compute.device.type == "cpu" or torch.cuda.is_available()
    return {
        **versions(),
        **{name: version(name) for name in ("torch", "torchvision", "open_clip_torch", "pillow")},
        "processor": compute.processor if has_device else "without a GPU",
        **{name: os.environ.get(name) for name in (*ONE_THREAD, *AVX2)},
    }


class Tokenizer:
    """Texts to tokens (n, l): a model's own tokenizer by open_clip's table, else CLIP's; made when it is asked.

    Whoever asks about pictures alone waits for none, and a tokenizer that lies on a hub is not asked for.
    """

    def __init__(self, model: str | None, context_length: int | None) -> None:
        self.model, self.length = model, context_length or open_clip.tokenizer.DEFAULT_CONTEXT_LENGTH

    @cached_property
    def own(self) -> Any:
        """open_clip's tokenizer; one that lies on a hub is read as tables, and no code of its repository runs."""
        if self.model:
            is_of_hub = "hf_tokenizer_name" in open_clip.get_model_config(self.model)["text_cfg"]
            return open_clip.get_tokenizer(self.model, **({"trust_remote_code": False} if is_of_hub else {}))
        return open_clip.SimpleTokenizer(context_length=self.length)

    def merges(self) -> list[tuple[str, str]]:
        """The pairs that CLIP's own tokenizer joins, the most frequent first.

        Raises:
            StoreError: this is another tokenizer, or has other rules.
        """
        own, kinds = self.own, open_clip.tokenizer
        if (
            type(own) is not kinds.SimpleTokenizer
            or own.clean_fn is not kinds.get_clean_fn("lower")
            or own.reduction_fn is not None
            or len(own.all_special_ids) != len(SPECIAL)
        ):
            raise StoreError(f"texts are read by {type(own).__name__} in its own way, and only CLIP's can be written")
        return list(own.bpe_ranks)

    def __call__(self, texts: Sequence[str], context_length: int | None = None) -> Tensor:
        """Tokens of each text, cut or filled up to the tower's length, or to another."""
        tokens: Tensor = self.own(texts, context_length=context_length)
        return tokens


def _check_shapes(path: Path, model_config: Mapping[str, Any]) -> None:
    """Refuse weights of other shapes than the configuration asks for, before memory is taken for either."""
    try:
        with torch.device("meta"):
            wanted = {name: list(tensor.shape) for name, tensor in build(model_config).state_dict().items()}
    except UNFIT as error:
        raise StoreError(f"{path.with_name(CONFIG)}: no CLIP is built of these sizes ({error})") from error
    try:
        with safe_open(path, "pt") as file:
            given = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise StoreError(f"{path}: cannot be read as safetensors ({error})") from error
    if given != wanted:
        name = min({*given, *wanted}, key=lambda name: (given.get(name) == wanted.get(name), name))
        found = f"{given.get(name)!s:.{MOST_LETTERS}} in the file"
        raise StoreError(
            f"{path}: {name:.{MOST_LETTERS}} is {found} and {wanted.get(name)} by {CONFIG}; these do not belong "
            "together: copy both again, or run the stage clip_model again"
        )
