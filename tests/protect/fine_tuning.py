"""Fine-tuning of int8 models by gradient in NumPy: float masters of all weights, Adam, rounded at the end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.lib.stride_tricks import sliding_window_view
from onnx import numpy_helper
from weight_attacks import altered


@dataclass
class Layer:
    """A convolution, or with `matrix` a product, and the range to which what follows clamps it.

    weight: [out, in / groups, height, width], in float32; scale: of its int8 form, to broadcast over it.
    """

    name: str
    weight: np.ndarray
    bias: np.ndarray
    scale: np.ndarray
    low: float
    high: float
    matrix: bool
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: int = 1


def layers_of(model: onnx.ModelProto) -> list[Layer]:
    """The Conv and Gemm nodes of a chain, in order; a Relu behind one is part of its clamp."""
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    makers = {node.output[0]: node for node in model.graph.node}
    readers = {name: node for node in model.graph.node for name in node.input}
    found = []
    for node in model.graph.node:
        if node.op_type not in ("Conv", "Gemm"):
            continue
        name, weight, scale = _dequantised(makers[node.input[1]], constants)
        _, bias, _ = _dequantised(makers[node.input[2]], constants)
        settings = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        relu = readers[node.output[0]].op_type == "Relu"
        quantise = readers[readers[node.output[0]].output[0]] if relu else readers[node.output[0]]
        step = constants[quantise.input[1]].item()
        zero = constants[quantise.input[2]]
        low, high = (
            step * (limit - int(zero))
            for limit in (np.iinfo(zero.dtype).min, 127 if zero.dtype == np.int8 else 255)
        )
        layer = Layer(name, weight, bias, scale, max(low, 0.0) if relu else low, high, node.op_type == "Gemm")
        if layer.matrix:
            assert settings.get("transB"), "Gemm with a weight of [out, in]"
        else:
            layer.strides = tuple(settings.get("strides", (1, 1)))
            layer.pads = tuple(settings.get("pads", (0, 0, 0, 0)))
            layer.groups = settings.get("group", 1)
        found.append(layer)
    return found


def _dequantised(
    node: onnx.NodeProto, constants: dict[str, np.ndarray]
) -> tuple[str, np.ndarray, np.ndarray]:
    whole = constants[node.input[0]]
    scale = constants[node.input[1]].astype(np.float32)
    scale = scale.reshape(-1, *[1] * (whole.ndim - 1)) if scale.ndim else scale
    return node.input[0], (whole * scale).astype(np.float32), scale


def _convolve(layer: Layer, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums before the clamp, and the windows [N, C, H, W, h, w] that they come from."""
    top, left, bottom, right = layer.pads
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    windows = sliding_window_view(padded, layer.weight.shape[2:], axis=(2, 3))
    windows = windows[:, :, :: layer.strides[0], :: layer.strides[1]]
    if layer.groups == 1:
        sums = np.einsum("nchwij,ocij->nohw", windows, layer.weight, optimize=True)
    else:
        sums = np.einsum("nchwij,cij->nchw", windows, layer.weight[:, 0], optimize=True)
    return sums + layer.bias[:, None, None], windows


