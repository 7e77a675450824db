"""Write a stack of presets into the whole parameters, comments kept.

A base sets back whatever another base sets and it does not, to what `demo` has there, so that nothing of the preset
before stays. An overlay sets its own keys alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedSeq

from moclip.base.errors import ParamsError
from moclip.base.outputs import claim_edit, editing
from moclip.params.flat import leaves
from moclip.params.presets.files import DEFAULTS, Preset, find, load, plain, read_presets


@dataclass(frozen=True)
class Change:
    """A parameter that got another value."""

    key: str
    old: Any
    new: Any


@dataclass(frozen=True)
class Applied:
    """What one preset of a stack changed: by its own values, and by setting back what it does not hold."""

    preset: Preset
    own: list[Change]
    set_back: list[Change]


def apply_presets(
    names: Sequence[str], directory: Path, params: Path, check: Callable[[Mapping[str, Any]], None]
) -> list[Applied]:
    """Write the values of presets into a parameters file, one over the other; all else stays as it is, comments too.

    Args:
        names: Of the presets, at least one; a base comes first.
        directory: Where presets lie.
        params: The file to write into.
        check: Refuses a whole parameters file that breaks a rule, as `moclip.heads.registry.check_params` does.

    Returns:
        For each preset what it changed of what the parameters, or the presets before it, had.

    Raises:
        ParamsError: presets that do not stack (see `find`), a key that the parameters do not have or that cannot be
            set back, or a result that breaks a rule; the file is left as it was.
        OutputError: the file is a link, a preset itself, or cannot be written.
    """
    presets = read_presets(directory)
    stack = find(list(names), presets)
    files = [directory / f"{preset.name}.yaml" for preset in stack]
    claim_edit(params, files)
    whole = load(_form(), params)
    done: list[Applied] = []
    for preset in stack:
        done.append(_apply(preset, set_back(preset, presets), whole))
        text = _dumped(whole)
        whole = _form().load(text)  # so that a stack writes what its presets one by one do
    check(plain().load(text))
    with editing(params, files) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
    return done


def set_back(preset: Preset, presets: Mapping[str, Preset]) -> dict[str, Any]:
    """What a base sets back, by dotted name: what other bases set and it does not, as `demo` has it.

    Raises:
        ParamsError: `demo` does not have it.
    """
    if not preset.is_base:
        return {}
    defaults = presets[DEFAULTS].values if DEFAULTS in presets else {}
    found: dict[str, Any] = {}
    for other in presets.values():
        if not other.is_base:
            continue
        for key in other.values.keys() - preset.values.keys():
            if key not in defaults:
                raise ParamsError(
                    f"preset {preset.name!r}: cannot set back '{key}', which preset {other.name!r} sets; "
                    f"add it to {DEFAULTS}.yaml"
                )
            found[key] = defaults[key]
    return dict(sorted(found.items()))


def _apply(preset: Preset, back: Mapping[str, Any], whole: Any) -> Applied:
    before = {key: list(value) if isinstance(value, list) else value for key, value in leaves(whole)}
    _merge(whole, _nested(back), "")
    _merge(whole, preset.tree, "")

    def changes(values: Mapping[str, Any]) -> list[Change]:
        return [Change(key, before.get(key), value) for key, value in values.items() if before.get(key) != value]

    return Applied(preset, changes(preset.values), changes(back))


def _form() -> YAML:
    form = YAML()  # its defaults are how `dvc exp run -S` writes; comments are kept
    form.width = 4096
    return form


def _dumped(whole: Any) -> str:
    text = StringIO()
    _form().dump(whole, text)
    return text.getvalue()


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in values.items():
        *sections, key = name.split(".")
        part = tree
        for section in sections:
            part = part.setdefault(section, {})
        part[key] = value
    return tree


def _merge(whole: Any, part: Mapping[str, Any], prefix: str) -> None:
    for key, value in part.items():
        if key not in whole:
            raise ParamsError(f"parameter '{prefix}{key}': no such parameter")
        if isinstance(value, Mapping) and isinstance(whole[key], Mapping):
            _merge(whole[key], value, f"{prefix}{key}.")
        elif isinstance(value, list) and isinstance(whole[key], list):
            _merge_list(whole, key, value)
        else:
            whole[key] = value


def _merge_list(section: Any, key: str, part: list[Any]) -> None:
    # In place: what stands above the next key hangs on the list's last item, or on the key where there is none.
    whole: CommentedSeq = section[key]
    trailing = whole.ca.items.pop(len(whole) - 1, None)
    whole[:] = part
    if not part:
        whole.fa.set_flow_style()
    if trailing is not None and part:
        whole.ca.items[len(part) - 1] = trailing
    elif trailing is not None:
        section.ca.items[key] = [None, None, trailing[0], None]
