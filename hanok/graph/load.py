"""Loading an ONNX model without trusting it: sizes, names, versions and external files are checked first."""

from __future__ import annotations

import mmap
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import FunctionProto, ModelProto

from hanok.errors import ModelError, UnsupportedError
from hanok.graph._check import MIN_OPSET, check_structure, check_versions, run_checker
from hanok.graph._external import MAX_TOTAL_BYTES, load_external
from hanok.graph._packed_weights import unpack_weights
from hanok.graph._wire import check_wire
from hanok.graph._working import STANDARD_DOMAINS, Operation, sort_operations

MALFORMED = (ValueError, TypeError, LookupError, AttributeError, RuntimeError, OverflowError, RecursionError)
"""What onnx and NumPy raise on content that contradicts itself in a way that no check here foresees."""


def load_model(source: str | Path | bytes) -> ModelProto:
    """Load and check a model; every flaw is a ModelError or UnsupportedError that says what it is.

    The result has its external data inside, its nodes sorted, its local functions inlined, and an opset of at
    least 13 (older ones are converted where ONNX's version converter can).
    """
    origin = "model" if isinstance(source, bytes) else str(source)
    try:
        if isinstance(source, bytes):
            return _checked(source, None, origin)
        path = Path(source)
        return _checked(_read_file(path), path.parent, origin)
    except MALFORMED as error:
        raise ModelError(f"{origin}: a damaged model: {type(error).__name__}: {str(error)[:200]}") from error


def _read_file(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise ModelError(f"{path}: no such file")
        size = path.stat().st_size
        if size == 0 or size > MAX_TOTAL_BYTES:
            raise ModelError(f"{path}: {size} bytes; allowed: 1..{MAX_TOTAL_BYTES}")
        with path.open("rb") as file:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
                check_wire(view, str(path))
            return file.read()
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read: {error}") from None


def _checked(content: bytes, folder: Path | None, origin: str) -> ModelProto:
    if folder is None:
        check_wire(content, origin)
    try:
        model = ModelProto.FromString(content)
    except (DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ModelError(f"{origin}: not an ONNX model: {error}") from None
    del content
    if not model.HasField("graph"):
        raise ModelError(f"{origin}: not an ONNX model: it has no graph")
    check_versions(model, origin)
    load_external(model, folder, origin)
    check_structure(model, origin)
    _sort_nodes(model, origin)
    run_checker(model, origin)
    modern = _modernised(_inlined(model, origin), origin)
    unpack_weights(modern, origin)
    return modern


def _sort_nodes(model: ModelProto, origin: str) -> None:
    known = [value.name for value in model.graph.input] + [tensor.name for tensor in model.graph.initializer]
    operations = [Operation.from_proto(node) for node in model.graph.node]
    ordered = sort_operations(operations, known, origin)
    if ordered is operations:
        return
    protos = [operation.to_proto() for operation in ordered]
    del model.graph.node[:]
    model.graph.node.extend(protos)


def _inlined(model: ModelProto, origin: str) -> ModelProto:
    if not model.functions:
        return model
    _check_no_recursion(model, origin)
    from onnx import inliner

    try:
        flat: ModelProto = inliner.inline_local_functions(model, convert_version=False)
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"{origin}: its functions cannot be inlined: {str(error)[:200]}") from None
    check_structure(flat, origin)
    return flat


def _check_no_recursion(model: ModelProto, origin: str) -> None:
    """Refuse functions that call each other in a circle, or that would expand to a huge graph."""
    functions = {(function.domain, function.name): function for function in model.functions}
    size: dict[tuple[str, str], int] = {}
    open_calls: set[tuple[str, str]] = set()

    def expanded(key: tuple[str, str], function: FunctionProto, depth: int) -> int:
        if key in open_calls or depth > 64:
            raise ModelError(f"{origin}: function '{function.name}' calls itself, directly or through others")
        if key in size:
            return size[key]
        open_calls.add(key)
        total = 0
        for node in function.node:
            called = (node.domain, node.op_type)
            total += expanded(called, functions[called], depth + 1) if called in functions else 1
        open_calls.remove(key)
        size[key] = total
        return total

    total = 0
    for node in model.graph.node:
        key = (node.domain, node.op_type)
        total += expanded(key, functions[key], 0) if key in functions else 1
    if total > 200_000:
        raise ModelError(f"{origin}: its functions expand to {total} nodes; allowed: at most 200000")


def _modernised(model: ModelProto, origin: str) -> ModelProto:
    """Convert opsets older than 13."""
    opset = next(item.version for item in model.opset_import if item.domain in STANDARD_DOMAINS)
    if opset >= MIN_OPSET:
        return model
    from onnx import version_converter

    try:
        converted: ModelProto = version_converter.convert_version(model, MIN_OPSET)
    except (RuntimeError, ValueError, onnx.checker.ValidationError) as error:
        first = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise UnsupportedError(
            f"{origin}: opset {opset} cannot be converted to {MIN_OPSET} ({first}); export opset 13 to 23"
        ) from None
    check_structure(converted, origin)
    return converted
