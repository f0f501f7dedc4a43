"""The result of the cycle engine: cycles, their causes, and what follows from them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np
import numpy.typing as npt

from hanok.dram import Commands, Counters
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
    Cause.FETCH: "the queue is empty, and the decoder waits for code from DRAM",
    Cause.DISPATCH: "the queue is empty, and the decoder is at work or blocked by another unit's queue",
    Cause.END: "the unit has no more instructions",
}


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
    """Multiply-accumulates of CONV and DEPTHWISE, without unused array rows and columns.

    Zero weights count: neighbouring pixels or groups that share the array are filled up with them, so that
    the model's own multiply-accumulates can be fewer.
    """
    stream_cycles_of: Integers
    """Cycles in which the array receives activations."""
    causes: Integers
    """[unit][Cause] cycles; each row sums to `cycles`."""
    load_bytes: int
    store_bytes: int
    fetch_bytes: int
    dram: Counters
    dram_commands: Commands | None
    """When asked for."""

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
        """Multiply-accumulates with a weight, zero or not."""
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
        """MACs with a weight (zero or not) over what the array could do in all cycles, 0..1."""
        return self.macs / (self.cycles * self.chip.core.matrix.macs) if self.cycles else 0.0

    @cached_property
    def active_cycles_of(self) -> Integers:
        """Cycles that each instruction adds to its unit's active time (pipelined ones overlap)."""
        active = np.zeros_like(self.start)
        for unit in Unit:
            members = np.flatnonzero(self.unit == unit)
            ends = np.maximum.accumulate(self.end[members])
            before = np.concatenate(([0], ends[:-1])) if len(ends) else ends
            active[members] = np.maximum(0, self.end[members] - np.maximum(self.start[members], before))
        return active
