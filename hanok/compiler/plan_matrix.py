"""Choose tiles, weight chunks and array mapping of a matrix layer by the machine's own closed formulas."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from hanok.compiler.columns import Columns, column_options, grid_shape
from hanok.compiler.cuts import cut_fixed
from hanok.compiler.layers import MatrixLayer
from hanok.compiler.matrix_plan import (
    Chunk,
    MatrixPlan,
    chunks_of,
    source_columns,
    source_rows,
    sub_tile,
)
from hanok.compiler.pack_weights import ZERO_RATIO, packing_of
from hanok.compiler.placement import Budget, Placement
from hanok.compiler.plan_key import shape_key
from hanok.compiler.tile_costs import Costs, histogram, tile_cycles
from hanok.dram import get_standard
from hanok.errors import CompileError
from hanok.machine import Chip
from hanok.units import align_up, ceil_div

INSTRUCTION_BYTES = 64
"""Bytes of a matrix instruction and its chain in the packed stream, roughly."""
LOAD_BYTES = 48
"""Bytes of a weight load's instruction, and of DRAM bursts and decoder lanes that are not full at its end."""
DISPATCH_CYCLES = 2
EXPOSED_START, HIDDEN_START = 0.5, 0.1
"""Share of the first loads' time that the layer before does not hide: array busiest, DRAM busiest."""
MOST_CANDIDATES = 4
CLOSE = 1.4
"""Plans up to this many times the cheapest one's estimate are worth measuring."""
TABLE_BYTES = 1024

_PIECES = (
    *(1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 19, 24, 28, 32, 38, 48, 56, 64),
    *(75, 96, 112, 150, 192, 256),
)
"""Numbers of tiles worth trying."""

Numbers = npt.NDArray[np.float64]


