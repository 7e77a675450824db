"""Ready-made settings: write a partial parameters file into the whole one, comments kept."""

from collections.abc import Callable, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML, YAMLError
from ruamel.yaml.comments import CommentedSeq

from moclip.base.errors import ParamsError
from moclip.base.outputs import claim_edit, editing


def list_presets(directory: Path) -> dict[str, str]:
    """Names of the presets with what they are for: the comment on their first line."""
    return {path.stem: _purpose(path) for path in sorted(directory.glob("*.yaml"))}


def apply_preset(name: str, directory: Path, params: Path, check: Callable[[Mapping[str, Any]], None]) -> None:
    """Write the values of a preset into a parameters file; all else stays as it is, comments too.

    Args:
        name: Of the preset.
        directory: Where presets lie.
        params: The file to write into.
        check: Refuses a whole parameters file that breaks a rule, as `moclip.heads.registry.check_params` does.

    Raises:
        ParamsError: no such preset, a key that the parameters do not have, or a result that breaks a
            rule; the file is left as it was.
        OutputError: the file is a link, the preset itself, or cannot be written.
    """
    known = list_presets(directory)
    if name not in known:
        raise ParamsError(f"preset {name!r}: no such preset; there are {', '.join(known) or 'none'}")
    preset = directory / f"{name}.yaml"
    claim_edit(params, [preset])
    yaml = YAML()  # its defaults are how `dvc exp run -S` writes; comments are kept
    yaml.width = 4096
    whole = _load(yaml, params)
    _merge(whole, _load(YAML(typ="safe", pure=True), preset), "")
    text = StringIO()
    yaml.dump(whole, text)
    check(YAML(typ="safe", pure=True).load(text.getvalue()))
    with editing(params, [preset]) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8", newline="\n")


def _purpose(path: Path) -> str:
    return path.read_text(encoding="utf-8").splitlines()[0].removeprefix("#").strip()


def _load(yaml: YAML, path: Path) -> Any:
    try:
        content = yaml.load(path)
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
