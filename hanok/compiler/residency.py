"""Decide which tensors stay in SRAM from the layer that makes them to the last layer that reads them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from hanok.compiler.layers import Layer, MatrixLayer
from hanok.compiler.placement import Placement
from hanok.compiler.plan_matrix import Planner
from hanok.compiler.view import Storage
from hanok.errors import CompileError
from hanok.machine import Chip
from hanok.units import ceil_div


@dataclass(frozen=True)
class Life:
    """A storage and the layers (by index in the stage) of its first write and last use."""

    storage: Storage
    first: int
    last: int


class CrowdedError(CompileError):
    """A layer finds too little room, or too small pieces of it, beside a storage that was to stay in SRAM."""

    def __init__(self, life: Life, found: str) -> None:
        super().__init__(found)
        self.life = life


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


class _Choice:
    """The layers' estimated cycles under the residents chosen so far."""

    def __init__(self, layers: list[Layer], chip: Chip, planner: Planner, stored: set[Storage]) -> None:
        self.layers, self.chip, self.planner, self.stored = layers, chip, planner, stored
        self.taken = [0] * len(layers)

    def cost(self, index: int, extra: int = 0) -> float:
        """Estimated cycles of a layer when residents take `extra` more banks."""
        layer = self.layers[index]
        banks = self.chip.core.sram.banks - self.taken[index] - extra
        if isinstance(layer, MatrixLayer):
            residual, output = layer.epilogue.residual, layer.output.storage
            placement = Placement(
                layer.source.storage.resident,
                output.resident,
                not output.resident or output in self.stored,
                residual is None or residual.view.storage.resident,
            )
            return self.planner.cost(layer, placement, banks)
        return (
            self._moved_bytes(layer) / self.planner.bytes_per_cycle
            if banks >= _least(layer, self.chip)
            else 1e30
        )

    def saved(self, life: Life, size: int) -> float:
        """Estimated cycles that a storage of so many banks saves; less than 0 where it may not stay."""
        span = range(life.first, life.last + 1)
        before = sum(self.cost(index) for index in span)
        life.storage.resident = True
        after = sum(self.cost(index, size) for index in span)
        life.storage.resident = False
        return before - after if after < 1e30 else -1.0

    def _moved_bytes(self, layer: Layer) -> float:
        total = sum(view.bytes for view in layer.views if not view.storage.resident)
        output = layer.output.storage
        return float(total + (layer.output.bytes if not output.resident or output in self.stored else 0))


def choose_residents(layers: list[Layer], chip: Chip, planner: Planner, stored: set[Storage]) -> list[Life]:
    """The storages to keep in SRAM: where that lowers the estimated cycles of the layers they live through.

    Storages in `stored` are needed in DRAM anyway. The shortest and smallest are tried first.
    """
    bank_bytes = chip.core.sram.bank_bytes
    choice = _Choice(layers, chip, planner, stored)
    chosen = []
    found = [life for life in lives(layers) if _banks(life, bank_bytes) <= chip.core.sram.banks]
    worth = {life: choice.saved(life, 0) / _burden(life, bank_bytes) for life in found}
    for life in sorted(found, key=lambda life: (-worth[life], _burden(life, bank_bytes), life.first)):
        size = _banks(life, bank_bytes)
        span = range(life.first, life.last + 1)
        if choice.saved(life, size) >= 0:
            life.storage.resident = True
            chosen.append(life)
            for index in span:
                choice.taken[index] += size
    for life in chosen:
        life.storage.resident = False
    return chosen


@contextmanager
def resident(lives: list[Life]) -> Iterator[None]:
    """Mark storages as resident while their stage is emitted; other stages find them in DRAM."""
    for life in lives:
        life.storage.resident = True
    try:
        yield
    finally:
        for life in lives:
            life.storage.resident = False


def _banks(life: Life, bank_bytes: int) -> int:
    return ceil_div(life.storage.size_bytes, bank_bytes)


def _burden(life: Life, bank_bytes: int) -> int:
    return _banks(life, bank_bytes) * (life.last - life.first + 1)


def _least(layer: Layer, chip: Chip) -> int:
    """Banks that a layer of the vector unit should have beside its resident tensors."""
    bank = chip.core.sram.bank_bytes
    total = 2
    for view in (*layer.views, layer.output):
        if not view.storage.resident:
            _, rows, columns, channels = view.shape
            total += 2 * ceil_div(view.bytes if rows == 1 else columns * channels * min(rows, 4), bank)
    return min(total, chip.core.sram.banks // 2)
