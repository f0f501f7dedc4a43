"""The matrix unit: accumulators as the emulator leaves them, starts and ends as the engine's formula."""

import numpy as np
import pytest
from matrix_model import SRAM, Bench, emulated, random_record, scheduled, tiles_of

from hanok.isa.table import FLAG_ACCUMULATE, FLAG_BIAS, MATRIX, Opcode
from hanok.machine import Matrix
from hanok.rtl._matrix_remainder import VALUE_BITS, Remainder
from hanok.rtl.simulate import Simulation


def matrix_of(rows: int, columns: int, preload: int, extra: int) -> Matrix:
    return Matrix(
        rows=rows,
        columns=columns,
        preload_rows_per_cycle=preload,
        extra_stages=extra,
        accumulator_rows=128,
        accumulator_banks=2,
    )


SHAPES = [
    (4, 4, 1, 0),
    (8, 8, 1, 1),
    (5, 6, 2, 0),
    (16, 8, 4, 2),
    (8, 16, 2, 0),
    (7, 5, 3, 1),
    (9, 4, 8, 4),
    (9, 4, 1, 1),
]


def check(matrix: Matrix, random: np.random.Generator, bench: Bench, records: list, gaps: int) -> None:
    """Run a sequence; every number and every cycle must agree."""
    sram = random.integers(0, 256, SRAM.total_bytes, np.uint8)
    if random.random() < 0.2:
        sram[:] = random.choice([0x80, 0x7F])
    shape = (matrix.accumulator_rows * matrix.accumulator_banks, matrix.columns)
    before = random.integers(-(1 << 31), 1 << 31, shape).astype(np.int32)
    ready = np.cumsum(random.integers(0, gaps + 1, len(records))).tolist()
    found = before.copy()
    ended = bench.run(records, ready, sram, found, random)
    expected = scheduled(records, ready, matrix)
    np.testing.assert_array_equal(found, emulated(records, matrix, sram, before))
    assert (ended.starts, ended.ends) == (expected.starts, expected.ends)


@pytest.mark.parametrize("shape", SHAPES)
def test_sequences_agree_with_emulator_and_formula(shape: tuple[int, int, int, int]) -> None:
    matrix, random = matrix_of(*shape), np.random.default_rng(shape)
    bench = Bench(matrix)
    for round_number in range(12):
        positions = (1, 3, 12, 30)[round_number % 4]
        count = int(random.integers(1, 8))
        records = [random_record(random, matrix, positions) for _ in range(count)]
        check(matrix, random, bench, records, gaps=(0, 40)[round_number % 2])


@pytest.mark.parametrize("shape", SHAPES)
def test_rows_far_from_their_ring_come_later_but_right(shape: tuple[int, int, int, int]) -> None:
    matrix, random = matrix_of(*shape), np.random.default_rng((*shape, 1))
    bench = Bench(matrix)
    for round_number in range(4):
        records = [
            random_record(random, matrix, 6, far=bool(random.random() < 0.6))
            for _ in range(int(random.integers(1, 6)))
        ]
        check(matrix, random, bench, records, gaps=(0, 40)[round_number % 2])


@pytest.mark.parametrize("shape", [(4, 4, 1, 0), (9, 4, 8, 4)])
def test_a_row_revisited_at_the_shortest_distance_has_its_sum(shape: tuple[int, int, int, int]) -> None:
    matrix, random = matrix_of(*shape), np.random.default_rng((*shape, 2))
    bench, records = Bench(matrix), []
    while len(records) < 24:
        record = random_record(random, matrix, 1)
        record["tap_bytes"], record["accumulator_row"] = 1, 7
        record["flags"] = FLAG_ACCUMULATE if len(records) % 3 else FLAG_BIAS
        record["blocks"] = 1 if len(records) % 4 else record["blocks"]
        records.append(record)
    assert min(min(tiles_of(record, matrix)[0]) for record in records) == 3
    check(matrix, random, bench, records, gaps=0)


@pytest.mark.parametrize("shape", [(4, 4, 4, 0), (9, 4, 8, 4), (5, 6, 5, 1)])
def test_the_next_instruction_may_begin_where_this_one_ends(shape: tuple[int, int, int, int]) -> None:
    matrix, random = matrix_of(*shape), np.random.default_rng((*shape, 5))
    bench, records, distances = Bench(matrix), [], set()
    row, cycle, written = 40, 0, {}
    while len(records) < 60:
        record = np.zeros((), MATRIX.dtype)
        width = random.integers(1, 16)
        row = (row + random.integers(-4, 2)) % 240
        plain = {"opcode": Opcode.CONV, "flags": FLAG_ACCUMULATE, "accumulator_row": row, "out_width": width}
        plain |= dict.fromkeys(("out_height", "taps_y", "taps_x", "blocks", "y_limit"), 1)
        plain |= {"tap_bytes": random.integers(1, 5), "last_columns": random.integers(1, matrix.columns + 1)}
        plain |= {"x_limit": 99, "x_stride": 3, "weight_address": random.integers(0, 4000)}
        for name, value in plain.items():
            record[name] = value
        records.append(record)
        cycle = scheduled(records, [0] * len(records), matrix).ends[-1] - width
        for place in range(row, row + width):
            distances.add(int(cycle + place - row - written.get(place, -99)))
            written[place] = cycle + place - row
        row += width
    assert {1, 2, 3} <= distances
    check(matrix, random, bench, records, gaps=0)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [*SHAPES, (16, 16, 4, 0), (13, 17, 5, 3), (4, 12, 16, 8), (21, 5, 2, 0)])
def test_long_sequences(shape: tuple[int, int, int, int]) -> None:
    matrix, random = matrix_of(*shape), np.random.default_rng((*shape, 3))
    bench = Bench(matrix)
    for round_number in range(100):
        positions = int(random.integers(1, 60))
        records = [random_record(random, matrix, positions) for _ in range(int(random.integers(1, 9)))]
        check(matrix, random, bench, records, gaps=(0, 100)[round_number % 2])


def test_remainders() -> None:
    random, design = np.random.default_rng(4), Simulation(Remainder())
    values = [
        0,
        -1,
        1 << 33 - 1,
        -(1 << 31),
        *random.integers(-(1 << 31), (1 << 32) + (1 << 31), 30).tolist(),
    ]
    for value in values:
        for modulus in (1, 5, (1 << 32) - 1, int(random.integers(1, 1 << 32))):
            design.step(start=1, value=value, modulus=modulus)
            design.step(start=0)
            assert design.run_until("done", VALUE_BITS)
            assert design.get("remainder") == value % modulus
