"""Packed code to records, one 32-bit word a cycle; see docs/isa.md, Encoding.

A word stands in a register with what its bits say (`DECODE_STAGES`). The record that is being made stands in
registers, one set for each unit and format, and is offered whole in the cycle after its last word was taken
from there. The header of the next instruction may be taken in the cycle in which the record is. So an
instruction of `words` words (header and bitmap included) whose word k is offered from cycle `arrival[k]` on
is offered itself in cycle

    max(taken + words, max over k of arrival[k] + DECODE_STAGES + words - k)

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
    FLAG_COLUMNS,
    FLAG_FRESH,
    FLAG_KEEP_CODE,
    FLAG_REDUCE_INNER,
    HEADER,
    INSTRUCTIONS,
    Format,
    Opcode,
    Unit,
)
from hanok.rtl.marks import CAUSE_MARK_BITS, INDEX_BITS, Words, keep_answer, marked_member
from hanok.rtl.records import record_layout
from hanok.rtl.register_map import CAUSE_BITS

FLAGS = {
    Opcode.CONV: FLAG_BIAS | FLAG_ACCUMULATE | FLAG_COLUMNS,
    Opcode.DEPTHWISE: FLAG_BIAS | FLAG_ACCUMULATE,
    Opcode.CHAIN: FLAG_REDUCE_INNER,
    Opcode.EXPAND: FLAG_KEEP_CODE,
}
"""Flags that an instruction has beside fresh; the others have none."""
DECODE_STAGES = 1
"""Cycles that a word stands in a register before it is decoded."""
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

    `clear` makes all last records zero and starts anew at byte 0. `faulted` is 1 for one cycle after a word
    was decoded that cannot be; `cause` (a `Fault`) and `fault_offset` (where its instruction begins) stand
    beside it, and nothing is decoded until `clear`. `dispatched_bytes` is the first byte that was not
    dispatched before this cycle, `offset` where the instruction at `decoded` begins. `busy`: an instruction
    has begun and is not taken, or faulted. `starved`: nothing but words is missing.
    """

    def __init__(self, words: Words = ()) -> None:
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
            | marked_member(words, CAUSE_MARK_BITS)
        )
        self._words = words
        self._last = [_LastRecord(number) for number in range(1 + max(REGISTER_OF.values()))]
        self._stage = data.StructLayout(
            {
                "word": WORD_BITS,
                "last": 1,
                "error": 1,
                "is_zero": 1,
                "chosen": len(self._last),  # the record, if it is a header
                "cause": CAUSE_BITS,  # what is wrong with it then
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        offered, stopped, takes, completes = Signal(), Signal(), Signal(), Signal()
        kind, now = Signal(len(self._last)), Signal(BITMAP_BITS)
        place = {name: Signal(name=f"in_{name}", init=name == "header") for name in PLACES}
        stage, has_word = Signal(self._stage), Signal()
        self._predecode(m, stage, has_word, takes, stopped)
        m.d.comb += [
            takes.eq(has_word & ~stopped & ~self.faulted & (~offered | self.decoded.ready)),
            self.decoded.valid.eq(offered & ~self.faulted),
            self.busy.eq(offered | stopped | self.faulted | has_word | ~place["header"]),
            self.starved.eq(~offered & ~has_word),
        ]
        with m.If(self.decoded.ready | self.faulted):
            m.d.sync += offered.eq(0)
        with m.If(takes & completes):
            m.d.sync += offered.eq(1)
        with m.If(self.faulted):
            m.d.sync += stopped.eq(1)
        with m.If(self.clear):
            m.d.sync += [offered.eq(0), stopped.eq(0)]
        header = Signal(WORD_BITS)
        with m.If(takes & place["header"]):
            m.d.sync += [kind.eq(stage.chosen), header.eq(stage.word & ~FRESH_BIT)]
        bitmap_fault = self._walk(m, stage, takes, place, kind, now, completes)
        self._write(m, stage, takes, place, kind, now)
        faults: list[tuple[Any, Value]] = [
            (Fault.FETCH_ERROR, stage.error),
            (stage.cause, place["header"] & stage.cause.any()),
            (Fault.NO_SUCH_WORD, place["bitmap"] & bitmap_fault),
            (Fault.NO_SUCH_BIT, place["body"] & self._has_foreign_bits(stage.word, kind, now)),
            (Fault.CUT_SHORT, stage.last & ~completes),
        ]
        self._report(m, takes, faults)
        self._count(m, takes, place["header"])
        self._offer(m, kind, header)
        is_header = takes & place["header"]
        keep_answer(m, self, self._words, CAUSE_MARK_BITS, stage.word[:INDEX_BITS], is_header)
        return m

    def _predecode(self, m: Module, stage: Any, has_word: Signal, takes: Value, stopped: Value) -> None:
        """Take a word into `stage`, with what it says if it is a header, and what may be wrong with it."""
        words, chosen, cause = self.words, Signal(len(self._last)), Signal(CAUSE_BITS)
        head = data.View(HEAD, words.payload.word)
        flags = Signal(head.flags.shape())
        with m.Switch(head.opcode):
            for opcode, number in REGISTER_OF.items():
                with m.Case(opcode):
                    m.d.comb += [chosen.eq(1 << number), flags.eq(FLAG_FRESH | FLAGS.get(opcode, 0))]
        with m.If(~chosen.any()):
            m.d.comb += cause.eq(Fault.ILLEGAL_OPCODE)
        with m.Elif((head.wait | head.post)[len(Unit) :].any()):
            m.d.comb += cause.eq(Fault.NO_SUCH_UNIT)
        with m.Elif((head.flags & ~flags).any()):
            m.d.comb += cause.eq(Fault.NO_SUCH_FLAG)
        m.d.comb += words.ready.eq(~stopped & ~self.clear & (~has_word | takes))
        with m.If(words.ready):
            m.d.sync += [
                has_word.eq(words.valid),
                stage.word.eq(words.payload.word),
                stage.last.eq(words.payload.last),
                stage.error.eq(words.payload.error),
                stage.is_zero.eq(~words.payload.word.any()),
                stage.chosen.eq(chosen),
                stage.cause.eq(cause),
            ]
        with m.If(self.clear):
            m.d.sync += has_word.eq(0)

    def _walk(
        self,
        m: Module,
        stage: Any,
        takes: Value,
        place: dict[str, Signal],
        kind: Value,
        now: Signal,
        completes: Value,
    ) -> Value:
        """Go from header to bitmap to body; return whether a bitmap names words that there are not.

        `now` is the place of the word in the body, `rest` those of the words that follow.
        """
        rest, pending, number = Signal(BITMAP_BITS), Signal(BITMAP_BITS), Signal(range(BITMAP_WORDS))
        is_last_bitmap, too_many, to_body = Signal(), Signal(), Signal()
        for row, last in enumerate(self._last):
            with m.If(kind[row]):
                m.d.comb += is_last_bitmap.eq(number == last.form.bitmap_words - 1)
                used = (1 << last.form.body_words) - 1
                for part in range(last.form.bitmap_words):
                    bits = used >> WORD_BITS * part & WORD_MASK
                    with m.If(number == part):
                        m.d.comb += too_many.eq((stage.word & (WORD_MASK & ~bits)).any())
        m.d.comb += [
            pending.eq(rest),
            to_body.eq(place["bitmap"] & is_last_bitmap | place["body"]),
            completes.eq(to_body & ~rest.any() & (place["body"] | stage.is_zero)),
        ]
        with m.If(place["bitmap"]):
            m.d.comb += pending.eq(rest | stage.word << WORD_BITS * number)
        with m.If(takes):
            m.d.sync += [
                now.eq(pending & -pending),
                rest.eq(Mux(to_body, pending & (pending - 1), pending)),
                number.eq(number + place["bitmap"]),
                place["header"].eq(completes),
                place["bitmap"].eq(place["header"] | place["bitmap"] & ~is_last_bitmap),
                place["body"].eq(to_body & ~completes),
            ]
        with m.If(takes & place["header"]):
            m.d.sync += [number.eq(0), rest.eq(0)]
        with m.If(self.clear):
            m.d.sync += [signal.eq(signal.init) for signal in place.values()]
        return too_many

    def _write(
        self, m: Module, stage: Any, takes: Value, place: dict[str, Signal], kind: Value, now: Value
    ) -> None:
        """Put a word into its record; a fresh one becomes zero after its header."""
        wipes = Signal(len(self._last))
        fresh = takes & place["header"] & (stage.word & FRESH_BIT).any()
        m.d.sync += wipes.eq(Mux(self.clear, -1, Mux(fresh, stage.chosen, 0)))
        for number, last in enumerate(self._last):
            for part, register in enumerate(last.words):
                with m.If(takes & place["body"] & kind[number] & now[part]):
                    m.d.sync += register.eq(stage.word)
            with m.If(wipes[number]):
                m.d.sync += [register.eq(0) for register in last.words]

    def _has_foreign_bits(self, word: Value, kind: Value, now: Value) -> Value:
        """Whether the word sets bits that no field of its place in the record has."""
        found: Any = Const(0)
        for number, last in enumerate(self._last):
            for place, used in enumerate(last.form.used_bits):
                if used != WORD_MASK:
                    found |= kind[number] & now[place] & (word & (WORD_MASK & ~used)).any()
        return found

    def _report(self, m: Module, takes: Value, faults: list[tuple[Any, Value]]) -> None:
        """Give the first fault that a word has, in the next cycle."""
        m.d.sync += self.faulted.eq(0)
        for fault, found in reversed(faults):
            with m.If(found):
                m.d.sync += [self.faulted.eq(takes & ~self.clear), self.cause.eq(fault)]

    def _count(self, m: Module, takes: Value, at_header: Value) -> None:
        """Count the bytes that are taken; at a header they are the end of the instruction before it."""
        taken_bytes, begin = Signal(32), Signal(32)
        m.d.comb += self.offset.eq(begin)
        m.d.sync += self.fault_offset.eq(Mux(at_header, taken_bytes, begin))
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
