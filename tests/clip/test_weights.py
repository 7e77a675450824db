"""Weights by tag from a hub on loopback, by file, or features in their place: three ways in, one set of features."""

import hashlib
import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from ruamel.yaml import YAML
from safetensors.torch import save, save_file
from torch import nn

from moclip.base.errors import ParamsError
from moclip.base.files import read_json, sha256_file, write_json
from moclip.clip.cost import clip_cost
from moclip.clip.encoder import META, load_encoder
from moclip.clip.tiny import CONFIG
from moclip.clip.weights import _published_digests, fetch
from moclip.data.manifest import write_classes, write_manifest
from moclip.data.measure import measure
from moclip.data.ucf101 import find_ucf101
from moclip.store.features import read_features
from stages import _entry, cache_clip, clip_model
from tests.support.hub_server import COMMIT, hub_environment, serving
from tests.support.imports import ROOT

NAME, TAG, REPOSITORY = "Tiny-Test", "tiny_tag", "someone/tiny"
QUICK = CONFIG["model_cfg"] | {"quick_gelu": True}
PUBLISHED = "https://models.test/clip/models/{}/Tiny.pt"  # where the digest stands in an address
# A tag's own preprocessing, unlike the default of a file without a configuration.
PREPROCESS = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "interpolation": "bilinear", "resize_mode": "squash"}


def tiny(seed: int = 0) -> nn.Module:
    """With the activation that OpenAI's weights need."""
    torch.manual_seed(seed)
    return open_clip.CLIP(
        QUICK["embed_dim"],
        open_clip.CLIPVisionCfg(**QUICK["vision_cfg"]),
        open_clip.CLIPTextCfg(**QUICK["text_cfg"]),
        quick_gelu=True,
    ).eval()


def register(directory: Path, url: str = "") -> None:
    """Tell open_clip of the tiny model, as its own files tell it of the published ones."""
    for name, config in ((NAME, QUICK), (f"{NAME}-plain", CONFIG["model_cfg"])):
        write_json(directory / f"{name}.json", config)
        open_clip.add_model_config(directory / f"{name}.json")
        entry = {"url": url, "hf_hub": f"{REPOSITORY}/", "quick_gelu": True, **PREPROCESS}
        open_clip.pretrained._PRETRAINED[name] = {TAG: entry}


@pytest.fixture
def known(tmp_path: Path) -> Iterator[Path]:
    """The tiny model under a name that open_clip knows, for this test alone; the directory of its configurations."""
    directory = tmp_path / "configs"
    register(directory)
    yield directory
    open_clip.factory._MODEL_CONFIG_PATHS[:] = [
        path for path in open_clip.factory._MODEL_CONFIG_PATHS if path.parent != directory
    ]
    for name in (NAME, f"{NAME}-plain"):
        del open_clip.factory._MODEL_CONFIGS[name], open_clip.pretrained._PRETRAINED[name]


PARAMS: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")


def set_clip(root: str | Path, **clip: Any) -> None:
    values = {"model": NAME, "pretrained": None, "checkpoint": None, "precomputed": None, **clip}
    values["prompts"] = str(ROOT / PARAMS["clip"]["prompts"])
    params = PARAMS | {"clip": PARAMS["clip"] | values, "data": PARAMS["data"] | {"root": str(root)}}
    write_json(Path("params.yaml"), params)  # JSON is YAML
    _entry.all_params.cache_clear()


def stage(monkeypatch: pytest.MonkeyPatch, module: Any, **options: str | Path) -> None:
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    monkeypatch.setattr(sys, "argv", ["stage", *words])
    module.main()


