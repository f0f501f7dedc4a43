"""Repair of quantised weights: scale and bias of each output channel refitted to the float outputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from onnx import ModelProto

from hanok.graph._calibration import Sample
from hanok.graph._layers import Layer, find_layers
from hanok.graph._pieces import forget, last_readers, run_piece
from hanok.graph._shapes import fix_input_shapes, infer_shapes
from hanok.graph._working import DEQUANTIZE, Array, Operation, WorkingGraph, build_model, from_model, to_model
from hanok.graph.oracle import reference_session, run_session

KEPT_BYTES = 256 << 20
"""Float layer outputs that may be held at once; it bounds the samples that the repair looks at."""
FEWEST_GROUPS = 4
"""With fewer samples than this, each is cut into parts to see how much values scatter."""
PRIOR_FREEDOM = 4.0
"""How many observations the layer's pooled error weighs in the error of each of its channels."""
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LayerRepair:
    """One repaired layer: its error over its signal before and after, in dB, and how far scales moved."""

    name: str
    error_before_db: float
    error_after_db: float
    largest_scale_change: float
    """Largest |new scale / old scale - 1| over the channels."""
    largest_bias_steps: float
    """Largest change of a bias, in steps of the layer's output quantisation."""


@dataclass(frozen=True)
class _Moments:
    """Sums for each group of values and channel [groups, channels]: quantised output z, float output y."""

    count: FloatArray
    z: FloatArray
    y: FloatArray
    zz: FloatArray
    zy: FloatArray
    yy: FloatArray

    def total(self) -> _Moments:
        """The sums over all groups [channels]."""
        return _Moments(*(part.sum(0) for part in (self.count, self.z, self.y, self.zz, self.zy, self.yy)))


def repair_layers(
    float_graph: WorkingGraph, quantised: ModelProto, samples: Sequence[Sample]
) -> tuple[ModelProto, list[LayerRepair]]:
    """Walk the quantised model once, layer by layer, each layer seeing the repaired ones before it.

    The layer's output z is held against two float outputs, over the values that the output's quantisation
    does not clip. Against the float layer on the same quantised input, a line is fitted for each output
    channel: it mends the rounding of the weights. Against the float model, the mean is then matched: it
    mends what earlier layers shifted. Both are shrunk by empirical Bayes, as far as they could be chance.
    Slopes multiply the weight scales, offsets go to the int32 biases; integer weights stay as they are.
    """
    graph = from_model(quantised)
    fix_input_shapes(graph, quantised, None)
    infer_shapes(graph)
    layers = find_layers(graph)
    if not layers:
        return quantised, []
    samples = affordable_samples(float_graph, layers, samples)
    targets = _layer_outputs(float_graph, layers, samples)
    repairs: list[LayerRepair] = []
    values = [dict(sample) for sample in samples]
    operations = {operation.name: operation for operation in float_graph.operations}
    for layer, inputs, outputs in walk_layers(graph, layers, values):
        same_input = _run_float(float_graph, operations[layer.name], inputs)
        reference = [target.pop(layer.name) for target in targets]
        repairs.append(_repair(graph, layer, outputs, same_input, reference))
    return to_model(graph), repairs


def float_outputs(float_graph: WorkingGraph, samples: Sequence[Sample]) -> list[dict[str, Array]]:
    """What the float model gives for each sample."""
    session = reference_session(to_model(float_graph))
    return [run_session(session, sample) for sample in samples]


def signal_to_noise_db(
    wanted: Sequence[dict[str, Array]], quantised: ModelProto, samples: Sequence[Sample]
) -> float:
    """Power of the float model's float outputs over that of the quantised model's error, in dB."""
    powers = _powers(wanted, quantised, samples)
    return _ratio_db(sum(signal for signal, _ in powers.values()), sum(noise for _, noise in powers.values()))


def signal_to_noise_by_output(
    wanted: Sequence[dict[str, Array]], quantised: ModelProto, samples: Sequence[Sample]
) -> dict[str, float]:
    """The same for each float output by itself; one without any error is at infinity."""
    powers = _powers(wanted, quantised, samples)
    return {
        name: _ratio_db(signal, noise) if noise > 0 else np.inf for name, (signal, noise) in powers.items()
    }


def _powers(
    wanted: Sequence[dict[str, Array]], quantised: ModelProto, samples: Sequence[Sample]
) -> dict[str, tuple[float, float]]:
    """Sum of squares of each float output's finite values, and of its errors there."""
    session = reference_session(quantised)
    powers: dict[str, tuple[float, float]] = {}
    for outputs, sample in zip(wanted, samples, strict=True):
        found = run_session(session, sample)
        for name, value in outputs.items():
            if not np.issubdtype(value.dtype, np.floating):
                continue
            exact = value.astype(np.float64)
            fits = np.isfinite(exact)
            signal, noise = powers.get(name, (0.0, 0.0))
            signal += float(np.square(exact[fits]).sum())
            noise += float(np.square(exact[fits] - found[name][fits]).sum())
            powers[name] = (signal, noise)
    return powers


