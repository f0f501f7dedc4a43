"""Tiles: rectangles of activations in SRAM, and the DMA instructions that bring and take them."""

from __future__ import annotations

from dataclasses import dataclass

from hanok.compiler.schedule import Access, Buffer, DramAccess, Location, Operation, Schedule
from hanok.compiler.view import Storage, View
from hanok.errors import CompileError
from hanok.isa import Opcode
from hanok.isa.table import FLAG_KEEP_CODE
from hanok.machine import Chip

MAX_STRIDE = (1 << 31) - 1


@dataclass(frozen=True)
class Tile:
    """Rows [row, row + rows) and columns [column, column + columns) of one image of a view, in SRAM."""

    location: Location
    row: int
    column: int
    rows: int
    columns: int
    channels: int
    row_pitch: int
    pixel_pitch: int
    element_bytes: int = 1

    def place(self, y: int, x: int, channel: int = 0) -> Location:
        """Where channel `channel` of image position (y, x) lies."""
        return self.location.plus(
            (y - self.row) * self.row_pitch
            + (x - self.column) * self.pixel_pitch
            + channel * self.element_bytes
        )

    def access(self, y_low: int, y_high: int) -> Access:
        """The bytes of rows [y_low, y_high), from the first pixel to the end of the last."""
        low = self.location.offset + (y_low - self.row) * self.row_pitch
        high = (
            self.location.offset
            + (y_high - 1 - self.row) * self.row_pitch
            + (self.columns - 1) * self.pixel_pitch
            + self.channels * self.element_bytes
        )
        return Access(self.location.buffer, low, high)


@dataclass(frozen=True)
class Region:
    """A rectangle of one image: rows [y0, y1), columns [x0, x1)."""

    image: int
    y0: int
    y1: int
    x0: int
    x1: int


