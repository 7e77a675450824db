import errno
import hashlib
import json
import math
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from moclip.base.errors import StoreError
from moclip.base.files import (
    atomic_path,
    fingerprint,
    read_json,
    read_npz,
    remove,
    remove_left_overs,
    sha256_file,
    temporary_name,
    write_json,
    write_npz,
    write_text,
)
from tests.support.processes import ended_process


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_whole_file_appears_at_the_end_alone(tmp_path):
    target = tmp_path / "made" / "a.csv"
    with atomic_path(target) as temporary:
        temporary.write_text("x")
        assert not target.exists()
        assert temporary.suffix == ".csv"
    assert target.read_text() == "x"
    assert names(target.parent) == ["a.csv"]


@pytest.mark.parametrize("directory", [False, True])
def test_failure_leaves_the_old_content_and_no_rest(tmp_path, directory):
    target = tmp_path / "a"
    target.write_text("old")

    def fail() -> None:
        with atomic_path(target) as temporary:
            if directory:
                temporary.mkdir()
                (temporary / "part").write_text("half")
            else:
                temporary.write_text("half")
            raise OSError(errno.ENOSPC, "disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert target.read_text() == "old"
    assert names(tmp_path) == ["a"]


def test_directory_replaces_an_older_one_as_a_whole(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "stale").write_text("old")
    with atomic_path(tmp_path / "d") as temporary:
        temporary.mkdir()
        (temporary / "fresh").write_text("new")
    assert names(tmp_path / "d") == ["fresh"]
    assert names(tmp_path) == ["d"]


def test_block_that_writes_nothing_is_an_error_and_keeps_the_old_file(tmp_path):
    target = tmp_path / "a"
    target.write_text("old")
    with pytest.raises(FileNotFoundError), atomic_path(target):
        pass
    assert target.read_text() == "old"


def test_remove_takes_a_link_but_not_what_it_points_at(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "kept", target_is_directory=True)
    remove(tmp_path / "link")
    remove(tmp_path / "never there")
    assert names(tmp_path) == ["kept"]


def test_temporary_names_differ_and_name_their_process(tmp_path):
    names = {temporary_name("a", ".csv") for _ in range(100)}
    assert len(names) == 100
    assert all(name.startswith(".a.") and f".{os.getpid()}." in name and name.endswith(".part.csv") for name in names)
    with atomic_path(tmp_path / "b.csv") as one, atomic_path(tmp_path / "b.csv") as other:
        one.write_text("1")
        other.write_text("2")
    assert (tmp_path / "b.csv").read_text() == "1"


def test_left_overs_are_what_ended_processes_and_yesterday_left(tmp_path):
    own = temporary_name("a", ".csv")
    ended = own.replace(f".{os.getpid()}.", f".{ended_process()}.")
    machine = own.split(".")[2]
    elsewhere = ended.replace(f".{machine}.", ".elsewhere.")
    yesterday = elsewhere.replace(".a.", ".b.")
    for name in (own, elsewhere, yesterday, ".hidden.csv", ".theirs.part", "a.part"):
        (tmp_path / name).touch()
    (tmp_path / ended).mkdir()
    (tmp_path / ended / "half").touch()
    for name in (yesterday, ".hidden.csv", ".theirs.part", "a.part"):
        os.utime(tmp_path / name, (0, 0))
    remove_left_overs(tmp_path)
    assert set(names(tmp_path)) == {own, elsewhere, ".hidden.csv", ".theirs.part", "a.part"}


@pytest.mark.skipif(sys.platform != "linux", reason="reads the state of processes from /proc")
def test_what_a_killed_process_left_is_cleared_although_nobody_has_collected_it(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", ""])
    try:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        left = tmp_path / temporary_name("a", ".csv").replace(f".{os.getpid()}.", f".{process.pid}.")
        left.touch()
        remove_left_overs(tmp_path)
        assert names(tmp_path) == []
    finally:
        process.wait()


def test_text_keeps_unix_line_ends_and_utf8(tmp_path):
    write_text(tmp_path / "a", "ä\nb\n")
    assert (tmp_path / "a").read_bytes() == b"\xc3\xa4\nb\n"


def test_json_bytes_do_not_depend_on_key_order(tmp_path):
    write_json(tmp_path / "a", {"b": 1, "a": [1.5, None]})
    write_json(tmp_path / "b", {"a": [1.5, None], "b": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert read_json(tmp_path / "a") == {"a": [1.5, None], "b": 1}
    assert (tmp_path / "a").read_text().endswith("}\n")


def test_json_has_no_room_for_nan(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a", math.nan)
    assert names(tmp_path) == []


@pytest.mark.parametrize("content", ["NaN", '{"a": Infinity}', "[-Infinity]"])
def test_json_that_is_read_has_no_room_for_nan_either(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(StoreError, match=r"a\.json: cannot be read as JSON \(-?(NaN|Infinity) is no JSON\)"):
        read_json(tmp_path / "a.json")


def test_json_is_read_of_plain_files_of_some_size_alone(tmp_path):
    (tmp_path / "a.json").write_text(f'"{"x" * (1 << 20)}"')
    with pytest.raises(StoreError, match=r"a\.json: is no plain file of at most 1 MiB"):
        read_json(tmp_path / "a.json", most_mib=1)
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(StoreError, match="is no plain file"):
            read_json(path)


@pytest.mark.parametrize("content", [None, b"{", b"\xff"])
def test_json_that_cannot_be_read_is_named(tmp_path, content):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StoreError, match=r"a\.json: cannot be read as JSON"):
        read_json(path)


def test_npz_round_trip_has_no_date_and_no_pickle(tmp_path):
    ids, values = np.array(["a", "ü"]), np.arange(6, dtype=np.float32).reshape(2, 3)
    write_npz(tmp_path / "a.npz", ids=ids, values=values)
    read = read_npz(tmp_path / "a.npz", "values", "ids")
    assert list(read) == ["values", "ids"]
    np.testing.assert_array_equal(read["values"], values, strict=True)
    np.testing.assert_array_equal(read["ids"], ids, strict=True)
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_npz_refuses_objects_in_both_directions(tmp_path):
    with pytest.raises(StoreError, match=r"array 'ids' holds objects"):
        write_npz(tmp_path / "a.npz", ids=np.array(["a", None], dtype=object))
    assert names(tmp_path) == []
    np.savez(tmp_path / "foreign.npz", ids=np.array([{"a": 1}], dtype=object))
    with pytest.raises(StoreError, match=r"foreign\.npz: cannot be read as npz"):
        read_npz(tmp_path / "foreign.npz", "ids")


def test_npz_lacking_an_array_says_what_it_has(tmp_path):
    write_npz(tmp_path / "a.npz", ids=np.zeros(1))
    with pytest.raises(StoreError, match=r"a\.npz: lacks the array 'values' \(has \['ids'\]\)"):
        read_npz(tmp_path / "a.npz", "ids", "values")


@pytest.mark.parametrize("member", ["values", "values.npy"])
def test_a_member_of_an_npz_that_is_no_array_is_refused(tmp_path, member):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr(member, b"plain bytes")
    with pytest.raises(StoreError, match=r"a\.npz: its member 'values' is no array"):
        read_npz(tmp_path / "a.npz", "values")


def test_torn_npz_is_refused(tmp_path):
    write_npz(tmp_path / "a.npz", values=np.zeros(1000))
    whole = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "torn.npz").write_bytes(whole[: len(whole) // 2])
    flipped = bytearray(whole)
    flipped[2000] ^= 1
    (tmp_path / "flipped.npz").write_bytes(flipped)
    for name in ("torn.npz", "flipped.npz", "absent.npz"):
        with pytest.raises(StoreError, match=f"{name}: cannot be read as npz"):
            read_npz(tmp_path / name, "values")


def test_sha256_of_a_file(tmp_path):
    (tmp_path / "a").write_bytes(b"abc" * 100_000)
    assert sha256_file(tmp_path / "a") == hashlib.sha256(b"abc" * 100_000).hexdigest()


def test_fingerprint_follows_content_not_key_order():
    assert fingerprint({"a": 1, "b": 2}, "x") == fingerprint({"b": 2, "a": 1}, "x")
    different = [fingerprint(1), fingerprint("1"), fingerprint(1, 1), fingerprint([1]), fingerprint(1.5)]
    assert len(set(different)) == len(different)
    assert all(len(digits) == 16 and json.loads(f'"{digits}"') for digits in different)
