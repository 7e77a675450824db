"""Parameters of the frozen CLIP model."""

from typing import Literal

from pydantic import Field, model_validator

from moclip.params.section import PathText, Section


class ClipParams(Section):
    """Section `clip`: which weights, which prompts, which frame."""

    model: str = Field(min_length=1, description="`demo`, or a model name of open_clip.")
    pretrained: str | None = Field(description="open_clip's tag of the weights.")
    checkpoint: PathText | None = Field(description="Local weights instead of a tag.")
    precomputed: PathText | None = Field(description="Features by video id, instead of any weights.")
    prompts: PathText = Field(description="File of phrases by class name.")
    templates: str = Field(pattern=r"^[\w-]+$", description="Set of templates: a file of prompts/templates.")
    text_mean: Literal["unit", "raw"] = Field(
        description="A class's feature is the mean of its prompts' unit vectors, or of them as CLIP gives them."
    )
    text_order: Literal["index", "folders"] = Field(
        description="`folders` pairs text features in alphabetical order with labels of the class index."
    )
    frame: str = Field(
        pattern=r"^(middle|random|uniform:([1-9]|[1-5]\d|6[0-4]))$",
        description="`middle`, `random` (seeded) or `uniform:K`, K from 1 to 64.",
    )
    batch_images: int = Field(ge=1, le=4096)

    @model_validator(mode="after")
    def _one_source(self) -> "ClipParams":
        given = 3 - [self.pretrained, self.checkpoint, self.precomputed].count(None)
        if self.model == "demo" and given != 0:
            raise ValueError("model demo is trained here: pretrained, checkpoint and precomputed must be null")
        if self.model != "demo" and given != 1:
            raise ValueError("name the weights either by pretrained or by checkpoint, or the features by precomputed")
        return self
