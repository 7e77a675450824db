import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from moclip.clip import META, WEIGHTS, Encoder, build, fetch, load_encoder, save_encoder
from moclip.clip_training import CONFIG
from moclip.errors import ParamsError, StoreError
from moclip.files import read_json, sha256_file, write_json

ROOT = Path(__file__).parents[1]
FRAMES = [np.random.default_rng(i).integers(0, 256, (48 + 16 * i, 80, 3), dtype=np.uint8) for i in range(3)]


def tiny(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build(CONFIG["model_cfg"]).eval()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "model"
    save_encoder(path, tiny(), CONFIG, {"model": "demo", "weights": "none"})
    return path


@pytest.fixture(scope="module")
def encoder(saved: Path) -> Encoder:
    return load_encoder(saved)


def test_saved_encoder_repeats_its_features_bit_by_bit(saved, encoder):
    original = Encoder(encoder.model, encoder.preprocess, encoder.tokenize, 1.0)
    loaded = load_encoder(saved)
    np.testing.assert_array_equal(loaded.images(FRAMES), original.images(FRAMES), strict=True)
    state, expected = loaded.model.backbone.state_dict(), tiny().state_dict()
    assert all(torch.equal(state[name], value) for name, value in expected.items())
    with torch.inference_mode():
        text = tiny().encode_text(loaded.tokenize(["a cat", "a dog"])).numpy()
    np.testing.assert_array_equal(loaded.texts(["a cat", "a dog"]), text)


def test_encoder_is_frozen_and_knows_its_temperature(encoder):
    assert not any(p.requires_grad for p in encoder.model.parameters())
    assert not encoder.model.train().backbone.training
    assert encoder.logit_scale == pytest.approx(1 / 0.07)


def test_features_have_one_row_per_input_of_any_size(encoder):
    images = encoder.images(FRAMES)
    assert (images.shape, images.dtype) == ((3, 64), np.float32)
    np.testing.assert_allclose(encoder.images(FRAMES[1:2])[0], images[1], rtol=1e-4, atol=1e-5)
    assert not np.allclose(images[0], images[1])


def test_class_feature_is_the_unit_mean_of_unit_prompts(encoder):
    prompts = [["a cat"], ["a dog.", "a photo of a dog", "the dog"]]
    features = encoder.class_features(prompts)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-5)
    dogs = encoder.texts(prompts[1]).astype(float)
    mean = sum(row / np.sqrt((row**2).sum()) for row in dogs)
    np.testing.assert_allclose(features[1], mean / np.sqrt((mean**2).sum()), rtol=1e-4, atol=1e-6)


def test_directory_says_what_it_holds(saved):
    meta = read_json(saved / META)
    assert meta == {
        "model": "demo",
        "weights": "none",
        "parameters": sum(p.numel() for p in tiny().parameters()),
        "sha256": sha256_file(saved / WEIGHTS),
    }


@pytest.mark.parametrize("damage", ["foreign", "torn", "absent"])
def test_weights_other_than_those_written_are_refused(saved, tmp_path, damage):
    directory = shutil.copytree(saved, tmp_path / "model")
    weights = directory / WEIGHTS
    if damage == "foreign":
        save_file(tiny(seed=1).state_dict(), weights)
    elif damage == "torn":
        weights.write_bytes(weights.read_bytes()[:-1])
    else:
        weights.unlink()
    with pytest.raises(StoreError, match=r"open_clip_model\.safetensors: not the weights that meta\.json describes"):
        load_encoder(directory)


def test_directory_without_facts_is_refused(saved, tmp_path):
    directory = shutil.copytree(saved, tmp_path / "model")
    write_json(directory / META, {"model": "demo"})
    with pytest.raises(StoreError, match="not the weights"):
        load_encoder(directory)
    (directory / META).unlink()
    with pytest.raises(StoreError, match=r"meta\.json: cannot be read as JSON"):
        load_encoder(directory)


def test_features_that_are_not_finite_are_refused(encoder):
    broken = Encoder(load_encoder_with_nan(encoder), encoder.preprocess, encoder.tokenize, 1.0)
    with pytest.raises(StoreError, match="CLIP's image features are not finite"):
        broken.images(FRAMES)
    with pytest.raises(StoreError, match="CLIP's text features are not finite"):
        broken.texts(["a cat"])


