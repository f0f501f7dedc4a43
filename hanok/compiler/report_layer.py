"""What the program remembers of each layer, for reports and for the bounds that tests hold."""

from __future__ import annotations

from math import prod

from hanok.compiler.layers import Layer, MatrixLayer, ResizeLayer, StridedLayer, WindowLayer
from hanok.compiler.view import View
from hanok.isa import Layer as LayerRecord

Taps = tuple[int, int, int, int]
"""Along one axis: where output 0 reads with tap 0, the steps of outputs and of taps, and how many taps."""


def describe_layer(layer: Layer, mapping: str, packing: tuple[int, int]) -> LayerRecord:
    """The record of one layer; compulsory bytes leave out operands that stay in SRAM.

    `packing`: bytes of the layer's weights and biases in SRAM and in DRAM; packed ones count as packed.
    """
    total = 0
    if isinstance(layer, MatrixLayer):
        for phase in layer.phases:
            total += sum(weights.size for weights in phase.weights) + 4 * phase.bias.size
        total = min(total, packing[1]) if packing[1] < packing[0] else total
        total += 4 * layer.epilogue.scale.size if layer.epilogue.scale.size > 1 else 0
    for view in dict.fromkeys(layer.views):
        if not view.storage.resident:
            total += _read_bytes(layer, view)
    if layer.output.storage.dram_address >= 0:
        total += layer.output.bytes
    origin = layer.origin
    return LayerRecord(
        origin.name, origin.onnx_type, origin.onnx_nodes, origin.macs, layer.output.shape, total, mapping
    )


def _read_bytes(layer: Layer, view: View) -> int:
    """Bytes of a view that the layer cannot do without: strides may leave rows and columns out."""
    images, height, width, channels = view.shape
    match layer:
        case StridedLayer():
            return prod(count for count, stride in zip(layer.counts, layer.strides, strict=True) if stride)
        case ResizeLayer():
            return images * len(set(layer.rows.flat)) * len(set(layer.columns.flat)) * channels
        case WindowLayer():
            windows = [
                [(layer.start[axis], layer.strides[axis], layer.dilation[axis], layer.kernel[axis])]
                for axis in (0, 1)
            ]
        case MatrixLayer() if view is layer.source:
            windows = [
                [(p.start[axis], p.stride[axis], p.dilation[axis], p.taps[axis]) for p in layer.phases]
                for axis in (0, 1)
            ]
        case _:
            return view.bytes
    _, rows, columns, _ = layer.output.shape
    return images * _touched(windows[0], rows, height) * _touched(windows[1], columns, width) * channels


def _touched(windows: list[Taps], outputs: int, limit: int) -> int:
    """Positions inside 0..limit-1 that any tap of any output reads."""
    found: set[int] = set()
    for start, stride, dilation, taps in windows:
        for tap in range(taps):
            found.update(range(start + tap * dilation, start + tap * dilation + outputs * stride, stride))
    return sum(0 <= position < limit for position in found)
