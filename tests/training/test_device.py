from typing import Any

import pytest
import torch
from torch import nn

from moclip.base.errors import ParamsError
from moclip.params.compute import ComputeParams
from moclip.training.device import ON_CPU, Compute

DEFAULT = {"kernels": "portable", "device": "cpu", "amp": False, "channels_last": False, "deterministic": True}


def compute(**changes: Any) -> Compute:
    return Compute.of(ComputeParams(**{**DEFAULT, **changes}))


def test_default_is_full_precision_on_what_every_machine_has():
    assert compute() == ON_CPU
    assert not ON_CPU.scaler().is_enabled()
    with ON_CPU.autocast():
        assert nn.Linear(2, 2)(torch.zeros(1, 2)).dtype == torch.float32


@pytest.mark.parametrize("found", [True, False])
def test_auto_takes_a_gpu_where_there_is_one(monkeypatch, found):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: found)
    assert compute(device="auto").device.type == ("cuda" if found else "cpu")
    assert compute(device="cpu").device.type == "cpu"


def test_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ParamsError, match=r"compute\.device: cuda was asked for, but .* no CUDA device.*cpu or auto"):
        compute(device="cuda")


def test_only_half_precision_scales_its_loss():
    assert [compute(amp=amp).scaler().is_enabled() for amp in (False, "bf16", "fp16")] == [False, False, True]
    for amp, kind in (("bf16", torch.bfloat16), ("fp16", torch.float16)):
        with compute(amp=amp).autocast():
            assert nn.Linear(2, 2)(torch.zeros(1, 2)).dtype == kind


def test_channels_last_is_how_convolutions_lie_in_memory():
    layers = nn.Sequential(nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8))
    before = [parameter.detach().clone() for parameter in layers.parameters()]
    placed = compute(channels_last=True).place(layers)
    assert placed[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert placed(torch.zeros(1, 4, 5, 5)).is_contiguous(memory_format=torch.channels_last)
    assert all(torch.equal(new, old) for new, old in zip(placed.parameters(), before, strict=True))
    assert compute().place(nn.Conv2d(4, 8, 3)).weight.is_contiguous()


def test_work_of_another_model_of_gpu_has_another_key(monkeypatch):
    keys = {compute().key, compute(amp="bf16").key}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for model in ("NVIDIA A100-SXM4-40GB", "NVIDIA H100 80GB HBM3"):
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda _, model=model: model)
        assert compute(device="cuda").processor == model
        keys.add(compute(device="cuda").key)
    assert len(keys) == 4


def test_random_state_goes_back_to_where_it_was():
    state = ON_CPU.random_state()
    first = torch.rand(3)
    ON_CPU.set_random_state(state)
    assert torch.equal(torch.rand(3), first)
    assert list(state) == ["cpu"]
