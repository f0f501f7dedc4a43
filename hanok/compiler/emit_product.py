"""Emit products of two activations: weights loaded from memory, zero points made up for by exact sums.

The sum of (a - za) (b - zb) over K is the sum of a b, less za times the sum of b, less zb times the sum of a,
plus K za zb. The second part is a bias of each column, made by a product with one row of equal numbers; the
third one is added by a product with columns of equal numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from hanok.compiler.chain import Chain, plain_window
from hanok.compiler.cuts import cut_fixed
from hanok.compiler.layers import ProductLayer
from hanok.compiler.schedule import Access, Buffer, Location, Operation
from hanok.compiler.tiles import Mover, Region, Tile
from hanok.compiler.view import View
from hanok.errors import CompileError
from hanok.isa import Destination, Opcode, Operand, Source, Step
from hanok.isa.table import FLAG_ACCUMULATE, FLAG_BIAS, FLAG_COLUMNS
from hanok.units import ceil_div

EXACT_SUM = 1 << 24
"""float32 holds every integer up to here."""
_LARGEST_TERM = 128 * 256
"""Of a zero point times a number less the other zero point."""


@dataclass(frozen=True)
class Pieces:
    """How one product is cut: rows of the left operand in a tile, columns of the right one."""

    rows: int
    columns: int


@dataclass(frozen=True)
class Weights:
    """Loaded columns: where they lie, and their biases."""

    buffer: Buffer
    columns: int
    bias: Buffer | None


class ProductEmitter:
    """Emits one batch of products within a budget of SRAM banks."""

    def __init__(self, mover: Mover, layer: ProductLayer, banks: int) -> None:
        self.mover, self.layer, self.banks = mover, layer, banks
        self.core = mover.chip.core
        self.width = self.core.matrix.columns
        self._equal: dict[bool, Buffer] = {}

    def emit(self) -> None:
        """Emit the instructions of every batch."""
        layer, pieces = self.layer, self._pieces()
        rows = layer.left.shape[1]
        for left, right, out in layer.batches:
            sources: dict[int, Tile] = {}
            for c0, c1 in cut_fixed(layer.columns, pieces.columns):
                weights = self._load(_moved(layer.right, right), c0, c1)
                for y0, y1 in cut_fixed(rows, pieces.rows):
                    region = Region(0, y0, y1, 0, 1)
                    whole = pieces.rows >= rows
                    tile = sources.get(y0) if whole else None
                    if tile is None:
                        tile = sources[y0] = self.mover.source_tile(_moved(layer.left, left), region)
                    view = _moved(layer.output, out)
                    target = self.mover.target_tile(view, region, c0, c1 - c0)
                    self._multiply(tile, region, weights, target)
                    self.mover.store(view, region, target, c0)

    def _pieces(self) -> Pieces:
        """The largest pieces that fit: twice in SRAM, so that moving and work overlap, or once."""
        for turns in (2, 1):
            found = self._largest(turns)
            if found is not None:
                return found
        raise CompileError(
            f"'{self.layer.origin.name}': a row times {self.width} columns of {self.layer.depth} bytes "
            f"does not fit {self.banks} SRAM banks"
        )

    def _largest(self, turns: int) -> Pieces | None:
        """Pieces that fit `turns` times: columns first, since all rows share their weights."""
        layer, bank = self.layer, self.core.sram.bank_bytes
        size = layer.output.element_bytes
        columns, rows = layer.columns, layer.left.shape[1]

        def needed(rows: int, columns: int) -> int:
            left = 0 if layer.left.storage.resident else ceil_div(rows * layer.depth, bank)
            made = 0 if layer.output.storage.resident else ceil_div(rows * columns * size, bank)
            padded = ceil_div(columns, self.width) * self.width
            right = ceil_div(columns * layer.depth, bank)
            bias = ceil_div(4 * padded, bank) if self._has_bias else 0
            return turns * (left + made + right + bias) + numbers

        numbers = sum(ceil_div(len(_parts(-zero)) * layer.depth, bank) for zero in layer.zeros if zero)
        least = min(rows, self.core.matrix.rows)
        while needed(least, columns) > self.banks and columns > self.width:
            columns = ceil_div(ceil_div(columns, 2), self.width) * self.width
        while needed(rows, columns) > self.banks and rows > 1:
            rows = ceil_div(rows, 2)
        return Pieces(rows, columns) if needed(rows, columns) <= self.banks else None

    # The right operand

    def _load(self, view: View, first: int, last: int) -> Weights:
        """Bring columns [first, last) to SRAM as tiles want them, and make their biases."""
        depth, count = self.layer.depth, last - first
        buffer = Buffer(f"{view.storage.name} columns", count * depth)
        start = view.storage.dram_address + view.offset
        if self.layer.by_column:
            loops = [(count, view.row_pitch, depth), (depth, 1, 1)]
            self.mover.strided(Opcode.LOAD, loops, start + first * view.row_pitch, Location(buffer))
        else:
            self._load_blocks(view, start + first, count, buffer)
        weights = Weights(buffer, count, None)
        if self._has_bias:
            weights = replace(weights, bias=self._biases(weights))
        return weights

    def _load_blocks(self, view: View, start: int, count: int, buffer: Buffer) -> None:
        """Rows [K][columns] become blocks of array columns, each [K][columns of the block]."""
        depth, width = self.layer.depth, self.width
        whole, rest = divmod(count, width)
        if whole:
            loops = [(whole, width, depth * width), (depth, view.row_pitch, width), (width, 1, 1)]
            self.mover.strided(Opcode.LOAD, loops, start, Location(buffer))
        if rest:
            loops = [(depth, view.row_pitch, rest), (rest, 1, 1)]
            place = Location(buffer, whole * depth * width)
            self.mover.strided(Opcode.LOAD, loops, start + whole * width, place)

    @property
    def _has_bias(self) -> bool:
        return self.layer.zeros[0] != 0 and self.layer.depth * _LARGEST_TERM < EXACT_SUM

    def _biases(self, weights: Weights) -> Buffer:
        """int32 of each column: -za times its sum, plus K za zb."""
        zero, other = self.layer.zeros
        blocks = ceil_div(weights.columns, self.width)
        bias = Buffer("biases", 4 * blocks * self.width)
        constant = float(self.layer.depth * zero * other)
        limit = self.core.matrix.accumulator_rows
        for first, last in cut_fixed(blocks, limit):
            row, bank = self._accumulators()
            for number, value in enumerate(_parts(-zero)):
                flags = FLAG_ACCUMULATE if number else 0
                self._conv(self._numbers(value, False), 1, 0, weights, (first, last), flags, row, bank)
            chain = Chain(
                (1, 1, last - first),
                self.width,
                Source.ACCUMULATOR,
                plain_window(1, last - first, 0, self.width),
                None,
                row * self.width,
            )
            if constant:
                chain.step(Step.ADD, Operand.IMMEDIATE, constant)
            low, high = 4 * first * self.width, 4 * last * self.width
            self.mover.schedule.append(
                chain.operation(
                    Location(bias, low),
                    (0, 0, 4 * self.width, 4),
                    Access(bias, low, high),
                    self.mover.layer,
                    kind=Destination.INT32,
                    accumulator_bank=bank,
                )
            )
        return bias

    def _numbers(self, value: int, as_weights: bool) -> Location:
        """K equal bytes; those that are weights lie apart, since weights are read ahead of activations."""
        depth, numbers = self.layer.depth, _parts(-self.layer.zeros[as_weights])
        if as_weights not in self._equal:
            self._equal[as_weights] = buffer = Buffer("equal numbers", len(numbers) * depth)
            for place, wanted in enumerate(numbers):
                self.mover.fill(Location(buffer, place * depth), depth, wanted)
        return Location(self._equal[as_weights], numbers.index(value) * depth)

    def _accumulators(self) -> tuple[int, int]:
        bank = self.mover.schedule.next_accumulator_bank()
        return bank * self.core.matrix.accumulator_rows, bank

    # Products

    def _multiply(self, tile: Tile, region: Region, weights: Weights, target: Tile) -> None:
        blocks = ceil_div(weights.columns, self.width)
        limit = self.core.matrix.accumulator_rows
        rows = region.y1 - region.y0
        high = min(rows, limit)
        most = max(1, limit // high)
        for y0, y1 in cut_fixed(rows, high):
            for first, last in cut_fixed(blocks, most):
                self._piece(tile, (region.y0 + y0, region.y0 + y1), weights, (first, last), target)

    def _piece(
        self,
        tile: Tile,
        rows: tuple[int, int],
        weights: Weights,
        blocks: tuple[int, int],
        target: Tile,
    ) -> None:
        row, bank = self._accumulators()
        place = tile.place(rows[0], 0)
        zero, other = self.layer.zeros
        count = rows[1] - rows[0]
        flags = FLAG_BIAS if weights.bias is not None else 0
        self._conv(place, count, tile.row_pitch, weights, blocks, flags, row, bank)
        rows_of: list[tuple[Location, int]] = [(place, tile.row_pitch)]
        if zero and weights.bias is None:
            rows_of += [(self._numbers(value, False), 0) for value in _parts(-zero)]
            for numbers, pitch in rows_of[1:]:
                self._conv(numbers, count, pitch, weights, blocks, FLAG_ACCUMULATE, row, bank)
        if other:
            for value in _parts(-other):
                columns = self._numbers(value, True)
                for source, pitch in rows_of:
                    self._conv(source, count, pitch, weights, blocks, FLAG_ACCUMULATE, row, bank, columns)
        self._write(rows, weights.columns, blocks, target, row, bank)

    def _conv(
        self,
        place: Location,
        rows: int,
        row_pitch: int,
        weights: Weights,
        blocks: tuple[int, int],
        flags: int,
        row: int,
        bank: int,
        numbers: Location | None = None,
    ) -> None:
        """One CONV of `rows` rows of K bytes; with `numbers` these K bytes are every column's weights."""
        depth, width = self.layer.depth, self.width
        last = min(blocks[1] * width, weights.columns) - (blocks[1] - 1) * width
        used = (blocks[1] - blocks[0] - 1) * width + last
        columns = self.layer.by_column or numbers is not None
        weight_place = numbers or Location(weights.buffer, blocks[0] * width * depth)
        size = used * depth if numbers is None else depth
        span = (rows - 1) * row_pitch + depth
        accesses = [
            Access(place.buffer, place.offset, place.offset + span),
            Access(weight_place.buffer, weight_place.offset, weight_place.offset + size),
        ]
        places = {"activation_address": place, "weight_address": weight_place}
        if flags & FLAG_BIAS:
            assert weights.bias is not None, "a bias that was made"
            bias = Location(weights.bias, 4 * blocks[0] * width)
            places["bias_address"] = bias
            accesses.append(Access(bias.buffer, bias.offset, bias.offset + 4 * used))
        values = {
            "flags": flags | (FLAG_COLUMNS if columns else 0),
            "row_pitch": row_pitch,
            "y_stride": 1,
            "y_limit": rows,
            "x_limit": depth,
            "out_height": rows,
            "out_width": 1,
            "taps_y": 1,
            "taps_x": 1,
            "tap_bytes": depth,
            "blocks": blocks[1] - blocks[0],
            "last_columns": last,
            "weight_pitch": depth if self.layer.by_column and numbers is None else 0,
            "accumulator_row": row,
        }
        operation = Operation(
            Opcode.CONV, values, places, tuple(accesses), self.mover.layer, accumulator_bank=bank
        )
        self.mover.schedule.append(operation)

    def _write(
        self,
        rows: tuple[int, int],
        columns: int,
        blocks: tuple[int, int],
        target: Tile,
        row: int,
        bank: int,
    ) -> None:
        """Scale the sums to the result, whole blocks and the last narrower one apart."""
        width, count = self.width, rows[1] - rows[0]
        whole = min(blocks[1], columns // width) - blocks[0]
        groups = [(blocks[0], whole, width)] if whole > 0 else []
        if whole < blocks[1] - blocks[0]:
            groups.append((blocks[1] - 1, 1, columns - (blocks[1] - 1) * width))
        size = target.element_bytes
        for first, many, inner in groups:
            start = (row + (first - blocks[0]) * count) * width
            chain = Chain(
                (many, count, 1),
                inner,
                Source.ACCUMULATOR,
                plain_window(count, 1, width, 0),
                None,
                start,
                stride_2=count * width,
            )
            chain.step(Step.MUL, Operand.IMMEDIATE, float(self.layer.scale))
            self.mover.schedule.append(
                chain.operation(
                    target.place(rows[0], 0, first * width),
                    (width * size, target.row_pitch, 0, size),
                    target.access(rows[0], rows[1]),
                    self.mover.layer,
                    self.layer.result,
                    Destination.INT8 if size == 1 else Destination.FLOAT32,
                    accumulator_bank=bank,
                )
            )


def _parts(value: int) -> list[int]:
    """int8 numbers that add up to -za, which may be 128."""
    return [value] if value <= 127 else [127, value - 127]


def _moved(view: View, count_bytes: int) -> View:
    """The matrix that lies `count_bytes` further on."""
    _, rows, columns, channels = view.shape
    return replace(view, shape=(1, rows, columns, channels), offset=view.offset + count_bytes)
