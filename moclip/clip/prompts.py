"""Prompts of the classes: every template of a set with every phrase of a class, or with its name in words."""

import difflib
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import Field, ValidationError, field_validator
from ruamel.yaml import YAMLError

from moclip.base.errors import ParamsError
from moclip.base.outside import yaml
from moclip.params.section import Section

T = TypeVar("T", bound=Section)
_SHOWN = 5  # prompts that are named one by one

log = logging.getLogger(__name__)
_WORD_BREAK = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[^\W\d])(?=\d)|(?<=\d)(?=[a-z])|[\W_]+")


class _Phrases(Section):
    phrases: dict[str, list[str]]

    @field_validator("phrases")
    @classmethod
    def _say_something(cls, phrases: dict[str, list[str]]) -> dict[str, list[str]]:
        owners: dict[str, str] = {}
        for name, own in phrases.items():
            if not own:
                raise ValueError(f"class {name!r} has an empty list; give it a phrase, or leave the class out")
            for phrase in own:
                if not phrase.strip():
                    raise ValueError(f"class {name!r} has an empty phrase; fill it in or remove it")
                first = owners.get(_plain(phrase))
                if first is not None:
                    of = f"classes {first!r} and {name!r}" if first != name else f"class {name!r}"
                    raise ValueError(f"phrase {phrase!r} of {of} may stand here once: it could tell nothing apart")
                owners[_plain(phrase)] = name
        return phrases


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


def check_classes(prompts: Prompts, classes: Sequence[str], place: Path) -> None:
    """Hold the phrases of a file against the classes that there are.

    A file may know more classes than are chosen. One that names a class which is not there, while a class that is there
    has no phrase, is taken for mistyped.

    Raises:
        ParamsError: a class of the file is unknown, and a class has no phrase of its own.
    """
    unknown = [name for name in prompts.phrases if name not in classes]
    without = [name for name in classes if name not in prompts.phrases]
    if unknown and without:
        near = difflib.get_close_matches(unknown[0], without, n=1, cutoff=0.0)
        raise ParamsError(
            f"{place}: has phrases of {unknown[0]!r}, which is no class here, and none of {(near or without)[0]!r}; "
            f"mend the name, or give {len(without)} classes without phrases one (their names in words do), or set "
            "clip.prompts to prompts/names.yaml, which takes all names in words"
        )


def check_lengths(by_class: Mapping[str, Sequence[str]], needed: Sequence[int], read: int, place: Path) -> None:
    """Refuse prompts that become one when an encoder cuts them, and warn of those that lose their end.

    Args:
        by_class: All prompts of each class.
        needed: Tokens of each prompt, in this order.
        read: Tokens that the encoder reads.
        place: File of the phrases, for messages.
    """
    texts = [(name, text) for name, of_class in by_class.items() for text in of_class]
    long = [(name, text, count) for (name, text), count in zip(texts, needed, strict=True) if count > read]
    for name, text, count in long[:_SHOWN]:
        log.warning(
            "%s: class %s: the prompt %r has %d tokens, of which this CLIP reads %d; its end is lost, so shorten the "
            "phrase or choose shorter clip.templates",
            *(place, name, text, count, read),
        )
    if len(long) > _SHOWN:
        log.warning("%s: %d prompts of %d are cut in all", place, len(long), len(texts))


def check_apart(by_class: Mapping[str, Sequence[str]], tokens: Sequence[Sequence[int]], place: Path) -> None:
    """Refuse two prompts that an encoder reads as one.

    Args:
        by_class: All prompts of each class.
        tokens: What the encoder reads of each prompt, in this order.
        place: File of the phrases, for messages.

    Raises:
        ParamsError: names both prompts with their classes.
    """
    seen: dict[tuple[int, ...], tuple[str, str]] = {}
    texts = [(name, text) for name, of_class in by_class.items() for text in of_class]
    for (name, text), read in zip(texts, tokens, strict=True):
        first, other = seen.setdefault(tuple(read), (name, text))
        if (first, other) != (name, text):
            raise ParamsError(
                f"{place}: this CLIP reads the prompts {other!r} of class {first} and {text!r} of class {name} as one; "
                "reword or shorten a phrase, or choose shorter clip.templates"
            )


def _plain(phrase: str) -> str:
    """A phrase as tokenizers read it: case and spaces do not count."""
    return " ".join(phrase.lower().split())


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
        return form.model_validate(yaml.load(path))
    except (OSError, YAMLError, ValidationError) as error:
        raise ParamsError(f"{path}: not a file of prompts ({error})") from error
