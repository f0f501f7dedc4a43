"""Weights of a file: which are found, which way round, and that replacing them changes nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hanok.errors import ModelError
from hanok.graph.weights import read_weights, replace_weights


def save(path: Path, nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray]) -> Path:
    graph = helper.make_graph(
        nodes,
        "weights",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, None)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return path


WIDEN = helper.make_node("DequantizeLinear", ["w", "s"], ["f"])
KINDS = {
    "Conv": (helper.make_node("Conv", ["x", "f"], ["y"]), (5, 3, 2, 2), 0),
    "ConvTranspose": (helper.make_node("ConvTranspose", ["x", "f"], ["y"]), (5, 3, 2, 2), 1),
    "MatMul": (helper.make_node("MatMul", ["x", "f"], ["y"]), (5, 3), 1),
    "Gemm": (helper.make_node("Gemm", ["x", "f"], ["y"]), (5, 3), 1),
    "Gemm, transposed": (helper.make_node("Gemm", ["x", "f"], ["y"], transB=1), (5, 3), 0),
}


@pytest.mark.parametrize("name", KINDS)
def test_output_channels_come_first(name: str, tmp_path: Path) -> None:
    node, shape, axis = KINDS[name]
    values = np.random.default_rng(1).integers(-128, 128, shape).astype(np.int8)
    path = save(tmp_path / "m.onnx", [WIDEN, node], {"w": values, "s": np.float32(0.1)})
    (found,) = read_weights(path)
    assert found.is_int8
    assert (found.values == np.moveaxis(values, axis, 0)).all()
    files = replace_weights(path, {"w": np.bitwise_not(found.values)})
    (tmp_path / "n.onnx").write_bytes(files["m.onnx"])
    (again,) = read_weights(tmp_path / "n.onnx")
    assert (again.values == ~found.values).all()
    assert replace_weights(path, {"w": found.values})["m.onnx"] == path.read_bytes()


def test_values_in_int32_data_are_replaced(tmp_path: Path) -> None:
    path = save(
        tmp_path / "m.onnx", [WIDEN, KINDS["MatMul"][0]], {"w": np.ones((5, 3), np.int8), "s": np.float32(1)}
    )
    model = onnx.load(path)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.int32_data.extend(range(15))
    onnx.save(model, path)
    (found,) = read_weights(path)
    assert found.values.T.ravel().tolist() == list(range(15))
    path.write_bytes(replace_weights(path, {"w": -found.values})["m.onnx"])
    assert read_weights(path)[0].values.T.ravel().tolist() == [-value for value in range(15)]


def test_other_types_are_read_as_numbers(tmp_path: Path) -> None:
    weights = {
        "a": np.array([[1.5, np.nan], [np.inf, -2]], np.float32),
        "b": np.array([[0, 255]], np.uint8),
        "c": np.array([1, 2, 3], np.int8),
        "d": np.array([[1, 2]], np.int64),
    }
    path = save(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["y"])], weights)
    first, second = read_weights(path)
    assert first.values.tolist() == [[1.5, 0], [0, -2]]
    assert second.values.tolist() == [[-128, 127]]
    assert not first.is_int8


def test_what_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(ModelError, match=r"m\.onnx"):
        read_weights(path)
