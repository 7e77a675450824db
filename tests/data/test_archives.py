"""Hostile and damaged archives are refused by name, and leave nothing behind; all of them are made here."""

import stat
import struct
import zipfile
from pathlib import Path

import pytest

from moclip.data.fetch import archives
from moclip.data.fetch.archives import ArchiveError, Choose, extract, open_archive
from tests.support.rar import rar, rar_member
from tests.support.zips import GOOD, HOSTILE, Members, below, make_zip, many, patched


def everything(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def unpack(path: Path, target: Path, choose: Choose = below) -> int:
    with open_archive(path) as archive:
        return extract(archive, target, choose)


def refused(tmp_path: Path, data: bytes, message: str, choose: Choose = below) -> None:
    home = tmp_path / "home"
    home.mkdir()
    path = home / "archive"
    path.write_bytes(data)
    with pytest.raises(ArchiveError, match=message) as caught:
        unpack(path, home / "target", choose)
    assert str(path) in str(caught.value), "the archive is named"
    assert everything(home) == ["archive"], "nothing is written, nothing half-written stays"
    assert everything(tmp_path)[0] == "home"


def test_good_zip(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(make_zip([*GOOD, ("UCF-101/readme.txt", b"hello"), ("UCF-101/empty/", b"")]))
    assert unpack(path, tmp_path / "out") == 2
    assert everything(tmp_path / "out") == ["YoYo", "YoYo/a.avi", "YoYo/b.avi"]
    assert (tmp_path / "out/YoYo/b.avi").read_bytes() == b"second" * 2000
    assert not (tmp_path / ".out.part").exists()


def test_folder_that_holds_other_files_keeps_them(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(make_zip(GOOD))
    (tmp_path / "out/YoYo").mkdir(parents=True)
    (tmp_path / "out/YoYo/mine.avi").write_bytes(b"mine")
    unpack(path, tmp_path / "out")
    assert everything(tmp_path / "out") == ["YoYo", "YoYo/a.avi", "YoYo/b.avi", "YoYo/mine.avi"]


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_zip_is_refused(tmp_path: Path, kind: str) -> None:
    members, message = HOSTILE[kind]
    refused(tmp_path, make_zip(members), message)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_duplicate_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, make_zip([*GOOD, ("UCF-101/YoYo/a.avi", b"other")]), "'UCF-101/YoYo/a.avi' stands twice")


def test_encrypted_zip_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, patched(make_zip(GOOD), 6, "<H", 1), r"'UCF-101/YoYo/a\.avi' is encrypted")


@pytest.mark.parametrize("declared", [100, 4_000_000])
def test_size_that_is_a_lie(tmp_path: Path, declared: int) -> None:
    """A real bomb states a small size and holds a large one; the other way round is damage."""
    data = patched(make_zip([("UCF-101/big.avi", bytes(3_000_000)), *GOOD]), 22, "<I", declared)
    refused(tmp_path, data, "big.avi'.*(cannot be read|ends after)")


def test_member_that_claims_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBER_BYTES", 11_000)
    refused(tmp_path, make_zip(GOOD, zipfile.ZIP_STORED), r"b\.avi' claims 12000 bytes")


def test_too_many_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBERS", 1)
    refused(tmp_path, make_zip(GOOD), "2 members; more than 1 are refused")


@pytest.mark.parametrize("comment", [b"", b"c" * 5000])
def test_directory_of_members_without_end_is_refused_before_it_is_read(tmp_path: Path, comment: bytes) -> None:
    data = many(400_000)[:-2] + struct.pack("<H", len(comment)) + comment
    refused(tmp_path, data, r"a directory of 18800000 bytes; more than 16777216 are refused")


def test_overlapping_members_are_refused(tmp_path: Path) -> None:
    """The trick of the densest bombs: many entries of the directory share one body."""
    data = bytearray(make_zip(GOOD))
    second = data.rindex(b"PK\x01\x02")
    struct.pack_into("<I", data, second + 42, 10)
    refused(tmp_path, bytes(data), "overlaps the next one; refused")


@pytest.mark.parametrize("keep", [0.2, 0.9, 0.999])
def test_truncated_zip_is_refused(tmp_path: Path, keep: float) -> None:
    data = make_zip(GOOD, zipfile.ZIP_STORED)
    refused(
        tmp_path,
        data[: int(len(data) * keep)],
        "damaged, cut short or of an unknown kind; remove it and fetch it again",
    )


def test_changed_byte_is_refused(tmp_path: Path) -> None:
    data = bytearray(make_zip(GOOD, zipfile.ZIP_STORED))
    data[data.index(b"second") + 600] ^= 1
    refused(tmp_path, bytes(data), r"b\.avi': cannot be read \(Bad CRC-32")


def test_what_is_no_archive(tmp_path: Path) -> None:
    refused(tmp_path, b"<html>not found</html>", "neither a zip nor a RAR")
    with pytest.raises(ArchiveError, match=r"data\.archive: .*absent\.zip cannot be read"):
        unpack(tmp_path / "absent.zip", tmp_path / "out")


@pytest.fixture(params=["libarchive", "rarfile"])
def reader(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each way to unpack RAR, where it is there; rarfile itself unpacks what is stored."""
    if request.param == "libarchive":
        pytest.importorskip("libarchive", reason="needs libarchive-c and the system's libarchive", exc_type=Exception)
        return
    monkeypatch.setattr(archives, "_libarchive", lambda: None)
    monkeypatch.setattr(archives, "require_rar", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))


def stored(members: Members) -> bytes:
    return rar(*[rar_member(str(name), data) for name, data in members])


def test_good_rar(tmp_path: Path, reader: None) -> None:
    path = tmp_path / "a.rar"
    path.write_bytes(stored([*GOOD, ("UCF-101/readme.txt", b"hello")]))
    assert unpack(path, tmp_path / "out") == 2
    assert everything(tmp_path / "out") == ["YoYo", "YoYo/a.avi", "YoYo/b.avi"]
    assert (tmp_path / "out/YoYo/b.avi").read_bytes() == b"second" * 2000


@pytest.mark.parametrize("kind", ["absolute", "climbing", "case", "nested", "two at one place", "folder and file"])
def test_hostile_rar_is_refused(tmp_path: Path, reader: None, kind: str) -> None:
    members, message = HOSTILE[kind]
    refused(tmp_path, stored(members), message)


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (rar_member("UCF-101/l.avi", b"/etc/passwd", mode=stat.S_IFLNK | 0o777), "is a link or a device"),
        (rar_member("UCF-101/YoYo/a.avi", b"other"), "stands twice"),
        (rar_member("UCF-101/s.avi", b"secret", flags=4), "encrypted"),
        (rar_member("UCF-101/big.avi", b"x", size=40_000_000), "refused as a bomb"),
        (rar_member("UCF-101/c.avi", b"short", size=5000), "damaged|ends after"),
    ],
    ids=["link", "duplicate", "encrypted", "bomb", "lie"],
)
def test_rar_with_a_hostile_member_is_refused(tmp_path: Path, reader: None, member: bytes, message: str) -> None:
    refused(tmp_path, rar(*[rar_member(str(name), data) for name, data in GOOD], member), message)


@pytest.mark.parametrize("keep", [0.3, 0.8])
def test_truncated_rar_is_refused(tmp_path: Path, reader: None, keep: float) -> None:
    data = stored(GOOD)
    refused(tmp_path, data[: int(len(data) * keep)], "damaged|did not come out|ends after")


def test_changed_byte_in_rar_is_refused(tmp_path: Path, reader: None) -> None:
    data = bytearray(stored(GOOD))
    data[data.index(b"second") + 600] ^= 1
    refused(tmp_path, bytes(data), r"b\.avi'.*(checksum differs|CRC)")


def test_rar_without_anything_that_reads_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "_libarchive", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "a.rar").write_bytes(stored(GOOD))
    with pytest.raises(
        ArchiveError, match=r"install .*libarchive-c`, or unrar or unar; or set data\.archive: thumos.*needs nothing"
    ):
        unpack(tmp_path / "a.rar", tmp_path / "out")
