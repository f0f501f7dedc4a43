"""What a user asks of the quantiser in vain, since the model is quantised already, is said."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from hanok.flows import compile_model
from hanok.machine import Chip


def quantised_product() -> bytes:
    values = {
        "s": np.float32(0.05),
        "z": np.int8(0),
        "w": np.ones((32, 16), np.int8),
        "t": np.float32(0.1),
    }
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "s", "z"], ["a"]),
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["b"]),
        helper.make_node("MatMul", ["a", "b"], ["c"]),
        helper.make_node("QuantizeLinear", ["c", "t", "z"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "product",
        [helper.make_tensor_value_info("x", TensorProto.INT8, [2, 32])],
        [helper.make_tensor_value_info("y", TensorProto.INT8, [2, 16])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content


def test_calibration_and_weight_bits_of_a_quantised_model() -> None:
    model, edge = quantised_product(), Chip.load("edge")
    assert compile_model(model, edge).warnings == ()
    data = {"x": np.zeros((1, 2, 32), np.int8)}
    warnings = compile_model(model, edge, calibration=data, weight_bits=4).warnings
    assert warnings == (
        "the model is quantised already: the calibration data was not used",
        "the model is quantised already: weight bits were not used",
    )
