"""A suite of encoders: published CLIPs that the same videos, prompts and heads are tried on."""

import re
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator
from ruamel.yaml import YAMLError

from moclip.base.errors import ParamsError
from moclip.base.outside import yaml
from moclip.params.section import Section, validated

_NO_OTHER_SOURCE = dict.fromkeys(("clip.checkpoint", "clip.precomputed", "clip.patch", "clip.patch_share"))


class Encoder(Section):
    """One encoder, as open_clip names it."""

    model: str = Field(min_length=1, description="`demo`, a model name of open_clip, or `hf-hub:ORG/NAME`.")
    tag: str | None = Field(default=None, description="open_clip's tag of the weights; null for the other two.")

    @property
    def name(self) -> str:
        """Model and tag as one word, for the name of an experiment.

        >>> Encoder(model="ViT-B-32", tag="laion2b_s34b_b79k").name
        'vit-b-32-laion2b-s34b-b79k'
        """
        words = re.split(r"[^a-z0-9]+", f"{self.model} {self.tag or ''}".lower())
        return "-".join(filter(None, words))

    @property
    def changes(self) -> dict[str, Any]:
        """Parameters by dotted name that make it the CLIP of a run."""
        return {"clip.model": self.model, "clip.pretrained": self.tag, **_NO_OTHER_SOURCE}


class EncoderSuite(Section):
    """A file of encoders."""

    encoders: list[Encoder] = Field(min_length=1)
    set: dict[str, Any] = Field(default={}, description="Parameters by dotted name that all encoders share.")

    @model_validator(mode="after")
    def _once_each(self) -> "EncoderSuite":
        names = [encoder.name for encoder in self.encoders]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"encoder {twice[0]} stands twice")
        if own := sorted({"heads", "seed", *self.encoders[0].changes} & self.set.keys()):
            raise ValueError(f"set: {own[0]} is the suite's own")
        return self


def read_encoders(path: Path) -> EncoderSuite | None:
    """The encoders of a suite's file; None where it is a list, of questions.

    Raises:
        ParamsError: the file is unreadable, or breaks a rule.
    """
    try:
        content = yaml.load(path)
    except (OSError, YAMLError) as error:
        raise ParamsError(f"{path}: cannot be read ({error})") from error
    return None if isinstance(content, list) else validated(str(path), EncoderSuite, content)
