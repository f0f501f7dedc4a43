"""The mutable working graph of the importer: ONNX operations with decoded attributes and NumPy constants."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from hanok.errors import ModelError

Array = npt.NDArray[Any]
STANDARD_DOMAINS = ("", "ai.onnx")
QUANTIZE = "QuantizeLinear"
DEQUANTIZE = "DequantizeLinear"


@dataclass(eq=False)
class Operation:
    """One ONNX node; `inputs` may hold empty names for absent optional operands."""

    op_type: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, AttributeProto] = field(default_factory=dict)
    name: str = ""
    domain: str = ""
    on_host: bool = False
    """A Q or DQ that must stay an operator of the host: it makes or reads raw integers."""

    @classmethod
    def make(
        cls, op_type: str, inputs: Sequence[str], outputs: Sequence[str], name: str = "", **attributes: Any
    ) -> Operation:
        """Build an operation from Python attribute values, as onnx.helper.make_node does."""
        records = {key: helper.make_attribute(key, value) for key, value in attributes.items()}
        return cls(op_type, list(inputs), list(outputs), records, name)

    @classmethod
    def from_proto(cls, node: NodeProto) -> Operation:
        """Wrap a NodeProto."""
        domain = "" if node.domain in STANDARD_DOMAINS else node.domain
        attributes = {attribute.name: attribute for attribute in node.attribute}
        return cls(node.op_type, list(node.input), list(node.output), attributes, node.name, domain)

    def to_proto(self) -> NodeProto:
        """Return the NodeProto."""
        node = NodeProto(op_type=self.op_type, name=self.name, domain=self.domain)
        node.input.extend(self.inputs)
        node.output.extend(self.outputs)
        node.attribute.extend(self.attributes.values())
        return node

    @property
    def label(self) -> str:
        """How error messages call this operation."""
        return f"{self.op_type} '{self.name or self.outputs[0]}'"

    @property
    def standard_type(self) -> str:
        """The operator type in the ONNX standard domain, or 'domain.type' elsewhere."""
        return f"{self.domain}.{self.op_type}" if self.domain else self.op_type

    def has(self, name: str) -> bool:
        """Whether the attribute is present."""
        return name in self.attributes

    def integer(self, name: str, default: int = 0) -> int:
        """The integer attribute, or `default`."""
        return int(self.attributes[name].i) if name in self.attributes else default

    def real(self, name: str, default: float = 0.0) -> float:
        """The float attribute, or `default`."""
        return float(self.attributes[name].f) if name in self.attributes else default

    def text(self, name: str, default: str = "") -> str:
        """The string attribute, or `default`."""
        return self.attributes[name].s.decode("utf-8", "replace") if name in self.attributes else default

    def integers(self, name: str, default: Sequence[int] = ()) -> list[int]:
        """The list-of-integers attribute, or `default`."""
        return list(self.attributes[name].ints) if name in self.attributes else list(default)

    def input(self, position: int) -> str:
        """The operand's name at `position`, or '' where it is absent."""
        return self.inputs[position] if position < len(self.inputs) else ""

    def subgraphs(self) -> Iterator[GraphProto]:
        """The graphs that this operation's attributes hold."""
        for attribute in self.attributes.values():
            if attribute.type == AttributeProto.GRAPH:
                yield attribute.g
            yield from attribute.graphs

    def captured(self) -> list[str]:
        """Names of outer tensors that the subgraphs read, in order."""
        names: dict[str, None] = {}
        for graph in self.subgraphs():
            for name in _free_names(graph):
                names.setdefault(name)
        return list(names)


def _free_names(graph: GraphProto) -> list[str]:
    """Names that `graph` reads without defining them."""
    defined = {value.name for value in graph.input}
    defined.update(tensor.name for tensor in graph.initializer)
    free: dict[str, None] = {}
    for node in graph.node:
        for name in [*node.input, *Operation.from_proto(node).captured()]:
            if name and name not in defined:
                free.setdefault(name)
        defined.update(node.output)
    for value in graph.output:
        if value.name not in defined:
            free.setdefault(value.name)
    return list(free)


