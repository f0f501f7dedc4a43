"""What the float32 units share: fields, shifts that keep what they drop, rounding, registers between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal

from hanok.numerics.rounding import CANONICAL_NAN_BITS

SIGNIFICAND_BITS = 24
FRACTION_BITS = 23
EXPONENT_BIAS = 127
EXPONENT_TOP = 255
"""The exponent field of infinities and NaNs."""


def named(m: Module, value: Any, name: str) -> Any:
    """Give a value a signal, so that its gates are there once however often it is used."""
    signal = Signal.like(value, name=name)
    m.d.comb += signal.eq(value)
    return signal


def register_counts(delays: Sequence[float], latency: int) -> list[int]:
    """Return how many registers follow each part of a unit, so that the slowest stage is as short as can be.

    `delays` are the parts' rough delays in order. The last part is followed by a register if any is; those
    beyond one a part follow the last, where a synthesiser can move them.
    """
    parts = len(delays)
    if latency == 0:
        return [0] * parts
    if latency >= parts:
        return [1] * (parts - 1) + [latency - parts + 1]
    ways = [(0, *cuts, parts) for cuts in combinations(range(1, parts), latency - 1)]
    best = min(ways, key=lambda way: max(sum(delays[begin:end]) for begin, end in pairwise(way)))
    return [int(part + 1 in best) for part in range(parts)]


class Pipeline:
    """Registers between the parts of a unit: `cut` once after each part, with all that later parts need."""

    def __init__(self, m: Module, latency: int, delays: Sequence[float]) -> None:
        assert latency >= 0, f"latency {latency} is negative"
        self._m = m
        self._counts = register_counts(delays, latency)
        self._cuts = 0

    def cut(self, *values: Any) -> Any:
        """Return the values after this cut's registers: one signal, or a tuple of several."""
        number, self._cuts = self._cuts, self._cuts + 1
        held = []
        for index, value in enumerate(values):
            value = named(self._m, value, f"part_{number}_{index}")
            for stage in range(self._counts[number]):
                register = Signal.like(value, name=f"part_{number}_{index}_{stage}", reset_less=True)
                self._m.d.sync += register.eq(value)
                value = register
            held.append(value)
        return tuple(held) if len(held) > 1 else held[0]

    def end(self) -> None:
        """Check that every register has its place."""
        assert self._cuts == len(self._counts), f"{self._cuts} cuts, {len(self._counts)} delays"


@dataclass(frozen=True)
class Fields:
    """A float32: the value of a finite one is significand * 2 ** (exponent - 150)."""

    sign: Any
    exponent: Any
    """From 1 on: subnormal numbers have the exponent of the least normal one."""
    significand: Any
    is_nan: Any
    is_infinite: Any
    is_zero: Any


def unpack(m: Module, value: Any, name: str) -> Fields:
    """Take a float32 apart."""
    fraction, field = value[:FRACTION_BITS], value[FRACTION_BITS:31]
    is_normal = named(m, field != 0, f"{name}_is_normal")
    is_top = named(m, field == EXPONENT_TOP, f"{name}_is_top")
    has_fraction = named(m, fraction != 0, f"{name}_has_fraction")
    return Fields(
        sign=value[31],
        exponent=named(m, Cat(field[0] | ~is_normal, field[1:]), f"{name}_exponent"),
        significand=named(m, Cat(fraction, is_normal), f"{name}_significand"),
        is_nan=named(m, is_top & has_fraction, f"{name}_is_nan"),
        is_infinite=named(m, is_top & ~has_fraction, f"{name}_is_infinite"),
        is_zero=named(m, ~is_normal & ~has_fraction, f"{name}_is_zero"),
    )


def leading_zeros(m: Module, value: Any, name: str) -> tuple[Any, Any]:
    """Return the zeros above the highest 1, and whether there is no 1 (then the count says nothing)."""
    groups = zeros_of_groups(m, value, 1, name)
    return joined_zeros(m, groups, name)


