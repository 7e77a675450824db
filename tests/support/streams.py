"""A split with generated streams, for tests of heads."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from moclip.data.splits import Member, Split
from moclip.heads.fitted import Fitted, Stream, Videos
from moclip.params.heads.fusion import HeadParams
from moclip.store.features import Features

SEED = (0, "fusion", 1)
PARAMS = {
    "inputs": "both",
    "normalisation": "unit_standard",
    "combine": "concat",
    "hidden": 16,
    "dropout": 0.5,
    "epochs": 15,
    "lr": 0.01,
    "weight_decay": 0.01,
    "schedule": "one_cycle",
    "batch_videos": 16,
    "select": "val",
    "views": 0,
    "online": False,
    "backbone_statistics": "frozen",
}
PART_OF = {0: "test", 1: "val"}
MEMBERS = [Member(f"v{i:02d}", i % 4, PART_OF.get((i // 4) % 5, "train"), f"g{i}") for i in range(80)]


def params(**changes: Any) -> HeadParams:
    return HeadParams(**{**PARAMS, **changes})


def split_of(members: Sequence[Member] = MEMBERS, classes: int = 4) -> Split:
    return Split(members, [f"C{label}" for label in range(classes)])


def two_streams(members: Sequence[Member] = MEMBERS) -> dict[str, Features]:
    """Labels 0-3 as two bits, one bit a stream: neither stream alone tells more than two classes apart."""
    rng, ids = np.random.default_rng(0), np.array([member.id for member in members])
    streams = {}
    for bit, name in enumerate(("clip", "motion")):
        sign = np.array([1.0 - 2 * ((member.label >> bit) & 1) for member in members])
        values = rng.normal(0, 0.5, (len(ids), 4 + bit)) + sign[:, None]
        streams[name] = Features(name, ids, values.astype(np.float32))
    return streams


def videos(streams: Mapping[str, Stream] | None = None, members: Sequence[Member] = MEMBERS) -> Videos:
    return Videos(split_of(members), two_streams() if streams is None else streams)


def accuracy(fitted: Fitted, given: Videos) -> float:
    """Share of the test videos that the head names rightly, of the streams that it sees."""
    logits = fitted.logits(fitted.sees(given).inputs("test"))
    return float((logits.argmax(axis=1) == given.split.part("test").labels).mean())
