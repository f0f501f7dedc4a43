"""The accumulators under random traffic of both sides, against a plain NumPy array of rows."""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from amaranth.back import rtlil

from hanok.isa.timing import MEMORY_READ_CYCLES
from hanok.machine import Matrix
from hanok.rtl.accumulators import Accumulators
from hanok.rtl.simulate import Simulation

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Shape:
    columns: int
    lanes: int
    rows: int
    banks: int

    def design(self) -> Accumulators:
        matrix = Matrix(
            rows=4, columns=self.columns, accumulator_rows=self.rows, accumulator_banks=self.banks
        )
        return Accumulators(matrix, self.lanes)


SHAPES = [
    Shape(columns=4, lanes=4, rows=16, banks=2),
    Shape(columns=4, lanes=16, rows=16, banks=3),
    Shape(columns=5, lanes=4, rows=100, banks=2),
    Shape(columns=5, lanes=32, rows=17, banks=3),
    Shape(columns=8, lanes=8, rows=100, banks=3),
    Shape(columns=12, lanes=8, rows=16, banks=2),
    Shape(columns=12, lanes=16, rows=100, banks=3),
    Shape(columns=16, lanes=4, rows=100, banks=2),
]
LONG = [
    Shape(columns=12, lanes=32, rows=100, banks=3),
    Shape(columns=13, lanes=16, rows=37, banks=5),
    Shape(columns=4, lanes=64, rows=16, banks=3),
]


def rows_of(words: npt.NDArray[Any], count: int) -> npt.NDArray[np.int32]:
    return np.ascontiguousarray(words).view(np.int32)[:, :count]