def zeros_of_groups(m: Module, value: Any, size: int, name: str) -> list[tuple[Any, Any]]:
    """Return what `leading_zeros` does of each group of `size` bits, the lowest first: see `joined_zeros`."""
    width = 1 << (len(value) - 1).bit_length()
    padded = Cat(Const(0, width - len(value)), value)
    groups: list[tuple[Any, Any]] = [(None, ~padded[bit]) for bit in range(width)]
    return _joined(m, groups, width // size, name)


def joined_zeros(m: Module, groups: list[tuple[Any, Any]], name: str) -> tuple[Any, Any]:
    """Return the leading zeros of all groups together."""
    return _joined(m, groups, 1, name)[0]


def _joined(m: Module, level: list[tuple[Any, Any]], wanted: int, name: str) -> list[tuple[Any, Any]]:
    while len(level) > wanted:
        joined: list[tuple[Any, Any]] = []
        for low, high in zip(level[::2], level[1::2], strict=True):
            place = f"{name}_{len(level)}_{len(joined)}"
            empty = named(m, low[1] & high[1], f"{place}_empty")
            count = high[1] if low[0] is None else Cat(Mux(high[1], low[0], high[0]), high[1])
            joined.append((named(m, count, f"{place}_count"), empty))
        level = joined
    return level


def shift_left(m: Module, value: Any, amount: Any, bits: Sequence[int], name: str) -> Any:
    """Shift left by the given bits of `amount`, within the value's width."""
    for bit in bits:
        by = min(1 << bit, len(value))
        shifted = Cat(Const(0, by), value[: len(value) - by])
        value = named(m, Mux(amount[bit], shifted, value), f"{name}_{bit}")
    return value


def shift_right(m: Module, value: Any, amount: Any, bits: Sequence[int], name: str) -> Any:
    """Shift right by the given bits of `amount`; the lowest bit becomes 1 if a 1 is dropped."""
    for bit in bits:
        by = min(1 << bit, len(value))
        kept = value[by:]
        lowest = value[: by + 1].any()
        shifted = Cat(lowest, kept[1:], Const(0, by)) if len(kept) else Cat(lowest, Const(0, by - 1))
        value = named(m, Mux(amount[bit], shifted, value), f"{name}_{bit}")
    return value


def sum_with_carry(left: Any, right: Any, carry: Any) -> Any:
    """Return left + right + carry in one adder, a bit wider than the wider of both."""
    return (Cat(Const(1, 1), left) + Cat(carry, right))[1:]


def at_most(m: Module, value: Any, bits: int, name: str) -> Any:
    """Clamp a signed value to 0 .. 2 ** bits - 1."""
    sign, above = value[-1], value[bits:-1].any()
    return named(m, (value[:bits] | above.replicate(bits)) & (~sign).replicate(bits), name)


@dataclass(frozen=True)
class Exact:
    """A magnitude before it is rounded: significand * 2 ** (exponent - 150), and what is below its last bit.

    A significand whose highest bit is 0 is subnormal: its exponent is 1.
    """

    exponent: Any
    significand: Any
    half: Any
    """The bit below the significand's last."""
    rest: Any
    """Whether a bit below `half` is 1."""

    def through(self, pipeline: Pipeline, ends: Any) -> tuple[Exact, Any]:
        """Return this and `ends` after a cut."""
        *parts, ends = pipeline.cut(self.exponent, self.significand, self.half, self.rest, ends)
        return Exact(*parts), ends


def exact_of(m: Module, value: Any, exponent: Any) -> Exact:
    """Split a magnitude whose highest bit has this exponent."""
    split = len(value) - SIGNIFICAND_BITS
    rest = named(m, value[: split - 1].any(), "rest")
    return Exact(exponent, value[split:], value[split - 1], rest)


def exact_below_two(m: Module, value: Any, exponent: Any) -> Exact:
    """Split a magnitude whose second highest bit has this exponent; the highest may be 1."""
    split = len(value) - SIGNIFICAND_BITS
    high = value[-1]
    rest = value[: split - 2].any()
    return Exact(
        exponent=named(m, exponent + high, "exponent_after"),
        significand=named(m, Mux(high, value[split:], value[split - 1 : -1]), "significand_after"),
        half=named(m, Mux(high, value[split - 1], value[split - 2]), "half"),
        rest=named(m, rest | (high & value[split - 2]), "rest"),
    )


def rounded(m: Module, exact: Exact) -> Any:
    """Round half to even: exponent field and fraction, whose carry goes where it has to."""
    significand = exact.significand
    normal = significand[FRACTION_BITS]
    field = exact.exponent & normal.replicate(len(exact.exponent))
    up = exact.half & (exact.rest | significand[0])
    return named(m, Cat(significand[:FRACTION_BITS], field) + up, "rounded")


def packed(m: Module, sign: Any, magnitude: Any, is_infinite: Any, is_nan: Any) -> Any:
    """Return the float32 of what `rounded` gave; past the largest number it is infinite."""
    overflows = named(m, magnitude[FRACTION_BITS:] >= EXPONENT_TOP, "overflows")
    infinity = EXPONENT_TOP << FRACTION_BITS
    finite = Mux(is_infinite | overflows, infinity, magnitude[:31])
    return Mux(is_nan, CANONICAL_NAN_BITS, Cat(finite[:31], sign))
