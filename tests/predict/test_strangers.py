"""A bundle that somebody sends: no code of it runs, nothing leaves, nothing outside it is opened, sizes are checked."""

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moclip.base.errors import MoclipError, StoreError
from moclip.base.files import read_json, read_npz
from moclip.clip.architecture import check_config
from moclip.clip.encoder import load_encoder
from moclip.predict.bundle import open_model, write_bundle
from moclip.predict.predictor import Predictor
from tests.support.clips import encode, scrolling
from tests.support.forged import Facts, forge, in_text, in_vision, places, put, seal
from tests.support.trained import pipeline


@pytest.fixture
def bundle(trained: Path, tmp_path: Path) -> Path:
    write_bundle(tmp_path / "bundle", open_model(pipeline(trained), 1))
    return tmp_path / "bundle"


@pytest.fixture(scope="module")
def sent(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that nobody changes."""
    folder = tmp_path_factory.mktemp("sent") / "bundle"
    write_bundle(folder, open_model(pipeline(trained), 1))
    return folder


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode(tmp_path_factory.mktemp("film") / "a.avi", scrolling(12, 3, -2))


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


FORMS = [
    ("clip/meta.json", (), "x", r"clip/meta\.json: must be a JSON object, is of type str"),
    ("clip/open_clip_config.json", ("model_cfg",), None, r"key 'model_cfg': "),
    ("clip/open_clip_config.json", ("model_cfg", "text_cfg", "heads"), 3, "no CLIP is built of these sizes"),
    ("clip/open_clip_config.json", ("preprocess_cfg", "std", 0), 0, r"key 'preprocess_cfg\.std"),
    ("motion/config.json", (), [], r"motion/config\.json: must be a JSON object, is of type list"),
    ("motion/config.json", ("bound_px",), "20", r"weights and config do not fit .*config\.bound_px"),
    ("motion/config.json", ("encoding",), "words", r"weights and config do not fit .*config\.encoding"),
    ("heads/fusion/config.json", (), None, r"fusion/config\.json: must be a JSON object, is of type NoneType"),
]


@pytest.mark.parametrize(("name", "place", "value", "words"), FORMS)
def test_a_value_of_another_form_is_refused_by_its_file(
    bundle: Path, name: str, place: tuple[str | int, ...], value: Any, words: str
) -> None:
    put(bundle, name, place, value)
    with pytest.raises(StoreError, match=words):
        Predictor.load(bundle)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)
FILES = (
    *("bundle.json", "motion/config.json", "heads/fusion/config.json", "heads/clip_probe/config.json"),
    *("clip/meta.json", "clip/open_clip_config.json"),
)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(st.data())
def test_any_value_in_any_place_is_read_or_refused(sent: Path, film: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(FILES), "file")
    place = data.draw(st.sampled_from(list(places(read_json(sent / name)))), "place")
    with tempfile.TemporaryDirectory() as folder:
        forged = Path(shutil.copytree(sent, Path(folder) / "bundle"))
        put(forged, name, place, data.draw(JSON, "value"))
        with suppress(MoclipError):
            Predictor.load(forged).predict(film).as_dict()


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


@pytest.mark.parametrize("name", ["bundle.json", "motion/config.json", "clip/meta.json"])
def test_facts_that_are_vast_are_not_read(bundle: Path, name: str) -> None:
    with (bundle / name).open("r+b") as file:
        file.truncate(8 << 30)  # a hole: it takes nothing on the disk
    with pytest.raises(StoreError, match=f"{name}: (is no plain file of at most 16 MiB|has 8,589,934,592 bytes)"):
        Predictor.load(bundle)


def test_weights_that_are_vast_are_not_read(bundle: Path) -> None:
    with (bundle / "motion/model.safetensors").open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(StoreError, match=r"has 1,099,511,627,776 bytes, more than 4,294,967,296; it is not opened"):
        Predictor.load(bundle)


def test_a_manifest_that_is_a_link_is_refused(bundle: Path) -> None:
    (bundle / "bundle.json").rename(bundle / "elsewhere")
    (bundle / "bundle.json").symlink_to("elsewhere")
    with pytest.raises(StoreError, match=r"bundle\.json: is a link, .*it is not opened"):
        Predictor.load(bundle)


def test_no_message_repeats_a_name_without_end(bundle: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"A" * 1_000_000: np.zeros(1, np.float32)}, bundle / "motion/model.safetensors")
    seal(bundle, "motion/model.safetensors")
    with pytest.raises(StoreError, match=r"A{100} is ") as refused:
        Predictor.load(bundle)
    assert len(str(refused.value)) < 500


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
