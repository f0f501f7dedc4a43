"""Choose tiles, weight chunks and array mapping of a matrix layer by the machine's own closed formulas."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hanok.compiler.columns import Columns
from hanok.compiler.emit_matrix import (
    Chunk,
    MatrixPlan,
    chunks_of,
    cut,
    cut_fixed,
    grid_shape,
    source_columns,
    source_rows,
    sub_tile,
)
from hanok.compiler.layers import MatrixLayer
from hanok.errors import CompileError
from hanok.isa.table import STEP_SLOTS, Step
from hanok.isa.timing import chain_cycles, depthwise_stream_cycles, preload_cycles
from hanok.machine import Chip
from hanok.units import ceil_div

INSTRUCTION_BYTES = 64
"""Bytes of a matrix instruction and its chain in the packed stream, roughly."""
DISPATCH_CYCLES = 2
TABLE_BYTES = 1024

Numbers = npt.NDArray[np.float64]
Costs = tuple[int, int, int]


@dataclass(frozen=True)
class Budget:
    """What a layer may use: free SRAM banks, and DRAM bytes a core cycle."""

    banks: int
    bytes_per_cycle: float


@dataclass(frozen=True)
class Placement:
    """Which operands of a layer stay in SRAM, and whether its output also goes to DRAM."""

    source_resident: bool
    output_resident: bool
    output_stored: bool
    residual_resident: bool

    @classmethod
    def of(cls, layer: MatrixLayer) -> Placement:
        """The placement as the storages say now."""
        residual, output = layer.epilogue.residual, layer.output.storage
        return cls(
            layer.source.storage.resident,
            output.resident,
            output.dram_address >= 0 or not output.resident,
            residual is None or residual.view.storage.resident,
        )


class PlanTable:
    """Every plan worth trying for one layer, with what each costs; shared by layers of one shape."""

    _COLUMNS = (
        "weight_banks",
        "source_banks",
        "output_banks",
        "weight_traffic",
        "source_traffic",
        "first_weights",
        "first_source",
        "last_output",
        "matrix",
        "vector",
        "operations",
    )

    def __init__(self, layer: MatrixLayer, chip: Chip) -> None:
        self.layer, self.chip = layer, chip
        self._tiles: dict[tuple[int, bool, int, int, int, int], Costs] = {}
        self._sources: dict[tuple[int, int], int] = {}
        self._chunks: dict[tuple[int, bool, int], list[tuple[int, Chunk]]] = {}
        self.plans = [plan for columns in column_options(layer, chip) for plan in self._plans(columns)]
        rows = np.array([self._figures(plan) for plan in self.plans], np.float64)
        self._figure = dict(zip(self._COLUMNS, rows.T, strict=True))

    def banks(self, placement: Placement) -> Numbers:
        """SRAM banks that each plan needs under a placement."""
        figure = self._figure
        banks = figure["weight_banks"].copy()
        if not placement.source_resident:
            banks += figure["source_banks"]
        banks += figure["output_banks"] * (int(not placement.output_resident) + int(not placement.residual_resident))
        return banks

    def cycles(self, placement: Placement, bytes_per_cycle: float) -> Numbers:
        """Estimated cycles of each plan under a placement."""
        figure, output = self._figure, float(self.layer.output.bytes)
        traffic = figure["weight_traffic"] + figure["operations"] * INSTRUCTION_BYTES
        first = figure["first_weights"]
        if not placement.source_resident:
            traffic = traffic + figure["source_traffic"]
            first = first + figure["first_source"]
        traffic = traffic + output * (int(placement.output_stored) + int(not placement.residual_resident))
        last = figure["last_output"] * int(placement.output_stored) / bytes_per_cycle
        memory = traffic / bytes_per_cycle
        tail = figure["vector"] / np.maximum(1, figure["operations"])
        busy = np.maximum(np.maximum(figure["matrix"], figure["vector"]), memory)
        start = 0.5 * np.minimum(first / bytes_per_cycle, memory)
        total: Numbers = busy + start + last + tail + DISPATCH_CYCLES * figure["operations"]
        return total

    def best(self, placement: Placement, budget: Budget) -> tuple[float, int] | None:
        """Estimated cycles and index of the cheapest plan that fits, or None."""
        banks = self.banks(placement)
        cycles = np.where(banks <= budget.banks, self.cycles(placement, budget.bytes_per_cycle), np.inf)
        index = int(np.lexsort((banks, cycles))[0]) if len(cycles) else 0
        return (float(cycles[index]), index) if len(cycles) and np.isfinite(cycles[index]) else None

    # What is tried

    def _plans(self, columns: Columns) -> Iterator[MatrixPlan]:
        rows, width = grid_shape(self.layer)
        most_blocks = max(columns.blocks(job) for job in columns.jobs)
        many = len(columns.jobs) > 1 or most_blocks > 1
        for tile_width in self._widths(columns, width):
            for tile_height in _sizes(rows):
                for chunk_blocks in _sizes(most_blocks):
                    for chunks_outer in (False, True) if many else (False,):
                        yield MatrixPlan(tile_height, tile_width, chunk_blocks, chunks_outer, columns)
                for parts in self._part_counts(columns):
                    yield MatrixPlan(tile_height, tile_width, 1, True, columns, parts)

    def _widths(self, columns: Columns, width: int) -> list[int]:
        """The full width, and narrower tiles while one row of them would take an eighth of the SRAM."""
        widths = [width]
        limit = self.chip.core.sram.total_bytes // 8
        step = self.layer.phases[0].step
        depth = step[0] * step[1] * self.layer.output.shape[3]
        while widths[-1] > columns.pixels:
            size = max(self._tile_bytes(1, widths[-1]), widths[-1] * depth)
            narrower = ceil_div(widths[-1], 2 * columns.pixels) * columns.pixels
            if size <= limit or narrower == widths[-1]:
                break
            widths.append(narrower)
        return widths

    def _part_counts(self, columns: Columns) -> list[int]:
        """Cuts of K worth trying where two weight chunks of one block would take over a tenth of the SRAM."""
        chunk = max(self._chunk_bytes(columns, chunk, 1) for _, chunk in self._classes(columns, 1))
        if 2 * chunk <= self.chip.core.sram.total_bytes // 10:
            return []
        counts = [2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512]
        fitting = [count for count in counts if 2 * chunk // count <= self.chip.core.sram.total_bytes // 2]
        return fitting[:6]

    # What each costs

    def _figures(self, plan: MatrixPlan) -> tuple[float, ...]:
        layer, columns, bank = self.layer, plan.columns, self.chip.core.sram.bank_bytes
        rows, width = grid_shape(layer)
        classes = self._classes(columns, plan.chunk_blocks)
        chunks = sum(count for count, _ in classes)
        tiles = layer.output.shape[0] * ceil_div(rows, plan.tile_height) * ceil_div(width, plan.tile_width)
        part_bytes = max(self._chunk_bytes(columns, chunk, plan.parts) for _, chunk in classes)
        source_bytes = self._tile_bytes(plan.tile_height, plan.tile_width)
        channels, step = layer.output.shape[3], layer.phases[0].step
        kept = max(chunk.channels for _, chunk in classes) if plan.chunks_outer else channels
        output_bytes = plan.tile_height * step[0] * plan.tile_width * step[1] * kept
        stores = 2 if tiles * (chunks if plan.chunks_outer else 1) > 1 else 1
        copies = 1 if chunks == 1 and plan.parts == 1 else 2
        parameters = ceil_div(channels * 4 * columns.pixels + TABLE_BYTES, bank)
        weights = sum(count * self._chunk_bytes(columns, chunk, 1) for count, chunk in classes)
        matrix, vector, operations = self._compute(plan, classes)
        return (
            copies * ceil_div(part_bytes, bank) + parameters,
            (2 if tiles > 1 else 1) * ceil_div(source_bytes, bank),
            stores * ceil_div(output_bytes, bank),
            weights * self._weight_loads(plan, tiles, chunks),
            source_bytes * tiles * (chunks if plan.chunks_outer and tiles > 1 else 1),
            part_bytes,
            source_bytes,
            output_bytes,
            matrix,
            vector,
            operations,
        )

    def _weight_loads(self, plan: MatrixPlan, tiles: int, chunks: int) -> int:
        """How often every weight is loaded."""
        if plan.parts > 1:
            limit = self.chip.core.matrix.accumulator_rows
            pixels = plan.columns.pixels
            high, wide, _ = sub_tile(limit, plan.tile_height, plan.tile_width // pixels, 1)
            return tiles * ceil_div(plan.tile_height, high) * ceil_div(plan.tile_width // pixels, wide)
        return tiles if chunks > 1 and not plan.chunks_outer else 1

    def _classes(self, columns: Columns, chunk_blocks: int) -> list[tuple[int, Chunk]]:
        """Chunks of one size and shape, counted, with one of them."""
        key = (columns.pixels, columns.dense, chunk_blocks)
        if key not in self._chunks:
            found: dict[tuple[int, int, int], tuple[int, Chunk]] = {}
            for chunk in chunks_of(columns, chunk_blocks):
                kind = (chunk.last - chunk.first, chunk.channels, chunk.job.width)
                found[kind] = (found.get(kind, (0, chunk))[0] + 1, chunk)
            self._chunks[key] = list(found.values())
        return self._chunks[key]

    def _tile_bytes(self, height: int, width: int) -> int:
        """Bytes of the largest input tile of `height` x `width` grid positions."""
        key = (height, width)
        if key not in self._sources:
            rows, columns = grid_shape(self.layer)
            y = max(_length(source_rows(self.layer, at, at + height)) for at in {0, min(height, rows - height)})
            x = max(_length(source_columns(self.layer, at, at + width)) for at in {0, min(width, columns - width)})
            self._sources[key] = y * x * self.layer.source.shape[3]
        return self._sources[key]

    def _chunk_bytes(self, columns: Columns, chunk: Chunk, parts: int) -> int:
        """Bytes of the largest part of a chunk, biases included."""
        weights = 0
        for phase in self.layer.phases:
            shares = columns.parts(chunk.job, phase, parts) if parts > 1 else [None]
            sizes = [columns.weight_bytes(chunk.job, phase, chunk.first, chunk.last, share) for share in shares]
            weights += max(sizes) * len(phase.weights)
        return weights + 4 * chunk.channels * columns.pixels * len(self.layer.phases) + 3

    def _compute(self, plan: MatrixPlan, classes: list[tuple[int, Chunk]]) -> Costs:
        """Matrix cycles, vector cycles and matrix instructions of the whole layer."""
        rows, width = grid_shape(self.layer)
        total = [0, 0, 0]
        for height, many_y in _histogram(cut_fixed(rows, plan.tile_height)).items():
            for wide, many_x in _histogram(cut_fixed(width, plan.tile_width)).items():
                for count, chunk in classes:
                    times = many_y * many_x * count * self.layer.output.shape[0]
                    for index, cost in enumerate(self._tile_cycles(plan.columns, chunk, height, wide)):
                        total[index] += times * cost
        return total[0], total[1], total[2] * plan.parts

    def _tile_cycles(self, columns: Columns, chunk: Chunk, height: int, width: int) -> Costs:
        key = (columns.pixels, columns.dense, chunk.last - chunk.first, chunk.channels, height, width)
        if key not in self._tiles:
            self._tiles[key] = _tile_cycles(self.layer, self.chip, columns, chunk, height, width)
        return self._tiles[key]


class Planner:
    """Plan tables of a compilation, one for each shape of layer."""

    def __init__(self, chip: Chip, bytes_per_cycle: float) -> None:
        self.chip, self.bytes_per_cycle = chip, bytes_per_cycle
        self._tables: dict[tuple[object, ...], PlanTable] = {}
        self._costs: dict[tuple[tuple[object, ...], Placement, int], float] = {}

    def table(self, layer: MatrixLayer) -> PlanTable:
        """The table of the layer's shape."""
        key = _shape_key(layer)
        if key not in self._tables:
            self._tables[key] = PlanTable(layer, self.chip)
        return self._tables[key]

    def cost(self, layer: MatrixLayer, placement: Placement, banks: int) -> float:
        """Estimated cycles of the best plan; infinite if none fits."""
        key = (_shape_key(layer), placement, banks)
        if key not in self._costs:
            best = self.table(layer).best(placement, Budget(banks, self.bytes_per_cycle))
            self._costs[key] = best[0] if best else float("inf")
        return self._costs[key]

    def plan(self, layer: MatrixLayer, banks: int) -> MatrixPlan:
        """The cheapest plan that fits; raises CompileError if none does."""
        table = self.table(layer)
        best = table.best(Placement.of(layer), Budget(banks, self.bytes_per_cycle))
        if best is None:
            raise CompileError(
                f"{layer.origin.onnx_type} '{layer.origin.name}': no tile fits {banks} free SRAM banks of "
                f"{self.chip.core.sram.bank_bytes} bytes; use a chip with more SRAM"
            )
        plan = table.plans[best[1]]
        columns = Columns(layer, self.chip.core.matrix, plan.columns.pixels, plan.columns.dense)
        return MatrixPlan(
            plan.tile_height, plan.tile_width, plan.chunk_blocks, plan.chunks_outer, columns, plan.parts
        )


