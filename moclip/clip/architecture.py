"""What the configuration of a CLIP may say, which comes with weights of other people.

open_clip builds what a configuration names: a tokenizer of a hub that runs its own code, a picture tower of another
package, whose files it fetches. So a configuration is either word for word one of open_clip's own table, or made of
the sizes and switches below alone. Nothing of it reaches open_clip before that.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import open_clip
from pydantic import Field, TypeAdapter, ValidationError

from moclip.base.errors import StoreError
from moclip.params.clip import HUB
from moclip.params.section import Section

Size = Annotated[int, Field(ge=1, le=16_384)]
Pixels = Annotated[int, Field(ge=1, le=4_096)]
Side = Pixels | Annotated[list[Pixels], Field(min_length=2, max_length=2)]
Blocks = Annotated[int, Field(ge=1, le=256)]
Ratio = Annotated[float, Field(gt=0, le=64)] | Annotated[int, Field(gt=0, le=64)]
Share = Annotated[float, Field(ge=0, lt=1)] | Literal[0]
Number = Annotated[float, Field(ge=-1e6, le=1e6)] | Annotated[int, Field(ge=-1_000_000, le=1_000_000)]
Spread = Annotated[float, Field(ge=1e-6, le=1e6)] | Annotated[int, Field(ge=1, le=1_000_000)]
Colour = Annotated[list[Number], Field(min_length=3, max_length=3)]


class Vision(Section):
    """Picture tower: a ResNet where `layers` lists four stages, else a ViT."""

    layers: Blocks | Annotated[list[Blocks], Field(min_length=4, max_length=4)] = 12
    width: Size = 768
    head_width: Size = 64
    mlp_ratio: Ratio = 4.0
    patch_size: Pixels | None = 16
    image_size: Side = 224
    ls_init_value: Number | None = None
    patch_dropout: Share = 0.0
    attentional_pool: bool = False
    attn_pooler_queries: Size = 256
    attn_pooler_heads: Size = 8
    no_ln_pre: bool = False
    pos_embed_type: Literal["learnable", "sin_cos_2d"] = "learnable"
    final_ln_after_pool: bool = False
    pool_type: Literal["tok", "avg", "none"] = "tok"
    output_tokens: bool = False


class Text(Section):
    """Text tower, read through CLIP's own tokenizer."""

    context_length: Size = 77
    vocab_size: int = Field(default=49_408, ge=1, le=2_000_000)
    width: Size = 512
    heads: Size = 8
    layers: Blocks = 12
    mlp_ratio: Ratio = 4.0
    ls_init_value: Number | None = None
    embed_cls: bool = False
    pad_id: int = Field(default=0, ge=0, le=2_000_000)
    eos_id: int = Field(default=2, ge=0, le=2_000_000)
    no_causal_mask: bool = False
    final_ln_after_pool: bool = False
    pool_type: Literal["first", "last", "argmax", "eos", "none"] = "argmax"
    proj_bias: bool = False
    proj_type: Literal["linear", "mlp", "none"] = "linear"
    output_tokens: bool = False


class Model(Section):
    """Both towers."""

    embed_dim: Size
    vision_cfg: Vision
    text_cfg: Text
    quick_gelu: bool = False
    custom_text: bool = False
    init_logit_scale: Number | None = None
    init_logit_bias: Number | None = None


class Pictures(Section):
    """How a frame becomes the network's input."""

    size: Side | None = None
    mode: Literal["RGB"] = "RGB"
    mean: Colour | None = None
    std: Annotated[list[Spread], Field(min_length=3, max_length=3)] | None = None
    interpolation: Literal["bicubic", "bilinear", "random"] = "bicubic"
    resize_mode: Literal["shortest", "longest", "squash"] = "shortest"
    fill_color: int = Field(default=0, ge=0, le=255)


def check_config(path: Path, config: Any, model: Any) -> str | None:
    """Refuse what is neither open_clip's own nor of the allowed sizes and switches.

    Args:
        path: File of the configuration, for the message.
        config: Its content.
        model: Name in open_clip's table that the weights are said to be of; a repository of the hub (`hf-hub:`) may
            be of any in the table.

    Returns:
        The name in open_clip's table whose configuration this is to the word; None where sizes and switches alone
        allow it, and its tokenizer is CLIP's own.

    Raises:
        StoreError: names the file and each key that is not allowed.
    """
    if not isinstance(config, dict) or not {"model_cfg", "preprocess_cfg"} >= config.keys() >= {"model_cfg"}:
        raise StoreError(f"{path}: must hold model_cfg and preprocess_cfg and nothing else; {_REMEDY}")
    _check(path, "preprocess_cfg", Pictures, config.get("preprocess_cfg", {}))
    if known := _in_table(config["model_cfg"], model):
        if name := config["model_cfg"]["text_cfg"].get("hf_model_name"):
            raise StoreError(
                f"{path}: key 'model_cfg.text_cfg.hf_model_name': the text tower {name!r} is built from files of a "
                "hub; choose a CLIP whose text tower is open_clip's own"
            )
        return known
    _check(path, "model_cfg", Model, config["model_cfg"])
    return None


def _in_table(model_config: Any, model: Any) -> str | None:
    """The name whose configuration in open_clip's table this is: the model's own, or for one of the hub any."""
    if not isinstance(model, str) or not isinstance(model_config, dict):
        return None
    names = open_clip.list_models() if model.startswith(HUB) else [model]
    return next((name for name in names if open_clip.get_model_config(name) == model_config), None)


_REMEDY = "a configuration may name neither code nor files; take the model from who made it, or run `dvc repro`"


def _check(path: Path, key: str, kind: type[Section], value: Any) -> None:
    try:
        TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError as error:
        faults = {
            ".".join([key, *(str(part) for part in detail["loc"] if _is_key(part))]): detail
            for detail in error.errors(include_url=False, include_input=False)
        }
        told = "; ".join(f"key '{name}': {_words(detail)}" for name, detail in faults.items())
        raise StoreError(f"{path}: {told[:500]}; {_REMEDY}") from error


def _is_key(part: object) -> bool:
    """Whether a place in a fault is a key of the file, and no branch of a union."""
    return isinstance(part, str) and part.isidentifier() and part not in ("int", "float", "list")


def _words(detail: Any) -> str:
    return "not allowed" if detail["type"] == "extra_forbidden" else str(detail["msg"])