def cache(monkeypatch: pytest.MonkeyPatch, way: str) -> tuple[np.ndarray, np.ndarray]:
    """Features of all videos and classes by the stage, from models/`way`."""
    inputs = {"manifest": "manifest.csv", "classes": "classes.csv", "model": f"models/{way}"}
    prompts = {"templates": ROOT / "prompts/templates", "motion": "none"}
    outputs = {"images": f"{way}/images.npz", "texts": f"{way}/texts.npz", "encoder": f"{way}/encoder.json"}
    stage(monkeypatch, cache_clip, **inputs, **prompts, **outputs)
    return read_features(Path(way) / "images.npz").values, read_features(Path(way) / "texts.npz").values


@pytest.fixture
def workplace(known: Path, demo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a manifest of eight real videos and their classes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    videos = measure(list(find_ucf101(demo_folder, "demo").clips.values())[:8], demo_folder, jobs=1)
    write_manifest(tmp_path / "manifest.csv", videos)
    write_classes(tmp_path / "classes.csv", sorted({video.class_name for video in videos}))
    return tmp_path


STAGE = """
import sys; from pathlib import Path; from tests.clip.test_weights import register
register(Path(sys.argv.pop(1)))
from stages._entry import run; from stages.clip_model import main; run(main)
"""


def by_tag(endpoint: str, workplace: Path, out: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = hub_environment(endpoint, workplace / "hf", **environment) | {"PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", STAGE, str(workplace / "configs"), "--out", out]
    return subprocess.run(words, cwd=workplace, env=env, capture_output=True, text=True, timeout=300, check=False)


def test_tag_file_and_precomputed_features_come_to_the_same(workplace, demo_folder, monkeypatch):
    content = save(tiny().state_dict())
    set_clip(demo_folder, pretrained=TAG)
    with serving({f"{REPOSITORY}/open_clip_model.safetensors": content}) as hub:
        done = by_tag(hub.url, workplace, "models/tag")
    assert done.returncode == 0, done.stderr
    assert "GET /cdn/someone/tiny/open_clip_model.safetensors" in hub.requests
    images, texts = cache(monkeypatch, "tag")
    assert images.shape == (8, 64)

    Path("weights.safetensors").write_bytes(content)
    write_json(Path("open_clip_config.json"), {"model_cfg": QUICK, "preprocess_cfg": PREPROCESS})
    set_clip(demo_folder, checkpoint="weights.safetensors")
    stage(monkeypatch, clip_model, out="models/file")
    by_file = cache(monkeypatch, "file")
    np.testing.assert_array_equal(by_file[0], images, strict=True)
    np.testing.assert_array_equal(by_file[1], texts, strict=True)
    tag, file = (read_json(Path("models") / way / META) for way in ("tag", "file"))
    digest = hashlib.sha256(content).hexdigest()
    assert tag["file_sha256"] == file["file_sha256"] == digest
    assert tag["weights"] == TAG
    assert (tag["quick_gelu"], tag["quick_gelu_checked_by"]) == (True, "open_clip's table")
    assert file["quick_gelu_checked_by"] == "open_clip_config.json beside the file"
    shared = ("model", "parameters", "sha256", "config_sha256")
    assert [tag[key] for key in shared] == [file[key] for key in shared]

    features = read_features(Path("tag/images.npz"))
    given = {"video": features.ids[::-1], "feat": images[::-1]}
    classes = read_features(Path("tag/texts.npz")).ids
    np.savez("features.npz", **given, **{"class": classes, "text": texts, "logit_scale": 1 / 0.07})
    set_clip(demo_folder, precomputed="features.npz")
    monkeypatch.setattr(open_clip, "create_model", lambda *a, **k: pytest.fail("a model was built"))
    stage(monkeypatch, clip_model, out="models/precomputed")
    Path("features.npz").unlink()  # nothing later reads it
    images_again, texts_again = cache(monkeypatch, "precomputed")
    np.testing.assert_array_equal(images_again, images, strict=True)
    np.testing.assert_allclose(texts_again, texts, rtol=1e-6)
    by_tag_facts, facts = (read_json(Path(way) / "encoder.json") for way in ("tag", "precomputed"))
    assert facts["logit_scale"] == pytest.approx(by_tag_facts["logit_scale"])
    assert {**facts, "logit_scale": by_tag_facts["logit_scale"]} == by_tag_facts, "the same network, at the same cost"


def repository(name: str, config: dict[str, Any], content: bytes) -> dict[str, bytes]:
    """The files of a model on the hub, as open_clip writes them."""
    facts = json.dumps({"model_cfg": config, "preprocess_cfg": PREPROCESS}).encode()
    return {f"{name}/open_clip_config.json": facts, f"{name}/open_clip_model.safetensors": content}


def test_a_repository_of_the_hub_gives_the_model_that_its_files_give(workplace, monkeypatch):
    content = save(tiny().state_dict())
    set_clip("videos", model=f"hf-hub:{REPOSITORY}")
    with serving(repository(REPOSITORY, QUICK, content)) as hub:
        done = by_tag(hub.url, workplace, "models/hub")
    assert done.returncode == 0, done.stderr
    meta = read_json(Path("models/hub") / META)
    assert (meta["model"], meta["weights"], meta["revision"]) == (f"hf-hub:{REPOSITORY}", COMMIT, COMMIT)
    assert meta["file_sha256"] == hashlib.sha256(content).hexdigest()
    Path("weights.safetensors").write_bytes(content)
    write_json(Path("open_clip_config.json"), {"model_cfg": QUICK, "preprocess_cfg": PREPROCESS})
    set_clip("videos", checkpoint="weights.safetensors")
    stage(monkeypatch, clip_model, out="models/file")
    frames = list(np.random.default_rng(0).integers(0, 256, (2, 48, 64, 3), dtype=np.uint8))
    hub_encoder, file_encoder = (load_encoder(Path("models") / way) for way in ("hub", "file"))
    np.testing.assert_array_equal(hub_encoder.images(frames), file_encoder.images(frames), strict=True)
    np.testing.assert_array_equal(hub_encoder.texts(["a ball"]), file_encoder.texts(["a ball"]), strict=True)
    cost = clip_cost(meta["model"], read_json(Path("models/hub/open_clip_config.json"))["model_cfg"])
    assert cost is not None
    assert cost.parameters == sum(p.numel() for p in tiny().visual.parameters())


FETCHES = """
import sys; from pathlib import Path; from tests.clip.test_weights import register
sys.modules["transformers"] = None
register(Path(sys.argv[1]))
from moclip.base.errors import MoclipError; from moclip.clip.weights import fetch
for name in sys.argv[2:]:
    try:
        fetch(f"hf-hub:{name}", None, None)
    except MoclipError as error:
        print(" ".join(str(error).split()))
"""


def test_what_a_repository_of_the_hub_may_not_say_is_refused_by_name(workplace):
    """A stranger's tokenizer or picture tower, a tokenizer of a package that is not installed, and other weights."""
    content, text, vision = save(tiny().state_dict()), QUICK["text_cfg"], QUICK["vision_cfg"]
    siglip = open_clip.get_model_config("ViT-B-16-SigLIP")
    files = {
        **repository("a/words", QUICK | {"text_cfg": text | {"hf_tokenizer_name": "a/words"}}, content),
        **repository("a/tower", QUICK | {"vision_cfg": vision | {"timm_model_name": "hf-hub:a/code"}}, content),
        **repository("a/siglip", siglip, content),
        **repository("a/wider", QUICK | {"text_cfg": text | {"width": 2 * text["width"]}}, content),
        "a/empty/README.md": b"nothing",
    }
    env = {"PYTHONPATH": str(ROOT)}
    names = ["a/words", "a/tower", "a/siglip", "a/wider", "a/empty"]
    with serving(files) as hub:
        words = [sys.executable, "-c", FETCHES, str(workplace / "configs"), *names]
        done = subprocess.run(
            words, env=hub_environment(hub.url, workplace / "hf") | env, capture_output=True, text=True, check=True
        )
    own, tower, siglip_told, wider, empty = done.stdout.splitlines()
    assert "key 'model_cfg.text_cfg.hf_tokenizer_name': not allowed" in own
    assert "key 'model_cfg.vision_cfg.timm_model_name': not allowed" in tower
    assert (
        "reads text with the tokenizer 'timm/ViT-B-16-SigLIP' of the package transformers, which is not" in siglip_told
    )
    assert "pip install 'moclip[tokenizers]'" in siglip_told
    assert "CLIP hf-hub:a/wider: the weights in open_clip_model.safetensors are of another model" in wider
    assert "CLIP hf-hub:a/empty: not on this machine: open_clip_config.json of the hub's repository a/empty" in empty
    asked = [line for line in hub.requests if "a/words" in line or "a/tower" in line or "a/siglip" in line]
    assert not any("safetensors" in line for line in asked), "weights are not fetched for what is refused"
    assert not any("a/code" in line for line in hub.requests)


def test_without_a_network_the_stage_says_what_to_fetch_where_and_how_to_go_on(workplace):
    set_clip("videos", pretrained=TAG)
    done = by_tag("http://127.0.0.1:9", workplace, "models/clip")
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: CLIP {NAME}: weights '{TAG}' are not on this machine: open_clip_model.")
    assert "Fetch http://127.0.0.1:9/someone/tiny/resolve/main/open_clip_model.safetensors where there" in done.stderr
    assert "then set clip.checkpoint to the file and clip.pretrained to null." in done.stderr
    assert "Traceback" not in done.stderr
    assert not (workplace / "models").exists()


@pytest.mark.parametrize(
    ("name", "tag", "message"),
    [
        ("ViT-Z-99", "openai", r"'clip\.model': open_clip knows no 'ViT-Z-99'"),
        ("ViT-B-16-SigLIP", "webli", r"'clip\.model': ViT-B-16-SigLIP reads text with the tokenizer .*transformers"),
        ("ViT-B-32-quickgelu", "opnai", r"ViT-B-32-quickgelu has no weights 'opnai'; it has .*openai"),
        ("ViT-B-32", "openai", r"trained with QuickGELU and the model is built without it.*ending in -quickgelu"),
        ("ViT-B-32-quickgelu", "laion2b_s34b_b79k", "has no weights"),
    ],
)
def test_names_that_do_not_belong_together_are_refused_before_any_network(monkeypatch, name, tag, message):
    monkeypatch.setattr("moclip.clip.weights.hub_file", lambda *a: pytest.fail("went on to the network"))
    monkeypatch.setitem(sys.modules, "transformers", None)  # not installed, as Python has it
    with pytest.raises(ParamsError, match=message):
        fetch(name, tag, None)


def write_form(path: Path, form: str) -> Path:
    state = tiny().state_dict()
    if form == "safetensors":
        save_file(state, path.with_suffix(".safetensors"))
        return path.with_suffix(".safetensors")
    content = {"torch": state, "training": {"epoch": 3, "state_dict": {f"module.{k}": v for k, v in state.items()}}}
    torch.save(content.get(form, state), path, _use_new_zipfile_serialization=form != "legacy")
    return path


@pytest.mark.parametrize("form", ["safetensors", "torch", "training", "legacy"])
def test_every_form_of_a_checkpoint_gives_the_same_weights(known, tmp_path, form, caplog):
    found = fetch(NAME, None, write_form(tmp_path / "weights.pt", form))
    state, expected = found.model.state_dict(), tiny().state_dict()
    assert all(torch.equal(state[key], value) for key, value in expected.items())
    assert found.config["preprocess_cfg"]["resize_mode"] == "shortest"
    assert found.source["quick_gelu_checked_by"] is None
    assert "nothing says how these weights were trained; taken with QuickGELU" in caplog.text


def test_activation_other_than_the_configuration_beside_a_file_says_is_refused(known, tmp_path):
    checkpoint = write_form(tmp_path / "weights.pt", "torch")
    write_json(tmp_path / "open_clip_config.json", {"model_cfg": QUICK})
    with pytest.raises(ParamsError, match=r"weights\.pt: the weights were trained with QuickGELU and the model is .*"):
        fetch(f"{NAME}-plain", None, checkpoint)


def archive(path: Path) -> Path:
    """OpenAI's form: a TorchScript program, with extras beside the weights."""
    model = tiny()
    model.register_buffer("input_resolution", torch.tensor(64))
    del model.attn_mask  # OpenAI's has none among its weights
    model.attn_mask = None
    inputs = torch.zeros(1, 3, 64, 64), torch.zeros(1, 24, dtype=torch.long)
    torch.jit.trace(model, inputs, check_trace=False).save(str(path))
    return path


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning", "ignore::torch.jit.TracerWarning")
def test_torchscript_archive_is_opened_only_if_openai_published_it(known, tmp_path, monkeypatch):
    program = archive(tmp_path / "ViT.pt")
    with monkeypatch.context() as patch:
        patch.setattr(torch.jit, "load", lambda *a, **k: pytest.fail("the program was opened"))
        with pytest.raises(ParamsError, match=r"ViT\.pt is a TorchScript archive, .*not opened\. Bring its tensors"):
            fetch(NAME, None, program)
    register(known, PUBLISHED.format(sha256_file(program)))
    state, expected = fetch(NAME, None, program).model.state_dict(), tiny().state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[key], value) for key, value in expected.items())


