"""Stage that searches long videos, composed of held-out clips on cached frames, in all ways, and says how well."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from moclip.base.files import atomic_path, write_json
from moclip.base.random import stream
from moclip.data.splits import Split, read_split
from moclip.demo.spec import PAIRS
from moclip.heads.fitted import Fitted
from moclip.heads.motion_only import MotionOnly
from moclip.heads.registry import module_of
from moclip.motion.fields import field_at
from moclip.motion.store import MotionStore
from moclip.params.data import DataParams
from moclip.params.frames import SearchParams
from moclip.params.run import Splits
from moclip.predict.loading import field_features
from moclip.search import trial
from moclip.search.films import Film, compose
from moclip.store.blocks import BlockStore
from moclip.store.features import read_features
from stages._entry import arguments, run, section
from stages._layout import split_file
from stages._results import level_of_params

HEADS = ("motion_only", "clip_probe", "fusion")


def main() -> None:
    args = arguments("classes", "splits", "frames", "texts", "fields", *HEADS, "out")
    found: dict[int, Any] = {}
    for split in section("splits", Splits):
        listed = read_split(split_file(args.splits, split, ".csv"), args.classes)
        heads = {head: module_of(head).load(split_file(getattr(args, head), split, "")) for head in HEADS}
        found[split] = one_split(listed, features(listed, args, heads), split)
    with atomic_path(args.out) as directory:
        write_json(directory / "search.json", summarised(found))


def features(listed: Split, args: Any, heads: Mapping[str, Fitted]) -> trial.Features:
    """What is known of the steps of all videos that may be searched or be an example."""
    store, motion = BlockStore(args.frames), MotionStore.open(args.fields)
    network: MotionOnly = heads["motion_only"]  # type: ignore[assignment]
    points = dict(zip(listed.ids, store.rows("points", listed.ids), strict=True))
    clip = dict(zip(listed.ids, store.rows("global", listed.ids), strict=True))
    wanted = {member.id for member in listed.members if member.part != "train"} | set(
        examples(listed, "train").values()
    )
    made = network.made_for.motion
    moved = {
        video: field_features(
            network, field_at(motion.clip(video), points[video], made.accumulate, made.window_frames or 1)
        )
        for video in sorted(wanted)
    }
    return trial.Features(clip, moved, read_features(args.texts).of(listed.classes), heads)


def examples(listed: Split, part: str) -> dict[int, str]:
    """A clip of each class of a part: the first by name."""
    found: dict[int, str] = {}
    for member in sorted(listed.part(part).members, key=lambda member: member.id):
        found.setdefault(member.label, member.id)
    return found


def one_split(listed: Split, seen: trial.Features, split: int) -> dict[str, Any]:
    """Figures of every way on one split, with what was chosen for it."""
    params, seed = section("search", SearchParams), section("data", DataParams).seed
    chunk_steps = params.chunk_s / params.every_s
    steps = {video: len(values) for video, values in seen.clip.items()}
    films, asked, left_out = {}, {}, {}
    for part in ("val", "test"):
        rng = stream(seed, "search", split, part)
        films[part], left_out[part] = compose(listed.part(part), steps, params.runs, rng)
        asked[part] = trial.queries(films[part], seen, partial(stream, seed, "search", split, part))
    chosen, figures, tried = {}, {}, {}
    for way in trial.ways(params, HEADS):
        chosen[way.name], tried[way.name] = trial.choose(asked["val"], way, chunk_steps)
        figures[way.name] = trial.answers(asked["test"], way, chosen[way.name], chunk_steps)
    return {
        "figures": figures,
        "asked": asked["test"],
        "chosen": chosen,
        "tried": tried,
        "films": [film.steps for film in films["test"]],
        "left_out": left_out["test"],
        "alike": alike(listed, films, seen, chunk_steps, params),
    }


def alike(
    listed: Split, films: Mapping[str, list[Film]], seen: trial.Features, chunk_steps: float, params: SearchParams
) -> dict[str, Any]:
    """Figures of searching by example, by what is to be found and by what it is like; examples are of other recordings.

    Films of the test part are searched by clips of validation, those of validation, on which the rule is chosen, by
    clips of the train part."""
    found: dict[str, Any] = {}
    for name, (wanted, without_own) in targets(listed).items():
        given = {part: examples(listed, source) for part, source in (("val", "train"), ("test", "val"))}
        asked = {
            part: trial.by_example(films[part], given[part], wanted, without_own=without_own)
            for part in ("val", "test")
        }
        if not (asked["val"] and asked["test"]):
            continue
        for by in trial.BY:
            choice = trial.choose_alike(asked["val"], seen, by, params, chunk_steps)
            values = trial.alike_figures(asked["test"], seen, by, choice, chunk_steps)
            found[f"{name}/{by}"] = {"figures": values, "asked": asked["test"], "chosen": choice}
    return found


def targets(listed: Split) -> dict[str, tuple[dict[int, int], bool]]:
    """What is to be found, as classes by that of the example, and whether the example's own class is left out.

    The demo's classes are a scene and a movement each, and each of both belongs to two classes.
    """
    labels = {name: label for label, name in enumerate(listed.classes)}
    wanted = {"same class": ({label: label for label in labels.values()}, False)}
    if section("data", DataParams).source == "demo":
        for place, name in enumerate(("same scene, another movement", "same movement, another scene")):
            other = {
                labels[one]: labels[two]
                for one in labels
                for two in labels
                if one != two and PAIRS[one][place] == PAIRS[two][place]
            }
            wanted[name] = (other, True)
    return wanted


def summarised(found: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """Rows, differences and choices as plain values."""
    params, level = section("search", SearchParams), level_of_params()
    design = trial.design_of({split: [query.run for query in of["asked"]] for split, of in found.items()})
    by_way = {way: {split: of["figures"][way.name] for split, of in found.items()} for way in trial.ways(params, HEADS)}
    by_name = {way.name: values for way, values in by_way.items()}
    pairs = [(trial.QUERY, other) for other in (trial.UNIFORM, trial.SHOTS, trial.PUBLISHED)]
    pairs += [(f"{trial.QUERY}_fusion", trial.QUERY), (f"{trial.QUERY}_fusion", f"{trial.QUERY}_clip_probe")]
    return {
        "every_s": params.every_s,
        "queries": {str(split): len(of["asked"]) for split, of in found.items()},
        "films": {str(split): len(of["films"]) for split, of in found.items()},
        "minutes": {str(split): round(sum(of["films"]) * params.every_s / 60, 2) for split, of in found.items()},
        "left_out": {str(split): of["left_out"] for split, of in found.items()},
        "rows": [
            {
                "name": way.name,
                "title": way.title,
                "chosen": {str(split): chosen_words(of["chosen"][way.name]) for split, of in found.items()},
                **trial.summary(values, design, level),
            }
            for way, values in by_way.items()
        ],
        "differences": {
            f"{one}_minus_{other}": trial.difference(by_name[one], by_name[other], design, level)
            for one, other in pairs
        },
        "tried": {str(split): of["tried"] for split, of in found.items()},
        "by_example": [by_example_row(name, found) for name in next(iter(found.values()))["alike"]],
    }


def by_example_row(name: str, found: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """One row of the table by example."""
    target, by = name.split("/")
    of_splits = {split: of["alike"][name] for split, of in found.items() if name in of["alike"]}
    figures = {split: of["figures"] for split, of in of_splits.items()}
    design = trial.design_of({split: [one.target for one in of["asked"]] for split, of in of_splits.items()})
    return {
        "target": target,
        "by": by,
        "chosen": {str(split): chosen_words(of["chosen"]) for split, of in of_splits.items()},
        "queries": {str(split): len(of["asked"]) for split, of in of_splits.items()},
        **trial.summary(figures, design, level_of_params()),
    }


def chosen_words(choice: trial.Choice) -> str:
    """A choice as a table shows it."""
    return choice.rule if choice.merge == 1 else f"{choice.rule}, best {choice.merge} merged"


if __name__ == "__main__":
    run(main)
