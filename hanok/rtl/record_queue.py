"""The queue of a unit: whole records in a memory with a registered read, the oldest one at its output."""

from typing import Any

from amaranth.hdl import Module, Mux, ShapeLike, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out


class RecordQueue(wiring.Component):
    """First in, first out, of exactly `depth` records.

    A record that is taken at `put` in cycle t is at `head` from t + 2 on, or from the cycle after the one
    before it has left, whichever is later: first its `tag` beside it, then also its payload, so that it may
    leave from the next cycle on. Both are registers. An entry that leaves in cycle t makes room for one
    at t + 1; a free row holds what was last at `put`, taken or not. `empty`: it holds none. `clear` makes
    it so.
    """

    def __init__(self, shape: ShapeLike, depth: int, tag_bits: int) -> None:
        assert depth >= 1, f"a queue of {depth} records holds nothing"
        super().__init__(
            {
                "clear": In(1),
                "put": In(stream.Signature(shape)),
                "put_tag": In(tag_bits),
                "head": Out(stream.Signature(shape)),
                "tag": Out(tag_bits),
                "empty": Out(1),
            }
        )
        self.shape, self.depth, self.tag_bits = shape, depth, tag_bits

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.rows = rows = memory.Memory(shape=self.shape, depth=self.depth, init=[])
        m.submodules.tags = tags = memory.Memory(shape=self.tag_bits, depth=self.depth, init=[])
        write, read, row = tags.write_port(), tags.read_port(), rows.write_port()
        late = rows.read_port()
        level, stored = Signal(range(self.depth + 1)), Signal(range(self.depth + 1))
        last_row, reads, full = self.depth - 1, Signal(), Signal()
        puts, leaves = self.put.valid & self.put.ready, self.head.valid & self.head.ready
        m.d.comb += [
            self.empty.eq(level == 0),
            self.put.ready.eq(~full & ~self.clear),
            write.en.eq(~full),
            write.data.eq(self.put_tag),
            self.tag.eq(read.data),
            row.en.eq(~full),
            row.addr.eq(write.addr),
            row.data.eq(self.put.payload),
            self.head.payload.eq(late.data),
            reads.eq((stored != 0) & (~self.head.valid | self.head.ready)),
            read.en.eq(reads),
        ]
        m.d.sync += [late.en.eq(reads), late.addr.eq(read.addr)]
        with m.If(puts != leaves):
            m.d.sync += full.eq(puts & (level == self.depth - 1))
        for count, less in ((level, leaves), (stored, reads)):
            with m.If(puts != less):
                m.d.sync += count.eq(count + Mux(puts, 1, -1))
        with m.If(puts):
            m.d.sync += write.addr.eq(Mux(write.addr == last_row, 0, write.addr + 1))
        with m.If(reads):
            m.d.sync += [read.addr.eq(Mux(read.addr == last_row, 0, read.addr + 1)), self.head.valid.eq(1)]
        with m.Elif(leaves):
            m.d.sync += self.head.valid.eq(0)
        with m.If(self.clear):
            m.d.sync += [level.eq(0), stored.eq(0), write.addr.eq(0), read.addr.eq(0)]
            m.d.sync += [self.head.valid.eq(0), full.eq(0)]
        return m
