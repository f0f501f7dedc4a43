"""Reads code in whole bursts, ahead of dispatch, and hands it to the decoder word by word."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import data, memory, stream
from amaranth.lib.wiring import In, Out

from hanok.errors import ChipError
from hanok.isa.timing import CODE_WORD_BYTES, FETCH_LATENCY_CYCLES
from hanok.rtl._refusing import RefusingComponent
from hanok.rtl.decode import CODE_WORD, DECODE_STAGES, WORD_BITS

WORD_LATENCY_CYCLES = FETCH_LATENCY_CYCLES - DECODE_STAGES


class Fetcher(RefusingComponent):
    """Hands out the `code_bytes` at `code_address`, both multiples of 4, from `start` on.

    `request`: the address of a burst of `burst_bytes` (a power of two), aligned, one a cycle at most, in
    order, in the cycle (`hanok.isa.timing.FETCH_REQUEST_STAGES`) after the first in which no byte of the code
    in it lies more than `buffer_bytes` beyond `dispatched_bytes`, the first byte that was not dispatched
    before that cycle, which is the one after `start` at the earliest. `answer`: a whole burst and whether
    reading it failed, in the order of the requests, a cycle after its request at the earliest; it is always
    taken at once. A word is at `words` from `WORD_LATENCY_CYCLES` after its answer on, one a cycle.

    `start`, only where `busy` is 0, in a cycle with `code_address` and `code_bytes`; if one of them is no
    multiple of 4, `unaligned` is 1 in this cycle and nothing is fetched. `stop` drops everything; the answers
    that are still to come are taken and dropped, and `busy` stays until then. `exhausted`: the last word has
    been taken, or there was none. Raises ChipError, when it is elaborated, for a
    buffer that holds no burst.
    """

    def __init__(self, burst_bytes: int, buffer_bytes: int, address_bits: int = 64) -> None:
        answer = data.StructLayout({"data": 8 * burst_bytes, "error": 1})
        super().__init__(
            {
                "start": In(1),
                "stop": In(1),
                "code_address": In(address_bits),
                "code_bytes": In(32),
                "dispatched_bytes": In(32),
                "request": Out(stream.Signature(address_bits)),
                "answer": In(stream.Signature(answer)),
                "words": Out(stream.Signature(CODE_WORD)),
                "unaligned": Out(1),
                "busy": Out(1),
                "exhausted": Out(1),
            }
        )
        self.burst_bytes, self.buffer_bytes, self.answer_layout = burst_bytes, buffer_bytes, answer
        self.address_bits = address_bits
        whole = buffer_bytes // CODE_WORD_BYTES * CODE_WORD_BYTES
        self.rows = (whole + 2 * burst_bytes - 2 * CODE_WORD_BYTES) // burst_bytes
        """Bursts from the one with the first byte not dispatched to the last that may be requested."""

    def elaborate(self, platform: Any) -> Module:
        if self.burst_bytes > self.buffer_bytes:
            raise ChipError(
                f"core.control.fetch_buffer_bytes: {self.buffer_bytes} bytes hold no burst of "
                f"{self.burst_bytes}; allowed: at least {self.burst_bytes} for this memory"
            )
        m = Module()
        begins, offset = Signal(), Signal(range(self.burst_bytes))
        low = CODE_WORD_BYTES - 1
        is_unaligned = ((self.code_address | self.code_bytes) & low).any()
        m.d.comb += [
            self.answer.ready.eq(1),
            offset.eq(self.code_address),
            self.unaligned.eq(self.start & is_unaligned),
            begins.eq(self.start & ~is_unaligned),
        ]
        outstanding = self._request(m, begins, offset)
        row, row_valid, next_row = self._buffer(m, begins)
        self._hand_out(m, begins, offset, row, row_valid, next_row)
        m.d.comb += self.busy.eq((outstanding != 0) | ~self.exhausted)
        return m

    def _request(self, m: Module, begins: Value, offset: Value) -> Signal:
        """Ask for bursts; return how many answers are still to come, also those that will be dropped.

        The next request is made when its last byte, or that of the code (`final`), is in reach: `reach` is
        how many bytes must have been dispatched for it.
        """
        shift = self.burst_bytes.bit_length() - 1
        number, goes, fits = Signal(self.address_bits - shift), Signal(), Signal()
        reach, final, more = Signal(signed(33)), Signal(signed(33)), Signal()
        left, asked, outstanding = Signal(33 - shift), Signal.like(number), Signal(range(self.rows + 1))
        m.d.comb += [
            self.request.payload.eq(asked << shift),
            fits.eq(more & ((reach <= self.dispatched_bytes) | (final <= self.dispatched_bytes))),
            goes.eq(~self.request.valid | self.request.ready),
        ]
        with m.If(goes):
            m.d.sync += [self.request.valid.eq(fits), asked.eq(number)]
        with m.If(goes & fits):
            m.d.sync += [number.eq(number + 1), left.eq(left - 1), more.eq(left != 1)]
            m.d.sync += reach.eq(reach + self.burst_bytes)
        with m.If(begins):
            m.d.sync += [number.eq(self.code_address >> shift), more.eq(self.code_bytes != 0)]
            m.d.sync += left.eq((offset + self.code_bytes + self.burst_bytes - 1) >> shift)
            m.d.sync += reach.eq(self.burst_bytes - offset - self.buffer_bytes)
            m.d.sync += final.eq(self.code_bytes - self.buffer_bytes)
        with m.If(self.stop):
            m.d.sync += [more.eq(0), self.request.valid.eq(0)]
        asks = self.request.valid & self.request.ready
        with m.If(asks != self.answer.valid):
            m.d.sync += outstanding.eq(outstanding + Mux(asks, 1, -1))
        return outstanding

    def _buffer(self, m: Module, begins: Value) -> tuple[Value, Signal, Signal]:
        """Keep bursts in order; return the oldest, whether it is there, and the request for the next one."""
        m.submodules.rows = rows = memory.Memory(shape=self.answer_layout, depth=self.rows, init=[])
        write, read = rows.write_port(), rows.read_port()
        stored, valid, moves, drops = Signal(range(self.rows + 1)), Signal(), Signal(), Signal()
        keeps, reads = self.answer.valid & ~drops, (stored != 0) & (~valid | moves)
        m.d.comb += [write.en.eq(keeps), write.data.eq(self.answer.payload), read.en.eq(reads)]
        with m.If(keeps != reads):
            m.d.sync += stored.eq(stored + Mux(keeps, 1, -1))
        for advances, port in ((keeps, write), (reads, read)):
            with m.If(advances):
                m.d.sync += port.addr.eq(Mux(port.addr == self.rows - 1, 0, port.addr + 1))
        with m.If(reads):
            m.d.sync += valid.eq(1)
        with m.Elif(moves):
            m.d.sync += valid.eq(0)
        with m.If(begins):
            m.d.sync += drops.eq(0)
        with m.If(self.stop):
            m.d.sync += [drops.eq(1), stored.eq(0), valid.eq(0), write.addr.eq(0), read.addr.eq(0)]
        return read.data, valid, moves

    def _hand_out(
        self, m: Module, begins: Value, offset: Value, row: Any, row_valid: Value, moves: Signal
    ) -> None:
        """Cut bursts into words: `next_word`, and `kept` where that is not taken at once."""
        words = self.burst_bytes // CODE_WORD_BYTES
        left, any_left, is_last = Signal(32 - 2), Signal(), Signal()
        place, cuts, frees = Signal(words), Signal(), Signal()
        next_word, kept = (Signal(CODE_WORD, name=name, reset_less=True) for name in ("next_word", "kept"))
        has_next, has_kept = Signal(), Signal()
        chosen: Any = 0
        for number in range(words):
            chosen |= row.data.word_select(number, WORD_BITS) & place[number].replicate(WORD_BITS)
        m.d.comb += [
            self.words.valid.eq(has_next | has_kept),
            self.words.payload.eq(Mux(has_kept, kept, next_word)),
            frees.eq(~has_next | ~has_kept),
            cuts.eq(row_valid & any_left & frees),
            moves.eq(cuts & (place[-1] | is_last)),
            self.exhausted.eq(~any_left & ~has_next & ~has_kept),
        ]
        with m.If(frees):
            m.d.sync += [next_word.word.eq(chosen), next_word.error.eq(row.error), has_next.eq(cuts)]
            m.d.sync += next_word.last.eq(is_last)
        with m.If(~has_kept):
            m.d.sync += [kept.eq(next_word), has_kept.eq(has_next & ~self.words.ready)]
        with m.Elif(self.words.ready):
            m.d.sync += has_kept.eq(0)
        with m.If(cuts):
            m.d.sync += [left.eq(left - 1), any_left.eq(~is_last), is_last.eq(left == 2)]
            m.d.sync += place.eq(place.rotate_left(1))
        with m.If(begins):
            m.d.sync += [left.eq(self.code_bytes[2:]), any_left.eq(self.code_bytes != 0)]
            m.d.sync += is_last.eq(self.code_bytes == CODE_WORD_BYTES)
            m.d.sync += place.eq(1 << offset // CODE_WORD_BYTES)
        with m.If(self.stop):
            m.d.sync += [any_left.eq(0), has_next.eq(0), has_kept.eq(0)]
