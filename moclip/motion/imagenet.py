"""ImageNet weights of the motion network's backbone, from the hub or from a local file."""

from pathlib import Path

import timm
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from moclip.base.errors import DataError, ParamsError
from moclip.base.hub import hub_file


def imagenet_weights(arch: str, checkpoint: Path | None) -> dict[str, Tensor]:
    """ImageNet weights of a backbone without its classifier: a local file, or the one that timm's table names.

    Raises:
        ParamsError: the local file is not there, is no safetensors, or holds another network.
        DataError: nothing is at hand, and the hub cannot be reached; says what to fetch.
    """
    path = checkpoint or _from_hub(arch)
    try:
        state = {name: tensor for name, tensor in load_file(path).items() if not name.startswith("classifier.")}
        timm.create_model(arch, num_classes=0).load_state_dict(state)
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ParamsError(f"{path}: no ImageNet weights of {arch} as safetensors ({reason})") from error
    return state


def _from_hub(arch: str) -> Path:
    repository = timm.models.get_pretrained_cfg(arch).hf_hub_id
    try:
        return hub_file(repository, ["model.safetensors"])
    except DataError as error:
        raise DataError(f"{error}, and name the file in motion_net.checkpoint") from error
