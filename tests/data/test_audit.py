import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from moclip.base.errors import DataError
from moclip.data.audit import audit
from moclip.data.manifest import Video
from moclip.data.splits import Member
from moclip.video.container import Container

TWO = (Container("xvid", False, False, 12), Container("XVID", True, True, 200))


def made(encoder: Callable[[int, int], int]) -> tuple[dict[str, Video], dict[str, Container], dict[int, list[Member]]]:
    """Four classes of ten groups of three clips; `encoder` says by class and group which of two files' kinds it is."""
    videos, containers, members = {}, {}, []
    for label in range(4):
        for group in range(10):
            for clip in range(3):
                stem = f"{label}_{group}_{clip}"
                name = f"{label}_{group}"
                videos[stem] = Video(
                    stem, f"C{label}", name, f"{stem}.avi", 9, "0" * 64, "mpeg4", 25.0, 320, 240, 60 + clip
                )
                containers[stem] = TWO[encoder(label, group)]
                members.append(Member(stem, label, "test" if group < 3 else "train", name))
    return videos, containers, {1: members}


def test_encoder_that_follows_the_class_is_reported() -> None:
    found = audit(*made(lambda label, _: label % 2))
    by_trait = {one.trait: one for one in found.associations}
    assert set(by_trait) == {"encoder", "gop", "b_frames", "audio"}, "what is the same in all files tells nothing"
    assert by_trait["encoder"].cramers_v == pytest.approx(1)
    assert (by_trait["encoder"].single, by_trait["encoder"].classes, by_trait["encoder"].groups) == (4, 4, 40)
    assert [text.split()[0] for text in found.warnings] == ["encoder", "gop", "b_frames", "audio"]
    assert "Cramer's V 1.00 over 40 groups" in found.warnings[0]


def test_encoder_that_is_the_same_mix_in_each_class_is_not() -> None:
    found = audit(*made(lambda _, group: group % 2))
    assert found.associations[0].cramers_v == pytest.approx(0)
    assert found.warnings == []


def test_one_clip_of_many_classes_is_not_evidence() -> None:
    """With a group per class V is 1 whatever the encoder: only the comparison with shuffled data says so."""
    videos, containers, splits = made(lambda label, _: label % 2)
    ids = [stem for stem in videos if stem.endswith("_0_0")]
    some = {1: [member for member in splits[1] if member.id in ids]}
    found = audit({stem: videos[stem] for stem in ids}, containers, some)
    assert found.associations[0].cramers_v == pytest.approx(1)
    assert found.warnings == []


def test_tables_count_videos_groups_and_traits() -> None:
    found = audit(*made(lambda label, _: label % 2))
    row = found.parts.set_index(["split", "part"]).loc[(1, "test")]
    assert (row["videos"], row["groups"], row["frames_min"], row["frames_median"], row["frames_max"]) == (
        36,
        12,
        60,
        61,
        62,
    )
    assert row["encoders"] == "mpeg4/XVID x 18, mpeg4/xvid x 18"
    assert (row["fps"], row["with_audio"], row["with_b_frames"]) == ("25.0 x 36", 18, 18)
    row = found.by_class.set_index(["part", "class_name"]).loc[("train", "C1")]
    assert (row["videos"], row["groups"], row["encoders"], row["gop_frames_median"]) == (21, 7, "mpeg4/XVID x 21", 200)


def test_split_of_other_videos_is_refused() -> None:
    videos, containers, _ = made(lambda _, group: group % 2)
    with pytest.raises(DataError, match="other stands in a split, but not in the manifest"):
        audit(videos, containers, {1: [Member("other", 0, "train", "g")]})


def test_summary_is_plain_values_with_groups_by_encoder() -> None:
    summary = audit(*made(lambda label, group: int(label == 1 or group == 9))).summary()
    assert json.loads(json.dumps(summary)) == summary
    mixed, pure = {"mpeg4/XVID": 1, "mpeg4/xvid": 9}, {"mpeg4/XVID": 10, "mpeg4/xvid": 0}
    assert summary["encoders"] == {"C0": mixed, "C1": pure, "C2": mixed, "C3": mixed}
    assert summary["warnings"][0].startswith("encoder and class go together")
    assert {row["part"] for row in summary["parts"]} == {"train", "test"}


def test_a_class_that_is_a_formula_is_none_in_the_table_for_people():
    found = audit(*made(lambda label, _: label % 2))
    table = found.by_class.assign(class_name="=cmd|calc")
    assert ",'=cmd|calc," in replace(found, by_class=table).as_csv()
