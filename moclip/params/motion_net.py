"""Parameters of the motion network: its architecture, its training and its evaluation."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from moclip.params.heads.motion_vit import MotionVitParams
from moclip.params.motion import MotionParams
from moclip.params.section import PathText, Section, Select, validated

LrScale = Annotated[float, Field(gt=0, le=100)]


class MotionNetParams(Section):
    """Section `motion_net`: architecture, input, sampling, schedule and evaluation of the motion network."""

    arch: Literal["small", "efficientnet_b0", "vit"]
    pretrained: bool
    checkpoint: PathText | None = Field(description="ImageNet weights as a local file instead of the hub's.")
    input_px: int | None = Field(ge=16, le=512, description="Side fields are resized to, or null.")
    bound_px: float = Field(gt=0, le=1000, description="Displacement in pixels that maps to 1.0, or to the last byte.")
    encoding: Literal["float", "bytes"]
    train_crops: Literal["resampled", "cut"]
    mirror: Literal["negate", "complement"]
    segments: int = Field(ge=1, le=64, description="Snippets per video in training.")
    eval_segments: int = Field(ge=1, le=64, description="Snippets per video in evaluation.")
    eval_crops: Literal[1, 10] = Field(description="Crops of each snippet of a held-out video.")
    mirrored_crops: Literal["both", "coin"]
    epochs: int = Field(ge=1, le=10_000)
    batch_videos: int = Field(ge=1, le=4096)
    batch_parts: int = Field(ge=1, le=64, description="Parts of a batch that go through the network apart.")
    optimizer: Literal["adamw", "adam"]
    lr: float = Field(gt=0, le=10)
    eps: float = Field(gt=0, le=1)
    weight_decay: float = Field(ge=0, le=10)
    schedule: Literal["one_cycle", "steps"]
    lr_drop_epochs: list[Annotated[int, Field(ge=1)]] | None = Field(description="Epochs where `steps` divides by 10.")
    lr_scale_classifier: LrScale
    lr_scale_stem: LrScale
    lr_scale_rest: LrScale
    select: Select
    train: Literal["all", "classifier"] = Field(description="Layers that learn from labels.")

    @model_validator(mode="after")
    def _weights_exist(self) -> Self:
        if self.pretrained and self.arch != "efficientnet_b0":
            raise ValueError(f"pretrained needs arch: efficientnet_b0; nobody published weights for {self.arch}")
        if self.checkpoint is not None and not self.pretrained:
            raise ValueError("checkpoint names the weights of pretrained: true; it does nothing here, set it to null")
        return self

    @model_validator(mode="after")
    def _drops_go_with_steps(self) -> Self:
        drops = self.lr_drop_epochs
        if (self.schedule == "steps") != (drops is not None):
            raise ValueError("lr_drop_epochs is a list of epochs with schedule: steps, and null otherwise")
        if drops is not None and drops != sorted(set(drops)):
            raise ValueError("lr_drop_epochs must ascend, each epoch once")
        return self

    @model_validator(mode="after")
    def _crops_have_a_size(self) -> Self:
        if self.mirror == "complement" and self.encoding != "bytes":
            raise ValueError("mirror: complement is arithmetic of bytes (255 - v); it needs encoding: bytes")
        if self.input_px is None and (self.train_crops == "cut" or self.eval_crops == 10):
            raise ValueError("train_crops: cut and eval_crops: 10 cut squares of input_px, which must be a number")
        if self.mirrored_crops == "coin" and self.eval_crops == 1:
            raise ValueError("mirrored_crops: coin needs eval_crops: 10; one crop has no mirrored half")
        return self

    @model_validator(mode="after")
    def _parts_have_statistics(self) -> Self:
        if self.batch_parts > 1 and self.batch_videos < 2 * self.batch_parts:
            raise ValueError(
                f"batch_parts: {self.batch_parts} needs batch_videos of {2 * self.batch_parts} or more, two in a part: "
                "batch statistics of one video are undefined"
            )
        return self


class MotionPretrainParams(Section):
    """Section `motion_pretrain`: what the motion network learns from vectors before it sees a label."""

    method: Literal["none", "mcl", "mae"]
    videos: Literal["train", "all"] = Field(
        description="Of a split: those it learns labels from, or held-out ones too."
    )


def as_vit(params: MotionNetParams, vit: MotionVitParams) -> MotionNetParams:
    """The parameters of the motion network as a Transformer: section `motion_vit` has its own of these.

    Raises:
        ParamsError: the two do not go together.
    """
    values = {
        **params.model_dump(),
        **{"arch": "vit", "pretrained": False, "checkpoint": None},
        **{"segments": vit.segments, "eval_segments": vit.segments, "input_px": vit.input_px},
        **{"epochs": vit.epochs, "lr": vit.lr, "weight_decay": vit.weight_decay},
    }
    return validated("motion_net", MotionNetParams, values)


_UNSAID: dict[str, Any] = {"train": "all", "batch_parts": 1}
_THEN: dict[str, dict[str, Any]] = {"motion": {"distance": "as_coded"}, "motion_net": _UNSAID}
"""What a parameter was, by section, before it had its name."""


class MotionInput(Section):
    """How a video becomes what a trained motion network takes; kept beside its weights. Seed and split choose coins."""

    motion: MotionParams
    motion_net: MotionNetParams
    seed: int = Field(ge=0)
    split: int = Field(ge=1)

    @model_validator(mode="before")
    @classmethod
    def _of_before(cls, values: Any) -> Any:
        """Networks that were saved before layers could be left untrained trained all, and read vectors as coded; their
        batches were whole.
        """
        if not isinstance(values, Mapping):
            return values
        known = {name: {**then, **own} for name, then in _THEN.items() if isinstance(own := values.get(name), Mapping)}
        return {**values, **known}

    def saved(self) -> dict[str, Any]:
        """Plain values for a file; that all layers were trained, by whole batches, goes unsaid."""
        values = self.model_dump()
        values["motion_net"] = dict(item for item in values["motion_net"].items() if item not in _UNSAID.items())
        return values