def _shape_key(layer: MatrixLayer) -> tuple[object, ...]:
    """What two layers must share to share their plans."""
    phases = tuple(
        (p.weights[0].shape, len(p.weights), p.start, p.stride, p.dilation, p.origin, p.step) for p in layer.phases
    )
    contiguous = layer.source.pixel_pitch == layer.source.shape[3]
    return (
        *(layer.source.shape, layer.output.shape, contiguous, phases, layer.groups, layer.depthwise),
        *(epilogue_slots(layer), layer.epilogue.scale.size > 1),
    )


def column_options(layer: MatrixLayer, chip: Chip) -> list[Columns]:
    """Mappings of channels to array columns worth trying."""
    matrix = chip.core.matrix
    options = {(1, False): Columns(layer, matrix, 1, False)}
    if layer.depthwise:
        widest = max((p.taps[1] - 1) * p.dilation[1] + 1 for p in layer.phases)
        if widest > matrix.rows:
            options.clear()
        options[1, True] = Columns(layer, matrix, 1, True)
    if len(layer.phases) == 1:
        width = grid_shape(layer)[1]
        for pixels in range(2, min(width, matrix.columns // layer.output.shape[3]) + 1):
            candidate = Columns(layer, matrix, pixels, layer.depthwise)
            if width % pixels == 0 and candidate.merged_possible:
                options[pixels, layer.depthwise] = candidate
    return [options[key] for key in sorted(options)]


def _sizes(total: int) -> list[int]:
    """Sizes worth trying: what cuts `total` into 1, 2, 3, ... nearly equal pieces, thinned out."""
    pieces = [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 19, 24, 28, 32, 38, 48, 56, 64, 75, 96, 112, 150, 192, 256]
    return sorted({ceil_div(total, n) for n in [*pieces, total] if n <= total}, reverse=True)


def _length(span: tuple[int, int]) -> int:
    return span[1] - span[0]


def _histogram(pieces: list[tuple[int, int]]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for first, last in pieces:
        counts[last - first] = counts.get(last - first, 0) + 1
    return counts


def _tile_cycles(layer: MatrixLayer, chip: Chip, columns: Columns, chunk: Chunk, height: int, width: int) -> Costs:
    """Matrix cycles, vector cycles and instructions of one chunk on one tile."""
    core = chip.core
    slots = epilogue_slots(layer)
    blocks = chunk.last - chunk.first
    positions_wide = width // columns.pixels
    rows, wide, most = sub_tile(core.matrix.accumulator_rows, height, positions_wide, blocks)
    inner = min(core.matrix.columns, chunk.job.count * columns.pixels)
    pieces = [
        (high, broad, many_y * many_x)
        for high, many_y in _histogram(cut_fixed(height, rows)).items()
        for broad, many_x in _histogram(cut(positions_wide, wide)).items()
    ]
    matrix = vector = operations = 0
    for phase in layer.phases:
        preloads: dict[tuple[int, bool], int] = {}
        for number, rows_of_tile in enumerate(columns.preload_rows(chunk.job, phase)):
            kind = (rows_of_tile, number == 0)
            preloads[kind] = preloads.get(kind, 0) + 1
        for high, broad, times in pieces:
            stream = high * broad
            if columns.depthwise:
                stream = depthwise_stream_cycles(high, broad, phase.stride[1], phase.taps[1], phase.dilation[1], 1)
            cycles = sum(
                count * max(stream, preload_cycles(core.matrix, tile, first))
                for (tile, first), count in preloads.items()
            )
            matrix += times * blocks * len(phase.weights) * cycles
            groups = ceil_div(blocks, most)
            one = chain_cycles(core.vector, high * broad, 1, inner, True, slots, 0, False, False)
            vector += times * (blocks * (one - core.vector.pipeline_cycles) + groups * core.vector.pipeline_cycles)
            operations += times * groups * len(phase.weights)
    return matrix, vector, operations


def epilogue_slots(layer: MatrixLayer) -> int:
    """Pipeline slots of the layer's epilogue chain."""
    slots = STEP_SLOTS[Step.MUL]
    residual = layer.epilogue.residual
    if layer.epilogue.table is not None:
        slots += 2
    if residual is not None:
        slots += (0 if layer.epilogue.table is not None else 1) + (3 if residual.layer_is_first else 5)
    return slots
