"""Parameters of the demo's own CLIP."""

from pydantic import Field

from moclip.params.section import Section


class DemoClipParams(Section):
    """Section `demo_clip`: training of the tiny CLIP of the demo on captioned stills."""

    stills: int = Field(ge=64, le=1_000_000)
    epochs: int = Field(ge=1, le=1000)
    lr: float = Field(gt=0, le=1)
    batch_images: int = Field(ge=2, le=4096)
