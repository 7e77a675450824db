import shutil

import pytest

from moclip.base.errors import DataError
from moclip.base.files import sha256_file
from moclip.data.dataset import Clip
from moclip.data.measure import measure
from moclip.data.ucf101 import find_ucf101
from moclip.demo.spec import classes


def test_measure_describes_each_file(demo_folder):
    found = find_ucf101(demo_folder, "demo")
    assert found.classes == classes()
    chosen = [found.clips[i] for i in sorted(found.clips)[:3]]
    videos = measure(reversed(chosen), demo_folder, jobs=1)
    assert [video.id for video in videos] == [clip.id for clip in chosen]
    first = videos[0]
    assert (first.codec, first.fps, first.width, first.height, first.frames) == ("mpeg4", 25.0, 64, 64, 12)
    assert first.path == f"UCF-101/{first.class_name}/{first.id}.avi"
    assert first.sha256 == sha256_file(demo_folder / first.path)
    assert first.bytes == (demo_folder / first.path).stat().st_size


def test_unreadable_videos_are_all_listed_by_name(demo_folder, tmp_path):
    good = next(iter(find_ucf101(demo_folder, "demo").clips.values()))
    (tmp_path / "noise.avi").write_bytes(b"no video" * 100)
    (tmp_path / "empty.avi").touch()
    shutil.copy(good.path, tmp_path / "good.avi")
    clips = [Clip(name, "A", "g", tmp_path / f"{name}.avi") for name in ("noise", "good", "empty", "gone")]
    with pytest.raises(DataError, match="3 of 4 videos cannot be used") as caught:
        measure(clips, tmp_path, jobs=1)
    for name in ("noise.avi", "empty.avi", "gone.avi"):
        assert str(tmp_path / name) in str(caught.value)
    assert "good.avi" not in str(caught.value)
