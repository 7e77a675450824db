"""A bundle that somebody sends: no code of it runs, nothing leaves, nothing outside it is opened, sizes are checked."""

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moclip.base.errors import StoreError
from moclip.base.files import read_json, read_npz, sha256_file, write_json
from moclip.clip.architecture import check_config
from moclip.clip.encoder import load_encoder
from moclip.predict.bundle import open_model, write_bundle
from moclip.predict.predictor import Predictor
from tests.support.trained import pipeline

Facts = dict[str, Any]


@pytest.fixture
def bundle(trained: Path, tmp_path: Path) -> Path:
    write_bundle(tmp_path / "bundle", open_model(pipeline(trained), 1))
    return tmp_path / "bundle"


def forge(bundle: Path, name: str, change: Callable[[Facts], None]) -> None:
    """Change a JSON file of a bundle, and every digest that stands for it, as whoever makes a bundle can."""
    facts = read_json(bundle / name)
    change(facts)
    write_json(bundle / name, facts)
    if name == "clip/open_clip_config.json":
        meta = read_json(bundle / "clip/meta.json")
        write_json(bundle / "clip/meta.json", {**meta, "config_sha256": sha256_file(bundle / name)})
    manifest = read_json(bundle / "bundle.json")
    manifest["files"] = {file: sha256_file(bundle / file) for file in manifest["files"]}
    write_json(bundle / "bundle.json", manifest)


def in_text(**values: Any) -> Callable[[Facts], None]:
    return lambda facts: facts["model_cfg"]["text_cfg"].update(values)


def in_vision(**values: Any) -> Callable[[Facts], None]:
    return lambda facts: facts["model_cfg"]["vision_cfg"].update(values)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (in_text(hf_tokenizer_name="x", tokenizer_kwargs={"trust_remote_code": True}), "text_cfg.hf_tokenizer_name"),
        (in_text(tokenizer_kwargs={"bpe_path": "bomb.gz"}), "text_cfg.tokenizer_kwargs"),
        (in_text(hf_model_name="attacker/text"), "text_cfg.hf_model_name"),
        (in_vision(timm_model_name="hf-hub:attacker/phone-home"), "vision_cfg.timm_model_name"),
        (in_vision(act_kwargs={"approximate": "tanh"}), "vision_cfg.act_kwargs"),
        (in_text(vocab_size=4 * 10**9), "text_cfg.vocab_size"),
        (in_vision(layers=3000), "vision_cfg.layers"),
        (lambda facts: facts["preprocess_cfg"].update(size=10**6), "preprocess_cfg.size"),
        (lambda facts: facts.update(tokenizer="x"), "nothing else"),
    ],
)
def test_clip_of_a_bundle_names_neither_code_nor_files(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Facts], None], key: str
) -> None:
    """With a `transformers` at hand that tells when it is asked for."""
    stub = tmp_path / "stub/transformers"
    stub.mkdir(parents=True)
    (stub / "__init__.py").write_text("raise AssertionError('transformers was imported')")
    monkeypatch.syspath_prepend(str(stub.parent))
    forge(bundle, "clip/open_clip_config.json", change)
    with pytest.raises(StoreError, match=key):
        Predictor.load(bundle)


def test_a_bundle_that_says_it_is_a_published_model_has_to_be_it_to_the_word(bundle: Path) -> None:
    forge(bundle, "clip/meta.json", lambda facts: facts.update(model="ViT-B-16-SigLIP"))
    forge(bundle, "clip/open_clip_config.json", in_text(hf_tokenizer_name="timm/ViT-B-16-SigLIP"))
    with pytest.raises(StoreError, match=r"text_cfg\.hf_tokenizer_name': not allowed"):
        Predictor.load(bundle)


def test_open_clips_own_configurations_are_allowed_by_name(tmp_path: Path) -> None:
    import open_clip

    own = {name: open_clip.get_model_config(name) for name in ("ViT-B-32-quickgelu", "RN50", "ViT-B-16-SigLIP")}
    for name, config in own.items():
        assert check_config(tmp_path, {"model_cfg": config, "preprocess_cfg": {}}, name)
    plain = {"model_cfg": own["ViT-B-32-quickgelu"], "preprocess_cfg": {}}
    assert not check_config(tmp_path, plain, "mine"), "sizes and switches alone are allowed of any model"


