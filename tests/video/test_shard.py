"""moclip.video.file.shard: members of tars are read where they stand, and a tar that cannot be trusted is refused."""

import io
import lzma
import os
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moclip.base.errors import DataError, VideoError
from moclip.video.container import read_container
from moclip.video.decode import probe, read_frames
from moclip.video.file.shard import Place, find, members
from tests.support.clips import encode, read_motion, remux, scrolling


def pack(tar: Path, files: Iterable[tuple[str, bytes]]) -> Path:
    with tarfile.open(tar, "w") as archive:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return tar


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film in each container, and in each as it is cut off."""
    folder = tmp_path_factory.mktemp("films")
    pictures = scrolling(12, 2, 1)
    encode(folder / "a.avi", pictures, "mpeg4")
    encode(folder / "b.mp4", pictures, "libx264")
    encode(folder / "c.mpg", pictures, "mpeg2video")
    encode(folder / "d.flv", pictures, "flv1")
    for ending in ("mkv", "ts", "mov", "h264"):
        remux(folder / "b.mp4", folder / f"e.{ending}", "h264_mp4toannexb" if ending in ("ts", "h264") else "null")
    for path in sorted(folder.iterdir()):
        (folder / f"cut_{path.name}").write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    return folder


NAMES = ("a.avi", "b.mp4", "c.mpg", "d.flv", "e.mkv", "e.ts", "e.mov", "e.h264")


@pytest.fixture(scope="module")
def tar(films: Path) -> Path:
    return pack(films / "films.tar", [(f"One/{path.name}", path.read_bytes()) for path in sorted(films.glob("*.*"))])


@pytest.mark.parametrize("name", NAMES)
def test_a_member_is_what_the_file_is(films: Path, tar: Path, name: str) -> None:
    film, member = films / name, tar / "One" / name
    assert probe(member) == probe(film)
    assert read_container(member) == read_container(film)
    assert (read_frames(member, [3, 9]) == read_frames(film, [3, 9])).all()
    np.testing.assert_array_equal(read_motion(member).records, read_motion(film).records)


@pytest.mark.parametrize("name", NAMES)
def test_a_member_that_was_cut_off_is_refused_as_the_file_is(films: Path, tar: Path, name: str) -> None:
    """And not read on into the next member."""
    film, member = films / f"cut_{name}", tar / "One" / f"cut_{name}"

    def said(path: Path, damaged: bool) -> str:
        try:
            return str(probe(path, damaged=damaged))
        except VideoError as error:
            return str(error).replace(str(path), "it")

    assert [said(member, kept) for kept in (False, True)] == [said(film, kept) for kept in (False, True)]


steps = st.tuples(st.integers(-50, 250), st.sampled_from([0, 1, 2]), st.integers(0, 90))


@given(st.binary(max_size=200), st.lists(steps))
def test_a_part_reads_as_a_file_of_its_own(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, steps: list[tuple[int, int, int]]
) -> None:
    folder = tmp_path_factory.mktemp("parts")
    place = find(pack(folder / "s.tar", [("x", b"before"), ("y", content), ("z", b"behind")]) / "y")
    assert place is not None
    with place.open() as part, io.BytesIO(content) as own:
        for offset, whence, count in steps:
            at = {0: 0, 1: own.tell(), 2: len(content)}[whence] + offset
            if at >= 0:
                assert part.seek(offset, whence) == own.seek(at)
                assert part.read(count) == own.read(count)


def test_names_are_those_of_folders_and_what_is_not_there_is_none(tmp_path: Path) -> None:
    tar = pack(tmp_path / "s.tar", [("./One/b.avi", b"12"), ("One/a.avi", b"3")])
    assert list(members(tar)) == ["One/a.avi", "One/b.avi"]
    place = find(tar / "One/b.avi")
    assert place is not None
    with place.open() as file:
        assert file.read() == b"12"
    assert [find(tar / name) for name in ("One/c.avi", "One", "one/a.avi")] == [None, None, None]
    assert find(tmp_path / "other.tar/One/a.avi") is None
    assert find(tar) == Place(tar, tar, 0, tar.stat().st_size)


def test_an_index_is_read_once_and_again_when_the_tar_has_changed(tmp_path: Path) -> None:
    tar = pack(tmp_path / "s.tar", [("One/a.avi", b"3")])
    assert members(tar) is members(tar)
    pack(tar, [("One/b.avi", b"3")])
    os.utime(tar, ns=(0, 7))
    assert list(members(tar)) == ["One/b.avi"]


def odd(tar: Path, kind: bytes, name: str = "One/odd.avi") -> None:
    with tarfile.open(tar, "a") as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)


def again(tar: Path, name: str) -> None:
    with tarfile.open(tar, "a") as archive:
        archive.addfile(tarfile.TarInfo(name))


def sparse(tar: Path) -> None:
    with tarfile.open(tar, "w", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("One/odd.avi")
        member.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": "512"}
        archive.addfile(member)


def written(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda tar: tar.write_bytes(change(tar.read_bytes()))


def long_header(tar: Path) -> None:
    """More said of a member than a process wants to hold."""
    with tarfile.open(tar, "w", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("One/a.avi")
        member.pax_headers = {"comment": "x" * (3 << 20)}
        archive.addfile(member)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tar: odd(tar, tarfile.SYMTYPE), r"its member One/odd\.avi is a link"),
        (lambda tar: odd(tar, tarfile.LNKTYPE), r"its member One/odd\.avi is a link"),
        (lambda tar: odd(tar, tarfile.CHRTYPE), r"its member One/odd\.avi is a link, a device"),
        (sparse, r"its member One/odd\.avi is .* a sparse file"),
        (lambda tar: again(tar, "/One/x.avi"), r"its member /One/x\.avi has a name that leads out"),
        (lambda tar: again(tar, "One/../../x.avi"), r"its member One/\.\./\.\./x\.avi has a name that leads out"),
        (lambda tar: again(tar, "./One/a.avi"), r"its member One/a\.avi stands there twice"),
        (long_header, r"is no tar, or a torn one \(a member's header has more than 2097152 bytes"),
        (written(lambda content: content[:700]), "torn"),
        (written(lambda content: content[:1024]), "no end mark at byte 1024 of 1024"),
        (written(lambda content: content[:1024] + b"x" * 512 + content[1024:]), "no end mark at byte 1024"),
        (written(lambda content: content + content), "something behind its end mark"),
        (written(lambda content: b"x" * 2000), "is no tar, or a torn one"),
        (written(lambda content: b""), "is no tar, or a torn one"),
        (written(lzma.compress), r"is compressed, .*decompress it once"),
    ],
)
def test_a_tar_that_cannot_be_used_is_refused_by_name(
    tmp_path: Path, change: Callable[[Path], object], message: str
) -> None:
    tar = pack(tmp_path / "s.tar", [("One/a.avi", b"3")])
    change(tar)
    with pytest.raises(DataError, match=rf"s\.tar: .*{message}"):
        find(tar / "One/a.avi")
