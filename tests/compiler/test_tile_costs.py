"""The compiler's matrix cycles of a tile are those of its instructions, one after the other."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from hanok.compiler.tile_costs import tile_cycles
from hanok.isa.timing import MATRIX_SETUP_CYCLES, matrix_schedule, preload_cycles
from hanok.machine import Chip


def cost(chip: Chip, tile_rows: list[int], blocks: int, height: int, width: int) -> int:
    """What the compiler thinks of a tile of a layer with these weight tiles in a block."""
    phase = SimpleNamespace(weights=(None,), stride=(1, 1), taps=(1, 1), dilation=(1, 1))
    epilogue = SimpleNamespace(table=None, residual=None)
    layer: Any = SimpleNamespace(phases=(phase,), epilogue=epilogue, tail=None)
    columns: Any = SimpleNamespace(pixels=1, depthwise=False, preload_rows=lambda job, phase: tile_rows)
    job = SimpleNamespace(count=blocks * chip.core.matrix.columns)
    chunk: Any = SimpleNamespace(first=0, last=blocks, job=job)
    return tile_cycles(layer, chip, columns, chunk, height, width)[0]


def scheduled(chip: Chip, tile_rows: list[int], blocks: int, stream: int) -> int:
    """Cycles from one such instruction to the next by the engine's schedule, all ready from the start."""
    matrix = chip.core.matrix
    preloads = [preload_cycles(matrix, rows, place == 0) for place, rows in enumerate(tile_rows)]
    preloads *= blocks
    preloads[0] = max(preloads[0], MATRIX_SETUP_CYCLES)
    loader_free, free = 0, [0]
    for _ in range(3):
        _, _, loader_free, after = matrix_schedule(matrix, 0, loader_free, free[-1], preloads, stream)
        free.append(after)
    assert free[3] - free[2] == free[2] - free[1]
    return free[3] - free[2]


@pytest.mark.parametrize("name", ["nano", "edge"])
@pytest.mark.parametrize("tile_rows", [[1], [3], [8], [8, 8, 2], [8] * 5])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 4), (3, 5)])
@pytest.mark.parametrize("blocks", [1, 2])
def test_a_tile_costs_what_its_instruction_takes(
    name: str, tile_rows: list[int], height: int, width: int, blocks: int
) -> None:
    chip = Chip.load(name)
    assert cost(chip, tile_rows, blocks, height, width) == scheduled(chip, tile_rows, blocks, height * width)


def test_the_first_stream_does_not_come_before_its_time() -> None:
    """With one row of weights and one position nothing else is as long."""
    assert cost(Chip.load("edge"), [1], 1, 1, 1) == MATRIX_SETUP_CYCLES
