"""Parameters of the frozen CLIP model."""

import re
from typing import Literal

from pydantic import Field, model_validator

from moclip.params.section import PathText, Section

DEMO = "demo"
"""The model that is trained here, on generated stills."""
HUB = "hf-hub:"
"""Begins a model that is a repository of the hub with open_clip's files, as open_clip itself writes it."""


class ClipParams(Section):
    """Section `clip`: which weights, which prompts, which frame."""

    model: str = Field(min_length=1, description="`demo`, a model name of open_clip, or `hf-hub:ORG/NAME`.")
    pretrained: str | None = Field(description="open_clip's tag of the weights.")
    checkpoint: PathText | None = Field(description="Local weights instead of a tag.")
    precomputed: PathText | None = Field(description="Features by video id, instead of any weights.")
    patch: PathText | None = Field(description="Weights that those are interpolated with.")
    patch_share: float | None = Field(ge=0, le=1, description="Share of those weights; the rest is the patch's.")
    prompts: PathText = Field(description="File of phrases by class name.")
    templates: str = Field(pattern=r"^[\w-]+$", description="Set of templates: a file of prompts/templates.")
    text_mean: Literal["unit", "raw"] = Field(
        description="A class's feature is the mean of its prompts' unit vectors, or of them as CLIP gives them."
    )
    text_order: Literal["index", "folders"] = Field(
        description="`folders` pairs text features in alphabetical order with labels of the class index."
    )
    frame: str = Field(
        pattern=r"^(middle|random|uniform:([1-9]|[1-5]\d|6[0-4])|motion:([1-9]|[1-5]\d|6[0-4]))$",
        description="`middle`, `random` (seeded), `uniform:K` or `motion:K`, K from 1 to 64.",
    )
    crop: Literal["centre", "motion"] = Field(description="Of each frame: its middle, or a square round what moves.")
    attention: Literal["alone", "neighbours"] = Field(
        description="Each frame's attention sees that frame `alone`, or its `neighbours` in the choice of frames too."
    )
    edges: Literal["repeat", "zeros"] = Field(
        description="What the first and last frame have for the one that they lack: themselves, or keys of zeros."
    )
    keep_frames: str | None = Field(
        pattern=r"^(middle|random|uniform:([1-9]|[1-5]\d|6[0-4])|motion:([1-9]|[1-5]\d|6[0-4]))$",
        description="The rule of `frame`, whose frames the motion pass then keeps; null where CLIP's stage decodes.",
    )
    batch_images: int = Field(ge=1, le=4096)

    @property
    def follows_motion(self) -> bool:
        """Whether it takes motion to know what CLIP sees."""
        return self.frame.startswith("motion:") or self.crop == "motion"

    @model_validator(mode="after")
    def _one_source(self) -> "ClipParams":
        given = 3 - [self.pretrained, self.checkpoint, self.precomputed].count(None)
        if self.model.startswith(HUB):
            return self._of_hub()
        if self.model == DEMO and given != 0:
            raise ValueError("model demo is trained here: pretrained, checkpoint and precomputed must be null")
        if self.model != DEMO and given != 1:
            raise ValueError("name the weights either by pretrained or by checkpoint, or the features by precomputed")
        return self

    def _of_hub(self) -> "ClipParams":
        if not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", self.model.removeprefix(HUB)):
            raise ValueError(f"model {self.model} names no repository; write hf-hub:ORG/NAME")
        if self.pretrained is not None or self.checkpoint is not None:
            raise ValueError("a model of the hub brings its own weights: pretrained and checkpoint must be null")
        return self

    @model_validator(mode="after")
    def _patch_and_share(self) -> "ClipParams":
        if (self.patch is None) != (self.patch_share is None):
            raise ValueError("patch and patch_share go together: a file and a share from 0 to 1, or null and null")
        return self

    @model_validator(mode="after")
    def _keeps_what_can_be_known(self) -> "ClipParams":
        rule = self.keep_frames
        if rule is None:
            return self
        if rule.startswith("motion:"):
            raise ValueError(f"keep_frames: {rule} follows the motion, which is known after its pass alone; set null")
        if rule == "random":
            raise ValueError(
                "keep_frames: random would follow `seed`, and motion be extracted again for each; set null"
            )
        if self.precomputed is not None:
            raise ValueError("precomputed features need no frames: keep_frames must be null")
        if rule != self.frame:
            raise ValueError(f"keep_frames is {rule}, and frame is {self.frame}: give both one rule, or set null")
        return self

    @model_validator(mode="after")
    def _a_network_with_several_frames(self) -> "ClipParams":
        if self.precomputed is not None and (self.patch is not None or self.attention != "alone"):
            raise ValueError(
                "patch and attention change a network, and precomputed has none: take the one or the other"
            )
        if self.attention == "neighbours" and not self.frame.startswith("uniform:"):
            raise ValueError(
                f"attention: neighbours needs frames in order, frame: uniform:K, and frame is {self.frame}"
            )
        return self