def load_encoder_with_nan(encoder: Encoder) -> nn.Module:
    backbone = tiny()
    for p in backbone.parameters():
        nn.init.constant_(p, float("nan"))
    return type(encoder.model)(backbone)


@pytest.mark.parametrize(
    ("name", "tag", "message"),
    [
        ("ViT-Z-99", "openai", r"'clip\.model': open_clip knows no 'ViT-Z-99'"),
        (
            "ViT-B-32-quickgelu",
            "opnai",
            r"'clip\.pretrained': ViT-B-32-quickgelu has no weights 'opnai'; it has .*openai",
        ),
        ("ViT-B-32", "openai", r"trained with QuickGELU and the model is built without it.*ending in -quickgelu"),
        ("ViT-B-32-quickgelu", "laion2b_s34b_b79k", "has no weights"),
    ],
)
def test_names_that_do_not_belong_together_are_refused_before_any_network(monkeypatch, name, tag, message):
    monkeypatch.setattr(open_clip, "create_model", lambda *a, **k: pytest.fail("went on to load"))
    with pytest.raises(ParamsError, match=message):
        fetch(name, tag, None)


def test_without_a_network_the_error_says_how_to_go_on(tmp_path):
    """A process of its own: huggingface_hub reads its environment once, at import."""
    program = (
        "from moclip.clip import fetch; from moclip.errors import ParamsError\n"
        "try: fetch('ViT-B-32-quickgelu', 'openai', None)\n"
        "except ParamsError as error: print(error)"
    )
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "HF_ENDPOINT": "http://127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.startswith("CLIP ViT-B-32-quickgelu: weights 'openai' cannot be loaded")
    assert "set clip.checkpoint to the file (and clip.pretrained to null)" in done.stdout


@pytest.fixture
def known_tiny(tmp_path: Path) -> Iterator[str]:
    """The tiny architecture under a name that open_clip knows, for this test alone."""
    write_json(tmp_path / "Tiny-Test.json", CONFIG["model_cfg"])
    open_clip.add_model_config(tmp_path / "Tiny-Test.json")
    yield "Tiny-Test"
    open_clip.factory._MODEL_CONFIGS.pop("Tiny-Test")


@pytest.mark.parametrize("form", ["safetensors", "torch"])
def test_local_checkpoint_becomes_a_directory_with_the_same_features(known_tiny, tmp_path, encoder, form):
    checkpoint = tmp_path / f"weights.{'safetensors' if form == 'safetensors' else 'pt'}"
    (save_file if form == "safetensors" else torch.save)(tiny().state_dict(), checkpoint)
    model, config = fetch(known_tiny, None, checkpoint)
    save_encoder(tmp_path / "out", model, config, {"model": known_tiny, "weights": "checkpoint"})
    loaded = load_encoder(tmp_path / "out")
    np.testing.assert_array_equal(loaded.texts(["a cat"]), encoder.texts(["a cat"]))
    # Its preprocessing is CLIP's own (shortest side, then crop), unlike the demo's squash; equal on a square.
    square = [np.ascontiguousarray(FRAMES[1][:64, :64])]
    np.testing.assert_array_equal(loaded.images(square), encoder.images(square))


class Foreign:
    """What a checkpoint from outside must not bring to life."""


def test_checkpoints_that_are_absent_foreign_or_of_another_model_are_refused(known_tiny, tmp_path):
    with pytest.raises(ParamsError, match=r"'clip\.checkpoint': .*none\.pt is not a file"):
        fetch(known_tiny, None, tmp_path / "none.pt")
    torch.save({"model": Foreign()}, tmp_path / "pickle.pt")
    with pytest.raises(ParamsError, match=r"CLIP Tiny-Test: weights .*cannot be loaded.*Unpickl"):
        fetch(known_tiny, None, tmp_path / "pickle.pt")
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ParamsError, match=r"CLIP Tiny-Test: weights .*cannot be loaded"):
        fetch(known_tiny, None, tmp_path / "other.safetensors")
