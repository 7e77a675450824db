import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from moclip.base.random import torch_stream
from moclip.motion import transforms
from moclip.motion.transforms import TURN, augment, cut_at_random, encode_bytes, mirror, resize, ten_crops

COMPLEMENT, NEGATE = TURN["bytes", "complement"], TURN["bytes", "negate"]


def fields(n: int = 8, s: int = 2, h: int = 9, w: int = 12) -> torch.Tensor:
    return torch.randn(n, s, 2, h, w, generator=torch_stream(0, "fields")) * 10


def mirrored(x: torch.Tensor) -> torch.Tensor:
    """Second formula of the mirror: columns in reverse order, dx with the other sign."""
    return x.flip(-1) * torch.tensor([-1.0, 1.0])[:, None, None]


def test_without_crop_each_video_is_itself_or_its_mirror(monkeypatch):
    monkeypatch.setattr(transforms, "CROP_SCALES", (1.0,))
    x = fields(n=32)
    y = augment(x, torch_stream(0))
    kept = [bool(torch.allclose(b, a, atol=1e-3)) for a, b in zip(x, y, strict=True)]
    turned = [bool(torch.allclose(b, mirrored(a), atol=1e-3)) for a, b in zip(x, y, strict=True)]
    assert all(k != t for k, t in zip(kept, turned, strict=True))
    assert 4 < sum(turned) < 28


def test_still_field_stays_exactly_still():
    still = torch.zeros(64, 2, 2, 9, 12)
    assert torch.count_nonzero(augment(still, torch_stream(0))) == 0


def test_uniform_motion_keeps_its_size_under_any_crop_and_turns_with_the_mirror():
    x = torch.empty(64, 2, 2, 9, 12)
    x[:, :, 0], x[:, :, 1] = 5.0, -3.0
    y = augment(x, torch_stream(0))
    torch.testing.assert_close(y[:, :, 1], x[:, :, 1])
    torch.testing.assert_close(y[:, :, 0].abs(), x[:, :, 0])
    signs = y[:, :, 0].flatten(1).sign()
    assert (signs == signs[:, :1]).all(), "a video is mirrored as a whole"
    assert {int(sign) for sign in signs[:, 0]} == {-1, 1}


def test_crop_shows_a_part_of_the_video_alike_in_all_segments(monkeypatch):
    monkeypatch.setattr(transforms, "CROP_SCALES", (0.5,))
    x = torch.arange(12.0).expand(16, 3, 2, 9, 12).clone()  # each cell holds its column
    y = augment(x, torch_stream(0))[:, :, 1]
    width = y.amax(dim=(2, 3)) - y.amin(dim=(2, 3))
    assert (width < 6.1).all()
    assert (width > 4.9).all()
    assert (y == y[:, :1]).all()
    assert y.amin(dim=(1, 2, 3)).unique().numel() > 8, "places differ between videos"
    assert y.min() >= 0
    assert y.max() <= 11


def test_augmentation_is_new_each_time_and_leaves_its_input():
    x = fields()
    before = x.clone()
    generator = torch_stream(0)
    first, second = augment(x, generator), augment(x, generator)
    assert not torch.equal(first, second)
    assert torch.equal(first, augment(x, torch_stream(0)))
    assert torch.equal(x, before)


@pytest.mark.parametrize("side", [4, 32])
def test_resize_changes_cells_not_displacements(side):
    x = torch.full((3, 2, 9, 12), 7.5)
    y = resize(x, side)
    assert y.shape == (3, 2, side, side)
    torch.testing.assert_close(y, torch.full_like(y, 7.5))
    assert resize(x, None) is x


@given(st.lists(st.floats(-400, 400, width=32), min_size=1, max_size=20), st.sampled_from([5.0, 20.0, 127.5]))
def test_bytes_are_those_of_integer_arithmetic(values, bound):
    """Second formula: NumPy in float64, cast to whole numbers as the paper's code casts."""
    x = np.array(values, dtype=np.float32)
    scaled = x.astype(np.float64) * (127.5 / bound)
    expected = np.clip(scaled.astype(np.int32) + 128, 0, 255)
    found = encode_bytes(torch.from_numpy(x), bound).numpy()
    near_whole = np.abs(scaled - np.round(scaled)) < 1e-3  # there float32 may cast to the neighbour
    np.testing.assert_array_equal(found[~near_whole], expected[~near_whole])
    assert (np.abs(found - expected) <= 1).all()
    assert ((found >= 0) & (found <= 255)).all()


