"""Rounding of weights one row after the other, each making up for the errors of those before (GPTQ).

Frantar et al. 2023: with the inputs' second moments H, the error of a row is spread over the rows still to be
rounded by the Cholesky factor of H's inverse. H is shrunk to a multiple of the unit matrix as far as the few
rows seen leave it uncertain (OAS, Chen et al. 2010); without any correlation this is rounding to nearest.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from onnx import ModelProto

from hanok.graph._calibration import Sample
from hanok.graph._layers import Layer, find_layers
from hanok.graph._operands import FloatArray, WeightedProduct, weighted_products
from hanok.graph._repair import affordable_samples, walk_layers
from hanok.graph._shapes import fix_input_shapes, infer_shapes
from hanok.graph._working import Array, WorkingGraph, from_model, to_model

BLOCK = 64
"""Rows of a weight that are rounded between two updates of all the others."""
LEAST_SHRINKAGE = 0.01
MOST_INPUTS = 4096
"""Wider layers stay rounded to nearest: their moments would take gigabytes."""


def round_weights(float_graph: WorkingGraph, quantised: ModelProto, samples: Sequence[Sample]) -> ModelProto:
    """Round the constant matrices of Gemm and MatMul anew, each layer seeing the earlier ones rounded."""
    graph = from_model(quantised)
    fix_input_shapes(graph, quantised, None)
    infer_shapes(graph)
    layers = find_layers(graph)
    products = {product.operation.name: product for product in weighted_products(float_graph)}
    samples = affordable_samples(float_graph, layers, samples)
    values = [dict(sample) for sample in samples]
    for layer, inputs, outputs in walk_layers(graph, layers, values):
        if layer.name in products and len(products[layer.name].weight) <= MOST_INPUTS:
            _round_layer(graph, layer, products[layer.name], inputs, outputs)
    return to_model(graph)


def _round_layer(
    graph: WorkingGraph, layer: Layer, product: WeightedProduct, inputs: list[Array], outputs: list[Array]
) -> None:
    """Round one layer's weights; change `outputs` to what it now gives."""
    weight = product.weight.astype(np.float64)
    scale = np.broadcast_to(layer.scale(graph), (weight.shape[1],))
    rows = [value.reshape(-1, weight.shape[0]).astype(np.float64) for value in inputs]
    chosen = rounded_by_moments(weight, scale, second_moments(rows))
    name = layer.weight.inputs[0]
    old = graph.constants[name].T if product.is_turned else graph.constants[name]
    change = (chosen - old) * scale
    content = np.ascontiguousarray((chosen.T if product.is_turned else chosen).astype(np.int8))
    layer.weight.inputs[0] = graph.add_constant(name, content)
    for index, row in enumerate(rows):
        outputs[index] = (outputs[index] + (row @ change).reshape(outputs[index].shape)).astype(np.float32)


def second_moments(parts: Sequence[FloatArray]) -> FloatArray:
    """Mean of x x^T over all rows, shrunk towards a multiple of the unit matrix."""
    count, size = sum(len(part) for part in parts), parts[0].shape[1]
    moments = sum((part.T @ part for part in parts), np.zeros((size, size))) / count
    trace, squares = float(np.trace(moments)), float(np.square(moments).sum())
    spread = (count + 1 - 2 / size) * (squares - trace**2 / size)
    wanted = ((1 - 2 / size) * squares + trace**2) / spread if spread > 0 else 1.0
    share = min(1.0, max(LEAST_SHRINKAGE, wanted))
    moments *= 1 - share
    moments[np.diag_indices(size)] += share * trace / size
    return np.asarray(moments)


def rounded_by_moments(weight: FloatArray, scale: FloatArray, moments: FloatArray) -> npt.NDArray[np.int64]:
    """Integers [K, N] within -127..127 for a weight [K, N] with a scale for each column."""
    size = len(weight)
    if not np.trace(moments) > 0:
        return np.clip(np.rint(weight / scale), -127, 127).astype(np.int64)
    order = np.argsort(-np.diag(moments), kind="stable")
    factor = np.linalg.cholesky(np.linalg.inv(moments[np.ix_(order, order)])).T
    rest = weight[order]
    chosen = np.empty(weight.shape, np.int64)
    for start in range(0, size, BLOCK):
        end = min(start + BLOCK, size)
        errors = np.empty((end - start, weight.shape[1]))
        for row in range(start, end):
            stored = np.clip(np.rint(rest[row] / scale), -127, 127)
            chosen[order[row]] = stored
            errors[row - start] = (rest[row] - stored * scale) / factor[row, row]
            rest[row + 1 : end] -= np.outer(factor[row, row + 1 : end], errors[row - start])
        rest[end:] -= factor[start:end, end:].T @ errors
    return chosen
