"""Host models: every int8 node in float equals its reference, and whole graphs run as one host model."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from qdq_models import QdqModel, random_feeds

from hanok.graph import DType, Graph, Operator, host_model, import_graph, run_onnxruntime, run_reference


def _everything() -> Graph:
    """One model with every operator of the typed graph and some of the host's."""
    rng = np.random.default_rng(0)
    q = QdqModel(opset=19, ir_version=9)

    def again(value: str, scale: float = 0.05, zero: int = -3) -> str:
        return q.dequantize(q.quantize(value, scale, zero), scale, zero)

    def weights(*shape: int) -> np.ndarray:
        return rng.integers(-127, 128, shape).astype(np.int8)

    x = q.input((1, 4, 8, 8), 0.05, -3)
    channels = rng.uniform(0.005, 0.01, 8)
    a = again(
        q.apply("Conv", [x, q.weight(weights(8, 4, 3, 3), channels, 0, 0)], pads=[1, 1, 1, 1], strides=[2, 2])
    )
    clipped = q.apply("Clip", [a, q.constant(np.float32(-1)), q.constant(np.float32(2))])
    b = again(q.apply("ConvTranspose", [again(clipped), q.weight(weights(8, 4, 2, 2), 0.01)], strides=[2, 2]))
    c = again(q.apply("Relu", [q.apply("Add", [x, b])]), 0.06, -100)
    d = again(q.apply("Sub", [c, x]))
    e = again(q.apply("Mul", [d, b]))
    f = again(q.apply("Div", [e, q.weight(np.array([40], np.int8), 0.05)]))
    g = again(q.apply("Sigmoid", [f]), 1 / 256, -128)
    h = q.apply("MaxPool", [g], kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2])
    h = again(h, 1 / 256, -128)
    i = again(q.apply("AveragePool", [h], kernel_shape=[2, 2], strides=[2, 2]), 1 / 256, -128)
    scales = q.constant(np.array([1, 1, 2, 2], np.float32))
    j = again(q.apply("Resize", [i, "", scales], mode="linear"), 1 / 256, -128)
    k = again(q.apply("Concat", [h, j], axis=1), 1 / 256, -128)
    k = again(q.apply("Pad", [k, q.constant(np.array([0, 0, 1, 0, 0, 0, 0, 1]))]), 1 / 256, -128)
    k = again(q.apply("Transpose", [k], perm=[0, 2, 3, 1]), 1 / 256, -128)
    k = again(q.apply("Reshape", [k, q.constant(np.array([1, 25, 8]))]), 1 / 256, -128)
    ends = [q.constant(np.array(value)) for value in ([24], [3], [1], [-2])]
    k = again(q.apply("Slice", [k, *ends]), 1 / 256, -128)
    k = again(q.apply("LayerNormalization", [k, q.constant(np.ones(8, np.float32))]))
    k = again(q.apply("LpNormalization", [k]))
    m = again(q.apply("MatMul", [k, q.weight(weights(8, 6), rng.uniform(0.01, 0.02, 6), 0, 1)]))
    n = again(q.apply("MatMul", [m, again(q.apply("Transpose", [m], perm=[0, 2, 1]))]), 0.3)
    o = again(q.apply("Softmax", [n]), 1 / 256, -128)
    q.output(q.apply("ReduceMean", [o, q.constant(np.array([1]))]), 1 / 512, -128)
    return import_graph(q.model())


def _real(graph: Graph, name: str, stored: np.ndarray) -> np.ndarray:
    tensor = graph.tensor(name)
    if tensor.dtype is not DType.INT8:
        return stored
    assert tensor.quantization is not None
    return (stored.astype(np.int32) - tensor.quantization.scalar_zero).astype(
        np.float32
    ) * tensor.quantization.scalar_scale


def test_the_model_has_every_operator() -> None:
    assert {node.operator for node in _everything().nodes} == set(Operator)


def test_every_node_on_the_host_is_its_reference_within_one_step() -> None:
    graph = _everything()
    values = run_reference(graph, random_feeds(graph, 0), every_tensor=True)
    for node in graph.nodes:
        feeds = {n: _real(graph, n, values[n]) for n in node.inputs if graph.tensor(n).data is None}
        content = host_model(graph, [node])
        assert [value.name for value in onnx.load_from_string(content).graph.input] == list(feeds)
        results = run_onnxruntime(content, feeds, optimise=False)
        assert list(results) == list(node.outputs)
        for name, result in results.items():
            tensor = graph.tensor(name)
            step = tensor.quantization.scalar_scale if tensor.quantization else 1e-6
            np.testing.assert_allclose(result, _real(graph, name, values[name]), atol=1.001 * step)


def test_a_whole_graph_is_one_host_model() -> None:
    graph = _everything()
    feeds = random_feeds(graph, 1)
    values = run_reference(graph, feeds, every_tensor=True)
    content = host_model(graph, graph.nodes)
    (result,) = run_onnxruntime(content, {n: _real(graph, n, values[n]) for n in graph.inputs}).values()
    np.testing.assert_allclose(
        result, _real(graph, graph.outputs[0], values[graph.outputs[0]]), atol=2.1 / 512
    )


def test_borders_of_a_part() -> None:
    graph = _everything()
    part = graph.nodes[3:9]
    model = onnx.load_from_string(host_model(graph, part))
    made = {name for node in part for name in node.outputs}
    assert not {value.name for value in model.graph.input} & made
    assert {value.name for value in model.graph.output} <= made
    onnx.checker.check_model(model)


@pytest.mark.parametrize("every_tensor", [False, True])
def test_unsigned_graph_borders_keep_onnx_values(every_tensor: bool) -> None:
    q = QdqModel(unsigned=True)
    q.output(q.apply("Relu", [q.input((4,), 0.5, 128)]), 0.5, 128)
    graph = import_graph(q.model())
    feeds = {"x0": np.array([0, 127, 128, 255], np.uint8)}
    result = run_reference(graph, feeds, every_tensor=every_tensor)[graph.outputs[0]]
    assert result.dtype == (np.int8 if every_tensor else np.uint8)
    assert (result.astype(int) + (128 if every_tensor else 0)).tolist() == [128, 128, 128, 255]