def test_small_motions_vanish_in_bytes_on_both_sides_of_zero():
    assert encode_bytes(torch.tensor([-0.15, 0.15, -0.16, 0.16]), 20.0).tolist() == [128, 128, 127, 129]


def test_complement_moves_still_cells_and_negation_does_not():
    still = torch.full((2, 3, 4), 128.0)
    assert mirror(still, COMPLEMENT)[0].unique().tolist() == [127]
    assert torch.equal(mirror(still, NEGATE), still)
    dx = torch.arange(256.0).reshape(1, -1)
    image = mirror(torch.stack([dx, dx]), NEGATE)
    assert torch.equal(image[1], dx.flip(-1)), "dy keeps its value"
    assert image[0].flip(-1).flatten().tolist() == [255, *range(255, 0, -1)], "byte 0 has no partner and saturates"


@pytest.mark.parametrize(("turn", "left"), [(COMPLEMENT, {127.0, 128.0}), (NEGATE, {128.0})])
def test_augmented_bytes_that_stand_still(turn, left):
    y = augment(torch.full((32, 2, 2, 9, 12), 128.0), torch_stream(0), turn)
    assert set(y[:, :, 0].round(decimals=3).unique().tolist()) == left, "but for what interpolation rounds"
    assert y[:, :, 1].round(decimals=3).unique().tolist() == [128.0]


def test_pixels_beyond_a_byte_are_mirrored_whole():
    x = torch.full((1, 2, 3, 3), -300.0)
    assert mirror(x, 0)[:, 0].unique().tolist() == [300.0]


def windows(large: torch.Tensor, cut: torch.Tensor) -> list[tuple[int, int]]:
    """Places where `cut` (2, h, w) lies in `large` (2, H, W)."""
    room, side = large.shape[-1] - cut.shape[-1] + 1, cut.shape[-1]
    places = [(y, x) for y in range(room) for x in range(room)]
    return [(y, x) for y, x in places if torch.equal(large[:, y : y + side, x : x + side], cut)]


def test_cut_squares_are_windows_of_the_enlarged_field_anew_in_each_segment():
    """Sizes are round(side / scale) = 24, 27, 32, as the paper's code has 224, 256, 299."""
    x, generator = fields(n=1, s=4)[0], torch_stream(0)
    sides, apart, turned = set(), 0, 0
    for _ in range(40):
        cut = cut_at_random(x, 24, generator)
        assert cut.shape == (4, 2, 24, 24)
        (scale, sign) = next(
            (large, sign)
            for large in (24, 27, 32)
            for sign in (False, True)
            if windows(resize(x, large)[0], mirror(cut, 0)[0] if sign else cut[0])
        )
        upright = mirror(cut, 0) if sign else cut
        places = [windows(whole, one)[0] for whole, one in zip(resize(x, scale), upright, strict=True)]
        sides.add(scale)
        apart += len(set(places)) > 1
        turned += sign
    assert sides == {24, 27, 32}
    assert apart > 15
    assert 10 < turned < 30


def test_cut_bytes_stay_bytes():
    x = encode_bytes(fields(n=1)[0], 20.0)
    cut = cut_at_random(x, 24, torch_stream(1), COMPLEMENT, whole=True)
    assert torch.equal(cut, cut.round())
    assert not torch.equal(resize(x, 24), resize(x, 24).round())


def test_ten_crops_are_corners_and_centre_then_those_of_the_mirror_image():
    x = fields(n=2, s=3, h=256, w=256)
    crops = list(ten_crops(x, 224, torch.tensor([True, False])))
    assert len(crops) == 10
    corners = [(0, 0), (0, 32), (32, 0), (32, 32), (16, 16)]
    for crop, again, (top, left) in zip(crops[:5], crops[5:], corners, strict=True):
        assert torch.equal(crop, x[..., top : top + 224, left : left + 224])
        assert torch.equal(again[0], mirrored(x[0])[..., top : top + 224, left : left + 224])
        assert torch.equal(again[1], crop[1]), "heads: the coin left this video as it was"
