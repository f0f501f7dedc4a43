"""The lanes of the decoder: a ring of stages in which groups of streams go round, one group behind the other.

Bits of a stream stand in the ring alone, the oldest highest. In a cycle one group is in each stage: which of
its streams need a word, which words these are, the words, the length of the next code, and what is left.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hanok.machine.chip import EXPAND_STAGES
from hanok.numerics.huffman import MAX_LENGTH
from hanok.rtl._dma_shape import first_bytes
from hanok.rtl._expand_code import CODE, LENGTHS, SYMBOL_BITS, selected
from hanok.rtl._expand_words import WORD_BITS

RESERVOIR_BITS = MAX_LENGTH + WORD_BITS
LEVEL_BITS = RESERVOIR_BITS.bit_length()
WORD_LEVEL = WORD_BITS.bit_length() - 1
"""The bit of a stream's level that is 0 if it needs a word."""


class _Stage:
    """Registers of a group in one stage."""

    def __init__(self, name: str, lanes: int) -> None:
        self.bits = [Signal(RESERVOIR_BITS, name=f"{name}_bits_{lane}") for lane in range(lanes)]
        self.level = [Signal(LEVEL_BITS, name=f"{name}_level_{lane}") for lane in range(lanes)]
        self.lanes = Signal(lanes, name=f"{name}_lanes")
        self.last = Signal(name=f"{name}_last")

    def follow(self, before: _Stage) -> list[Any]:
        """Return the statements that bring what is in the stage before."""
        pairs = [
            *zip(self.bits, before.bits, strict=True),
            *zip(self.level, before.level, strict=True),
            (self.lanes, before.lanes),
            (self.last, before.last),
        ]
        return [here.eq(there) for here, there in pairs]


