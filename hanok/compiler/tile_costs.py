"""Closed-form cycles of one weight chunk on one tile of a matrix layer."""

from __future__ import annotations

from hanok.compiler.columns import Columns
from hanok.compiler.cuts import cut, cut_fixed
from hanok.compiler.layers import MatrixLayer
from hanok.compiler.matrix_plan import Chunk, sub_tile
from hanok.isa import Step
from hanok.isa.timing import (
    MATRIX_SETUP_CYCLES,
    Section,
    chain_cycles,
    depthwise_stream_cycles,
    preload_cycles,
)
from hanok.machine import Chip

Costs = tuple[int, int, int]
"""Matrix cycles, vector cycles and instructions."""


def histogram(pieces: list[tuple[int, int]]) -> dict[int, int]:
    """How many pieces have each length."""
    counts: dict[int, int] = {}
    for first, last in pieces:
        counts[last - first] = counts.get(last - first, 0) + 1
    return counts


def tile_cycles(
    layer: MatrixLayer, chip: Chip, columns: Columns, chunk: Chunk, height: int, width: int
) -> Costs:
    """Matrix cycles, vector cycles and instructions of one chunk on one tile."""
    core = chip.core
    section = Section.of(epilogue_steps(layer), core.vector)
    blocks = chunk.last - chunk.first
    positions_wide = width // columns.pixels
    rows, wide, most = sub_tile(core.matrix.accumulator_rows, height, positions_wide, blocks)
    inner = min(core.matrix.columns, chunk.job.count * columns.pixels)
    pieces = [
        (high, broad, many_y * many_x)
        for high, many_y in histogram(cut_fixed(height, rows)).items()
        for broad, many_x in histogram(cut(positions_wide, wide)).items()
    ]
    matrix = vector = operations = 0
    for phase in layer.phases:
        preloads: dict[tuple[int, bool], int] = {}
        tile_rows = columns.preload_rows(chunk.job, phase)
        for number, rows_of_tile in enumerate(tile_rows):
            kind = (rows_of_tile, number == 0)
            preloads[kind] = preloads.get(kind, 0) + 1
        loaded = preload_cycles(core.matrix, tile_rows[0], True)
        for high, broad, times in pieces:
            stream = high * broad
            if columns.depthwise:
                stream = depthwise_stream_cycles(
                    high, broad, phase.stride[1], phase.taps[1], phase.dilation[1], 1
                )
            cycles = sum(
                count * max(stream, preload_cycles(core.matrix, tile, first))
                for (tile, first), count in preloads.items()
            )
            matrix += times * blocks * len(phase.weights) * cycles
            setup = max(stream, loaded, MATRIX_SETUP_CYCLES) - max(stream, loaded)
            for many, groups in histogram(cut_fixed(blocks, most)).items():
                outer = many * high * broad
                chain = chain_cycles(core.vector, outer, 1, inner, True, section, section, False, False)
                vector += times * groups * chain
                operations += times * groups * len(phase.weights)
                matrix += times * groups * len(phase.weights) * setup
    if layer.tail is not None:
        for packed in layer.tail.layer.packed.chains:
            tail_section = Section.of([step.step for step in packed.steps], core.vector)
            elements = height * width * chunk.channels
            vector += chain_cycles(
                core.vector, 1, 1, elements, True, tail_section, tail_section, False, False
            )
            operations += 1
    return matrix, vector, operations


def epilogue_steps(layer: MatrixLayer) -> tuple[Step, ...]:
    """Steps of the layer's epilogue chain."""
    steps = [Step.MUL]
    epilogue = layer.epilogue
    if epilogue.table is not None or epilogue.residual is not None:
        steps.append(Step.ROUND)
    if epilogue.table is not None:
        steps.append(Step.LOOKUP)
    if epilogue.residual is not None:
        steps += [Step.SAVE, Step.TAKE, Step.FUSED_ADD, Step.FUSED_ADD]
    return tuple(steps)
