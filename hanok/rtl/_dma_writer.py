"""From the beats of the load engine to SRAM: as they are, decoded, or unpacked."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hanok.isa.table import DMA
from hanok.isa.timing import unpack_stages
from hanok.machine import Dma
from hanok.rtl._dma_buffer import beat_layout
from hanok.rtl._dma_room import DecoderRoom
from hanok.rtl._dma_shape import DmaShape
from hanok.rtl._memory_shift import delayed
from hanok.rtl.expand import Expander
from hanok.rtl.records import record_layout
from hanok.rtl.scratchpad import load_port_bytes, write_signature
from hanok.rtl.unpack import GROUP_BITS, Unpacker

PROGRESS = data.StructLayout(
    {
        "moves": 1,  # a beat is written, or the decoder is at work
        "leaving": 2,  # slots that are free now
        "ends": 1,  # an instruction has written all of its bytes
        "fill_ends": 1,  # it is a FILL
    }
)
"""What the SRAM side does in a cycle."""
WRITE = "en", "address", "data", "mask"
"""Of a write port."""


class LoadWriter(wiring.Component):
    """Bring beats to SRAM, those of streams through the decoder or the unpacker.

    `written` is what is known of a beat, `plain` its bytes, as a write where they are copied. `start` comes
    with the `record` of an instruction, `put` in the cycle after it with its `transfer`; `lacks`: the decoder
    lacks beats. `progress` and faults belong to the cycle of the write: they come `UNPACK_STAGES` late where
    there is an unpacker, since all writes go through it. `room` is told what the decoder takes.
    """

    def __init__(self, dma: Dma, shape: DmaShape, columns: int, room: DecoderRoom | None) -> None:
        self._dma, self._shape, self._columns, self._room = dma, shape, columns, room
        self._stages = unpack_stages(dma)
        self._port_bytes = max(shape.width, dma.expand_lanes)
        self._stream = data.StructLayout(
            {
                "rest": 32,  # of its bytes, decoded or unpacked, less one
                "address": shape.scratchpad_bits,
                **({"with_table": 1} if shape.expands else {}),
                **({"group_rows": GROUP_BITS} if shape.unpacks else {}),
            }
        )
        super().__init__(
            {
                "start": In(1),
                "record": In(record_layout(DMA)),
                "put": In(1),
                "transfer": In(shape.transfer),
                "written": In(beat_layout(shape)),
                "plain": In(write_signature(shape.scratchpad_bits, shape.width)),
                "lacks": In(1),
                "sram": Out(write_signature(shape.scratchpad_bits, load_port_bytes(dma))),
                "progress": Out(PROGRESS),
                "stream_fault": Out(1),
                "byte_fault": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        shape, written = self._shape, self.written
        moves, ends, made = written.goes, written.ends, Signal(PROGRESS)
        write: Any = self.plain
        stream, leaves, broken = Signal(self._stream), Signal(), Signal(2)
        if shape.stream_fields:
            self._queue(m, stream, leaves)
        if shape.expands:
            write, last, works = self._expand(m, stream, broken[0])
            moves, ends = moves | works, (ends & ~written.expands) | last
            m.d.comb += leaves.eq(last)
        if shape.unpacks:
            write = self._unpack(m, stream, write, broken[1])
            with m.If(written.ends & written.unpacks):
                m.d.comb += leaves.eq(1)
        m.d.comb += [
            *(getattr(self.sram, name).eq(getattr(write, name)) for name in WRITE),
            self.stream_fault.eq(broken.any()),
            made.moves.eq(moves),
            made.leaving.eq(written.leaving),
            made.ends.eq(ends),
            made.fill_ends.eq(written.ends & written.fills),
        ]
        for stage in range(self._stages):
            later = Signal(PROGRESS, name=f"progress_{stage}")
            m.d.sync += later.eq(made)
            made = later
        m.d.comb += self.progress.eq(made)
        return m

    def _queue(self, m: Module, stream: Any, leaves: Value) -> None:
        """Keep what is known of the streams that have begun; `stream` is the first one, until it `leaves`."""
        shape, depth = self._shape, self._shape.slots + 3
        m.submodules.streams = streams = SyncFIFO(width=self._stream.size, depth=depth)
        begun, rest = Signal(self._stream), Signal(32, reset_less=True)
        with m.If(self.start):
            m.d.sync += rest.eq(self.record.run_bytes - 1)
        m.d.comb += [
            begun.rest.eq(rest),
            begun.address.eq(self.transfer.sram.address),
            streams.w_en.eq(self.put & shape.is_stream(self.transfer)),
            streams.w_data.eq(begun),
            streams.r_en.eq(leaves),
            Value.cast(stream).eq(streams.r_data),
        ]
        if shape.expands:
            m.d.comb += begun.with_table.eq(self.transfer.with_table)
        if shape.unpacks:
            rows = Signal(GROUP_BITS, reset_less=True)
            with m.If(self.start):
                m.d.sync += rows.eq(self.record.group_rows)
            m.d.comb += begun.group_rows.eq(rows)

    def _expand(self, m: Module, stream: Any, broken: Value) -> tuple[Any, Value, Value]:
        """Join the decoder; return all writes, a stream's last one, and whether the decoder works alone."""
        shape, written, plain, room = self._shape, self.written, self.plain, self._room
        assert room is not None, "a decoder has room"
        m.submodules.expander = expander = Expander(self._dma, shape.scratchpad_bits)
        write: Any = write_signature(shape.scratchpad_bits, self._port_bytes).create(path=("passed",))
        lags, lacks = Signal(), Signal(2)
        m.d.comb += [
            *(expander.stream[name].eq(stream[name]) for name in ("with_table", "rest", "address")),
            expander.en.eq(written.goes & written.expands),
            expander.content.eq(plain.data),
            expander.bytes.eq(written.bytes),
            expander.ends.eq(written.ends),
            room.taken.eq(expander.taken),
            room.leaves.eq(expander.leaves),
            broken.eq(delayed(m, expander.bad, self._stages, "no_code")),
            self.byte_fault.eq(delayed(m, expander.outside, self._stages, "outside")),
            write.en.eq(plain.en | expander.sram.en),
        ]
        for name in ("address", "data", "mask"):
            wide = Mux(plain.en, getattr(plain, name), getattr(expander.sram, name))
            m.d.comb += getattr(write, name).eq(wide)
        m.d.sync += [
            lacks.eq(Cat(self.lacks, lacks[0])),
            lags.eq((lags | (written.ends & written.expands)) & ~expander.last),
        ]
        return write, expander.last, lags | lacks[1]

    def _unpack(self, m: Module, stream: Any, write: Any, broken: Value) -> Any:
        """Join the unpacker, through which all writes go; return what it writes."""
        shape, written = self._shape, self.written
        m.submodules.unpacker = unpacker = Unpacker(self._dma, self._columns, shape.scratchpad_bits)
        m.d.comb += [
            *(unpacker.stream[name].eq(stream[name]) for name in ("group_rows", "rest", "address")),
            unpacker.en.eq(written.goes & written.unpacks),
            unpacker.content.eq(self.plain.data),
            unpacker.ends.eq(written.ends),
            *(getattr(unpacker.passed, name).eq(getattr(write, name)) for name in WRITE),
            broken.eq(unpacker.bad),
        ]
        return unpacker.sram
