"""The steps MAX, MIN and GREATER against NumPy."""

from typing import Any

import numpy as np
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from float_operands import (
    CORNERS,
    Bits,
    Clocked,
    any_bits,
    beside,
    check,
    combinations,
    floats,
    near_exponents,
)

from hanok.rtl.float_compare import is_nan, step_greater, step_max, step_min
from hanok.rtl.simulate import Simulation


class Steps(wiring.Component):
    """All steps that compare."""

    v: In(32)
    o: In(32)
    nan: Out(1)
    max: Out(32)
    min: Out(32)
    greater: Out(32)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.d.comb += [self.max.eq(step_max(self.v, self.o)), self.min.eq(step_min(self.v, self.o))]
        m.d.comb += [self.greater.eq(step_greater(self.v, self.o)), self.nan.eq(is_nan(self.v))]
        return m


def check_steps(simulation: Simulation, v: Bits, o: Bits) -> None:
    found = simulation.run(len(v), {"v": v, "o": o}, ["nan", "max", "min", "greater"])
    value, operand = floats(v), floats(o)
    with np.errstate(invalid="ignore"):
        check(np.where(operand > value, o, v), found["max"], v, o)
        check(np.where(operand < value, o, v), found["min"], v, o)
        check((value > operand).astype(np.float32).view(np.uint32), found["greater"], v, o)
    check(np.isnan(value), found["nan"], v)


def test_steps_that_compare() -> None:
    random, simulation = np.random.default_rng(1), Simulation(Clocked(Steps()))
    check_steps(simulation, *combinations(CORNERS, 2))
    for _ in range(2):
        v = any_bits(random, 300_000)
        check_steps(simulation, v, any_bits(random, len(v)))
        check_steps(simulation, v, beside(random, v))
        check_steps(
            simulation, near_exponents(random, len(v), 254, 255), near_exponents(random, len(v), 0, 255)
        )
