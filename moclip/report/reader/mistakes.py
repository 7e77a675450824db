"""The test videos that a head gets wrong, rescues or loses against another: as a page to look at, and for FiftyOne."""

import base64
import html
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.special import softmax

from moclip.base.errors import DataError
from moclip.report.contact_sheet import Tile, field_of
from moclip.report.reader.onefile import document
from moclip.results.predictions import Predictions

KINDS = {
    "rescued": "right, where {other} is wrong",
    "lost": "wrong, where {other} is right",
    "both": "wrong, as {other} is",
}
METADATA, SAMPLES = "metadata.json", "samples.json"
_TOP = 3
_PICTURE_PX = (240, 180)
_STYLE = """
section { display: grid; grid-template-columns: repeat(auto-fill, minmax(30rem, 1fr)); gap: 1.5rem }
figure { margin: 0; border: 1px solid #ccc; padding: .6rem } figure img { margin-right: .3rem }
figcaption { font-weight: 600; overflow-wrap: anywhere }
td.right { font-weight: 600 } figure table { font-size: .85rem }
"""


@dataclass(frozen=True)
class Case:
    """One test video: its kind (of `KINDS`) and what each head says of it, the `_TOP` likeliest first, with 0..1."""

    id: str
    actual: str
    kind: str
    answers: Mapping[str, Sequence[tuple[str, float]]]


def cases(said: Mapping[str, Predictions], main: str, other: str) -> list[Case]:
    """The videos that one of two heads gets wrong: by kind, and within it the surest answer of `main` first.

    Args:
        said: What each head says of one split.
        main: The head that is asked about.
        other: The head that it is held against.

    Raises:
        DataError: a head has other videos, labels or classes than `main`.
    """
    first = said[main]
    chances = {head: _in_order_of(first, own, head, main) for head, own in said.items()}
    top = {head: np.argsort(-values, axis=1, kind="stable")[:, :_TOP] for head, values in chances.items()}
    found = []
    for row in np.argsort(-chances[main].max(axis=1), kind="stable"):
        right, others = (bool(top[head][row, 0] == first.labels[row]) for head in (main, other))
        if right and others:
            continue
        answers = {
            head: [(str(first.classes[k]), float(chances[head][row, k])) for k in top[head][row]] for head in said
        }
        kind = "rescued" if right else "lost" if others else "both"
        found.append(Case(str(first.ids[row]), str(first.classes[first.labels[row]]), kind, answers))
    return sorted(found, key=lambda case: list(KINDS).index(case.kind))


def first_of_each(found: Sequence[Case], most: int) -> Iterator[Case]:
    """The first cases of each kind."""
    for kind in KINDS:
        yield from [case for case in found if case.kind == kind][:most]


def page(
    found: Sequence[Case], tiles: Mapping[str, Tile], titles: Mapping[str, str], main: str, other: str, of: str
) -> str:
    """One HTML file with the pictures inside.

    Args:
        found: As of `cases`.
        tiles: A frame and the motion field of each video that is shown; of the others counts alone.
        titles: Of the heads.
        main: As of `cases`.
        other: As of `cases`.
        of: What was tested, as data set and split.
    """
    parts = [f"<h1>Where {html.escape(titles[main])} and {html.escape(titles[other])} err: {html.escape(of)}</h1>"]
    for kind, words in KINDS.items():
        own = [case for case in found if case.kind == kind]
        shown = [case for case in own if case.id in tiles]
        said = words.format(other=html.escape(titles[other]))
        more = f", the surest {len(shown)} shown" if len(shown) < len(own) else ""
        parts.append(f"<h2>{html.escape(titles[main]).capitalize()} {said}: {_videos(len(own))}{more}</h2>\n<section>")
        parts += [_figure(case, tiles[case.id], titles) for case in shown]
        parts.append("</section>")
    return document(f"Errors: {of}", "\n".join(parts), _STYLE)


def for_fiftyone(found: Sequence[Case], videos: Mapping[str, Path], folder: Path) -> None:
    """Write cases as FiftyOne reads them: `fiftyone.Dataset.from_dir(DIR, fiftyone.types.FiftyOneDataset)`.

    Videos stay where they are. Each sample has its kind as a tag, the class as `ground_truth` and the likeliest answer
    of each head as a classification with its confidence.
    """
    samples = [
        {
            "filepath": str(videos[case.id].absolute()),
            "tags": [case.kind],
            "metadata": None,
            "_media_type": "video",
            "frames": f"frames/{number}.json",
            "ground_truth": _classification(case.actual),
            **{head: _classification(*answers[0]) for head, answers in case.answers.items()},
        }
        for number, case in enumerate(found)
    ]
    for sample in samples:
        (frames := folder / str(sample["frames"])).parent.mkdir(exist_ok=True)
        frames.write_text('{"frames": {}}\n', encoding="utf-8")
    (folder / METADATA).write_text(json.dumps({"media_type": "video", "info": {}}) + "\n", encoding="utf-8")
    (folder / SAMPLES).write_text(json.dumps({"samples": samples}, indent=1) + "\n", encoding="utf-8")


def _in_order_of(first: Predictions, own: Predictions, head: str, main: str) -> np.ndarray:
    """Probabilities (n, c) of a head, in the order of another's videos."""
    place = {video: i for i, video in enumerate(own.ids.tolist())}
    order = [place.get(video, -1) for video in first.ids.tolist()]
    same = len(place) == len(order) and min(order) >= 0 and own.classes.tolist() == first.classes.tolist()
    if not same or own.labels[order].tolist() != first.labels.tolist():
        raise DataError(f"{head} was tested on other videos, labels or classes than {main}; run `dvc repro` for both")
    return np.asarray(softmax(own.logits[order].astype(np.float64), axis=1))


def _videos(count: int) -> str:
    return f"{count} video{'' if count == 1 else 's'}"


def _figure(case: Case, tile: Tile, titles: Mapping[str, str]) -> str:
    rows = "\n".join(
        f"<tr><td>{html.escape(titles[head])}</td>{''.join(_cell(case, *answer) for answer in answers)}</tr>"
        for head, answers in case.answers.items()
    )
    pictures = "".join(
        f'<img alt="{alt}" src="{_jpeg(picture)}">'
        for alt, picture in (("frame", Image.fromarray(tile.frame)), ("motion field", field_of(tile)))
    )
    caption = f"{html.escape(case.actual)} <small>{html.escape(case.id)}</small>"
    return f"<figure>{pictures}<figcaption>{caption}</figcaption><table>{rows}</table></figure>"


def _cell(case: Case, name: str, chance: float) -> str:
    right = ' class="right"' if name == case.actual else ""
    return f"<td{right}>{html.escape(name)} {100 * chance:.0f} %</td>"


def _jpeg(picture: Image.Image) -> str:
    picture.thumbnail(_PICTURE_PX)
    made = io.BytesIO()
    picture.convert("RGB").save(made, format="JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(made.getvalue()).decode()}"


def _classification(label: str, chance: float | None = None) -> dict[str, object]:
    known = {} if chance is None else {"confidence": chance}
    return {"_cls": "Classification", "tags": [], "label": label, **known}
