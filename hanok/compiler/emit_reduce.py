"""Emit the reductions of the vector unit: means, and softmax."""

from __future__ import annotations

from hanok.compiler.chain import Chain, Stream, Window, plain_window
from hanok.compiler.cuts import cut
from hanok.compiler.emit_vector import VectorEmitter, load_table
from hanok.compiler.layers import ReduceLayer, SoftmaxLayer
from hanok.compiler.pieces import divides_apart, pipelined
from hanok.compiler.schedule import Access, Buffer, Location
from hanok.compiler.tiles import Region, Tile
from hanok.compiler.view import View
from hanok.errors import CompileError
from hanok.isa import Destination, Operand, Reduction, Source, Step
from hanok.units import ceil_div


class ReductionEmitter(VectorEmitter):
    """Emits reductions within a budget of SRAM banks."""

    def reduce(self, layer: ReduceLayer) -> None:
        """Emit a mean over the middle axis of [outer][reduce][inner]."""
        outer, length, inner = layer.shape
        source = layer.source.reshaped((1, outer, length, inner))
        target = layer.output.reshaped((1, outer, 1, inner))
        most = max(1, (self.banks // 4) * self.bank_bytes // max(1, length * inner))
        if self._banks(length * inner) > self.banks and not layer.source.storage.resident:
            raise CompileError(
                f"'{layer.origin.name}': {length * inner} bytes to reduce do not fit the free SRAM"
            )
        groups = outer * length * ceil_div(inner, self.lanes)
        size = pipelined(self.mover.chip, outer, most, groups, (source, target))
        for y0, y1 in cut(outer, size):
            region = Region(0, y0, y1, 0, length)
            tile = self.mover.source_tile(source, region)
            out_region = Region(0, y0, y1, 0, 1)
            result = self.mover.target_tile(target, out_region)
            chain = self._reduction(tile, region, length, inner, layer.source_zero)
            chain.step(Step.MUL, Operand.IMMEDIATE, float(layer.factor))
            self._finish(chain, result, out_region, target, 0, layer.result)

    def _reduction(self, tile: Tile, region: Region, length: int, inner: int, zero: int) -> Chain:
        rows = region.y1 - region.y0
        chain = Chain(
            (1, rows, 1),
            inner,
            Source.INT8,
            Window((0, 1, 0, rows), (0, 1, 1, length), tile.row_pitch, tile.pixel_pitch),
            tile.place(region.y0, 0),
            source_access=tile.access(region.y0, region.y1),
            reduction=Reduction.SUM,
            reduce=(1, length),
            zero=zero,
            steps_before=0,
        )
        if inner == 1:
            chain.inner, chain.reduce, chain.reduce_inner = length, (1, 1), True
            chain.window = plain_window(rows, 1, tile.row_pitch, 0)
        return chain

    def softmax(self, layer: SoftmaxLayer) -> None:
        """Emit softmax over the rows of [rows][classes]: maximum, exponentials, sum, scaling."""
        load_table(self.mover, layer.table.astype("<f4").tobytes(), self.constants, layer.origin.name)
        rows, classes = layer.shape
        source, target = (
            layer.source.reshaped((1, rows, 1, classes)),
            layer.output.reshaped((1, rows, 1, classes)),
        )
        most = max(1, (self.banks // 4) * self.bank_bytes // (6 * classes + 8))
        groups = rows * ceil_div(classes, self.lanes)
        for y0, y1 in cut(rows, pipelined(self.mover.chip, rows, most, groups, (source, target))):
            self._softmax_tile(layer, Region(0, y0, y1, 0, 1), source, target)

    def _softmax_tile(self, layer: SoftmaxLayer, region: Region, source: View, target: View) -> None:
        rows, classes = region.y1 - region.y0, layer.shape[1]
        tile = self.mover.source_tile(source, region)
        maxima, powers, inverses = (
            Buffer(n, 4 * s) for n, s in (("max", rows), ("exp", rows * classes), ("inv", rows))
        )

        def over_rows(kind: Source, place: Location, pitch: int, access: Access) -> Chain:
            return Chain(
                (1, rows, 1), classes, kind, plain_window(rows, 1, pitch, 0), place, source_access=access
            )

        def per_row(buffer: Buffer) -> Stream:
            return Stream(Source.FLOAT32, Location(buffer), (0, 4, 0, 0), Access(buffer, 0, 4 * rows))

        def write(chain: Chain, buffer: Buffer, strides: tuple[int, int, int, int]) -> None:
            access = Access(buffer, 0, buffer.size_bytes)
            operation = chain.operation(
                Location(buffer), strides, access, self.mover.layer, kind=Destination.FLOAT32
            )
            self.mover.schedule.append(operation)

        place, access = tile.place(region.y0, 0), tile.access(region.y0, region.y1)
        top = over_rows(Source.INT8, place, tile.row_pitch, access)
        top.reduction, top.reduce_inner, top.steps_before = Reduction.MAX, True, 0
        write(top, maxima, (0, 4, 0, 0))
        power = over_rows(Source.INT8, place, tile.row_pitch, access)
        power.step(Step.SUB, power.stream(per_row(maxima))).step(Step.ADD, Operand.IMMEDIATE, 127.0)
        power.step(Step.LOOKUP)
        power.stride_inner = 1
        write(power, powers, (0, 4 * classes, 0, 4))
        every = Access(powers, 0, powers.size_bytes)
        total = over_rows(Source.FLOAT32, Location(powers), 4 * classes, every)
        total.reduction, total.reduce_inner, total.steps_before, total.stride_inner = (
            Reduction.SUM,
            True,
            0,
            4,
        )
        if divides_apart(self.mover.chip.core.vector, rows, classes):
            write(total, inverses, (0, 4, 0, 0))
            total = Chain(
                (1, 1, 1),
                rows,
                Source.FLOAT32,
                plain_window(1, 1, 0, 0),
                Location(inverses),
                source_access=Access(inverses, 0, inverses.size_bytes),
                stride_inner=4,
            )
        total.step(Step.REVERSE_DIV, Operand.IMMEDIATE, 1.0)
        write(total, inverses, (0, 4, 0, 4))
        final = over_rows(Source.FLOAT32, Location(powers), 4 * classes, every)
        final.stride_inner = 4
        final.step(Step.MUL, final.stream(per_row(inverses)))
        final.step(Step.MUL, Operand.IMMEDIATE, float(layer.inverse_scale))
        self._finish(final, self.mover.target_tile(target, region), region, target, 0, layer.result)
