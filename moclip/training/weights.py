"""Trained networks as files: weights in safetensors, configuration in JSON; no pickle."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from moclip.base.errors import StoreError
from moclip.base.files import atomic_path, read_facts, write_json

Net = TypeVar("Net", bound=nn.Module)
MOST_LETTERS = 100  # of a name or a shape in a message; a file may state any
UNFIT = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError, RuntimeError)
"""What building a network from somebody's configuration may raise."""
WEIGHTS = "model.safetensors"
CONFIG = "config.json"


def save_model(directory: Path, model: nn.Module, config: Mapping[str, Any]) -> None:
    """Write weights and configuration as one directory, atomically."""
    with atomic_path(directory) as temporary:
        temporary.mkdir()
        write_weights(temporary / WEIGHTS, model)
        write_json(temporary / CONFIG, dict(config))


def write_weights(path: Path, model: nn.Module) -> None:
    """Write every parameter and buffer as safetensors."""
    # As bytes: what `save_file` makes nobody but its owner may read, whatever the umask says.
    path.write_bytes(save({name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}))


def restored(build: Callable[[], Net], state: Mapping[str, Tensor]) -> Net:
    """The network that `build` makes, with these weights, in evaluation mode.

    It is made without memory first: what a file asks for may be far more than its weights hold.

    Raises:
        RuntimeError: weights and network differ in a name or a shape, or no such network can be.
    """
    with torch.device("meta"):
        wanted = {name: tuple(tensor.shape) for name, tensor in build().state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in state.items()}
    if differing := sorted(name for name in {*wanted, *given} if wanted.get(name) != given.get(name)):
        name = differing[0]
        found = f"{given.get(name)!s:.{MOST_LETTERS}} in the weights"
        raise RuntimeError(f"{name:.{MOST_LETTERS}} is {found} and {wanted.get(name)} by the configuration")
    net = build()
    net.load_state_dict(dict(state))
    return net.eval()


def load_model(directory: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Configuration and weights of a directory that `save_model` wrote.

    Raises:
        StoreError: a file is missing or torn.
    """
    try:
        state = load_file(directory / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise StoreError(f"{directory / WEIGHTS}: cannot be read as safetensors ({error})") from error
    return read_facts(directory / CONFIG), state
