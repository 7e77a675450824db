"""Prompts of the classes: templates and phrases from a file, or the class name in words."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, ValidationError, field_validator
from ruamel.yaml import YAML, YAMLError

from moclip.errors import ParamsError
from moclip.schema.base import Section

_WORD_BREAK = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[^\W\d])(?=\d)|(?<=\d)(?=[a-z])|[\W_]+")


class _File(Section):
    templates: list[str] = Field(min_length=1)
    phrases: dict[str, list[str]]

    @field_validator("templates")
    @classmethod
    def _one_slot(cls, templates: list[str]) -> list[str]:
        for template in templates:
            if template.count("{}") != 1:
                raise ValueError(f"template {template!r} must hold {{}} once, for the phrase")
        return templates


@dataclass(frozen=True)
class Prompts:
    """Templates with one `{}` each, and phrases by class name."""

    templates: Sequence[str]
    phrases: Mapping[str, Sequence[str]]

    def of(self, class_name: str) -> list[str]:
        """Every template with every phrase of a class; without a phrase, its name in words."""
        phrases = self.phrases.get(class_name) or [words(class_name)]
        return [template.replace("{}", phrase) for phrase in phrases for template in self.templates]


def words(class_name: str) -> str:
    """A CamelCase class name in lower-case words.

    >>> words("BoxingPunchingBag")
    'boxing punching bag'
    """
    return _WORD_BREAK.sub(" ", class_name).strip().lower() or class_name


def read_prompts(path: Path) -> Prompts:
    """Read `templates` and `phrases` from YAML.

    Raises:
        ParamsError: the file is missing, is not YAML, or breaks the form.
    """
    try:
        content = _File.model_validate(YAML(typ="safe", pure=True).load(path))
    except (OSError, YAMLError, ValidationError) as error:
        raise ParamsError(f"{path}: not a file of prompts ({error})") from error
    return Prompts(content.templates, content.phrases)
