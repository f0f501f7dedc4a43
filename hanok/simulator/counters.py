"""The result of the cycle engine: cycles, their causes, and what follows from them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np
import numpy.typing as npt

from hanok.dram.state import Counters
from hanok.isa import Unit
from hanok.machine import Chip

Integers = npt.NDArray[np.int64]


class Cause(IntEnum):
    """What a unit does in a cycle; each cycle of each unit has exactly one."""

    BUSY = 0
    WAIT_LOAD = 1
    WAIT_STORE = 2
    WAIT_MATRIX = 3
    WAIT_VECTOR = 4
    DRAM = 5
    FULL_COUNTER = 6
    FETCH = 7
    DISPATCH = 8
    END = 9


CAUSE_MEANING = {
    Cause.BUSY: "an instruction makes progress",
    Cause.WAIT_LOAD: "the next instruction waits for a semaphore that the load unit posts",
    Cause.WAIT_STORE: "the next instruction waits for a semaphore that the store unit posts",
    Cause.WAIT_MATRIX: "the next instruction waits for a semaphore that the matrix unit posts",
    Cause.WAIT_VECTOR: "the next instruction waits for a semaphore that the vector unit posts",
    Cause.DRAM: "an instruction waits for DRAM to answer or to accept",
    Cause.FULL_COUNTER: "a finished instruction waits for room in a full semaphore",
    Cause.FETCH: "the queue is empty, and dispatch waits for instruction bytes from DRAM",
    Cause.DISPATCH: "the queue is empty, and dispatch serves or is blocked by another unit's queue",
    Cause.END: "the unit has no more instructions",
}


@dataclass(frozen=True)
class LayerTiming:
    """What one layer took; sums over its instructions."""

    first_cycle: int
    """Start of its first instruction."""
    last_cycle: int
    """End of its last instruction."""
    unit_cycles: tuple[int, int, int, int]
    """Cycles that its instructions were active, by unit; overlapping cycles of two layers go to the earlier."""
    dram_read_bytes: int
    dram_write_bytes: int
    macs: int
    stream_cycles: int

    @property
    def span_cycles(self) -> int:
        """Cycles from its first start to its last end; neighbouring layers may overlap."""
        return self.last_cycle - self.first_cycle


@dataclass(frozen=True)
class Timing:
    """Cycles of one NPU stage. Arrays have one entry an instruction, in dispatch order."""

    chip: Chip
    cycles: int
    unit: Integers
    dispatch: Integers
    start: Integers
    end: Integers
    """First cycle in which the instruction's result can be used."""
    transferred_bytes: Integers
    """DRAM bytes of LOAD and STORE, in whole bursts."""
    useful_macs: Integers
    """Multiply-accumulates of CONV and DEPTHWISE, without unused array rows and columns."""
    stream_cycles_of: Integers
    """Cycles in which the array receives activations."""
    causes: Integers
    """[unit][Cause] cycles; each row sums to `cycles`."""
    load_bytes: int
    store_bytes: int
    fetch_bytes: int
    dram: Counters

    @property
    def dram_read_bytes(self) -> int:
        """Bytes read from DRAM: loads and instructions."""
        return self.load_bytes + self.fetch_bytes

    @property
    def dram_write_bytes(self) -> int:
        """Bytes written to DRAM."""
        return self.store_bytes

    @cached_property
    def macs(self) -> int:
        """Useful multiply-accumulates."""
        return int(self.useful_macs.sum())

    @cached_property
    def stream_cycles(self) -> int:
        """Cycles in which the array receives activations."""
        return int(self.stream_cycles_of.sum())

    @property
    def array_slots(self) -> int:
        """Multiplier slots of the cycles in which the array receives activations."""
        return self.stream_cycles * self.chip.core.matrix.macs

    @property
    def utilisation(self) -> float:
        """Useful MACs over what the array could do in all cycles, 0..1."""
        return self.macs / (self.cycles * self.chip.core.matrix.macs) if self.cycles else 0.0

    def cause_cycles(self, unit: Unit, cause: Cause) -> int:
        """Cycles of `unit` that went to `cause`."""
        return int(self.causes[unit, cause])

    def busy_fraction(self, unit: Unit) -> float:
        """Fraction of the cycles in which `unit` made progress."""
        return self.cause_cycles(unit, Cause.BUSY) / self.cycles if self.cycles else 0.0

    @cached_property
    def active_cycles_of(self) -> Integers:
        """Cycles that each instruction adds to the time in which its unit is active (pipelined ones overlap)."""
        active = np.zeros_like(self.start)
        for unit in Unit:
            members = np.flatnonzero(self.unit == unit)
            ends = np.maximum.accumulate(self.end[members])
            before = np.concatenate(([0], ends[:-1])) if len(ends) else ends
            active[members] = np.maximum(0, self.end[members] - np.maximum(self.start[members], before))
        return active

    def layers(self, layer_of: npt.NDArray[np.integer], count: int) -> tuple[LayerTiming, ...]:
        """Sum by layer; `layer_of` gives each instruction its layer 0..count-1."""
        rows = np.asarray(layer_of, np.int64)
        first = np.full(count, self.cycles, np.int64)
        last = np.zeros(count, np.int64)
        np.minimum.at(first, rows, self.start)
        np.maximum.at(last, rows, self.end)
        first = np.minimum(first, last)
        active = [_sum_by(rows, np.where(self.unit == unit, self.active_cycles_of, 0), count) for unit in Unit]
        reads = _sum_by(rows, np.where(self.unit == Unit.LOAD, self.transferred_bytes, 0), count)
        writes = _sum_by(rows, np.where(self.unit == Unit.STORE, self.transferred_bytes, 0), count)
        macs = _sum_by(rows, self.useful_macs, count)
        streams = _sum_by(rows, self.stream_cycles_of, count)
        return tuple(
            LayerTiming(
                int(first[row]),
                int(last[row]),
                (int(active[0][row]), int(active[1][row]), int(active[2][row]), int(active[3][row])),
                int(reads[row]),
                int(writes[row]),
                int(macs[row]),
                int(streams[row]),
            )
            for row in range(count)
        )

    def layer_utilisation(self, layer: LayerTiming) -> float:
        """Useful MACs of a layer over what the array could do in the layer's span, 0..1."""
        return layer.macs / (layer.span_cycles * self.chip.core.matrix.macs) if layer.span_cycles else 0.0


def _sum_by(rows: Integers, values: Integers, count: int) -> Integers:
    """Integer sums of `values` by row (bincount would go through float)."""
    sums = np.zeros(count, np.int64)
    np.add.at(sums, rows, values)
    return sums
