import shutil
from pathlib import Path

import pytest

from moclip.base.errors import StoreError, VideoError
from moclip.video.container import Container, read_container, read_container_table, write_container_table


def test_demo_video_has_the_gop_it_was_made_with(demo_folder: Path) -> None:
    path = next((demo_folder / "UCF-101").rglob("*.avi"))
    found = read_container(path)
    assert (found.b_frames, found.audio, found.gop_frames) == (False, False, 12)
    assert found.codec_tag


def test_the_two_encoders_of_ucf101(real_ucf101: Path) -> None:
    """`xvid`: a key frame every 12 frames, silent. `XVID`: mostly one key frame, with sound, some with B-frames."""
    found = [read_container(path) for path in sorted(real_ucf101.rglob("*.avi"))]
    assert len(found) == 128
    for traits in found:
        if traits.codec_tag == "xvid":
            assert (traits.b_frames, traits.audio) == (False, False)
            assert traits.gop_frames <= 12
        else:
            assert (traits.codec_tag, traits.audio) == ("XVID", True)
            assert traits.gop_frames > 12
    assert sum(traits.codec_tag == "xvid" for traits in found) == 101
    assert sum(traits.b_frames for traits in found) == 10
    assert Container("xvid", False, False, 12) in found


def test_what_is_no_video(tmp_path: Path, demo_folder: Path) -> None:
    (tmp_path / "noise.avi").write_bytes(b"noise" * 1000)
    with pytest.raises(VideoError, match=r"noise\.avi: is no video container"):
        read_container(tmp_path / "noise.avi")
    with pytest.raises(VideoError, match=r"absent\.avi: no such file"):
        read_container(tmp_path / "absent.avi")
    shutil.copy(next((demo_folder / "UCF-101").rglob("*.avi")), tmp_path / "concat:a.avi")
    read_container(tmp_path / "concat:a.avi")


def test_table_gives_back_what_was_written_sorted_by_id(tmp_path: Path) -> None:
    found = {"b": Container("xvid", False, True, 12), "a,1": Container("", True, False, 200)}
    write_container_table(tmp_path / "c.csv", found)
    assert read_container_table(tmp_path / "c.csv") == found
    assert (tmp_path / "c.csv").read_text().splitlines() == [
        "id,codec_tag,b_frames,audio,gop_frames",
        '"a,1",,True,False,200',
        "b,xvid,False,True,12",
    ]


@pytest.mark.parametrize("row", ["a,xvid,yes,False,12", "a,xvid,True,False,many"])
def test_foreign_table_is_refused(tmp_path: Path, row: str) -> None:
    (tmp_path / "c.csv").write_text(f"id,codec_tag,b_frames,audio,gop_frames\n{row}\n")
    with pytest.raises(StoreError, match=r"c\.csv, line 2: column .* must be .*'; run `dvc repro audit`"):
        read_container_table(tmp_path / "c.csv")
