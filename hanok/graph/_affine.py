"""Per-channel scale and shift (BatchNormalization, Mul, Add by constants) folded into the operator before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper

from hanok.graph._quantized import read_border
from hanok.graph._working import DEQUANTIZE, Array, Operation, WorkingGraph, follow

Double = npt.NDArray[np.float64]
_ARITHMETIC = ("Add", "Sub", "Mul", "Div")
_WEIGHTED = ("Conv", "ConvTranspose", "Gemm")
_STEPS = 127


@dataclass(frozen=True)
class Affine:
    """y = x * gain + shift for each channel."""

    source: str
    gain: Double
    shift: Double


def fold_affine(working: WorkingGraph) -> bool:
    """Fold BatchNormalization and per-channel arithmetic into the Conv, ConvTranspose or Gemm before it."""
    producers, readers = working.producers(), working.consumers()
    renamed: dict[str, str] = {}
    for operation in list(working.operations):
        if operation.domain or not operation.inputs:
            continue
        for position in _candidates(operation):
            source = operation.inputs[position]
            maker = producers.get(follow(renamed, source))
            if maker is None or maker.domain or maker.op_type not in _WEIGHTED:
                continue
            if len(readers.get(source, ())) != 1 or source in working.outputs:
                continue
            axis = len(working.shape(source)) - 1 if maker.op_type == "Gemm" else 1
            affine = read_affine(working, producers, operation, position, axis)
            if affine is not None and _absorb(working, producers, maker, affine):
                renamed[operation.outputs[0]] = maker.outputs[0]
                break
    return _remove_folded(working, renamed)


def _candidates(operation: Operation) -> tuple[int, ...]:
    """Positions of operands that may be the activation."""
    if operation.op_type == "BatchNormalization":
        return (0,)
    return (0, 1) if operation.op_type in _ARITHMETIC else ()


def _remove_folded(working: WorkingGraph, renamed: dict[str, str]) -> bool:
    """Let the absorbing operation make the absorbed one's output."""
    if not renamed:
        return False
    final = {follow(renamed, name): name for name in renamed}
    working.operations = [
        operation for operation in working.operations if operation.outputs[0] not in renamed
    ]
    for operation in working.operations:
        operation.outputs = [final.get(name, name) for name in operation.outputs]
    aliases = {name: final[follow(renamed, name)] for name in renamed}
    aliases = {name: target for name, target in aliases.items() if name != target}
    working.rename_inputs(aliases)
    working.remove_dead()
    return True


def constant_value(working: WorkingGraph, producers: dict[str, Operation], name: str) -> Array | None:
    """A float constant, or what a DQ makes of a constant."""
    content = working.constant(name)
    if content is not None:
        return content if content.dtype == np.float32 else None
    maker = producers.get(name)
    if maker is None or maker.op_type != DEQUANTIZE:
        return None
    stored = working.constant(maker.inputs[0])
    border = read_border(working, maker)
    if stored is None or border is None:
        return None
    shape = [1] * stored.ndim
    if border.quantization.axis is not None:
        shape[border.quantization.axis] = -1
    zero = working.constant(maker.input(2))
    shifted = stored.astype(np.int64)
    if zero is not None:
        shifted = shifted - zero.astype(np.int64).reshape(shape if zero.size > 1 else ())
    scale = border.quantization.scale
    made: Array = shifted.astype(np.float32) * (scale.reshape(shape) if scale.size > 1 else scale.reshape(()))
    return made


def read_affine(
    working: WorkingGraph, producers: dict[str, Operation], operation: Operation, position: int, axis: int
) -> Affine | None:
    """The operation as gain and shift of its operand `position` along `axis`."""
    source = operation.inputs[position]
    channels = working.shape(source)[axis]
    if operation.op_type == "BatchNormalization":
        return _batch_normalization(working, producers, operation, channels) if axis == 1 else None
    if operation.op_type not in _ARITHMETIC or working.shape(operation.outputs[0]) != working.shape(source):
        return None
    other = constant_value(working, producers, operation.inputs[1 - position])
    values = None if other is None else _per_channel(other, len(working.shape(source)), axis, channels)
    if values is None:
        return None
    ones, zeros = np.ones(channels), np.zeros(channels)
    match operation.op_type, position:
        case "Mul", _:
            return Affine(source, values, zeros)
        case "Add", _:
            return Affine(source, ones, values)
        case "Sub", 0:
            return Affine(source, ones, -values)
        case "Sub", 1:
            return Affine(source, -ones, values)
        case "Div", 0 if np.all(values != 0):
            return Affine(source, 1 / values, zeros)
    return None


