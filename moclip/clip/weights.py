"""Published CLIP weights, by tag from a hub or from a local file, held against what is known of them."""

import logging
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import open_clip
import torch
from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME
from safetensors.torch import save_file
from torch import Tensor, nn

from moclip.base.errors import DataError, ParamsError
from moclip.base.files import MAX_FACTS_MIB, read_json, sha256_file, write_json
from moclip.base.hub import hub_file
from moclip.clip.architecture import check_config
from moclip.clip.encoder import CONFIG
from moclip.params.clip import HUB

log = logging.getLogger(__name__)

# Where open_clip's table gives weights by address, the address holds their SHA-256: all of it, or eight digits.
_DIGEST = re.compile(r"/clip/models/([0-9a-f]{64})/|-([0-9a-f]{8})\.pth?$")
# OpenAI's archives carry these beside the weights.
ARCHIVE_EXTRAS = ("input_resolution", "context_length", "vocab_size")


@dataclass(frozen=True)
class Published:
    """A model with its weights.

    `config` has the form of `open_clip_config.json`; `source` says where the weights are from and by what their
    activation was checked.
    """

    model: nn.Module
    config: dict[str, Any]
    source: dict[str, Any]


def fetch(name: str, pretrained: str | None, checkpoint: Path | None) -> Published:
    """A published model: by open_clip's name, with weights by tag or from a local file, or by its repository on a hub.

    Raises:
        ParamsError: no such model, tag or file; weights and activation that do not belong together; weights that
            do not fit the model; a file that holds more than tensors; a tokenizer that needs what is not installed.
        DataError: the weights are not on this machine and cannot be fetched.
        StoreError: the hub's file arrived damaged, or its configuration is not allowed.
    """
    if name.startswith(HUB):
        return _of_hub(name)
    model_config = _model_config(name)
    if checkpoint is None:
        path, facts = _by_tag(name, str(pretrained), model_config)
        checked: str | None = "open_clip's table"
    else:
        path = checkpoint
        facts, checked = _by_file(name, checkpoint, model_config)
    model = _load(name, path, facts)
    return _published(model, model_config, path, checked, {})


def bring(name: str, pretrained: str | None) -> Path:
    """Have a published model's weights on this machine, and build nothing of them; `fetch` reads them later.

    Returns:
        The file.

    Raises:
        ParamsError, DataError, StoreError: as `fetch`, as far as names, configuration and file tell.
    """
    if name.startswith(HUB):
        return _files_of_hub(name)[1]
    return _by_tag(name, str(pretrained), _model_config(name))[0]


def _model_config(name: str) -> dict[str, Any]:
    if name not in open_clip.list_models():
        raise ParamsError(f"parameter 'clip.model': open_clip knows no {name!r}; see open_clip.list_models()")
    config: dict[str, Any] = open_clip.get_model_config(name)
    _check_texts(name, config["text_cfg"])
    return config


def _check_texts(name: str, text: Mapping[str, Any]) -> None:
    """Refuse a text tower of another package, and a tokenizer of one that is not installed."""
    if tower := text.get("hf_model_name"):
        raise ParamsError(
            f"parameter 'clip.model': the text tower {tower!r} of {name} is built from files of a hub by the package "
            "transformers; choose a model whose text tower is open_clip's own"
        )
    tokenizer = text.get("hf_tokenizer_name")
    if tokenizer and not find_spec("transformers"):
        raise ParamsError(
            f"parameter 'clip.model': {name} reads text with the tokenizer {tokenizer!r} of the package transformers, "
            "which is not installed; `pip install 'moclip[tokenizers]'` brings it, or choose a model with CLIP's own "
            "tokenizer"
        )


