"""Every head, one row each, in the order of all tables: what pages, figures and commands know of it.

Data alone, and light: `module` names the file that fits and loads a head, and is imported when that is wanted.
`moclip/heads/README.md` says what a new head is.
"""

import importlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from moclip.base.errors import ParamsError
from moclip.params import registry as params

CLIP, MOTION = "clip", "motion"
ON_FRAMES = "frames"
"""Set of stages of the heads that read frames apart."""
BLUE, SKY, ORANGE, VERMILLION, GREEN, PURPLE, GREY, BLACK = (
    "#0072B2", "#56B4E9", "#E69F00", "#D55E00", "#009E73", "#CC79A7", "#767676", "#000000",
)  # fmt: skip
"""Okabe and Ito's palette, which colour-blind readers can tell apart."""
NAVY, TEAL, OLIVE, BROWN, PLUM, ROSE, SLATE, SAND, MOSS, WINE = (
    "#332288", "#44AA99", "#999933", "#882255", "#AA4499", "#CC6677", "#556677", "#BBAA55", "#117733", "#661100",
)  # fmt: skip
"""More of the kind, after Tol's muted palette, for heads of related papers."""
CLARET, FERN, STEEL = "#762A83", "#5AAE61", "#4575B4"
"""Of networks on motion alone, after ColorBrewer's diverging palettes."""


@dataclass(frozen=True)
class HeadSpec:
    """One head.

    Attributes:
        title: Its name in tables and figures.
        words: What it is, as a phrase.
        colour: Of its bar.
        module: Where its `fit` and `load` are.
        section: Section of params.yaml with its settings; None where it has none.
        settings: `module:Class` of that section's model.
        also_reads: Sections of the data and of other networks that its fit reads.
        streams: What it takes of a video: CLIP's feature, the motion network's, both, or neither.
        chosen_by: Sections whose `select` chooses an epoch that its accuracy rests on.
        has_epochs: Whether it is trained in epochs, and has curves.
        rivals: Heads that its accuracy is held against. `MAIN` is held against every other head.
        is_motion_control: Whether `MAIN` minus this head is what the video's own motion adds.
        is_servable: Whether it answers for a video by itself, with its own weights and those of its streams.
        is_of_stream: Whether it has no weights of its own: it is the answer of its one stream, of CLIP by the class
            texts, of the motion network by its own classifier.
        related: Set of the parameter `related` that its stages belong to; None for those that are always there.
        own_network: Whether a motion network of its own is `pretrained` without labels or `plain`; None where it takes
            the one that all heads share, or none.
        draws_nothing: Whether its fit draws nothing by the seed: repeated on the same streams, it is the same.
    """

    title: str
    words: str
    colour: str
    module: str
    section: str | None = None
    settings: str | None = None
    also_reads: tuple[str, ...] = ()
    streams: tuple[str, ...] = ()
    chosen_by: tuple[str, ...] = ()
    has_epochs: bool = False
    rivals: tuple[str, ...] = ()
    is_motion_control: bool = False
    is_servable: bool = False
    is_of_stream: bool = False
    related: str | None = None
    own_network: Literal["plain", "pretrained"] | None = None
    draws_nothing: bool = False


MAIN = "fusion"
"""The head that the project is about."""

CONTROL = "clip_probe"
"""The head that `MAIN` is held against first, and class by class: the same on CLIP features alone."""

QUOTED = (MAIN, CONTROL, "linear_probe", "motion_only", "zero_shot")
"""Those whose accuracy people quote: DVC tells variants apart by these and by what fusion gains."""

