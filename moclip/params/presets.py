"""Ready-made settings: write a partial parameters file into the whole one, comments kept.

A base preset chooses the data: it sets `data.source`. It sets back whatever another base preset sets and it does not,
to what `demo` has there, so that nothing of the preset before stays. Any other preset is an overlay of its own keys.
"""

from collections.abc import Callable, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML, YAMLError
from ruamel.yaml.comments import CommentedSeq

from moclip.base.errors import ParamsError
from moclip.base.outputs import claim_edit, editing
from moclip.base.outside import yaml
from moclip.params.flat import leaves

DEFAULTS = "demo"  # the preset that holds what others set back
SOURCE = "data.source"


def list_presets(directory: Path) -> dict[str, str]:
    """Names of the presets with what they are for: the comment on their first line."""
    return {path.stem: _purpose(path) for path in sorted(directory.glob("*.yaml"))}


def apply_preset(name: str, directory: Path, params: Path, check: Callable[[Mapping[str, Any]], None]) -> list[str]:
    """Write the values of a preset into a parameters file; all else stays as it is, comments too.

    Args:
        name: Of the preset.
        directory: Where presets lie.
        params: The file to write into.
        check: Refuses a whole parameters file that breaks a rule, as `moclip.heads.registry.check_params` does.

    Returns:
        Dotted names of the parameters that it set back to another value and does not hold itself.

    Raises:
        ParamsError: no such preset, a key that the parameters do not have or that cannot be set back, or a result that
            breaks a rule; the file is left as it was.
        OutputError: the file is a link, the preset itself, or cannot be written.
    """
    known = list_presets(directory)
    if name not in known:
        raise ParamsError(f"preset {name!r}: no such preset; there are {', '.join(known) or 'none'}")
    preset = directory / f"{name}.yaml"
    claim_edit(params, [preset])
    form = YAML()  # its defaults are how `dvc exp run -S` writes; comments are kept
    form.width = 4096
    whole = _load(form, params)
    before = dict(leaves(_load(_plain(), params)))
    back = set_back(name, directory)
    _merge(whole, _nested(back), "")
    _merge(whole, _load(_plain(), preset), "")
    text = StringIO()
    form.dump(whole, text)
    check(_plain().load(text.getvalue()))
    with editing(params, [preset]) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8", newline="\n")
    return [key for key, value in back.items() if before.get(key) != value]


def set_back(name: str, directory: Path) -> dict[str, Any]:
    """What a base preset sets back, by dotted name: what other base presets set and it does not, as `demo` has it.

    Raises:
        ParamsError: `demo` does not have it.
    """
    bases = {one: values for one in list_presets(directory) if SOURCE in (values := _leaves(directory / f"{one}.yaml"))}
    if name not in bases:
        return {}
    found: dict[str, Any] = {}
    for other, values in bases.items():
        for key in values.keys() - bases[name].keys():
            if key not in bases.get(DEFAULTS, {}):
                raise ParamsError(
                    f"preset {name!r}: cannot set back '{key}', which preset {other!r} sets; add it to {DEFAULTS}.yaml"
                )
            found[key] = bases[DEFAULTS][key]
    return dict(sorted(found.items()))


def _leaves(path: Path) -> dict[str, Any]:
    return dict(leaves(_load(_plain(), path)))


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in values.items():
        *sections, key = name.split(".")
        part = tree
        for section in sections:
            part = part.setdefault(section, {})
        part[key] = value
    return tree


def _plain() -> YAML:
    return YAML(typ="safe", pure=True)


def _purpose(path: Path) -> str:
    return path.read_text(encoding="utf-8").splitlines()[0].removeprefix("#").strip()


def _load(form: YAML, path: Path) -> Any:
    try:
        content = yaml.load(path, form)
    except (OSError, YAMLError) as error:
        raise ParamsError(f"{path}: cannot be read ({error})") from error
    if not isinstance(content, Mapping):
        raise ParamsError(f"{path}: must be a mapping of sections")
    return content


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