@dataclass
class WorkingGraph:
    """Operations in topological order, constants by name, and what is known of every value."""

    name: str
    operations: list[Operation]
    constants: dict[str, Array]
    inputs: list[str]
    outputs: list[str]
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    types: dict[str, int] = field(default_factory=dict)
    opset: int = 21
    ir_version: int = 10
    domains: dict[str, int] = field(default_factory=dict)
    folding_budget: int = 1 << 24
    """Elements that constant folding may still make; Expand and its kin could ask for anything."""
    _serial: int = 0

    def fresh(self, stem: str) -> str:
        """Return a value name that the graph does not use yet."""
        while True:
            self._serial += 1
            name = f"{stem}/{self._serial}"
            if name not in self.types and name not in self.constants and name not in self.shapes:
                return name

    def add_constant(self, stem: str, value: Array) -> str:
        """Add a constant under a new name and return the name."""
        name = self.fresh(stem)
        self.constants[name] = value
        self.note(name, value.shape, helper.np_dtype_to_tensor_dtype(value.dtype))
        return name

    def note(self, name: str, shape: Sequence[int], element_type: int) -> None:
        """Record a value's shape and element type."""
        self.shapes[name] = tuple(int(size) for size in shape)
        self.types[name] = element_type

    def shape(self, name: str) -> tuple[int, ...]:
        """The static shape of a value."""
        if name in self.constants:
            return tuple(self.constants[name].shape)
        try:
            return self.shapes[name]
        except KeyError:
            raise ModelError(
                f"{self.name}: the shape of tensor '{name}' is unknown; give input shapes that make it static"
            ) from None

    def producers(self) -> dict[str, Operation]:
        """Map each value to the operation that makes it."""
        return {name: operation for operation in self.operations for name in operation.outputs if name}

    def consumers(self) -> dict[str, list[Operation]]:
        """Map each value to the operations that read it (graph outputs are not listed)."""
        readers: dict[str, list[Operation]] = {}
        for operation in self.operations:
            for name in dict.fromkeys([*operation.inputs, *operation.captured()]):
                if name:
                    readers.setdefault(name, []).append(operation)
        return readers

    def rename_inputs(self, renamed: dict[str, str]) -> None:
        """Make every reader of a key of `renamed` (not the graph outputs) read its value instead."""
        if not renamed:
            return
        for operation in self.operations:
            operation.inputs = [follow(renamed, name) for name in operation.inputs]

    def constant(self, name: str) -> Array | None:
        """The constant's content, or None where `name` is empty or no constant."""
        return self.constants.get(name) if name else None

    def remove_dead(self) -> None:
        """Drop operations and constants that no graph output needs."""
        needed = set(self.outputs)
        kept: list[Operation] = []
        for operation in reversed(self.operations):
            if needed.isdisjoint(operation.outputs):
                continue
            kept.append(operation)
            needed.update(operation.inputs)
            needed.update(operation.captured())
        self.operations = kept[::-1]
        self.constants = {name: value for name, value in self.constants.items() if name in needed}

    def sort(self) -> None:
        """Bring the operations into a deterministic topological order; refuse cycles."""
        self.operations = sort_operations(self.operations, [*self.inputs, *self.constants], self.name)


def follow(renamed: dict[str, str], name: str) -> str:
    """Follow `renamed` from `name` to the end of its chain."""
    while name in renamed:
        name = renamed[name]
    return name


def sort_operations(
    operations: Iterable[Operation], known: Iterable[str], graph_name: str
) -> list[Operation]:
    """Order operations by dependence, keeping the given order among the free ones."""
    operations = operations if isinstance(operations, list) else list(operations)
    maker = {name: index for index, operation in enumerate(operations) for name in operation.outputs if name}
    available = set(known)
    waiting: list[int] = []
    readers: dict[int, list[int]] = {}
    for index, operation in enumerate(operations):
        needs = {
            maker[n] for n in [*operation.inputs, *operation.captured()] if n in maker and n not in available
        }
        waiting.append(len(needs))
        for need in needs:
            readers.setdefault(need, []).append(index)
    if all(not readers.get(i) or min(readers[i]) > i for i in range(len(operations))):
        return operations
    import heapq

    ready = [index for index, count in enumerate(waiting) if count == 0]
    ordered: list[Operation] = []
    while ready:
        index = heapq.heappop(ready)
        ordered.append(operations[index])
        for reader in readers.get(index, ()):
            waiting[reader] -= 1
            if waiting[reader] == 0:
                heapq.heappush(ready, reader)
    if len(ordered) < len(operations):
        stuck = next(operation for operation, count in zip(operations, waiting, strict=True) if count)
        raise ModelError(f"{graph_name}: the graph has a cycle through {stuck.label}; ONNX graphs have none")
    return ordered


