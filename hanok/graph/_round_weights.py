"""Rounding of weights one row after the other, each making up for the errors of those before (GPTQ).

Frantar et al. 2023: with the inputs' second moments H, the error of a row is spread over the rows still to be
rounded by the Cholesky factor of H's inverse. H is shrunk to a multiple of the unit matrix as far as the few
rows seen leave it uncertain (OAS, Chen et al. 2010); without any correlation this is rounding to nearest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from onnx import ModelProto

from hanok.graph._calibration import Sample
from hanok.graph._layers import Layer, find_layers
from hanok.graph._operands import FloatArray, WeightedProduct, weighted_products
from hanok.graph._repair import affordable_samples, walk_layers
from hanok.graph._shapes import fix_input_shapes, infer_shapes
from hanok.graph._working import Array, WorkingGraph, from_model, to_model
from hanok.numerics.nibble_grids import fit_entries, nearest_nibbles
from hanok.numerics.nibbles import Entries, weights_of

BLOCK = 64
"""Rows of a weight that are rounded between two updates of all the others."""
LEAST_SHRINKAGE = 0.01
MOST_INPUTS = 4096
"""Wider layers stay rounded to nearest: their moments would take gigabytes."""


def narrow_weights(float_graph: WorkingGraph, quantised: ModelProto, group_rows: int) -> ModelProto:
    """Round the constant matrices of Gemm and MatMul to grids of sixteen weights, each to the nearest.

    Those whose rows `group_rows` does not divide stay as they are.
    """
    graph = from_model(quantised)
    fix_input_shapes(graph, quantised, None)
    infer_shapes(graph)
    products = {product.operation.name: product for product in weighted_products(float_graph)}
    for layer in find_layers(graph):
        product = products.get(layer.name)
        if product is not None and len(product.weight) % group_rows == 0:
            steps = np.asarray(product.weight / layer.scale(graph), np.float32)
            entries = fit_entries(steps, group_rows)
            _store(graph, layer, product, weights_of(nearest_nibbles(steps, entries), entries))
    return to_model(graph)


def with_stored_weights(float_graph: WorkingGraph, quantised: ModelProto) -> WorkingGraph:
    """Return the float model with the constant matrices, and their biases, as the quantised one has them."""
    graph = from_model(quantised)
    fix_input_shapes(graph, quantised, None)
    infer_shapes(graph)
    products = {product.operation.name: product for product in weighted_products(float_graph)}
    constants = dict(float_graph.constants)
    for layer in find_layers(graph):
        product = products.get(layer.name)
        if product is None:
            continue
        content = graph.constants[layer.weight.inputs[0]]
        weight = (content.T if product.is_turned else content) * layer.scale(graph)
        turned = weight.T if product.is_turned else weight
        constants[product.operation.inputs[1]] = np.ascontiguousarray(turned, np.float32)
        bias = product.operation.input(2)
        if bias in constants and layer.bias_dequantiser is not None:
            constants[bias] = layer.bias(graph).reshape(constants[bias].shape).astype(np.float32)
    return replace(float_graph, constants=constants)


def round_weights(
    float_graph: WorkingGraph, quantised: ModelProto, samples: Sequence[Sample], group_rows: int = 0
) -> ModelProto:
    """Round the constant matrices of Gemm and MatMul anew, each layer seeing the earlier ones rounded.

    To grids of sixteen weights where `group_rows` is not 0 and divides their rows.
    """
    graph = from_model(quantised)
    fix_input_shapes(graph, quantised, None)
    infer_shapes(graph)
    layers = find_layers(graph)
    products = {product.operation.name: product for product in weighted_products(float_graph)}
    samples = affordable_samples(float_graph, layers, samples)
    values = [dict(sample) for sample in samples]
    for layer, inputs, outputs in walk_layers(graph, layers, values):
        if layer.name in products and len(products[layer.name].weight) <= MOST_INPUTS:
            changes = _round_layer(graph, layer, products[layer.name], inputs, group_rows)
            for index, change in enumerate(changes):
                outputs[index] = (outputs[index] + change.reshape(outputs[index].shape)).astype(np.float32)
    return to_model(graph)


def _round_layer(
    graph: WorkingGraph, layer: Layer, product: WeightedProduct, inputs: list[Array], group_rows: int
) -> list[FloatArray]:
    """Round one layer's weights; return by how much its outputs change."""
    weight = product.weight.astype(np.float64)
    scale = np.broadcast_to(layer.scale(graph), (weight.shape[1],))
    rows = [value.reshape(-1, weight.shape[0]).astype(np.float64) for value in inputs]
    grid = fit_entries(weight / scale, group_rows) if group_rows and len(weight) % group_rows == 0 else None
    chosen = rounded_by_moments(weight, scale, second_moments(rows), grid)
    name = layer.weight.inputs[0]
    old = graph.constants[name].T if product.is_turned else graph.constants[name]
    change = (chosen - old) * scale
    _store(graph, layer, product, chosen)
    return [row @ change for row in rows]


def _store(graph: WorkingGraph, layer: Layer, product: WeightedProduct, weights: Array) -> None:
    """Give a layer other weights [K, N]."""
    content = np.ascontiguousarray((weights.T if product.is_turned else weights).astype(np.int8))
    layer.weight.inputs[0] = graph.add_constant(layer.weight.inputs[0], content)


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


def rounded_by_moments(
    weight: FloatArray, scale: FloatArray, moments: FloatArray, grid: Entries | None = None
) -> npt.NDArray[np.int64]:
    """Integers [K, N] within -127..127 for a weight [K, N] with a scale for each column.

    With a `grid` [groups, N] they are the weights of nibbles.
    """
    size = len(weight)
    each = None if grid is None else np.repeat(grid, size // len(grid), axis=0)
    if not np.trace(moments) > 0:
        return _nearest(weight / scale, each)
    order = np.argsort(-np.diag(moments), kind="stable")
    factor = np.linalg.cholesky(np.linalg.inv(moments[np.ix_(order, order)])).T
    rest = weight[order]
    chosen = np.empty(weight.shape, np.int64)
    for start in range(0, size, BLOCK):
        end = min(start + BLOCK, size)
        errors = np.empty((end - start, weight.shape[1]))
        for row in range(start, end):
            lines = None if each is None else each[order[row]][None]
            stored = _nearest((rest[row] / scale)[None], lines)[0]
            chosen[order[row]] = stored
            errors[row - start] = (rest[row] - stored * scale) / factor[row, row]
            rest[row + 1 : end] -= np.outer(factor[row, row + 1 : end], errors[row - start])
        rest[end:] -= factor[start:end, end:].T @ errors
    return chosen


def _nearest(steps: FloatArray, entries: Entries | None) -> npt.NDArray[np.int64]:
    """The integers nearest to weights [K, N], or, with entries [K, N], the nearest weights of nibbles."""
    if entries is None:
        return np.clip(np.rint(steps), -127, 127).astype(np.int64)
    return weights_of(nearest_nibbles(steps, entries), entries).astype(np.int64)