def _files_of_hub(name: str) -> tuple[dict[str, Any], Path]:
    """Configuration and file of weights of a repository, the first held against its allow-list."""
    repository = name.removeprefix(HUB)
    try:
        file = hub_file(repository, [CONFIG], most_bytes=MAX_FACTS_MIB << 20)
        config: dict[str, Any] = read_json(file, MAX_FACTS_MIB)
        check_config(file, config, name)
        _check_texts(name, config["model_cfg"]["text_cfg"])
        return config, hub_file(repository, [HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME])
    except DataError as error:
        raise DataError(
            f"CLIP {name}: not on this machine: {error}, by `hf download {repository}`, and bring its "
            "cache (HF_HOME) here"
        ) from error


def _of_hub(name: str) -> Published:
    """A repository with open_clip's configuration and weights. Both are read as data, and by their allow-lists."""
    config, path = _files_of_hub(name)
    with TemporaryDirectory() as scratch:
        write_json(Path(scratch) / CONFIG, config)
        (Path(scratch) / path.name).symlink_to(path.resolve())
        model = _load(name, path, {}, Path(scratch))
    facts = {"repository": name.removeprefix(HUB), "revision": path.parent.name}
    return _published(model, config["model_cfg"], path, f"{CONFIG} of the repository", facts)


def _published(
    model: nn.Module, model_config: dict[str, Any], path: Path, checked: str | None, facts: Mapping[str, Any]
) -> Published:
    preprocess = {key: value for key, value in open_clip.get_model_preprocess_cfg(model).items() if value is not None}
    source = {
        "file": path.name,
        "file_sha256": sha256_file(path),
        "quick_gelu": bool(model_config.get("quick_gelu", False)),
        "quick_gelu_checked_by": checked,
        **facts,
    }
    return Published(model, {"model_cfg": model_config, "preprocess_cfg": preprocess}, source)


def _by_tag(name: str, tag: str, model_config: Mapping[str, Any]) -> tuple[Path, Mapping[str, Any]]:
    tags = open_clip.list_pretrained_tags_by_model(name)
    if tag not in tags:
        raise ParamsError(f"parameter 'clip.pretrained': {name} has no weights {tag!r}; it has {tags}")
    facts: Mapping[str, Any] = open_clip.get_pretrained_cfg(name, tag)
    _check_activation(name, f"{tag!r}", facts, model_config)
    repository, _, file = facts["hf_hub"].rpartition("/")
    names = [HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME]
    if file:
        names = [f"{Path(file).stem}.safetensors", file]
    try:
        return hub_file(repository, list(dict.fromkeys(names))), facts
    except DataError as error:
        raise DataError(
            f"CLIP {name}: weights {tag!r} are not on this machine: {error}, and {CONFIG} of the same place beside it; "
            "then set clip.checkpoint to the file and clip.pretrained to null."
        ) from error


def _by_file(name: str, path: Path, model_config: Mapping[str, Any]) -> tuple[Mapping[str, Any], str | None]:
    """What is known of a file's weights, and by what: open_clip's table, or a configuration beside the file."""
    if not path.is_file():
        raise ParamsError(f"parameter 'clip.checkpoint': {path} is not a file")
    sha256, config = sha256_file(path), path.with_name(CONFIG)
    for digest, facts in _published_digests().items():
        if sha256.startswith(digest):
            _check_activation(name, path.name, facts, model_config)
            return facts, "open_clip's table, by SHA-256"
    if config.is_file():
        content = read_json(config)
        _check_activation(name, path.name, content.get("model_cfg", {}), model_config)
        return content.get("preprocess_cfg", {}), f"{CONFIG} beside the file"
    log.warning(
        "%s: nothing says how these weights were trained; taken %s QuickGELU, as %s is built, and with CLIP's own "
        "preprocessing. %s beside the file would say it",
        *(path.name, "with" if model_config.get("quick_gelu") else "without", name, CONFIG),
    )
    return {}, None


def _published_digests() -> dict[str, Mapping[str, Any]]:
    """Facts of all weights whose SHA-256, or the first eight digits of it, open_clip's table gives."""
    entries = [open_clip.get_pretrained_cfg(*entry) for entry in open_clip.list_pretrained()]
    found = [(_DIGEST.search(facts.get("url", "")), facts) for facts in entries]
    return {match[1] or match[2]: facts for match, facts in found if match}