class LaneRing(wiring.Component):
    """Decode a symbol of each lane's stream a cycle.

    `begins` lets the groups of `rest` + 1 symbols go round, the first one at the words two cycles later if
    `enough` of them are there; where they are not, all stages wait. `taken` of the words `held` go. A cycle
    after its group has left the ring, `places` of the symbols of `lanes` are at hand; `last` is the last
    group (`leaves` a cycle before), `bad` one with bits that are no code.
    `runs_out` is 1 when the last group takes its words. A stream that no group comes from is empty.
    """

    def __init__(self, lanes: int, held_bits: int) -> None:
        self._lanes = lanes
        super().__init__(
            {
                "code": In(CODE),
                "begins": In(1),
                "rest": In(32),
                "words": In(WORD_BITS * lanes),
                "held": In(held_bits),
                "enough": In(1),
                "taken": Out(range(lanes + 1)),
                "runs_out": Out(1),
                "valid": Out(lanes),
                "leaves": Out(1),
                "last": Out(1),
                "bad": Out(1),
                "places": Out(SYMBOL_BITS * lanes),
            }
        )
        names = ("needs", "finds", "gets", "looks", "goes")
        assert len(names) == EXPAND_STAGES
        self._stages = [_Stage(name, lanes) for name in names]
        self._advance, self._turns = Signal(), Signal()

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        needs, finds, gets, looks, goes = self._stages
        advance, lanes = self._advance, range(self._lanes)
        m.d.comb += advance.eq(self.enough | ~finds.lanes[0])
        self._begin(m, needs)
        rank = [Signal(range(self._lanes), name=f"rank_{lane}") for lane in lanes]
        need, total = Signal(self._lanes), Signal(range(self._lanes + 1))
        wants = [~needs.level[lane][WORD_LEVEL] & needs.lanes[lane] for lane in lanes]
        chosen = [Signal(range(self._lanes), name=f"chosen_{lane}") for lane in lanes]
        got, got_there = Signal(self._lanes), Signal(self._lanes)
        words, word = Signal(WORD_BITS * self._lanes), [Signal(WORD_BITS, name=f"word_{n}") for n in lanes]
        short = [Signal(MAX_LENGTH, name=f"short_{lane}") for lane in lanes]
        has = Cat(need[lane] & (rank[lane] < self.held) for lane in lanes)
        with m.If(advance):
            m.d.sync += [
                *finds.follow(needs), need.eq(Cat(wants)), total.eq(sum(wants)),
                *gets.follow(finds), got.eq(has), words.eq(self.words),
                *looks.follow(gets), got_there.eq(got),
                *goes.follow(looks),
            ]  # fmt: skip
            for lane in lanes:
                m.d.sync += [
                    rank[lane].eq(sum(wants[:lane])),
                    chosen[lane].eq(rank[lane]),
                    word[lane].eq(self._word(words, chosen[lane], lane) & got[lane].replicate(WORD_BITS)),
                ]
                bits = Signal(RESERVOIR_BITS, name=f"joined_{lane}")
                joined, level = self._joined(m, looks, lane, word[lane], got_there[lane])
                m.d.comb += bits.eq(joined)
                m.d.sync += [goes.bits[lane].eq(bits), goes.level[lane].eq(level)]
                m.d.sync += short[lane].eq(Cat(self._ends_by(bits, length) for length in LENGTHS))
        with m.If(advance & finds.lanes[0]):
            m.d.comb += self.taken.eq(Mux(total > self.held, self.held, total))
            m.d.comb += self.runs_out.eq(finds.last)
        self._go_on(m, needs, goes, short)
        return m

    def _begin(self, m: Module, needs: _Stage) -> None:
        """Give each group its lanes; the last one may have fewer."""
        low = max(1, self._lanes).bit_length() - 1
        behind = Signal(33 - low)  # groups after the one in hand
        some = Signal(self._lanes)
        begun = Signal()
        groups = self.rest[low:]
        m.d.sync += begun.eq(self.begins)
        every, tail = (1 << self._lanes) - 1, Signal(self._lanes)
        m.d.comb += tail.eq(first_bytes(self.rest[:low] + 1, self._lanes) if low else 1)
        with m.If(self.begins):
            m.d.sync += [behind.eq(groups), some.eq(tail), self._turns.eq(1)]
        with m.Elif(begun):
            m.d.sync += [
                needs.lanes.eq(Mux(behind == 0, some, every)),
                needs.last.eq(behind == 0),
                behind.eq(behind - 1),
            ]
        with m.Elif(self._advance):
            m.d.sync += [
                needs.lanes.eq(Mux(~self._turns | needs.last, 0, Mux(behind == 0, some, every))),
                needs.last.eq(self._turns & ~needs.last & (behind == 0)),
                behind.eq(behind - 1),
            ]
            with m.If(needs.last):
                m.d.sync += self._turns.eq(0)

    def _word(self, words: Signal, chosen: Signal, lane: int) -> Value:
        """The word of a lane: none of those behind as many as there are lanes before it."""
        return Value.cast(words[: WORD_BITS * (lane + 1)].word_select(chosen, WORD_BITS))

    def _joined(self, m: Module, stage: _Stage, lane: int, word: Signal, got: Value) -> tuple[Value, Value]:
        """Bits and level of a stream with its word behind what it held."""
        held = stage.level[lane]
        spread = [(word << MAX_LENGTH)[count : count + RESERVOIR_BITS] for count in range(WORD_BITS)]
        at = Signal(WORD_BITS, name=f"joins_at_{lane}")
        m.d.comb += at.eq(1 << held[:WORD_LEVEL])
        joined = stage.bits[lane] | selected(at, spread)
        return joined, Cat(held[:WORD_LEVEL], held[WORD_LEVEL] | got)

    def _ends_by(self, bits: Value, length: int) -> Value:
        """Whether the next code has at most `length` bits."""
        end = self.code.ends[length - 1][MAX_LENGTH - length :]
        return bits[RESERVOIR_BITS - length : RESERVOIR_BITS] < end

    def _go_on(self, m: Module, needs: _Stage, goes: _Stage, short: list[Signal]) -> None:
        """Take the code off, and give its symbol's place away."""
        wrong = Signal(self._lanes)
        for lane, ends in enumerate(short):
            exact = Signal(MAX_LENGTH, name=f"exact_{lane}")
            bits, level = goes.bits[lane], goes.level[lane]
            m.d.comb += exact.eq(ends & ~(ends << 1)[:MAX_LENGTH])
            length = selected(exact, [Value.cast(n) for n in LENGTHS])
            left = Signal(LEVEL_BITS + 1, name=f"left_{lane}")
            m.d.comb += [
                left.eq(level - length),
                wrong[lane].eq(goes.lanes[lane] & (~ends[-1] | left[-1])),
            ]
            with m.If(self._advance):
                shifted = selected(exact, [(bits << n)[:RESERVOIR_BITS] for n in LENGTHS])
                m.d.sync += [
                    needs.bits[lane].eq(Mux(goes.lanes[0], shifted, 0)),
                    needs.level[lane].eq(Mux(goes.lanes[0], left, 0)),
                ]
            windows = [bits.shift_right(RESERVOIR_BITS - n)[:SYMBOL_BITS] for n in LENGTHS]
            symbol, offset = (
                Signal(SYMBOL_BITS, name=f"{name}_{lane}", reset_less=True) for name in ("symbol", "offset")
            )
            m.d.sync += [
                symbol.eq(selected(exact, windows)),
                offset.eq(selected(exact, [self.code.offsets[n - 1] for n in LENGTHS])),
                self.places.word_select(lane, SYMBOL_BITS).eq(symbol + offset),
            ]
        valid, last, bad = Signal(self._lanes), Signal(), Signal()
        m.d.comb += self.leaves.eq(last)
        m.d.sync += [
            valid.eq(Mux(self._advance, goes.lanes, 0)),
            last.eq(self._advance & goes.last),
            bad.eq(wrong.any() & self._advance),
            self.valid.eq(valid),
            self.last.eq(last),
            self.bad.eq(bad),
        ]
