"""What is read: how a good input is laid, how it is forged, and which of moclip's readers gets it."""

import json
import pickle
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fuzz.damage import as_json, spoil_bytes, spoil_lines, spoil_values
from moclip.base.files import fingerprint, read_json, sha256_file, write_npz
from moclip.store.arrays import map_arrays, write_arrays


class Payload:
    """What runs where its pickle is loaded; the runner sees that it did."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return print, ("code of an input ran",)


@dataclass(frozen=True)
class Target:
    """One kind of input: `lay` writes a good one, `spoil` forges it, `read` is what moclip does with it."""

    lay: Callable[[Path], None]
    spoil: Callable[[Path, random.Random], None]
    read: Callable[[Path], object]


def targets(model: Path | None, motion: Path | None) -> dict[str, Target]:
    """All kinds of inputs by name; bundles and stores are made of what a run of the pipeline left."""
    found = {
        "npz": Target(_lay_npz, _spoil_npz, _read_npz),
        "lists": Target(_lay_lists, _spoil_lists, _read_lists),
        "params": Target(_lay_params, _spoil_params, _read_params),
    }
    if motion is not None:
        found["store"] = Target(lambda to: _copy(motion, to / "store"), _spoil_store, _read_store)
    if model is not None:
        found["bundle"] = Target(lambda to: _write_bundle(model, to / "bundle"), _spoil_bundle, _read_bundle)
    return found


def _copy(source: Path, to: Path) -> None:
    shutil.copytree(source, to, symlinks=False)


def _lay_npz(folder: Path) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(6, 8)).astype(np.float32)
    write_npz(
        folder / "f.npz", video=np.array(list("abcdef")), feat=values, **{"class": np.array(["x"]), "text": values[:1]}
    )


def _spoil_npz(folder: Path, rng: random.Random) -> None:
    path = folder / "f.npz"
    if rng.random() < 0.6:
        path.write_bytes(spoil_bytes(path.read_bytes(), rng))
        return
    with np.load(path) as archive:
        arrays: dict[str, Any] = dict(archive)
    forged: list[Any] = [np.zeros((0, 8)), np.zeros(3), np.array("x"), np.full((6, 8), np.nan), np.array([Payload()])]
    arrays[rng.choice(list(arrays))] = rng.choice([*forged, np.zeros((6, 8), np.complex64), np.array(list("aabcde"))])
    np.savez(path, **arrays)


def _read_npz(folder: Path) -> object:
    from moclip.clip.precomputed import read_precomputed

    return read_precomputed(folder / "f.npz")


def _lay_lists(folder: Path) -> None:
    (folder / "classInd.txt").write_text("".join(f"{k} Class{k}\n" for k in range(1, 6)))
    (folder / "train.txt").write_text(
        "".join(f"Class{k}/v_Class{k}_g01_c0{c}.avi {k}\n" for k in (1, 2, 3) for c in (1, 2))
    )
    (folder / "flags.txt").write_text("".join(f"clip_{k}.avi {k % 3}\n" for k in range(9)))
    (folder / "split.csv").write_text("id,label,part,group\na,0,train,g1\nb,1,test,g2\n")


def _spoil_lists(folder: Path, rng: random.Random) -> None:
    path = rng.choice(sorted(folder.iterdir()))
    path.write_bytes((spoil_lines if rng.random() < 0.7 else spoil_bytes)(path.read_bytes(), rng))


def _read_lists(folder: Path) -> object:
    from moclip.data.lists import read_class_index, read_flags, read_list
    from moclip.data.splits import read_members

    read_flags(folder / "flags.txt")
    read_members(folder / "split.csv")
    names = [
        *read_class_index(folder / "classInd.txt"),
        *read_list(folder / "train.txt", [f"Class{k}" for k in range(1, 6)]),
    ]
    for name in names:
        place = (folder / "root" / name).resolve()
        assert place.parent == (folder / "root").resolve(), f"{name!r} leads out"
    return names


def _lay_params(folder: Path) -> None:
    shutil.copy("params.yaml", folder)


def _spoil_params(folder: Path, rng: random.Random) -> None:
    from moclip.base.outside import yaml

    path = folder / "params.yaml"
    if rng.random() < 0.3:
        path.write_bytes(spoil_lines(path.read_bytes(), rng))
        return
    path.write_bytes(as_json(spoil_values(yaml.load(path), rng), rng))  # JSON is YAML


def _read_params(folder: Path) -> object:
    from moclip.heads.registry import check_params
    from stages._entry import read_params
    from stages._sections import check_sections

    params = read_params(folder / "params.yaml")
    check_sections(params, "params.yaml")
    check_params(params)
    return params


def _spoil_store(folder: Path, rng: random.Random) -> None:
    store = folder / "store"
    meta = read_json(store / "meta.json")
    index, draw = store / "index/000.index", rng.random()
    if draw < 0.3:
        path = rng.choice([path for path in sorted(store.rglob("*.*")) if path.is_file() and path.name != "meta.json"])
        path.write_bytes(spoil_bytes(path.read_bytes(), rng))
    elif draw < 0.6:
        arrays = {name: np.array(array) for name, array in map_arrays(index, "").arrays.items()}
        name = rng.choice(list(arrays))
        arrays[name] = _spoilt_column(arrays[name], rng)
        write_arrays(index, {name: [array] for name, array in arrays.items()}, {})
    elif draw < 0.7:
        (store / rng.choice(["blocks.npz", "index/000.index"])).write_bytes(
            b"\x93NUMPY\x01\x00v\x00" + pickle.dumps(Payload())
        )
    if rng.random() < 0.5 or draw >= 0.7:
        meta = spoil_values(meta, rng) if draw >= 0.7 else meta
    if isinstance(meta, dict):
        if isinstance(meta.get("files"), dict) and rng.random() < 0.8:
            meta["files"] |= {name: sha256_file(store / name) for name in meta["files"] if (store / name).is_file()}
        meta.pop("digest", None)
        meta["digest"] = fingerprint(meta)
    (store / "meta.json").write_bytes(as_json(meta, rng))


def _spoilt_column(column: np.ndarray, rng: random.Random) -> np.ndarray:
    evil = [column[:0], column[:-1], column.astype(np.float32), column[None]]
    if column.dtype.kind in "iuf":
        forged = column.copy()
        forged[rng.randrange(len(forged))] = np.int64(rng.choice([-1, 0, 10**6, 2**40, 2**62])).astype(column.dtype)
        evil += [forged] * 4
    return np.asarray(rng.choice(evil))


def _read_store(folder: Path) -> object:
    from moclip.motion.store import MotionStore

    store = MotionStore(folder / "store")
    return [store.clip(video).mv.sum() for video in store.ids[:3]]


def _write_bundle(model: Path, to: Path) -> None:
    from moclip.cli.options.model import source_of
    from moclip.predict.bundle import open_model, write_bundle

    write_bundle(to, open_model(source_of(str(model)), None))


def _spoil_bundle(folder: Path, rng: random.Random) -> None:
    bundle = folder / "bundle"
    files = sorted(path for path in bundle.rglob("*") if path.is_file())
    path = rng.choice([one for one in files if one.suffix == ".json"] if rng.random() < 0.7 else files)
    if path.suffix == ".json" and rng.random() < 0.85:
        path.write_bytes(as_json(spoil_values(read_json(path), rng), rng))
    elif rng.random() < 0.1:
        path.write_bytes(pickle.dumps(Payload()))
    else:
        path.write_bytes(spoil_bytes(path.read_bytes(), rng))
    if rng.random() < 0.05:
        (bundle / "clip" / str(rng.choice(["x", ".hidden", "evil.py"]))).symlink_to("/etc/passwd")
    if rng.random() < 0.8:
        _seal(bundle)


def _seal(bundle: Path) -> None:
    """Make the digests right again, as whoever forges a bundle would."""
    try:
        meta = json.loads((bundle / "clip/meta.json").read_bytes())
        for name, file in (
            ("config_sha256", "open_clip_config.json"),
            ("weights_sha256", "open_clip_model.safetensors"),
        ):
            if name in meta and (bundle / "clip" / file).is_file():
                meta[name] = sha256_file(bundle / "clip" / file)
        (bundle / "clip/meta.json").write_text(json.dumps(meta))
        manifest = json.loads((bundle / "bundle.json").read_bytes())
        manifest["files"] = {
            name: sha256_file(bundle / name) for name in manifest["files"] if (bundle / name).is_file()
        }
        (bundle / "bundle.json").write_text(json.dumps(manifest))
    except (ValueError, TypeError, KeyError, AttributeError, OSError, RecursionError):
        return  # what was spoilt is what would be sealed


def _read_bundle(folder: Path) -> object:
    from moclip.clip.encoder import load_encoder
    from moclip.heads.registry import MAIN
    from moclip.predict.predictor import Predictor

    load_encoder(folder / "bundle/clip")
    has_main = (folder / "bundle/heads" / MAIN).is_dir()  # a run may have stopped before it
    return Predictor.load(folder / "bundle", None, MAIN if has_main else "motion_only")
