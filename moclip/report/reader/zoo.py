"""The zoo: preset by preset what it runs, costs and gives, as a page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moclip.base.errors import ParamsError
from moclip.base.files import read_json
from moclip.base.markdown import NO_VALUE
from moclip.heads.registry import HEADS
from moclip.params.presets.apply import set_back
from moclip.params.presets.files import DEFAULTS, Preset, read_presets
from moclip.report.papers import Accuracy, read_papers
from moclip.report.render import render

_DATA = {"demo": "generated videos", "ucf101": "UCF101", "hmdb51": "HMDB51", "folder": "a folder of your own"}


def as_markdown(directory: Path) -> str:
    """The page of all presets of a folder; files of figures are looked for beside that folder.

    Raises:
        ParamsError: a preset, or a file of figures that it names, cannot be read.
    """
    presets = read_presets(directory)
    return render(
        "zoo.md.j2",
        bases=[_base_row(one, presets, directory.parent) for one in presets.values() if one.is_base],
        overlays=[one for one in presets.values() if not one.is_base],
    )


def _base_row(preset: Preset, presets: Mapping[str, Preset], root: Path) -> dict[str, Any]:
    figures = preset.about.figures
    return {
        "preset": preset,
        "runs": _runs(presets[DEFAULTS].values | set_back(preset, presets) | preset.values),
        "figures": _figures(root, figures) if figures else NO_VALUE,
    }


def _runs(values: Mapping[str, Any]) -> str:
    """What a run with these parameters is, in words."""
    classes = f", {len(values['data.classes'])} classes" if values["data.classes"] else ""
    clip = "a tiny CLIP that is trained" if values["clip.model"] == "demo" else f"CLIP {values['clip.model']}"
    chosen = {"val": "validation", "test": "the test list", "last": "no list: the last one"}[values["fusion.select"]]
    return (
        f"{_DATA[values['data.source']]}{classes}; {clip}; motion network {values['motion_net.arch']}; "
        f"{len(values['heads'])} heads; splits {', '.join(map(str, values['splits']))}; trainings of each head: "
        f"{values['seeds.heads']}; epochs chosen on {chosen}"
    )


def _figures(root: Path, place: str) -> str:
    """Top-1 by head, with the file that has it."""
    path = root / place
    if not path.is_file():
        raise ParamsError(f"{path}: is to have the figures of a preset, and is not there; `about.figures` names it")
    if path.suffix == ".json":
        heads = read_json(path)["heads"]
        top1 = {head: heads[head]["top1_pct"]["mean"] for head in HEADS if head in heads}
        return f"{_listed(top1)} ([the recorded run](../{place}))"
    claims = read_papers(path.parent)[path.stem].claims
    top1 = {claim.head: claim.value for claim in claims if isinstance(claim, Accuracy)}
    return f"{_listed(top1)} ([claimed](../{place}); not run here)"


def _listed(top1: Mapping[str, float]) -> str:
    return ", ".join(f"{head} {value:.1f}" for head, value in top1.items())
