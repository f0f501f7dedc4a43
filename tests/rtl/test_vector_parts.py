"""Parts of the vector unit on their own: remainders, rows of steps, and the formula's throughput."""

from __future__ import annotations

import numpy as np
import pytest

from hanok.isa import Step
from hanok.isa.timing import Section, chain_cycles
from hanok.machine import Vector
from hanok.rtl._vector_plan import SPLIT_STEPS, Modulo
from hanok.rtl._vector_program import SORT_CYCLES, VectorProgram
from hanok.rtl.simulate import Simulation


def test_remainders_are_pythons() -> None:
    rng = np.random.default_rng(1)
    simulation = Simulation(Modulo())
    numbers = [0, -1, 1, -(1 << 31), (1 << 31) - 1, (1 << 33) - 1, -(1 << 33)]
    numbers += [int(number) for number in rng.integers(-(1 << 33), 1 << 33, 40)]
    for number in numbers:
        for divisor in (1, 3, 4, int(rng.integers(1, 1 << 16)), (1 << 32) - 1):
            simulation.step(start=1, step=0, number=number, divisor=divisor)
            simulation.step(SPLIT_STEPS, start=0, step=1)
            simulation.step(step=0)
            assert simulation.get("remainder") == number % divisor, (number, divisor)


def rows_of(steps: list[int], stages: int) -> list[list[tuple[int, int]]]:
    """Steps with their numbers, `stages` in a row; a division alone."""
    rows: list[list[tuple[int, int]]] = []
    fits = False
    for number, step in enumerate(steps):
        divides = step in (Step.DIV, Step.REVERSE_DIV)
        if step != Step.NONE:
            if divides or not fits:
                rows.append([])
            rows[-1].append((step, number))
            fits = not divides and len(rows[-1]) < stages
    return rows or [[]]


@pytest.mark.parametrize("stages", [1, 2, 3, 4, 8])
def test_steps_are_sorted_into_rows(stages: int) -> None:
    rng = np.random.default_rng(stages)
    vector = Vector(lanes=8, stages=stages)
    again = vector.pipeline.division_rounds(stages)
    simulation = Simulation(VectorProgram(stages, again))
    for _ in range(200):
        count = int(rng.integers(0, 9))
        steps = rng.integers(0, 16, 8) * (rng.random(8) < 0.8)
        before, reduces = int(rng.integers(0, count + 1)), int(rng.integers(2))
        packed = sum(int(step) << 8 * number for number, step in enumerate(steps))
        immediates = sum(number << 32 * number for number in range(8))
        simulation.step(
            start=1, reduces=reduces, steps=count, steps_before=before, step=packed, immediate=immediates
        )
        simulation.step(SORT_CYCLES + 1, start=0)
        split = before if reduces else count
        sections = [list(map(int, steps[:split]))] + [list(map(int, steps[split:count]))] * reduces
        first = 0
        for number, section in enumerate(sections):
            rows = rows_of([Step.NONE] * split * number + section, stages)
            found = simulation.get("sections") >> 17 * number & (1 << 17) - 1
            expected = Section.of(section, vector)
            assert (found & 15, found >> 4 & 15) == (first, first + len(rows) - 1)
            assert found >> 8 & 255 == expected.rounds - 1
            assert found >> 16 == any(step in (Step.DIV, Step.REVERSE_DIV) for step in section)
            for row in rows:
                simulation.step(rows=sum(first << 4 * stage for stage in range(stages)))
                held = [simulation.get("found") >> 38 * stage & (1 << 38) - 1 for stage in range(stages)]
                codes = [(code & 15, code >> 6) for code in held if code & 15]
                assert codes == row
                first += 1


def test_a_full_ring_has_no_bubbles() -> None:
    """A long chain makes `lanes` elements in as many cycles as it has rows, and a reduction nearly so."""
    vector = Vector(lanes=8, stages=2)
    depth = vector.pipeline.depth(vector.stages)
    for steps in (0, 1, 2, 3, 8):
        rows = max(1, -(-steps // 2))
        section = Section.of([Step.MUL] * steps, vector)
        groups = 100 * depth
        cycles = chain_cycles(vector, groups, 1, 8, True, section, section, False, False, False)
        overhead = chain_cycles(vector, 1, 1, 8, True, section, section, False, False, False)
        assert cycles - overhead == groups * rows - ((rows - 1) * depth + 1)
    none = Section.of([], vector)
    pool = chain_cycles(vector, 640, 49, 8, True, none, none, True, False, False)
    assert 640 * 50 < pool < 640 * 50 * 1.05