def _per_channel(content: Array, rank: int, axis: int, channels: int) -> Double | None:
    """A constant that varies along `axis` alone, one value for each channel."""
    if content.ndim > rank or not np.isfinite(content).all():
        return None
    shape = (1,) * (rank - content.ndim) + content.shape
    if any(size != 1 for index, size in enumerate(shape) if index != axis) or shape[axis] not in (
        1,
        channels,
    ):
        return None
    return np.broadcast_to(content.reshape(-1).astype(np.float64), (channels,)).copy()


def _batch_normalization(
    working: WorkingGraph, producers: dict[str, Operation], operation: Operation, channels: int
) -> Affine | None:
    if operation.integer("training_mode") or any(operation.outputs[1:]):
        return None
    parameters = [constant_value(working, producers, name) for name in operation.inputs[1:5]]
    if len(parameters) != 4 or any(value is None or value.shape != (channels,) for value in parameters):
        return None
    scale, shift, mean, variance = (np.asarray(value, np.float64) for value in parameters)
    gain = scale / np.sqrt(variance + operation.real("epsilon", 1e-5))
    if not np.isfinite(gain).all():
        return None
    return Affine(operation.inputs[0], gain, shift - mean * gain)


def _absorb(working: WorkingGraph, producers: dict[str, Operation], maker: Operation, affine: Affine) -> bool:
    """Multiply the weights of `maker` by the gain and change its bias; False where they are no constants."""
    if maker.op_type == "Gemm" and (maker.real("alpha", 1.0) != 1.0 or maker.real("beta", 1.0) != 1.0):
        return False
    axis = _output_axis(maker)
    group = maker.integer("group", 1)
    if maker.op_type == "ConvTranspose" and group > 1:
        return False
    bias: Array | None = np.zeros(1, np.float32)
    if maker.input(2):
        bias = constant_value(working, producers, maker.inputs[2])
    if bias is None or bias.size not in (1, affine.gain.size):
        return False
    if np.any(affine.gain != 1) and not _scale_weights(working, producers, maker, affine.gain, axis):
        return False
    shifted = bias.reshape(-1).astype(np.float64) * affine.gain + affine.shift
    name = working.add_constant(f"{maker.outputs[0]}/bias", shifted.astype(np.float32))
    maker.inputs = [*maker.inputs[:2], name]
    return True


def _output_axis(maker: Operation) -> int:
    if maker.op_type == "Gemm":
        return 0 if maker.integer("transB") else 1
    return 1 if maker.op_type == "ConvTranspose" else 0


def _scale_weights(
    working: WorkingGraph, producers: dict[str, Operation], maker: Operation, gain: Double, axis: int
) -> bool:
    content = working.constant(maker.inputs[1])
    stem = f"{maker.outputs[0]}/weight"
    if content is not None and content.dtype == np.float32:
        shape = [-1 if index == axis else 1 for index in range(content.ndim)]
        scaled = (content.astype(np.float64) * gain.reshape(shape)).astype(np.float32)
        maker.inputs[1] = working.add_constant(stem, scaled)
        return True
    dequantizer = producers.get(maker.inputs[1])
    border = None if dequantizer is None else read_border(working, dequantizer)
    stored = None if dequantizer is None else working.constant(dequantizer.inputs[0])
    if dequantizer is None or border is None or stored is None or np.any(gain <= 0):
        return False
    if border.quantization.axis not in (None, axis):
        return False
    scale = (border.quantization.scale.astype(np.float64) * gain).astype(np.float32)
    raw_zero = working.constant(dequantizer.input(2))
    zero = np.zeros(1, stored.dtype) if raw_zero is None else raw_zero.reshape(-1)
    zeros = np.broadcast_to(zero, scale.shape).copy()
    names = [
        working.add_constant(f"{stem}/{label}", value) for label, value in (("scale", scale), ("zero", zeros))
    ]
    working.types[names[1]] = working.types[dequantizer.inputs[0]]
    output = working.fresh(stem)
    working.note(output, stored.shape, TensorProto.FLOAT)
    made = Operation.make(DEQUANTIZE, [dequantizer.inputs[0], *names], [output], axis=axis)
    position = working.operations.index(maker)
    working.operations.insert(position, made)
    producers[output] = made
    maker.inputs[1] = output
    return True


