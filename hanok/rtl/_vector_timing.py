"""The closed formula for the cycles of the vector unit as it is built, and the latencies that it depends on.

A ring of `depth` places carries groups of `lanes` elements through `stages` step units; a group goes round
once for each row of steps. A new group enters a place that is free, so that a full ring has no bubbles.
A reduction works in batches of up to `batch` results: all their elements go through the ring and are folded
into an accumulator each, lanes are folded if asked, then the accumulators go through the ring once more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hanok.isa import Step
from hanok.machine import Vector
from hanok.rtl.float_divide import division_cycles
from hanok.units import ceil_div

SETUP_CYCLES = 12
"""Products of strides and pitches, while the steps are sorted into rows."""
SPLIT_CYCLES = 35
"""Rows modulo ring_rows, a bit a cycle."""
FRONT_CYCLES = 6
"""From the issue of a group to the ring, without conversion and scaling: addresses, memory, zero."""
TABLE_OVERHEAD_CYCLES = 3
"""From the start of a TABLE to its first read, and from its last read to the end."""
DIVISIONS = (Step.DIV, Step.REVERSE_DIV)


@dataclass(frozen=True)
class VectorPipeline:
    """What the chip file leaves open: latencies of the float units, and how much is made side by side."""

    convert: int = 2
    to_integer: int = 2
    multiply: int = 3
    add: int = 4
    fused: int = 5
    division_bits: int = 2
    """Quotient bits of a divider in a cycle."""
    dividers: int = 1
    """Dividers in each lane, and so groups in the ring while a section of the chain divides."""
    batch: int = 64
    """Results of a reduction that are folded side by side; a power of two."""
    table_words: int = 1
    """Entries that a TABLE writes in a cycle; a power of two, at most the lanes."""

    def __post_init__(self) -> None:
        for name in ("batch", "table_words"):
            value = getattr(self, name)
            assert value.bit_count() == 1, f"{name} {value} is not a power of two"
        for name in ("to_integer", "multiply", "add", "fused", "dividers"):
            assert getattr(self, name) > 0, f"{name} is less than 1"

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
        return FRONT_CYCLES + self.convert + self.multiply

    @property
    def fold_cycles(self) -> int:
        """Between two elements that are folded into the same accumulator."""
        return self.add + 3

    @property
    def write_cycles(self) -> int:
        """From the end of the ring to the cycle of the write."""
        return self.to_integer + 2

    def division_rounds(self, stages: int) -> int:
        """Times that a group goes round while it is divided."""
        return ceil_div(division_cycles(self.division_bits) + 2, self.depth(stages))


@dataclass(frozen=True)
class Section:
    """Steps before or after a reduction: how often a group goes round, and how many are in the ring."""

    rounds: int
    width: int

    @classmethod
    def of(cls, steps: Sequence[int], stages: int, pipeline: VectorPipeline) -> Section:
        """Sort steps into rows of `stages`; a division has a row, and all its rounds, to itself."""
        rounds, column = 0, 0
        for step in steps:
            if step in DIVISIONS:
                rounds += pipeline.division_rounds(stages)
                column = 0
            elif step != Step.NONE:
                rounds += column == 0
                column = (column + 1) % stages
        divides = any(step in DIVISIONS for step in steps)
        return cls(max(1, rounds), pipeline.dividers if divides else pipeline.depth(stages))

    def span(self, groups: int, depth: int) -> int:
        """Cycles from the first of `groups` groups to the first that the entry of the ring is free again."""
        turns, place = divmod(groups - 1, self.width)
        return (turns * self.rounds + self.rounds - 1) * depth + place + 1


def vector_chain_cycles(
    vector: Vector,
    pipeline: VectorPipeline,
    outer: int,
    reduce: int,
    inner: int,
    contiguous: bool,
    before: Section,
    after: Section,
    reduces: bool,
    reduce_inner: bool,
    has_ring: bool,
) -> int:
    """Cycles of a CHAIN from its start to its end; arguments as of `hanok.isa.timing.chain_cycles`.

    `contiguous`: each operand has an inner stride of 0 or one element, the result one of one element (or the
    inner loop is folded); otherwise one element a cycle. `has_ring`: operand 0 has ring_rows.
    Without a reduction all steps are in `before`.
    """
    depth = pipeline.depth(vector.stages)
    groups = ceil_div(inner, vector.lanes) if contiguous else inner
    around = pipeline.front_cycles + depth
    cycles = SETUP_CYCLES + (SPLIT_CYCLES if has_ring else 0) + around + pipeline.write_cycles
    if not reduces:
        return cycles + before.span(outer * groups, depth)
    results, elements = (outer, reduce * groups) if reduce_inner else (outer * groups, reduce)
    levels = vector.lanes.bit_length() - 1 if reduce_inner else 0

    def batch(size: int) -> int:
        period = max(size, pipeline.fold_cycles)
        fold = around + pipeline.fold_cycles - 1 + levels * period
        return before.span(elements * period, depth) + fold + after.span(size, depth)

    whole, rest = divmod(results, pipeline.batch)
    return cycles + whole * batch(pipeline.batch) + (batch(rest) if rest else 0)


def vector_table_cycles(pipeline: VectorPipeline) -> int:
    """Cycles of a TABLE: 256 entries, `table_words` a cycle."""
    return 256 // pipeline.table_words + TABLE_OVERHEAD_CYCLES
