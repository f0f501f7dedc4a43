"""The reference against ONNX Runtime, operator by operator, on seeded random QDQ models."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from qdq_models import QdqModel, compare

Build = Callable[[QdqModel, np.random.Generator], None]


def _zero(q: QdqModel, rng: np.random.Generator, span: int = 20) -> int:
    return int(rng.integers(-span, span)) + (128 if q.kind is np.uint8 else 0)


def _scale(rng: np.random.Generator, low: float = 0.01, high: float = 0.1) -> float:
    return float(rng.uniform(low, high))


def _input(q: QdqModel, rng: np.random.Generator, *shape: int) -> str:
    return q.input(shape, _scale(rng), _zero(q, rng))


def _output(q: QdqModel, rng: np.random.Generator, value: str, low: float = 0.02, high: float = 0.1) -> None:
    q.output(value, _scale(rng, low, high), _zero(q, rng))


def _weights(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.integers(-127, 128, shape).astype(np.int8)


def _convolution(q: QdqModel, rng: np.random.Generator) -> None:
    group = int(rng.choice([1, 2, 4]))
    x = _input(q, rng, 2, 8, 13, 15)
    w = q.weight(_weights(rng, 16, 8 // group, 3, 2), rng.uniform(0.001, 0.01, 16), 0, 0)
    bias = q.constant(rng.normal(0, 1, 16).astype(np.float32))
    pads = [int(size) for size in rng.integers(0, 3, 4)]
    strides, dilations = ([int(size) for size in rng.integers(1, 3, 2)] for _ in range(2))
    y = q.apply("Conv", [x, w, bias], group=group, strides=strides, dilations=dilations, pads=pads)
    _output(q, rng, y)


def _convolution_integer_bias(q: QdqModel, rng: np.random.Generator) -> None:
    scale_x, scale_w = np.float32(_scale(rng)), rng.uniform(0.001, 0.01, 16).astype(np.float32)
    x = q.input((1, 8, 9, 9), float(scale_x), _zero(q, rng))
    w = q.weight(_weights(rng, 16, 8, 3, 3), scale_w, 0, 0)
    bias = q.weight(rng.integers(-3000, 3000, 16).astype(np.int32), scale_x * scale_w, 0, 0)
    _output(q, rng, q.apply("Conv", [x, w, bias], auto_pad="SAME_UPPER", strides=[2, 2]))


def _convolution_asymmetric_weights(q: QdqModel, rng: np.random.Generator) -> None:
    x = _input(q, rng, 1, 4, 9, 9)
    w = q.weight(rng.integers(0, 256, (6, 4, 3, 3)).astype(np.uint8), 0.01, 131)
    _output(q, rng, q.apply("Conv", [x, w], auto_pad="SAME_LOWER", strides=[2, 1]), 0.1, 0.2)


def _depthwise(q: QdqModel, rng: np.random.Generator) -> None:
    x = _input(q, rng, 1, 12, 10, 9)
    w = q.weight(_weights(rng, 12, 1, 3, 3), rng.uniform(0.005, 0.02, 12), 0, 0)
    _output(q, rng, q.apply("Relu", [q.apply("Conv", [x, w], group=12, pads=[1, 1, 1, 1])]))


def _convolution_1d(q: QdqModel, rng: np.random.Generator) -> None:
    x = _input(q, rng, 2, 6, 31)
    w = q.weight(_weights(rng, 8, 3, 5), rng.uniform(0.001, 0.01, 8), 0, 0)
    _output(q, rng, q.apply("Conv", [x, w], group=2, strides=[2], dilations=[2], pads=[3, 1]))


def _gemm(q: QdqModel, rng: np.random.Generator) -> None:
    transposed = int(rng.integers(0, 2))
    x = _input(q, rng, 5, 40)
    shape = (24, 40) if transposed else (40, 24)
    w = q.weight(_weights(rng, *shape), rng.uniform(0.005, 0.01, 24), 0, 0 if transposed else 1)
    bias = q.constant(rng.normal(0, 1, 24).astype(np.float32))
    _output(q, rng, q.apply("Gemm", [x, w, bias], transB=transposed))


def _matmul(q: QdqModel, rng: np.random.Generator) -> None:
    x = _input(q, rng, 2, 5, 40)
    w = q.weight(_weights(rng, 40, 24), rng.uniform(0.005, 0.01, 24), 0, 1)
    _output(q, rng, q.apply("MatMul", [x, w]))


def _matmul_of_activations(q: QdqModel, rng: np.random.Generator) -> None:
    a, b = _input(q, rng, 2, 3, 5, 40), _input(q, rng, 2, 3, 40, 24)
    _output(q, rng, q.apply("MatMul", [a, b]), 0.2, 0.4)


def _matmul_constant_first(q: QdqModel, rng: np.random.Generator) -> None:
    w = q.weight(_weights(rng, 24, 40), rng.uniform(0.005, 0.01, 24), 0, 0)
    _output(q, rng, q.apply("MatMul", [w, _input(q, rng, 2, 40, 5)]))


def _binary(op_type: str, first: tuple[int, ...], second: tuple[int, ...]) -> Build:
    def build(q: QdqModel, rng: np.random.Generator) -> None:
        a, b = _input(q, rng, *first), _input(q, rng, *second)
        _output(q, rng, q.apply(op_type, [a, b]))

    return build


def _binary_constant(op_type: str) -> Build:
    def build(q: QdqModel, rng: np.random.Generator) -> None:
        a = _input(q, rng, 3, 5, 41)
        b = q.weight(rng.integers(1, 100, (5, 1)).astype(q.kind), _scale(rng))
        _output(q, rng, q.apply(op_type, [b, a] if op_type in ("Add", "Mul") else [a, b]))

    return build


def _pool(op_type: str, shape: tuple[int, ...], **attributes: object) -> Build:
    def build(q: QdqModel, rng: np.random.Generator) -> None:
        scale, zero = _scale(rng), _zero(q, rng)
        y = q.apply(op_type, [q.input(shape, scale, zero)], **attributes)
        q.output(y, scale if "Max" in op_type else _scale(rng, 0.01, 0.05), zero)

    return build


def _reduce_mean(q: QdqModel, rng: np.random.Generator) -> None:
    x = _input(q, rng, 2, 6, 14, 15)
    _output(q, rng, q.apply("ReduceMean", [x], axes=[2, -1], keepdims=int(rng.integers(0, 2))), 0.01, 0.02)


def _softmax(axis: int) -> Build:
    def build(q: QdqModel, rng: np.random.Generator) -> None:
        x = q.input((3, 17, 40), _scale(rng, 0.02, 0.2), _zero(q, rng))
        q.output(q.apply("Softmax", [x], axis=axis), 1 / 256, 0 if q.kind is np.uint8 else -128)

    return build


def _concat(q: QdqModel, rng: np.random.Generator) -> None:
    parts = [_input(q, rng, 3, size, 4) for size in (5, 7, 1)]
    _output(q, rng, q.apply("Concat", parts, axis=1))


def _concat_equal_scales(q: QdqModel, rng: np.random.Generator) -> None:
    scale, zero = _scale(rng), _zero(q, rng)
    parts = [q.input((3, 5, 4), scale, zero), q.input((3, 2, 4), scale, zero)]
    q.output(q.apply("Concat", parts, axis=-2), scale, zero)


def _moved(
    op_type: str, *operands: object, outputs: int = 1, rescale: bool = False, **attributes: object
) -> Build:
    shape = (2, 8, 6, 4)

    def build(q: QdqModel, rng: np.random.Generator) -> None:
        scale, zero = _scale(rng), _zero(q, rng)
        constants = [q.constant(np.asarray(operand)) for operand in operands]
        y = q.apply(op_type, [q.input(shape, scale, zero), *constants], outputs, **attributes)
        names = list(q.nodes[-1].output)
        assert names[0] == y
        for name in names:
            if rescale:
                _output(q, rng, name)
            else:
                q.output(name, scale, zero)

    return build


def _pad(q: QdqModel, rng: np.random.Generator) -> None:
    x = _input(q, rng, 2, 3, 5, 6)
    pads = q.constant(np.array([0, 1, 2, 0, 0, 0, 1, 3], np.int64))
    _output(q, rng, q.apply("Pad", [x, pads, q.constant(np.float32(0.7))]))


EXACT: dict[str, tuple[Build, list[str]]] = {
    "convolution": (_convolution, ["CONV"]),
    "convolution, int32 bias, SAME_UPPER": (_convolution_integer_bias, ["CONV"]),
    "depthwise and Relu": (_depthwise, ["CONV"]),
    "convolution 1-D": (_convolution_1d, ["RESHAPE", "CONV", "RESHAPE"]),
    "gemm": (_gemm, ["MATMUL"]),
    "matmul": (_matmul, ["MATMUL"]),
    "matmul of activations": (_matmul_of_activations, ["MATMUL"]),
    "mul": (_binary("Mul", (3, 50, 41), (3, 50, 41)), ["MUL"]),
    "mul, broadcast": (_binary("Mul", (41,), (3, 50, 41)), ["MUL"]),
    "sub": (_binary("Sub", (3, 50, 41), (50, 1)), ["SUB"]),
    "div": (_binary_constant("Div"), ["DIV"]),
    "max pool": (
        _pool("MaxPool", (2, 6, 14, 15), kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1]),
        ["MAX_POOL"],
    ),
    "max pool, ceil_mode": (
        _pool("MaxPool", (2, 6, 14, 15), kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
        ["MAX_POOL"],
    ),
    "max pool 1-D": (
        _pool("MaxPool", (2, 6, 15), kernel_shape=[3], strides=[2], dilations=[2]),
        ["RESHAPE", "MAX_POOL", "RESHAPE"],
    ),
    "global max pool": (_pool("GlobalMaxPool", (2, 6, 14, 15)), ["MAX_POOL"]),
    "average pool": (
        _pool("AveragePool", (2, 6, 14, 15), kernel_shape=[3, 2], strides=[2, 1], pads=[1, 1, 1, 0]),
        ["AVERAGE_POOL"],
    ),
    "average pool, padding counted": (
        _pool("AveragePool", (2, 6, 14, 15), kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1),
        ["AVERAGE_POOL"],
    ),
    "average pool, ceil_mode": (
        _pool("AveragePool", (2, 6, 14, 15), kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
        ["AVERAGE_POOL"],
    ),
    "global average pool": (_pool("GlobalAveragePool", (2, 60, 14, 15)), ["AVERAGE_POOL"]),
    "concat": (_concat, ["LOOKUP", "LOOKUP", "LOOKUP", "CONCAT"]),
    "concat, equal scales": (_concat_equal_scales, ["CONCAT"]),
    "reshape": (_moved("Reshape", np.array([4, -1, 6], np.int64)), ["RESHAPE"]),
    "reshape, new scale": (
        _moved("Reshape", np.array([4, -1], np.int64), rescale=True),
        ["RESHAPE", "LOOKUP"],
    ),
    "flatten": (_moved("Flatten", axis=2), ["RESHAPE"]),
    "unsqueeze": (_moved("Unsqueeze", np.array([0, 3], np.int64)), ["RESHAPE"]),
    "transpose": (_moved("Transpose", perm=[0, 2, 3, 1]), ["TRANSPOSE"]),
    "transpose, default": (_moved("Transpose"), ["TRANSPOSE"]),
    "slice": (
        _moved("Slice", np.array([-3, 1]), np.array([-10, 100]), np.array([1, 3]), np.array([-1, 2])),
        ["SLICE"],
    ),
    "gather of one index": (_moved("Gather", np.array(-2), axis=1), ["SLICE", "RESHAPE"]),
    "gather at equal steps": (
        _moved("Gather", np.array([5, 3, 1]), axis=2, rescale=True),
        ["SLICE", "LOOKUP"],
    ),
    "split": (_moved("Split", np.array([3, 5]), outputs=2, axis=1), ["SLICE", "SLICE"]),
    "split, new scales": (
        _moved("Split", np.array([3, 5]), outputs=2, axis=1, rescale=True),
        ["SLICE", "LOOKUP", "SLICE", "LOOKUP"],
    ),
    "expand": (_moved("Expand", np.array([3, 2, 8, 6, 4])), ["RESHAPE", "CONCAT"]),
    "tile": (_moved("Tile", np.array([1, 2, 1, 3]), rescale=True), ["CONCAT", "CONCAT", "LOOKUP"]),
    "pad": (_pad, ["LOOKUP", "PAD"]),
    "depth to space, DCR": (_moved("DepthToSpace", blocksize=2), ["RESHAPE", "TRANSPOSE", "RESHAPE"]),
    "depth to space, CRD": (
        _moved("DepthToSpace", blocksize=2, mode="CRD"),
        ["RESHAPE", "TRANSPOSE", "RESHAPE"],
    ),
    "space to depth": (_moved("SpaceToDepth", blocksize=2), ["RESHAPE", "TRANSPOSE", "RESHAPE"]),
}
"""Operators on which ONNX Runtime's integer kernels and the reference agree in every bit."""


