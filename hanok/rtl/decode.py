"""Packed code to records, one 32-bit word a cycle; see docs/isa.md, Encoding.

The record that is being made stands in registers, one set for each unit and format, and is offered whole in
the cycle after its last word. The header of the next instruction may come in the cycle in which the record
is taken. So an instruction of `words` words (header and bitmap included) whose word k is offered from cycle
`arrival[k]` on is offered itself in cycle

    max(taken + words, max over k of arrival[k] + words - k)

where `taken` is the cycle in which the instruction before it was taken.
"""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hanok.isa._packed import FORMAT_OF, FORMATS, FRESH_BIT, REGISTER_OF
from hanok.isa.faults import Fault
from hanok.isa.table import (
    BY_OPCODE,
    FLAG_ACCUMULATE,
    FLAG_BIAS,
    FLAG_FRESH,
    FLAG_KEEP_CODE,
    FLAG_REDUCE_INNER,
    HEADER,
    INSTRUCTIONS,
    Format,
    Opcode,
    Unit,
)
from hanok.rtl.records import record_layout
from hanok.rtl.registers import CAUSE_BITS

FLAGS = {
    Opcode.CONV: FLAG_BIAS | FLAG_ACCUMULATE,
    Opcode.DEPTHWISE: FLAG_BIAS | FLAG_ACCUMULATE,
    Opcode.CHAIN: FLAG_REDUCE_INNER,
    Opcode.EXPAND: FLAG_KEEP_CODE,
}
"""Flags that an instruction has beside fresh; the others have none."""
WORD_BITS = 32
WORD_MASK = (1 << WORD_BITS) - 1
BITMAP_WORDS = max(form.bitmap_words for form in FORMATS.values())
BITMAP_BITS = WORD_BITS * BITMAP_WORDS
CODE_WORD = data.StructLayout(
    {
        "word": WORD_BITS,
        "last": 1,  # no code comes after it
        "error": 1,  # the memory could not read it
    }
)
"""A word of code, as the fetcher hands it out."""
PLACES = "header", "bitmap", "body"
"""Of a word in its instruction."""
HEAD = data.StructLayout({field.name: 8 * field.size_bytes for field in HEADER})
"""The header word, which every record begins with."""


def _formats_of(unit: Unit) -> dict[str, Format]:
    return {row.format.name: row.format for row in INSTRUCTIONS if row.unit == unit}


def unit_layout(unit: Unit) -> data.Layout:
    """Return the layout of a unit's records; where it has several formats, a union of them by name."""
    formats = _formats_of(unit)
    if len(formats) == 1:
        return record_layout(next(iter(formats.values())))
    return data.UnionLayout({name: record_layout(layout) for name, layout in formats.items()})


DECODED = data.StructLayout(
    {
        "unit": range(len(Unit)),
        "records": data.StructLayout({unit.name.lower(): unit_layout(unit) for unit in Unit}),
    }
)
"""An instruction for dispatch: its unit, and beside it the last record of each unit, of which its is new."""


class _LastRecord:
    """The body of the last record of one format of one unit, a register for each word that has fields."""

    def __init__(self, number: int) -> None:
        opcode = next(opcode for opcode, register in REGISTER_OF.items() if register == number)
        row = BY_OPCODE[opcode]
        self.unit, self.form = row.unit, FORMAT_OF[opcode]
        self.bits = record_layout(row.format).size
        self.words = [
            Signal(used.bit_length(), name=f"{row.unit.name.lower()}_{row.format.name}_{place}")
            for place, used in enumerate(self.form.used_bits)
        ]


