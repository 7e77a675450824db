"""What data are called in MLflow. Needs no MLflow."""

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePath


def title_of(dataset: str) -> str:
    """A data set's name as its authors write it.

    >>> title_of("ucf101"), title_of("ucf101 (part)"), title_of("demo")
    ('UCF101', 'UCF101 (part)', 'demo')
    """
    return re.sub(r"^[a-z]+\d+(?= \(|$)", lambda name: name[0].upper(), dataset)


def data_names(dataset: str, inputs: Mapping[str, PurePath], paths: Iterable[str]) -> dict[str, str]:
    """A name in words for each data file, as MLflow lists them: `UCF101 split 1`.

    Args:
        dataset: The data set's own name.
        inputs: Paths by what is known of them: `manifest`, `splits` and so on.
        paths: What was read.

    >>> data_names("ucf101", {"splits": PurePath("data/splits")}, ["data/splits/split1.csv", "else.csv"])
    {'data/splits/split1.csv': 'UCF101 split 1'}
    """
    words = {"manifest": "videos", "motion": "motion vectors", "clip": "CLIP weights", "images": "CLIP features"}
    title = title_of(dataset)
    named = {inputs[name].as_posix(): f"{title} {what}" for name, what in words.items() if name in inputs}
    if "splits" in inputs:
        split = re.compile(rf"{re.escape(inputs['splits'].as_posix())}/split(\d+)\.csv")
        named |= {path: f"{title} split {found[1]}" for path in paths if (found := split.fullmatch(path))}
    return {path: named[path] for path in paths if path in named}
