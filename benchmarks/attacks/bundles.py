"""Bundles from strangers: code, requests, files outside, sizes that are stated, and values that are none."""

import json
import os
import pickle
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.attacks.bench import SECRET, Bench, Done, Payload
from benchmarks.attacks.table import NEW, Attack, Outcome, harmless, refused
from benchmarks.attacks.videos import BOUNDED, slim_picture
from moclip.base.files import read_json, write_json
from tests.support.forged import forge, in_text, in_vision, put, seal
from tests.support.imports import ROOT

Spoil = Callable[[Path, Bench], object]
REFUSED = "refused by name; no code, no request, nothing outside"
CONFIG = "clip/open_clip_config.json"


def attacks() -> Iterator[Attack]:
    """All of them."""
    for number, tried, spoil, words in (*_code(), *_sizes(), *_files(), *_values()):
        yield Attack(number, f"bundle: {tried}", REFUSED, _asked(spoil, words))
    for door, ask in DOORS.items():
        tried = f"bundle that names a tokenizer's code, by `{door}` where `transformers` is installed"
        yield Attack("H1", tried, REFUSED, _at_door(ask, _tokenizer))
    for door, ask in COPIES.items():
        yield Attack("L4", f"bundle with a link to a secret, by `{door}`", REFUSED, _at_door(ask, _link_to_secret))
    yield Attack(NEW, "video: a picture of 1,500,000 x 1 pixels, asked by CLIP alone", BOUNDED, slim_picture)
    for tried, spoil in _puzzles():
        yield Attack(NEW, f"bundle: {tried}", "refused or answered as one that is whole", _puzzled(spoil))


def _asked(spoil: Spoil, words: str) -> Callable[[Bench], Outcome]:
    def do(bench: Bench) -> Outcome:
        bundle = bench.bundle()
        spoil(bundle, bench)
        return refused(_predict(bench, bundle), words, bounded=True)

    return do


def _at_door(ask: Callable[[Bench, Path], Done], spoil: Spoil) -> Callable[[Bench], Outcome]:
    def do(bench: Bench) -> Outcome:
        bundle = bench.bundle()
        spoil(bundle, bench)
        return refused(ask(bench, bundle), "not allowed|it is not opened")

    return do


def _puzzled(spoil: Spoil) -> Callable[[Bench], Outcome]:
    def do(bench: Bench) -> Outcome:
        bundle = bench.bundle()
        spoil(bundle, bench)
        return harmless(_predict(bench, bundle))

    return do


def _predict(bench: Bench, model: Path) -> Done:
    return bench.moclip("predict", bench.film, "--model", model)


def _with_transformers(bench: Bench, *words: object) -> Done:
    """A program beside a `transformers` whose tokenizer leaves a mark where one is made."""
    (stub := bench.given / "stub/transformers").mkdir(parents=True)
    (stub / "__init__.py").write_text(TRANSFORMERS.format(mark=str(bench.mark)))
    (stub / "modeling_outputs.py").write_text("\n".join(f"class {name}: pass" for name in OUTPUTS))
    return bench.program(*words, env={"PYTHONPATH": os.pathsep.join([str(stub.parent), str(ROOT)])})


TRANSFORMERS = """
import os
class AutoTokenizer:
    @staticmethod
    def from_pretrained(*words, **options): os.mkdir({mark!r})
class AutoModel: pass
class AutoConfig: pass
class PretrainedConfig: pass
"""
OUTPUTS = ("BaseModelOutput", "BaseModelOutputWithPooling", "BaseModelOutputWithPoolingAndCrossAttentions")
LOAD = "import sys; from moclip.base.console import run; from moclip.tracking.serving import _load_pyfunc as load; "
LOAD += "sys.exit(run(lambda: load(sys.argv[1]) and None, '--verbose'))"
DOORS: dict[str, Callable[[Bench, Path], Done]] = {
    "moclip predict": lambda bench, bundle: _with_transformers(
        bench, "-m", "moclip", "predict", bench.film, "--model", bundle
    ),
    "mlflow.pyfunc": lambda bench, bundle: _with_transformers(bench, "-c", LOAD, bundle),
}