def _check_activation(name: str, weights: str, facts: Mapping[str, Any], model_config: Mapping[str, Any]) -> None:
    wanted = bool(facts.get("quick_gelu", False))
    if wanted != bool(model_config.get("quick_gelu", False)):
        raise ParamsError(
            f"CLIP {name} with weights {weights}: the weights were trained {'with' if wanted else 'without'} QuickGELU "
            f"and the model is built {'without' if wanted else 'with'} it; choose the model name "
            f"{'ending in -quickgelu' if wanted else 'without -quickgelu'}"
        )


def _load(name: str, path: Path, preprocess: Mapping[str, Any], folder: Path | None = None) -> nn.Module:
    """A model with the weights of `path`: by open_clip's name, or as a folder with its configuration and weights."""
    with TemporaryDirectory() as scratch:
        if _is_torchscript(path):
            path = _unpacked(path, Path(scratch))
        state = _read_state(path)
        try:
            model: nn.Module = open_clip.create_model(
                f"local-dir:{folder}" if folder else name,
                pretrained=None if folder else str(path),
                require_pretrained=True,
                weights_only=True,
                force_preprocess_cfg=dict(preprocess),
            )
        except Exception as error:  # the tensors were read: what fails now is their fit, each model in its own way
            raise _misfit(name, path, " ".join(str(error).split())[:500]) from error
    _check_shapes(name, path, state, model)
    return model


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _unpacked(path: Path, scratch: Path) -> Path:
    """A TorchScript archive's weights as safetensors.

    Such an archive is a program, so only those open: OpenAI's originals, by the SHA-256 that open_clip's table gives.
    """
    if sha256_file(path) not in _published_digests():
        raise ParamsError(
            f"parameter 'clip.checkpoint': {path.name} is a TorchScript archive, that is a program, and not one that "
            "OpenAI published (SHA-256); it is not opened. Bring its tensors alone, as safetensors or by "
            "torch.save(model.state_dict(), ...)"
        )
    state = torch.jit.load(path, map_location="cpu").state_dict()
    unpacked = scratch / f"{path.stem}.safetensors"
    save_file({key: value.contiguous() for key, value in state.items() if key not in ARCHIVE_EXTRAS}, unpacked)
    return unpacked


def _read_state(path: Path) -> dict[str, Tensor]:
    """Tensors by name; pickled code is refused before it runs."""
    if path.suffix in (".npz", ".npy"):  # open_clip would take these for another library's weights
        raise ParamsError(f"parameter 'clip.checkpoint': {path.name} is no checkpoint; features go to clip.precomputed")
    try:
        state = open_clip.factory.load_state_dict(str(path), weights_only=True)
        foreign = [key for key, value in state.items() if not isinstance(value, Tensor)]
    except Exception as error:  # safetensors, zipfile, pickle and torch each have their own kinds
        raise ParamsError(
            f"parameter 'clip.checkpoint': {path.name} cannot be read as weights ({type(error).__name__}: "
            f"{' '.join(str(error).split())[:300]}). It must be safetensors (named so), or a torch file of nothing but "
            "tensors and numbers: code in a file is never run"
        ) from error
    if foreign:
        raise ParamsError(f"parameter 'clip.checkpoint': {path.name} holds {foreign[0]!r}, which is no tensor")
    return dict(state)


def _check_shapes(name: str, path: Path, state: Mapping[str, Tensor], model: nn.Module) -> None:
    """Refuse what open_clip would stretch without a word: position embeddings of another image size or text length."""
    for key, own in model.state_dict().items():
        given = state.get(key, state.get(key.removeprefix("text.")))
        if given is not None and own.ndim > 1 and given.shape != own.shape:
            raise _misfit(name, path, f"{key} is {tuple(given.shape)} in the file and {tuple(own.shape)} in the model")


def _misfit(name: str, path: Path, why: str) -> ParamsError:
    return ParamsError(
        f"CLIP {name}: the weights in {path.name} are of another model ({why}); set clip.model to the model that they "
        "were trained for"
    )