class PlanTable:
    """Every plan worth trying for one layer, with what each costs; shared by layers of one shape."""

    _COLUMNS = (
        "weight_banks",
        "waiting_weight_banks",
        "source_banks",
        "output_banks",
        "waiting_banks",
        "weight_traffic",
        "weight_zeros",
        "weight_loads",
        "source_traffic",
        "first_weights",
        "first_source",
        "last_output",
        "output_traffic",
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

    def banks(self, placement: Placement, *, waiting: bool = False) -> Numbers:
        """SRAM banks that each plan needs under a placement.

        `waiting`: with one place for weights, outputs and residuals each, where one waits for the one before.
        """
        figure = self._figure
        banks: Numbers = figure["waiting_weight_banks" if waiting else "weight_banks"].copy()
        if not placement.source_resident:
            banks += figure["source_banks"]
        banks += figure["waiting_banks" if waiting else "output_banks"] * (
            int(not placement.output_resident) + int(not placement.residual_resident)
        )
        return banks

    def _weight_bytes(self, budget: Budget) -> Numbers:
        """DRAM bytes of the weights, all loads together; more where the decoder takes longer than they do."""
        plain: Numbers = self._figure["weight_traffic"]
        zeros = self._figure["weight_zeros"]
        if budget.packed_ratio == 1.0:
            return plain
        if not budget.decoder_lanes:
            return plain * budget.packed_ratio
        packed = (plain - zeros) * budget.packed_ratio + zeros * ZERO_RATIO
        decoder = plain * budget.bytes_per_cycle / budget.decoder_lanes
        chosen: Numbers = np.minimum(plain, np.maximum(packed, decoder))
        return chosen

    def cycles(self, placement: Placement, budget: Budget) -> Numbers:
        """Estimated cycles of each plan under a placement."""
        figure = self._figure
        bytes_per_cycle, weights = budget.bytes_per_cycle, self._weight_bytes(budget)
        traffic = weights + figure["weight_loads"] * LOAD_BYTES + figure["operations"] * INSTRUCTION_BYTES
        first = figure["first_weights"] * weights / figure["weight_traffic"]
        if not placement.source_resident:
            traffic = traffic + figure["source_traffic"]
            first = first + figure["first_source"]
        traffic = traffic + figure["output_traffic"] * (
            int(placement.output_stored) + int(not placement.residual_resident)
        )
        last = figure["last_output"] * int(placement.output_stored) / bytes_per_cycle
        memory = traffic / bytes_per_cycle
        tail = figure["vector"] / np.maximum(1, figure["operations"])
        compute = np.maximum(figure["matrix"], figure["vector"])
        start = np.minimum(first / bytes_per_cycle, memory)
        piece = compute / np.maximum(1, figure["weight_loads"])
        busy = np.maximum(compute + EXPOSED_START * start, memory + piece + HIDDEN_START * start)
        total: Numbers = busy + last + tail + DISPATCH_CYCLES * figure["operations"]
        return total

    def best(self, placement: Placement, budget: Budget) -> tuple[float, int] | None:
        """Estimated cycles and index of the cheapest plan that fits, or None."""
        banks = self.banks(placement)
        cycles = np.where(banks <= budget.banks, self.cycles(placement, budget), np.inf)
        index = int(np.lexsort((banks, cycles))[0]) if len(cycles) else 0
        return (float(cycles[index]), index) if len(cycles) and np.isfinite(cycles[index]) else None

    def ranking(self, placement: Placement, budget: Budget) -> list[int]:
        """Indices of the best plans: the cheapest, and others of another kind or size that come close.

        Where no plan has places for two outputs and two pieces of weights, those that wait for one.
        """
        banks = self.banks(placement)
        if len(banks) and banks.min() > budget.banks:
            banks = self.banks(placement, waiting=True)
        cycles = np.where(banks <= budget.banks, self.cycles(placement, budget), np.inf)
        chosen: list[int] = []
        kinds: set[tuple[bool, bool, int, bool]] = set()
        for index in np.lexsort((banks, cycles)).tolist():
            if not np.isfinite(cycles[index]) or len(chosen) == MOST_CANDIDATES:
                break
            if chosen and cycles[index] > CLOSE * cycles[chosen[0]]:
                break
            plan = self.plans[index]
            kind = (plan.chunks_outer, plan.parts > 1, plan.columns.pixels, plan.columns.dense)
            if kind in kinds and len(chosen) >= 2:
                continue
            kinds.add(kind)
            chosen.append(index)
        return chosen

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
                    yield MatrixPlan(tile_height, tile_width, 1, False, columns, parts)

    def _widths(self, columns: Columns, width: int) -> list[int]:
        """The full width, and narrower tiles while one row of them would take an eighth of the SRAM."""
        widths = [width]
        limit = self.chip.core.sram.total_bytes // 8
        step = self.layer.phases[0].step
        depth = step[0] * step[1] * self.layer.output.shape[3] * self.layer.output.element_bytes
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
        kept = max(chunk.channels for _, chunk in classes) if plan.stores_chunks else channels
        output_bytes = plan.tile_height * step[0] * plan.tile_width * step[1] * kept
        output_bytes *= layer.output.element_bytes
        stores = 2 if tiles * (chunks if plan.stores_chunks else 1) > 1 else 1
        elements = output_bytes // layer.output.element_bytes
        tail_banks = [
            0 if layer.tail is None else layer.tail.banks(elements, places, bank) for places in (stores, 1)
        ]
        copies = 1 if chunks == 1 and plan.parts == 1 else 2
        parameters = ceil_div(channels * 4 * columns.pixels + TABLE_BYTES, bank)
        weights = sum(count * self._chunk_bytes(columns, chunk, 1) for count, chunk in classes)
        dense = columns.pixels * sum(w.size for phase in layer.phases for w in phase.weights)
        loads = self._weight_loads(plan, tiles, chunks)
        matrix, vector, operations = self._compute(plan, classes)
        return (
            copies * ceil_div(part_bytes, bank) + parameters,
            ceil_div(part_bytes, bank) + parameters,
            (2 if tiles > 1 else 1) * ceil_div(source_bytes, bank),
            stores * ceil_div(output_bytes, bank) + tail_banks[0],
            ceil_div(output_bytes, bank) + tail_banks[1],
            weights * loads,
            max(0, weights - dense - 4 * channels * columns.pixels) * loads,
            chunks * plan.parts * loads,
            source_bytes * tiles * (chunks if plan.chunks_outer and tiles > 1 else 1),
            part_bytes,
            source_bytes,
            output_bytes,
            layer.output.bytes * self._burst_waste(plan, classes),
            matrix,
            vector,
            operations,
        )

    def _burst_waste(self, plan: MatrixPlan, classes: list[tuple[int, Chunk]]) -> float:
        """DRAM bytes moved for each output byte: runs of a few channels do not fill their bursts."""
        if not plan.stores_chunks or sum(count for count, _ in classes) == 1:
            return 1.0
        burst = get_standard(self.chip.memory.standard).burst_bytes
        run = min(chunk.channels for _, chunk in classes[:1]) * self.layer.output.element_bytes
        return align_up(run, burst) / run

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
            y = max(
                _length(source_rows(self.layer, at, at + height)) for at in {0, min(height, rows - height)}
            )
            x = max(
                _length(source_columns(self.layer, at, at + width)) for at in {0, min(width, columns - width)}
            )
            self._sources[key] = y * x * self.layer.source.shape[3]
        return self._sources[key]

    def _chunk_bytes(self, columns: Columns, chunk: Chunk, parts: int) -> int:
        """Bytes of the largest part of a chunk, biases included."""
        weights = 0
        for phase in self.layer.phases:
            shares = columns.parts(chunk.job, phase, parts) if parts > 1 else [None]
            sizes = [
                columns.weight_bytes(chunk.job, phase, chunk.first, chunk.last, share) for share in shares
            ]
            weights += max(sizes) * len(phase.weights)
        return weights + 4 * chunk.channels * columns.pixels * len(self.layer.phases) + 3

    def _compute(self, plan: MatrixPlan, classes: list[tuple[int, Chunk]]) -> Costs:
        """Matrix cycles, vector cycles and matrix instructions of the whole layer."""
        rows, width = grid_shape(self.layer)
        total = [0, 0, 0]
        for height, many_y in histogram(cut_fixed(rows, plan.tile_height)).items():
            for wide, many_x in histogram(cut_fixed(width, plan.tile_width)).items():
                for count, chunk in classes:
                    times = many_y * many_x * count * self.layer.output.shape[0]
                    for index, cost in enumerate(self._tile_cycles(plan.columns, chunk, height, wide)):
                        total[index] += times * cost
        return total[0], total[1], total[2] * plan.parts

    def _tile_cycles(self, columns: Columns, chunk: Chunk, height: int, width: int) -> Costs:
        key = (columns.pixels, columns.dense, chunk.last - chunk.first, chunk.channels, height, width)
        if key not in self._tiles:
            self._tiles[key] = tile_cycles(self.layer, self.chip, columns, chunk, height, width)
        return self._tiles[key]


PlanKey = tuple[tuple[object, ...], Placement, int]


class Planner:
    """Plan tables of a compilation, one for each shape of layer."""

    def __init__(self, chip: Chip, bytes_per_cycle: float) -> None:
        self.chip, self.bytes_per_cycle = chip, bytes_per_cycle
        self._tables: dict[tuple[object, ...], PlanTable] = {}
        self._costs: dict[PlanKey, float] = {}
        self._packings: dict[int, tuple[MatrixLayer, tuple[float, int]]] = {}
        self.measured: dict[PlanKey, int] = {}
        """Which of the candidates was quickest on the machine."""

    def table(self, layer: MatrixLayer) -> PlanTable:
        """The table of the layer's shape."""
        key = shape_key(layer)
        if key not in self._tables:
            self._tables[key] = PlanTable(layer, self.chip)
        return self._tables[key]

    def _packing(self, layer: MatrixLayer) -> tuple[float, int]:
        """What the layer's weights pack to, 1 where the chip would not gain by it, and lanes of a decoder."""
        if id(layer) not in self._packings:
            self._packings[id(layer)] = (layer, packing_of(layer, self.chip, self.bytes_per_cycle))
        return self._packings[id(layer)][1]

    def _budget(self, layer: MatrixLayer, banks: int) -> Budget:
        return Budget(banks, self.bytes_per_cycle, *self._packing(layer))

    def cost(self, layer: MatrixLayer, placement: Placement, banks: int) -> float:
        """Estimated cycles of the best plan; infinite if none fits."""
        key = ((*shape_key(layer), *self._packing(layer)), placement, banks)
        if key not in self._costs:
            best = self.table(layer).best(placement, self._budget(layer, banks))
            self._costs[key] = best[0] if best else float("inf")
        return self._costs[key]

    def key(self, layer: MatrixLayer, banks: int) -> PlanKey:
        """What decides which plan is best."""
        return ((*shape_key(layer), *self._packing(layer)), Placement.of(layer), banks)

    def candidates(self, layer: MatrixLayer, banks: int) -> list[MatrixPlan]:
        """The cheapest plan that fits, then the cheapest of other kinds; CompileError if none fits."""
        table = self.table(layer)
        found = table.ranking(Placement.of(layer), self._budget(layer, banks))
        if not found:
            raise CompileError(
                f"{layer.origin.onnx_type} '{layer.origin.name}': no tile fits {banks} free SRAM banks of "
                f"{self.chip.core.sram.bank_bytes} bytes; use a chip with more SRAM"
            )
        return [self._own(layer, table.plans[index]) for index in found]

    def _own(self, layer: MatrixLayer, plan: MatrixPlan) -> MatrixPlan:
        """The plan for this very layer (tables are shared by layers of one shape)."""
        columns = Columns(layer, self.chip.core.matrix, plan.columns.pixels, plan.columns.dense)
        return replace(plan, columns=columns)


def _sizes(total: int) -> list[int]:
    """Sizes worth trying: what cuts `total` into 1, 2, 3, ... nearly equal pieces, thinned out."""
    return sorted({ceil_div(total, n) for n in [*_PIECES, total] if n <= total}, reverse=True)


def _length(span: tuple[int, int]) -> int:
    return span[1] - span[0]