COPIES: dict[str, Callable[[Bench, Path], Done]] = {
    "moclip predict": _predict,
    "moclip bundle": lambda bench, bundle: bench.moclip(
        "bundle", "--no-onnx", "--model", bundle, "--out", bench.work / "copy"
    ),
    "moclip export": lambda bench, bundle: bench.moclip("export", "--model", bundle, "--out", bench.work / "x"),
    "mlflow.pyfunc": lambda bench, bundle: bench.call(lambda: _load_pyfunc(bundle)),
}


def _load_pyfunc(bundle: Path) -> object:
    from moclip.tracking.serving import _load_pyfunc as load

    return load(str(bundle))


def _tokenizer(bundle: Path, bench: Bench) -> None:
    (bundle / "clip/evil.py").write_text(f"import os; os.mkdir({str(bench.mark)!r})")
    (bundle / "clip/tokenizer_config.json").write_text('{"auto_map": {"AutoTokenizer": ["evil.Evil", null]}}')
    _list(bundle, "clip/evil.py", "clip/tokenizer_config.json")
    forge(bundle, CONFIG, in_text(hf_tokenizer_name="x", tokenizer_kwargs={"trust_remote_code": True}))


def _list(bundle: Path, *names: str) -> None:
    """Add files to the manifest, as whoever makes a bundle can."""
    facts = read_json(bundle / "bundle.json")
    facts["files"] |= dict.fromkeys(names, "0" * 64)
    write_json(bundle / "bundle.json", facts)
    seal(bundle, "bundle.json")


def _link_to_secret(bundle: Path, bench: Bench) -> None:
    (bundle / "clip/secret").symlink_to(bench.outside / "secret.txt")


def _set(name: str, **values: Any) -> Spoil:
    return lambda bundle, _: forge(bundle, name, lambda facts: facts.update(values))


def _config(change: Callable[[dict[str, Any]], None]) -> Spoil:
    return lambda bundle, _: forge(bundle, CONFIG, change)


def _code() -> Iterator[tuple[str, str, Spoil, str]]:
    yield "H1", "`hf_tokenizer_name`, `trust_remote_code`, its code beside it", _tokenizer, "hf_tokenizer_name"
    change = in_text(hf_tokenizer_name="timm/ViT-B-16-SigLIP")
    yield "H1", "tokenizer of a published model that it is not", _named(change), "hf_tokenizer_name"
    change = in_vision(timm_model_name="hf-hub:attacker/phone-home")
    yield "M3", "`timm_model_name: hf-hub:attacker/phone-home`", _config(change), "timm_model_name"
    yield "M3", "`hf_model_name: attacker/text`", _config(in_text(hf_model_name="attacker/text")), "hf_model_name"
    yield (
        "M3",
        "`motion/config.json` names an architecture of a hub",
        _set("motion/config.json", arch="hf-hub:attacker/phone-home"),
        "do not fit",
    )
    for name, words in (
        ("motion/model.safetensors", "safetensors"),
        ("texts.safetensors", "text features"),
        ("clip/open_clip_model.safetensors", "safetensors"),
        ("heads/fusion/model.safetensors", "safetensors"),
    ):
        yield "tries", f"a pickle as `{name}`", _pickled(name), words
    yield "tries", "`clip/open_clip_pytorch_model.bin` beside the weights", _beside, "it is not opened"


def _named(change: Callable[[dict[str, Any]], None]) -> Spoil:
    def spoil(bundle: Path, _: Bench) -> None:
        forge(bundle, "clip/meta.json", lambda facts: facts.update(model="ViT-B-16-SigLIP"))
        forge(bundle, CONFIG, change)

    return spoil


def _pickled(name: str) -> Spoil:
    def spoil(bundle: Path, bench: Bench) -> None:
        (bundle / name).write_bytes(pickle.dumps(Payload(bench.mark)))
        _reseal(bundle)

    return spoil


def _reseal(bundle: Path) -> None:
    """Digests of CLIP's weights, too."""
    from moclip.base.files import sha256_file

    meta = read_json(bundle / "clip/meta.json")
    write_json(bundle / "clip/meta.json", meta | {"sha256": sha256_file(bundle / "clip/open_clip_model.safetensors")})
    seal(bundle, "clip/meta.json")


