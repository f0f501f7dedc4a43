"""From sums of the array to accumulators: what they start from, and when and where they are written."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from hanok.machine import Matrix
from hanok.rtl._matrix_load import BIAS_ROWS, bias_reads
from hanok.rtl._matrix_setup import accumulator_row_bits
from hanok.rtl.array import sum_bits
from hanok.units import ceil_div

SMALLEST_TILE_CYCLES = 3
"""No tile begins sooner after the one before it: one row and two cycles of overhead."""


def bias_slots(matrix: Matrix) -> int:
    """Blocks whose biases are on their way at most: those in the pipeline, streaming and being loaded."""
    in_pipeline = ceil_div(max(0, matrix.depth_cycles - 7), SMALLEST_TILE_CYCLES)
    return 1 << (1 + in_pipeline).bit_length()


def sums_layout(matrix: Matrix) -> data.StructLayout:
    """What becomes of the sums of a position."""
    return data.StructLayout(
        {
            "writes": 1,
            "row": accumulator_row_bits(matrix),
            "used": range(matrix.columns + 1),
            "adds": 1,
            "bias": 1,
            "tile_last": 1,
            "last": 1,
        }
    )


class Accumulate(wiring.Component):
    """Adds sums to accumulators, biases or zero.

    `sums` of a position that streams in cycle t is taken in cycle t if `valid`; its `totals` come in cycle
    t + depth_cycles + 1, in which they are written. The row is read two cycles before that. Tiles of
    an instruction come back to a row after the smallest tile at the earliest, when its write has landed. But
    the next instruction may begin at the row that this one ends with: a sum that is written in the cycle of
    the read or in the one after is taken from where it is formed. `done` follows the last write by a cycle.
    """

    def __init__(self, matrix: Matrix) -> None:
        self._matrix = matrix
        row, width = accumulator_row_bits(matrix), data.ArrayLayout(signed(32), matrix.columns)
        super().__init__(
            {
                "sums": In(sums_layout(matrix)),
                "valid": In(1),
                "totals": In(data.ArrayLayout(signed(sum_bits(matrix.rows)), matrix.columns)),
                "weights": In(8 * matrix.columns * matrix.preload_rows_per_cycle),
                "bias_part": In(bias_reads(matrix)),
                "bias_ends": In(1),
                "read": Out(1),
                "read_row": Out(row),
                "read_data": In(width),
                "write": Out(1),
                "write_row": Out(row),
                "write_data": Out(width),
                "write_mask": Out(matrix.columns),
                "done": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        reads, answer = self._delayed(m)
        m.d.comb += [
            self.read.eq(reads["valid"] & reads["sums"].writes & reads["sums"].adds),
            self.read_row.eq(reads["sums"].row),
        ]
        biases = self._biases(m, reads["valid"] & reads["sums"].bias & reads["sums"].tile_last)
        sums, formed = answer["sums"], self._formed(m, reads["sums"].row, answer)
        for at, bias in enumerate(biases):
            before = Signal(signed(32), name=f"before_{at}", reset_less=True)
            fresh, value = formed[at]
            other = Mux(sums.adds, value, Mux(sums.bias, bias, 0))
            read = self.read_data[at].as_unsigned() & (sums.adds & ~fresh).replicate(32)
            m.d.sync += before.eq(read | Mux(sums.adds & ~fresh, 0, other))
            m.d.comb += self.write_data[at].eq(before + self.totals[at])
        m.d.sync += [
            self.write.eq(answer["valid"] & sums.writes),
            self.write_row.eq(sums.row),
            *(self.write_mask[at].eq(sums.used > at) for at in range(len(biases))),
        ]
        ended = Signal()
        m.d.sync += [ended.eq(answer["valid"] & sums.last), self.done.eq(ended)]
        return m

    def _formed(self, m: Module, row: Value, answer: dict[str, Any]) -> list[tuple[Value, Value]]:
        """Which accumulators of the answer one of the two writes before its own changes, and their sums.

        `row` is read in this cycle, `answer` is a position before it, and the write another one.
        """
        one, two = Signal(reset_less=True), Signal(reset_less=True)
        sums = answer["sums"]
        m.d.sync += [
            one.eq(answer["valid"] & sums.writes & (sums.row == row)),
            two.eq(self.write & (self.write_row == row)),
        ]
        last, mask = Signal.like(self.write_data, reset_less=True), Signal.like(self.write_mask)
        m.d.sync += [last.eq(self.write_data), mask.eq(self.write_mask)]
        fresh = [(one & self.write_mask[at], two & mask[at]) for at in range(self._matrix.columns)]
        return [
            (now | before, Mux(now, self.write_data[at], last[at])) for at, (now, before) in enumerate(fresh)
        ]

    def _delayed(self, m: Module) -> tuple[dict[str, Any], dict[str, Any]]:
        """Carry a position along the array; return it in the cycle of its read and in the one after."""
        stages: list[dict[str, Any]] = [{"sums": self.sums, "valid": self.valid}]
        for stage in range(1, self._matrix.depth_cycles + 1):
            later = {
                "sums": Signal.like(self.sums, name=f"sums_{stage}", reset_less=True),
                "valid": Signal(name=f"valid_{stage}"),
            }
            m.d.sync += [later[name].eq(stages[-1][name]) for name in later]
            stages.append(later)
        return stages[-2], stages[-1]

    def _biases(self, m: Module, ends: Value) -> list[Value]:
        """Biases in slots used in turn: written by parts as memory answers, read as accumulators are."""
        slots, width = bias_slots(self._matrix), len(self.weights)
        whole = 8 * BIAS_ROWS * self._matrix.columns
        written, read = Signal(range(slots)), Signal(range(slots))
        with m.If(self.bias_ends):
            m.d.sync += written.eq(written + 1)
        with m.If(ends):
            m.d.sync += read.eq(read + 1)
        found = []
        for part, first in enumerate(range(0, whole, width)):
            shape = min(width, whole - first)
            store = memory.Memory(shape=shape, depth=slots, init=[])
            m.submodules[f"biases_{part}"] = store
            into, out = store.write_port(), store.read_port()
            m.d.comb += [
                into.addr.eq(written),
                into.en.eq(self.bias_part[part]),
                into.data.eq(self.weights),
                out.addr.eq(read),
                out.en.eq(1),
            ]
            found.append(out.data)
        flat = Cat(found)
        return [flat[32 * at : 32 * at + 32] for at in range(self._matrix.columns)]
