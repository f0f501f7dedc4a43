"""Marks of a copy: what each block of a core answers where nothing says what it must.

An address without a register is answered with an error, beside which AXI leaves the data open; a fault leaves
bits of `cause` and of the counters open (docs/protect/gates.md). A marked core gives words of its own there,
of `1 << INDEX_BITS` for each block; the index is what the program or the bus has put in four bits that
matter for nothing else. A core without marks gives 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Const, Module, Signal, Value
from amaranth.lib.wiring import Out

from hanok.isa.table import Unit

INDEX_BITS = 4
CAUSE_MARK_BITS, COUNTER_MARK_BITS, REGISTER_MARK_BITS = 24, 16, 32

Words = tuple[int, ...]
"""What a block answers, by index; empty: it has no marks."""


@dataclass(frozen=True)
class MarkedBlock:
    """A block, and how many bits of its answer are open."""

    name: str
    bits: int


BLOCKS = (
    MarkedBlock("registers", REGISTER_MARK_BITS),
    MarkedBlock("decoder", CAUSE_MARK_BITS),
    MarkedBlock("legality", CAUSE_MARK_BITS),
    *(MarkedBlock(unit.name.lower(), COUNTER_MARK_BITS) for unit in Unit),
)
MARKS = sum(block.bits << INDEX_BITS for block in BLOCKS)
"""Bits that a copy can carry."""


def words_of(marks: Sequence[int]) -> dict[str, Words]:
    """Return the answers that carry `MARKS` bits, by block; of no bits, answers of a core without marks."""
    if not marks:
        return {block.name: () for block in BLOCKS}
    assert len(marks) == MARKS, f"{len(marks)} marks, not {MARKS}"
    found, at = {}, 0
    for block in BLOCKS:
        words = []
        for _ in range(1 << INDEX_BITS):
            words.append(sum(int(bit) << place for place, bit in enumerate(marks[at : at + block.bits])))
            at += block.bits
        found[block.name] = tuple(words)
    return found


def marks_of(words: Mapping[str, Sequence[int | None]]) -> list[int | None]:
    """Return the bits that answers carry, None for those of an answer that there was not."""
    return [
        None if word is None else word >> place & 1
        for block in BLOCKS
        for word in words[block.name]
        for place in range(block.bits)
    ]


def marked_member(words: Words, bits: int) -> dict[str, Any]:
    """The port `unspecified` of a component that has answers, or none."""
    return {"unspecified": Out(bits)} if words else {}


def answer(m: Module, words: Words, bits: int, index: Value) -> Signal:
    """Return the word of an index."""
    found = Signal(bits, name="answer")
    with m.Switch(index):
        for place, word in enumerate(words):
            with m.Case(place):
                m.d.comb += found.eq(Const(word, bits))
    return found


def keep_answer(m: Module, component: Any, words: Words, bits: int, index: Value, when: Value) -> None:
    """Give the word of the last index that came with `when`; without answers, nothing is built."""
    if not words:
        return
    held = Signal(INDEX_BITS, name="open_index", reset_less=True)
    with m.If(when):
        m.d.sync += held.eq(index)
    m.d.comb += component.unspecified.eq(answer(m, words, bits, held))


def join_answers(m: Module, units: Mapping[str, Any], registers: Any, faulted: Value, illegal: Value) -> None:
    """In a marked core: hand what its blocks answer beside a fault to the registers where it is read.

    `faulted` and `illegal` (of an instruction that may not start) are those of the cycle in which it halts.
    """
    of_legality, of_decoder = Signal(), Signal()
    with m.If(faulted):
        m.d.sync += [of_legality.eq(illegal), of_decoder.eq(units["decoder"].faulted & ~illegal)]
    with m.If(of_legality):
        m.d.comb += registers.open_cause.eq(units["legality"].unspecified)
    with m.Elif(of_decoder):
        m.d.comb += registers.open_cause.eq(units["decoder"].unspecified)
    names = {Unit.LOAD: "loader", Unit.STORE: "storer", Unit.MATRIX: "matrix", Unit.VECTOR: "vector"}
    for unit, name in names.items():
        m.d.comb += registers.open_counters[int(unit)].eq(units[name].unspecified)