@pytest.mark.parametrize("unsigned", [False, True], ids=["int8", "uint8"])
@pytest.mark.parametrize("name", EXACT)
def test_exact(name: str, unsigned: bool) -> None:
    build, operators = EXACT[name]
    for seed in range(3):
        q = QdqModel(unsigned=unsigned)
        build(q, np.random.default_rng(seed))
        found = compare(q.model(), seed)
        assert found.operators() == operators
        assert (found.integer_mismatches, found.float_steps <= 1) == (0, True)


def _add_relu(q: QdqModel, rng: np.random.Generator) -> None:
    """ONNX Runtime adds in float32 where a Relu cuts above the lowest stored value."""
    _output(q, rng, q.apply("Relu", [q.apply("Add", [_input(q, rng, 3, 50, 41), _input(q, rng, 50, 1)])]))


def _convolution_transposed(q: QdqModel, rng: np.random.Generator) -> None:
    x = _input(q, rng, 2, 8, 7, 9)
    w = q.weight(_weights(rng, 8, 6, 4, 3), rng.uniform(0.001, 0.01, 6), 0, 1)
    bias = q.constant(rng.normal(0, 1, 6).astype(np.float32))
    y = q.apply("ConvTranspose", [x, w, bias], strides=[2, 2], pads=[1, 0, 1, 1], output_padding=[0, 1])
    _output(q, rng, y)


