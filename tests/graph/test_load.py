"""Damaged and hostile models: each is refused with a message, quickly and in little memory."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper
from qdq_models import QdqModel

from hanok.errors import HanokError, ModelError, UnsupportedError
from hanok.graph import import_graph, load_model

FLOAT = TensorProto.FLOAT


def _model(**changes: object) -> ModelProto:
    """y = Relu(x + c), with the named parts of the graph replaced."""
    parts: dict[str, list[object]] = {
        "nodes": [
            helper.make_node("Add", ["x", "c"], ["a"], "add"),
            helper.make_node("Relu", ["a"], ["y"], "relu"),
        ],
        "inputs": [helper.make_tensor_value_info("x", FLOAT, [2, 3])],
        "outputs": [helper.make_tensor_value_info("y", FLOAT, [2, 3])],
        "constants": [numpy_helper.from_array(np.ones((2, 3), np.float32), "c")],
        "functions": [],
    }
    opset = changes.pop("opset", 17)
    ir_version = changes.pop("ir_version", 8)
    domains = changes.pop("domains", {})
    parts.update(changes)  # type: ignore[arg-type]
    graph = helper.make_graph(parts["nodes"], "g", parts["inputs"], parts["outputs"], parts["constants"])
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(name, 1) for name in domains)]
    return helper.make_model(
        graph, opset_imports=imports, ir_version=ir_version, functions=parts["functions"]
    )


def _load(model: ModelProto) -> ModelProto:
    return load_model(model.SerializeToString())


def _node(op_type: str, inputs: list[str], outputs: list[str], **attributes: object) -> object:
    return helper.make_node(op_type, inputs, outputs, **attributes)


def test_a_good_model_loads_from_bytes_and_path(tmp_path: Path) -> None:
    model = _model()
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    assert _load(model) == load_model(path) == load_model(str(path)) == model


@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 100, b"not a model at all", b"\xff" * 1000, os.urandom(0) + b"\x0a"]
)
def test_garbage(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        load_model(content)
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError):
        load_model(path)


def test_every_truncation_and_bit_flip_is_an_error_or_a_model() -> None:
    q = QdqModel()
    x = q.input((1, 2, 4, 4), 0.1)
    w = q.weight(np.ones((2, 2, 1, 1), np.int8), np.array([0.1, 0.2]), 0, 0)
    q.output(q.apply("Conv", [x, w], group=1), 0.1)
    content = q.model().SerializeToString()
    rng = np.random.default_rng(0)
    damaged = [content[:length] for length in range(0, len(content), 7)]
    for _ in range(500):
        flipped = bytearray(content)
        flipped[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
        damaged.append(bytes(flipped))
    for one in damaged:
        start = time.perf_counter()
        with contextlib.suppress(HanokError):
            import_graph(load_model(one))
        assert time.perf_counter() - start < 2


def test_no_such_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file"):
        load_model(tmp_path / "missing.onnx")
    with pytest.raises(ModelError, match="no such file"):
        load_model(tmp_path)


def _cycle() -> ModelProto:
    return _model(
        nodes=[_node("Add", ["x", "b"], ["a"]), _node("Relu", ["a"], ["b"]), _node("Exp", ["b"], ["y"])]
    )


def _nested(depth: int) -> ModelProto:
    body = helper.make_graph(
        [_node("Relu", ["x"], ["r"])], "b", [], [helper.make_tensor_value_info("r", FLOAT, [2, 3])]
    )
    for _ in range(depth):
        node = _node("If", ["flag"], ["r"], then_branch=body, else_branch=body)
        body = helper.make_graph([node], "b", [], [helper.make_tensor_value_info("r", FLOAT, [2, 3])])
        node.attribute.pop()
        node.attribute.append(helper.make_attribute("else_branch", helper.make_graph([], "e", [], [])))
    return _model(nodes=[*body.node, _node("Relu", ["r"], ["y"])])


def _scaled(scale: float, as_node: bool = False) -> ModelProto:
    nodes = [
        _node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        _node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    constants = [numpy_helper.from_array(np.zeros((), np.int8), "z")]
    value = numpy_helper.from_array(np.array(scale, np.float32), "s")
    if as_node:
        nodes.insert(0, _node("Constant", [], ["s"], value=value))
    else:
        constants.append(value)
    return _model(nodes=nodes, constants=constants)


def _tensor(dims: list[int], data_type: int = FLOAT, raw: bytes = b"") -> TensorProto:
    return TensorProto(name="c", dims=dims, data_type=data_type, raw_data=raw)


def _recursive_function() -> ModelProto:
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    call = helper.make_node("F", ["a"], ["b"], domain="mine")
    function = helper.make_function("mine", "F", ["a"], ["b"], [call], imports)
    return _model(
        nodes=[helper.make_node("F", ["x"], ["y"], domain="mine")], functions=[function], domains={"mine": 1}
    )


BAD: dict[str, tuple[Callable[[], ModelProto], str]] = {
    "cycle": (_cycle, "cycle through"),
    "self loop": (lambda: _model(nodes=[_node("Add", ["x", "y"], ["y"])]), "cycle through Add 'y'"),
    "undefined input": (
        lambda: _model(nodes=[_node("Add", ["x", "ghost"], ["y"])]),
        "reads 'ghost', which nothing",
    ),
    "undefined output": (
        lambda: _model(outputs=[helper.make_tensor_value_info("ghost", FLOAT, [1])]),
        "output 'ghost' is made by no node",
    ),
    "duplicate tensor": (
        lambda: _model(nodes=[_node("Relu", ["x"], ["y"]), _node("Exp", ["x"], ["y"])]),
        "node output 'y' is defined twice",
    ),
    "duplicate initializer": (
        lambda: _model(constants=[_model().graph.initializer[0]] * 2),
        "initializer 'c'",
    ),
    "output shadows input": (
        lambda: _model(nodes=[_node("Relu", ["x"], ["x"]), _node("Exp", ["x"], ["y"])]),
        "'x' is made",
    ),
    "duplicate node name": (
        lambda: _model(nodes=[_node("Relu", ["x"], ["a"], name="n"), _node("Exp", ["a"], ["y"], name="n")]),
        "two nodes are called 'n'",
    ),
    "unknown operator": (
        lambda: _model(nodes=[_node("Reluu", ["x"], ["y"])]),
        "no operator of ONNX opset 17",
    ),
    "operator of a later opset": (
        lambda: _model(nodes=[_node("Gelu", ["x"], ["y"])]),
        "no operator of ONNX opset 17",
    ),
    "unknown domain": (lambda: _model(nodes=[_node("Relu", ["x"], ["y"], domain="acme")]), "domain 'acme'"),
    "too many inputs": (lambda: _model(nodes=[_node("Relu", ["x", "c"], ["y"])]), "Relu 'y'"),
    "unknown attribute": (lambda: _model(nodes=[_node("Relu", ["x"], ["y"], alpha=3)]), "alpha"),
    "attribute of a wrong type": (lambda: _model(nodes=[_node("Softmax", ["x"], ["y"], axis=1.5)]), "axis"),
    "no nodes": (lambda: _model(nodes=[]), "no nodes or no outputs"),
    "old IR": (lambda: _model(ir_version=2), "IR version 2; allowed: 3.."),
    "new IR": (lambda: _model(ir_version=99), "IR version 99; allowed: 3.."),
    "new opset": (lambda: _model(opset=999), "opset 999; allowed: 1.."),
    "scale NaN": (lambda: _scaled(float("nan")), "scale nan; allowed: finite numbers above zero"),
    "scale inf": (lambda: _scaled(float("inf")), "scale inf"),
    "scale zero": (lambda: _scaled(0.0), "scale 0.0"),
    "scale negative": (lambda: _scaled(-1.0, as_node=True), "scale -1.0"),
    "dimensions overflow": (lambda: _model(constants=[_tensor([1 << 40, 1 << 40])]), "needs"),
    "dimensions overflow to zero": (
        lambda: _model(constants=[_tensor([1 << 32, 1 << 32], raw=b"1234")]),
        "needs",
    ),
    "dimension negative": (lambda: _model(constants=[_tensor([-4], raw=b"x" * 16)]), r"shape \[-4\]"),
    "data too short": (
        lambda: _model(constants=[_tensor([2, 3], raw=b"x" * 20)]),
        "needs 24 bytes; its data has 20",
    ),
    "numbers missing": (
        lambda: _model(constants=[TensorProto(name="c", dims=[1 << 20], data_type=FLOAT, float_data=[1.0])]),
        "needs 1048576 numbers; found 1",
    ),
    "element type unknown": (lambda: _model(constants=[_tensor([2], 77, b"12")]), "element type 77"),
    "input negative": (lambda: _model(inputs=[helper.make_tensor_value_info("x", FLOAT, [-7])]), "shape"),
    "input huge": (
        lambda: _model(inputs=[helper.make_tensor_value_info("x", FLOAT, [1 << 31, 1 << 31])]),
        "at most",
    ),
    "recursive function": (_recursive_function, "calls itself"),
    "external data in bytes": (
        lambda: _model(
            constants=[TensorProto(name="c", dims=[6], data_type=FLOAT, data_location=TensorProto.EXTERNAL)]
        ),
        "lies in another file",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_model(name: str) -> None:
    build, message = BAD[name]
    start = time.perf_counter()
    with pytest.raises((ModelError, UnsupportedError), match=message):
        _load(build())
    assert time.perf_counter() - start < 2


def test_deep_subgraphs() -> None:
    with pytest.raises(ModelError, match=r"nested deeper|defines|no nodes"):
        _load(_nested(12))


def test_shapes_that_do_not_fit_are_found_at_import() -> None:
    model = _load(_model(nodes=[_node("MatMul", ["x", "c"], ["y"])]))
    with pytest.raises(ModelError, match="shapes do not fit"):
        import_graph(model)


def test_constants_that_would_explode_are_not_folded() -> None:
    nodes = [
        _node("ConstantOfShape", ["shape"], ["big"]),
        _node("ReduceSum", ["big"], ["s"], keepdims=0),
        _node("Add", ["x", "s"], ["y"]),
    ]
    shape = numpy_helper.from_array(np.array([1 << 20, 1 << 20], np.int64), "shape")
    model = _load(_model(nodes=nodes, constants=[shape]))
    start = time.perf_counter()
    with pytest.raises(ModelError, match="at most"):
        import_graph(model)
    assert time.perf_counter() - start < 2


def test_folding_has_a_budget() -> None:
    """Constants that grow step by step, and products of them, are left to the host."""
    nodes = [_node("ConstantOfShape", ["shape"], ["b0"])]
    nodes += [_node("Concat", [f"b{i}", f"b{i}"], [f"b{i + 1}"], axis=0) for i in range(12)]
    nodes += [_node("MatMul", ["b2", "b2t"], ["m"]), _node("Transpose", ["b2"], ["b2t"])]
    nodes += [_node("ReduceSum", ["b12"], ["s"], keepdims=0), _node("ReduceSum", ["m"], ["t"], keepdims=0)]
    nodes += [_node("Add", ["x", "s"], ["a"]), _node("Add", ["a", "t"], ["y"])]
    shape = numpy_helper.from_array(np.array([1000, 200], np.int64), "shape")
    model = _load(_model(nodes=nodes, constants=[shape]))
    start = time.process_time()
    graph = import_graph(model)
    assert time.process_time() - start < 2
    assert sum(t.data.nbytes for t in graph.tensors.values() if t.data is not None) < 300 << 20
    assert "MatMul" in [one.onnx_type for one in graph.nodes]


def test_scale_of_a_quantised_operator_is_checked_at_import() -> None:
    constants = {
        "xs": np.array(0.1, np.float32),
        "xz": np.array(0, np.uint8),
        "w": np.ones((3, 2), np.int8),
        "ws": np.array(np.nan, np.float32),
        "wz": np.array(0, np.int8),
        "ys": np.array(0.1, np.float32),
    }
    node = _node("QLinearMatMul", ["x", "xs", "xz", "w", "ws", "wz", "ys", "xz"], ["y"])
    model = _model(
        nodes=[node],
        inputs=[helper.make_tensor_value_info("x", TensorProto.UINT8, [2, 3])],
        outputs=[helper.make_tensor_value_info("y", TensorProto.UINT8, None)],
        constants=[numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    with pytest.raises(ModelError, match="scale nan"):
        import_graph(_load(model))


def test_old_opsets_are_converted() -> None:
    nodes = [
        _node("Unsqueeze", ["x"], ["u"], axes=[0]),
        _node("Squeeze", ["u"], ["s"], axes=[0]),
        _node("Relu", ["s"], ["y"]),
    ]
    model = _load(_model(nodes=nodes, constants=[], opset=11))
    assert model.opset_import[0].version == 13
    assert [node.onnx_type for node in import_graph(model).nodes] == ["Relu"]


def test_unsorted_nodes_are_sorted() -> None:
    nodes = [
        helper.make_node("Relu", ["a"], ["y"], "relu"),
        helper.make_node("Add", ["x", "c"], ["a"], "add"),
    ]
    assert [node.name for node in _load(_model(nodes=nodes)).graph.node] == ["add", "relu"]


def test_local_functions_are_inlined() -> None:
    imports = [helper.make_opsetid("", 17)]
    double = helper.make_function(
        "mine", "Double", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])], imports
    )
    nodes = [helper.make_node("Double", ["x"], ["d"], domain="mine"), helper.make_node("Relu", ["d"], ["y"])]
    model = _load(_model(nodes=nodes, functions=[double], domains={"mine": 1}))
    assert [node.op_type for node in model.graph.node] == ["Add", "Relu"]


def _with_location(folder: Path, location: str, **entries: str) -> Path:
    tensor = TensorProto(name="c", dims=[2, 3], data_type=FLOAT, data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=value)
    path = folder / "model.onnx"
    path.write_bytes(_model(constants=[tensor]).SerializeToString())
    return path


def test_external_data_inside_the_folder(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    content = np.arange(8, dtype=np.float32)
    (tmp_path / "data" / "weights.bin").write_bytes(content.tobytes())
    model = load_model(_with_location(tmp_path, "data/weights.bin", offset="8", length="24"))
    np.testing.assert_array_equal(numpy_helper.to_array(model.graph.initializer[0]).reshape(-1), content[2:])


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("../secret.bin", "without '..'"),
        ("/etc/passwd", "relative path"),
        ("a/../../secret.bin", "without '..'"),
        ("", "relative path"),
        ("C:\\secret.bin", "relative path"),
        ("..\\secret.bin", "relative path"),
        ("link.bin", "symbolic link"),
        ("folder/secret.bin", "symbolic link"),
        ("hard.bin", "hard link"),
        ("missing.bin", "no file"),
        (".", "relative path|no file"),
        ("short.bin", "are wanted"),
        ("pipe", "no file"),
    ],
)
def test_external_data_outside_is_refused(location: str, message: str, tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    for name in ("secret.bin", "hard.bin"):
        (outside / name).write_bytes(b"x" * 24)
    (inside / "link.bin").symlink_to(outside / "secret.bin")
    (inside / "folder").symlink_to(outside)
    os.link(outside / "hard.bin", inside / "hard.bin")
    (inside / "short.bin").write_bytes(b"x" * 20)
    os.mkfifo(inside / "pipe")
    with pytest.raises(ModelError, match=message):
        load_model(_with_location(inside, location))


@pytest.mark.parametrize(
    "entries",
    [{"offset": "-8"}, {"offset": "1e3"}, {"length": "25"}, {"length": "9" * 30}, {"offset": "9" * 18}],
)
def test_external_data_with_bad_extent(entries: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(b"x" * 100)
    with pytest.raises(ModelError, match=r"whole number|needs 24|are wanted"):
        load_model(_with_location(tmp_path, "w.bin", **entries))


def _field(number: int, content: bytes) -> bytes:
    length = len(content)
    head = bytearray([(number << 3) | 2])
    while length > 127:
        head.append(length & 127 | 128)
        length >>= 7
    head.append(length)
    return bytes(head) + content


BOMBS: dict[str, Callable[[], bytes]] = {
    "empty nodes": lambda: b"\x08\x08" + _field(7, b"\x0a\x00" * 20_000_000),
    "empty strings": lambda: b"\x08\x08" + _field(7, _field(5, b"\x32\x00" * 20_000_000)),
    "packed numbers": lambda: b"\x08\x08" + _field(7, _field(5, _field(7, b"\x01" * 60_000_000))),
    "dimensions": lambda: b"\x08\x08" + _field(7, _field(5, _field(1, b"\x01" * 60_000_000))),
    "nesting": lambda: _nest(5000),
    "raw data without shape": lambda: (
        b"\x08\x08" + _field(7, _field(5, b"\x10\x01" + _field(9, b"\x01" * 60_000_000)))
    ),
}


def _nest(depth: int) -> bytes:
    content = b""
    for _ in range(depth):
        content = _field(1, _field(5, _field(6, content)))
    return b"\x08\x08" + _field(7, content)


@pytest.mark.parametrize("name", BOMBS)
def test_protobuf_bombs(name: str, tmp_path: Path) -> None:
    path = tmp_path / "bomb.onnx"
    path.write_bytes(BOMBS[name]())
    script = (
        "import sys, time\n"
        "from hanok.errors import ModelError\n"
        "from hanok.graph import load_model\n"
        "import hanok.graph.load\n"
        "start = time.process_time()\n"
        "try:\n    load_model(sys.argv[1])\nexcept ModelError:\n    pass\n"
        "else:\n    sys.exit('was loaded')\n"
        "print(time.process_time() - start)\n"
        "print(*[line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
    )
    seconds, peak_kib = (float(word) for word in done.stdout.split())
    assert seconds < 2
    assert peak_kib < 512 << 10


def test_importing_the_package_is_cheap() -> None:
    script = "import sys, hanok.graph; print('onnx' in sys.modules, 'onnxruntime' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_versions_of_this_installation() -> None:
    assert onnx.defs.onnx_opset_version() >= 23