HEADS: Mapping[str, HeadSpec] = {
    "zero_shot": HeadSpec(
        title="zero-shot CLIP",
        words="likeness to the class prompts; trained on no video",
        colour=SKY,
        module="moclip.heads.zero_shot",
        streams=(CLIP,),
        is_servable=True,
        is_of_stream=True,
        draws_nothing=True,
    ),
    "motion_only": HeadSpec(
        title="motion alone",
        words="the motion network's own classifier",
        colour=ORANGE,
        module="moclip.heads.motion_only",
        section="motion_net",
        streams=(MOTION,),
        chosen_by=("motion_net",),
        has_epochs=True,
        is_servable=True,
        is_of_stream=True,
    ),
    "motion_mcl": HeadSpec(
        title="motion alone, MCL",
        words="a motion network of its own that first learnt to tell clips and crops apart by what moves (after MCL)",
        colour=CLARET,
        module="moclip.heads.motion_only",
        section="motion_mcl",
        settings="moclip.params.heads.motion_mcl:MotionMclParams",
        streams=(MOTION,),
        chosen_by=("motion_net",),
        has_epochs=True,
        rivals=("motion_only",),
        related=ON_FRAMES,
        own_network="pretrained",
    ),
    "motion_vit": HeadSpec(
        title="motion Transformer",
        words="a Transformer on the vectors in the place of the motion network",
        colour=FERN,
        module="moclip.heads.motion_only",
        section="motion_vit",
        settings="moclip.params.heads.motion_vit:MotionVitParams",
        streams=(MOTION,),
        chosen_by=("motion_net",),
        has_epochs=True,
        rivals=("motion_only",),
        related=ON_FRAMES,
        own_network="plain",
    ),
    "motion_mae": HeadSpec(
        title="motion Transformer, MAE",
        words="the same Transformer, which first learnt to name hidden vectors (after VideoMAE V2)",
        colour=STEEL,
        module="moclip.heads.motion_only",
        section="motion_mae",
        settings="moclip.params.heads.motion_mae:MotionMaeParams",
        streams=(MOTION,),
        chosen_by=("motion_net",),
        has_epochs=True,
        rivals=("motion_vit", "motion_only"),
        related=ON_FRAMES,
        own_network="pretrained",
    ),
    "metadata_only": HeadSpec(
        title="metadata alone",
        words="logistic regression on what the container gives away (encoder, frame rate, size, key frames, B-frames, "
        "sound, length); it sees neither a pixel nor a vector",
        colour=GREY,
        module="moclip.heads.metadata_only",
        section="metadata_only",
        settings="moclip.params.heads.metadata_only:MetadataOnlyParams",
        draws_nothing=True,
    ),
    "clip_probe": HeadSpec(
        title="CLIP probe",
        words="the fusion head on CLIP features alone; the paper lacks this control",
        colour=BLUE,
        module="moclip.heads.clip_probe",
        section="fusion",
        settings="moclip.params.heads.fusion:HeadParams",
        streams=(CLIP,),
        chosen_by=("fusion",),
        has_epochs=True,
        rivals=("zero_shot",),
        is_motion_control=True,
        is_servable=True,
    ),
    "linear_probe": HeadSpec(
        title="linear CLIP probe",
        words="logistic regression on the CLIP features, its C chosen on validation",
        colour=PURPLE,
        module="moclip.heads.linear_probe",
        section="linear_probe",
        settings="moclip.params.heads.linear_probe:LinearProbeParams",
        streams=(CLIP,),
        is_motion_control=True,
        draws_nothing=True,
    ),
    "score_average": HeadSpec(
        title="score average",
        words="the weighted mean of CLIP's and motion's probabilities, the weight chosen on validation; nothing is "
        "trained",
        colour=VERMILLION,
        module="moclip.heads.score_average",
        section="score_average",
        settings="moclip.params.heads.score_average:ScoreAverageParams",
        streams=(CLIP, MOTION),
        chosen_by=("motion_net", "fusion"),
        rivals=("clip_probe",),
        draws_nothing=True,
    ),
    "motion_permuted": HeadSpec(
        title="motion permuted",
        words="the fusion head with motion features dealt out anew among the videos: what its size alone gives",
        colour=BLACK,
        module="moclip.heads.motion_permuted",
        section="fusion",
        settings="moclip.params.heads.fusion:HeadParams",
        streams=(CLIP, MOTION),
        chosen_by=("motion_net", "fusion"),
        has_epochs=True,
        rivals=("clip_probe",),
        is_motion_control=True,
    ),
    "frames_zero_shot": HeadSpec(
        title="zero-shot on frames",
        words="the mean of the zero-shot logits of the same frames that heads on frames see",
        colour=SLATE,
        module="moclip.heads.frames_zero_shot",
        streams=(CLIP,),
        rivals=("zero_shot",),
        related=ON_FRAMES,
        draws_nothing=True,
    ),
    "frames_probe": HeadSpec(
        title="probe on frames",
        words="the fusion head on the mean of these frames: more of them shall not pass for a better head",
        colour=SAND,
        module="moclip.heads.frames_probe",
        section="fusion",
        settings="moclip.params.heads.fusion:HeadParams",
        streams=(CLIP,),
        chosen_by=("fusion",),
        has_epochs=True,
        rivals=("clip_probe", "frames_zero_shot"),
        is_motion_control=True,
        related=ON_FRAMES,
    ),
    "prompt_guided": HeadSpec(
        title="prompt-guided",
        words="zero-shot in which each class's prompt chooses frames, and a region in each (after Free Video-LLM)",
        colour=TEAL,
        module="moclip.heads.prompt_guided",
        section="prompt_guided",
        settings="moclip.params.heads.prompt_guided:PromptGuidedParams",
        streams=(CLIP,),
        rivals=("frames_zero_shot",),
        related=ON_FRAMES,
        draws_nothing=True,
    ),
    "evl": HeadSpec(
        title="EVL",
        words="a decoder over the levels of frozen CLIP, with temporal parts in each (after EVL)",
        colour=NAVY,
        module="moclip.heads.evl",
        section="evl",
        settings="moclip.params.heads.evl:EvlParams",
        also_reads=("frames", "compute"),
        streams=(CLIP,),
        chosen_by=("evl",),
        has_epochs=True,
        rivals=("frames_probe",),
        is_motion_control=True,
        related=ON_FRAMES,
    ),
    "evl_fusion": HeadSpec(
        title="EVL fusion",
        words="the fusion head with EVL's feature in the place of CLIP's",
        colour=MOSS,
        module="moclip.heads.evl_fusion",
        section="fusion",
        settings="moclip.params.heads.fusion:HeadParams",
        streams=(CLIP, MOTION),
        chosen_by=("motion_net", "evl", "fusion"),
        has_epochs=True,
        rivals=("evl",),
        related=ON_FRAMES,
    ),
    "open_vclip": HeadSpec(
        title="Open-VCLIP",
        words="CLIP's last blocks adapted to video, then interpolated with CLIP's own; classes by their texts (after "
        "Open-VCLIP)",
        colour=WINE,
        module="moclip.heads.open_vclip",
        section="open_vclip",
        settings="moclip.params.heads.open_vclip:OpenVclipParams",
        also_reads=("frames", "compute"),
        streams=(CLIP,),
        has_epochs=True,
        rivals=("frames_zero_shot", "frames_probe"),
        is_motion_control=True,
        related=ON_FRAMES,
    ),
    "resampler": HeadSpec(
        title="resampler",
        words="learned queries read the tokens of all frames at once; as many as the grouped ones have",
        colour=OLIVE,
        module="moclip.heads.resampler",
        section="tokens",
        settings="moclip.params.heads.tokens:TokenParams",
        streams=(CLIP, MOTION),
        chosen_by=("motion_net", "tokens"),
        has_epochs=True,
        rivals=("frames_probe",),
        related=ON_FRAMES,
    ),
    "group_resampler": HeadSpec(
        title="group resampler",
        words="the same learned queries read one group of frames after the other (after TinyLLaVA-Video)",
        colour=BROWN,
        module="moclip.heads.group_resampler",
        section="tokens",
        settings="moclip.params.heads.tokens:TokenParams",
        streams=(CLIP, MOTION),
        chosen_by=("motion_net", "tokens"),
        has_epochs=True,
        rivals=("resampler", "frames_probe"),
        related=ON_FRAMES,
    ),
    "token_projector": HeadSpec(
        title="token projector",
        words="tokens of CLIP, then of motion, projected and mixed with their neighbours (after Mobile-VideoGPT)",
        colour=PLUM,
        module="moclip.heads.token_projector",
        section="tokens",
        settings="moclip.params.heads.tokens:TokenParams",
        streams=(CLIP, MOTION),
        chosen_by=("motion_net", "tokens"),
        has_epochs=True,
        rivals=("resampler", "frames_probe"),
        related=ON_FRAMES,
    ),
    "multiway": HeadSpec(
        title="multiway",
        words="zero-shot, and what class texts read of the video's tokens (after MuLTI, in a stated reading)",
        colour=ROSE,
        module="moclip.heads.multiway",
        section="multiway",
        settings="moclip.params.heads.multiway:MultiwayParams",
        streams=(CLIP, MOTION),
        chosen_by=("motion_net", "multiway"),
        has_epochs=True,
        rivals=("frames_zero_shot", "group_resampler"),
        related=ON_FRAMES,
    ),
    "fusion": HeadSpec(
        title="fusion",
        words="the same head on CLIP and motion features together",
        colour=GREEN,
        module="moclip.heads.fusion",
        section="fusion",
        settings="moclip.params.heads.fusion:HeadParams",
        also_reads=("motion", "motion_net", "compute"),
        streams=(CLIP, MOTION),
        chosen_by=("motion_net", "fusion"),
        has_epochs=True,
        is_servable=True,
    ),
}


