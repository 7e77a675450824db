"""Prompts of the classes: every template of a set with every phrase of a class, or with its name in words."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import Field, ValidationError, field_validator
from ruamel.yaml import YAML, YAMLError

from moclip.base.errors import ParamsError
from moclip.params.section import Section

T = TypeVar("T", bound=Section)
_WORD_BREAK = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[^\W\d])(?=\d)|(?<=\d)(?=[a-z])|[\W_]+")


class _Phrases(Section):
    phrases: dict[str, list[str]]


class _Templates(Section):
    templates: list[str] = Field(min_length=1)

    @field_validator("templates")
    @classmethod
    def _one_slot(cls, templates: list[str]) -> list[str]:
        for template in templates:
            if template.count("{}") != 1:
                raise ValueError(f"template {template!r} must hold {{}} once, for the phrase")
            if templates.count(template) > 1:
                raise ValueError(f"template {template!r} may stand here once")
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


def read_prompts(phrases: Path, templates: Path) -> Prompts:
    """Read `phrases` by class name from one YAML file, and a set of `templates` from another.

    Raises:
        ParamsError: a file is missing, is not YAML, or breaks the form.
    """
    return Prompts(_read(templates, _Templates).templates, _read(phrases, _Phrases).phrases)


def _read(path: Path, form: type[T]) -> T:
    try:
        return form.model_validate(YAML(typ="safe", pure=True).load(path))
    except (OSError, YAMLError, ValidationError) as error:
        raise ParamsError(f"{path}: not a file of prompts ({error})") from error