class Decoder(wiring.Component):
    """Words of code in, instructions out; it stops at what is not legal.

    `clear` makes all last records zero and starts anew at byte 0. `faulted` is 1 for the one cycle in which a
    word is taken that cannot be; `cause` (a `Fault`) and `fault_offset` (where its instruction begins) stand
    beside it, and no word is taken until `clear`. `dispatched_bytes` is the first byte that was not
    dispatched before this cycle, `offset` where the instruction at `decoded` begins. `busy`: an instruction
    has begun and is not taken, or faulted. `starved`: nothing but words is missing.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "clear": In(1),
                "words": In(stream.Signature(CODE_WORD)),
                "decoded": Out(stream.Signature(DECODED)),
                "faulted": Out(1),
                "cause": Out(CAUSE_BITS),
                "fault_offset": Out(32),
                "dispatched_bytes": Out(32),
                "offset": Out(32),
                "busy": Out(1),
                "starved": Out(1),
            }
        )
        self._last = [_LastRecord(number) for number in range(1 + max(REGISTER_OF.values()))]

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        offered, stopped, takes, completes = Signal(), Signal(), Signal(), Signal()
        kind, lowest = Signal(len(self._last)), Signal(BITMAP_BITS)
        place = {name: Signal(name=f"in_{name}", init=name == "header") for name in PLACES}
        m.d.comb += [
            self.words.ready.eq(~stopped & ~self.clear & (~offered | self.decoded.ready)),
            takes.eq(self.words.valid & self.words.ready),
            self.decoded.valid.eq(offered),
            self.busy.eq(offered | stopped | ~place["header"]),
            self.starved.eq(~offered & ~self.words.valid),
        ]
        with m.If(self.decoded.ready):
            m.d.sync += offered.eq(0)
        with m.If(takes & completes & ~self.faulted):
            m.d.sync += offered.eq(1)
        with m.If(self.faulted):
            m.d.sync += stopped.eq(1)
        with m.If(self.clear):
            m.d.sync += [offered.eq(0), stopped.eq(0)]
        chosen, header, header_faults = self._header(m, takes & place["header"], kind)
        bitmap_fault = self._walk(m, takes, place, kind, lowest, completes)
        self._write(m, takes & place["body"], kind, lowest, takes & place["header"], chosen)
        faults = [(Fault.FETCH_ERROR, self.words.payload.error)]
        faults += [(fault, place["header"] & found) for fault, found in header_faults.items()]
        faults += [
            (Fault.NO_SUCH_WORD, place["bitmap"] & bitmap_fault),
            (Fault.NO_SUCH_BIT, place["body"] & self._has_foreign_bits(kind, lowest)),
            (Fault.CUT_SHORT, self.words.payload.last & ~completes),
        ]
        self._report(m, takes, faults)
        self._count(m, takes, place["header"])
        self._offer(m, kind, header)
        return m

    def _header(self, m: Module, taken: Value, kind: Value) -> tuple[Value, Value, dict[Fault, Value]]:
        """Return the record that a header word chooses, the last header, and what may be wrong with it."""
        head, header = data.View(HEAD, self.words.payload.word), Signal(WORD_BITS)
        chosen, flags = Signal.like(kind), Signal(head.flags.shape())
        with m.Switch(head.opcode):
            for opcode, number in REGISTER_OF.items():
                with m.Case(opcode):
                    m.d.comb += [chosen.eq(1 << number), flags.eq(FLAG_FRESH | FLAGS.get(opcode, 0))]
        with m.If(taken):
            m.d.sync += [kind.eq(chosen), header.eq(self.words.payload.word & ~FRESH_BIT)]
        return (
            chosen,
            header,
            {
                Fault.ILLEGAL_OPCODE: ~chosen.any(),
                Fault.NO_SUCH_UNIT: (head.wait | head.post)[len(Unit) :].any(),
                Fault.NO_SUCH_FLAG: (head.flags & ~flags).any(),
            },
        )

    def _walk(
        self, m: Module, takes: Value, place: dict[str, Signal], kind: Value, lowest: Value, completes: Value
    ) -> Value:
        """Go from header to bitmap to body; return whether a bitmap names words that there are not."""
        word = self.words.payload.word
        bitmap, after, number = Signal(BITMAP_BITS), Signal(BITMAP_BITS), Signal(range(BITMAP_WORDS))
        is_last_bitmap, too_many = Signal(), Signal()
        for row, last in enumerate(self._last):
            with m.If(kind[row]):
                m.d.comb += is_last_bitmap.eq(number == last.form.bitmap_words - 1)
                used = (1 << last.form.body_words) - 1
                for part in range(last.form.bitmap_words):
                    bits = used >> WORD_BITS * part & WORD_MASK
                    with m.If(number == part):
                        m.d.comb += too_many.eq((word & (WORD_MASK & ~bits)).any())
        m.d.comb += [lowest.eq(bitmap & -bitmap), after.eq(bitmap & ~lowest)]
        with m.If(place["bitmap"]):
            m.d.comb += after.eq(bitmap | word << WORD_BITS * number)
        m.d.comb += completes.eq(~after.any() & (place["body"] | place["bitmap"] & is_last_bitmap))
        with m.If(takes & ~place["header"]):
            m.d.sync += bitmap.eq(after)
        with m.If(takes & place["header"]):
            m.d.sync += [number.eq(0), bitmap.eq(0)]
        with m.If(takes & place["bitmap"]):
            m.d.sync += number.eq(number + 1)
        to_body = place["bitmap"] & is_last_bitmap | place["body"]
        with m.If(takes):
            m.d.sync += [
                place["header"].eq(completes),
                place["bitmap"].eq(place["header"] | place["bitmap"] & ~is_last_bitmap),
                place["body"].eq(to_body & ~completes),
            ]
        with m.If(self.clear):
            m.d.sync += [signal.eq(signal.init) for signal in place.values()]
        return too_many

    def _write(
        self, m: Module, writes: Value, kind: Value, lowest: Value, begins: Value, chosen: Value
    ) -> None:
        """Put a word into its record; a fresh one begins with all words zero."""
        word, fresh = self.words.payload.word, (self.words.payload.word & FRESH_BIT).any()
        for number, last in enumerate(self._last):
            for place, register in enumerate(last.words):
                with m.If(writes & kind[number] & lowest[place]):
                    m.d.sync += register.eq(word)
            with m.If(self.clear | begins & fresh & chosen[number]):
                m.d.sync += [register.eq(0) for register in last.words]

    def _has_foreign_bits(self, kind: Value, lowest: Value) -> Value:
        """Whether the word sets bits that no field of its place in the record has."""
        word = self.words.payload.word
        found: Any = Const(0)
        for number, last in enumerate(self._last):
            for place, used in enumerate(last.form.used_bits):
                if used != WORD_MASK:
                    found |= kind[number] & lowest[place] & (word & (WORD_MASK & ~used)).any()
        return found

    def _report(self, m: Module, takes: Value, faults: list[tuple[Fault, Value]]) -> None:
        """Give the first fault that a word has."""
        with m.If(takes):
            for fault, found in reversed(faults):
                with m.If(found):
                    m.d.comb += [self.faulted.eq(1), self.cause.eq(fault)]

    def _count(self, m: Module, takes: Value, at_header: Value) -> None:
        """Count the bytes that are taken; at a header they are the end of the instruction before it."""
        taken_bytes, begin = Signal(32), Signal(32)
        m.d.comb += [self.fault_offset.eq(Mux(at_header, taken_bytes, begin)), self.offset.eq(begin)]
        with m.If(takes):
            m.d.sync += taken_bytes.eq(taken_bytes + WORD_BITS // 8)
            with m.If(at_header):
                m.d.sync += begin.eq(taken_bytes)
        with m.If(self.decoded.valid & self.decoded.ready):
            m.d.sync += self.dispatched_bytes.eq(taken_bytes)
        with m.If(self.clear):
            m.d.sync += [taken_bytes.eq(0), self.dispatched_bytes.eq(0)]

    def _offer(self, m: Module, kind: Value, header: Value) -> None:
        """Show the last records; those of a unit share its bits, the longest shows unless another is new."""
        payload = self.decoded.payload
        for unit in Unit:
            bits = payload.records[unit.name.lower()].as_value()
            mine = [(number, last) for number, last in enumerate(self._last) if last.unit == unit]
            mine.sort(key=lambda pair: -pair[1].bits)
            for rank, (number, last) in enumerate(mine):
                with m.If(kind[number] if rank else Const(1)):
                    m.d.comb += bits[: last.bits].eq(Cat(header, *last.words))
            for number, _ in mine:
                with m.If(kind[number]):
                    m.d.comb += payload.unit.eq(unit)
