"""The matrix unit: CONV and DEPTHWISE, a position a cycle through the dot-product array."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hanok.isa.table import MATRIX
from hanok.isa.timing import MEMORY_READ_CYCLES
from hanok.machine import Matrix
from hanok.rtl._matrix_accumulate import Accumulate
from hanok.rtl._matrix_load import MatrixLoader
from hanok.rtl._matrix_setup import MatrixSetup
from hanok.rtl._matrix_walk import MatrixWalk
from hanok.rtl._memory_shift import delayed
from hanok.rtl.accumulators import accumulator_read_signature, accumulator_write_signature
from hanok.rtl.array import Array
from hanok.rtl.marks import COUNTER_MARK_BITS, INDEX_BITS, Words, keep_answer, marked_member
from hanok.rtl.records import record_layout
from hanok.rtl.scratchpad import read_signature


class MatrixUnit(wiring.Component):
    """Cycles of a position that streams in cycle t, as `hanok.isa.timing.matrix_schedule` counts.

    t: address to the scratchpad; t + 4: its answer, limits, to the operand registers; t + 5: products, with
    the weights that were swapped at the end of t + 4 of a tile's first position; then the adder tree and
    extra stages; t + depth_cycles + 1: sums are added and written; one later they can be used.

    `address_bits` are those of the scratchpad's masked ports. `coordinate_fault`: y or x of a position has
    left its 32 bits. `streamed`: in this cycle an instruction's last position streams.
    """

    def __init__(self, matrix: Matrix, address_bits: int, words: Words = ()) -> None:
        self._matrix, self._address_bits, self._words = matrix, address_bits, words
        activations, weights = (
            max(matrix.rows, matrix.columns),
            matrix.columns * matrix.preload_rows_per_cycle,
        )
        super().__init__(
            {
                "record": In(record_layout(MATRIX)),
                "start": In(1),
                "ready": Out(1),
                "done": Out(1),
                "coordinate_fault": Out(1),
                "streamed": Out(1),
                "activations": Out(read_signature(address_bits, activations, masked=True)),
                "weights": Out(read_signature(address_bits, weights, masked=True)),
                "accumulator_read": Out(accumulator_read_signature(matrix)),
                "accumulator_write": Out(accumulator_write_signature(matrix)),
            }
            | marked_member(words, COUNTER_MARK_BITS)
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        matrix, bits = self._matrix, self._address_bits
        m.submodules.setup = setup = MatrixSetup(matrix, bits)
        m.submodules.walk = walk = MatrixWalk(matrix, bits)
        m.submodules.loader = loader = MatrixLoader(matrix, bits)
        m.submodules.array = array = Array(matrix)
        m.submodules.accumulate = accumulate = Accumulate(matrix)
        streams, begins = Signal(), Signal()
        m.d.comb += [
            streams.eq(walk.valid & (~walk.position.tile_first | loader.loaded)),
            begins.eq(streams & walk.position.tile_first),
            self.ready.eq(loader.ready),
            setup.record.eq(self.record),
            setup.start.eq(self.start),
            setup.taken.eq(walk.taken),
            walk.first.eq(setup.first),
            walk.pending.eq(setup.pending),
            walk.take.eq(streams),
            self.coordinate_fault.eq(walk.leaves),
            self.streamed.eq(streams & walk.position.last),
            loader.record.eq(self.record),
            loader.start.eq(self.start),
            loader.dilation.eq(delayed(m, setup.dilation, MEMORY_READ_CYCLES - 3, "dilation_before")),
            loader.begin.eq(begins),
        ]
        self._weights(m, loader, array)
        self._operands(m, walk.position, streams, array)
        m.d.comb += array.swap.eq(delayed(m, begins, MEMORY_READ_CYCLES, "begins_before"))
        self._accumulators(m, walk.position, streams, loader, array, accumulate)
        index = self.record.pad[:INDEX_BITS]
        keep_answer(m, self, self._words, COUNTER_MARK_BITS, index, self.start)
        return m

    def _weights(self, m: Module, loader: Any, array: Any) -> None:
        """The weight port; a beat is held for a cycle before its rows are taken apart."""
        m.d.comb += [
            self.weights.en.eq(loader.read),
            self.weights.address.eq(loader.address),
            self.weights.mask.eq(loader.mask),
            array.select.eq(loader.select),
            array.used.eq(loader.used),
            array.shift.eq(loader.shift),
        ]
        m.d.sync += array.beat.eq(self.weights.data)

    def _operands(self, m: Module, position: Any, streams: Any, array: Any) -> None:
        """The activation port, and `pad` for bytes outside the limits."""
        m.d.comb += [
            self.activations.en.eq(streams & position.mask.any()),
            self.activations.address.eq(position.address),
            self.activations.mask.eq(position.mask),
        ]
        entry = Cat(position.entry == row for row in range(self._matrix.rows))
        mask, pad, depthwise, entry = (
            delayed(m, value, MEMORY_READ_CYCLES, f"{name}_before")
            for name, value in (
                ("mask", position.mask),
                ("pad", position.pad),
                ("depthwise", position.depthwise),
                ("entry", entry),
            )
        )
        m.d.comb += [
            array.moves.eq(delayed(m, streams, MEMORY_READ_CYCLES, "streams_before")),
            array.depthwise.eq(depthwise),
            array.entry.eq(entry),
        ]
        for at in range(len(mask)):
            byte = self.activations.data[8 * at : 8 * at + 8]
            m.d.comb += array.bytes[at].eq(Mux(mask[at], byte, pad))

    def _accumulators(
        self, m: Module, position: Any, streams: Any, loader: Any, array: Any, accumulate: Any
    ) -> None:
        m.d.comb += [
            *(accumulate.sums[name].eq(position[name]) for name in accumulate.sums.shape().members),
            accumulate.valid.eq(streams),
            accumulate.totals.eq(array.totals),
            accumulate.weights.eq(self.weights.data),
            accumulate.bias_part.eq(loader.bias_part),
            accumulate.bias_ends.eq(loader.bias_ends),
            self.accumulator_read.en.eq(accumulate.read),
            self.accumulator_read.row.eq(accumulate.read_row),
            accumulate.read_data.eq(self.accumulator_read.data),
            self.accumulator_write.en.eq(accumulate.write),
            self.accumulator_write.row.eq(accumulate.write_row),
            self.accumulator_write.data.eq(accumulate.write_data),
            self.accumulator_write.mask.eq(accumulate.write_mask),
            self.done.eq(accumulate.done),
        ]
