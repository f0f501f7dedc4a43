"""Small QDQ models built with onnx.helper, and the comparison of the reference with ONNX Runtime on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from hanok.graph import DType, Graph, Operator, import_graph, load_model, run_onnxruntime, run_reference


class QdqModel:
    """Collects nodes; activations enter and leave as (u)int8, so that every bit can be compared."""

    def __init__(self, opset: int = 17, unsigned: bool = False, ir_version: int = 8) -> None:
        self.opset = opset
        self.kind = np.uint8 if unsigned else np.int8
        self.ir_version = ir_version
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []

    def constant(self, value: Any, stem: str = "constant") -> str:
        """Add an initialiser."""
        name = f"{stem}_{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def apply(
        self, op_type: str, inputs: Sequence[str], outputs: int = 1, domain: str = "", **attributes: Any
    ) -> str:
        """Add a node; return its first output."""
        index = len(self.nodes)
        names = [f"{op_type}_{index}" if not k else f"{op_type}_{index}_{k}" for k in range(outputs)]
        node = helper.make_node(
            op_type, list(inputs), names, name=f"node_{index}", domain=domain, **attributes
        )
        self.nodes.append(node)
        return names[0]

    def quantize(self, value: str, scale: float, zero: int = 0, kind: Any = None) -> str:
        """Add QuantizeLinear."""
        kind = kind or self.kind
        return self.apply(
            "QuantizeLinear", [value, self.constant(np.float32(scale)), self.constant(np.array(zero, kind))]
        )

    def dequantize(
        self, stored: str, scale: Any, zero: Any = 0, axis: int | None = None, kind: Any = None
    ) -> str:
        """Add DequantizeLinear."""
        kind = kind or self.kind
        scale = np.asarray(scale, np.float32)
        zeros = np.broadcast_to(np.asarray(zero), scale.shape).astype(kind)
        along = {} if axis is None else {"axis": axis}
        return self.apply("DequantizeLinear", [stored, self.constant(scale), self.constant(zeros)], **along)

    def input(self, shape: Sequence[int], scale: float, zero: int = 0) -> str:
        """Add an integer graph input; return its real value's name."""
        name = f"x{len(self.inputs)}"
        element_type = TensorProto.UINT8 if self.kind is np.uint8 else TensorProto.INT8
        self.inputs.append(helper.make_tensor_value_info(name, element_type, shape))
        return self.dequantize(name, scale, zero)

    def weight(self, content: Any, scale: Any, zero: Any = 0, axis: int | None = None) -> str:
        """Add a constant behind DequantizeLinear."""
        content = np.asarray(content)
        return self.dequantize(self.constant(content, "weight"), scale, zero, axis, content.dtype.type)

    def output(self, value: str, scale: float, zero: int = 0) -> None:
        """Quantise a value into a graph output."""
        name = self.quantize(value, scale, zero)
        self.raw_output(name, TensorProto.UINT8 if self.kind is np.uint8 else TensorProto.INT8)

    def raw_output(self, name: str, element_type: int = TensorProto.FLOAT) -> None:
        """Make a value a graph output."""
        self.outputs.append(helper.make_tensor_value_info(name, element_type, None))

    def model(self) -> ModelProto:
        """The model, through load_model's checks."""
        graph = helper.make_graph(self.nodes, "test", self.inputs, self.outputs, self.initializers)
        imports = [helper.make_opsetid("", self.opset), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=imports, ir_version=self.ir_version)
        return load_model(model.SerializeToString())


@dataclass(frozen=True)
class Comparison:
    """Mismatches of the reference against ONNX Runtime's integer kernels and its float operators."""

    graph: Graph
    elements: int
    integer_mismatches: int
    integer_steps: int
    float_mismatches: int
    float_steps: int

    def operators(self) -> list[str]:
        """The operators of the graph, in order."""
        return [node.operator.name for node in self.graph.nodes]

    @property
    def on_host(self) -> list[str]:
        """The ONNX types that stayed on the host."""
        return [node.onnx_type for node in self.graph.nodes if node.operator is Operator.HOST]


def random_feeds(graph: Graph, seed: int) -> dict[str, np.ndarray]:
    """Seeded values for every graph input, over the whole range of integer ones."""
    rng = np.random.default_rng(seed)
    feeds: dict[str, np.ndarray] = {}
    for name in graph.inputs:
        tensor = graph.tensor(name)
        if tensor.dtype is DType.INT8 or tensor.element_type in ("INT8", "UINT8"):
            unsigned = tensor.unsigned or tensor.element_type == "UINT8"
            low, kind = (0, np.uint8) if unsigned else (-128, np.int8)
            feeds[name] = rng.integers(low, low + 256, tensor.shape).astype(kind)
        else:
            feeds[name] = rng.normal(0, 1.5, tensor.shape).astype(np.float32)
    return feeds


def compare(model: ModelProto, seed: int = 0) -> Comparison:
    """Run the reference and ONNX Runtime (integer kernels, then float operators one by one)."""
    graph = import_graph(model)
    feeds = random_feeds(graph, seed)
    mine = run_reference(graph, feeds)
    counts = []
    for optimise in (True, False):
        theirs = run_onnxruntime(model, feeds, optimise=optimise)
        steps = [np.abs(mine[n].astype(np.int64) - theirs[n].astype(np.int64)) for n in graph.outputs]
        for name in graph.outputs:
            assert mine[name].dtype == theirs[name].dtype
            assert mine[name].shape == theirs[name].shape
        counts += [sum(int((s > 0).sum()) for s in steps), max(int(s.max(initial=0)) for s in steps)]
    elements = sum(mine[name].size for name in graph.outputs)
    return Comparison(graph, elements, *counts)
