"""What is known of finished files: torn lines are none, and files that changed are not known."""

import os
from pathlib import Path

import pytest

from moclip.cluster.journal import Journal


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    found = [tmp_path / "a.block", tmp_path / "b.block"]
    for number, file in enumerate(found):
        file.write_bytes(bytes(10 + number))
    return found


def test_what_was_added_is_known_by_its_key_to_the_next(files, tmp_path):
    journal = tmp_path / "digests.jsonl"
    Journal(journal).add("k", files, ["1", "2"])
    Journal(journal).add("other", files[:1], ["3"])
    found = Journal(journal)
    assert found.digests("k", files) == ("1", "2")
    assert found.digests("other", files[:1]) == ("3",)
    assert found.digests("third", files) is None
    assert found.digests("k", files[::-1]) is None
    assert found.digests("k", files[:1]) is None
    Journal(journal).add("k", files, ["5", "6"])
    assert Journal(journal).digests("k", files) == ("5", "6"), "the last line counts"


def test_a_line_that_is_torn_anywhere_is_none_and_harms_no_other(files, tmp_path):
    journal = tmp_path / "digests.jsonl"
    Journal(journal).add("first", files, ["1", "2"])
    start = journal.stat().st_size
    Journal(journal).add("second", files, ["3", "4"])
    whole = journal.read_bytes()
    for end in range(start, len(whole)):
        journal.write_bytes(whole[:end])
        Journal(journal).add("third", files, ["5", "6"])
        found = Journal(journal)
        known = [found.digests(key, files) for key in ("first", "second", "third")]
        assert known == [("1", "2"), None, ("5", "6")], end
    journal.write_bytes(whole[:start] + bytes(20) + b"\xff\n[1]\n7" + whole[start:])
    assert Journal(journal).digests("second", files) == ("3", "4")


@pytest.mark.parametrize("change", ["size", "time", "gone"])
def test_a_file_that_changed_is_not_known(files, tmp_path, change):
    journal = Journal(tmp_path / "digests.jsonl")
    journal.add("k", files, ["1", "2"])
    last = files[1]
    at = last.stat().st_mtime_ns
    if change == "size":
        last.write_bytes(bytes(3))
        os.utime(last, ns=(at, at))
    elif change == "time":
        os.utime(last, ns=(at, at + 1))
    else:
        last.unlink()
    assert Journal(tmp_path / "digests.jsonl").digests("k", files) is None


def test_a_file_that_is_not_seen_yet_is_not_kept(files, tmp_path):
    Journal(tmp_path / "digests.jsonl").add("k", [*files, tmp_path / "late.block"], ["1", "2", "3"])
    assert not (tmp_path / "digests.jsonl").exists()
