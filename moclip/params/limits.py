"""What one video may cost to decode."""

from pydantic import Field

from moclip.params.section import Section


class LimitsParams(Section):
    """Section `limits`: a video beyond one of them is refused by its name; `moclip.video.bounded.limits` says more.

    They move no number, so no stage runs again when they change.
    """

    pixels: int = Field(ge=1, description="Width times height of a picture, also while a file is opened.")
    frames: int = Field(ge=1, description="Frames that are decoded.")
    decoded_gib: float = Field(gt=0, description="All pictures of a video as they are decoded.")
    seconds: float = Field(gt=0, description="Time that decoding takes.")
    memory_mib: int = Field(ge=256, description="Memory of a decoding process, beside what it had before.")
