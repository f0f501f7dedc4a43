"""Operator-oriented quantised nodes (QLinearConv, QGemm ...) against ONNX Runtime's kernels."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper
from qdq_models import compare

from hanok.graph import load_model

CONTRIB = "com.microsoft"


class _Model:
    """Nodes over integer inputs x0, x1 ... with scale and zero point constants made on the way."""

    def __init__(self, unsigned: bool) -> None:
        self.kind = np.uint8 if unsigned else np.int8
        self.element_type = TensorProto.UINT8 if unsigned else TensorProto.INT8
        self.inputs: list[object] = []
        self.initializers: list[object] = []

    def constant(self, value: object, kind: object = None) -> str:
        name = f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(value, kind), name))
        return name

    def parameters(self, scale: object, zero: int = 0) -> list[str]:
        offset = 128 if self.kind is np.uint8 else 0
        return [self.constant(scale, np.float32), self.constant(zero + offset, self.kind)]

    def weight(self, content: np.ndarray, scale: object) -> list[str]:
        zeros = np.zeros(np.shape(scale), content.dtype)
        return [self.constant(content), self.constant(scale, np.float32), self.constant(zeros)]

    def input(self, *shape: int, scale: float = 0.03, zero: int = 5) -> list[str]:
        name = f"x{len(self.inputs)}"
        self.inputs.append(helper.make_tensor_value_info(name, self.element_type, shape))
        return [name, *self.parameters(scale, zero)]

    def finish(self, op_type: str, operands: list[str], domain: str = "", **attributes: object) -> ModelProto:
        node = helper.make_node(op_type, operands, ["y"], "node", domain=domain, **attributes)
        output = helper.make_tensor_value_info("y", self.element_type, None)
        graph = helper.make_graph([node], "g", self.inputs, [output], self.initializers)
        imports = [helper.make_opsetid("", 17), helper.make_opsetid(CONTRIB, 1)]
        return load_model(helper.make_model(graph, opset_imports=imports, ir_version=8).SerializeToString())


def _weights(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(-127, 128, shape).astype(np.int8)


def _scales(count: int) -> np.ndarray:
    return np.random.default_rng(1).uniform(0.001, 0.01, count).astype(np.float32)


def _bias(count: int) -> np.ndarray:
    return np.random.default_rng(2).integers(-5000, 5000, count).astype(np.int32)


def _convolution(m: _Model) -> ModelProto:
    operands = [*m.input(2, 4, 9, 9), *m.weight(_weights(6, 4, 3, 3), _scales(6)), *m.parameters(0.05, -3)]
    return m.finish("QLinearConv", [*operands, m.constant(_bias(6))], pads=[1, 0, 1, 2], strides=[2, 1])


def _matmul(m: _Model) -> ModelProto:
    return m.finish(
        "QLinearMatMul", [*m.input(3, 7, 20), *m.weight(_weights(20, 6), 0.01), *m.parameters(0.06, 4)]
    )


def _gemm(m: _Model) -> ModelProto:
    operands = [
        *m.input(7, 20),
        *m.weight(_weights(6, 20), _scales(6)),
        m.constant(_bias(6)),
        *m.parameters(0.06, 4),
    ]
    return m.finish("QGemm", operands, CONTRIB, transB=1, alpha=1.0)


def _gemm_alpha(m: _Model) -> ModelProto:
    operands = [
        *m.input(7, 20),
        *m.weight(_weights(20, 6), 0.01),
        m.constant(_bias(6)),
        *m.parameters(0.06, 4),
    ]
    return m.finish("QGemm", operands, CONTRIB, alpha=0.5)


def _add(m: _Model) -> ModelProto:
    return m.finish("QLinearAdd", [*m.input(3, 9), *m.input(1, 9, scale=0.02), *m.parameters(0.05)], CONTRIB)


def _multiply(m: _Model) -> ModelProto:
    return m.finish(
        "QLinearMul", [*m.input(3, 9), *m.input(9, scale=0.02, zero=-7), *m.parameters(0.05, 3)], CONTRIB
    )


def _global_average(m: _Model) -> ModelProto:
    operands = [*m.input(2, 6, 5, 7), *m.parameters(0.01, 3)]
    return m.finish("QLinearGlobalAveragePool", operands, CONTRIB, channels_last=0)


def _average(m: _Model) -> ModelProto:
    operands = [*m.input(2, 6, 8, 7), *m.parameters(0.02, 3)]
    return m.finish(
        "QLinearAveragePool", operands, CONTRIB, kernel_shape=[2, 3], strides=[2, 1], pads=[0, 1, 0, 1]
    )


def _concat(m: _Model) -> ModelProto:
    operands = [*m.parameters(0.05, 2), *m.input(2, 3, scale=0.04), *m.input(2, 5, scale=0.06)]
    return m.finish("QLinearConcat", operands, CONTRIB, axis=1)


def _sigmoid(m: _Model) -> ModelProto:
    return m.finish("QLinearSigmoid", [*m.input(40, 50), *m.parameters(1 / 256, -128)], CONTRIB)


def _leaky_relu(m: _Model) -> ModelProto:
    return m.finish("QLinearLeakyRelu", [*m.input(40, 50), *m.parameters(0.02, 3)], CONTRIB, alpha=0.2)


def _softmax(m: _Model) -> ModelProto:
    return m.finish(
        "QLinearSoftmax", [*m.input(6, 30), *m.parameters(1 / 256, -128)], CONTRIB, axis=-1, opset=13
    )


KNOWN = {
    "QLinearConv": (_convolution, ["CONV"], 0),
    "QLinearMatMul": (_matmul, ["MATMUL"], 0),
    "QGemm": (_gemm, ["MATMUL"], 0),
    "QGemm with alpha": (_gemm_alpha, ["MATMUL"], 1),
    "QLinearAdd": (_add, ["ADD"], 0),
    "QLinearMul": (_multiply, ["MUL"], 0),
    "QLinearGlobalAveragePool": (_global_average, ["AVERAGE_POOL"], 0),
    "QLinearAveragePool": (_average, ["AVERAGE_POOL"], 1),
    "QLinearConcat": (_concat, ["LOOKUP", "LOOKUP", "CONCAT"], 0),
    "QLinearSigmoid": (_sigmoid, ["LOOKUP"], 1),
    "QLinearLeakyRelu": (_leaky_relu, ["LOOKUP"], 1),
    "QLinearSoftmax": (_softmax, ["SOFTMAX"], 1),
}


@pytest.mark.parametrize("unsigned", [False, True], ids=["int8", "uint8"])
@pytest.mark.parametrize("name", KNOWN)
def test_known(name: str, unsigned: bool) -> None:
    build, operators, steps = KNOWN[name]
    found = compare(build(_Model(unsigned)), 3)
    assert found.operators() == operators
    assert found.integer_steps <= steps


def test_integer_products_stay_on_the_host() -> None:
    m = _Model(True)
    x = m.input(3, 8)
    node = helper.make_node("MatMulInteger", [x[0], m.constant(_weights(8, 4)), x[2]], ["y"], "node")
    output = helper.make_tensor_value_info("y", TensorProto.INT32, None)
    graph = helper.make_graph([node], "g", m.inputs, [output], m.initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    found = compare(load_model(model.SerializeToString()))
    assert (found.on_host, found.integer_mismatches) == (["MatMulInteger"], 0)


def test_an_unknown_contrib_operator_is_an_error() -> None:
    from hanok.errors import UnsupportedError
    from hanok.graph import import_graph

    m = _Model(True)
    model = m.finish("QLinearNothing", m.input(3, 8), CONTRIB)
    with pytest.raises(UnsupportedError, match="QLinearNothing 'node' of domain"):
        import_graph(model)
