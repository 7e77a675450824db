import pytest

from moclip.base.errors import DataError
from moclip.data.facts import FactsByVideo, facts_of
from moclip.data.manifest import Video
from moclip.video.container import Container

IDS = [f"v{n:02d}" for n in range(12)]
VIDEOS = {stem: Video(stem, "C", stem, f"{stem}.avi", 9, "", "mpeg4", 25.0, 320, 240, 60) for stem in IDS}


def containers() -> dict[str, Container]:
    return {stem: Container("xvid", False, n % 2 == 0, 12) for n, stem in enumerate(IDS)}


def test_facts_are_those_of_the_file_and_no_bytes():
    assert facts_of(VIDEOS, containers())["v00"] == {
        "encoder": "mpeg4/xvid",
        "fps": "25.000",
        "size": "320x240",
        "b_frames": "False",
        "audio": "True",
        "frames": 60,
        "gop_frames": 12,
    }


def test_video_without_container_facts_is_named():
    some = containers()
    del some["v07"]
    with pytest.raises(DataError, match=r"v07: no container facts \(1 of 12\); run `dvc repro audit`"):
        facts_of(VIDEOS, some)


def test_facts_come_in_the_order_asked_for():
    facts = facts_of(VIDEOS, containers())
    assert FactsByVideo(facts).of(["v01", "v00"]) == [facts["v01"], facts["v00"]]