@pytest.mark.parametrize("name", [NAME, f"{NAME}-plain"])
def test_published_file_is_known_by_its_digest_alone(known, tmp_path, name):
    checkpoint = write_form(tmp_path / "renamed.pt", "torch")
    register(known, PUBLISHED.format(sha256_file(checkpoint)))
    if name == NAME:
        found = fetch(name, None, checkpoint)
        assert found.source["quick_gelu_checked_by"] == "open_clip's table, by SHA-256"
        assert found.config["preprocess_cfg"]["resize_mode"] == "squash"
    else:
        with pytest.raises(ParamsError, match=r"renamed\.pt: the weights were trained with QuickGELU"):
            fetch(name, None, checkpoint)


def test_table_of_published_weights_gives_whole_digests_for_openais_files_alone():
    digests = _published_digests()
    whole = {digest: facts for digest, facts in digests.items() if len(digest) == 64}
    assert len(whole) == 9
    assert all(facts["quick_gelu"] and ".openai/" in facts["hf_hub"] for facts in whole.values())
    assert {len(digest) for digest in digests} == {8, 64}


class Malicious:
    """A pickle that writes a file when it is loaded."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.target, "code was run")


@pytest.mark.parametrize("form", ["zip", "legacy", "bare"])
def test_code_in_a_checkpoint_is_refused_and_not_run(known, tmp_path, form):
    target, checkpoint = tmp_path / "written", tmp_path / "weights.pt"
    if form == "bare":
        checkpoint.write_bytes(pickle.dumps({"a": Malicious(target)}))
    else:
        torch.save({"a": Malicious(target)}, checkpoint, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(ParamsError, match=r"weights\.pt cannot be read as weights .*code in a file is never run"):
        fetch(NAME, None, checkpoint)
    assert not target.exists()
    if form == "bare":
        pickle.loads(checkpoint.read_bytes())
        assert target.exists(), "the trap itself works"


def test_files_that_are_no_checkpoint_are_refused_for_what_they_are(known, tmp_path):
    with pytest.raises(ParamsError, match=r"'clip\.checkpoint': .*none\.pt is not a file"):
        fetch(NAME, None, tmp_path / "none.pt")
    (tmp_path / "text.safetensors").write_text("<html>not found</html>")
    with pytest.raises(ParamsError, match=r"text\.safetensors cannot be read as weights"):
        fetch(NAME, None, tmp_path / "text.safetensors")
    np.savez(tmp_path / "features.npz", feat=np.zeros(3))
    with pytest.raises(ParamsError, match=r"features\.npz is no checkpoint; features go to clip\.precomputed"):
        fetch(NAME, None, tmp_path / "features.npz")
    torch.save({"epoch": 3, "w": torch.zeros(1)}, tmp_path / "mixed.pt")
    with pytest.raises(ParamsError, match=r"mixed\.pt holds 'epoch', which is no tensor"):
        fetch(NAME, None, tmp_path / "mixed.pt")


def test_weights_of_another_model_are_refused_as_such_and_not_for_the_network(known, tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ParamsError, match=r"weights in other\.safetensors are of another model .*set clip\.model to"):
        fetch(NAME, None, tmp_path / "other.safetensors")
    state = tiny().state_dict()
    save_file(state | {"text_projection": torch.zeros(64, 32)}, tmp_path / "narrow.safetensors")
    with pytest.raises(ParamsError, match=r"of another model .*size mismatch for text_projection"):
        fetch(NAME, None, tmp_path / "narrow.safetensors")


def test_position_embeddings_are_not_stretched_in_silence(known, tmp_path):
    state = tiny().state_dict()
    longer = torch.cat([state["positional_embedding"]] * 2)
    save_file(state | {"positional_embedding": longer}, tmp_path / "longer.safetensors")
    with pytest.raises(ParamsError, match=r"positional_embedding is \(48, 64\) in the file and \(24, 64\) in"):
        fetch(NAME, None, tmp_path / "longer.safetensors")


def released(path: Path, seed: int) -> Path:
    """Weights in the form of Open-VCLIP's file."""
    torch.save({"model_state": {f"model.{key}": value for key, value in tiny(seed).state_dict().items()}}, path)
    return path