def _beside(bundle: Path, bench: Bench) -> None:
    (bundle / "clip/open_clip_pytorch_model.bin").write_bytes(pickle.dumps(Payload(bench.mark)))


def _sizes() -> Iterator[tuple[str, str, Spoil, str]]:
    yield (
        "M4",
        "`tokenizer_kwargs.bpe_path`, a gzip bomb",
        _config(in_text(tokenizer_kwargs={"bpe_path": "bomb.gz"})),
        "tokenizer_kwargs",
    )
    yield "M4", "6,000,000 classes in `motion/config.json`", _set("motion/config.json", classes=6_000_000), "do not fit"
    yield "M4", "10^9 classes in `motion/config.json`", _set("motion/config.json", classes=10**9), "do not fit"
    yield "M4", "2 * 10^9 hidden units of a head", _set("heads/fusion/config.json", hidden=2 * 10**9), "do not fit"
    yield "M4", "a vocabulary of 4 * 10^9", _config(in_text(vocab_size=4 * 10**9)), "vocab_size"
    yield (
        "M4",
        "a vocabulary of 2,000,000 times 16,384",
        _config(in_text(vocab_size=2_000_000, width=16_384, heads=8)),
        "in the file and",
    )
    yield "tries", "CLIP of 3,000 layers", _config(in_vision(layers=3000)), "vision_cfg.layers"
    yield (
        "tries",
        "pictures of 10^6 pixels a side",
        _config(lambda facts: facts["preprocess_cfg"].update(size=10**6)),
        "preprocess_cfg.size",
    )
    for key, place in (("eval_segments", ("motion_net", "eval_segments")), ("input_px", ("motion_net", "input_px"))):
        yield "tries", f"`{key}` of 10^8", _placed("motion/config.json", place, 10**8), "do not fit|eval_segments|input"
    for name in ("motion/model.safetensors", "clip/open_clip_model.safetensors", "texts.safetensors"):
        for tried, head in HEADERS.items():
            yield (
                ("tries" if "TB" in tried or "2^62" in tried else NEW),
                f"`{name}`: {tried}",
                _header(name, head),
                "safetensors|text features|AAAA|do not fit",
            )
    yield NEW, "`bundle.json` of 8 GB in a file with a hole", _hole("bundle.json"), "bundle.json.*MiB"
    yield (
        NEW,
        "`motion/config.json` of 8 GB in a file with a hole",
        _hole("motion/config.json"),
        "config.json.*(MiB|bytes)",
    )
    yield NEW, "`clip/meta.json` of 8 GB in a file with a hole", _hole("clip/meta.json"), "meta.json.*(MiB|bytes)"
    yield NEW, "weights of 1 TB in a file with a hole", _hole("motion/model.safetensors", 1 << 40), "model.safetensors"
    yield NEW, "`bundle.json` of 60 MB of empty lists", _lists, "bundle.json.*MiB"


def _placed(name: str, place: tuple[str, ...], value: Any) -> Spoil:
    def spoil(bundle: Path, _: Bench) -> None:
        facts = read_json(bundle / name)
        keys = [key for key in facts if place[-1] in (facts[key] if isinstance(facts[key], dict) else ())]
        put(bundle, name, (*keys[:1], place[-1]), value)

    return spoil