def affordable_samples(
    graph: WorkingGraph, layers: list[Layer], samples: Sequence[Sample]
) -> Sequence[Sample]:
    names = {layer.name for layer in layers}
    elements = sum(
        int(np.prod(graph.shape(operation.outputs[0])))
        for operation in graph.operations
        if operation.name in names
    )
    return samples[: max(1, KEPT_BYTES // (4 * max(1, elements)))]


def _layer_outputs(
    graph: WorkingGraph, layers: list[Layer], samples: Sequence[Sample]
) -> list[dict[str, Array]]:
    """The float output of every layer, by the operation's name, for each sample."""
    wanted = {layer.name for layer in layers}
    names = {op.name: op.outputs[0] for op in graph.operations if op.name in wanted}
    session = reference_session(to_model(graph, outputs=list(names.values())), optimise=False)
    results = []
    for sample in samples:
        found = run_session(session, sample)
        results.append({layer: found[tensor] for layer, tensor in names.items()})
    return results


def _run_float(graph: WorkingGraph, operation: Operation, inputs: list[Array]) -> list[Array]:
    """The float operation's output for other inputs."""
    name, output = operation.inputs[0], operation.outputs[0]
    session = reference_session(build_model(graph, [operation.to_proto()], [name], [output]), optimise=False)
    return [run_session(session, {name: value})[output] for value in inputs]


def walk_layers(
    graph: WorkingGraph, layers: list[Layer], values: list[dict[str, Array]]
) -> Iterator[tuple[Layer, list[Array], list[Array]]]:
    """Yield each layer with its input and raw output for every sample.

    What the caller writes into the list of outputs is what later layers see.

    Operations run in topological order, in pieces that end at a layer. Dequantisers of constants run in
    whichever piece reads them, so that changes of weights reach nothing but their own layer.
    """
    constant = {
        op.outputs[0]: op
        for op in graph.operations
        if op.op_type == DEQUANTIZE and op.inputs[0] in graph.constants
    }
    moving = [op for op in graph.operations if op.outputs[0] not in constant]
    readers = last_readers(moving)
    start = 0
    for layer in layers:
        end = next(i for i, operation in enumerate(moving) if operation is layer.operation) + 1
        later = [name for name, last in readers.items() if last >= end]
        wanted = [*later, layer.output, layer.operation.inputs[0]]
        run_piece(graph, moving[start:end], constant, values, wanted)
        outputs = [value[layer.output] for value in values]
        yield layer, [value[layer.operation.inputs[0]] for value in values], outputs
        for value, output in zip(values, outputs, strict=True):
            value[layer.output] = output
        forget(values, readers, end)
        start = end


def _repair(
    graph: WorkingGraph, layer: Layer, outputs: list[Array], same_input: list[Array], reference: list[Array]
) -> LayerRepair:
    """Refit one layer; change its scales and bias in `graph`, and `outputs` to what it now gives."""
    low, high = layer.limits(graph)
    groups = _moments(outputs, same_input, layer.channel_axis, low, high)
    slope, offset = _fit_line(groups, layer.has_bias)
    if layer.scale(graph).size == 1:
        slope = np.ones_like(slope)
    groups = _moments(outputs, reference, layer.channel_axis, low, high)
    moments = groups.total()
    if layer.has_bias:
        offset = offset + _fit_shift(groups, slope, offset)
    old_scale, old_bias = layer.scale(graph), layer.bias(graph)
    scale = (old_scale * (slope if old_scale.size > 1 else 1.0)).astype(np.float32)
    bias = layer.store(graph, scale, old_bias * slope + offset)
    factor = scale.astype(np.float64) / old_scale
    shape = [1] * outputs[0].ndim
    shape[layer.channel_axis] = -1
    factor_row, bias_row = np.broadcast_to(factor, slope.shape).reshape(shape), bias.reshape(shape)
    for index, z in enumerate(outputs):
        outputs[index] = ((z - old_bias.reshape(shape)) * factor_row + bias_row).astype(np.float32)
    before = float(_squares(moments, np.ones_like(slope), np.zeros_like(offset)).sum())
    after = float(_squares(moments, slope, offset).sum())
    signal = float(moments.yy.sum())
    return LayerRepair(
        layer.name,
        -_ratio_db(signal, before),
        -_ratio_db(signal, after),
        float(np.abs(factor - 1).max()),
        float(np.abs(offset).max() / layer.output_step(graph)),
    )


def _grouped(values: Array, axis: int, groups: int) -> list[FloatArray]:
    """[channels, elements] in float64 for each of `groups` parts of the other axes, in order."""
    rows = np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1).astype(np.float64)
    return np.array_split(rows, min(groups, rows.shape[1]), axis=1)


def _moments(outputs: list[Array], reference: list[Array], axis: int, low: float, high: float) -> _Moments:
    """Sums over the values that are inside the output's limits in either form, sample by sample."""
    groups = -(-FEWEST_GROUPS // len(outputs))
    sums = []
    for found, wanted in zip(outputs, reference, strict=True):
        for z, y in zip(_grouped(found, axis, groups), _grouped(wanted, axis, groups), strict=True):
            inside = ((z > low) & (z < high)) | ((y > low) & (y < high))
            z, y = z * inside, y * inside
            products = [np.einsum("cn,cn->c", a, b) for a, b in ((z, z), (z, y), (y, y))]
            sums.append([inside.sum(1).astype(np.float64), z.sum(1), y.sum(1), *products])
    return _Moments(*(np.stack(part) for part in zip(*sums, strict=True)))


def _fit_line(groups: _Moments, has_bias: bool) -> tuple[FloatArray, FloatArray]:
    """Slope and offset of y = slope * z + offset for each channel.

    With n independent observations the slope's sampling variance is s^2 / Szz and the mean shift's s^2 / n,
    s^2 the residual variance. Values of one sample are not independent, so both are multiplied by a design
    effect (Kish 1965): how much more the groups differ than independent values would make them.
    """
    total = groups.total()
    count = np.maximum(total.count, 1.0)
    mean_z, mean_y = (total.z / count, total.y / count) if has_bias else (0 * count, 0 * count)
    spread_z = np.maximum(total.zz - count * mean_z**2, 0.0)
    spread_y = np.maximum(total.yy - count * mean_y**2, 0.0)
    shared = total.zy - count * mean_z * mean_y
    safe = np.maximum(spread_z, np.finfo(np.float32).tiny)
    slope = shared / safe
    variance = _moderated(np.maximum(spread_y - shared**2 / safe, 0.0), np.maximum(count - 2.0, 0.0))
    sums = groups.y - groups.count * mean_y - slope * (groups.z - groups.count * mean_z)
    products = (
        groups.zy - mean_z * groups.y - mean_y * groups.z + groups.count * mean_z * mean_y
        - slope * (groups.zz - 2 * mean_z * groups.z + groups.count * mean_z**2)
    )  # fmt: skip
    slope_variance = _design_effect(products, variance * safe) * variance / safe
    shift_variance = _design_effect(sums, variance * count) * variance / count
    excess = _shrunk(slope - 1.0, slope_variance, spread_z > 0)
    shift = _shrunk(mean_y - mean_z, shift_variance, total.count > 0)
    return 1.0 + excess, shift - excess * mean_z


def _fit_shift(groups: _Moments, slope: FloatArray, offset: FloatArray) -> FloatArray:
    """What is still to be added to slope * z + offset for each channel."""
    total = groups.total()
    count = np.maximum(total.count, 1.0)
    shift = (total.y - slope * total.z - offset * total.count) / count
    squares = np.maximum(_squares(total, slope, offset) - count * shift**2, 0.0)
    variance = _moderated(squares, np.maximum(count - 1.0, 0.0))
    sums = groups.y - slope * groups.z - groups.count * (offset + shift)
    return _shrunk(shift, _design_effect(sums, variance * count) * variance / count, total.count > 0)


def _design_effect(group_sums: FloatArray, independent: FloatArray) -> float:
    """Variance of sums as the groups [groups, channels] show it, over independent values'; at least 1."""
    groups = group_sums.shape[0]
    known = np.isfinite(independent) & (independent > 0)
    if groups < 3 or not known.any():
        return 1.0
    shown = np.square(group_sums[:, known]).sum(0) * groups / (groups - 2)
    return max(1.0, float((shown / independent[known]).mean()))


def _moderated(squares: FloatArray, freedom: FloatArray) -> FloatArray:
    """Variance of each channel from its sum of squares, drawn to the layer's as far as it is uncertain."""
    if freedom.sum() == 0:
        return np.full_like(squares, np.inf)
    known = np.where(freedom > 0, squares, 0.0)
    pooled = known.sum() / freedom.sum()
    moderated: FloatArray = (PRIOR_FREEDOM * pooled + known) / (PRIOR_FREEDOM + freedom)
    return moderated


def _shrunk(estimates: FloatArray, variances: FloatArray, known: npt.NDArray[np.bool_]) -> FloatArray:
    """Posterior means under a zero-mean normal prior as wide as the estimates scatter beyond chance."""
    known = known & np.isfinite(variances) & (variances > 0)
    if not known.any():
        return np.zeros_like(estimates)
    precision = 1.0 / variances[known]
    prior = max(0.0, float((estimates[known] ** 2 * precision - 1.0).sum() / precision.sum()))
    weight = np.zeros_like(estimates)
    weight[known] = prior / (prior + variances[known])
    return np.asarray(estimates * weight)


def _squares(moments: _Moments, slope: FloatArray, offset: FloatArray) -> FloatArray:
    """Sum of |y - slope z - offset|^2 for each channel."""
    squares = moments.yy - 2 * slope * moments.zy - 2 * offset * moments.y
    squares = squares + slope**2 * moments.zz + 2 * slope * offset * moments.z + offset**2 * moments.count
    return np.maximum(squares, 0.0)


def _ratio_db(signal: float, noise: float) -> float:
    tiny = np.finfo(np.float64).tiny
    with np.errstate(over="ignore"):
        return float(10 * np.log10(max(signal, tiny) / max(noise, tiny)))