def test_stage_takes_a_share_of_a_patch_and_says_so(workplace, demo_folder, monkeypatch):
    path = write_form(Path("weights.pt"), "torch")
    for share, name in ((1.0, "own"), (0.0, "patch"), (0.5, "between")):
        set_clip(demo_folder, checkpoint=str(path), patch=str(released(Path("swa.pth"), 1)), patch_share=share)
        stage(monkeypatch, clip_model, out=f"models/{name}")
    own, patch, between = (load_encoder(Path("models") / name).model.backbone for name in ("own", "patch", "between"))
    assert all(torch.equal(value, tiny(0).state_dict()[key]) for key, value in own.state_dict().items())
    for key, value in patch.named_parameters():
        assert torch.equal(value, tiny(1).state_dict()[key])
        torch.testing.assert_close(between.state_dict()[key], 0.5 * own.state_dict()[key] + 0.5 * value)
    found = read_json(Path("models/between") / META)["patch"]
    assert found == {"file": "swa.pth", "file_sha256": sha256_file(Path("swa.pth")), "share_of_model": 0.5}
    set_clip(demo_folder, checkpoint=str(path), patch="missing.pth", patch_share=0.5)
    with pytest.raises(ParamsError, match=r"clip\.patch': .*missing\.pth is not a file"):
        stage(monkeypatch, clip_model, out="models/none")
    assert not Path("models/none").exists()


