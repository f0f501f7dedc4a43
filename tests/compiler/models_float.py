"""Small float models: functions, reductions, normalisations, products of activations, attention."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

Random = np.random.Generator


class FloatModel:
    """Collects nodes over float32 inputs and outputs."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []

    def input(self, *shape: int) -> str:
        """A float32 input."""
        name = f"x{len(self.inputs)}"
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return name

    def constant(self, value: Any) -> str:
        """An initialiser."""
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def normal(self, *shape: int, spread: float = 1.0) -> str:
        """A constant of normal numbers."""
        return self.constant((self.rng.standard_normal(shape) * spread).astype(np.float32))

    def apply(self, op_type: str, inputs: Sequence[str], **attributes: Any) -> str:
        """A node; return its output."""
        name = f"{op_type}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, list(inputs), [name], **attributes))
        return name

    def rounded(self, value: str, scale: float, zero: int = 0) -> str:
        """QuantizeLinear and DequantizeLinear."""
        step = self.constant(np.float32(scale))
        point = self.constant(np.int8(zero))
        stored = self.apply("QuantizeLinear", [value, step, point])
        return self.apply("DequantizeLinear", [stored, step, point])

    def weights(self, *shape: int, scale: float = 0.01) -> str:
        """A constant int8 matrix behind its DequantizeLinear."""
        stored = self.constant(self.rng.integers(-127, 128, shape).astype(np.int8))
        return self.apply("DequantizeLinear", [stored, self.constant(np.float32(scale))])

    def output(self, value: str) -> None:
        """A graph output."""
        self.outputs.append(helper.make_tensor_value_info(value, TensorProto.FLOAT, None))

    def model(self) -> ModelProto:
        """The model."""
        graph = helper.make_graph(self.nodes, "float", self.inputs, self.outputs, self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)


def single(op_type: str, *shapes: tuple[int, ...], constants: Sequence[Any] = (), **attributes: Any) -> Any:
    """A model of one operator."""

    def build() -> ModelProto:
        m = FloatModel()
        names = [m.input(*shape) for shape in shapes]
        names += [m.constant(value) for value in constants]
        m.output(m.apply(op_type, names, **attributes))
        return m.model()

    return build


def _reals(*shape: int) -> np.ndarray:
    return np.random.default_rng(5).uniform(0.5, 1.5, shape).astype(np.float32)


def _axes(*axes: int) -> list[np.ndarray]:
    return [np.array(axes, np.int64)]


def _where() -> ModelProto:
    m = FloatModel()
    a, b = m.input(3, 17), m.input(3, 1)
    m.output(m.apply("Where", [m.apply("Greater", [a, b]), a, m.apply("Mul", [a, b])]))
    return m.model()


def _rotary() -> ModelProto:
    """The half turn that exporters write out: slices, a negation, a concatenation, two products."""
    m = FloatModel()
    x = m.input(1, 3, 5, 8)
    ends = [[m.constant(np.array([end])) for end in pair] for pair in ((0, 4), (4, 8))]
    axis = m.constant(np.array([3]))
    first, second = (m.apply("Slice", [x, *pair, axis]) for pair in ends)
    turned = m.apply("Concat", [m.apply("Neg", [second]), first], axis=3)
    cosine, sine = m.normal(5, 8), m.normal(5, 8)
    m.output(m.apply("Add", [m.apply("Mul", [x, cosine]), m.apply("Mul", [turned, sine])]))
    return m.model()


