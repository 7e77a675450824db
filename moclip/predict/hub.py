"""Bundles on the Hugging Face Hub: fetched file by file as their manifest lists them, pushed with a model card."""

import re
import shutil
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from moclip.base.errors import ParamsError
from moclip.base.files import MAX_FACTS_MIB, atomic_path, sha256_file
from moclip.heads.registry import HEADS
from moclip.predict.bundle import MANIFEST, ModelFiles, most_bytes, read_manifest
from moclip.predict.origin import Origin, Score, introduction

SCHEME = "hf://"
CARD = "README.md"
_REPOSITORY = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}", re.ASCII)


def repository_of(address: str) -> str:
    """The name `owner/name` in `hf://owner/name`, or the name itself.

    Raises:
        ParamsError: it is none.
    """
    name = address.removeprefix(SCHEME)
    if not _REPOSITORY.fullmatch(name) or ".." in name:
        raise ParamsError(f"{address}: is no repository of a hub; write {SCHEME}ORG/NAME")
    return name


def fetch_bundle(address: str, cache: Path) -> Path:
    """The bundle of a repository, as plain files in a folder of its own; what is there already needs no network.

    Args:
        address: `hf://ORG/NAME`.
        cache: Directory that keeps bundles by repository and manifest.

    Raises:
        ParamsError: the address names no repository.
        DataError: the hub does not have it, or cannot be reached.
        StoreError: its manifest breaks a rule, or a file arrived damaged.
    """
    from moclip.base.hub import hub_file  # a second

    name = repository_of(address)
    manifest = hub_file(name, [MANIFEST], most_bytes=MAX_FACTS_MIB << 20)
    folder = cache / f"{name.replace('/', '--')}-{sha256_file(manifest)[:16]}"
    if not folder.is_dir():
        with atomic_path(folder) as temporary:
            for file in (MANIFEST, *read_manifest(manifest.parent).files):
                target = temporary / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(hub_file(name, [file], most_bytes=most_bytes(file)), target)
    return folder


def hub_card(repository: str, files: ModelFiles, level_pct: float | None) -> str:
    """README.md of a repository: the hub's metadata with results by head, and what a reader needs before the files.

    Args:
        repository: Its name.
        files: The model.
        level_pct: Confidence level of the intervals; None where there are none.
    """
    origin, name = files.origin, repository.rpartition("/")[2]
    facts: dict[str, Any] = {
        "library_name": "moclip",
        "pipeline_tag": "video-classification",
        "license": "other",
        "license_name": "weights-rest-on-videos-and-clip",
        "tags": ["video-classification", "clip", "motion-vectors", "compressed-video"],
    }
    if origin is not None:
        results = list(_results(origin, files.split, level_pct))
        facts |= {"datasets": [origin.dataset], "model-index": [{"name": name, "results": results}]}
    text = StringIO()
    form = YAML()
    form.width = 4096
    form.dump(facts, text)
    best = max(files.heads, key=list(HEADS).index, default=next(iter(HEADS)))  # the first is there untrained
    return f"""---
{text.getvalue()}---
# {name}

{introduction(best, files.split, files.classes, origin)}.

{_table(origin, files.split, level_pct)}

```sh
moclip predict VIDEO.avi --model {SCHEME}{repository}
```

The code of moclip is Apache-2.0. Trained weights also rest on the videos and on CLIP's weights, whose own terms hold.
The figures are those of whoever made this; no check makes them true. Not for naming or judging persons, surveillance,
or any decision about people.
"""


def _results(origin: Origin, split: int, level_pct: float | None) -> Iterator[dict[str, Any]]:
    for head, score in origin.scores.items():
        yield {
            "task": {"type": "video-classification"},
            "dataset": {"name": origin.dataset, "type": origin.dataset, "split": f"test of split {split}"},
            "metrics": [
                {
                    "type": "accuracy",
                    "name": f"top-1 of {head} in %{_interval(score, level_pct)}",
                    "value": round(score.pct, 2),
                }
            ],
        }


def _table(origin: Origin | None, split: int, level_pct: float | None) -> str:
    if origin is None:
        return "What it was trained on is not recorded with it."
    kind = "generated demo videos" if origin.generated else f"videos of {origin.dataset}"
    rows = [
        f"| {_title(head)} | {score.pct:.1f}{_interval(score, level_pct)} | {score.of} |"
        for head, score in origin.scores.items()
    ]
    head = f"| head | top-1 in % on the test list of split {split} | videos |\n| --- | --- | ---: |"
    return "\n".join([f"Trained on {origin.videos} {kind}.", "", head, *rows])


def _title(head: str) -> str:
    return HEADS[head].title if head in HEADS else head


def _interval(score: Score, level_pct: float | None) -> str:
    if score.interval_pct is None or level_pct is None:
        return ""
    low, high = score.interval_pct
    return f" ({level_pct:g} % interval over recordings: {low:.1f} to {high:.1f})"
