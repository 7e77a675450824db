import pytest
import torch
from torch import nn

from moclip.base.errors import StoreError
from moclip.training.weights import CONFIG, WEIGHTS, load_model, save_model


def network() -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    net(torch.randn(5, 3))
    return net


def test_parameters_and_buffers_come_back_bit_by_bit(tmp_path):
    net = network()
    save_model(tmp_path / "net", net, {"classes": 4})
    config, state = load_model(tmp_path / "net")
    assert config == {"classes": 4}
    assert state.keys() == net.state_dict().keys()
    assert all(torch.equal(state[name], value) for name, value in net.state_dict().items())
    assert sorted(path.name for path in (tmp_path / "net").iterdir()) == sorted([CONFIG, WEIGHTS])


def test_equal_networks_give_equal_bytes(tmp_path):
    for name in ("a", "b"):
        save_model(tmp_path / name, network(), {"b": 1, "a": 2})
    for file in (CONFIG, WEIGHTS):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_weights_in_another_memory_order_are_taken(tmp_path):
    net = nn.Linear(3, 4)
    net.weight = nn.Parameter(torch.randn(3, 4).T)
    save_model(tmp_path / "net", net, {})
    assert torch.equal(load_model(tmp_path / "net")[1]["weight"], net.weight)


def test_failing_write_keeps_the_older_network(tmp_path):
    save_model(tmp_path / "net", network(), {"classes": 4})
    with pytest.raises(TypeError):
        save_model(tmp_path / "net", network(), {"classes": object()})
    assert load_model(tmp_path / "net")[0] == {"classes": 4}
    assert [path.name for path in tmp_path.iterdir()] == ["net"]


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:50])])
@pytest.mark.parametrize(("file", "kind"), [(CONFIG, "JSON"), (WEIGHTS, "safetensors")])
def test_missing_or_torn_file_is_named(tmp_path, damage, file, kind):
    save_model(tmp_path / "net", network(), {"a long enough configuration": list(range(50))})
    damage(tmp_path / "net" / file)
    with pytest.raises(StoreError, match=rf"{file}: cannot be read as {kind}"):
        load_model(tmp_path / "net")