def test_configuration_that_asks_for_more_than_the_weights_hold_takes_no_memory(bundle: Path) -> None:
    forge(bundle, "clip/open_clip_config.json", in_text(vocab_size=2_000_000, width=16_384, heads=8))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(StoreError, match=r"in the file and .* by open_clip_config\.json"):
        load_encoder(bundle / "clip")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000, "kB"


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("motion/config.json", {"classes": 6_000_000_000}),
        ("motion/config.json", {"arch": "hf-hub:attacker/phone-home"}),
        ("heads/fusion/config.json", {"hidden": 2_000_000_000}),
        ("heads/fusion/config.json", {"classes": -1}),
        ("heads/fusion/config.json", {"inputs": 3}),
    ],
)
def test_networks_are_compared_before_they_are_built(bundle: Path, name: str, change: Facts) -> None:
    forge(bundle, name, lambda facts: facts.update(change))
    with pytest.raises(StoreError, match="weights and config do not fit"):
        Predictor.load(bundle)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"heads": ["../../outside/fusion"]}, "is no head that answers by itself"),
        ({"heads": ["evl"]}, "is no head that answers by itself"),
        ({"files": {"../../../etc/passwd": "0" * 64}}, "no plain path inside"),
        ({"files": {"/etc/passwd": "0" * 64}}, "no plain path inside"),
        ({"files": {"clip/\x1b]0;x": "0" * 64}}, "do not print"),
        ({"classes": ["\x1b[2J", "B"]}, "do not print"),
        ({"classes": [1, 2]}, "valid string"),
        ({"logit_scale": "x"}, "logit_scale"),
        ({"split": 10**400}, "split"),
    ],
)
def test_manifest_is_read_by_a_schema(bundle: Path, change: Facts, words: str) -> None:
    facts = {**read_json(bundle / "bundle.json"), **change}
    (bundle / "bundle.json").write_text(json.dumps(facts))
    with pytest.raises(StoreError, match=words):
        Predictor.load(bundle)


@pytest.mark.parametrize("text", ["[]", "3", "[" * 100_000, '{"format": {}}', "{}", "9" * 10_000])
def test_what_is_no_manifest_is_refused(bundle: Path, text: str) -> None:
    (bundle / "bundle.json").write_text(text)
    with pytest.raises(StoreError, match="bundle"):
        Predictor.load(bundle)


def link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


@pytest.mark.parametrize("place", ["clip/tokenizer_config.json", "motion/more.json", "heads/fusion/x", "heads/y"])
@pytest.mark.parametrize("make", [link, os.mkfifo, lambda path: path.write_text("x")], ids=["link", "pipe", "file"])
def test_only_listed_plain_files_may_lie_in_its_folders(bundle: Path, place: str, make: Callable[[Path], None]) -> None:
    make(bundle / place)
    with pytest.raises(StoreError, match="it is not opened"):
        Predictor.load(bundle)
    with pytest.raises(StoreError, match="it is not opened"):
        open_model(bundle)  # what `moclip bundle --model` copies from


@pytest.mark.parametrize("name", ["motion/model.safetensors", "texts.safetensors", "clip/open_clip_config.json"])
def test_a_listed_file_that_is_a_link_is_refused(bundle: Path, name: str) -> None:
    shutil.copy(bundle / name, bundle / "elsewhere")
    (bundle / name).unlink()
    (bundle / name).symlink_to(bundle / "elsewhere")
    with pytest.raises(StoreError, match="it is not opened"):
        Predictor.load(bundle)


def test_a_note_beside_its_folders_is_nobodys_business(bundle: Path) -> None:
    (bundle / "NOTE.txt").write_text("made on Monday")
    assert Predictor.load(bundle).head == "fusion"


def test_archive_that_would_unfold_to_far_more_than_it_is_takes_no_memory(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "bomb.npz", video=np.zeros(1), feat=np.zeros((200_000, 1_024), np.float32))
    code = (
        "import sys; from pathlib import Path; from moclip.base.errors import StoreError\n"
        "from moclip.base.files import read_npz\n"
        "try: read_npz(Path(sys.argv[1]), 'video', 'feat')\n"
        "except StoreError as error: print(error)\n"
        "print(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "bomb.npz")], capture_output=True, text=True, check=True
    )
    refusal, peak_kb = done.stdout.splitlines()
    assert "would unfold to 819," in refusal
    assert int(peak_kb) < 300_000
    rng = np.random.default_rng(0)
    np.savez_compressed(tmp_path / "own.npz", feat=rng.normal(size=(1_000, 64)).astype(np.float32))
    assert read_npz(tmp_path / "own.npz", "feat")["feat"].shape == (1_000, 64)
