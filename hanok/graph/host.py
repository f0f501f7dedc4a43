"""A part of the typed graph as a float ONNX model that ONNX Runtime runs on the host."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from hanok.graph._working import Array, Operation
from hanok.graph.ir import DType, Graph, Node, Operator, Tensor

_ELEMENT_TYPES = {
    DType.FLOAT32: TensorProto.FLOAT,
    DType.INT8: TensorProto.FLOAT,
    DType.INT64: TensorProto.INT64,
    DType.INT32: TensorProto.INT32,
    DType.BOOL: TensorProto.BOOL,
}


def host_model(graph: Graph, nodes: Sequence[Node]) -> bytes:
    """A serialised ONNX model of `nodes` in float.

    Inputs are the tensors that the nodes read and others make, outputs those that others (or the graph's
    outputs) read, under their own names. int8 tensors cross the border as float32 (dequantised) and are
    rounded to their scale by Q and DQ inside; other tensors keep their type.
    """
    content: bytes = _Builder(graph).build(nodes).SerializeToString()
    return content


class _Builder:
    """Collects nodes and initialisers of one host model."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: list[NodeProto] = []
        self.initializers: dict[str, TensorProto] = {}

    def build(self, nodes: Sequence[Node]) -> ModelProto:
        """The model of all nodes."""
        made = {name for node in nodes for name in node.outputs}
        reads: dict[str, None] = {}
        for node in nodes:
            self._add(node)
            reads.update(dict.fromkeys(node.inputs))
        tensors = self.graph.tensors
        inputs = [name for name in reads if name not in made and tensors[name].data is None]
        chosen = {id(node) for node in nodes}
        outside = {n for node in self.graph.nodes if id(node) not in chosen for n in node.inputs}
        outside.update(self.graph.outputs)
        outputs = [name for node in nodes for name in node.outputs if name in outside]
        body = helper.make_graph(
            self.nodes,
            f"{self.graph.name}/host",
            [self._value_info(name) for name in inputs],
            [self._value_info(name) for name in outputs],
            list(self.initializers.values()),
        )
        domains = {**self.graph.domains, "": self.graph.opset}
        imports = [helper.make_opsetid(domain, version) for domain, version in sorted(domains.items())]
        return helper.make_model(body, opset_imports=imports, ir_version=self.graph.ir_version)

    def _value_info(self, name: str) -> ValueInfoProto:
        tensor = self.graph.tensor(name)
        element_type = _ELEMENT_TYPES.get(tensor.dtype)
        if element_type is None:
            element_type = TensorProto.DataType.Value(tensor.element_type)
        return helper.make_tensor_value_info(name, element_type, tensor.shape)

    def _add(self, node: Node) -> None:
        match node.operator:
            case Operator.HOST:
                for content in node.onnx_nodes:
                    self._add_host_proto(NodeProto.FromString(content), node)
            case Operator.QUANTIZE:
                self._round(node.inputs[0], self.graph.tensor(node.outputs[0]))
            case Operator.DEQUANTIZE:
                self.nodes.append(helper.make_node("Identity", [node.inputs[0]], [node.outputs[0]]))
            case _:
                self._add_integer(node)

    def _add_host_proto(self, proto: NodeProto, node: Node) -> None:
        """Take the node as it is; constants that it reads become initialisers."""
        for name in node.inputs:
            tensor = self.graph.tensor(name)
            if tensor.data is not None:
                self._initializer(name, tensor.data)
        self.nodes.append(proto)

    def _add_integer(self, node: Node) -> None:
        """The float form of an int8 node, its result rounded to the output's scale."""
        output = self.graph.tensor(node.outputs[0])
        real = f"{output.name}/real"
        for name in node.inputs:
            tensor = self.graph.tensor(name)
            if tensor.data is not None:
                self._dequantized_constant(tensor)
        renamed = {output.name: real}
        renamed.update(
            {name: f"{name}/float" for name in node.inputs if self.graph.tensor(name).data is not None}
        )
        for content in node.onnx_nodes:
            operation = Operation.from_proto(NodeProto.FromString(content))
            operation.inputs = [renamed.get(name, name) for name in operation.inputs]
            operation.outputs = [renamed.get(name, name) for name in operation.outputs]
            self.nodes.append(operation.to_proto())
        if output.dtype is DType.INT8:
            self._round(real, output)
        else:
            self.nodes.append(helper.make_node("Identity", [real], [output.name]))

    def _initializer(self, name: str, content: Array) -> None:
        if name not in self.initializers:
            self.initializers[name] = numpy_helper.from_array(content, name)

    def _round(self, real: str, tensor: Tensor) -> None:
        """Q and DQ from the float value `real` to the value that stands for an int8 tensor."""
        scale, zero = self._parameters(tensor)
        stored = f"{tensor.name}/stored"
        self.nodes.append(helper.make_node("QuantizeLinear", [real, scale, zero], [stored]))
        self.nodes.append(helper.make_node("DequantizeLinear", [stored, scale, zero], [tensor.name]))

    def _dequantized_constant(self, tensor: Tensor) -> None:
        name = f"{tensor.name}/float"
        if f"{tensor.name}/stored" in self.initializers:
            return
        assert tensor.data is not None, f"{tensor.name} is no constant"
        if tensor.dtype is DType.FLOAT32:
            self._initializer(name, tensor.data)
            return
        assert tensor.quantization is not None, f"{tensor.name} has no quantization"
        self._initializer(f"{tensor.name}/stored", tensor.data)
        axis = tensor.quantization.axis
        along = {} if axis is None else {"axis": axis}
        inputs = [f"{tensor.name}/stored", *self._parameters(tensor)]
        self.nodes.append(helper.make_node("DequantizeLinear", inputs, [name], **along))

    def _parameters(self, tensor: Tensor) -> tuple[str, str]:
        """Initialisers of a tensor's scale and zero point; scalars where it has one scale."""
        assert tensor.quantization is not None, f"{tensor.name} has no quantization"
        scale, zero = f"{tensor.name}/scale", f"{tensor.name}/zero"
        kind = np.int32 if tensor.dtype is DType.INT32 else np.int8
        shape = () if tensor.quantization.axis is None else (-1,)
        self._initializer(scale, tensor.quantization.scale.astype(np.float32).reshape(shape))
        self._initializer(zero, tensor.quantization.zero_point.astype(kind).reshape(shape))
        return scale, zero