def normalization_to_convolution(working: WorkingGraph) -> bool:
    """Turn a BatchNormalization that nothing absorbed into a depthwise 1x1 Conv (rank 3 and 4)."""
    producers = working.producers()
    changed = False
    for operation in working.operations:
        if operation.domain or operation.op_type != "BatchNormalization":
            continue
        rank = len(working.shape(operation.inputs[0]))
        affine = read_affine(working, producers, operation, 0, 1) if rank in (3, 4) else None
        if affine is None:
            continue
        shape = (affine.gain.size, *([1] * (rank - 1)))
        stem = operation.outputs[0]
        weight = working.add_constant(f"{stem}/weight", affine.gain.astype(np.float32).reshape(shape))
        bias = working.add_constant(f"{stem}/bias", affine.shift.astype(np.float32))
        become_depthwise(operation, [affine.source, weight, bias], affine.gain.size)
        operation.outputs = operation.outputs[:1]
        changed = True
    return changed


def become_depthwise(operation: Operation, inputs: list[str], channels: int) -> None:
    """Turn the operation into a depthwise 1x1 Conv."""
    operation.op_type, operation.inputs = "Conv", inputs
    operation.attributes = {"group": helper.make_attribute("group", channels)}


def affine_to_quantized_convolution(working: WorkingGraph) -> bool:
    """Turn per-channel arithmetic on an int8 activation into a depthwise 1x1 Conv with weights of +-127."""
    producers = working.producers()
    operations: list[Operation] = []
    changed = False
    for operation in working.operations:
        found = _standalone(working, producers, operation)
        if found is None:
            operations.append(operation)
            continue
        operations += _quantized_depthwise(working, operation, found)
        changed = True
    working.operations = operations
    return changed


def _standalone(
    working: WorkingGraph, producers: dict[str, Operation], operation: Operation
) -> Affine | None:
    """The affine form of an operation right behind the DQ of an activation, if one scalar does not do."""
    if operation.domain:
        return None
    for position in _candidates(operation):
        maker = producers.get(operation.inputs[position])
        border = None if maker is None else read_border(working, maker)
        if maker is None or maker.op_type != DEQUANTIZE or border is None or not border.is_activation:
            continue
        rank = len(working.shape(operation.inputs[position]))
        if maker.inputs[0] in working.constants or rank not in (3, 4):
            continue
        other = operation.inputs[1 - position] if operation.op_type in _ARITHMETIC else ""
        if other and (other not in working.constants or working.constants[other].size == 1):
            continue
        affine = read_affine(working, producers, operation, position, 1)
        if affine is not None:
            return affine
    return None


def _quantized_depthwise(working: WorkingGraph, operation: Operation, affine: Affine) -> list[Operation]:
    rank = len(working.shape(affine.source))
    size = np.abs(affine.gain)
    floor = float(np.max(size, initial=0.0)) * 2.0**-16 or 1.0
    scale = (np.maximum(size, floor) / _STEPS).astype(np.float32)
    steps = np.rint(affine.gain / scale.astype(np.float64)).astype(np.int8)
    stem = operation.outputs[0]
    stored = working.add_constant(f"{stem}/weight", steps.reshape(-1, *([1] * (rank - 1))))
    scales = working.add_constant(f"{stem}/weight/scale", scale)
    real = working.fresh(f"{stem}/weight")
    working.note(real, (steps.size, *([1] * (rank - 1))), TensorProto.FLOAT)
    bias = working.add_constant(f"{stem}/bias", affine.shift.astype(np.float32))
    zeros = working.add_constant(f"{stem}/weight/zero", np.zeros(steps.size, np.int8))
    dequantizer = Operation.make(DEQUANTIZE, [stored, scales, zeros], [real], axis=0)
    become_depthwise(operation, [affine.source, real, bias], steps.size)
    return [dequantizer, operation]
