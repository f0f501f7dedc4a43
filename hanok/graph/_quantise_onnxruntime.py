"""ONNX Runtime's QDQ quantiser with known ranges, in memory, and what it needs done before and behind it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import onnx
from onnx import ModelProto

from hanok.errors import UnsupportedError
from hanok.graph._quantise_select import PRODUCTS, QUANTISED_OPERATORS, Range
from hanok.graph._shapes import fix_input_shapes, infer_shapes
from hanok.graph._working import DEQUANTIZE, QUANTIZE, Operation, WorkingGraph, from_model, to_model

MOVES = ("Expand", "Flatten", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze")
"""Operations whose results hold values of their first operand alone."""


def insert_quantisers(
    working: WorkingGraph, ranges: Mapping[str, Range], kept_float: Mapping[str, str], products: bool = False
) -> ModelProto:
    """Run ONNX Runtime's QDQ quantiser with known ranges, in memory.

    With `products` only the operands of convolutions and matrix products become int8; their results stay
    float, as does all that stands between them.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantType
    from onnxruntime.quantization.calibrate import TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    finite = {
        name: (np.float32(low), np.float32(high))
        for name, (low, high) in ranges.items()
        if np.isfinite([low, high]).all()
    }
    source = to_model(working)
    _add_value_types(source, working)
    options: dict[str, object] = {
        "QDQOpTypePerChannelSupportToAxis": {"MatMul": 1},
        "ForceQuantizeNoInputCheck": True,
        "WeightSymmetric": True,
        "ActivationSymmetric": False,
        "TensorQuantOverrides": _overrides(working),
    }
    operators = PRODUCTS if products else QUANTISED_OPERATORS
    if products:
        options["OpTypesToExcludeOutputQuantization"] = list(PRODUCTS)
    with _quiet():
        quantiser = QDQQuantizer(
            source,
            True,  # per_channel
            False,  # reduce_range
            QuantType.QInt8,
            QuantType.QInt8,
            TensorsData(CalibrationMethod.MinMax, finite),
            [],
            list(kept_float),
            list(operators),
            options,
        )
        quantiser.quantize_model()
    return _finished(quantiser.model.model, ranges, kept_float, products)


def _overrides(working: WorkingGraph) -> dict[str, list[dict[str, bool]]]:
    """Tensors that are quantised symmetrically: some activations, and per-tensor weights where ONNX has no
    form for one scale a channel (grouped ConvTranspose)."""
    weights = {
        operation.inputs[1]
        for operation in working.operations
        if operation.op_type == "ConvTranspose" and operation.integer("group", 1) > 1
    }
    return {name: [{"symmetric": True}] for name in sorted(weights | symmetric_activations(working))}


def symmetric_activations(working: WorkingGraph) -> set[str]:
    """Activations that are multiplied with one another, whose zero points cost passes.

    Probabilities and exponentials are not among them: they would lose half of their steps.
    """
    producers = working.producers()
    chosen: set[str] = set()
    for operation in working.operations:
        if operation.op_type != "MatMul" or any(name in working.constants for name in operation.inputs):
            continue
        for name in operation.inputs:
            maker = producers.get(name)
            while maker is not None and maker.op_type in MOVES:
                maker = producers.get(maker.inputs[0])
            if maker is None or maker.op_type not in ("Softmax", "Exp"):
                chosen.add(name)
    return chosen


def _add_value_types(model: ModelProto, working: WorkingGraph) -> None:
    known = {value.name for value in [*model.graph.input, *model.graph.output]}
    for name, element_type in working.types.items():
        if name not in known and name not in working.constants and name in working.shapes:
            shape = working.shapes[name]
            model.graph.value_info.append(onnx.helper.make_tensor_value_info(name, element_type, shape))


def _finished(
    model: ModelProto, ranges: Mapping[str, Range], kept_float: Mapping[str, str], products: bool
) -> ModelProto:
    """Close the gaps that the quantiser left, drop what nothing needs."""
    working = from_model(model)
    fix_input_shapes(working, model, None)
    infer_shapes(working)
    if not products:
        _close_gaps(working, ranges, kept_float)
    working.remove_dead()
    infer_shapes(working)
    working.domains = {name: version for name, version in working.domains.items() if not name}
    return to_model(working)


def _close_gaps(working: WorkingGraph, ranges: Mapping[str, Range], kept_float: Mapping[str, str]) -> None:
    """Give a Relu or Clip of a float tensor, which the quantiser passes over, its Q and DQ on both sides."""
    producers, consumers = working.producers(), working.consumers()
    operations: list[Operation] = []
    for operation in working.operations:
        found = producers.get(operation.inputs[0]) if operation.inputs else None
        passed_over = operation.op_type in ("Relu", "Clip") and operation.name not in kept_float
        if not passed_over or (found is not None and found.op_type == DEQUANTIZE):
            operations.append(operation)
            continue
        source, output = operation.inputs[0], operation.outputs[0]
        before, operation.inputs[0] = _pair(working, source, ranges[source])
        operations += [*before, operation]
        readers = consumers.get(output, [])
        if output in working.outputs or any(reader.op_type != QUANTIZE for reader in readers):
            operation.outputs[0] = working.fresh(output)
            after, _ = _pair(working, operation.outputs[0], ranges[output], output)
            operations += after
    working.operations = operations


def _pair(
    working: WorkingGraph, source: str, limits: Range, result: str | None = None
) -> tuple[list[Operation], str]:
    """A Q and a DQ of `source` for values within `limits`, as ONNX Runtime chooses scale and zero point."""
    low, high = min(limits[0], 0.0), max(limits[1], 0.0)
    scale = np.float32((high - low) / 255) if high > low else np.float32(1)
    zero = np.int8(np.clip(np.rint(-128 - low / scale), -128, 127))
    scale_name = working.add_constant(f"{source}_scale", np.array(scale))
    zero_name = working.add_constant(f"{source}_zero_point", np.array(zero))
    stored, output = working.fresh(f"{source}_quantized"), result or working.fresh(f"{source}_dequantized")
    pair = [
        Operation.make(QUANTIZE, [source, scale_name, zero_name], [stored], f"{source}_QuantizeLinear"),
        Operation.make(DEQUANTIZE, [stored, scale_name, zero_name], [output], f"{source}_DequantizeLinear"),
    ]
    return pair, output


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantiser's advice off the user's terminal; problems are raised, not logged."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    except (ValueError, RuntimeError, KeyError, AttributeError, TypeError, AssertionError) as error:
        raise UnsupportedError(f"ONNX Runtime's quantiser cannot quantise the model: {error}") from error
    finally:
        root.setLevel(level)
