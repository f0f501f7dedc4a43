"""The blocks of a core, each as a component of its own, for whoever measures them one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from amaranth.back import rtlil
from amaranth.lib import wiring

from hanok.dram import get_standard
from hanok.machine import Chip
from hanok.rtl.accumulators import Accumulators
from hanok.rtl.array import Array
from hanok.rtl.core import instructions_in_flight
from hanok.rtl.counters import PerformanceCounters
from hanok.rtl.decode import Decoder
from hanok.rtl.dispatch import Dispatch
from hanok.rtl.fetch import Fetcher
from hanok.rtl.legality import Legality
from hanok.rtl.load import LoadEngine
from hanok.rtl.matrix import MatrixUnit
from hanok.rtl.registers import Registers
from hanok.rtl.scratchpad import core_scratchpad, matrix_address_bits
from hanok.rtl.store import StoreEngine
from hanok.rtl.vector import VectorUnit

ARRAY = "array"
"""The part of the matrix unit that multiplies; it is in `matrix` too."""


def _dma(chip: Chip) -> tuple[Any, ...]:
    burst_bytes = get_standard(chip.memory.standard).burst_bytes
    address_bits = ((chip.memory.capacity_mib << 20) - 1).bit_length()
    return chip.core.dma, burst_bytes, address_bits, chip.core.sram.total_bytes


def _fetcher(chip: Chip) -> Fetcher:
    _, burst_bytes, address_bits, _ = _dma(chip)
    return Fetcher(burst_bytes, chip.core.control.fetch_buffer_bytes, address_bits)


def _loader(chip: Chip) -> LoadEngine:
    dma, burst_bytes, address_bits, scratchpad_bytes = _dma(chip)
    return LoadEngine(dma, burst_bytes, address_bits, scratchpad_bytes, chip.core.matrix.columns)


BLOCKS: dict[str, Callable[[Chip], wiring.Component]] = {
    ARRAY: lambda chip: Array(chip.core.matrix),
    "matrix": lambda chip: MatrixUnit(chip.core.matrix, matrix_address_bits(chip.core)),
    "vector": lambda chip: VectorUnit(chip.core.vector, chip.core.matrix, chip.core.sram),
    "scratchpad": lambda chip: core_scratchpad(chip.core),
    "accumulators": lambda chip: Accumulators(chip.core.matrix, chip.core.vector.lanes),
    "load": _loader,
    "store": lambda chip: StoreEngine(*_dma(chip)),
    "fetch": _fetcher,
    "decode": lambda chip: Decoder(),
    "legality": lambda chip: Legality(chip.core),
    "dispatch": lambda chip: Dispatch(chip.core.control, instructions_in_flight(chip.core, _dma(chip)[1])),
    "registers": lambda chip: Registers(),
    "counters": lambda chip: PerformanceCounters(),
}
"""All but the wires between them and the bus guards."""


def block_text(chip: Chip, block: str) -> str:
    """Return a block as RTLIL, whose top module is `top`."""
    return str(rtlil.convert(BLOCKS[block](chip), name="top", emit_src=False))
