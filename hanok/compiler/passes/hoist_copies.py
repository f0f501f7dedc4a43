"""Copy large tensors' parts into them as soon as they are made, so that the parts need not wait."""

from __future__ import annotations

from hanok.compiler.layers import CopyLayer, Layer
from hanok.compiler.view import Storage
from hanok.machine import Chip

_SHARE = 4
"""Targets beyond this part of the SRAM; smaller ones may stay in it, the shorter the better."""


def hoist_copies(layers: list[Layer], chip: Chip) -> list[Layer]:
    """Return the layers with each copy into a large storage behind the last one that writes its source.

    Only copies of what nothing but copies reads behind them move: with them their source is done with.
    Requires: nobody reads a part of a storage before it is written. Keeps the values of all storages.
    """
    result = list(layers)
    for copy in layers:
        if not isinstance(copy, CopyLayer) or not _moves(copy, layers, chip):
            continue
        source = copy.source.storage
        place = result.index(copy)
        writers = [index for index in range(place) if result[index].output.storage is source]
        if writers:
            result.insert(writers[-1] + 1, result.pop(place))
    return result


def _moves(copy: CopyLayer, layers: list[Layer], chip: Chip) -> bool:
    source, target = copy.source.storage, copy.output.storage
    if source is target or target.size_bytes * _SHARE <= chip.core.sram.total_bytes:
        return False
    if any(_fills(layer, target) for layer in layers):
        return False
    behind = layers[layers.index(copy) + 1 :]
    readers = [layer for layer in behind if any(view.storage is source for view in layer.views)]
    return all(isinstance(layer, CopyLayer) for layer in readers)


def _fills(layer: Layer, target: Storage) -> bool:
    return isinstance(layer, CopyLayer) and layer.fill is not None and layer.output.storage is target