def _attention() -> ModelProto:
    """Two heads with a mask: products of activations, softmax between them."""
    m = FloatModel()
    x = m.input(1, 9, 16)
    rows = m.rounded(m.apply("LayerNormalization", [x, m.constant(_reals(16))]), 0.03, 1)
    heads = []
    for _ in range(3):
        made = m.apply("MatMul", [rows, m.weights(16, 16)])
        made = m.apply("Reshape", [made, m.constant(np.array([1, 9, 2, 8]))])
        heads.append(m.apply("Transpose", [made], perm=[0, 2, 1, 3]))
    keys = m.apply("Transpose", [m.rounded(heads[1], 0.02)], perm=[0, 1, 3, 2])
    scores = m.apply(
        "Mul", [m.apply("MatMul", [m.rounded(heads[0], 0.02), keys]), m.constant(np.float32(0.35))]
    )
    mask = np.triu(np.full((9, 9), -1e9, np.float32), 1)
    chances = m.apply("Softmax", [m.apply("Add", [scores, m.constant(mask)])])
    mixed = m.apply("MatMul", [m.rounded(chances, 1 / 255, -128), m.rounded(heads[2], 0.02)])
    joined = m.apply(
        "Reshape", [m.apply("Transpose", [mixed], perm=[0, 2, 1, 3]), m.constant(np.array([1, 9, 16]))]
    )
    made = m.apply("MatMul", [m.rounded(joined, 0.01, 3), m.weights(16, 16)])
    m.output(m.apply("Add", [x, made]))
    return m.model()


def grouped_attention(
    groups: int, heads: int, rows: int, length: int, *, tied: bool = True, zero: int = -128
) -> ModelProto:
    """Attention whose heads share keys: scores [groups, heads x rows, length], a mask for all heads.

    `tied`: the probabilities' sums also divide the product, so that one value a row goes around it.
    """
    m, size = FloatModel(5), 8
    query = m.rounded(m.input(1, groups, heads * rows, size), 0.02)
    keys, values = (m.rounded(m.input(1, groups, length, size), 0.02, place) for place in (0, 3))
    turned = m.apply("Transpose", [keys], perm=[0, 1, 3, 2])
    scores = m.apply("MatMul", [query, turned])
    apart = m.constant(np.array([1, groups, heads, rows, length]))
    mask = np.where(m.rng.random((rows, length)) < 0.3, -1e4, 0).astype(np.float32)
    scores = m.apply("Add", [m.apply("Reshape", [scores, apart]), m.constant(mask)])
    top = m.apply("ReduceMax", [scores, m.constant(np.array([-1]))], keepdims=1)
    powers = m.apply("Exp", [m.apply("Sub", [scores, top])])
    total = m.apply("ReduceSum", [powers, m.constant(np.array([-1]))], keepdims=1)
    chances = powers if tied else m.apply("Div", [powers, total])
    flat = m.constant(np.array([1, groups, heads * rows, length]))
    mixed = m.apply("MatMul", [m.rounded(m.apply("Reshape", [chances, flat]), 1 / 255, zero), values])
    mixed = m.apply("Reshape", [mixed, m.constant(np.array([1, groups, heads, rows, size]))])
    m.output(m.apply("Div", [mixed, total]) if tied else mixed)
    m.output(total)
    return m.model()


def transformer_block() -> ModelProto:
    """Layer normalisation, causal attention of two heads, RMS normalisation, GELU, and two sums."""
    m = FloatModel(3)
    x = m.input(1, 16, 32)
    rows = m.rounded(
        m.apply("LayerNormalization", [x, m.constant(_reals(32)), m.constant(_reals(32))]), 0.03, 1
    )
    heads = []
    for _ in range(3):
        made = m.apply("MatMul", [rows, m.weights(32, 32)])
        made = m.apply("Reshape", [made, m.constant(np.array([1, 16, 2, 16]))])
        heads.append(m.rounded(m.apply("Transpose", [made], perm=[0, 2, 1, 3]), 0.02))
    keys = m.apply("Transpose", [heads[1]], perm=[0, 1, 3, 2])
    scores = m.apply("Mul", [m.apply("MatMul", [heads[0], keys]), m.constant(np.float32(0.25))])
    mask = m.constant(np.triu(np.full((16, 16), -1e9, np.float32), 1))
    chances = m.rounded(m.apply("Softmax", [m.apply("Add", [scores, mask])]), 1 / 255, -128)
    mixed = m.apply("Transpose", [m.apply("MatMul", [chances, heads[2]])], perm=[0, 2, 1, 3])
    mixed = m.rounded(m.apply("Reshape", [mixed, m.constant(np.array([1, 16, 32]))]), 0.01, 3)
    x = m.apply("Add", [x, m.apply("MatMul", [mixed, m.weights(32, 32)])])
    rows = m.rounded(m.apply("RMSNormalization", [x, m.constant(_reals(32))]), 0.03)
    up = m.rounded(m.apply("Gelu", [m.apply("MatMul", [rows, m.weights(32, 64)])]), 0.02, -100)
    m.output(m.apply("Add", [x, m.apply("MatMul", [up, m.weights(64, 32)])]))
    return m.model()


