"""What the program remembers of each layer, for reports and for the bounds that tests hold."""

from __future__ import annotations

from hanok.compiler.layers import Layer, MatrixLayer
from hanok.isa import Layer as LayerRecord


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
    for view in {view: None for view in layer.views}:
        if not view.storage.resident:
            total += view.bytes
    if layer.output.storage.dram_address >= 0:
        total += layer.output.bytes
    origin = layer.origin
    return LayerRecord(
        origin.name, origin.onnx_type, origin.onnx_nodes, origin.macs, layer.output.shape, total, mapping
    )
