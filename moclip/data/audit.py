"""What the data look like, per split and class, and whether the class can be read off something other than motion.

Clips of one group are cut from one recording and share its encoder, so associations count groups, not clips.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats.contingency import association

from moclip.base.errors import DataError
from moclip.base.outside.terminal import table_cell
from moclip.data.manifest import Video
from moclip.data.splits import Member
from moclip.video.container import Container

TRAITS = ("encoder", "fps", "gop", "b_frames", "audio", "size")
_SHUFFLES = 200
_GOP_BOUNDS = [0, 1, 12, 60, np.inf]
_GOP_NAMES = ["1 (intra)", "2-12", "13-60", "over 60"]


@dataclass(frozen=True)
class Association:
    """How far a trait and the class go together, over groups.

    Attributes:
        trait: One of `TRAITS`.
        cramers_v: 0 (independent) to 1 (each class has one value).
        shuffled_v: 95th percentile of V with the trait dealt out anew: many classes make V large by chance.
        single: Classes that have one value of the trait alone, of those with two groups or more.
        classes: Classes with two groups or more.
        groups: Groups counted.
    """

    trait: str
    cramers_v: float
    shuffled_v: float
    single: int
    classes: int
    groups: int

    @property
    def suspicious(self) -> bool:
        """Whether chance does not explain it."""
        return self.cramers_v > self.shuffled_v


@dataclass(frozen=True)
class Audit:
    """`by_class` has a row per split, part and class; `parts` a row per split and part.

    `encoders` has a row per class and a column per encoder family, and counts groups.
    """

    by_class: pd.DataFrame
    parts: pd.DataFrame
    encoders: pd.DataFrame
    associations: list[Association]

    def as_csv(self) -> str:
        """`by_class` for people: of a class's name nothing is taken for a formula."""
        shown = self.by_class.assign(class_name=self.by_class["class_name"].map(table_cell))
        return str(shown.to_csv(index=False, lineterminator="\n"))

    @property
    def warnings(self) -> list[str]:
        """A sentence for each trait that gives the class away."""
        return [
            f"{found.trait} and class go together: Cramer's V {found.cramers_v:.2f} over {found.groups} groups, by "
            f"chance hardly over {found.shuffled_v:.2f}; {found.single} of {found.classes} classes with several groups "
            "have one value alone. A motion-vector classifier may read the class off it"
            for found in self.associations
            if found.suspicious
        ]

    def summary(self) -> dict[str, Any]:
        """What a report shows, as plain values: counts of groups by encoder and class, associations, warnings."""
        return {
            "encoders": {str(name): row.to_dict() for name, row in self.encoders.iterrows()},
            "parts": self.parts.to_dict("records"),
            "associations": [
                {**asdict(found), "cramers_v": round(found.cramers_v, 4), "shuffled_v": round(found.shuffled_v, 4)}
                for found in self.associations
            ],
            "warnings": self.warnings,
        }


def audit(
    videos: Mapping[str, Video],
    containers: Mapping[str, Container],
    splits: Mapping[int, Sequence[Member]],
    *,
    seed: int = 0,
) -> Audit:
    """Count, measure, and hold traits of the files against their classes.

    Raises:
        DataError: a split names a video that is not in the manifest.
    """
    table = _table(videos, containers)
    members = pd.DataFrame(
        [(split, member.part, member.id) for split, listed in splits.items() for member in listed],
        columns=["split", "part", "id"],
    )
    if unknown := sorted(set(members["id"]) - set(table["id"])):
        raise DataError(f"{unknown[0]} stands in a split, but not in the manifest; run `dvc repro download`")
    rows = members.merge(table, on="id")
    return Audit(
        by_class=_described(rows, ["split", "part", "class_name"]),
        parts=_described(rows, ["split", "part"]),
        encoders=_crossed(table),
        associations=[found for trait in TRAITS if (found := _associate(table, trait, seed)) is not None],
    )


def _table(videos: Mapping[str, Video], containers: Mapping[str, Container]) -> pd.DataFrame:
    """A row per video: what the manifest and the file say."""
    rows = [
        {**asdict(video), **asdict(containers[stem]), "encoder": containers[stem].encoder(video.codec)}
        for stem, video in sorted(videos.items())
    ]
    table = pd.DataFrame(rows)
    table["size"] = table["width"].astype(str) + "x" + table["height"].astype(str)
    table["gop"] = pd.cut(table["gop_frames"], _GOP_BOUNDS, labels=_GOP_NAMES).astype(str)
    return table


def _crossed(table: pd.DataFrame) -> pd.DataFrame:
    groups = table[["class_name", "encoder", "group"]].drop_duplicates()
    return pd.crosstab(groups["class_name"], groups["encoder"])


def _described(rows: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    return (
        rows.groupby(keys)
        .agg(
            videos=("id", "size"),
            groups=("group", "nunique"),
            frames_min=("frames", "min"),
            frames_median=("frames", "median"),
            frames_max=("frames", "max"),
            fps=("fps", _counted),
            encoders=("encoder", _counted),
            gop_frames_median=("gop_frames", "median"),
            with_b_frames=("b_frames", "sum"),
            with_audio=("audio", "sum"),
        )
        .reset_index()
    )


def _counted(values: pd.Series) -> str:
    counts = values.value_counts().sort_index()
    return ", ".join(f"{value} x {count}" for value, count in counts.items())


def _associate(table: pd.DataFrame, trait: str, seed: int) -> Association | None:
    """None where the trait has one value, or there is one class: nothing to go together."""
    units = table[["class_name", "group", trait]].drop_duplicates()
    if units[trait].nunique() < 2 or units["class_name"].nunique() < 2:
        return None
    labels, values = pd.factorize(units["class_name"])[0], pd.factorize(units[trait])[0]
    random = np.random.default_rng([seed, TRAITS.index(trait)])
    shuffled = [_cramers_v(labels, random.permutation(values)) for _ in range(_SHUFFLES)]
    per_class = units.groupby("class_name")[trait]
    several = per_class.size() > 1
    return Association(
        trait=trait,
        cramers_v=_cramers_v(labels, values),
        shuffled_v=float(np.percentile(shuffled, 95)),
        single=int((per_class.nunique()[several] == 1).sum()),
        classes=int(several.sum()),
        groups=len(units),
    )


def _cramers_v(labels: np.ndarray, values: np.ndarray) -> float:
    table = np.zeros((labels.max() + 1, values.max() + 1), dtype=np.int64)
    np.add.at(table, (labels, values), 1)
    return float(association(table, method="cramer"))
