"""Emit a matrix layer: tiles, weight chunks, CONV or DEPTHWISE instructions and their epilogue chains."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hanok.compiler.chain import Chain, Stream, plain_window
from hanok.compiler.columns import Part, grid_shape
from hanok.compiler.cuts import cut, cut_fixed
from hanok.compiler.emit_formula import TailEmitter
from hanok.compiler.formula_layer import REAL_BYTES
from hanok.compiler.layers import Epilogue, MatrixLayer, Phase
from hanok.compiler.matrix_plan import Chunk, MatrixPlan, source_columns, source_rows, sub_tile
from hanok.compiler.pack_weights import WeightPacker
from hanok.compiler.schedule import Access, Buffer, Location, Operation
from hanok.compiler.tiles import Mover, Region, Tile
from hanok.compiler.weight_loads import Constants, WeightLoader
from hanok.isa import Destination, Opcode, Operand, Source, Step
from hanok.units import ceil_div


class MatrixEmitter:
    """Emits one matrix layer under a plan."""

    def __init__(
        self, mover: Mover, layer: MatrixLayer, plan: MatrixPlan, constants: Constants, packer: WeightPacker
    ) -> None:
        self.mover, self.layer, self.plan, self.constants = mover, layer, plan, constants
        self.chip = mover.chip
        self.columns = plan.columns
        self.weights = WeightLoader(mover, layer, plan, constants, packer)
        self.chunks = self.weights.chunks
        self.parameters: Buffer | None = None
        self.tail = None if layer.tail is None else TailEmitter(mover, layer.tail, constants)

    def emit(self) -> None:
        """Emit the layer's instructions."""
        self._load_parameters()
        regions = self._grid_regions()
        if self.plan.chunks_outer:
            kept: dict[int, Tile] = {}
            for chunk in range(len(self.chunks)):
                self.weights.load(chunk)
                for number, region in enumerate(regions):
                    source = kept.get(number) or self._source(region)
                    if len(regions) == 1:
                        kept[number] = source
                    self._compute_and_store(region, source, [chunk])
        else:
            for region in regions:
                if len(self.chunks) == 1 and self.plan.parts == 1:
                    self.weights.load(0)
                source = self._source(region)
                every = list(range(len(self.chunks)))
                for chunks in [[one] for one in every] if self.plan.stores_chunks else [every]:
                    self._compute_and_store(region, source, chunks)

    def _grid_regions(self) -> list[Region]:
        rows, columns = grid_shape(self.layer)
        return [
            Region(image, y0, y1, x0, x1)
            for image in range(self.layer.output.shape[0])
            for y0, y1 in cut_fixed(rows, self.plan.tile_height)
            for x0, x1 in cut_fixed(columns, self.plan.tile_width)
        ]

    def _source(self, region: Region) -> Tile:
        y0, y1 = source_rows(self.layer, region.y0, region.y1)
        x0, x1 = source_columns(self.layer, region.x0, region.x1)
        return self.mover.source_tile(self.layer.source, Region(region.image, y0, y1, x0, x1))

    def _output_region(self, region: Region) -> Region:
        _, height, width, _ = self.layer.output.shape
        step_y, step_x = self.layer.phases[0].step
        return Region(
            region.image,
            region.y0 * step_y,
            min(height, region.y1 * step_y),
            region.x0 * step_x,
            min(width, region.x1 * step_x),
        )

    def _compute_and_store(self, region: Region, source: Tile, chunks: list[int]) -> None:
        out_region = self._output_region(region)
        first, last = self.chunks[chunks[0]], self.chunks[chunks[-1]]
        channel = first.channel
        count = last.channel + last.channels - channel
        if self.tail is None:
            target = self.mover.target_tile(self.layer.output, out_region, channel, count)
        else:
            target = self.mover.empty_tile(f"{self.layer.origin.name} sums", out_region, count, REAL_BYTES)
        residual = self.layer.epilogue.residual
        other = None
        if residual is not None:
            other = self.mover.source_tile(residual.view.channels(channel, count), out_region)
        for index in chunks:
            if self.plan.parts == 1:
                self.weights.load(index)
            self._compute(region, source, target, other, channel, index)
            if len(self.chunks) > 1 and not self.plan.stores_chunks:
                self.weights.forget(index)
        if self.tail is None:
            self.mover.store(self.layer.output, out_region, target, channel)
        else:
            self.tail.finish(target, out_region, channel, count)

    # Parameters

    def _load_parameters(self) -> None:
        epilogue = self.layer.epilogue
        parts = []
        if epilogue.scale.size > 1:
            parts.append(np.tile(epilogue.scale, self.columns.pixels).astype("<f4").tobytes())
        if epilogue.table_entries is not None:
            parts.append(epilogue.table_entries.astype("<f4").tobytes())
        if not parts:
            return
        content = b"".join(parts)
        self.parameters = Buffer(f"{self.layer.origin.name} scales", len(content))
        self.mover.load_bytes(self.parameters, 0, self.constants(content), len(content))
        if epilogue.table is not None:
            offset = len(content) - 1024
            self.mover.schedule.append(
                Operation(
                    Opcode.TABLE,
                    {},
                    {"address": Location(self.parameters, offset)},
                    (Access(self.parameters, offset, offset + 1024),),
                    self.mover.layer,
                )
            )

    # Compute

    def _compute(
        self, region: Region, source: Tile, target: Tile, other: Tile | None, channel: int, index: int
    ) -> None:
        for number, phase in enumerate(self.layer.phases):
            part = self._phase_region(region, phase)
            if part is None:
                continue
            for piece, first, last in self._pieces(part, self.chunks[index]):
                self._emit_piece(piece, number, index, (first, last), source, target, other, channel)

    def _phase_region(self, region: Region, phase: Phase) -> Region | None:
        _, height, width, _ = self.layer.output.shape
        y1 = min(region.y1, ceil_div(height - phase.origin[0], phase.step[0]))
        x1 = min(region.x1, ceil_div(width - phase.origin[1], phase.step[1]))
        if y1 <= region.y0 or x1 <= region.x0:
            return None
        return Region(region.image, region.y0, y1, region.x0, x1)

    def _pieces(self, region: Region, chunk: Chunk) -> Iterator[tuple[Region, int, int]]:
        pixels = self.columns.pixels
        height, width = region.y1 - region.y0, (region.x1 - region.x0) // pixels
        blocks = chunk.last - chunk.first
        limit = self.chip.core.matrix.accumulator_rows
        rows, columns, most = sub_tile(limit, height, width, blocks)
        for y0, y1 in cut_fixed(height, rows):
            for x0, x1 in cut(width, columns):
                for first, last in cut_fixed(blocks, most):
                    piece = Region(
                        region.image,
                        region.y0 + y0,
                        region.y0 + y1,
                        region.x0 + x0 * pixels,
                        region.x0 + x1 * pixels,
                    )
                    yield piece, chunk.first + first, chunk.first + last

    def _emit_piece(
        self,
        piece: Region,
        phase_number: int,
        index: int,
        blocks: tuple[int, int],
        source: Tile,
        target: Tile,
        other: Tile | None,
        channel: int,
    ) -> None:
        bank = self.mover.schedule.next_accumulator_bank()
        row = bank * self.chip.core.matrix.accumulator_rows
        phase = self.layer.phases[phase_number]
        for part, share in enumerate(self.weights.parts(self.chunks[index], phase)):
            if self.plan.parts > 1:
                self.weights.load(index, part)
            for turn in range(len(phase.weights)):
                self._emit_conv(piece, phase_number, (part, turn), share, index, blocks, source, row, bank)
            if self.plan.parts > 1:
                self.weights.forget(index, part)
        self._emit_chains(piece, phase, index, blocks, target, other, channel, row, bank)

    def _emit_conv(
        self,
        piece: Region,
        phase_number: int,
        turn: tuple[int, int],
        share: Part,
        index: int,
        blocks: tuple[int, int],
        source: Tile,
        row: int,
        bank: int,
    ) -> None:
        layer, columns, chunk = self.layer, self.columns, self.chunks[index]
        job, phase, width = chunk.job, layer.phases[phase_number], columns.matrix.columns
        weights = self.weights.at(index, turn[0])
        _, taps_x, _ = columns.tap_shape(job, phase)
        before = columns.weight_bytes(job, phase, chunk.first, blocks[0], share)
        size = columns.weight_bytes(job, phase, blocks[0], blocks[1], share)
        weight_place = Location(weights.buffer, weights.offsets.tiles[phase_number, turn[1]] + before)
        start = turn == (0, 0)
        used = min(blocks[1] * width, job.count * columns.pixels) - blocks[0] * width
        shift = blocks[0] * width if columns.depthwise else 0
        place = source.location.plus(job.source + shift)
        values = {
            "flags": 1 if start else 2,
            "row_pitch": source.row_pitch,
            "y_start": phase.start[0]
            + share.first_tap * phase.dilation[0]
            + piece.y0 * phase.stride[0]
            - source.row,
            "y_stride": phase.stride[0],
            "y_dilation": phase.dilation[0],
            "y_limit": source.rows,
            "x_start": (phase.start[1] + piece.x0 * phase.stride[1] - source.column) * source.pixel_pitch
            + (0 if columns.depthwise else share.first_byte),
            "x_stride": columns.pixels * phase.stride[1] * source.pixel_pitch,
            "x_tap": phase.dilation[1] * source.pixel_pitch,
            "x_block": width if columns.depthwise else 0,
            "x_limit": (source.columns - 1) * source.pixel_pitch + source.channels - job.source - shift,
            "pixel_pitch": source.pixel_pitch,
            "out_height": piece.y1 - piece.y0,
            "out_width": (piece.x1 - piece.x0) // columns.pixels,
            "taps_y": share.last_tap - share.first_tap,
            "taps_x": taps_x,
            "tap_bytes": 1 if columns.depthwise else share.last_byte - share.first_byte,
            "blocks": blocks[1] - blocks[0],
            "last_columns": used - (blocks[1] - blocks[0] - 1) * width,
            "accumulator_row": row,
            "pad": layer.pad,
        }
        y0, y1 = _rows_touched(phase, piece, source)
        accesses = [source.access(y0, y1), _bytes_at(weight_place, size)]
        places = {"activation_address": place, "weight_address": weight_place}
        if start:
            bias_place = Location(
                weights.buffer, weights.offsets.biases[phase_number] + 4 * (blocks[0] - chunk.first) * width
            )
            places["bias_address"] = bias_place
            accesses.append(_bytes_at(bias_place, 4 * used))
        opcode = Opcode.DEPTHWISE if columns.depthwise else Opcode.CONV
        self.mover.schedule.append(
            Operation(opcode, values, places, tuple(accesses), self.mover.layer, accumulator_bank=bank)
        )

    def _emit_chains(
        self,
        piece: Region,
        phase: Phase,
        index: int,
        blocks: tuple[int, int],
        target: Tile,
        other: Tile | None,
        channel: int,
        row: int,
        bank: int,
    ) -> None:
        chunk, columns = self.chunks[index], self.columns
        width, total = columns.matrix.columns, chunk.job.count * columns.pixels
        full = min(blocks[1], total // width) - blocks[0]
        positions = (piece.y1 - piece.y0) * (piece.x1 - piece.x0) // columns.pixels
        groups = [(blocks[0], full, width)] if full > 0 else []
        if full < blocks[1] - blocks[0]:
            groups.append((blocks[1] - 1, 1, total - (blocks[1] - 1) * width))
        for first, count, inner in groups:
            first_row = row + (first - blocks[0]) * positions
            self._emit_chain(
                piece, phase, chunk, (first, count, inner), target, other, channel, first_row, bank
            )

    def _emit_chain(
        self,
        piece: Region,
        phase: Phase,
        chunk: Chunk,
        group: tuple[int, int, int],
        target: Tile,
        other: Tile | None,
        channel: int,
        row: int,
        bank: int,
    ) -> None:
        first, count, inner = group
        epilogue, pixels, width = self.layer.epilogue, self.columns.pixels, self.columns.matrix.columns
        rows, columns = piece.y1 - piece.y0, (piece.x1 - piece.x0) // pixels
        start = chunk.job.first + (first * width if pixels == 1 else 0)
        outer, stride_2 = (count, rows, columns), rows * columns * width
        window = plain_window(rows, columns, columns * width, width)
        tiles = [target] if other is None else [target, other]
        apart = pixels > 1 and any(tile.pixel_pitch * pixels != inner * tile.element_bytes for tile in tiles)
        if apart:
            assert count == 1, "pixels side by side share one block"
            inner //= pixels
            outer, stride_2 = (rows, columns, pixels), columns * width
            window = plain_window(columns, pixels, width, inner)
        chain = Chain(outer, inner, Source.ACCUMULATOR, window, None, row * width, stride_2=stride_2)
        if epilogue.scale.size > 1:
            assert self.parameters is not None, "per-channel scales were not loaded"
            place = Location(self.parameters, 4 * start)
            stream = Stream(
                Source.FLOAT32,
                place,
                (0 if apart else 4 * width, 0, 0, 4),
                _bytes_at(place, 4 * ((count - 1) * width + inner)),
            )
            chain.step(Step.MUL, chain.stream(stream))
        else:
            chain.step(Step.MUL, Operand.IMMEDIATE, float(epilogue.scale.reshape(-1)[0]))
        y, x = piece.y0 * phase.step[0] + phase.origin[0], piece.x0 * phase.step[1] + phase.origin[1]
        y_end = (piece.y1 - 1) * phase.step[0] + phase.origin[0] + 1

        def strides(tile: Tile) -> tuple[int, int, int, int]:
            high, wide, size = (
                phase.step[0] * tile.row_pitch,
                phase.step[1] * tile.pixel_pitch,
                tile.element_bytes,
            )
            return (high, pixels * wide, wide, size) if apart else (width * size, high, pixels * wide, size)

        operand = None
        if other is not None:
            place = other.place(y, x, start - channel)
            operand = self._residual_stream(chain, place, strides(other), other.access(y, y_end))
        finish_epilogue(chain, epilogue, operand)
        self.mover.schedule.append(
            chain.operation(
                target.place(y, x, start - channel),
                strides(target),
                target.access(y, y_end),
                self.mover.layer,
                epilogue.final,
                Destination.INT8 if target.element_bytes == 1 else Destination.FLOAT32,
                accumulator_bank=bank,
            )
        )

    def _residual_stream(
        self, chain: Chain, place: Location, strides: tuple[int, int, int, int], access: Access
    ) -> Operand:
        residual = self.layer.epilogue.residual
        assert residual is not None, "a second tile without a residual"
        return chain.stream(Stream(Source.INT8, place, strides, access, -residual.offset))


def finish_epilogue(chain: Chain, epilogue: Epilogue, other: Operand | None) -> None:
    """Append what follows the scaling: round, lookup, the addition of another tensor."""
    if epilogue.table is None and epilogue.residual is None:
        return
    residual = epilogue.residual
    chain.rounding = epilogue.before_residual
    chain.step(Step.ROUND)
    if epilogue.table is not None:
        chain.step(Step.LOOKUP)
    if residual is None:
        return
    assert other is not None, "a residual without its operand"
    chain.step(Step.SAVE).step(Step.TAKE, Operand.IMMEDIATE, float(residual.fixed))
    terms = [(Operand.SAVED, residual.layer_ratio), (other, residual.other_ratio)]
    for operand, ratio in reversed(terms) if residual.layer_is_first else terms:
        chain.step(Step.FUSED_ADD, operand, float(ratio))


def _bytes_at(place: Location, size: int) -> Access:
    return Access(place.buffer, place.offset, place.offset + size)


def _rows_touched(phase: Phase, piece: Region, source: Tile) -> tuple[int, int]:
    """Image rows of the source tile that the piece reads (at least one, for the footprint)."""
    low = phase.start[0] + piece.y0 * phase.stride[0]
    high = phase.start[0] + (piece.y1 - 1) * phase.stride[0] + (phase.taps[0] - 1) * phase.dilation[0] + 1
    low = min(max(low, source.row), source.row + source.rows - 1)
    return low, max(low + 1, min(high, source.row + source.rows))