def test_stage_lets_frames_see_each_other(workplace, demo_folder, monkeypatch):
    """Features of several frames are other ones then, and what was half done for frames alone is not taken for them.

    Chance weights shrink an image to 1e-5 of the embedding of its place: attention is uniform then, and the mean over
    frames that repeat their edges is that of each alone. Convolutions are made louder until frames differ.
    """
    state, path = tiny().state_dict(), Path("weights.pt")
    for key in (key for key in state if "conv" in key):
        state[key] *= 5
    torch.save(state, path)
    for name, own in (
        ("alone", {"attention": "alone"}),
        ("repeat", {"attention": "neighbours"}),
        ("zeros", {"attention": "neighbours", "edges": "zeros"}),
    ):
        set_clip(demo_folder, checkpoint=str(path), frame="uniform:4", batch_images=6, **own)
        stage(monkeypatch, clip_model, out=f"models/{name}")
        images, _ = cache(monkeypatch, name)
        assert images.shape == (8, 64)
    alone, repeat, zeros = (read_features(Path(name) / "images.npz").values for name in ("alone", "repeat", "zeros"))
    for one, other in ((alone, repeat), (alone, zeros), (repeat, zeros)):
        assert np.abs(one - other).max() > 1e-5
    assert read_json(Path("zeros/encoder.json"))["neighbours"] == "zeros"
    assert "neighbours" not in read_json(Path("alone/encoder.json"))


