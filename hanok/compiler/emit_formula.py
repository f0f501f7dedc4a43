"""Emit formulas: chains over tiles of rows, with the values between them in SRAM."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from hanok.compiler.chain import Chain, Stream, plain_window
from hanok.compiler.emit_vector import VectorEmitter, fit, load_table
from hanok.compiler.formula_layer import REAL_BYTES, FormulaLayer, Output, Tail
from hanok.compiler.packed_chains import Held, PackedChain
from hanok.compiler.pieces import pipelined
from hanok.compiler.schedule import Access, Buffer, Location
from hanok.compiler.tiles import Mover, Region, Tile
from hanok.compiler.view import Storage, View
from hanok.compiler.weight_loads import Constants
from hanok.errors import CompileError
from hanok.isa import Destination, Operand, Reduction, Source
from hanok.numerics.formula import FOLDS
from hanok.units import ceil_div


@dataclass(frozen=True)
class Place:
    """Where a value of the present tile lies: bytes a row, a pixel and an element of the inner loop."""

    location: Location
    access: Access
    row: int
    pixel: int
    inner: int
    kind: Source = Source.FLOAT32
    zero: int = 0
    scale: float = 1.0

    def dense(self, columns: int, inner: int) -> bool:
        """Whether rows and pixels follow one another without gaps."""
        size = 1 if self.kind is Source.INT8 else REAL_BYTES
        if inner > 1 and self.inner != size:
            return False
        return self.pixel == inner * size and self.row == columns * self.pixel


@dataclass(frozen=True)
class Extent:
    """Loops of the present tile: rows, columns, and elements of a row."""

    rows: int
    columns: int
    inner: int


class FormulaEmitter(VectorEmitter):
    """Emits formulas within a budget of SRAM banks."""

    def formula(self, layer: FormulaLayer) -> None:
        """Emit one formula layer."""
        self.begin(layer)
        views = [self.view(number) for number in range(len(layer.operands))]
        _, rows, columns, channels = layer.shape
        height, width, depth = self._tile_size(views)
        groups = ceil_div(rows * columns * channels, self.lanes) * len(self.chains)
        height = pipelined(self.mover.chip, rows, height, groups, (*views, layer.output))
        cache: dict[int, tuple[Region, int, Tile]] = {}
        for region, channel, count in self.tiles_of(layer.shape, (height, width, depth)):
            tiles = [
                self.broadcast_tile(number, view, region, channel, count, cache)
                for number, view in enumerate(views)
            ]
            self.tile(views, tiles, region, channel, count)

    def begin(self, layer: FormulaLayer) -> None:
        """Pack the formula's chains, and load its table if it has one alone."""
        self.layer, self.chains, self.rowwise = layer, layer.packed.chains, layer.packed.rowwise
        self.tables = {chain.table for chain in self.chains if chain.table >= 0}
        if len(self.tables) == 1:
            self._load_table(self.tables.pop())

    def _load_table(self, number: int) -> None:
        content = self.layer.formula.tables[number].astype("<f4").tobytes()
        load_table(self.mover, content, self.constants, self.layer.origin.name)

    def view(self, number: int) -> View:
        """The view of an operand; a constant's lies in the program's constants."""
        operand = self.layer.operands[number]
        if not operand.content:
            return operand.view
        name = operand.view.storage.name
        storage = Storage(name, len(operand.content), self.constants(operand.content))
        return replace(operand.view, storage=storage)

    # Size

    def _tile_size(self, views: list[View]) -> tuple[int, int, int]:
        """The largest tile that fits, with operands and result twice if possible, so that moving overlaps."""
        _, rows, columns, channels = self.layer.shape
        folds = any(line.action in FOLDS for line in self.layer.formula.lines)

        def needed(tile: tuple[int, ...], turns: int) -> int:
            height, width, depth = tile if len(tile) == 3 else (*tile, channels)
            moved = 0
            for view in (*views, self.layer.output):
                if not view.storage.resident:
                    sizes = [min(a, b) for a, b in zip((height, width, depth), view.shape[1:], strict=True)]
                    once = all(a == 1 for a in view.shape[:3])
                    size = self._banks(sizes[0] * sizes[1] * sizes[2] * view.element_bytes)
                    moved += size if once else turns * size
            full, row = (self._banks(REAL_BYTES * height * width * n) for n in (depth, 1))
            return moved + max(a * full + b * row for a, b in self.layer.packed.live) + int(bool(self.tables))

        sizes: tuple[int, ...] = (rows, columns) if folds else (rows, columns, channels)
        try:
            found = fit(self.layer.origin.name, sizes, self.banks, partial(needed, turns=2))
        except CompileError:
            found = fit(self.layer.origin.name, sizes, self.banks, partial(needed, turns=1))
        return (found[0], found[1], found[2] if len(found) == 3 else channels)

    # Chains

    def tile(self, views: list[View], tiles: list[Tile], region: Region, channel: int, channels: int) -> None:
        """Emit the chains of one tile, and store its result."""
        layer, output = self.layer, self.layer.output
        extent = Extent(region.y1 - region.y0, region.x1 - region.x0, channels)
        places: dict[int, Place] = {}
        for number, (view, tile) in enumerate(zip(views, tiles, strict=True)):
            operand = layer.operands[number]
            kind = Source.FLOAT32 if operand.real else Source.INT8
            place = self._operand_place(view, tile, region)
            places[number] = replace(place, kind=kind, zero=operand.zero, scale=float(operand.scale))
        first = channel if output.shape[3] > 1 else 0
        target = self.mover.target_tile(output, region, first, channels if output.shape[3] > 1 else 1)
        for chain in self.chains:
            if len(self.tables) > 1 and chain.table >= 0:
                self._load_table(chain.table)
            written = chain.result == layer.result
            place = self._result_place(target, region) if written else self._temporary(chain, extent)
            self._chain(chain, places, place, extent, written)
            places[chain.result] = place
        self.mover.store(output, region, target, first)

    def _operand_place(self, view: View, tile: Tile, region: Region) -> Place:
        y, x = self._origin(view, region)
        return Place(
            tile.place(y, x),
            self._used(view, tile, region),
            tile.row_pitch if view.shape[1] > 1 else 0,
            tile.pixel_pitch if view.shape[2] > 1 else 0,
            view.element_bytes if view.shape[3] > 1 else 0,
        )

    def _result_place(self, target: Tile, region: Region) -> Place:
        real = self.layer.output.element_bytes > 1
        return Place(
            target.place(region.y0, region.x0),
            target.access(region.y0, region.y1),
            target.row_pitch,
            target.pixel_pitch,
            target.element_bytes,
            Source.FLOAT32 if real else Source.INT8,
        )

    def _temporary(self, chain: PackedChain, extent: Extent) -> Place:
        inner = 1 if self.rowwise[chain.result] else extent.inner
        pixel = REAL_BYTES * inner
        buffer = Buffer(f"value {chain.result}", extent.rows * extent.columns * pixel)
        access = Access(buffer, 0, buffer.size_bytes)
        return Place(Location(buffer), access, extent.columns * pixel, pixel, REAL_BYTES if inner > 1 else 0)

    def _chain(
        self, packed: PackedChain, places: dict[int, Place], target: Place, extent: Extent, written: bool
    ) -> None:
        start = _read(packed.start, places)
        streams = [_read(held, places) for held in packed.streams]
        folds = packed.folded is not Reduction.NONE
        inner = 1 if packed.rowwise else extent.inner
        every = [start, *streams, target]
        outer = (1, extent.rows, extent.columns)
        flat = not folds and all(place.dense(extent.columns, inner) for place in every)
        if flat:
            inner, outer = inner * extent.rows * extent.columns, (1, 1, 1)

        def step_of(place: Place) -> int:
            size = 1 if place.kind is Source.INT8 else REAL_BYTES
            return size if flat else place.inner

        chain = Chain(
            outer,
            inner,
            start.kind,
            plain_window(outer[1], outer[2], start.row, start.pixel),
            start.location,
            source_access=start.access,
            zero=start.zero,
            scale=start.scale,
            stride_inner=step_of(start),
        )
        for place in streams:
            strides = (0, place.row, place.pixel, step_of(place))
            chain.stream(Stream(place.kind, place.location, strides, place.access, place.zero, place.scale))
        for step in packed.steps:
            chain.step(step.step, Operand(step.operand), step.immediate)
        if packed.bounds is not None:
            chain.rounding = Output(0, *packed.bounds)
        if folds:
            chain.reduction, chain.reduce_inner = packed.folded, True
        out = step_of(target) if not folds else 0
        kind = Destination.INT32 if packed.to_bits else Destination.FLOAT32
        if written and target.kind is Source.INT8:
            kind = Destination.INT8
        operation = chain.operation(
            target.location,
            (0, target.row, target.pixel, out),
            target.access,
            self.mover.layer,
            self.layer.rounding,
            kind,
        )
        self.mover.schedule.append(operation)


class TailEmitter:
    """Emits a matrix layer's formula on each of its tiles."""

    def __init__(self, mover: Mover, tail: Tail, constants: Constants) -> None:
        self.tail = tail
        self.emitter = FormulaEmitter(mover, 0, constants)
        self.emitter.begin(tail.layer)
        self._views = [self.emitter.view(number) for number in range(len(tail.layer.operands))]
        self._cache: dict[int, tuple[Region, int, Tile]] = {}

    def finish(self, sums: Tile, region: Region, channel: int, channels: int) -> None:
        """Make the formula of a tile of sums, and store the result."""
        tiles = [
            sums
            if number == self.tail.hole
            else self.emitter.broadcast_tile(number, view, region, channel, channels, self._cache)
            for number, view in enumerate(self._views)
        ]
        self.emitter.tile(self._views, tiles, region, channel, channels)


def _read(held: Held, places: dict[int, Place]) -> Place:
    place = places[held.number]
    return replace(place, kind=Source.INT32) if held.as_bits else place
