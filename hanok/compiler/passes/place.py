"""Give storages that leave SRAM a place in DRAM, and bind what the host and the user touch."""

from __future__ import annotations

from hanok.compiler.layers import Layer, ProductLayer
from hanok.compiler.layout import Layout
from hanok.compiler.view import Storage
from hanok.graph import DType, Tensor
from hanok.isa import Binding, Region, RegionKind
from hanok.units import align_up

ALIGNMENT = 64


def crossing(stages: list[list[Layer]]) -> set[Storage]:
    """Storages that one stage writes and another reads, or that no stage writes at all."""
    writers: dict[Storage, int] = {}
    found: set[Storage] = set()
    for number, layers in enumerate(stages):
        for layer in layers:
            for view in layer.views:
                if writers.get(view.storage) != number:
                    found.add(view.storage)
            writers[layer.output.storage] = number
    return found


def weights_in_dram(stages: list[list[Layer]]) -> set[Storage]:
    """Activations that are the weights of a product: the load engine brings them into the order of tiles."""
    return {layer.right.storage for layers in stages for layer in layers if isinstance(layer, ProductLayer)}


def storages_of(stages: list[list[Layer]]) -> list[Storage]:
    """Every storage, in order of first use."""
    seen: dict[Storage, None] = {}
    for layers in stages:
        for layer in layers:
            for view in (*layer.views, layer.output):
                seen.setdefault(view.storage)
    return list(seen)


def place_activations(
    stages: list[list[Layer]], bound: list[Storage], kept: set[Storage], address: int
) -> tuple[int, list[Region]]:
    """Place storages that are bound, cross stages or are not `kept` in SRAM, from `address` on.

    Returns the end and the regions.
    """
    outside = crossing(stages) | set(bound) | weights_in_dram(stages)
    regions = []
    for storage in dict.fromkeys([*bound, *storages_of(stages)]):
        if storage.dram_address >= 0 or storage.content:
            continue
        if storage in outside or storage not in kept:
            storage.dram_address = address
            regions.append(Region(storage.name, RegionKind.ACTIVATION, address, storage.size_bytes))
            address = align_up(address + storage.size_bytes, ALIGNMENT)
    return address, regions


def binding(name: str, tensor: Tensor, layout: Layout) -> Binding:
    """How the host reads and writes tensor `tensor` under the value name `name`."""
    quantization = tensor.quantization
    if tensor.dtype is DType.FLOAT32:
        address = layout.storage.dram_address
        return Binding(name, tensor.shape, layout.order, address, 1.0, 0, element_bytes=4)
    assert quantization is not None, f"bound tensor '{name}' has no quantization"
    return Binding(
        name,
        tensor.shape,
        layout.order,
        layout.storage.dram_address,
        float(quantization.scalar_scale),
        quantization.scalar_zero,
        tensor.unsigned,
    )