def module_of(head: str) -> Any:
    """The module of a head, imported now; it has `fit` and `load`."""
    return importlib.import_module(HEADS[head].module)


def settings_of(head: str) -> Any:
    """Model of a head's section of params.yaml; None where it has none of its own."""
    name = HEADS[head].settings
    if name is None:
        return None
    module, _, kind = name.partition(":")
    return getattr(importlib.import_module(module), kind)


def main_head(heads: Iterable[str]) -> str:
    """The head whose errors are shown: `MAIN`, or else the last of those that ran."""
    return max(heads, key=list(HEADS).index)


def in_order(heads: Iterable[str]) -> list[str]:
    """Heads in the order of all tables."""
    return sorted(heads, key=list(HEADS).index)


def servable() -> list[str]:
    """Heads that answer for a video by themselves, in the order of all tables."""
    return [head for head, spec in HEADS.items() if spec.is_servable]


def related_sets(heads: Iterable[str]) -> list[str]:
    """Sets of the parameter `related` without which these heads have no stages."""
    return list(dict.fromkeys(related for head in in_order(heads) if (related := HEADS[head].related)))


def contrasts(heads: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of these heads worth a paired difference: `MAIN` over each other one, then each over its rivals."""
    pairs = [(MAIN, other) for other in heads if other != MAIN and MAIN in heads]
    return pairs + [(head, rival) for head in in_order(heads) for rival in HEADS[head].rivals if rival in heads]


def chosen_on_validation(values: Mapping[str, Any]) -> list[str]:
    """Parameters of the heads that run by which something is chosen on the validation part, such as an epoch.

    Args:
        values: All parameters, nested.
    """
    specs = [HEADS[head] for head in values.get("heads", []) if head in HEADS]
    read = {name for spec in specs for name in (spec.section, *spec.chosen_by) if name}
    return sorted(name for section in read for name in _choices(section, values.get(section) or {}))


def _choices(section: str, values: Mapping[str, Any]) -> Iterator[str]:
    if values.get("select") == "val":
        yield f"{section}.select: val"
    if len(values.get("c_values") or ()) > 1:
        yield f"{section}.c_values"
    if "motion_weight" in values and values["motion_weight"] is None:
        yield f"{section}.motion_weight: null"


def _known(heads: list[str]) -> list[str]:
    if unknown := [head for head in heads if head not in HEADS]:
        raise ValueError(f"'{unknown[0]}' is no head; known: {', '.join(HEADS)}")
    if len(set(heads)) != len(heads):
        raise ValueError("each entry may stand here once")
    return heads


Heads = Annotated[list[str], Field(min_length=1), AfterValidator(_known)]
"""The parameter `heads`."""


def section_names() -> set[str]:
    """Names of all sections of params.yaml."""
    return {*params.MODELS, "heads", *(spec.section for spec in HEADS.values() if spec.section)}


def sections() -> dict[str, Any]:
    """Every section of params.yaml with its model, those of the heads included."""
    own = {spec.section: settings_of(head) for head, spec in HEADS.items() if spec.section and spec.settings}
    return {**params.MODELS, "heads": Heads, **own}


def check_params(values: Mapping[str, Any]) -> None:
    """Validate a whole parameters file.

    Raises:
        ParamsError: a section is unknown or missing, or a value breaks a rule; all of them are named.
    """
    params.check_all(values, sections())
    if lacking := [name for name in related_sets(values["heads"]) if name not in values["related"]]:
        head = next(head for head in values["heads"] if HEADS[head].related == lacking[0])
        raise ParamsError(
            f"heads: '{head}' has stages only where `related` lists {lacking[0]}; add it there, or take the head out"
        )