def even_chances() -> ModelProto:
    """Exponentials below the largest of a row as eight bits, over a mask, and the distance to the largest."""
    m = FloatModel()
    x = m.input(2, 5, 40)
    mask = np.where(m.rng.random((5, 40)) < 0.2, -np.inf, 0).astype(np.float32)
    scores = m.apply("Add", [m.apply("Mul", [x, m.constant(np.float32(4))]), m.constant(mask)])
    top = m.apply("ReduceMax", [scores, m.constant(np.array([-1]))], keepdims=1)
    powers = m.apply("Exp", [m.apply("Sub", [scores, top])])
    m.output(m.rounded(powers, 1 / 255, -128))
    m.output(top)
    return m.model()


def _islands() -> ModelProto:
    """Float results that int8 layers, the host and the user read; movement of floats between."""
    m = FloatModel()
    x = m.input(2, 6, 10)
    y = m.apply("Gelu", [m.apply("MatMul", [m.rounded(x, 0.03, 2), m.weights(10, 12)])])
    m.output(y)
    turned = m.apply("Transpose", [y], perm=[0, 2, 1])
    m.output(m.apply("Add", [m.apply("LpNormalization", [turned], axis=1), turned]))
    wide = m.apply("Pad", [m.apply("Tanh", [y]), m.constant(np.array([0, 0, 1, 0, 0, 1]))])
    m.output(m.apply("MatMul", [m.rounded(wide, 0.02), m.weights(14, 5)]))
    return m.model()


def _feed_forward() -> ModelProto:
    """Products with formulas on their tiles: a gate of three factors, the sum with what came in."""
    m = FloatModel()
    x = m.input(1, 19, 24)
    rows = m.rounded(x, 0.03, 4)
    up, gate = (m.apply("MatMul", [rows, m.weights(24, 40)]) for _ in range(2))
    gate = m.apply("Mul", [gate, m.apply("Sigmoid", [gate])])
    made = m.apply("Mul", [m.apply("Mul", [gate, up]), m.constant(_reals(40))])
    made = m.apply("MatMul", [m.rounded(made, 0.02, -7), m.weights(40, 24)])
    made = m.apply("Reshape", [made, m.constant(np.array([19, 24]))])
    flat = m.apply("Reshape", [x, m.constant(np.array([19, 24]))])
    made = m.apply("Add", [m.apply("Tanh", [made]), flat])
    m.output(made)
    m.output(m.apply("ReduceMax", [made, m.constant(np.array([1]))]))
    return m.model()


def _image() -> ModelProto:
    """A convolution with a float result, whose channels lie last, and what follows it."""
    m = FloatModel()
    x = m.input(1, 3, 9, 8)
    made = m.apply("Conv", [m.rounded(x, 0.03, 1), m.weights(6, 3, 3, 3)], pads=[1, 1, 1, 1], strides=[2, 1])
    made = m.apply("Mul", [m.apply("HardSigmoid", [made]), made])
    m.output(m.apply("InstanceNormalization", [made, m.constant(_reals(6)), m.constant(_reals(6))]))
    return m.model()


def product_of(
    left: tuple[int, ...],
    right: tuple[int, ...],
    zeros: tuple[int, int],
    turned: str = "",
    result: int | None = None,
) -> Any:
    """A product of two rounded inputs; `turned` names those that a Transpose brings into place."""

    def build() -> ModelProto:
        m = FloatModel()
        operands = []
        for name, shape, zero, scale in zip("ab", (left, right), zeros, (0.02, 0.03), strict=True):
            order = [*range(len(shape) - 2), len(shape) - 1, len(shape) - 2]
            given = tuple(shape[axis] for axis in order) if name in turned else shape
            value = m.rounded(m.input(*given), scale, zero)
            operands.append(m.apply("Transpose", [value], perm=order) if name in turned else value)
        value = m.apply("MatMul", operands)
        m.output(value if result is None else m.rounded(value, 0.1, result))
        return m.model()

    return build


