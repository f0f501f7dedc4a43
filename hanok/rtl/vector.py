"""The vector unit: CHAIN and TABLE, from a record at its input to results in the scratchpad."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hanok.isa import Opcode, Source
from hanok.isa.table import VECTOR, VECTOR_TABLE
from hanok.isa.timing import MEMORY_READ_CYCLES
from hanok.machine import Matrix, Sram, Vector
from hanok.rtl._vector_address import VectorAddress
from hanok.rtl._vector_delay import delayed
from hanok.rtl._vector_fold import VectorFold, result_lane
from hanok.rtl._vector_issue import VectorIssue
from hanok.rtl._vector_loops import ReduceLoop, ResultLoop
from hanok.rtl._vector_operand import OPERAND_CYCLES, VectorOperand
from hanok.rtl._vector_plan import VectorPlan
from hanok.rtl._vector_program import VectorProgram
from hanok.rtl._vector_ring import VectorRing
from hanok.rtl._vector_shape import VectorShape
from hanok.rtl._vector_table import VectorTable
from hanok.rtl._vector_writer import VectorWriter
from hanok.rtl.marks import COUNTER_MARK_BITS, INDEX_BITS, Words, keep_answer, marked_member
from hanok.rtl.records import record_layout
from hanok.rtl.scratchpad import address_bits, read_signature, write_signature


def _cut(address: Value, bits: int) -> Value:
    """Return an address in fewer bits; the highest one says that it is outside, for all that are cut off."""
    return Cat(address[: bits - 1], address[bits - 1 :].any())


class VectorUnit(wiring.Component):
    """Follows the protocol of docs/rtl.md; `opcode` says which of the two records counts.

    Nothing of use is in the registers of operands, ring, folds and writer (`datapath`) but from the cycle
    after a start to the end, which `datapath_runs` tells: their clock may be gated.

    The accumulators are read as a read port is: `size` int32 from `element` (row * columns + column) on.
    `coordinate_fault`: y or x of operand 0 has left its 32 bits.
    """

    def __init__(self, vector: Vector, matrix: Matrix, sram: Sram, words: Words = ()) -> None:
        self.vector, self._words = vector, words
        self.pipeline = vector.pipeline
        elements = matrix.accumulator_banks * matrix.accumulator_rows * matrix.columns
        self.sram_bits = address_bits(sram.total_bytes)
        self.element_bits = address_bits(elements)
        self.address_bits = max(self.sram_bits, self.element_bits)
        read = read_signature(self.sram_bits, 4 * vector.lanes)
        super().__init__(
            {
                "opcode": In(8),
                "record": In(record_layout(VECTOR)),
                "table_record": In(record_layout(VECTOR_TABLE)),
                "start": In(1),
                "ready": Out(1),
                "done": Out(1),
                "coordinate_fault": Out(1),
                "reads": Out(read).array(3),
                "accumulator_en": Out(1),
                "accumulator_element": Out(unsigned(self.element_bits)),
                "accumulator_size": Out(range(vector.lanes + 1)),
                "accumulator_data": In(32 * vector.lanes),
                "write": Out(write_signature(self.sram_bits, 4 * vector.lanes)),
            }
            | marked_member(words, COUNTER_MARK_BITS)
        )
        self._runs = Signal(name="datapath_runs", attrs={"keep": "true"})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        lanes, stages, pipeline, bits = (
            self.vector.lanes,
            self.vector.stages,
            self.pipeline,
            self.address_bits,
        )
        m.submodules.plan = plan = VectorPlan(bits)
        m.submodules.shape = shape = VectorShape(bits, lanes)
        m.submodules.program = program = VectorProgram(stages, pipeline.division_rounds(stages))
        m.submodules.issue = issue = VectorIssue(lanes, stages, pipeline)
        m.submodules.address = address = VectorAddress(bits, lanes, pipeline)
        m.submodules.datapath = datapath = Module()
        datapath.submodules.ring = ring = VectorRing(bits, lanes, stages, pipeline)
        datapath.submodules.fold = fold = VectorFold(bits, lanes, pipeline)
        datapath.submodules.writer = writer = VectorWriter(bits, lanes, pipeline)
        m.submodules.table = table = VectorTable(self.sram_bits, lanes, pipeline)
        ring.connect(m, program)
        record = self._control(m, plan, program, issue, table)
        m.d.comb += [shape.record.eq(record), shape.plan.eq(plan.plan)]
        self._loops(m, plan, shape, issue, address)
        self._reads(m, shape, address, table)
        entry = self._operands(m, datapath, shape, address, ring, fold)
        m.d.comb += [ring.entry.eq(entry), ring.table.eq(table.entries), ring.sections.eq(program.sections)]
        for name in ("zero", "low", "high"):
            m.d.comb += ring.rounding[name].eq(record[f"round_{name}"])
            m.d.comb += writer.limits[name].eq(record[f"{name}_out"])
        self._results(m, shape, issue, ring, fold)
        self._write(m, shape, ring, writer)
        index = self.record.round_zero[:INDEX_BITS]
        keep_answer(m, self, self._words, COUNTER_MARK_BITS, index, self.start)
        return m

    def _control(
        self, m: Module, plan: VectorPlan, program: VectorProgram, issue: VectorIssue, table: VectorTable
    ) -> Any:
        """Take a record at its start, and say when the unit is busy with it."""
        record = Signal.like(self.record, name="record_held", reset_less=True)
        busy, starts, chains = self._runs, Signal(), Signal()
        address, starts_chain = Signal(32, reset_less=True), Signal()
        m.d.comb += self.ready.eq(~busy | self.done)
        m.d.sync += [self.done.eq(issue.ends | table.ends), starts.eq(self.start)]
        m.d.sync += busy.eq(self.start | (busy & ~self.done))
        with m.If(self.ready):
            m.d.sync += [record.eq(self.record), address.eq(self.table_record.address)]
            m.d.sync += chains.eq(self.opcode == Opcode.CHAIN)
        m.d.comb += starts_chain.eq(starts & chains)
        m.d.comb += [plan.record.eq(record), plan.start.eq(starts_chain), program.start.eq(starts_chain)]
        m.d.comb += [program.reduces.eq(record.reduction != 0), program.steps.eq(record.steps)]
        m.d.comb += [program.steps_before.eq(record.steps_before), program.step.eq(record.step)]
        m.d.comb += [program.operand.eq(record.operand), program.immediate.eq(record.immediate)]
        m.d.sync += issue.start.eq(plan.ready)
        m.d.comb += issue.sections.eq(program.sections)
        m.d.comb += [table.start.eq(starts & ~chains), table.address.eq(address)]
        return record

    def _loops(
        self, m: Module, plan: VectorPlan, shape: VectorShape, issue: VectorIssue, address: VectorAddress
    ) -> None:
        record = shape.record
        m.submodules.results = results = ResultLoop(self.address_bits)
        m.submodules.reduce = reduce = ReduceLoop(self.address_bits, self.vector.lanes)
        for loop in (results, reduce):
            m.d.comb += [loop.plan.eq(plan.plan), loop.load.eq(plan.ready)]
        m.d.comb += [results.step.eq(issue.next_result), reduce.step.eq(issue.next_element)]
        m.d.comb += [results.lasts.eq(shape.result_lasts), results.bases.eq(shape.bases)]
        m.d.comb += [results.strides.eq(shape.strides), results.far.eq(shape.far)]
        for name in ("y_start", "y_stride", "x_start", "x_stride"):
            m.d.comb += results.rows[name].eq(record[name])
        m.d.comb += reduce.lasts.eq(shape.reduce_lasts)
        m.d.comb += [reduce.strides[number].eq(shape.group_strides[number]) for number in range(3)]
        m.d.comb += [reduce.dilations.y.eq(record.y_dilation), reduce.dilations.x.eq(record.x_dilation)]
        m.d.comb += [issue.reduces.eq(shape.reduces), issue.reduce_inner.eq(shape.reduce_inner)]
        m.d.comb += [issue.last_result.eq(results.last), issue.last_element.eq(reduce.last)]
        token = address.issue
        m.d.comb += [token.valid.eq(issue.element | issue.after), token.after.eq(issue.after)]
        m.d.comb += [token.result.eq(issue.result), token.first.eq(reduce.first)]
        m.d.comb += token.tail.eq(Mux(shape.reduce_inner, reduce.last_group, results.last_group))
        m.d.comb += [token.lane.eq(reduce.lane), token.divider.eq(issue.divider)]
        m.d.comb += [address.new.eq(issue.next_result), address.reduces_inner.eq(shape.reduce_inner)]
        m.d.comb += [address.place.eq(results.place), address.offset.eq(reduce.place)]
        m.d.comb += [address.plan.eq(plan.plan), address.ring.eq(record.ring_rows)]
        m.d.comb += address.starts_outside.eq(shape.starts_outside)
        m.d.comb += self.coordinate_fault.eq(address.leaves)
        m.d.comb += [address.limits.y.eq(record.y_limit), address.limits.x.eq(record.x_limit)]

    def _reads(self, m: Module, shape: VectorShape, address: VectorAddress, table: VectorTable) -> None:
        token, record = address.token, shape.record
        for number, port in enumerate(self.reads):
            kind = record[f"kind_{number}"]
            wanted = token.valid & (kind != Source.NONE) & (kind != Source.ACCUMULATOR)
            if number == 0:
                wanted = wanted & token.inside & ~token.after
            m.d.comb += [port.en.eq(wanted), port.address.eq(_cut(address.addresses[number], self.sram_bits))]
            count = shape.read_count(m, number, token.tail)
            m.d.comb += port.size.eq(Mux(kind == Source.INT8, count, count << 2))
            if number == 0:
                m.d.comb += self.accumulator_size.eq(count)
        first = self.reads[0]
        with m.If(table.reads):
            m.d.comb += [first.en.eq(1), first.address.eq(table.read_address)]
            m.d.comb += first.size.eq(4 * self.pipeline.table_words)
        m.d.comb += table.data.eq(first.data)
        from_accumulators = record.kind_0 == Source.ACCUMULATOR
        reads = token.valid & from_accumulators & token.inside & ~token.after
        element = self.accumulator_element
        m.d.comb += [self.accumulator_en.eq(reads), element.eq(_cut(address.addresses[0], self.element_bits))]

    def _operands(
        self,
        m: Module,
        datapath: Module,
        shape: VectorShape,
        address: VectorAddress,
        ring: VectorRing,
        fold: VectorFold,
    ) -> Any:
        """Bring the operands to the ring; return what enters with them."""
        record, lanes = shape.record, self.vector.lanes
        takes, accumulated = Signal(), Signal()
        datapath.d.sync += accumulated.eq(record.kind_0 == Source.ACCUMULATOR)
        elements = []
        for number, port in enumerate(self.reads):
            datapath.submodules[f"operand_{number}"] = operand = VectorOperand(lanes, self.pipeline)
            words = port.data
            if number == 0:
                words = Mux(accumulated, self.accumulator_data, port.data)
            m.d.comb += [operand.words.eq(words), operand.kind.eq(record[f"kind_{number}"])]
            m.d.comb += [
                operand.zero.eq(record[f"zero_{number}"]),
                operand.scale.eq(record[f"scale_{number}"]),
            ]
            m.d.comb += operand.broadcast.eq(shape.broadcast[number])
            elements.append(operand.elements)
        pipeline = self.pipeline
        cycles = MEMORY_READ_CYCLES + OPERAND_CYCLES + pipeline.convert + pipeline.multiply
        early = delayed(datapath, address.token, cycles - 2, "token", reset_less=False)
        soon = delayed(datapath, early, 1, "soon", reset_less=False)
        entry = delayed(datapath, soon, 1, "entry", reset_less=False)
        datapath.d.sync += takes.eq(~soon.after & (soon.inside | shape.reduces))
        rows, across = fold.row, shape.reduce_inner
        m.d.comb += fold.read_row.eq(Mux(across, early.result >> (lanes.bit_length() - 1), early.result))
        folded = [Mux(across, result_lane(rows, entry.result), rows[0]), *list(rows)[1:]]
        for lane in range(lanes):
            values = ring.entry_values[lane]
            sums, element = Mux(entry.after, folded[lane], 0), Mux(takes, elements[0][lane], 0)
            m.d.comb += [values.value.eq(sums | element), values.saved.eq(0)]
            m.d.comb += [values.source_1.eq(elements[1][lane]), values.source_2.eq(elements[2][lane])]
        return entry

    def _results(
        self, m: Module, shape: VectorShape, issue: VectorIssue, ring: VectorRing, fold: VectorFold
    ) -> None:
        """Fold what leaves the ring before the reduction."""
        token = ring.exit
        m.d.comb += [fold.token.eq(token), fold.values.eq(ring.exit_values)]
        m.d.comb += fold.token.valid.eq(token.valid & shape.reduces & ~token.after)
        alone = Mux(shape.contiguous, shape.lane_mask(token.tail), Const(1, self.vector.lanes) << token.lane)
        m.d.comb += fold.mask.eq(Mux(shape.reduce_inner, alone, ~Const(0, self.vector.lanes)))
        m.d.comb += [fold.reduction.eq(shape.record.reduction), fold.halve.eq(issue.fold)]
        m.d.comb += fold.pair.eq(issue.pair)

    def _write(self, m: Module, shape: VectorShape, ring: VectorRing, writer: VectorWriter) -> None:
        record, token = shape.record, ring.exit
        m.d.comb += [writer.address.eq(token.address), writer.kind.eq(record.kind_out)]
        m.d.comb += writer.values.eq(ring.exit_values)
        m.d.comb += writer.valid.eq(token.valid & (token.after | ~shape.reduces))
        whole = shape.contiguous & ~shape.reduce_inner
        m.d.comb += writer.mask.eq(Mux(whole, shape.lane_mask(token.tail), 1))
        place = _cut(writer.write_address, self.sram_bits)
        m.d.comb += [self.write.en.eq(writer.write_en), self.write.address.eq(place)]
        m.d.comb += [self.write.data.eq(writer.write_data), self.write.mask.eq(writer.write_mask)]