def _convolution_transposed_grouped(q: QdqModel, rng: np.random.Generator) -> None:
    x = _input(q, rng, 1, 8, 7, 9)
    w = q.weight(_weights(rng, 8, 3, 3, 3), 0.01)
    _output(
        q,
        rng,
        q.apply("ConvTranspose", [x, w], group=2, strides=[2, 1], dilations=[1, 2], auto_pad="SAME_UPPER"),
    )


def _softmax_odd_scale(q: QdqModel, rng: np.random.Generator) -> None:
    _output(q, rng, q.apply("Softmax", [_input(q, rng, 5, 100)]), 0.0005, 0.002)


NEAR: dict[str, tuple[Build, str]] = {
    "add, relu": (_add_relu, "ADD"),
    "convolution with asymmetric weights": (_convolution_asymmetric_weights, "CONV"),
    "matmul, constant first": (_matmul_constant_first, "MATMUL"),
    "convolution transposed": (_convolution_transposed, "CONV_TRANSPOSE"),
    "convolution transposed, grouped": (_convolution_transposed_grouped, "CONV_TRANSPOSE"),
    "reduce mean": (_reduce_mean, "REDUCE_MEAN"),
    "softmax, last axis": (_softmax(-1), "SOFTMAX"),
    "softmax, axis 1": (_softmax(1), "SOFTMAX"),
    "softmax, odd scale": (_softmax_odd_scale, "SOFTMAX"),
}
"""Operators without an integer kernel in ONNX Runtime, or with one that rounds elsewhere: one step."""