class Mover:
    """Emits loads and stores, and knows where resident storages lie in SRAM."""

    def __init__(self, chip: Chip, schedule: Schedule) -> None:
        self.chip = chip
        self.schedule = schedule
        self.layer = 0
        self._resident: dict[Storage, Buffer] = {}

    def make_resident(self, storage: Storage) -> Buffer:
        """The SRAM buffer of a resident storage."""
        if storage not in self._resident:
            self._resident[storage] = Buffer(storage.name, storage.size_bytes, long_lived=True)
        return self._resident[storage]

    @property
    def resident_buffers(self) -> list[Buffer]:
        """The buffers of resident storages so far."""
        return list(self._resident.values())

    def resident_tile(self, view: View, image: int) -> Tile:
        """One whole image of a resident view."""
        _, height, width, channels = view.shape
        buffer = self.make_resident(view.storage)
        place = Location(buffer, view.position(image, 0, 0))
        return Tile(
            place, 0, 0, height, width, channels, view.row_pitch, view.pixel_pitch, view.element_bytes
        )

    def empty_tile(self, name: str, region: Region, channels: int, element_bytes: int = 1) -> Tile:
        """A fresh dense tile for `region`."""
        rows, columns = region.y1 - region.y0, region.x1 - region.x0
        pitch = channels * element_bytes
        buffer = Buffer(name, rows * columns * pitch)
        place = Location(buffer)
        return Tile(
            place, region.y0, region.x0, rows, columns, channels, columns * pitch, pitch, element_bytes
        )

    def source_tile(self, view: View, region: Region) -> Tile:
        """The region in SRAM: where it is if resident, otherwise loaded into a fresh tile."""
        if view.storage.resident:
            return self.resident_tile(view, region.image)
        tile = self.empty_tile(view.storage.name, region, view.shape[3], view.element_bytes)
        self._move(Opcode.LOAD, view, region, tile, 0)
        return tile

    def target_tile(self, view: View, region: Region, channel: int = 0, channels: int | None = None) -> Tile:
        """Where the region's results go: the resident storage, or a fresh tile of `channels` channels."""
        if view.storage.resident:
            whole = self.resident_tile(view.channels(channel, channels or view.shape[3]), region.image)
            return whole
        return self.empty_tile(view.storage.name, region, channels or view.shape[3], view.element_bytes)

    def store(self, view: View, region: Region, tile: Tile, channel: int = 0) -> None:
        """Take a finished tile (from channel `channel` of the view) to DRAM if the storage lives there."""
        if view.storage.dram_address >= 0:
            self._move(Opcode.STORE, view.channels(channel, tile.channels), region, tile, 0)

    def load_bytes(self, buffer: Buffer, offset: int, dram_address: int, size_bytes: int) -> None:
        """Load `size_bytes` contiguous bytes."""
        values = {"run_bytes": size_bytes, "dram_address": dram_address}
        self._append(
            Opcode.LOAD,
            values | {"count_1": 1, "count_2": 1, "count_3": 1},
            Location(buffer, offset),
            Access(buffer, offset, offset + size_bytes),
            DramAccess(dram_address, dram_address + size_bytes, False),
        )

    def expand_bytes(
        self, buffer: Buffer, dram_address: int, packed_bytes: int, decoded_bytes: int, keep_code: bool
    ) -> None:
        """Load `decoded_bytes` contiguous bytes from a packed stream."""
        values = {
            "flags": FLAG_KEEP_CODE if keep_code else 0,
            "run_bytes": decoded_bytes,
            "packed_bytes": packed_bytes,
            "dram_address": dram_address,
        }
        self._append(
            Opcode.EXPAND,
            values | {"count_1": 1, "count_2": 1, "count_3": 1},
            Location(buffer),
            Access(buffer, 0, decoded_bytes),
            DramAccess(dram_address, dram_address + packed_bytes, False),
        )

    def unpack_bytes(
        self,
        buffer: Buffer,
        offset: int,
        dram_address: int,
        packed_bytes: int,
        size_bytes: int,
        group_rows: int,
    ) -> None:
        """Load `size_bytes` contiguous weights from a stream of nibbles (`hanok.numerics.nibbles`)."""
        values = {
            "run_bytes": size_bytes,
            "packed_bytes": packed_bytes,
            "dram_address": dram_address,
            "group_rows": group_rows,
        }
        self._append(
            Opcode.UNPACK,
            values | {"count_1": 1, "count_2": 1, "count_3": 1},
            Location(buffer, offset),
            Access(buffer, offset, offset + size_bytes),
            DramAccess(dram_address, dram_address + packed_bytes, False),
        )

    def fill(self, location: Location, size_bytes: int, value: int) -> None:
        """Fill contiguous bytes."""
        values = {"run_bytes": size_bytes, "count_1": 1, "count_2": 1, "count_3": 1, "value": value}
        access = Access(location.buffer, location.offset, location.offset + size_bytes)
        self._append(Opcode.FILL, values, location, access, None)

    def _move(self, opcode: Opcode, view: View, region: Region, tile: Tile, image_offset: int) -> None:
        rows, columns, channels = region.y1 - region.y0, region.x1 - region.x0, tile.channels
        place = tile.place(region.y0, region.x0)
        start = view.storage.dram_address + view.position(region.image, region.y0, region.x0) + image_offset
        loops = merge_loops(
            [
                (rows, view.row_pitch, tile.row_pitch),
                (columns, view.pixel_pitch, tile.pixel_pitch),
                (channels * tile.element_bytes, 1, 1),
            ]
        )
        self.strided(opcode, loops, start, place)

    def strided(
        self, opcode: Opcode, loops: list[tuple[int, int, int]], dram_start: int, place: Location
    ) -> None:
        """Emit one DMA over loops (count, DRAM stride, SRAM stride), outermost first, the last a run."""
        run, outer = loops[-1], loops[:-1]
        if (run[1], run[2]) != (1, 1):
            run, outer = (1, 1, 1), loops
        if len(outer) > 3:
            raise CompileError(f"a transfer needs {len(outer)} loops; the DMA has 3")
        values: dict[str, int] = {"run_bytes": run[0], "dram_address": dram_start}
        dram_low = dram_high = sram_low = sram_high = 0
        padded = [(1, 0, 0)] * (3 - len(outer)) + outer
        for level, (count, dram_stride, sram_stride) in zip((3, 2, 1), padded, strict=True):
            if max(abs(dram_stride), abs(sram_stride)) > MAX_STRIDE:
                raise CompileError(f"a stride of {dram_stride} bytes is beyond the DMA's 32 bits")
            values[f"count_{level}"] = count
            if count > 1:
                values[f"dram_stride_{level}"], values[f"sram_stride_{level}"] = dram_stride, sram_stride
                dram_low += min(0, (count - 1) * dram_stride)
                dram_high += max(0, (count - 1) * dram_stride)
                sram_low += min(0, (count - 1) * sram_stride)
                sram_high += max(0, (count - 1) * sram_stride)
        access = Access(place.buffer, place.offset + sram_low, place.offset + sram_high + run[0])
        dram = DramAccess(dram_start + dram_low, dram_start + dram_high + run[0], opcode is Opcode.STORE)
        self._append(opcode, values, place, access, dram)

    def _append(
        self, opcode: Opcode, values: dict[str, int], place: Location, access: Access, dram: DramAccess | None
    ) -> None:
        self.schedule.append(Operation(opcode, values, {"sram_address": place}, (access,), self.layer, dram))


def merge_loops(loops: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Drop loops of one and merge neighbours that are contiguous on both sides; outermost first."""
    merged: list[tuple[int, int, int]] = []
    for count, first, second in loops:
        if count == 1 and (first, second) != (1, 1):
            continue
        if merged:
            outer_count, outer_first, outer_second = merged[-1]
            if outer_first == count * first and outer_second == count * second:
                merged[-1] = (outer_count * count, first, second)
                continue
        merged.append((count, first, second))
    return merged or [(1, 1, 1)]
