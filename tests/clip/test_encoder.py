import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from moclip.base.errors import StoreError
from moclip.base.files import read_json, sha256_file, write_json
from moclip.clip.encoder import CONFIG as CONFIG_FILE
from moclip.clip.encoder import META, WEIGHTS, Encoder, build, load_encoder, save_encoder
from moclip.clip.tiny import CONFIG
from moclip.training.device import Compute

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


def test_mixed_precision_comes_close_and_gives_float32(saved, encoder):
    rough = load_encoder(saved, Compute(amp=torch.bfloat16))
    for kind, given in (("images", FRAMES), ("texts", ["a cat", "a dog"])):
        exact, found = getattr(encoder, kind)(given), getattr(rough, kind)(given)
        assert found.dtype == np.float32
        assert not np.array_equal(found, exact), "autocast was not in force"
        cosine = (exact * found).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(found, axis=1)
        assert (cosine > 0.99).all()


def test_class_feature_is_the_unit_mean_of_unit_prompts(encoder):
    prompts = [["a cat"], ["a dog.", "a photo of a dog", "the dog"]]
    features = encoder.class_features(prompts, "unit")
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-5)
    dogs = encoder.texts(prompts[1]).astype(float)
    mean = sum(row / np.sqrt((row**2).sum()) for row in dogs)
    np.testing.assert_allclose(features[1], mean / np.sqrt((mean**2).sum()), rtol=1e-4, atol=1e-6)


def test_class_feature_of_the_paper_is_the_unit_mean_of_prompts_as_they_are(encoder):
    prompts = ["a dog.", "a photo of a dog", "the dog"]
    (feature,) = encoder.class_features([prompts], "raw")
    mean = encoder.texts(prompts).astype(float).mean(axis=0)
    np.testing.assert_allclose(feature, mean / np.sqrt((mean**2).sum()), rtol=1e-4, atol=1e-6)
    assert not np.allclose(feature, encoder.class_features([prompts], "unit")[0], rtol=1e-4, atol=1e-6)


def test_directory_says_what_it_holds(saved):
    meta = read_json(saved / META)
    assert meta == {
        "model": "demo",
        "weights": "none",
        "parameters": sum(p.numel() for p in tiny().parameters()),
        "sha256": sha256_file(saved / WEIGHTS),
        "config_sha256": sha256_file(saved / CONFIG_FILE),
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
    with pytest.raises(StoreError, match=r"open_clip_model\.safetensors: not the file that meta\.json describes"):
        load_encoder(directory)


def test_directory_without_facts_is_refused(saved, tmp_path):
    directory = shutil.copytree(saved, tmp_path / "model")
    write_json(directory / META, {"model": "demo"})
    with pytest.raises(StoreError, match="not the file"):
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


def test_preprocessing_other_than_that_written_is_refused(saved, tmp_path):
    directory = shutil.copytree(saved, tmp_path / "model")
    changed = CONFIG | {"preprocess_cfg": CONFIG["preprocess_cfg"] | {"resize_mode": "shortest"}}
    write_json(directory / CONFIG_FILE, changed)
    with pytest.raises(StoreError, match=r"open_clip_config\.json: not the file that meta\.json describes"):
        load_encoder(directory)


def test_first_batch_is_tried_before_anything_is_published(tmp_path):
    broken = tiny()
    nn.init.constant_(broken.visual.attnpool.c_proj.bias, float("inf"))
    with pytest.raises(StoreError, match="CLIP's image features are not finite"):
        save_encoder(tmp_path / "model", broken, CONFIG, {})
    lying = CONFIG | {"model_cfg": CONFIG["model_cfg"] | {"embed_dim": 32}}
    with pytest.raises(StoreError, match=r"is \[.*\] in the file and \[.*\] by open_clip_config\.json"):
        save_encoder(tmp_path / "model", tiny(), lying, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("quick", [True, False])
def test_built_clip_has_the_activation_of_its_configuration(quick):
    """A ResNet's text tower has it as a ViT's both have; without the key a model takes GELU, as in open_clip."""
    model = build({**CONFIG["model_cfg"], **({"quick_gelu": True} if quick else {})})
    kinds = {type(module).__name__ for module in model.modules() if "GELU" in type(module).__name__}
    assert kinds == {"QuickGELU" if quick else "GELU"}
