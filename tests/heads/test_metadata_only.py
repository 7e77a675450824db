from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from moclip.base.errors import DataError
from moclip.base.files import read_json
from moclip.data.facts import FactsByVideo, facts_of
from moclip.data.manifest import Video
from moclip.data.splits import Member
from moclip.heads.fitted import Videos
from moclip.heads.metadata_only import STREAM, Encoding, fit, load
from moclip.params.heads.metadata_only import MetadataOnlyParams
from moclip.video.container import Container
from tests.support.streams import accuracy, split_of

CLASSES = 6
PARAMS = MetadataOnlyParams(c_values=[0.01, 1.0])
SEED = (0, "metadata_only", 1)


def made(tag: Callable[[int, int], str], frames: Callable[[int, int], int] = lambda label, n: 60 + n % 7) -> Videos:
    """Six classes of 40 videos each; `tag` and `frames` say what is planted, by class and number."""
    videos, containers, members = {}, {}, []
    for label in range(CLASSES):
        for n in range(40):
            stem = f"{label}_{n:02d}"
            length = frames(label, n)
            videos[stem] = Video(stem, f"C{label}", stem, f"{stem}.avi", 9, "", "mpeg4", 25.0, 320, 240, length)
            containers[stem] = Container(tag(label, n), False, n % 2 == 0, 12)
            members.append(Member(stem, label, ("train", "train", "val", "test")[n % 4], f"g{n}"))
    return Videos(split_of(members, CLASSES), {STREAM: FactsByVideo(facts_of(videos, containers))})


def reached(given: Videos) -> float:
    return accuracy(fit(given, PARAMS, SEED), given)


def test_nothing_planted_is_chance() -> None:
    """Nothing planted: no better than chance, within four standard deviations of a coin with six sides."""
    random = np.random.default_rng(0)
    tags = random.choice(["xvid", "XVID", "DX50"], size=(CLASSES, 40))
    lengths = random.integers(30, 200, size=(CLASSES, 40))
    hits = reached(made(lambda label, n: str(tags[label, n]), lambda label, n: int(lengths[label, n])))
    chance, n_test = 1 / CLASSES, 60
    assert abs(hits - chance) < 4 * (chance * (1 - chance) / n_test) ** 0.5


def test_encoder_that_follows_the_class_is_read_off():
    assert reached(made(lambda label, _: f"T{label}")) == 1.0
    halves = reached(made(lambda label, _: f"T{label % 2}"))
    assert 1 / CLASSES < halves <= 2 / CLASSES + 0.1, "two encoders tell two halves of the classes apart"


def test_length_that_follows_the_class_is_read_off_though_it_is_no_straight_line():
    lengths = (50, 300, 100, 250, 150, 200)
    assert reached(made(lambda label, n: "xvid", lambda label, n: lengths[label] + n % 5)) > 0.8


def test_word_that_was_not_seen_leaves_its_inputs_at_zero():
    rows = [{"encoder": "a", "frames": 10}, {"encoder": "b", "frames": 20}]
    encoding = Encoding.of(rows)
    assert encoding.inputs(rows)[:, :2].tolist() == [[1, 0], [0, 1]]
    assert encoding.inputs([{"encoder": "c", "frames": 10}])[:, :2].tolist() == [[0, 0]]
    assert (encoding.inputs(rows)[:, 2:].sum(axis=1) == 1).all(), "each length lies in one range"
    assert encoding.inputs([]).shape == (0, encoding.inputs(rows).shape[1])


def test_fact_that_is_the_same_everywhere_is_one_range():
    encoding = Encoding.of([{"frames": 36}] * 3)
    assert encoding.edges == {"frames": []}
    assert encoding.inputs([{"frames": 36}, {"frames": 99}]).tolist() == [[1], [1]]


def test_encoding_is_saved_with_the_weights(tmp_path):
    fit(made(lambda label, _: f"T{label}"), PARAMS, SEED).save(tmp_path / "m")
    config = read_json(tmp_path / "m/config.json")
    assert config["words"]["encoder"] == [f"mpeg4/T{label}" for label in range(CLASSES)]
    assert set(config["edges"]) == {"frames", "gop_frames"}
    assert config["c"] in PARAMS.c_values


def test_classifier_that_is_loaded_reads_each_fact_by_its_own_weights(tmp_path):
    given = made(lambda label, _: f"T{label}")
    fitted = fit(given, PARAMS, SEED)
    fitted.save(tmp_path / "m")
    inputs = given.inputs("test")
    np.testing.assert_array_equal(load(tmp_path / "m").logits(inputs), fitted.logits(inputs))


def test_without_a_train_part_nothing_can_be_fitted():
    given = made(lambda label, n: "xvid")
    held_out = [member for member in given.split.members if member.part != "train"]
    with pytest.raises(DataError, match="fewer than two classes; nothing can be fitted"):
        fit(replace(given, split=split_of(held_out, CLASSES)), PARAMS, SEED)
