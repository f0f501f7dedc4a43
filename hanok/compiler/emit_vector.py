"""Emit the layers of the vector unit: pooling and element-wise chains."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hanok.compiler.chain import Chain, Stream, Window, plain_window
from hanok.compiler.cuts import cut_fixed
from hanok.compiler.formula_layer import Output
from hanok.compiler.layers import ElementLayer, ElementOperand, WindowLayer
from hanok.compiler.pieces import MOST_PARTS, pipelined, window_parts
from hanok.compiler.schedule import Access, Buffer, Location, Operation
from hanok.compiler.tiles import Mover, Region, Tile
from hanok.compiler.view import Storage, View
from hanok.compiler.weight_loads import Constants
from hanok.errors import CompileError
from hanok.isa import Destination, Opcode, Operand, Reduction, Source, Step
from hanok.units import ceil_div


def fit(
    name: str, sizes: tuple[int, ...], banks: int, needed: Callable[[tuple[int, ...]], int]
) -> tuple[int, ...]:
    """The largest tile (rows first, then columns, then channels are halved) that needs at most `banks`."""
    tile = list(sizes)
    for axis in range(len(tile)):
        while needed(tuple(tile)) > banks and tile[axis] > 1:
            tile[axis] = ceil_div(tile[axis], 2)
        if needed(tuple(tile)) <= banks:
            return tuple(tile)
    raise CompileError(
        f"'{name}': the smallest tile needs {needed(tuple(tile))} SRAM banks; {banks} are free"
    )


def load_table(mover: Mover, content: bytes, constants: Constants, name: str) -> None:
    """Load a lookup table into the vector unit."""
    buffer = Buffer(f"{name} table", len(content))
    mover.load_bytes(buffer, 0, constants(content), len(content))
    mover.schedule.append(
        Operation(
            Opcode.TABLE, {}, {"address": Location(buffer)}, (Access(buffer, 0, len(content)),), mover.layer
        )
    )


def constant_view(
    mover: Mover, content: bytes, shape: tuple[int, int, int, int], constants: Constants
) -> View:
    """A constant in DRAM as a view that tiles can be loaded from."""
    return View.dense(Storage("constant", len(content), constants(content)), shape)


class VectorEmitter:
    """Emits vector layers within a budget of SRAM banks."""

    def __init__(self, mover: Mover, banks: int, constants: Constants) -> None:
        self.mover, self.banks, self.constants = mover, banks, constants
        self.bank_bytes, self.lanes = mover.chip.core.sram.bank_bytes, mover.chip.core.vector.lanes

    def _banks(self, *sizes: int) -> int:
        return sum(ceil_div(size, self.bank_bytes) for size in sizes)

    @staticmethod
    def tiles_of(
        shape: tuple[int, int, int, int], tile: tuple[int, int, int]
    ) -> Iterator[tuple[Region, int, int]]:
        """Tiles of [N][H][W][C]: a region, its first channel, and how many channels."""
        images, rows, columns, channels = shape
        for image in range(images):
            for y0, y1 in cut_fixed(rows, tile[0]):
                for x0, x1 in cut_fixed(columns, tile[1]):
                    for c0, c1 in cut_fixed(channels, tile[2]):
                        yield Region(image, y0, y1, x0, x1), c0, c1 - c0

    # Pooling

    def window(self, layer: WindowLayer) -> None:
        """Emit a pooling layer."""
        _, rows, columns, channels = layer.output.shape
        resident_in, resident_out = layer.source.storage.resident, layer.output.storage.resident

        def needed(tile: tuple[int, ...]) -> int:
            y, x = self._window_sizes(layer, tile[0], tile[1])
            source = 0 if resident_in else self._banks(y * x * tile[2])
            target = 0 if resident_out else self._banks(tile[0] * tile[1] * tile[2])
            parts = self._banks(4 * MOST_PARTS * tile[2]) if rows * columns == 1 else 0
            return 2 * (source + target + parts) + self._banks(4 * layer.factor.size)

        height, width, depth = fit(layer.origin.name, (rows, columns, channels), self.banks, needed)
        groups = rows * columns * ceil_div(channels, self.lanes) * layer.kernel[0] * layer.kernel[1]
        height = pipelined(self.mover.chip, rows, height, groups, (layer.source, layer.output))
        factor = self._factor(layer)
        for region, channel, count in self.tiles_of(layer.output.shape, (height, width, depth)):
            self._window_tile(layer, region, channel, count, factor)

    def _window_sizes(self, layer: WindowLayer, height: int, width: int) -> tuple[int, int]:
        y = (height - 1) * layer.strides[0] + (layer.kernel[0] - 1) * layer.dilation[0] + 1
        x = (width - 1) * layer.strides[1] + (layer.kernel[1] - 1) * layer.dilation[1] + 1
        return min(y, layer.source.shape[1]), min(x, layer.source.shape[2])

    def _factor(self, layer: WindowLayer) -> Location | None:
        if layer.factor.size == 1:
            return None
        content = layer.factor.astype("<f4").tobytes()
        buffer = Buffer(f"{layer.origin.name} factors", len(content))
        self.mover.load_bytes(buffer, 0, self.constants(content), len(content))
        return Location(buffer)

    def _window_span(self, layer: WindowLayer, axis: int, first: int, last: int) -> tuple[int, int]:
        limit = layer.source.shape[1 + axis]
        low = layer.start[axis] + first * layer.strides[axis]
        high = layer.start[axis] + (last - 1) * layer.strides[axis]
        high += (layer.kernel[axis] - 1) * layer.dilation[axis] + 1
        low = min(max(0, low), limit - 1)
        return low, max(low + 1, min(high, limit))

    def _window_tile(
        self, layer: WindowLayer, region: Region, channel: int, channels: int, factor: Location | None
    ) -> None:
        y0, y1 = self._window_span(layer, 0, region.y0, region.y1)
        x0, x1 = self._window_span(layer, 1, region.x0, region.x1)
        view = layer.source.channels(channel, channels)
        source = self.mover.source_tile(view, Region(region.image, y0, y1, x0, x1))
        target = self.mover.target_tile(layer.output, region, channel, channels)
        window = Window(
            (
                layer.start[0] + region.y0 * layer.strides[0] - source.row,
                layer.strides[0],
                layer.dilation[0],
                source.rows,
            ),
            (
                layer.start[1] + region.x0 * layer.strides[1] - source.column,
                layer.strides[1],
                layer.dilation[1],
                source.columns,
            ),
            source.row_pitch,
            source.pixel_pitch,
        )
        rows, columns = region.y1 - region.y0, region.x1 - region.x0
        chain = Chain(
            (1, rows, columns),
            channels,
            Source.INT8,
            window,
            source.location,
            source_access=source.access(y0, y1),
            reduce=layer.kernel,
            reduction=Reduction.MAX if layer.maximum else Reduction.SUM,
            zero=0 if layer.maximum else layer.source_zero,
            steps_before=0,
        )
        if rows * columns == 1:
            chain = self._folded_by_parts(chain)
        if not layer.maximum:
            self._scale_window(chain, layer, region, factor)
        self._finish(chain, target, region, layer.output, channel, layer.result)

    def _folded_by_parts(self, chain: Chain) -> Chain:
        """Fold parts of a single window into a buffer, if that is quicker; return what folds the rest."""
        axis = int(chain.reduce[1] >= chain.reduce[0])
        taps, other = chain.reduce[axis], chain.reduce[1 - axis]
        parts = window_parts(self.mover.chip.core.vector, taps, other, chain.inner)
        if parts == 1:
            return chain
        each = ceil_div(taps, parts)
        parts = ceil_div(taps, each)
        windows = [chain.window.y, chain.window.x]
        start, _, dilation, limit = windows[axis]
        windows[axis] = (start, each * dilation, dilation, min(limit, start + (taps - 1) * dilation + 1))
        pitch, (row_pitch, pixel_pitch) = 4 * chain.inner, (chain.window.row_pitch, chain.window.pixel_pitch)
        buffer = Buffer("parts", parts * pitch)
        access = Access(buffer, 0, buffer.size_bytes)
        chain.window = Window(windows[0], windows[1], row_pitch, pixel_pitch)
        chain.outer, chain.reduce = ((1, 1, parts), (other, each)) if axis else ((1, parts, 1), (each, other))
        strides = (0, pitch, pitch, 4)
        self.mover.schedule.append(
            chain.operation(Location(buffer), strides, access, self.mover.layer, kind=Destination.FLOAT32)
        )
        return Chain(
            (1, 1, 1),
            chain.inner,
            Source.FLOAT32,
            Window((0, 1, 0, 1), (0, 1, 1, parts), 0, pitch),
            Location(buffer),
            source_access=access,
            stride_inner=4,
            reduce=(1, parts),
            reduction=chain.reduction,
            steps_before=0,
        )

    def _scale_window(
        self, chain: Chain, layer: WindowLayer, region: Region, factor: Location | None
    ) -> None:
        if factor is None:
            chain.step(Step.MUL, Operand.IMMEDIATE, float(layer.factor.reshape(-1)[0]))
            return
        pitch = 4 * layer.output.shape[2]
        place = factor.plus(region.y0 * pitch + region.x0 * 4)
        size = (region.y1 - region.y0 - 1) * pitch + 4 * (region.x1 - region.x0)
        access = Access(place.buffer, place.offset, place.offset + size)
        chain.step(Step.MUL, chain.stream(Stream(Source.FLOAT32, place, (0, pitch, 4, 0), access)))

    def _finish(
        self, chain: Chain, target: Tile, region: Region, view: View, channel: int, result: Output
    ) -> None:
        operation = chain.operation(
            target.place(region.y0, region.x0),
            (0, target.row_pitch, target.pixel_pitch, 1),
            target.access(region.y0, region.y1),
            self.mover.layer,
            result,
        )
        self.mover.schedule.append(operation)
        self.mover.store(view, region, target, channel)

    # Element-wise

    def element(self, layer: ElementLayer) -> None:
        """Emit an element-wise layer."""
        if layer.table is not None:
            load_table(self.mover, layer.table.astype("<f4").tobytes(), self.constants, layer.origin.name)
        _, rows, columns, channels = layer.output.shape
        views = [self._operand_view(operand) for operand in layer.operands]

        def needed(tile: tuple[int, ...]) -> int:
            total = 0 if layer.output.storage.resident else self._banks(tile[0] * tile[1] * tile[2])
            for view in views:
                if not view.storage.resident:
                    sizes = [min(a, b) for a, b in zip(tile, view.shape[1:], strict=True)]
                    total += self._banks(sizes[0] * sizes[1] * sizes[2])
            return 2 * total

        height, width, depth = fit(layer.origin.name, (rows, columns, channels), self.banks - 1, needed)
        groups = ceil_div(rows * columns * channels, self.lanes)
        height = pipelined(self.mover.chip, rows, height, groups, (*views, layer.output))
        cache: dict[int, tuple[Region, int, Tile]] = {}
        for region, channel, count in self.tiles_of(layer.output.shape, (height, width, depth)):
            self._element_tile(layer, views, region, channel, count, cache)

    def _operand_view(self, operand: ElementOperand) -> View:
        if operand.constant is None:
            return operand.view
        return constant_view(self.mover, operand.constant.tobytes(), operand.view.shape, self.constants)

    def _element_tile(
        self,
        layer: ElementLayer,
        views: list[View],
        region: Region,
        channel: int,
        channels: int,
        cache: dict[int, tuple[Region, int, Tile]],
    ) -> None:
        tiles = [
            self.broadcast_tile(number, view, region, channel, channels, cache)
            for number, view in enumerate(views)
        ]
        target = self.mover.target_tile(layer.output, region, channel, channels)
        rows, columns = region.y1 - region.y0, region.x1 - region.x0
        loops = [(rows, columns, channels)]
        every = [*tiles, target]
        shapes = [view.shape[1:] for view in views]
        flat = all(
            tile.pixel_pitch == channels and tile.row_pitch == columns * channels for tile in every
        ) and all(shape == layer.output.shape[1:] for shape in shapes)
        if flat:
            loops = [(1, 1, rows * columns * channels)]
        high, wide, inner = loops[0]
        first, first_tile = views[0], tiles[0]
        y, x = self._origin(first, region)
        chain = Chain(
            (1, high, wide),
            inner,
            Source.INT8,
            plain_window(
                high,
                wide,
                first_tile.row_pitch if first.shape[1] > 1 else 0,
                first_tile.pixel_pitch if first.shape[2] > 1 else 0,
            ),
            first_tile.place(y, x),
            source_access=self._used(first, first_tile, region),
            zero=layer.operands[0].zero,
            scale=float(layer.operands[0].scale),
            stride_inner=int(first.shape[3] > 1),
        )
        operands = [Operand.IMMEDIATE]
        for operand, view, tile in zip(layer.operands[1:], views[1:], tiles[1:], strict=True):
            y, x = self._origin(view, region)
            strides = (
                0,
                tile.row_pitch if view.shape[1] > 1 else 0,
                tile.pixel_pitch if view.shape[2] > 1 else 0,
                int(view.shape[3] > 1),
            )
            used = self._used(view, tile, region)
            stream = Stream(Source.INT8, tile.place(y, x), strides, used, operand.zero, float(operand.scale))
            operands.append(chain.stream(stream))
        for step in layer.steps:
            operand_code = operands[step.operand] if step.operand in (0, 1) else Operand(step.operand)
            chain.step(Step(step.step), operand_code, step.immediate)
        self._finish(chain, target, region, layer.output, channel, layer.result)

    @staticmethod
    def _origin(view: View, region: Region) -> tuple[int, int]:
        return (region.y0 if view.shape[1] > 1 else 0), (region.x0 if view.shape[2] > 1 else 0)

    @staticmethod
    def _used(view: View, tile: Tile, region: Region) -> Access:
        return tile.access(region.y0, region.y1) if view.shape[1] > 1 else tile.access(0, 1)

    def broadcast_tile(
        self,
        number: int,
        view: View,
        region: Region,
        channel: int,
        channels: int,
        cache: dict[int, tuple[Region, int, Tile]],
    ) -> Tile:
        """The part of an operand under a tile, which repeats where its view has length 1; loaded once."""
        images, rows, columns, depth = view.shape
        wanted = Region(
            region.image if images > 1 else 0,
            *((region.y0, region.y1) if rows > 1 else (0, 1)),
            *((region.x0, region.x1) if columns > 1 else (0, 1)),
        )
        start = channel if depth > 1 else 0
        cached = cache.get(number)
        if cached is not None and cached[:2] == (wanted, start):
            return cached[2]
        part = view.channels(start, channels if depth > 1 else 1)
        tile = self.mover.source_tile(part, wanted)
        cache[number] = (wanted, start, tile)
        return tile