WORDS = """
import sys; from pathlib import Path; from tests.clip.test_weights import TEXTS, register_siglip
register_siglip(Path(sys.argv[1]))
from moclip.clip.encoder import load_encoder, save_encoder; from moclip.clip.weights import fetch
found = fetch("hf-hub:someone/siglip", None, None)
save_encoder(Path("models/siglip"), found.model, found.config, {"model": "hf-hub:someone/siglip"})
print(load_encoder(Path("models/siglip")).tokenize(TEXTS).tolist())
"""
TEXTS = ["A ball, thrown!", "a person"]
SIGLIP = CONFIG["model_cfg"] | {
    "custom_text": True,
    "text_cfg": CONFIG["model_cfg"]["text_cfg"]
    | {
        "context_length": 6,
        "vocab_size": 8,
        "hf_tokenizer_name": "someone/words",
        "tokenizer_kwargs": {"clean": "canonicalize"},
        "pool_type": "last",
        "no_causal_mask": True,
    },
}
VOCABULARY = {"<unk>": 0, "<pad>": 1, "a": 2, "ball": 3, "person": 4, "thrown": 5}


def register_siglip(directory: Path) -> None:
    write_json(directory / "Tiny-SigLIP.json", SIGLIP)
    open_clip.add_model_config(directory / "Tiny-SigLIP.json")


