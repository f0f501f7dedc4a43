"""What is wrong with a decoded instruction, before it goes to its unit: lengths, codes, first addresses.

Where its loops lead is found on the way: an access outside of a memory stops the core (`core.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hanok.isa import Destination, Operand, Reduction, Source, Step
from hanok.isa.faults import Fault
from hanok.isa.table import (
    FLAG_ACCUMULATE,
    FLAG_BIAS,
    FLAG_KEEP_CODE,
    FLAG_REDUCE_INNER,
    VECTOR,
    VECTOR_STEPS,
    VECTOR_TABLE,
    Opcode,
    Unit,
)
from hanok.machine.chip import Core
from hanok.numerics.huffman import TABLE_BYTES as CODE_BYTES
from hanok.rtl.decode import DECODED, HEAD
from hanok.rtl.marks import CAUSE_MARK_BITS, INDEX_BITS, Words, keep_answer, marked_member
from hanok.rtl.register_map import CAUSE_BITS
from hanok.rtl.unpack import StreamShape

Finding = tuple[Fault, Any]
"""A fault, and the value that is not 0 where the instruction has it."""
TABLE_BYTES = 1024
SIGN_BIT = 31
BYTE_BITS = 8


def _above(value: Value, most: int) -> Value:
    """Whether an unsigned value is above `most`, without a chain of carries."""
    bits = most.bit_length()
    found, equal = value[bits:].any(), Const(1)
    for place in reversed(range(bits)):
        if most >> place & 1:
            equal &= value[place]
        else:
            found |= equal & value[place]
    return found


def _is_wide(value: Value) -> Value:
    """Whether a signed value is outside of int8."""
    signs = value[BYTE_BITS - 1 :]
    return signs.any() & ~signs.all()


class Legality(wiring.Component):
    """`cause` of the instruction `decoded` that was `taken` two cycles ago; `NONE` where it may start."""

    def __init__(self, core: Core, words: Words = ()) -> None:
        super().__init__(
            {"decoded": In(DECODED), "taken": In(1), "cause": Out(CAUSE_BITS)}
            | marked_member(words, CAUSE_MARK_BITS)
        )
        self._core, self._words = core, words

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        records = self.decoded.records
        is_table = self._head(Unit.VECTOR).opcode == Opcode.TABLE
        table = [*self._masks(Unit.VECTOR), *self._table(records.vector[VECTOR_TABLE.name])]
        chain = [*self._masks(Unit.VECTOR), *self._chain(records.vector[VECTOR.name])]
        m.d.sync += self.cause.eq(Fault.NONE)
        for unit, applies, findings in (
            (Unit.LOAD, 1, [*self._masks(Unit.LOAD), *self._dma(records.load)]),
            (Unit.STORE, 1, [*self._masks(Unit.STORE), *self._dma(records.store)]),
            (Unit.MATRIX, 1, [*self._masks(Unit.MATRIX), *self._matrix(records.matrix)]),
            (Unit.VECTOR, is_table, table),
            (Unit.VECTOR, ~is_table, chain),
        ):
            concerns = Signal()
            m.d.sync += concerns.eq(self.taken & (self.decoded.unit == unit) & applies)
            self._report(m, concerns, findings)
        index = records.load.sram_address[:INDEX_BITS]
        keep_answer(m, self, self._words, CAUSE_MARK_BITS, index, self.taken)
        return m

    def _report(self, m: Module, concerns: Signal, findings: list[Finding]) -> None:
        """Neighbours of one fault become one register; of these the first that is 1 counts."""
        groups: list[tuple[Fault, Signal]] = []
        for fault, neighbours in groupby(findings, key=itemgetter(0)):
            found = Signal(name=fault.name.lower(), reset_less=True)
            m.d.sync += found.eq(Cat(one for _, one in neighbours).any())
            groups.append((fault, found))
        for fault, found in reversed(groups):
            with m.If(concerns & found):
                m.d.sync += self.cause.eq(fault)

    def _head(self, unit: Unit) -> Any:
        bits = Value.cast(self.decoded.records[unit.name.lower()])
        return data.View(HEAD, bits[: HEAD.size])

    def _masks(self, unit: Unit) -> Iterator[Finding]:
        head = self._head(unit)
        yield Fault.NO_SUCH_UNIT, (head.wait | head.post)[int(unit)]

    def _dma(self, record: Any) -> Iterator[Finding]:
        core = self._core
        expand, unpack = record.opcode == Opcode.EXPAND, record.opcode == Opcode.UNPACK
        if not core.dma.expand_lanes:
            yield Fault.ILLEGAL_OPCODE, expand
        if not core.dma.int4:
            yield Fault.ILLEGAL_OPCODE, unpack
        yield from self._lengths(record, ("run_bytes", "count_1", "count_2", "count_3"))
        one: Any = 1
        for name in ("count_1", "count_2", "count_3"):
            one &= record[name] == 1
        if core.dma.expand_lanes:
            keeps = (record.flags & FLAG_KEEP_CODE).any()
            enough = _above(record.packed_bytes, CODE_BYTES) | (keeps & record.packed_bytes.any())
            yield Fault.NO_SUCH_VALUE, expand & ~one
            yield Fault.NO_SUCH_VALUE, expand & (record.packed_bytes[0] | ~enough)
        if core.dma.int4:
            yield Fault.NO_SUCH_VALUE, unpack & ~one
            yield Fault.NO_SUCH_VALUE, unpack & self._is_no_stream(record)
        yield self._inside(record.sram_address, core.sram.total_bytes)

    def _is_no_stream(self, record: Any) -> Value:
        """Whether a stream of nibbles begins or ends within a beat, or its groups do."""
        shape = StreamShape(self._core.matrix.columns, self._core.dma.bytes_per_cycle)
        beat_bits = (shape.beat_bytes - 1).bit_length()
        return (
            record.dram_address[:beat_bits].any()
            | record.packed_bytes[:beat_bits].any()
            | ~record.packed_bytes.any()
            | record.group_rows[: shape.row_bits].any()
            | ~record.group_rows.any()
        )

    def _matrix(self, record: Any) -> Iterator[Finding]:
        matrix, sram = self._core.matrix, self._core.sram.total_bytes
        rows = matrix.accumulator_banks * matrix.accumulator_rows
        lengths = ("out_height", "out_width", "taps_y", "taps_x", "tap_bytes", "blocks", "last_columns")
        yield from self._lengths(record, lengths)
        depthwise = record.opcode == Opcode.DEPTHWISE
        yield Fault.NO_SUCH_VALUE, (record.flags & FLAG_BIAS).any() & (record.flags & FLAG_ACCUMULATE).any()
        yield Fault.NO_SUCH_VALUE, _above(record.out_height, rows) | _above(record.out_width, rows)
        yield Fault.NO_SUCH_VALUE, _above(record.last_columns, matrix.columns)
        yield Fault.NO_SUCH_VALUE, _above(record.tap_bytes, sram) | (depthwise & (record.tap_bytes != 1))
        yield Fault.ZERO_LENGTH, depthwise & (record.pixel_pitch == 0)
        yield self._inside(record.accumulator_row, rows)
        yield self._inside(record.weight_address, sram)
        yield Fault.NO_SUCH_BYTE, (record.flags & FLAG_BIAS).any() & _above(record.bias_address, sram - 1)

    def _chain(self, record: Any) -> Iterator[Finding]:
        sram = self._core.sram.total_bytes
        lengths = ("outer_2", "outer_1", "outer_0", "reduce_1", "reduce_0", "inner")
        yield from self._lengths(record, lengths)
        for name in ("outer_2", "outer_1", "outer_0", "inner"):
            yield Fault.NO_SUCH_VALUE, record[name][SIGN_BIT]
        none, folds = record.reduction == Reduction.NONE, (record.flags & FLAG_REDUCE_INNER).any()
        yield Fault.NO_SUCH_VALUE, _above(record.reduction, max(Reduction))
        yield Fault.NO_SUCH_VALUE, none & (folds | (record.reduce_1 != 1) | (record.reduce_0 != 1))
        yield Fault.NO_SUCH_VALUE, (record.kind_0 == Source.NONE) | _above(record.kind_0, max(Source))
        for name in ("kind_1", "kind_2"):
            kind = record[name]
            yield Fault.NO_SUCH_VALUE, (kind == Source.ACCUMULATOR) | _above(kind, max(Source))
        yield Fault.NO_SUCH_VALUE, ~self._one_of(record.kind_out, [int(kind) for kind in Destination])
        yield from self._result(record)
        yield from self._steps(record)
        yield Fault.NO_SUCH_BYTE, _above(record.address_out, sram - 1)
        for name in ("1", "2"):
            used = record[f"kind_{name}"] != Source.NONE
            yield Fault.NO_SUCH_BYTE, used & _above(record[f"address_{name}"], sram - 1)

    def _result(self, record: Any) -> Iterator[Finding]:
        low, high = record.low_out, record.high_out
        outside = (
            _is_wide(low) | _is_wide(high) | (high[:BYTE_BITS].as_signed() < low[:BYTE_BITS].as_signed())
        )
        yield Fault.NO_SUCH_VALUE, (record.kind_out == Destination.INT8) & outside

    def _steps(self, record: Any) -> Iterator[Finding]:
        yield Fault.NO_SUCH_VALUE, _above(record.steps, VECTOR_STEPS) | (record.steps_before > record.steps)
        for number in range(VECTOR_STEPS):
            made, step, operand = _above(record.steps, number), record.step[number], record.operand[number]
            immediate = (step == Step.FUSED_ADD) & (operand == Operand.IMMEDIATE)
            wrong = _above(step, max(Step)) | _above(operand, max(Operand)) | immediate
            for source, name in ((Operand.SOURCE_1, "kind_1"), (Operand.SOURCE_2, "kind_2")):
                wrong |= (operand == source) & (record[name] == Source.NONE)
            yield Fault.NO_SUCH_VALUE, made & wrong

    def _table(self, record: Any) -> Iterator[Finding]:
        yield self._inside(record.address, self._core.sram.total_bytes - TABLE_BYTES + 1)

    def _lengths(self, record: Any, names: tuple[str, ...]) -> Iterator[Finding]:
        for name in names:
            yield Fault.ZERO_LENGTH, record[name] == 0

    def _inside(self, place: Any, limit: int) -> Finding:
        return Fault.NO_SUCH_BYTE, _above(place, limit - 1)

    def _one_of(self, value: Any, codes: list[int]) -> Any:
        found: Any = Const(0)
        for code in codes:
            found |= value == code
        return found
