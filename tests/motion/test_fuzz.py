from tests.support.fuzz_motion import fuzz


def test_damaged_files_are_read_or_refused_by_name_and_leave_no_store(tmp_path):
    result = fuzz(tmp_path, 66, seed=1, jobs=2)
    assert result["faults"] == {}
    assert result["read"] + result["refused"] == 66
    assert result["refused"] > 20
