"""ONNX files of a bundle: graphs that name other files, ask for any memory or go round for ever."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.attacks.bench import Bench
from benchmarks.attacks.table import NEW, Attack, Outcome, answered, refused
from moclip.base.files import sha256_file, write_json
from tests.support.forged import seal
from tests.support.imports import ROOT

ROWS, COLUMNS = 64, 64
Make = Callable[[], bytes]


def attacks() -> Iterator[Attack]:
    """All of them."""
    for tried, place in OUTSIDE.items():
        yield Attack(NEW, f"onnx: weights in {tried}", "refused; no other file is read", _asked(external(place)))
    for tried, make in GRAPHS.items():
        yield Attack(NEW, f"onnx: {tried}", "refused by name, bounded", _asked(make))
    yield Attack(NEW, "onnx: what onnxruntime itself sends within a minute", "no request leaves", _reported)


def _asked(make: Make) -> Callable[[Bench], Outcome]:
    def do(bench: Bench) -> Outcome:
        np.arange(ROWS * COLUMNS, dtype=np.float32).tofile(bench.work / "mine.bin")
        (bench.work / "link.bin").symlink_to(bench.outside / "secret.txt")
        bundle = bench.bundle()
        _put(bundle, make())
        return refused(bench.call(lambda: _run(bundle)), "onnxruntime (cannot read it|fails)", bounded=True)

    return do


def _put(bundle: Path, graph: bytes) -> None:
    """The graph as the motion network of a bundle, which its manifest and its description list."""
    (bundle / "onnx").mkdir()
    (bundle / "onnx/motion.onnx").write_bytes(graph)
    files = {"motion.onnx": sha256_file(bundle / "onnx/motion.onnx")}
    write_json(bundle / "onnx/networks.json", {"clip": None, "motion": None, "missing": {}, "files": files})
    facts = json.loads((bundle / "bundle.json").read_text())
    facts["files"] |= {"onnx/networks.json": "", "onnx/motion.onnx": ""}
    write_json(bundle / "bundle.json", facts)
    seal(bundle, "bundle.json")


def _run(bundle: Path) -> object:
    from moclip.predict import runtime

    runtime.MOST_S = 2.0
    known = runtime.Networks(clip=None, motion=None, missing={}, files={"motion.onnx": _digest(bundle)})
    network = runtime.Network.of(bundle / "onnx", "motion", known)
    return network(np.ones((1, ROWS), np.float32))


def _reported(bench: Bench) -> Outcome:
    code = "import time; from moclip.predict.runtime import library; library(); time.sleep(60)"
    return answered(bench.program("-c", code, env={"PYTHONPATH": str(ROOT), "ORT_DISABLE_TELEMETRY": ""}))


def _digest(bundle: Path) -> str:
    return sha256_file(bundle / "onnx/motion.onnx")


def model(nodes: list[Any], weights: list[Any], opset: int = 17) -> bytes:
    """A graph from `x` (1, ROWS) to `y`, as a file."""
    from onnx import helper

    given = helper.make_tensor_value_info("x", 1, [1, ROWS])
    graph = helper.make_graph(nodes, "g", [given], [helper.make_tensor_value_info("y", 1, None)], weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return bytes(made.SerializeToString())


def external(place: str) -> Make:
    """A graph whose weights (ROWS, COLUMNS) lie in another file."""

    def make() -> bytes:
        from onnx import TensorProto, helper

        tensor = TensorProto(name="w", data_type=1, dims=[ROWS, COLUMNS], data_location=TensorProto.EXTERNAL)
        for key, value in (("location", place), ("offset", "0"), ("length", str(4 * ROWS * COLUMNS))):
            tensor.external_data.add(key=key, value=value)
        return model([helper.make_node("MatMul", ["x", "w"], ["y"])], [tensor])

    return make


OUTSIDE = {
    "a file below the working directory": "mine.bin",
    "a file above the working directory": "../outside/secret.txt",
    "a file by its whole path": "/etc/passwd",
    "a file by an address": "file:///etc/passwd",
    "a link of the working directory": "link.bin",
    "another file of the bundle": "../motion/model.safetensors",
    "a device": "/dev/zero",
    "the memory of the process": "*/_ORT_MEM_ADDR_/*",
}


def _constant(count: int) -> Make:
    def make() -> bytes:
        from onnx import helper

        nodes = [
            helper.make_node("ConstantOfShape", ["s"], ["c"]),
            helper.make_node("ReduceSum", ["c"], ["r"], keepdims=1),
            helper.make_node("Add", ["x", "r"], ["y"]),
        ]
        return model(nodes, [helper.make_tensor("s", 7, [1], [count])])

    return make


def _loop() -> bytes:
    from onnx import helper

    def value(name: str, kind: int) -> Any:
        return helper.make_tensor_value_info(name, kind, [] if kind != 1 else None)

    steps = [helper.make_node("Add", ["v", "v"], ["w"]), helper.make_node("Identity", ["c"], ["d"])]
    body = helper.make_graph(steps, "b", [value("i", 7), value("c", 9), value("v", 1)], [value("d", 9), value("w", 1)])
    weights = [helper.make_tensor("n", 7, [], [10**15]), helper.make_tensor("t", 9, [], [True])]
    return model([helper.make_node("Loop", ["n", "t", "x"], ["y"], body=body)], weights)


def _other(opset: int = 17, operator: str = "Identity", domain: str = "") -> Make:
    def make() -> bytes:
        from onnx import helper

        return model([helper.make_node(operator, ["x"], ["y"], domain=domain)], [], opset)

    return make


def _deep() -> bytes:
    """Fields inside each other, 100,000 deep."""
    content = b""
    for _ in range(2_000):
        size, length = len(content), b""
        while size > 127:
            length, size = length + bytes([size & 127 | 128]), size >> 7
        content = b"\x3a" + length + bytes([size]) + content
    return content


GRAPHS: dict[str, Make] = {
    "2^33 numbers out of a shape": _constant(1 << 33),
    "2^61 numbers out of a shape": _constant(1 << 61),
    "10^15 rounds of a loop": _loop,
    "a set of operators of another time": _other(opset=9_999),
    "an operator that is none": _other(operator="Evil"),
    "an operator of somebody's own": _other(operator="Run", domain="evil"),
    "what is no graph": lambda: b"\xff" * 100,
    "nothing": lambda: b"",
    "2,000 graphs inside each other": _deep,
}
