"""Formulas of float32 values: straight lines of the steps that the vector unit has, and their values.

A formula is the specification of a function: the reference evaluates its lines one after the other, the
compiler makes chains of them. Every line is one correctly rounded IEEE operation or one of the roundings and
lookups of `docs/isa.md`, so both give the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
import numpy.typing as npt

from hanok.numerics.rounding import round_clamp, saturate_int32

Floats = npt.NDArray[np.float32]
TABLE_ENTRIES = 256


class Action(Enum):
    """What a line does with its operands a, b, c (an immediate is a float32 number)."""

    ADD = "a + b"
    SUB = "a - b"
    MUL = "a * b"
    DIV = "a / b"
    MAX = "b if b > a else a"
    MIN = "b if b < a else a"
    GREATER = "1.0 if a > b else 0.0"
    SELECT = "b if a != 0 else c"
    TAKE = "b, wherever a is"
    FUSED = "a * immediate b + c, rounded once"
    ROUND = "clamp(round_half_even(a), low, high); NaN gives low"
    LOOKUP = "table[saturate_int8(round_half_even(a)) + 128]; NaN reads entry 0"
    BITS = "the int32 that has the bits of a, as float32"
    FROM_BITS = "the float32 that has the bits of the int32 nearest to a"
    SUM = "the sum of a along the rows, in the order of lanes"
    LARGEST = "the largest of a along the rows"
    LEAST = "the least of a along the rows"


FOLDS = (Action.SUM, Action.LARGEST, Action.LEAST)


@dataclass(frozen=True)
class Ref:
    """The value of a line; inputs come first."""

    number: int


Operand = Ref | float


@dataclass(frozen=True)
class Line:
    """One step. `bounds` belong to ROUND, `table` (an index into the formula's tables) to LOOKUP."""

    action: Action
    operands: tuple[Operand, ...]
    bounds: tuple[int, int] = (0, 0)
    table: int = -1


@dataclass
class Formula:
    """Lines in order over `inputs` values; methods append a line and return its value."""

    inputs: int
    lines: list[Line] = field(default_factory=list)
    tables: list[Floats] = field(default_factory=list)

    def input(self, number: int) -> Ref:
        """The value of an input."""
        assert 0 <= number < self.inputs, f"input {number} of {self.inputs}"
        return Ref(number)

    def append(
        self, action: Action, *operands: Operand, bounds: tuple[int, int] = (0, 0), table: int = -1
    ) -> Ref:
        """Append a line, or return the value of an equal one."""
        line = Line(action, tuple(_rounded(operand) for operand in operands), bounds, table)
        if line in self.lines:
            return Ref(self.inputs + self.lines.index(line))
        self.lines.append(line)
        return Ref(self.inputs + len(self.lines) - 1)

    def add(self, a: Operand, b: Operand) -> Ref:
        """a + b."""
        return self.append(Action.ADD, a, b)

    def sub(self, a: Operand, b: Operand) -> Ref:
        """a - b."""
        return self.append(Action.SUB, a, b)

    def mul(self, a: Operand, b: Operand) -> Ref:
        """a * b."""
        return self.append(Action.MUL, a, b)

    def div(self, a: Operand, b: Operand) -> Ref:
        """a / b."""
        return self.append(Action.DIV, a, b)

    def maximum(self, a: Operand, b: Operand) -> Ref:
        """b if b > a else a."""
        return self.append(Action.MAX, a, b)

    def minimum(self, a: Operand, b: Operand) -> Ref:
        """b if b < a else a."""
        return self.append(Action.MIN, a, b)

    def greater(self, a: Operand, b: Operand) -> Ref:
        """1.0 if a > b else 0.0."""
        return self.append(Action.GREATER, a, b)

    def select(self, condition: Operand, a: Operand, b: Operand) -> Ref:
        """a if condition is not 0 else b."""
        if not isinstance(b, Ref):
            b = self.append(Action.TAKE, condition, b)
        return self.append(Action.SELECT, condition, a, b)

    def fused(self, a: Operand, factor: float, addend: Operand) -> Ref:
        """a * factor + addend, rounded once."""
        return self.append(Action.FUSED, a, factor, addend)

    def round(self, a: Operand, low: int = -(1 << 15), high: int = (1 << 15) - 1) -> Ref:
        """The nearest whole number within the bounds, ties to even."""
        return self.append(Action.ROUND, a, bounds=(low, high))

    def lookup(self, a: Operand, table: Floats) -> Ref:
        """The entry of whole number a, from -128 to 127."""
        assert table.shape == (TABLE_ENTRIES,), f"a table has {TABLE_ENTRIES} entries"
        for number, known in enumerate(self.tables):
            if known.tobytes() == table.tobytes():
                return self.append(Action.LOOKUP, a, table=number)
        self.tables.append(table.astype(np.float32))
        return self.append(Action.LOOKUP, a, table=len(self.tables) - 1)

    def bits(self, a: Operand) -> Ref:
        """The int32 with the bits of a, rounded to float32."""
        lies_as_float = (
            isinstance(a, Ref) and a.number >= self.inputs and self.line(a).action is not Action.BITS
        )
        return self.append(Action.BITS, a if lies_as_float else self.mul(a, 1.0))

    def line(self, value: Ref) -> Line:
        """The line that makes a value."""
        return self.lines[value.number - self.inputs]

    def from_bits(self, a: Operand) -> Ref:
        """The float32 with the bits of the int32 nearest to a."""
        return self.append(Action.FROM_BITS, a)

    def fold(self, action: Action, a: Operand) -> Ref:
        """A value for each row."""
        assert action in FOLDS, f"{action} folds nothing"
        return self.append(action, a)

    def evaluate(self, inputs: Sequence[Floats], lanes: int = 1) -> list[Floats]:
        """Return the values of all inputs and lines.

        Arrays broadcast; rows are their last axis, and a fold leaves that axis with length 1. A SUM is made
        by `lanes` accumulators, which take elements in turn and are then added in halves.
        """
        assert len(inputs) == self.inputs, f"{len(inputs)} values for {self.inputs} inputs"
        values = [np.asarray(value, np.float32) for value in inputs]
        with np.errstate(all="ignore"):
            for line in self.lines:
                values.append(self._value(line, values, lanes))
        return values

    def _value(self, line: Line, values: list[Floats], lanes: int) -> Floats:
        given = [values[o.number] if isinstance(o, Ref) else np.float32(o) for o in line.operands]
        a = np.asarray(given[0], np.float32)
        match line.action:
            case Action.ROUND:
                return round_clamp(a, 0, *line.bounds).astype(np.float32)
            case Action.LOOKUP:
                return self.tables[line.table][round_clamp(a, 0, -128, 127) + 128]
            case Action.BITS:
                return np.ascontiguousarray(a).view(np.int32).astype(np.float32)
            case Action.FROM_BITS:
                return saturate_int32(a).view(np.float32)
            case Action.FUSED:
                return fused(a, np.float32(given[1]), np.asarray(given[2], np.float32))
            case Action.SELECT:
                return np.where(a != 0, given[1], given[2]).astype(np.float32)
            case Action.TAKE:
                return np.broadcast_to(np.asarray(given[1], np.float32), np.broadcast(a, given[1]).shape)
            case action if action in FOLDS:
                return _folded(action, a, lanes)
            case action:
                return _joined(action, a, np.asarray(given[1], np.float32))


def _rounded(operand: Operand) -> Operand:
    return operand if isinstance(operand, Ref) else float(np.float32(operand))


def _joined(action: Action, a: Floats, b: Floats) -> Floats:
    match action:
        case Action.ADD:
            return a + b
        case Action.SUB:
            return a - b
        case Action.MUL:
            return a * b
        case Action.DIV:
            return a / b
        case Action.MAX:
            return np.where(b > a, b, a)
        case Action.MIN:
            return np.where(b < a, b, a)
        case _:
            return (a > b).astype(np.float32)


def _folded(action: Action, a: Floats, lanes: int) -> Floats:
    """Fold the last axis: lane l takes elements l, l + lanes, ..., then lanes are joined in halves."""
    empty = {Action.SUM: 0.0, Action.LARGEST: -np.inf, Action.LEAST: np.inf}[action]
    join = {Action.SUM: Action.ADD, Action.LARGEST: Action.MAX, Action.LEAST: Action.MIN}[action]
    total = np.full((*a.shape[:-1], lanes), empty, np.float32)
    for first in range(0, a.shape[-1], lanes):
        part = a[..., first : first + lanes]
        total[..., : part.shape[-1]] = _joined(join, total[..., : part.shape[-1]], part)
    while total.shape[-1] > 1:
        half = total.shape[-1] // 2
        total = _joined(join, total[..., :half], total[..., half:])
    return total


def fused(a: Floats, factor: np.float32, addend: Floats) -> Floats:
    """a * factor + addend, rounded once to float32, half to even.

    The product is exact in float64. Their sum is rounded to odd there (an inexact sum with an even last bit
    moves to its neighbour on the side of the rest), after which rounding to float32 is right (Boldo and
    Melquiond, Emulation of a FMA and correctly rounded sums, 2008).
    """
    product = a.astype(np.float64) * np.float64(factor)
    wide = np.broadcast_to(addend.astype(np.float64), np.broadcast(product, addend).shape)
    total = product + wide
    part = total - product
    rest = (product - (total - part)) + (wide - part)
    even = (total.view(np.int64) & 1) == 0
    moves = (rest != 0) & even & np.isfinite(total) & ~np.isnan(rest)
    beside = np.nextafter(total, np.where(rest > 0, np.inf, -np.inf))
    return np.where(moves, beside, total).astype(np.float32)
