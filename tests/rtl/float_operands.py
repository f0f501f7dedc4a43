"""Operands for the tests of the float32 units, and NumPy's results as bits."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hanok.rtl.simulate import Simulation

Bits = np.ndarray[Any, np.dtype[np.uint32]]

SIGN, NAN, INFINITY = 0x80000000, 0x7FC00000, 0x7F800000
_FRACTIONS = (0, 1, 2, 0x3FFFFF, 0x400000, 0x400001, 0x7FFFFE, 0x7FFFFF)
_EXPONENTS = (0, 1, 2, 24, 103, 126, 127, 128, 150, 151, 253, 254)
_FEW_FRACTIONS = (0, 1, 0x400000, 0x7FFFFF)
NANS = (NAN, 0xFFC00000, 0x7F800001, 0xFFFFFFFF)


def _corners(fractions: tuple[int, ...]) -> Bits:
    sizes = [exponent << 23 | fraction for exponent in _EXPONENTS for fraction in fractions]
    sizes += [INFINITY, *range(3, 9)]
    return np.array([*sizes, *(SIGN | size for size in sizes), *NANS], np.uint32)


CORNERS = _corners(_FRACTIONS)
"""Zeros, subnormal and normal numbers at the edges, powers of two and their neighbours, infinities, NaNs."""
FEW_CORNERS = _corners(_FEW_FRACTIONS)


def combinations(values: Bits, number: int) -> list[Bits]:
    """Return `number` arrays that together hold every combination of the values."""
    return [axis.ravel() for axis in np.meshgrid(*[values] * number, indexing="ij")]


def floats(bits: Bits) -> np.ndarray[Any, np.dtype[np.float32]]:
    return bits.view(np.float32)


def canonical_bits(values: np.ndarray[Any, Any]) -> Bits:
    """Return the bits of float32, every NaN the canonical one."""
    assert values.dtype == np.float32
    return np.where(np.isnan(values), np.uint32(NAN), values.view(np.uint32))


def any_bits(random: np.random.Generator, count: int) -> Bits:
    """Every pattern is as likely."""
    return random.integers(0, 1 << 32, count, dtype=np.uint32)


def near_exponents(random: np.random.Generator, count: int, low: int, high: int) -> Bits:
    """Exponent fields in low .. high; fractions of random bits, of few 1s, or of a run of 1s."""
    fraction = random.integers(0, 1 << 23, count, dtype=np.uint32)
    few = fraction & random.integers(0, 1 << 23, count, dtype=np.uint32)
    few &= random.integers(0, 1 << 23, count, dtype=np.uint32)
    run = (np.uint32(0x7FFFFF) << random.integers(0, 24, count, dtype=np.uint32)) & np.uint32(0x7FFFFF)
    run ^= random.integers(0, 2, count, dtype=np.uint32)
    kind = random.integers(0, 3, count)
    fraction = np.choose(kind, [fraction, few, run]).astype(np.uint32)
    exponent = random.integers(low, high + 1, count, dtype=np.uint32)
    return fraction | exponent << np.uint32(23) | any_bits(random, count) & np.uint32(SIGN)


def beside(random: np.random.Generator, bits: Bits) -> Bits:
    """Return numbers that differ from the given ones in low bits only, and maybe in their sign."""
    reach = np.uint32(1) << random.integers(0, 26, len(bits), dtype=np.uint32)
    moved = bits ^ (any_bits(random, len(bits)) & (reach - np.uint32(1)))
    return moved ^ (any_bits(random, len(bits)) & np.uint32(SIGN))


def in_parts(total: int, part: int = 500_000) -> Iterator[int]:
    """Split a count, so that no array grows large."""
    for begin in range(0, total, part):
        yield min(part, total - begin)


class Clocked(wiring.Component):
    """A unit and a register that beats, so that a unit without registers can be clocked too."""

    def __init__(self, unit: wiring.Component) -> None:
        self.unit = unit
        super().__init__({**dict(unit.signature.members.items()), "beat": Out(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.unit = unit = self.unit
        m.d.sync += self.beat.eq(~self.beat)
        for name, member in unit.signature.members.items():
            mine, its = getattr(self, name), getattr(unit, name)
            m.d.comb += its.eq(mine) if member.flow == In else mine.eq(its)
        return m


class Pipelined:
    """A unit that takes operands every cycle and gives the result `latency` cycles later."""

    def __init__(self, unit: Any) -> None:
        self._latency = unit.latency
        self._simulation = Simulation(Clocked(unit))

    def __call__(self, **operands: Any) -> np.ndarray[Any, Any]:
        """Return the results of arrays of operands, those of the unit's shape of `o`."""
        cycles = len(next(iter(operands.values()))) + self._latency
        padded = {name: np.pad(values, (0, self._latency)) for name, values in operands.items()}
        found = self._simulation.run(cycles, padded, ["o"])["o"]
        return found[self._latency :]


def check(expected: Bits, found: np.ndarray[Any, Any], *operands: np.ndarray[Any, Any]) -> None:
    """Fail with the first operands whose result is another."""
    wrong = np.flatnonzero(expected.astype(np.int64) != found.astype(np.int64))
    shown = [
        " ".join(hex(int(values[at])) for values in (*operands, expected, found)) for at in wrong[:5].tolist()
    ]
    assert not shown, f"{len(wrong)} of {len(expected)} differ; operands, expected, found: {shown}"


def check_pairs(
    unit: Pipelined, function: Callable[[Any, Any], Any], a: Bits, b: Bits, **others: np.ndarray[Any, Any]
) -> None:
    """Hold a unit with the operands a and b against NumPy's function of float32."""
    with np.errstate(all="ignore"):
        expected = canonical_bits(function(floats(a), floats(b)))
    check(expected, unit(a=a, b=b, **others), a, b)