def tokenizer_files(name: str) -> dict[str, bytes]:
    """A tokenizer as tables, with code beside it that must not run."""
    model = {"type": "WordLevel", "vocab": VOCABULARY, "unk_token": "<unk>"}
    added = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    tables = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": i, "content": word, **added} for word, i in VOCABULARY.items() if word[0] == "<"],
        "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None,
        "decoder": None,
        "model": model,
    }
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "auto_map": {"AutoTokenizer": [None, "code.Tokenizer"]},
    }
    return {
        f"{name}/tokenizer.json": json.dumps(tables).encode(),
        f"{name}/tokenizer_config.json": json.dumps(settings).encode(),
        f"{name}/code.py": b"raise AssertionError('code of a repository ran')",
    }


def test_another_tokenizer_comes_by_its_name_in_open_clips_table_and_as_tables(tmp_path):
    pytest.importorskip("transformers", reason="extra tokenizers")
    torch.manual_seed(0)
    model = open_clip.CustomTextCLIP(
        SIGLIP["embed_dim"],
        open_clip.CLIPVisionCfg(**SIGLIP["vision_cfg"]),
        open_clip.CLIPTextCfg(**SIGLIP["text_cfg"]),
    )
    files = repository("someone/siglip", SIGLIP, save(model.state_dict())) | tokenizer_files("someone/words")
    (tmp_path / "configs").mkdir()
    with serving(files) as hub:
        env = hub_environment(hub.url, tmp_path / "hf", PYTHONPATH=str(ROOT))
        words = [sys.executable, "-c", WORDS, str(tmp_path / "configs")]
        done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[[2, 3, 5, 1, 1, 1], [2, 4, 1, 1, 1, 1]]\n"
    assert not any("code.py" in line for line in hub.requests)
