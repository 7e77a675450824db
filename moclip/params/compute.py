"""Parameters of the hardware and its arithmetic, and of how much of it one video may take."""

from typing import Literal

from pydantic import Field

from moclip.params.section import Section


class ComputeParams(Section):
    """Section `compute`: where and how exactly networks run."""

    kernels: Literal["portable", "native"] = Field(
        description="`portable` gives the same bytes on every x86-64 machine with AVX2; `native` is the fastest here."
    )
    device: Literal["cpu", "cuda", "auto"]
    amp: Literal[False, "bf16", "fp16"] = Field(description="Type of automatic mixed precision, or false.")
    channels_last: bool
    deterministic: Literal[True, "warn", False]


class LimitsParams(Section):
    """Section `limits`: a video beyond one of them is refused by its name; `moclip.video.bounded.limits` says more.

    They move no number, so no stage runs again when they change.
    """

    pixels: int = Field(ge=1, description="Width times height of a picture, also while a file is opened.")
    frames: int = Field(ge=1, description="Frames that are decoded.")
    decoded_gib: float = Field(gt=0, description="All pictures of a video as they are decoded.")
    seconds: float = Field(gt=0, description="Time that decoding takes.")
    memory_mib: int = Field(ge=256, description="Memory of a decoding process, beside what it had before.")
