"""Weights between two checkpoints: exact ends, one architecture, and files that hold nothing but tensors."""

import copy
import logging
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from open_clip import CLIP
from safetensors.torch import save_file
from torch import Tensor

from moclip.base.errors import ParamsError
from moclip.clip.patch import apply_patch, interpolated, read_patch
from tests.support.towers import resnet, vit

FAMILIES = pytest.mark.parametrize("family", [vit, resnet])


def state(model: CLIP) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def released(path: Path, model: CLIP, **beside: Any) -> Path:
    """A file in the form of Open-VCLIP's: its tensors under a prefix, beside what its training left."""
    own = {f"model.{name}": tensor for name, tensor in state(model).items()}
    torch.save(
        {"epoch": 21, "model_state": {**own, **beside}, "optimizer_state": {"lr": 3.3e-6}, "cfg": "TRAIN:\n"}, path
    )
    return path


@FAMILIES
@pytest.mark.parametrize("share", [1.0, 0.0])
def test_ends_are_one_side_to_the_bit(family, share):
    first, second = state(family(0)), state(family(1))
    found = interpolated(first, second, share)
    assert list(found) == list(first)
    for name, tensor in found.items():
        expected = first[name] if share or not tensor.is_floating_point() else second[name]
        assert torch.equal(tensor, expected)
        assert tensor.data_ptr() not in (first[name].data_ptr(), second[name].data_ptr())


@FAMILIES
def test_equal_weights_stay_what_they_are(family):
    own = state(family(0))
    assert all(torch.equal(tensor, own[name]) for name, tensor in interpolated(own, own, 0.3).items())


@FAMILIES
def test_a_share_is_taken_tensor_by_tensor(family):
    first, second = state(family(0)), state(family(1))
    kept = copy.deepcopy(first)
    for name, tensor in interpolated(first, second, 0.3).items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, 0.3 * first[name] + 0.7 * second[name], rtol=1e-6, atol=1e-7)
        else:
            assert torch.equal(tensor, first[name])
        assert torch.equal(first[name], kept[name])


def test_half_precision_is_read_in_the_models_own():
    first, second = state(vit(0)), {name: tensor.half() for name, tensor in state(vit(1)).items()}
    found = interpolated(first, second, 0.5)
    assert {tensor.dtype for tensor in found.values()} == {torch.float32}
    name = "visual.proj"
    torch.testing.assert_close(found[name], 0.5 * first[name] + 0.5 * second[name].float())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda own: own.pop("visual.proj"), r"the second one lacks 'visual\.proj' \(1 names stand in one alone\)"),
        (lambda own: own.update({"adapter.weight": torch.zeros(1)}), r"the first one lacks 'adapter\.weight'"),
        (
            lambda own: own.update({"visual.proj": torch.zeros(32, 25)}),
            r"'visual\.proj' is \(32, 24\) in the first and \(32, 25\) in the second",
        ),
        (lambda own: own["visual.proj"].fill_(float("nan")), r"'visual\.proj' of the second checkpoint is not finite"),
    ],
)
def test_another_architecture_is_refused_by_name(change, words):
    first, second = state(vit(0)), state(vit(1))
    change(second)
    for share in (0.5, 0.0, 1.0):
        with pytest.raises(ParamsError, match=words):
            interpolated(first, second, share)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_shares_beyond_the_two_are_refused(share):
    with pytest.raises(ParamsError, match="must lie from 0 to 1"):
        interpolated({}, {}, share)


def test_two_families_are_refused():
    with pytest.raises(ParamsError, match="of different architectures: the second one lacks 'visual"):
        interpolated(state(vit()), state(resnet()), 0.5)


@pytest.mark.parametrize("form", ["released", "torch", "training", "safetensors"])
def test_a_file_of_each_form_gives_the_same_tensors(form, tmp_path):
    model = vit(1)
    if form == "released":
        path = released(tmp_path / "swa_2_22.pth", model)
    elif form == "torch":
        extras = {"input_resolution": torch.tensor(32), "context_length": torch.tensor(8)}
        torch.save({**state(model), **extras}, path := tmp_path / "weights.pt")
    elif form == "training":
        wrapped = {f"module.{name}": tensor for name, tensor in state(model).items()}
        torch.save({"epoch": 3, "name": "run", "state_dict": wrapped}, path := tmp_path / "epoch_3.pt")
    else:
        save_file(state(model), path := tmp_path / "weights.safetensors")
    found, own = read_patch(path), state(model)
    assert found.keys() == own.keys()
    assert all(torch.equal(found[name], own[name]) for name in own)


def test_patch_moves_a_model_between_the_two(tmp_path):
    model, other = vit(0), vit(1)
    first = state(model)
    apply_patch(model, released(tmp_path / "a.pth", other), 0.5)
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, 0.5 * first[name] + 0.5 * other.state_dict()[name])


def test_an_untouched_second_clip_is_left_out_and_said(tmp_path, caplog):
    path = released(tmp_path / "a.pth", vit(1), **{"raw_model.visual.proj": torch.zeros(2)})
    with caplog.at_level(logging.INFO):
        assert read_patch(path).keys() == state(vit()).keys()
    assert "1 tensors of an untouched CLIP" in caplog.text


class Evil:
    def __reduce__(self) -> Any:
        return print, ("this must not run",)


def test_what_is_no_weight_of_clip_is_refused_by_name(tmp_path, capsys):
    path = tmp_path / "a.pth"
    with pytest.raises(ParamsError, match=r"clip\.patch': .*a\.pth is not a file"):
        read_patch(path)
    released(path, vit(), head=torch.zeros(3))
    with pytest.raises(ParamsError, match=r"a\.pth holds 'head' \(1 such\), which is no part of CLIP"):
        read_patch(path)
    torch.save({"visual.proj": torch.zeros(1), "note": "hello"}, path)
    with pytest.raises(ParamsError, match=r"a\.pth holds 'note', which is no tensor"):
        read_patch(path)
    torch.save([torch.zeros(1)], path)
    with pytest.raises(ParamsError, match="it holds a list, no tensors by name"):
        read_patch(path)
    torch.save({"model_state": [torch.zeros(1)]}, path)
    with pytest.raises(ParamsError, match="its 'model_state' is a list"):
        read_patch(path)
    torch.save({"model_state": Evil()}, path)
    with pytest.raises(ParamsError, match="code in a file is never run"):
        read_patch(path)
    path.write_bytes(pickle.dumps(Evil(), protocol=2))
    with pytest.raises(ParamsError, match="code in a file is never run"):
        read_patch(path)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("form", ["pth", "safetensors"])
def test_a_file_that_arrived_cut_off_is_refused(form, tmp_path):
    path = tmp_path / f"a.{form}"
    if form == "pth":
        released(path, vit())
    else:
        save_file(state(vit()), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ParamsError, match=r"cannot be read as weights .* cut off: compare size and digest"):
        read_patch(path)


def test_patch_of_another_model_names_file_and_tensor(tmp_path):
    path = released(tmp_path / "a.pth", vit(layers=2))
    words = r"clip\.patch': a\.pth \(second\) and clip\.model \(first\): .* the second one lacks 'visual\.transformer"
    with pytest.raises(ParamsError, match=words):
        apply_patch(vit(), path, 0.5)
