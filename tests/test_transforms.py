import pytest
import torch

from moclip import transforms
from moclip.seeds import torch_stream
from moclip.transforms import augment, resize


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
