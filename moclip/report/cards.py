"""Model card and data card: what was trained on what, how well it does, what it is not for. Values in, text out.

Sections follow Mitchell et al. 2019, Model Cards for Model Reporting, and Gebru et al. 2021, Datasheets for Datasets.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from moclip.data.manifest import Video
from moclip.heads.registry import CLIP, CONTROL, HEADS, in_order
from moclip.report.render import render
from moclip.report.verdict import Trial, data_title, epochs_kept, leaks, motion_adds, transductive

Json = Mapping[str, Any]
MIB = 2**20


def model_card(
    summary: Json, params: Json, accounting: Json, audit: Json, dataset: Json, trials: Mapping[str, Trial]
) -> str:
    """The model card as Markdown.

    Args:
        summary: As of `moclip.results.summary.summarize`.
        params: All parameters, nested.
        accounting: As the stage `account` writes it.
        audit: As of `moclip.data.audit.Audit.summary`.
        dataset: What was chosen of the data set, as the stage `download` writes it.
        trials: By paper, as of `moclip.report.verdict.judge`, the one that the heads are after first.
    """
    first = next(iter(trials.values()))
    heads = in_order(summary["heads"])
    return render(
        "model_card.md.j2",
        summary=summary,
        params=params,
        run=accounting["run"],
        audit=audit,
        dataset=dataset,
        title=data_title(dict(summary)),
        paper=first.paper,
        claimed_on=first.data,
        official=first.tested,
        trials=list(trials.values()),
        heads=heads,
        names=HEADS,
        control=CONTROL,
        motion_adds=motion_adds(dict(summary)),
        sees_clip=any(CLIP in HEADS[head].streams for head in heads),
        n_test={head: sum(summary["heads"][head]["n_test"].values()) for head in heads},
        n_groups=sum(summary["heads"][heads[0]]["n_groups"].values()),
        absent=[head for head in HEADS if head not in heads],
        epochs_kept=epochs_kept(heads, dict(params)),
        leaks=leaks(heads, dict(params)),
        transductive=transductive(heads, dict(params)),
        train=_parts(audit, summary["splits"], "train"),
        val=_parts(audit, summary["splits"], "val"),
    )


def data_card(dataset: Json, params: Json, audit: Json, videos: Iterable[Video]) -> str:
    """The data card as Markdown; `videos` are the manifest's, the rest is as for `model_card`."""
    videos = list(videos)
    sizes = Counter(f"{video.width} x {video.height}" for video in videos)
    per_class = Counter(video.class_name for video in videos).values()
    return render(
        "data_card.md.j2",
        dataset=dataset,
        params=params,
        audit=audit,
        title=data_title({"dataset": dataset["name"], "complete": dataset["complete"]}),
        mib=sum(video.bytes for video in videos) / MIB,
        minutes=sum(video.frames / video.fps for video in videos) / 60,
        frames=sum(video.frames for video in videos),
        sizes=sizes.most_common(),
        codecs=Counter(video.codec for video in videos).most_common(),
        fps=Counter(f"{video.fps:g}" for video in videos).most_common(),
        least=min(per_class),
        most=max(per_class),
    )


def _parts(audit: Json, splits: Iterable[int], part: str) -> list[Json]:
    """Videos and groups of one part, of the splits that were run."""
    return [row for row in audit["parts"] if row["part"] == part and row["split"] in set(splits)]