def from_model(model: ModelProto) -> WorkingGraph:
    """Take a checked model apart; `Constant` nodes become constants."""
    graph = model.graph
    domains = {
        ("" if item.domain in STANDARD_DOMAINS else item.domain): item.version for item in model.opset_import
    }
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    working = WorkingGraph(
        graph.name or "model",
        [],
        constants,
        [value.name for value in graph.input if value.name not in constants],
        [value.name for value in graph.output],
        opset=domains.get("", 21),
        ir_version=model.ir_version,
        domains=domains,
    )
    working.folding_budget += 2 * sum(content.size for content in constants.values())
    for tensor in graph.initializer:
        working.types[tensor.name] = tensor.data_type
    for node in graph.node:
        operation = Operation.from_proto(node)
        content = _constant_content(operation)
        if content is None:
            working.operations.append(operation)
        else:
            working.constants[operation.outputs[0]] = content[0]
            working.types[operation.outputs[0]] = content[1]
    for value in [*graph.input, *graph.output]:
        if value.type.HasField("tensor_type"):
            working.types.setdefault(value.name, value.type.tensor_type.elem_type)
    working.sort()
    return working


def _constant_content(operation: Operation) -> tuple[Array, int] | None:
    """The array and element type of a `Constant` node, or None for anything else."""
    if operation.op_type != "Constant" or operation.domain:
        return None
    for name, attribute in operation.attributes.items():
        match name:
            case "value":
                return numpy_helper.to_array(attribute.t), attribute.t.data_type
            case "value_float":
                return np.array(attribute.f, np.float32), TensorProto.FLOAT
            case "value_floats":
                return np.array(list(attribute.floats), np.float32), TensorProto.FLOAT
            case "value_int":
                return np.array(attribute.i, np.int64), TensorProto.INT64
            case "value_ints":
                return np.array(list(attribute.ints), np.int64), TensorProto.INT64
    return None


def to_model(
    working: WorkingGraph, inputs: Sequence[str] | None = None, outputs: Sequence[str] | None = None
) -> ModelProto:
    """Put the working graph back together as a ModelProto (value types where they are known)."""
    return build_model(
        working,
        [operation.to_proto() for operation in working.operations],
        working.inputs if inputs is None else inputs,
        working.outputs if outputs is None else outputs,
    )


def build_model(
    working: WorkingGraph, nodes: Sequence[NodeProto], inputs: Sequence[str], outputs: Sequence[str]
) -> ModelProto:
    """A model of `nodes` with the constants that they need, in the working graph's opsets."""
    used = {name for node in nodes for name in [*node.input, *Operation.from_proto(node).captured()]} | set(
        outputs
    )
    initializers = [tensor_proto(working, name) for name in working.constants if name in used]
    graph = helper.make_graph(
        list(nodes),
        working.name,
        [value_info(working, name) for name in inputs],
        [value_info(working, name) for name in outputs],
        initializers,
    )
    domains = {**working.domains, "": working.opset}
    imports = [helper.make_opsetid(domain, version) for domain, version in sorted(domains.items())]
    return helper.make_model(graph, opset_imports=imports, ir_version=working.ir_version)


def tensor_proto(working: WorkingGraph, name: str) -> TensorProto:
    """The constant as a TensorProto."""
    return numpy_helper.from_array(
        np.ascontiguousarray(working.constants[name]).reshape(working.constants[name].shape), name
    )


def value_info(working: WorkingGraph, name: str) -> onnx.ValueInfoProto:
    """The value's type record, without a shape where none is known."""
    shape = working.constants[name].shape if name in working.constants else working.shapes.get(name)
    element_type = working.types.get(name, TensorProto.UNDEFINED)
    if element_type == TensorProto.UNDEFINED:
        return onnx.ValueInfoProto(name=name)
    return helper.make_tensor_value_info(name, element_type, shape)


def element_count(shape: Sequence[int]) -> int:
    """The number of elements of a static shape."""
    return math.prod(shape)
