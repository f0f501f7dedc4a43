"""Reads code in whole bursts, ahead of dispatch, and hands it to the decoder word by word."""

from typing import Any

from amaranth.hdl import Array, Module, Mux, Signal, Value
from amaranth.lib import data, memory, stream
from amaranth.lib.wiring import In, Out

from hanok.errors import ChipError
from hanok.isa.timing import CODE_WORD_BYTES
from hanok.rtl._refusing import RefusingComponent
from hanok.rtl.decode import CODE_WORD, WORD_BITS

REQUEST_LATENCY_CYCLES = 1
"""From the cycle of `start` to that of the first request."""


class Fetcher(RefusingComponent):
    """Hands out the `code_bytes` at `code_address`, both multiples of 4, from `start` on.

    `request`: the address of a burst of `burst_bytes` (a power of two), aligned, one a cycle at most, in
    order, if no byte of the code in it lies more than `buffer_bytes` beyond `dispatched_bytes`, the first
    byte that was not dispatched before this cycle. `answer`: a whole burst and whether reading it failed, in
    the order of the requests, a cycle after its request at the earliest; it is always taken at once. A word
    is at `words` from two cycles (`hanok.isa.timing.FETCH_LATENCY_CYCLES`) after its answer on, one a cycle.

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
        taken, wanted = self._hand_out(m, begins, offset, row, row_valid, next_row)
        m.d.comb += [self.exhausted.eq(taken == wanted), self.busy.eq((outstanding != 0) | ~self.exhausted)]
        return m

    def _request(self, m: Module, begins: Value, offset: Value) -> Signal:
        """Ask for bursts; return how many answers are still to come, also those that will be dropped."""
        shift = self.burst_bytes.bit_length() - 1
        number, asks = Signal(self.address_bits - shift), Signal()
        behind, more = Signal(32), Signal()
        rest, size, outstanding = Signal(32), Signal(32), Signal(range(self.rows + 1))
        first = Signal(range(self.burst_bytes + 1))
        m.d.comb += [
            self.request.payload.eq(number << shift),
            self.request.valid.eq(more & (behind - self.dispatched_bytes <= self.buffer_bytes)),
            asks.eq(self.request.valid & self.request.ready),
            first.eq(self.burst_bytes - offset),
            size.eq(Mux(rest < self.burst_bytes, rest, self.burst_bytes)),
        ]
        with m.If(asks):
            m.d.sync += [number.eq(number + 1), more.eq(rest != 0), behind.eq(behind + size)]
            m.d.sync += rest.eq(rest - size)
        with m.If(begins):
            begun = Mux(self.code_bytes < first, self.code_bytes, first)
            m.d.sync += [number.eq(self.code_address >> shift), more.eq(self.code_bytes != 0)]
            m.d.sync += [behind.eq(begun), rest.eq(self.code_bytes - begun)]
        with m.If(self.stop):
            m.d.sync += more.eq(0)
        m.d.sync += outstanding.eq(outstanding + asks - self.answer.valid)
        return outstanding

    def _buffer(self, m: Module, begins: Value) -> tuple[Value, Signal, Signal]:
        """Keep bursts in order; return the oldest, whether it is there, and the request for the next one."""
        m.submodules.rows = rows = memory.Memory(shape=self.answer_layout, depth=self.rows, init=[])
        write, read = rows.write_port(), rows.read_port()
        stored, valid, moves, drops = Signal(range(self.rows + 1)), Signal(), Signal(), Signal()
        keeps, reads = self.answer.valid & ~drops, (stored != 0) & (~valid | moves)
        m.d.comb += [write.en.eq(keeps), write.data.eq(self.answer.payload), read.en.eq(reads)]
        m.d.sync += stored.eq(stored + keeps - reads)
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
    ) -> tuple[Signal, Signal]:
        """Cut bursts into words; return the bytes that have been taken, and all there are."""
        taken, wanted, passes = Signal(32), Signal(32), Signal()
        words = self.burst_bytes // CODE_WORD_BYTES
        place = Signal(range(words))
        chosen = Array(row.data.word_select(number, WORD_BITS) for number in range(words))[place]
        word = self.words.payload
        m.d.comb += [
            self.words.valid.eq(row_valid & (taken != wanted)),
            passes.eq(self.words.valid & self.words.ready),
            word.word.eq(chosen),
            word.error.eq(row.error),
            word.last.eq(wanted - taken == CODE_WORD_BYTES),
            moves.eq(passes & ((place == words - 1) | word.last)),
        ]
        with m.If(passes):
            m.d.sync += [taken.eq(taken + CODE_WORD_BYTES), place.eq(Mux(place == words - 1, 0, place + 1))]
        with m.If(begins):
            m.d.sync += [taken.eq(0), wanted.eq(self.code_bytes), place.eq(offset // CODE_WORD_BYTES)]
        with m.If(self.stop):
            m.d.sync += wanted.eq(taken)
        return taken, wanted
