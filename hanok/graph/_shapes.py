"""Static shapes: free dimensions of the inputs are fixed, everything else is inferred."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper

from hanok.errors import ModelError, UnsupportedError
from hanok.graph._working import Array, Operation, WorkingGraph, build_model, element_count
from hanok.graph.oracle import run_onnxruntime

MAX_ELEMENTS = 1 << 30
MAX_PROBE_ELEMENTS = 1 << 24
_SMALL_CONSTANT = 1024


def fix_input_shapes(
    working: WorkingGraph, model: ModelProto, input_shapes: Mapping[str, Sequence[int]] | None
) -> None:
    """Give every graph input a static shape: the given one, else the declared one with free dimensions 1."""
    given = dict(input_shapes or {})
    declared = {value.name: value for value in model.graph.input}
    for name in working.inputs:
        value = declared[name]
        if not value.type.HasField("tensor_type"):
            raise UnsupportedError(f"input '{name}' is a sequence, map or optional; hanok takes tensors only")
        shape = _declared_shape(value)
        if name in given:
            shape = _match_given(name, shape, given.pop(name))
        if shape is None:
            raise ModelError(f"input '{name}' has no shape; give one (for example {name}=1x3x224x224)")
        fixed = tuple(1 if size is None else size for size in shape)
        _check_size(name, fixed)
        working.note(name, fixed, value.type.tensor_type.elem_type)
    if given:
        known = ", ".join(working.inputs)
        raise ModelError(f"a shape is given for '{next(iter(given))}', which is no input; inputs: {known}")


def _declared_shape(value: onnx.ValueInfoProto) -> list[int | None] | None:
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    sizes: list[int | None] = []
    for dimension in tensor.shape.dim:
        known = dimension.HasField("dim_value") and dimension.dim_value >= 0
        sizes.append(dimension.dim_value if known else None)
    return sizes


def _match_given(name: str, declared: list[int | None] | None, given: Sequence[int]) -> list[int | None]:
    shape = [int(size) for size in given]
    fits = declared is None or (
        len(declared) == len(shape)
        and all(want is None or want == size for want, size in zip(declared, shape, strict=True))
    )
    if not fits or any(size < 1 for size in shape):
        shown = None if declared is None else ["?" if size is None else size for size in declared]
        raise ModelError(f"input '{name}': shape {shape} is given, but the model declares {shown}")
    return list(shape)


def _check_size(name: str, shape: Sequence[int]) -> None:
    if element_count(shape) > MAX_ELEMENTS:
        raise ModelError(f"tensor '{name}' has shape {list(shape)}; allowed: at most {MAX_ELEMENTS} elements")


def infer_shapes(working: WorkingGraph) -> None:
    """Infer shape and type of every value; values that stay unknown are simply not recorded."""
    model = _skeleton(working)
    try:
        inferred = onnx.shape_inference.infer_shapes(
            model, check_type=False, strict_mode=True, data_prop=True
        )
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError) as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        raise ModelError(f"{working.name}: shapes do not fit: {' '.join(lines)[:400]}") from None
    fixed = set(working.inputs)
    for value in [*inferred.graph.value_info, *inferred.graph.output]:
        if value.name in fixed or not value.type.HasField("tensor_type"):
            continue
        working.types[value.name] = value.type.tensor_type.elem_type
        shape = _declared_shape(value)
        if shape is not None and None not in shape:
            sizes = tuple(size for size in shape if size is not None)
            _check_size(value.name, sizes)
            working.shapes[value.name] = sizes
    _probe_other_domains(working)


def _skeleton(working: WorkingGraph) -> ModelProto:
    """The model with large constants turned into inputs, so that inference does not copy them."""
    large = {name: value for name, value in working.constants.items() if value.size > _SMALL_CONSTANT}
    small = WorkingGraph(
        working.name,
        working.operations,
        {name: value for name, value in working.constants.items() if name not in large},
        [*working.inputs, *large],
        working.outputs,
        opset=working.opset,
        ir_version=max(working.ir_version, 4),
        domains=working.domains,
    )
    for name in working.inputs:
        small.note(name, working.shapes[name], working.types[name])
    for name, value in large.items():
        small.note(name, value.shape, working.types.get(name) or helper.np_dtype_to_tensor_dtype(value.dtype))
    for name in working.outputs:
        small.types.setdefault(name, TensorProto.UNDEFINED)
    nodes = [operation.to_proto() for operation in working.operations]
    return build_model(small, nodes, small.inputs, small.outputs)


def _probe_other_domains(working: WorkingGraph) -> None:
    """Learn the output shapes of operators outside the ONNX standard by running each once on zeros."""
    for operation in working.operations:
        if not operation.domain or all(name in working.shapes for name in operation.outputs if name):
            continue
        names = [name for name in operation.inputs if name]
        if any(name not in working.constants and name not in working.shapes for name in names):
            continue
        if sum(element_count(working.shape(name)) for name in names) > MAX_PROBE_ELEMENTS:
            continue
        for name, value in zip(operation.outputs, _run_on_zeros(working, operation), strict=True):
            if name:
                working.note(name, value.shape, helper.np_dtype_to_tensor_dtype(value.dtype))
        return infer_shapes(working)
    return None


def _run_on_zeros(working: WorkingGraph, operation: Operation) -> list[Array]:
    reads = [name for name in dict.fromkeys(operation.inputs) if name and name not in working.constants]
    named = [name for name in operation.outputs if name]
    model = build_model(working, [operation.to_proto()], reads, [])
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in named)
    feeds = {
        name: np.zeros(working.shape(name), helper.tensor_dtype_to_np_dtype(working.types[name]))
        for name in reads
    }
    try:
        results = run_onnxruntime(model, feeds, named, optimise=False)
    except ModelError as error:
        raise UnsupportedError(f"{operation.label} of domain '{operation.domain}': {error}") from None
    return [results[name] if name else np.zeros(0) for name in operation.outputs]
