"""FloatDivide against NumPy, its pulses and intervals against its properties."""

from collections.abc import Iterator

import numpy as np
import pytest
from float_operands import (
    CORNERS,
    FEW_CORNERS,
    Bits,
    any_bits,
    beside,
    canonical_bits,
    check,
    combinations,
    floats,
    in_parts,
    near_exponents,
)

from hanok.rtl.float_divide import FloatDivide
from hanok.rtl.simulate import Simulation


class Divider:
    """Divides arrays, `spacing` cycles from start to start, with noise on the operands between."""

    def __init__(self, bits_per_cycle: int) -> None:
        unit = FloatDivide(bits_per_cycle)
        self.cycles, self.interval = unit.cycles, unit.interval
        self._simulation = Simulation(unit)
        self._random = np.random.default_rng(9)

    def __call__(self, a: Bits, b: Bits, spacing: int) -> Bits:
        total = len(a) * spacing + self.cycles
        given = {name: any_bits(self._random, total) for name in "ab"}
        start = np.zeros(total, np.uint8)
        at = np.arange(len(a)) * spacing
        given["a"][at], given["b"][at], start[at] = a, b, 1
        found = self._simulation.run(total, {**given, "start": start}, ["o", "done"])
        assert np.array_equal(np.flatnonzero(found["done"]), at + self.cycles)
        return found["o"][at + self.cycles]


def check_divide(unit: Divider, a: Bits, b: Bits, spacing: int) -> None:
    with np.errstate(all="ignore"):
        expected = canonical_bits(floats(a) / floats(b))
    check(expected, unit(a, b, spacing), a, b)


def random_pairs(seed: int, total: int) -> Iterator[tuple[Bits, Bits]]:
    """A seventh each: any bits; near, large and subnormal quotients; subnormal operands; exact quotients."""
    random = np.random.default_rng(seed)
    for count in in_parts(total // 7, 50_000):
        yield any_bits(random, count), any_bits(random, count)
        for first, second in ((120, 120), (20, 135), (200, 60), (0, 120), (120, 0)):
            a = near_exponents(random, count, first, first + 25)
            yield a, near_exponents(random, count, second, second + 5)
        b = near_exponents(random, count, 0, 200)
        with np.errstate(all="ignore"):
            product = canonical_bits(floats(b) * floats(near_exponents(random, count, 100, 130)))
        yield beside(random, product), b


@pytest.mark.parametrize("bits_per_cycle", [1, 2, 3, 4, 7, 13, 26])
def test_pairs_of_corners(bits_per_cycle: int) -> None:
    unit = Divider(bits_per_cycle)
    corners = CORNERS if bits_per_cycle == 2 else FEW_CORNERS
    check_divide(unit, *combinations(corners, 2), unit.interval)
    for spacing in (unit.interval, unit.interval + 1, unit.cycles, unit.cycles + 3):
        for a, b in random_pairs(spacing, 14_000):
            check_divide(unit, a, b, spacing)


def test_random_pairs() -> None:
    unit = Divider(2)
    for a, b in random_pairs(1, 1_050_000):
        check_divide(unit, a, b, unit.interval)


@pytest.mark.slow
def test_many_random_pairs() -> None:
    unit = Divider(3)
    for a, b in random_pairs(2, 21_000_000):
        check_divide(unit, a, b, unit.interval)


def test_the_first_division_after_a_pause_is_as_any() -> None:
    unit = FloatDivide(2)
    simulation = Simulation(unit)
    for pause in (0, 1, 40):
        simulation.step(pause, start=0) if pause else None
        begin = simulation.cycle
        simulation.step(start=1, a=0x40400000, b=0x40000000)
        simulation.set(start=0, a=0, b=0)
        assert simulation.run_until("done", 100)
        assert simulation.cycle - 1 - begin == unit.cycles
        assert simulation.get("o") == 0x3FC00000