Build = Callable[[], ModelProto]
FUNCTIONS: dict[str, Build] = {
    name: single(name, (3, 37))
    for name in ("Abs", "Cos", "Erf", "Exp", "Gelu", "Neg", "Sigmoid", "Sin", "Softplus", "Tanh", "LeakyRelu")
} | {
    "Add of a column": single("Add", (2, 3, 8), (3, 1)),
    "Clip": single("Clip", (3, 20), constants=[np.float32(-0.5), np.float32(1.5)]),
    "Div": single("Div", (4, 21), constants=[_reals(21)]),
    "Elementwise of four axes": single("Mul", (2, 3, 4, 5), (3, 1, 5)),
    "Gelu of a tangent": single("Gelu", (3, 30), approximate="tanh"),
    "GroupNormalization": single(
        "GroupNormalization", (2, 6, 5, 7), constants=[_reals(6), _reals(6)], num_groups=3
    ),
    "HardSwish": single("HardSwish", (3, 20)),
    "InstanceNormalization": single("InstanceNormalization", (2, 3, 5, 7), constants=[_reals(3), _reals(3)]),
    "LayerNormalization": single("LayerNormalization", (2, 7, 48), constants=[_reals(48), _reals(48)]),
    "LayerNormalization of two axes": single(
        "LayerNormalization", (5, 6, 8), constants=[_reals(6, 8), _reals(6, 8)], axis=1
    ),
    "LogSoftmax": single("LogSoftmax", (5, 40)),
    "Max of three": single("Max", (3, 5), (3, 5), (1, 5)),
    "Pow": single("Pow", (3, 9), constants=[np.float32(3)]),
    "RMSNormalization": single("RMSNormalization", (2, 7, 48), constants=[_reals(48)]),
    "ReduceL2": single("ReduceL2", (3, 4, 15), constants=_axes(2), keepdims=0),
    "ReduceMax": single("ReduceMax", (3, 4, 15), constants=_axes(0, 2)),
    "ReduceMean of a middle axis": single("ReduceMean", (3, 4, 5, 6), constants=_axes(1, 3)),
    "ReduceMin": single("ReduceMin", (4, 15), constants=_axes(1)),
    "ReduceSum": single("ReduceSum", (4, 15), constants=_axes(0), keepdims=0),
    "Softmax": single("Softmax", (2, 5, 33)),
    "Softmax of a middle axis": single("Softmax", (4, 6, 9), axis=1),
    "Where": _where,
    "attention": _attention,
    "feed forward": _feed_forward,
    "image": _image,
    "islands": _islands,
    "rotary": _rotary,
    "transformer block": transformer_block,
}
PRODUCTS: dict[str, Build] = {
    "by row": product_of((3, 7, 20), (3, 20, 9), (0, 0)),
    "by row, a zero point": product_of((3, 7, 20), (3, 20, 9), (-5, 0)),
    "by column, 128": product_of((2, 13, 30), (2, 30, 25), (-128, 3), "b"),
    "both 128, int8": product_of((2, 13, 30), (2, 30, 25), (127, -128), "b", 7),
    "matrices": product_of((13, 50), (50, 40), (9, 0), "", -3),
    "one matrix for all": product_of((1, 4, 5, 24), (24, 6), (-128, 0)),
    "left turned, broadcast": product_of((2, 1, 5, 16), (1, 3, 16, 14), (4, -7), "a"),
    "single numbers": product_of((2, 1, 1, 16), (1, 3, 16, 1), (4, -7)),
}
LONG_PRODUCT = product_of((1, 5, 1100), (1, 1100, 6), (-128, 5))
"""Sums beyond what float32 holds exactly."""
