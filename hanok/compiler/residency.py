"""Decide which tensors stay in SRAM from the layer that makes them to the last layer that reads them."""

from __future__ import annotations

from dataclasses import dataclass

from hanok.compiler.layers import CopyLayer, Layer, MatrixLayer
from hanok.compiler.plan_matrix import smallest_banks
from hanok.compiler.view import Storage
from hanok.machine import Chip
from hanok.units import ceil_div


@dataclass(frozen=True)
class Life:
    """A storage and the layers (by index in the stage) of its first write and last use."""

    storage: Storage
    first: int
    last: int


def lives(layers: list[Layer]) -> list[Life]:
    """The lives of the storages that the stage itself makes, in order of their first write."""
    first: dict[Storage, int] = {}
    last: dict[Storage, int] = {}
    for index, layer in enumerate(layers):
        first.setdefault(layer.output.storage, index)
        last[layer.output.storage] = index
        for view in layer.views:
            last[view.storage] = index
    return [Life(storage, start, last[storage]) for storage, start in first.items()]


def choose_residents(layers: list[Layer], chip: Chip) -> list[Life]:
    """Mark storages as resident, the shortest and smallest first, while every layer keeps room to work."""
    bank_bytes, banks = chip.core.sram.bank_bytes, chip.core.sram.banks
    taken = [0] * len(layers)
    candidates = sorted(lives(layers), key=lambda life: (_burden(life, bank_bytes), life.first))
    chosen = []
    for life in candidates:
        size = ceil_div(life.storage.size_bytes, bank_bytes)
        life.storage.resident = True
        if all(
            taken[index] + size + working_banks(layers[index], chip) <= banks
            for index in range(life.first, life.last + 1)
        ):
            chosen.append(life)
            for index in range(life.first, life.last + 1):
                taken[index] += size
        else:
            life.storage.resident = False
    return chosen


def _burden(life: Life, bank_bytes: int) -> int:
    return ceil_div(life.storage.size_bytes, bank_bytes) * (life.last - life.first + 1)


def working_banks(layer: Layer, chip: Chip) -> int:
    """Banks that a layer needs beside its resident tensors to run at a fair speed."""
    bank = chip.core.sram.bank_bytes
    if isinstance(layer, MatrixLayer):
        return smallest_banks(layer, chip)
    total = 2
    for view in (*layer.views, layer.output):
        if not view.storage.resident:
            _, rows, columns, channels = view.shape
            total += 2 * ceil_div(view.bytes if rows == 1 else columns * channels * min(rows, 4), bank)
    return min(total, chip.core.sram.banks // 2) if not isinstance(layer, CopyLayer) else min(total, 4)
