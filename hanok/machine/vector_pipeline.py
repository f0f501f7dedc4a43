"""The insides of the vector unit: latencies of its float units, and how much is made side by side."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from hanok.machine._record import Record, power_of_two
from hanok.units import ceil_div

QUOTIENT_BITS = 26
"""Of a float32 division: 24, one before the point (a quotient is between 1/2 and 2), one to round by."""
DIVISION_START_CYCLES = 4
DIVISION_FINISH_CYCLES = 4
_FRONT_CYCLES = 12
"""From the issue of a group to the ring, without conversion and scaling: addresses, memory, zero."""


def division_cycles(bits_per_cycle: int) -> int:
    """Cycles of a divider: count zeros, normalise, the quotient's bits, align and round."""
    return DIVISION_START_CYCLES + ceil_div(QUOTIENT_BITS, bits_per_cycle) + DIVISION_FINISH_CYCLES


class VectorPipeline(Record):
    """What the step units and the ring around them are made of; `hanok.isa.timing` says what follows."""

    convert: Annotated[int, Field(ge=0, le=16, description="cycles from an integer to float32")] = 2
    to_integer: Annotated[int, Field(ge=1, le=16, description="cycles from float32 to an integer")] = 2
    multiply: Annotated[int, Field(ge=1, le=16, description="cycles of the scaling of an operand")] = 3
    add: Annotated[int, Field(ge=1, le=16, description="cycles of an addition that folds")] = 4
    fused: Annotated[int, Field(ge=1, le=16, description="cycles of a step's fused multiply-add")] = 5
    division_bits: Annotated[
        int, Field(ge=1, le=QUOTIENT_BITS, description="quotient bits that a divider makes in a cycle")
    ] = 2
    dividers: Annotated[
        int, Field(ge=1, le=64, description="dividers in each lane: groups that are divided side by side")
    ] = 1
    batch: Annotated[
        int, Field(ge=2, le=4096, description="results of a reduction folded side by side; a power of two")
    ] = 64
    table_words: Annotated[
        int,
        Field(
            ge=1,
            le=128,
            description="entries that TABLE writes in a cycle; a power of two, at most lanes",
        ),
    ] = 1

    _powers = field_validator("batch", "table_words")(power_of_two)

    @property
    def step_cycles(self) -> int:
        """Latency of a step unit: its operands' register, then its slowest operation."""
        return 1 + max(self.fused, self.to_integer + max(self.convert, 1))

    def depth(self, stages: int) -> int:
        """Places of the ring: the step units and the register where groups enter."""
        return stages * self.step_cycles + 1

    @property
    def front_cycles(self) -> int:
        """From the issue of a group to the entry of the ring."""
        return _FRONT_CYCLES + self.convert + self.multiply

    @property
    def fold_cycles(self) -> int:
        """Between two elements that are folded into the same accumulator."""
        return self.add + 4

    @property
    def write_cycles(self) -> int:
        """From the end of the ring to the cycle of the write."""
        return self.to_integer + 2

    def division_rounds(self, stages: int) -> int:
        """Times that a group goes round while it is divided."""
        return ceil_div(division_cycles(self.division_bits) + 3, self.depth(stages))
