import pytest
import torch

from moclip.base.random import make_deterministic, stream, torch_stream

PURPOSES = [(0, "motion", 1), (0, "motion", 2), (1, "motion", 1), (0, "fusion", 1), (0, "motion"), (0, "motion", 1, 0)]


@pytest.mark.parametrize(
    "draw",
    [
        lambda *names: tuple(stream(*names).integers(0, 2**31, 8).tolist()),
        lambda *names: tuple(torch.randint(0, 2**31, (8,), generator=torch_stream(*names)).tolist()),
    ],
    ids=["numpy", "torch"],
)
def test_each_purpose_has_numbers_of_its_own_and_keeps_them(draw):
    first = [draw(*purpose) for purpose in PURPOSES]
    assert len(set(first)) == len(PURPOSES)
    assert [draw(*purpose) for purpose in reversed(PURPOSES)] == first[::-1]


def test_streams_are_the_same_in_every_process_and_release():
    # Python salts hash() by process; a golden number guards against its return.
    assert stream(0, "motion", 1).integers(0, 2**31, 2).tolist() == [1780370684, 339985669]
    assert torch.randint(0, 2**31, (2,), generator=torch_stream(0, "motion", 1)).tolist() == [1768926179, 706240315]


def test_deterministic_seeds_weights_and_switches_kernels():
    make_deterministic(0, "motion", 1)
    first = torch.nn.Linear(3, 3).weight
    assert torch.are_deterministic_algorithms_enabled()
    make_deterministic(0, "motion", 1)
    assert torch.equal(torch.nn.Linear(3, 3).weight, first)
    make_deterministic(0, "motion", 2)
    assert not torch.equal(torch.nn.Linear(3, 3).weight, first)


def test_kernels_are_refused_warned_of_or_left_alone():
    for mode, found in ((True, (True, False)), ("warn", (True, True)), (False, (False, False))):
        make_deterministic(0, "motion", mode=mode)
        assert (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        ) == found
        assert torch.backends.cudnn.benchmark == (mode is False)
    make_deterministic(0, "motion")
