"""Trained networks as files: weights in safetensors, configuration in JSON; no pickle."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from moclip.base.errors import StoreError
from moclip.base.files import atomic_path, read_json, write_json

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
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}, path)


def load_model(directory: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Configuration and weights of a directory that `save_model` wrote.

    Raises:
        StoreError: a file is missing or torn.
    """
    try:
        state = load_file(directory / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise StoreError(f"{directory / WEIGHTS}: cannot be read as safetensors ({error})") from error
    return read_json(directory / CONFIG), state