def _tensor(shape: list[int], offsets: list[int], dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


HEADERS: dict[str, bytes] = {
    "a tensor of 4 TB": json.dumps({"x": _tensor([1 << 40], [0, 1 << 42])}).encode(),
    "a header of 2^62 bytes": b"",
    "sizes whose product overflows": json.dumps({"x": _tensor([1 << 33, 1 << 33], [0, 8])}).encode(),
    "tensors that overlap": json.dumps({"x": _tensor([2], [0, 8]), "y": _tensor([2], [4, 12])}).encode(),
    "one tensor twice": b'{"x": {"dtype":"F32","shape":[2],"data_offsets":[0,8]}, "x": []}',
    "offsets that run backwards": json.dumps({"x": _tensor([2], [8, 0])}).encode(),
    "a size below zero": json.dumps({"x": _tensor([-2], [0, 8])}).encode(),
    "a type that is none": json.dumps({"x": _tensor([2], [0, 8], "OBJECT")}).encode(),
    "100,000 brackets": b"[" * 100_000,
    "a header of 80 MB of blanks": b'{"x":' + b" " * 80_000_000 + b"1}",
    "a name of 1 MB": json.dumps({"A" * 1_000_000: _tensor([2], [0, 8])}).encode(),
}


def _header(name: str, head: bytes) -> Spoil:
    def spoil(bundle: Path, _: Bench) -> None:
        (bundle / name).write_bytes(struct.pack("<Q", len(head) or 1 << 62) + head + bytes(8))
        _reseal(bundle)

    return spoil


def _hole(name: str, size: int = 8 << 30) -> Spoil:
    def spoil(bundle: Path, _: Bench) -> None:
        with (bundle / name).open("r+b") as file:
            file.truncate(size)

    return spoil


def _lists(bundle: Path, _: Bench) -> None:
    (bundle / "bundle.json").write_text(f"[{'[],' * 20_000_000}[]]")


def _files() -> Iterator[tuple[str, str, Spoil, str]]:
    for what, make in MAKERS.items():
        for place in ("clip/more", "heads/more", "motion/more.json"):
            yield "L4", f"{what} at `{place}`, not listed", _made(place, make), "it is not opened"
        for name in ("motion/model.safetensors", "clip/open_clip_config.json", "heads/fusion/config.json"):
            yield ("L4" if what != "a socket" else NEW), f"{what} as `{name}`", _instead(name, make), "it is not opened"
        yield NEW, f"{what} as `bundle.json`", _instead("bundle.json", make), "bundle|no such|holds neither"
    yield NEW, "`clip` is a link to a folder outside", _linked_folder, "it is not opened"
    for name in ("../../../../../etc/passwd", "/etc/passwd", "clip\\..\\..\\x", "clip//x", "./clip/x", "clip/\x1b]0;x"):
        yield ("L5" if "etc" in name else NEW), f"manifest lists `{_shown(name)}`", _listed(name), "plain path|print"
    for head in ("../../outside/fusion", "/etc", "evl", "fusion/../fusion", "", "fusion\0"):
        yield (
            ("L5" if "/" in head else NEW),
            f"manifest names the head `{_shown(head)}`",
            _put_in_manifest("heads", [head]),
            "no head that answers",
        )


def _shown(text: str) -> str:
    return text.encode("unicode_escape").decode()


MAKERS: dict[str, Callable[[Path, Bench], object]] = {
    "a link to a secret": lambda path, bench: path.symlink_to(bench.outside / "secret.txt"),
    "a link to /dev/zero": lambda path, _: path.symlink_to("/dev/zero"),
    "a pipe": lambda path, _: os.mkfifo(path),
    "a socket": lambda path, _: os.mknod(path, 0o140600),
}


def _made(place: str, make: Callable[[Path, Bench], object]) -> Spoil:
    return lambda bundle, bench: make(bundle / place, bench)


def _instead(name: str, make: Callable[[Path, Bench], object]) -> Spoil:
    def spoil(bundle: Path, bench: Bench) -> None:
        (bundle / name).unlink()
        make(bundle / name, bench)

    return spoil


def _linked_folder(bundle: Path, bench: Bench) -> None:
    (bundle / "clip").rename(bundle.parent / "clip")
    (bundle / "clip").symlink_to(bundle.parent / "clip")


def _listed(name: str) -> Spoil:
    def spoil(bundle: Path, _: Bench) -> None:
        facts = read_json(bundle / "bundle.json")
        write_json(bundle / "bundle.json", facts | {"files": facts["files"] | {name: "0" * 64}})

    return spoil


def _put_in_manifest(key: str, value: Any) -> Spoil:
    def spoil(bundle: Path, _: Bench) -> None:
        facts = read_json(bundle / "bundle.json")
        (bundle / "bundle.json").write_text(json.dumps(facts | {key: value}))

    return spoil


def _text(name: str, text: str) -> Spoil:
    def spoil(bundle: Path, _: Bench) -> None:
        (bundle / name).write_text(text)
        if name != "bundle.json":
            _reseal(bundle) if name != "clip/meta.json" else seal(bundle, name)

    return spoil


def _values() -> Iterator[tuple[str, str, Spoil, str]]:
    for text in ("[]", "3", "null", "{}", '{"format": {}}', "[" * 100_000, "9" * 10_000, "\x00", ""):
        yield (
            "L7",
            f"`bundle.json` is `{_shown(text[:12])}`{' …' if len(text) > 12 else ''}",
            _text("bundle.json", text),
            "bundle.json",
        )
    for name in ("motion/config.json", "heads/fusion/config.json", CONFIG):
        for text in ("[" * 100_000, "[]", '"x"', "9" * 10_000):
            yield "L7", f"`{name}` is `{text[:8]}`{' …' if len(text) > 8 else ''}", _text(name, text), "json"
    for key, value, words in (
        ("classes", ["\x1b[2J\x1b]0;owned\x07", "B"], "print"),
        ("classes", ["a\nerror: fake", "B"], "print"),
        ("classes", ["\u202egnp.exe", "B"], "print"),
        ("classes", ["\u2066x\u2069", "B"], "print"),
        ("classes", ["a\u2028b", "B"], "print"),
        ("classes", [1, 2], "string"),
        ("classes", [], "classes"),
        ("classes", ["x" * 301], "classes"),
        ("classes", {"0": "A"}, "classes"),
        ("frame", "\x1b[31m", "print"),
        ("split", 10**400, "split"),
        ("split", -1, "split"),
        ("split", True, "split"),
        ("logit_scale", float("nan"), "no JSON"),
        ("logit_scale", float("inf"), "no JSON"),
        ("logit_scale", "x", "logit_scale"),
        ("origin", {"dataset": "\x1b[31m"}, "origin"),
    ):
        told = ascii(value) if len(repr(value)) < 40 else f"{ascii(value)[:20]}…"
        yield (
            ("L2" if words == "print" else "L7"),
            f"manifest: `{key}` is `{told}`",
            _put_in_manifest(key, value),
            words,
        )
    yield NEW, "NaN in the weights of the motion network", _weights(np.nan), "finite"
    yield NEW, "infinite weights of the head", _weights(np.inf, "heads/fusion"), "finite"


def _weights(value: float, folder: str = "motion") -> Spoil:
    def spoil(bundle: Path, _: Bench) -> None:
        from safetensors.numpy import load_file, save_file

        path = bundle / folder / "model.safetensors"
        spoilt = {
            name: np.full_like(one, value) if one.dtype.kind == "f" else one for name, one in load_file(path).items()
        }
        save_file(spoilt, path)
        _reseal(bundle)

    return spoil


def _puzzles() -> Iterator[tuple[str, Spoil]]:
    """What is no fault by itself."""
    yield "a key of `bundle.json` twice", _twice
    for name, key, value in (
        ("motion/config.json", "bound_px", "NaN"),
        ("motion/config.json", "bound_px", "1e999"),
        ("motion/config.json", "bound_px", "-1"),
        ("motion/config.json", "seed", "9" * 4000),
        ("heads/fusion/config.json", "dropout", "NaN"),
        ("clip/meta.json", "model", '"../../x"'),
    ):
        yield f"`{name}`: `{key}` is `{value[:6]}`{' …' if len(value) > 6 else ''}", _raw_value(name, key, value)
    yield "names of files that a system of Windows keeps for devices", _windows


def _twice(bundle: Path, _: Bench) -> None:
    text = (bundle / "bundle.json").read_text()
    (bundle / "bundle.json").write_text(text.replace("{", '{"heads": ["../../outside/fusion"], ', 1))


def _raw_value(name: str, key: str, value: str) -> Spoil:
    def spoil(bundle: Path, _: Bench) -> None:
        facts = read_json(bundle / name)
        text = json.dumps(facts | {key: "PLACE"}).replace('"PLACE"', value)
        (bundle / name).write_text(text)
        seal(bundle, name)

    return spoil


def _windows(bundle: Path, _: Bench) -> None:
    for name in ("CON", "aux.json", "NUL.txt"):
        (bundle / name).write_text(SECRET[:0])
    _list(bundle, "CON", "aux.json")
    shutil.rmtree(bundle / "heads/clip_probe", ignore_errors=True)
