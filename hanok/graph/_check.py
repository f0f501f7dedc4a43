"""Checks of a parsed model: versions, operators, names, shapes, cycles, scales."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, numpy_helper

from hanok.errors import ModelError, UnsupportedError
from hanok.graph._shapes import MAX_ELEMENTS
from hanok.graph._wire import _ITEM_BITS
from hanok.graph._working import DEQUANTIZE, QUANTIZE, STANDARD_DOMAINS, Operation, sort_operations

MIN_IR_VERSION = 3
MIN_OPSET = 13
MAX_SUBGRAPH_DEPTH = 8
KNOWN_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
_DATA_FIELDS = {
    TensorProto.FLOAT: "float_data",
    TensorProto.COMPLEX64: "float_data",
    TensorProto.DOUBLE: "double_data",
    TensorProto.COMPLEX128: "double_data",
    TensorProto.INT64: "int64_data",
    TensorProto.UINT32: "uint64_data",
    TensorProto.UINT64: "uint64_data",
    TensorProto.STRING: "string_data",
}
"""Where a tensor without raw_data keeps its numbers; all other types use int32_data."""


def check_versions(model: ModelProto, origin: str) -> None:
    """Refuse IR versions, opsets and domains that this installation does not know."""
    _check_text((item.domain for item in model.opset_import), origin)
    newest = int(onnx.IR_VERSION)
    if not MIN_IR_VERSION <= model.ir_version <= newest:
        raise ModelError(f"{origin}: IR version {model.ir_version}; allowed: {MIN_IR_VERSION}..{newest}")
    versions = {
        "" if item.domain in STANDARD_DOMAINS else item.domain: item.version for item in model.opset_import
    }
    if "" not in versions:
        raise ModelError(f"{origin}: no version of ONNX's operator set is named (opset_import is missing)")
    latest = onnx.defs.onnx_opset_version()
    if not 1 <= versions[""] <= latest:
        raise ModelError(f"{origin}: opset {versions['']}; allowed: 1..{latest}")


def check_structure(model: ModelProto, origin: str) -> None:
    """Check the main graph, its tensors and subgraphs."""
    for function in model.functions:
        _check_text(
            [function.name, function.domain, *function.input, *function.output, *function.attribute], origin
        )
        for node in function.node:
            _check_node_text(node, origin)
    if model.graph.sparse_initializer:
        raise UnsupportedError(f"{origin}: sparse initializers; store them as dense tensors")
    if not model.graph.node or not model.graph.output:
        raise ModelError(f"{origin}: the graph has no nodes or no outputs")
    opset = next(item.version for item in model.opset_import if item.domain in STANDARD_DOMAINS)
    functions = {(function.domain, function.name) for function in model.functions}
    _check_graph(model.graph, {}, opset, functions, origin, 0)
    names: dict[str, None] = {}
    for node in model.graph.node:
        if node.name and node.name in names:
            raise ModelError(f"{origin}: two nodes are called '{node.name}'; node names must differ")
        names[node.name] = None
    _check_scales(model.graph, origin)


def _check_text(texts: Iterable[object], origin: str) -> None:
    """Refuse names that are no UTF-8 text (the protobuf library hands those out as bytes)."""
    for text in texts:
        if not isinstance(text, str):
            raise ModelError(f"{origin}: the name {text!r:.80} is no UTF-8 text; the file is damaged")


def _check_node_text(node: NodeProto, origin: str) -> None:
    names = (attribute.name for attribute in node.attribute)
    _check_text([node.name, node.op_type, node.domain, *node.input, *node.output, *names], origin)


def _check_graph(
    graph: GraphProto,
    outer: dict[str, None],
    opset: int,
    functions: set[tuple[str, str]],
    origin: str,
    depth: int,
) -> None:
    if depth > MAX_SUBGRAPH_DEPTH:
        raise ModelError(f"{origin}: subgraphs nested deeper than {MAX_SUBGRAPH_DEPTH}")
    _check_text([graph.name, *(tensor.name for tensor in graph.initializer)], origin)
    _check_text((value.name for value in [*graph.input, *graph.output, *graph.value_info]), origin)
    for node in graph.node:
        _check_node_text(node, origin)
    for value in [*graph.input, *graph.output, *graph.value_info]:
        _check_value(value, origin)
    for tensor in graph.initializer:
        _check_tensor(tensor, origin)
    defined = _defined_names(graph, origin)
    visible = {**outer, **defined}
    for node in graph.node:
        _check_node(node, opset, functions, origin)
        for name in node.input:
            if name and name not in visible:
                label = Operation.from_proto(node).label
                raise ModelError(f"{origin}: {label} reads '{name}', which nothing defines")
        for attribute in node.attribute:
            for inner in [attribute.g, *attribute.graphs] if attribute.HasField("g") else attribute.graphs:
                _check_graph(inner, visible, opset, functions, origin, depth + 1)
    for value in graph.output:
        if value.name not in visible:
            raise ModelError(f"{origin}: output '{value.name}' is made by no node")
    _check_order(graph, outer, origin)


def _defined_names(graph: GraphProto, origin: str) -> dict[str, None]:
    """All names that the graph defines; a name has one definition (an input may have an initialiser)."""
    inputs = _unique((value.name for value in graph.input), "graph input", origin)
    tensors = _unique((tensor.name for tensor in graph.initializer), "initializer", origin)
    made = _unique((name for node in graph.node for name in node.output if name), "node output", origin)
    for name in made:
        if name in inputs or name in tensors:
            raise ModelError(f"{origin}: '{name}' is made by a node and is an input or initializer as well")
    _unique((value.name for value in graph.output), "graph output", origin)
    return {**inputs, **tensors, **made}


def _unique(names: Iterable[str], what: str, origin: str) -> dict[str, None]:
    found: dict[str, None] = {}
    for name in names:
        if not name:
            raise ModelError(f"{origin}: a {what} has no name")
        if name in found:
            raise ModelError(f"{origin}: {what} '{name}' is defined twice; names must differ")
        found[name] = None
    return found


def _check_order(graph: GraphProto, outer: dict[str, None], origin: str) -> None:
    known = (
        [value.name for value in graph.input] + [tensor.name for tensor in graph.initializer] + list(outer)
    )
    sort_operations([Operation.from_proto(node) for node in graph.node], known, origin)


def _check_value(value: ValueInfoProto, origin: str) -> None:
    sizes = [d.dim_value for d in value.type.tensor_type.shape.dim if d.HasField("dim_value")]
    negative = [size for size in sizes if size < -1]
    if negative or math.prod(size for size in sizes if size > 0) > MAX_ELEMENTS:
        raise ModelError(
            f"{origin}: '{value.name}' has shape {sizes[:8]}; allowed: at most {MAX_ELEMENTS} elements, "
            "no negative size"
        )


def _check_tensor(tensor: TensorProto, origin: str) -> None:
    """Refuse tensors whose data is not as long as their shape says."""
    if tensor.data_type not in _ITEM_BITS and tensor.data_type != TensorProto.STRING:
        raise ModelError(
            f"{origin}: tensor '{tensor.name}' has element type {tensor.data_type}, which is not known"
        )
    count = math.prod(tensor.dims)
    if any(size < 0 for size in tensor.dims) or len(tensor.dims) > 64 or count > 2 * MAX_ELEMENTS:
        raise ModelError(f"{origin}: tensor '{tensor.name}' has shape {list(tensor.dims)[:8]}")
    if tensor.HasField("raw_data"):
        want = (count * _ITEM_BITS.get(tensor.data_type, 0) + 7) // 8
        found = len(tensor.raw_data)
    else:
        want = _stored_numbers(tensor.data_type, count)
        found = len(getattr(tensor, _DATA_FIELDS.get(tensor.data_type, "int32_data")))
    if want != found:
        raise ModelError(
            f"{origin}: tensor '{tensor.name}' of shape {list(tensor.dims)[:8]} needs {want} "
            f"{'bytes' if tensor.HasField('raw_data') else 'numbers'}; found {found}"
        )


def _stored_numbers(data_type: int, count: int) -> int:
    """How many numbers a tensor without raw_data holds: complex ones two each, narrow ones several in one."""
    if data_type in (TensorProto.COMPLEX64, TensorProto.COMPLEX128):
        return 2 * count
    bits = _ITEM_BITS.get(data_type, 8)
    return -(-count * bits // 8) if bits < 8 else count


def _check_node(node: NodeProto, opset: int, functions: set[tuple[str, str]], origin: str) -> None:
    label = Operation.from_proto(node).label if node.output else f"{node.op_type} '{node.name}'"
    if (node.domain, node.op_type) in functions:
        return
    if node.domain not in KNOWN_DOMAINS:
        known = ", ".join(repr(domain) for domain in KNOWN_DOMAINS[1:])
        raise UnsupportedError(f"{origin}: {label} is of domain '{node.domain}'; known domains: {known}")
    if not node.output:
        raise ModelError(f"{origin}: {label} has no outputs")
    domain = "" if node.domain in STANDARD_DOMAINS else node.domain
    if domain == "" and not _known(node.op_type, opset):
        raise UnsupportedError(f"{origin}: {label} is no operator of ONNX opset {opset}")
    seen: set[str] = set()
    for attribute in node.attribute:
        if attribute.name in seen:
            raise ModelError(f"{origin}: {label} has attribute '{attribute.name}' twice")
        seen.add(attribute.name)
        if attribute.HasField("t"):
            _check_tensor(attribute.t, origin)
        for tensor in attribute.tensors:
            _check_tensor(tensor, origin)


def _known(op_type: str, opset: int) -> bool:
    try:
        return not onnx.defs.get_schema(op_type, opset, "").deprecated
    except onnx.defs.SchemaError:
        return False


def _check_scales(graph: GraphProto, origin: str) -> None:
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.output:
            held = [one.t for one in node.attribute if one.name == "value" and one.HasField("t")]
            tensors.update(zip(node.output, held, strict=False))
    for node in graph.node:
        if node.op_type not in (QUANTIZE, DEQUANTIZE) or len(node.input) < 2 or node.input[1] not in tensors:
            continue
        scale = np.asarray(numpy_helper.to_array(tensors[node.input[1]])).astype(np.float32)
        blocked = any(attribute.name == "block_size" and attribute.i for attribute in node.attribute)
        bad = scale[~(np.isfinite(scale) & ((scale > 0) | blocked))]
        if bad.size:
            label = Operation.from_proto(node).label
            allowed = "finite numbers" if blocked else "finite numbers above zero"
            raise ModelError(f"{origin}: {label}: scale {bad.reshape(-1)[0]}; allowed: {allowed}")


def run_checker(model: ModelProto, origin: str) -> None:
    """Let onnx.checker see every node of the main graph: arity, attributes and their types."""
    context = onnx.checker.C.CheckerContext()
    context.ir_version = model.ir_version
    context.opset_imports = {item.domain: item.version for item in model.opset_import}
    functions = {(function.domain, function.name) for function in model.functions}
    for node in model.graph.node:
        has_graph = any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute)
        if has_graph or node.op_type == "Constant" or (node.domain, node.op_type) in functions:
            continue
        try:
            onnx.checker.check_node(node, context)
        except (onnx.checker.ValidationError, ValueError) as error:
            text = " ".join(line.strip() for line in str(error).splitlines() if line.strip())
            raise ModelError(f"{origin}: {Operation.from_proto(node).label}: {text[:400]}") from None