@pytest.mark.parametrize("unsigned", [False, True], ids=["int8", "uint8"])
@pytest.mark.parametrize("name", NEAR)
def test_one_step(name: str, unsigned: bool) -> None:
    build, operator = NEAR[name]
    for seed in range(3):
        q = QdqModel(unsigned=unsigned)
        build(q, np.random.default_rng(seed))
        found = compare(q.model(), seed)
        assert [name for name in found.operators() if name != "TRANSPOSE"] == [operator]
        assert found.integer_steps <= 1
        assert found.float_steps <= 1
        assert found.integer_mismatches <= max(1, found.elements // 100)


def _near_tie_scale(rng: np.random.Generator) -> float:
    """A whole multiple of 2^-12: many real sums lie half way between two steps, and every rounding counts."""
    return int(rng.integers(1, 300)) * 2.0**-12


ADDITIONS = [
    ((256, 256), (256, 256)),
    ((16, 100, 41), (100, 1)),
    ((100, 1), (16, 100, 41)),
    ((300,), (200, 300)),
    ((4000, 1), (1,)),
    ((1,), (4000, 1)),
    ((60000,), ()),
    ((), (60000,)),
    ((300, 1), (1, 300)),
    ((1, 300), (300, 1)),
    ((1, 1), (1, 1)),
]


@pytest.mark.parametrize("unsigned", [False, True], ids=["int8", "uint8"])
@pytest.mark.parametrize(("first", "second"), ADDITIONS)
def test_additions_are_exact(first: tuple[int, ...], second: tuple[int, ...], unsigned: bool) -> None:
    """The last bit depends on which operand is added first, so also on ONNX Runtime's loop order."""
    rng = np.random.default_rng(len(first) + 10 * len(second))
    for _ in range(4):
        q = QdqModel(unsigned=unsigned)
        for _ in range(6):
            a, b = (q.input(shape, _near_tie_scale(rng), _zero(q, rng, 128)) for shape in (first, second))
            q.output(q.apply("Add", [a, b]), _near_tie_scale(rng), _zero(q, rng, 128))
        found = compare(q.model(), int(rng.integers(1000)))
        assert found.operators() == ["ADD"] * 6
        assert found.integer_mismatches == 0


@pytest.mark.parametrize("unsigned", [False, True], ids=["int8", "uint8"])
def test_additions_of_constants_are_exact(unsigned: bool) -> None:
    rng = np.random.default_rng(3)
    for turn in range(6):
        q = QdqModel(unsigned=unsigned)
        shape = ((50, 41), (50, 1), ())[turn % 3]
        low = 0 if unsigned else -128
        constant = q.weight(
            rng.integers(low, low + 256, shape).astype(q.kind), _near_tie_scale(rng), _zero(q, rng)
        )
        x = q.input((20, 50, 41), _near_tie_scale(rng), _zero(q, rng))
        both = [x, constant] if turn < 3 else [constant, x]
        q.output(q.apply("Relu", [q.apply("Add", both)]), _near_tie_scale(rng), low)
        found = compare(q.model(), turn)
        assert found.operators() == ["ADD"]
        assert found.integer_mismatches == 0


UNARY: dict[str, dict[str, object]] = {
    "Sigmoid": {},
    "LeakyRelu": {"alpha": 0.1},
    "Tanh": {},
    "HardSigmoid": {"alpha": 0.3},
    "HardSwish": {},
    "Erf": {},
    "Exp": {},
    "Relu": {},
    "Softplus": {},
    "Elu": {"alpha": 0.7},
    "Sqrt": {},
    "Neg": {},
    "Abs": {},
    "Reciprocal": {},
    "Log": {},
    "Sin": {},
    "Softsign": {},
    "Selu": {},
    "ThresholdedRelu": {},
}


@pytest.mark.parametrize("unsigned", [False, True], ids=["int8", "uint8"])
@pytest.mark.parametrize("op_type", UNARY)
def test_table(op_type: str, unsigned: bool) -> None:
    rng = np.random.default_rng(5)
    q = QdqModel(unsigned=unsigned)
    _output(q, rng, q.apply(op_type, [_input(q, rng, 20, 50)], **UNARY[op_type]), 0.005, 0.05)
    found = compare(q.model())
    assert found.operators() == ["LOOKUP"]
    assert (found.integer_steps <= 1, found.float_mismatches) == (True, 0)


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu_is_a_table(approximate: str) -> None:
    rng = np.random.default_rng(5)
    q = QdqModel(opset=20)
    _output(q, rng, q.apply("Gelu", [_input(q, rng, 20, 50)], approximate=approximate))
    found = compare(q.model())
    assert (found.operators(), found.float_mismatches) == (["LOOKUP"], 0)


def test_expressions_of_one_tensor_become_one_table() -> None:
    rng = np.random.default_rng(5)
    q = QdqModel()
    x = _input(q, rng, 20, 50)
    silu = q.apply("Mul", [x, q.apply("Sigmoid", [x])])
    _output(q, rng, silu)
    shifted = q.apply("Add", [x, q.constant(np.float32(3.0))])
    clipped = q.apply("Clip", [shifted, q.constant(np.float32(0.0)), q.constant(np.float32(6.0))])
    swish = q.apply("Mul", [x, q.apply("Div", [clipped, q.constant(np.array([6.0], np.float32))])])
    _output(q, rng, swish)
    cubed = q.apply("Pow", [x, q.constant(np.float32(3.0))])
    _output(
        q, rng, q.apply("Tanh", [q.apply("Add", [x, q.apply("Mul", [cubed, q.constant(np.float32(0.1))])])])
    )
    _output(q, rng, q.apply("PRelu", [x, q.constant(np.array([0.25], np.float32))]))
    found = compare(q.model())
    assert (found.operators(), found.float_mismatches) == (["LOOKUP"] * 4, 0)


def test_a_guard_against_not_a_number_costs_nothing() -> None:
    q = QdqModel()
    x = q.input((20, 50), 1 / 256, -128)
    guarded = q.apply("Where", [q.apply("IsNaN", [x]), q.constant(np.float32(0)), x])
    y = q.dequantize(q.quantize(guarded, 1 / 256, -128), 1 / 256, -128)
    q.output(q.apply("Sqrt", [y]), 1 / 256, -128)
    found = compare(q.model())
    assert (found.operators(), found.float_mismatches) == (["LOOKUP"], 0)


def test_division_by_zero_saturates_and_zero_by_zero_is_the_lowest_value() -> None:
    q = QdqModel()
    x, y = q.input((4,), 0.5, 0), q.input((4,), 0.5, 0)
    q.output(q.apply("Div", [x, y]), 0.5, 3)
    from hanok.graph import import_graph, run_onnxruntime, run_reference

    model = q.model()
    graph = import_graph(model)
    feeds = {"x0": np.array([5, -5, 0, 6], np.int8), "x1": np.array([0, 0, 0, 3], np.int8)}
    (mine,) = run_reference(graph, feeds).values()
    (theirs,) = run_onnxruntime(model, feeds).values()
    assert mine.tolist() == [127, -128, -128, 7] == theirs.tolist()


def test_clip_and_relu_become_the_clamp() -> None:
    rng = np.random.default_rng(1)
    q = QdqModel()
    x = q.input((1, 4, 8, 8), 0.05, 3)
    w = q.weight(_weights(rng, 4, 4, 1, 1), 0.01)
    clipped = q.apply(
        "Clip", [q.apply("Conv", [x, w]), q.constant(np.float32(0)), q.constant(np.float32(1.5))]
    )
    q.output(clipped, 0.05, -10)
    pooled = q.apply("MaxPool", [x], kernel_shape=[2, 2])
    q.output(q.apply("Relu", [pooled]), 0.05, 3)
    model = q.model()
    found = compare(model)
    assert found.operators() == ["CONV", "MAX_POOL"]
    assert [node.attributes.clamp for node in found.graph.nodes] == [(-10, 20), (3, 127)]
    assert found.float_steps <= 1
