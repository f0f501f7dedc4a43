"""Emit the layers that move data: copies, padding, strided gathers, and resizing."""

from __future__ import annotations

import numpy as np

from hanok.compiler.chain import Chain, Stream, Window, plain_window
from hanok.compiler.cuts import cut_fixed
from hanok.compiler.emit_vector import fit
from hanok.compiler.layers import CopyLayer, ResizeLayer, StridedLayer
from hanok.compiler.pieces import pipelined
from hanok.compiler.resize_runs import Run, runs_of
from hanok.compiler.schedule import Access, Buffer, Location
from hanok.compiler.tiles import Mover, Region, Tile, merge_loops
from hanok.compiler.view import View
from hanok.isa import Destination, Opcode, Operand, Source, Step
from hanok.units import ceil_div


class MoveEmitter:
    """Emits data movement within a budget of SRAM banks."""

    def __init__(self, mover: Mover, banks: int) -> None:
        self.mover, self.banks = mover, banks
        self.bank_bytes, self.lanes = mover.chip.core.sram.bank_bytes, mover.chip.core.vector.lanes

    def _banks(self, size: int) -> int:
        return ceil_div(size, self.bank_bytes)

    # Copies and padding

    def copy(self, layer: CopyLayer) -> None:
        """Emit a copy between views, with constant padding around it where asked."""
        if layer.fill is not None:
            self._fill(layer.output, layer.fill)
        self._copy_regions(layer.source, layer.output)

    def _copy_regions(self, source: View, output: View) -> None:
        images, rows, columns, channels = output.shape
        free = source.storage.resident or output.storage.resident

        def needed(tile: tuple[int, ...]) -> int:
            return 0 if free else 2 * self._banks(tile[0] * tile[1] * tile[2] * output.element_bytes)

        height, width, depth = fit(output.storage.name, (rows, columns, channels), self.banks, needed)
        groups = rows * columns * ceil_div(channels, self.lanes) if free else 0
        height = pipelined(self.mover.chip, rows, height, groups, (source, output))
        for image in range(images):
            for y0, y1 in cut_fixed(rows, height):
                for x0, x1 in cut_fixed(columns, width):
                    for c0, c1 in cut_fixed(channels, depth):
                        region = Region(image, y0, y1, x0, x1)
                        self._copy_region(source.channels(c0, c1 - c0), output.channels(c0, c1 - c0), region)

    def _copy_region(self, source: View, output: View, region: Region) -> None:
        if output.storage.resident and not source.storage.resident:
            tile = self.mover.resident_tile(output, region.image)
            self.mover._move(Opcode.LOAD, source, region, tile, 0)
        elif output.storage.resident:
            tile = self.mover.resident_tile(output, region.image)
            self._vector_copy(self.mover.resident_tile(source, region.image), tile, region)
        else:
            tile = self.mover.source_tile(source, region)
        self.mover.store(output, region, tile)

    def _vector_copy(self, source: Tile, target: Tile, region: Region) -> None:
        rows, columns = region.y1 - region.y0, region.x1 - region.x0
        kind, result, size = _kinds(source.element_bytes)
        chain = Chain(
            (1, rows, columns),
            source.channels,
            kind,
            plain_window(rows, columns, source.row_pitch, source.pixel_pitch),
            source.place(region.y0, region.x0),
            source_access=source.access(region.y0, region.y1),
            stride_inner=size,
        )
        place = target.place(region.y0, region.x0)
        strides = (0, target.row_pitch, target.pixel_pitch, size)
        access = target.access(region.y0, region.y1)
        self.mover.schedule.append(chain.operation(place, strides, access, self.mover.layer, kind=result))

    def _fill(self, output: View, value: int) -> None:
        """Fill the whole storage, in SRAM and in DRAM."""
        storage = output.storage
        if storage.resident:
            self.mover.fill(Location(self.mover.make_resident(storage)), storage.size_bytes, value)
        if storage.dram_address < 0:
            return
        size = min(storage.size_bytes, max(1, self.banks // 2) * self.bank_bytes)
        place = Location(Buffer(f"{storage.name} padding", size))
        self.mover.fill(place, size, value)
        for first, last in cut_fixed(storage.size_bytes, size):
            self.mover.strided(Opcode.STORE, [(last - first, 1, 1)], storage.dram_address + first, place)

    # Strided gathers

    def strided(self, layer: StridedLayer) -> None:
        """Emit a transposition or a strided slice: gather by nested loops into a dense output."""
        loops = [(c, s) for c, s in zip(layer.counts, layer.strides, strict=True) if c > 1] or [(1, 1)]
        strides_out: list[int] = []
        step = layer.output.element_bytes
        for count, _ in reversed(loops):
            strides_out.insert(0, step)
            step *= count
        merged = merge_loops([(c, s, o) for (c, s), o in zip(loops, strides_out, strict=True)])
        self._gather(layer, [(c, s) for c, s, _ in merged], layer.start, 0)

    def _gather(self, layer: StridedLayer, loops: list[tuple[int, int]], start: int, out_start: int) -> None:
        total = int(np.prod([count for count, _ in loops], dtype=np.int64))
        if len(loops) > 4 or (len(loops) > 1 and not self._fits(layer, total)):
            count, stride = loops[0]
            inner = total // count * layer.output.element_bytes
            rows = 1 if len(loops) > 4 else max(1, self._rows_that_fit(layer, inner, count))
            for first, last in cut_fixed(count, rows):
                rest = [(last - first, stride), *loops[1:]] if last - first > 1 else loops[1:]
                self._gather(layer, rest, start + first * stride, out_start + first * inner)
            return
        self._gather_tile(layer, loops, start, out_start, total)

    def _fits(self, layer: StridedLayer, total: int) -> bool:
        parts = (layer.source.storage.resident, layer.output.storage.resident)
        size_bytes = total * layer.output.element_bytes
        return sum(0 if resident else 2 * self._banks(size_bytes) for resident in parts) <= self.banks

    def _rows_that_fit(self, layer: StridedLayer, inner: int, count: int) -> int:
        rows = count // 2
        while rows > 1 and not self._fits(layer, inner // layer.output.element_bytes * rows):
            rows //= 2
        return rows

    def _gather_tile(
        self, layer: StridedLayer, loops: list[tuple[int, int]], start: int, out_start: int, total: int
    ) -> None:
        place, strides, access = self._gather_source(layer, loops, start)
        output = layer.output
        kind, result, size = _kinds(output.element_bytes)
        if output.storage.resident:
            target = Location(self.mover.make_resident(output.storage), output.offset + out_start)
        else:
            target = Location(Buffer(output.storage.name, total * size))
        counts = [1] * (4 - len(loops)) + [count for count, _ in loops]
        steps = [0] * (4 - len(loops)) + strides
        strides_out = [size * int(np.prod(counts[level + 1 :], dtype=np.int64)) for level in range(4)]
        chain = Chain(
            (counts[0], counts[1], counts[2]),
            counts[3],
            kind,
            plain_window(counts[1], counts[2], steps[1], steps[2]),
            place,
            source_access=access,
            stride_2=steps[0],
            stride_inner=steps[3],
        )
        written = Access(target.buffer, target.offset, target.offset + total * size)
        out = (strides_out[0], strides_out[1], strides_out[2], strides_out[3])
        self.mover.schedule.append(chain.operation(target, out, written, self.mover.layer, kind=result))
        if output.storage.dram_address >= 0:
            address = output.storage.dram_address + output.offset + out_start
            self.mover.strided(Opcode.STORE, [(total * size, 1, 1)], address, target)

    def _gather_source(
        self, layer: StridedLayer, loops: list[tuple[int, int]], start: int
    ) -> tuple[Location, list[int], Access]:
        """Where the gathered elements lie in SRAM, the strides there, and the bytes touched."""
        view, size = layer.source, layer.source.element_bytes
        if view.storage.resident:
            buffer = self.mover.make_resident(view.storage)
            low = sum(min(0, (count - 1) * stride) for count, stride in loops)
            high = sum(max(0, (count - 1) * stride) for count, stride in loops)
            offset = view.offset + start
            place = Location(buffer, offset)
            return place, [stride for _, stride in loops], Access(buffer, offset + low, offset + high + size)
        order = sorted(
            (n for n, loop in enumerate(loops) if loop[1]), key=lambda level: -abs(loops[level][1])
        )
        compact = [0] * len(loops)
        step = size
        for level in reversed(order):
            compact[level] = step
            step *= loops[level][0]
        buffer = Buffer(view.storage.name, step)
        every = [(loops[level][0], loops[level][1], compact[level]) for level in order]
        nest = merge_loops([*every, (size, 1, 1)])
        self._load_nest(nest, view.storage.dram_address + view.offset + start, Location(buffer))
        return Location(buffer), compact, Access(buffer, 0, step)

    def _load_nest(self, nest: list[tuple[int, int, int]], dram: int, place: Location) -> None:
        runs = nest[-1][1:] == (1, 1)
        if len(nest) - int(runs) <= 3:
            self.mover.strided(Opcode.LOAD, nest, dram, place)
            return
        count, dram_stride, sram_stride = nest[0]
        for index in range(count):
            self._load_nest(nest[1:], dram + index * dram_stride, place.plus(index * sram_stride))

    # Resizing

    def resize(self, layer: ResizeLayer) -> None:
        """Emit a resize: vertical taps, then horizontal taps, by runs of equal weights."""
        images, rows, columns, channels = layer.output.shape
        width = layer.source.shape[2]
        linear = layer.rows.shape[1] > 1

        def needed(tile: tuple[int, ...]) -> int:
            total = 0 if layer.output.storage.resident else 2 * self._banks(tile[0] * columns * tile[1])
            if not layer.source.storage.resident:
                span = min(layer.source.shape[1], tile[0] * layer.source.shape[1] // rows + 3)
                total += 2 * self._banks(span * width * tile[1])
            if linear:
                total += 2 * self._banks(4 * tile[0] * width * tile[1]) + self._banks(
                    4 * tile[0] * columns * tile[1]
                )
            return total

        height, depth = fit(layer.origin.name, (rows, channels), self.banks, needed)
        groups = rows * columns * ceil_div(channels, self.lanes)
        height = pipelined(self.mover.chip, rows, height, groups, (layer.source, layer.output))
        for image in range(images):
            for y0, y1 in cut_fixed(rows, height):
                for c0, c1 in cut_fixed(channels, depth):
                    self._resize_tile(layer, Region(image, y0, y1, 0, columns), c0, c1 - c0, linear)

    def _resize_tile(
        self, layer: ResizeLayer, region: Region, channel: int, channels: int, linear: bool
    ) -> None:
        taps = layer.rows[region.y0 : region.y1]
        low, high = int(taps.min()), int(taps.max()) + 1
        view = layer.source.channels(channel, channels)
        source = self.mover.source_tile(view, Region(region.image, low, high, 0, view.shape[2]))
        target = self.mover.target_tile(layer.output, region, channel, channels)
        vertical = runs_of(taps, layer.row_weights[region.y0 : region.y1])
        horizontal = runs_of(layer.columns, layer.column_weights)
        if linear:
            self._linear(layer, region, source, target, vertical, horizontal)
        else:
            for rows in vertical:
                for columns in horizontal:
                    self._nearest(layer, region, source, target, rows, columns)
        self.mover.store(layer.output, region, target, channel)

    def _nearest(
        self, layer: ResizeLayer, region: Region, source: Tile, target: Tile, rows: Run, columns: Run
    ) -> None:
        chain = Chain(
            (1, rows.count, columns.count),
            source.channels,
            Source.INT8,
            plain_window(
                rows.count, columns.count, rows.delta * source.row_pitch, columns.delta * source.pixel_pitch
            ),
            source.place(rows.taps[0], columns.taps[0]),
            source_access=_rows(source, rows.taps[0], rows),
            zero=layer.source_zero,
        )
        if float(layer.factor) != 1.0:
            chain.step(Step.MUL, Operand.IMMEDIATE, float(layer.factor))
        self._write(chain, layer, region, target, rows, columns)

    def _write(
        self, chain: Chain, layer: ResizeLayer, region: Region, target: Tile, rows: Run, columns: Run
    ) -> None:
        y = region.y0 + rows.first
        place = target.place(y, columns.first)
        access = target.access(y, y + (rows.count - 1) * rows.step + 1)
        strides = (0, rows.step * target.row_pitch, columns.step * target.pixel_pitch, 1)
        self.mover.schedule.append(chain.operation(place, strides, access, self.mover.layer, layer.result))

    def _linear(
        self,
        layer: ResizeLayer,
        region: Region,
        source: Tile,
        target: Tile,
        vertical: list[Run],
        horizontal: list[Run],
    ) -> None:
        rows, width, channels = region.y1 - region.y0, layer.source.shape[2], source.channels
        columns = layer.output.shape[2]
        pitch = 4 * width * channels
        first, blended = Buffer("vertical tap", rows * pitch), Buffer("vertical", rows * pitch)
        tap = Buffer("horizontal tap", 4 * rows * columns * channels)
        for run in vertical:
            for number, buffer in enumerate((first, blended)):
                chain = self._vertical_tap(layer, source, run, number, (width, channels))
                if number == 1:
                    chain.step(Step.ADD, chain.stream(_float_rows(first, run, pitch, 4 * channels)))
                place = Location(buffer, run.first * pitch)
                access = Access(buffer, place.offset, place.offset + ((run.count - 1) * run.step + 1) * pitch)
                strides = (0, run.step * pitch, 4 * channels, 4)
                self.mover.schedule.append(
                    chain.operation(place, strides, access, self.mover.layer, kind=Destination.FLOAT32)
                )
        every = Run(0, 1, rows, (0,), 1, (1.0,))
        out_pitch = 4 * columns * channels
        for run in horizontal:
            strides = (0, out_pitch, 4 * run.step * channels, 4)
            place = Location(tap, 4 * run.first * channels)
            chain = _horizontal_tap(blended, run, 0, rows, channels, pitch)
            self.mover.schedule.append(
                chain.operation(
                    place, strides, Access(tap, 0, tap.size_bytes), self.mover.layer, kind=Destination.FLOAT32
                )
            )
            chain = _horizontal_tap(blended, run, 1, rows, channels, pitch)
            stream = Stream(Source.FLOAT32, place, strides, Access(tap, 0, tap.size_bytes))
            chain.step(Step.ADD, chain.stream(stream)).step(Step.MUL, Operand.IMMEDIATE, float(layer.factor))
            self._write(chain, layer, region, target, every, run)

    def _vertical_tap(
        self, layer: ResizeLayer, source: Tile, run: Run, number: int, size: tuple[int, int]
    ) -> Chain:
        width, channels = size
        return Chain(
            (1, run.count, width),
            channels,
            Source.INT8,
            plain_window(run.count, width, run.delta * source.row_pitch, source.pixel_pitch),
            source.place(run.taps[number], 0),
            source_access=_rows(source, run.taps[number], run),
            zero=layer.source_zero,
            scale=run.weights[number],
        )


def _kinds(element_bytes: int) -> tuple[Source, Destination, int]:
    """How the vector unit reads and writes elements that it moves, and their bytes."""
    if element_bytes > 1:
        return Source.FLOAT32, Destination.FLOAT32, element_bytes
    return Source.INT8, Destination.INT8, element_bytes


def _rows(tile: Tile, tap: int, run: Run) -> Access:
    return tile.access(tap, tap + (run.count - 1) * run.delta + 1)


def _float_rows(buffer: Buffer, run: Run, pitch: int, pixel: int) -> Stream:
    place = Location(buffer, run.first * pitch)
    size = ((run.count - 1) * run.step + 1) * pitch
    return Stream(
        Source.FLOAT32,
        place,
        (0, run.step * pitch, pixel, 4),
        Access(buffer, place.offset, place.offset + size),
    )


def _horizontal_tap(buffer: Buffer, run: Run, number: int, rows: int, channels: int, pitch: int) -> Chain:
    return Chain(
        (1, rows, run.count),
        channels,
        Source.FLOAT32,
        Window((0, 1, 0, rows), (0, 1, 0, run.count), pitch, 4 * channels * run.delta),
        Location(buffer, 4 * channels * run.taps[number]),
        source_access=Access(buffer, 0, buffer.size_bytes),
        scale=run.weights[number],
        stride_inner=4,
    )