def packed(values: npt.NDArray[np.int32]) -> npt.NDArray[np.uint64]:
    wide = np.zeros((len(values), -(-values.shape[1] // 2) * 2), np.int32)
    wide[:, : values.shape[1]] = values
    return wide.view(np.uint64)


@dataclass
class Traffic:
    """Random requests; rows and elements are often the same, at the ends of banks, or behind the last."""

    shape: Shape
    cycles: int
    seed: int

    def __post_init__(self) -> None:
        shape, cycles = self.shape, self.cycles
        self.random = random = np.random.default_rng(self.seed)
        rows = shape.rows * shape.banks
        self.total = rows * shape.columns
        self.values = random.integers(-(1 << 31), 1 << 31, (cycles, shape.columns)).astype(np.int32)
        chance = random.choice([0.0, 0.3, 1.0, 1.0], (cycles, 1))
        self.mask = random.random((cycles, shape.columns)) < chance
        size = np.where(random.random(cycles) < 0.6, shape.lanes, random.integers(0, shape.lanes + 1, cycles))
        self.inputs = {
            "read__en": random.integers(0, 2, cycles),
            "read__row": self.some(rows, shape.rows),
            "write__en": random.integers(0, 2, cycles),
            "write__row": self.some(rows, shape.rows),
            "write__mask": (self.mask.astype(np.int64) << np.arange(shape.columns)).sum(axis=1),
            "vector_en": (random.random(cycles) < 0.7).astype(np.int64),
            "vector_element": self.some(self.total, shape.rows * shape.columns, shape.lanes),
            "vector_size": size,
        }

    def some(self, count: int, bank: int, margin: int = 2) -> Ints:
        """Numbers below the power of two that holds `count`."""
        random, cycles = self.random, self.cycles
        places = [
            random.integers(0, count, cycles),
            random.integers(1, count // bank + 1, cycles) * bank + random.integers(-margin, margin, cycles),
            random.integers(0, 3 * margin, cycles),
            random.integers(0, 1 << (count - 1).bit_length(), cycles),
        ]
        chosen = np.choose(random.choice(4, cycles, p=[0.5, 0.28, 0.2, 0.02]), places)
        return np.clip(chosen, 0, (1 << (count - 1).bit_length()) - 1)

    def banks(self, elements: Ints) -> set[int]:
        inside = elements[elements < self.total]
        return set((inside // (self.shape.rows * self.shape.columns)).tolist())


@dataclass
class Expected:
    """What a cycle's requests bring, and whether they meet or miss."""

    row: npt.NDArray[np.int32]
    lanes: npt.NDArray[np.int32]
    conflict: bool
    fault: bool


def step(traffic: Traffic, memory: npt.NDArray[np.int32], cycle: int) -> Expected:
    """Read, then write: a read sees what was there before its cycle, lanes before the cycle after theirs."""
    shape, total = traffic.shape, traffic.total
    at = {
        name: int(values[cycle - 1 if name.startswith("vector") else cycle])
        for name, values in traffic.inputs.items()
    }
    columns = np.arange(shape.columns)
    read = at["read__row"] * shape.columns + columns[: shape.columns * at["read__en"]]
    mask = traffic.mask[cycle] & bool(at["write__en"])
    written = at["write__row"] * shape.columns + columns[mask]
    vector = at["vector_element"] + np.arange(at["vector_size"] * at["vector_en"])
    held = np.concatenate([memory, np.zeros(total + 2 * shape.lanes, np.int32)])
    reading = traffic.banks(read)
    taken = np.isin(vector // (shape.rows * shape.columns), list(reading))
    found = Expected(
        row=held[read],
        lanes=np.where(taken, 0, held[vector]),
        conflict=bool(traffic.banks(vector) & (reading | traffic.banks(written))),
        fault=any(bool((cells >= total).any()) for cells in (read, written, vector)),
    )
    inside = written < total
    memory[written[inside]] = traffic.values[cycle][mask][inside]
    return found


@pytest.mark.parametrize("shape", [*SHAPES, *(pytest.param(shape, marks=pytest.mark.slow) for shape in LONG)])
def test_both_sides_read_what_was_written(shape: Shape) -> None:
    cycles = 3000
    traffic = Traffic(shape, cycles, seed=shape.columns * shape.lanes)
    memory = np.zeros(traffic.total, np.int32)
    expected = [step(traffic, memory, cycle) for cycle in range(cycles)]
    given = traffic.inputs | {"write__data": packed(traffic.values)}
    names = ["read__data", "vector_data", "conflict", "fault", "vector_fault"]
    found = Simulation(shape.design()).run(cycles, given, names)
    rows = rows_of(found["read__data"], shape.columns)
    lanes = rows_of(found["vector_data"], shape.lanes)
    flags = [(cycle.conflict, cycle.fault) for cycle in expected]
    late = MEMORY_READ_CYCLES - 1
    assert np.array_equal(
        np.stack([found["conflict"], found["fault"] | found["vector_fault"]], axis=1)[late + 1 :],
        np.array(flags)[1:-late],
    )
    assert np.array(flags).any(axis=0).all()
    for cycle, right in enumerate(expected[1:-late], start=1):
        assert np.array_equal(rows[cycle + 1, : len(right.row)], right.row), cycle
        assert np.array_equal(lanes[cycle + late, : len(right.lanes)], right.lanes), cycle
    assert sum(int(np.count_nonzero(right.lanes)) for right in expected) > cycles
    assert sum(int(np.count_nonzero(right.row)) for right in expected) > cycles


@pytest.mark.parametrize("shape", SHAPES)
def test_memories_hold_the_elements_and_no_more(shape: Shape) -> None:
    design = shape.design()
    text = rtlil.convert(design, emit_src=False)
    made = Counter(
        (int(width), int(depth)) for width, depth in re.findall(r"memory width (\d+) size (\d+)", text)
    )
    assert made == {(32, depth): count for depth, count in design.memories.items()}
    bits = sum(width * depth * count for (width, depth), count in made.items())
    assert design.memory_bits == bits == 32 * shape.banks * shape.rows * shape.columns
