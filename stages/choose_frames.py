"""Stage that chooses, of the frames that were kept of each video, those that heads see."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from moclip.base.errors import StoreError
from moclip.base.random import stream
from moclip.motion.fields import field_at
from moclip.motion.store import MotionStore
from moclip.params.frames import FramesParams
from moclip.params.run import Seed
from moclip.store.blocks import BlockStore
from moclip.store.features import read_features
from moclip.store.frames import Chosen, write_chosen
from moclip.video.frames import segment_points
from moclip.video.select import attention_received, best_likeness, choose, is_flat, motion_energy, places
from stages._entry import arguments, log, run, section

WITHOUT_PICTURES = ("uniform", "motion", "still")  # CLIP need not look at what these leave out
Scored = Iterator[tuple[str, np.ndarray | None]]


def main() -> None:
    args = arguments("store", "texts", "out", words=("rule",))
    frames, seed = section("frames", FramesParams), section("seed", Seed)
    rows, flat = {}, 0
    for video, scores in scored(args.rule, args.store, args.texts, frames):
        rows[video] = choose(args.rule, frames.keep or frames.count, scores, frames.count)
        flat += scores is not None and is_flat(scores)
    if flat:
        log.warning("%s: scores of %d of %d videos differ by rounding alone", args.rule, flat, len(rows))
    other = {video: stream(seed, "order", video).permutation(own) for video, own in rows.items()}
    kept = len(next(iter(rows.values())))
    facts = {
        **{"rule": frames.rule, "select": args.rule, "keep": frames.keep, "order": frames.order},
        "frames": kept,
        "looked_at": kept if args.rule in WITHOUT_PICTURES else frames.count,
        "flat_share": round(flat / len(rows), 4),
    }
    write_chosen(args.out, Chosen(rows, other, facts))


def scored(rule: str, store: Path, texts: Path, frames: FramesParams) -> Scored:
    """Videos with a score of each frame; None where the rule needs none."""
    if rule in ("motion", "still"):
        return energies(MotionStore.open(store), frames.count)
    opened = BlockStore(store)
    if opened.made_by["rule"] != frames.rule:
        raise StoreError(f"{store}: made by frames.rule: {opened.made_by['rule']}, not {frames.rule}; run `dvc repro`")
    if rule == "uniform":
        return ((video, None) for video in opened.ids)
    return by_content(rule, opened, texts)


def energies(store: MotionStore, count: int) -> Scored:
    for video in store.ids:
        points = segment_points(store.info(video).frames, count)
        yield video, motion_energy(field_at(store.clip(video), points))


def by_content(rule: str, store: BlockStore, texts: Path) -> Scored:
    ids = store.ids
    if rule == "prompt":
        classes = read_features(texts).values
        return _each(ids, (best_likeness(own.astype(np.float32), classes) for own in store.rows("global", ids)))
    unit = rule == "attention_unit"
    return _each(ids, (attention_received(places(own), unit) for own in store.rows("residual", ids)))


def _each(ids: list[str], scores: Iterable[np.ndarray]) -> Scored:
    return zip(ids, scores, strict=True)


if __name__ == "__main__":
    run(main)