def _convolve_back(
    layer: Layer, windows: np.ndarray, shape: tuple[int, ...], grad: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of the weight and of the input."""
    top, left, bottom, right = layer.pads
    into = np.zeros((shape[0], shape[1], shape[2] + top + bottom, shape[3] + left + right), np.float32)
    rows, columns = grad.shape[2:]
    if layer.groups == 1:
        of_weight = np.einsum("nchwij,nohw->ocij", windows, grad, optimize=True)
    else:
        of_weight = np.einsum("nchwij,nchw->cij", windows, grad, optimize=True)[:, None]
    for i in range(layer.weight.shape[2]):
        for j in range(layer.weight.shape[3]):
            tap = layer.weight[:, :, i, j]
            part = (
                np.einsum("nohw,oc->nchw", grad, tap, optimize=True)
                if layer.groups == 1
                else grad * tap[None, :, :, None]
            )
            place = into[:, :, i : i + rows * layer.strides[0] : layer.strides[0]]
            place[:, :, :, j : j + columns * layer.strides[1] : layer.strides[1]] += part
    return of_weight, into[:, :, top : top + shape[2], left : left + shape[3]]


def forward(layers: list[Layer], x: np.ndarray) -> tuple[np.ndarray, list[tuple[np.ndarray, ...]]]:
    """Outputs of the last layer, and what the way back needs; a mean over pixels before the first product."""
    kept: list[tuple[np.ndarray, ...]] = []
    for layer in layers:
        shape = np.array(x.shape)
        if layer.matrix:
            x = x.mean(axis=(2, 3)) if x.ndim == 4 else x
            sums, source = x @ layer.weight.T + layer.bias, x
        else:
            sums, source = _convolve(layer, x)
        kept.append((source, shape, (sums > layer.low) & (sums < layer.high)))
        x = np.clip(sums, layer.low, layer.high)
    return x, kept


def gradients(
    layers: list[Layer], kept: list[tuple[np.ndarray, ...]], grad: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """(of the weight, of the bias) of each layer, from the gradient of the outputs."""
    found = []
    for layer, (source, shape, inside) in zip(reversed(layers), reversed(kept), strict=True):
        grad = grad * inside
        if layer.matrix:
            found.append((grad.T @ source, grad.sum(axis=0)))
            grad = grad @ layer.weight
            if len(shape) == 4:
                pixels = shape[2] * shape[3]
                grad = np.broadcast_to(grad[:, :, None, None] / pixels, tuple(shape))
        else:
            of_weight, back = _convolve_back(layer, source, tuple(shape), grad)
            found.append((of_weight, grad.sum(axis=(0, 2, 3))))
            grad = back
    return found[::-1]


def fine_tuned(
    model: onnx.ModelProto, x: np.ndarray, wanted: np.ndarray, steps: int, rate: float, seed: int = 0
) -> tuple[onnx.ModelProto, float, float]:
    """The model after `steps` of Adam, and its loss before and after.

    wanted: classes [N] (cross entropy), or targets of the outputs' shape (squared error).
    """
    layers, random = layers_of(model), np.random.default_rng(seed)
    moments = [
        [np.zeros_like(part) for part in (layer.weight, layer.weight, layer.bias, layer.bias)]
        for layer in layers
    ]
    losses = []
    for step in range(1, steps + 1):
        batch = random.choice(len(x), min(32, len(x)), replace=False)
        outputs, kept = forward(layers, x[batch])
        loss, grad = _loss(outputs, wanted[batch])
        losses.append(loss)
        for layer, of_layer, moment in zip(layers, gradients(layers, kept, grad), moments, strict=True):
            for place, (part, of_part) in enumerate(zip((layer.weight, layer.bias), of_layer, strict=True)):
                mean, square = moment[2 * place], moment[2 * place + 1]
                mean += 0.1 * (of_part - mean)
                square += 0.001 * (of_part**2 - square)
                part -= rate * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
    masters = {layer.name: layer.weight / layer.scale for layer in layers}
    tuned = altered(model, masters.get)
    quarter = max(1, steps // 4)
    return tuned, float(np.mean(losses[:quarter])), float(np.mean(losses[-quarter:]))


def _loss(outputs: np.ndarray, wanted: np.ndarray) -> tuple[float, np.ndarray]:
    if wanted.ndim == outputs.ndim:
        rest = outputs - wanted
        return float((rest**2).mean()), (2 / rest.size * rest).astype(np.float32)
    chances = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    chances /= chances.sum(axis=1, keepdims=True)
    rows = np.arange(len(wanted))
    loss = -np.log(chances[rows, wanted] + 1e-12).mean()
    chances[rows, wanted] -= 1
    return float(loss), (chances / len(wanted)).astype(np.float32)
