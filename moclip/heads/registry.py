"""The heads in words, in the order in which every table has them."""

from collections.abc import Mapping, Sequence

# Every head that a report can name, in the order of its tables.
HEADS: Mapping[str, tuple[str, str]] = {
    "zero_shot": ("zero-shot CLIP", "likeness to the class prompts; trained on no video"),
    "motion_only": ("motion alone", "the motion network's own classifier"),
    "metadata_only": (
        "metadata alone",
        "logistic regression on what the container gives away (encoder, frame rate, size, key frames, B-frames, "
        "sound, length); it sees neither a pixel nor a vector",
    ),
    "clip_probe": (
        "CLIP probe",
        "the fusion head on CLIP features alone; the paper lacks this control",
    ),
    "linear_probe": ("linear CLIP probe", "logistic regression on the CLIP features, its C chosen on validation"),
    "score_average": (
        "score average",
        "the weighted mean of CLIP's and motion's probabilities, the weight chosen on validation; nothing is trained",
    ),
    "motion_permuted": (
        "motion permuted",
        "the fusion head with motion features dealt out anew among the videos: what its size alone gives",
    ),
    "fusion": ("fusion", "the same head on CLIP and motion features together"),
}


def main_head(heads: Sequence[str]) -> str:
    """The head whose errors are shown: fusion, or else the last of those that ran."""
    return max(heads, key=list(HEADS).index)
