"""Choose tiles, weight chunks and array mapping of a matrix layer by the machine's own closed formulas."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

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

Memo = dict[tuple[int, bool, int, int, int, int], tuple[int, int, int]]

INSTRUCTION_BYTES = 128 + 256
DISPATCH_CYCLES = 2


@dataclass(frozen=True)
class Budget:
    """What a layer may use: free SRAM banks, and DRAM bytes a core cycle."""

    banks: int
    bytes_per_cycle: float


@dataclass(frozen=True)
class Cost:
    """Estimated cycles of a plan, and the SRAM banks that it needs."""

    cycles: float
    banks: int


def plan_matrix(layer: MatrixLayer, chip: Chip, budget: Budget) -> MatrixPlan:
    """The cheapest plan that fits; raises CompileError if none does."""
    best: tuple[float, int, MatrixPlan] | None = None
    memo: Memo = {}
    for columns in _column_options(layer, chip):
        for plan in _plans(layer, chip, columns, budget):
            cost = _cost(layer, chip, plan, budget, memo)
            if cost.banks <= budget.banks and (best is None or (cost.cycles, cost.banks) < best[:2]):
                best = (cost.cycles, cost.banks, plan)
    if best is None:
        raise CompileError(
            f"{layer.origin.onnx_type} '{layer.origin.name}': no tile fits {budget.banks} free SRAM banks of "
            f"{chip.core.sram.bank_bytes} bytes; use a chip with more SRAM"
        )
    return best[2]


def _column_options(layer: MatrixLayer, chip: Chip) -> list[Columns]:
    matrix = chip.core.matrix
    options = [Columns(layer, matrix, 1, False)]
    if layer.depthwise:
        widest = max((p.taps[1] - 1) * p.dilation[1] + 1 for p in layer.phases)
        dense = Columns(layer, matrix, 1, True)
        options = [dense] if widest > matrix.rows else [options[0], dense]
    if len(layer.phases) > 1:
        return options
    width = grid_shape(layer)[1]
    for dense in {False, True} & {option.dense for option in options}:
        for pixels in range(2, min(width, matrix.columns // max(1, layer.output.shape[3])) + 1):
            candidate = Columns(layer, matrix, pixels, dense or layer.depthwise)
            if width % pixels == 0 and not candidate.depthwise and candidate.merged_possible:
                options.append(candidate)
    unique: dict[tuple[int, bool], Columns] = {(option.pixels, option.dense): option for option in options}
    return [unique[key] for key in sorted(unique)]


def _plans(layer: MatrixLayer, chip: Chip, columns: Columns, budget: Budget) -> Iterator[MatrixPlan]:
    rows, width = grid_shape(layer)
    widths = [width]
    least = _tile_banks(layer, chip, 1, width)
    while least > budget.banks // 2 and widths[-1] > columns.pixels:
        narrower = ceil_div(widths[-1], 2 * columns.pixels) * columns.pixels
        if narrower == widths[-1]:
            break
        widths.append(narrower)
        least = _tile_banks(layer, chip, 1, narrower)
    if len(widths) > 1:
        widths = widths[-2:] if least <= budget.banks // 2 else widths[-1:]
    most_blocks = max(columns.blocks(job) for job in columns.jobs)
    many = len(columns.jobs) > 1 or most_blocks > 1
    for tile_width in widths:
        for tile_height in _sizes(rows):
            for chunk_blocks in _sizes(most_blocks):
                for chunks_outer in (False, True) if many else (False,):
                    yield MatrixPlan(tile_height, tile_width, chunk_blocks, chunks_outer, columns)
            for parts in _part_counts(layer, chip, columns, budget):
                yield MatrixPlan(tile_height, tile_width, 1, True, columns, parts)


def _part_counts(layer: MatrixLayer, chip: Chip, columns: Columns, budget: Budget) -> list[int]:
    """Cuts of K worth trying where two weight chunks of one block would take over a third of the SRAM."""
    chunk = max(_chunk_bytes(layer, columns, chunk) for chunk in chunks_of(columns, 1)[:1])
    bank = chip.core.sram.bank_bytes
    if 2 * ceil_div(chunk, bank) <= budget.banks // 3:
        return []
    counts = [2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512]
    fitting = [count for count in counts if 2 * ceil_div(chunk // count, bank) <= budget.banks // 2]
    return fitting[:3]


def _sizes(total: int) -> list[int]:
    """Sizes worth trying: what cuts `total` into 1, 2, 3, ... nearly equal pieces, thinned out."""
    pieces = list(range(1, min(total, 12) + 1))
    pieces += [n for n in (14, 16, 19, 24, 28, 32, 38, 48, 56, 64, 75, 96, 112, 128, 160, 192, 256) if n < total]
    return sorted({ceil_div(total, n) for n in [*pieces, total]}, reverse=True)


def _tile_banks(layer: MatrixLayer, chip: Chip, height: int, width: int) -> int:
    bank = chip.core.sram.bank_bytes
    if layer.source.storage.resident:
        return 1
    y0, y1 = source_rows(layer, 0, height)
    x0, x1 = source_columns(layer, 0, width)
    return ceil_div((y1 - y0) * (x1 - x0) * layer.source.shape[3], bank)


def _tile_bytes(layer: MatrixLayer, height: int, width: int) -> int:
    """Bytes of the largest input tile of `height` x `width` grid positions."""
    rows, columns = grid_shape(layer)
    middle_y, middle_x = min(height, rows - height), min(width, columns - width)
    y = max(_length(source_rows(layer, start, start + height)) for start in {0, middle_y})
    x = max(_length(source_columns(layer, start, start + width)) for start in {0, middle_x})
    return y * x * layer.source.shape[3]


def _length(span: tuple[int, int]) -> int:
    return span[1] - span[0]


def _cost(layer: MatrixLayer, chip: Chip, plan: MatrixPlan, budget: Budget, memo: Memo) -> Cost:
    bank = chip.core.sram.bank_bytes
    rows, width = grid_shape(layer)
    images = layer.output.shape[0]
    chunks = chunks_of(plan.columns, plan.chunk_blocks)
    tiles = images * ceil_div(rows, plan.tile_height) * ceil_div(width, plan.tile_width)
    step = layer.phases[0].step
    chunk_bytes = max(_chunk_bytes(layer, plan.columns, chunk, plan.parts) for chunk in chunks)
    source_bytes = _tile_bytes(layer, plan.tile_height, plan.tile_width)
    channels = layer.output.shape[3]
    kept = max(chunk.channels for chunk in chunks) if plan.chunks_outer else channels
    output_bytes = plan.tile_height * step[0] * plan.tile_width * step[1] * kept
    twice = 2 if tiles > 1 or images > 1 else 1
    weight_copies = 1 if len(chunks) == 1 and plan.parts == 1 else 2
    banks = weight_copies * ceil_div(chunk_bytes, bank) + ceil_div(channels * 4 * plan.columns.pixels + 1024, bank)
    residual = layer.epilogue.residual
    if not layer.source.storage.resident:
        banks += twice * ceil_div(source_bytes, bank)
    stores = 2 if tiles * (len(chunks) if plan.chunks_outer else 1) > 1 else 1
    if not layer.output.storage.resident:
        banks += stores * ceil_div(output_bytes, bank)
    if residual is not None and not residual.view.storage.resident:
        banks += stores * ceil_div(output_bytes, bank)
    if banks > budget.banks:
        return Cost(float("inf"), banks)

    weights = sum(_chunk_bytes(layer, plan.columns, chunk) for chunk in chunks)
    reload_weights = tiles if len(chunks) > 1 and not plan.chunks_outer else 1
    reload_source = len(chunks) if plan.chunks_outer and tiles > 1 else 1
    traffic = float(weights * reload_weights)
    if not layer.source.storage.resident:
        traffic += source_bytes * tiles * reload_source
    if layer.output.storage.dram_address >= 0:
        traffic += layer.output.bytes
    if residual is not None and not residual.view.storage.resident:
        traffic += layer.output.bytes
    if plan.parts > 1:
        limit = chip.core.matrix.accumulator_rows
        high, wide, _ = sub_tile(limit, plan.tile_height, plan.tile_width // plan.columns.pixels, 1)
        pieces = ceil_div(plan.tile_height, high) * ceil_div(plan.tile_width, wide * plan.columns.pixels)
        reload_weights = tiles * pieces
    matrix, vector, operations = _compute_cycles(layer, chip, plan, chunks, memo)
    traffic += operations * INSTRUCTION_BYTES
    memory = traffic / budget.bytes_per_cycle
    first = (chunk_bytes + (0 if layer.source.storage.resident else source_bytes)) / budget.bytes_per_cycle
    last = (0 if layer.output.storage.resident else output_bytes) / budget.bytes_per_cycle
    tail = vector / max(1, operations)
    total = max(matrix, vector, memory) + 0.5 * min(first, memory) + last + tail
    return Cost(total + DISPATCH_CYCLES * operations, banks)


def _chunk_bytes(layer: MatrixLayer, columns: Columns, chunk: Chunk, parts: int = 1) -> int:
    """Bytes of the largest part of a chunk, biases included."""
    weights = 0
    for phase in layer.phases:
        shares = columns.parts(chunk.job, phase, parts) if parts > 1 else [None]
        largest = max(columns.weight_bytes(chunk.job, phase, chunk.first, chunk.last, share) for share in shares)
        weights += largest * len(phase.weights)
    return weights + 4 * chunk.channels * columns.pixels * len(layer.phases) + 3


def _compute_cycles(
    layer: MatrixLayer, chip: Chip, plan: MatrixPlan, chunks: list[Chunk], memo: Memo
) -> tuple[int, int, int]:
    """Matrix cycles, vector cycles and instruction pairs of the whole layer."""
    rows, width = grid_shape(layer)
    heights = _histogram(cut_fixed(rows, plan.tile_height))
    widths = _histogram(cut_fixed(width, plan.tile_width))
    matrix = vector = operations = 0
    for height, many_y in heights.items():
        for columns, many_x in widths.items():
            for chunk in chunks:
                key = (plan.columns.pixels, plan.columns.dense, chunk.last - chunk.first, chunk.channels, height, columns)
                if key not in memo:
                    memo[key] = _tile_cycles(layer, chip, plan.columns, chunk, height, columns)
                a, b, c = memo[key]
                times = many_y * many_x * layer.output.shape[0]
                matrix, vector, operations = matrix + times * a, vector + times * b, operations + times * c
    return matrix, vector, operations


def _histogram(pieces: list[tuple[int, int]]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for first, last in pieces:
        counts[last - first] = counts.get(last - first, 0) + 1
    return counts


def _tile_cycles(
    layer: MatrixLayer, chip: Chip, columns: Columns, chunk: Chunk, height: int, width: int
) -> tuple[int, int, int]:
    core = chip.core
    slots = epilogue_slots(layer)
    blocks = chunk.last - chunk.first
    positions_wide = width // columns.pixels
    rows, wide, most = sub_tile(core.matrix.accumulator_rows, height, positions_wide, blocks)
    matrix = vector = operations = 0
    for high, many_y in _histogram(cut_fixed(height, rows)).items():
        for broad, many_x in _histogram(cut(positions_wide, wide)).items():
            for count, many_n in _histogram(cut_fixed(blocks, most)).items():
                times = many_y * many_x * many_n
                for phase in layer.phases:
                    stream = high * broad
                    if columns.depthwise:
                        stream = depthwise_stream_cycles(
                            high, broad, phase.stride[1], phase.taps[1], phase.dilation[1], 1
                        )
                    preloads = columns.preload_rows(chunk.job, phase)
                    cycles = sum(
                        max(stream, preload_cycles(core.matrix, tile, number == 0))
                        for number, tile in enumerate(preloads)
                    )
                    matrix += times * count * len(phase.weights) * cycles
                    inner = min(core.matrix.columns, chunk.job.count * columns.pixels)
                    vector += times * chain_cycles(
                        core.vector, count * high * broad, 1, inner, True, slots, 0, False, False
                    )
                    operations += times * len(phase.weights)
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


def smallest_banks(layer: MatrixLayer, chip: Chip) -> int:
    """Banks for a narrow double-buffered tile and the smallest double-buffered weight chunk."""
    bank = chip.core.sram.bank_bytes
    rows, width = grid_shape(layer)
    columns = _column_options(layer, chip)[0]
    whole = max(_chunk_bytes(layer, columns, chunk) for chunk in chunks_of(columns, 1)[:1])
    chunk = min(whole, max(whole // 16, chip.core.sram.total_bytes // 8))
    channels = layer.output.shape[3]
    banks = 2 * ceil_div(chunk, bank) + ceil_div(4 * channels + 1024, bank)
    high = min(rows, 2)
    if not layer.source.storage.resident:
        banks += 2 * ceil_div(_tile_bytes(layer, high, width), bank)
    step = layer.phases[0].step
    tile = ceil_div(high * step[0] * width * step[1] * channels, bank)
    if not layer.output.storage.resident:
        banks += 2 * tile
    residual = layer.epilogue.residual
    if residual is not None and not residual.view.storage.resident:
        banks += 2 * tile
    return banks
