"""What proofs of bounds are made with: spans of indices, and the checker of a format's instructions.

All terms are int64: counts stay below 2**32 and strides below 2**31, and each product is clipped to +-2**52.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hanok.errors import VerifyError
from hanok.isa import Decoded, Opcode
from hanok.isa.faults import Fault
from hanok.machine import Chip
from hanok.simulator.emulator_fields import Fields

Int64Array = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

FAR = 1 << 52
_COORDINATES = 1 << 31


@dataclass(frozen=True)
class Span:
    """First and last index that an access reaches, for each instruction."""

    low: Int64Array
    high: Int64Array

    @classmethod
    def at(cls, start: Int64Array) -> Span:
        return cls(start, start)

    def moved(self, steps: Int64Array, stride: Int64Array) -> Span:
        """The span after moving 0 .. steps times by stride."""
        reach = np.clip(np.maximum(steps, 0) * stride, -FAR, FAR)
        return Span(self.low + np.minimum(reach, 0), self.high + np.maximum(reach, 0))

    def within(self, limit: Int64Array) -> Span:
        """The part inside 0 .. limit-1; empty spans have high < low."""
        return Span(np.maximum(self.low, 0), np.minimum(self.high, limit - 1))

    def only(self, where: BoolArray) -> Span:
        """The span where the condition holds, an empty one elsewhere."""
        return Span(np.where(where, self.low, 0), np.where(where, self.high, -1))

    def meets(self, other: Span) -> BoolArray:
        """Whether two spans share an index; empty spans share none."""
        return (self.low <= other.high) & (other.low <= self.high) & ~self.empty & ~other.empty

    @property
    def empty(self) -> BoolArray:
        return self.high < self.low


class Checker:
    """Raises a VerifyError for the first instruction of a format that breaks a rule."""

    def __init__(self, decoded: Decoded, fields: Fields, chip: Chip) -> None:
        opcodes = np.isin(decoded.opcode, np.unique(fields["opcode"]))
        self.indices = np.flatnonzero(opcodes)
        self.opcodes = decoded.opcode[self.indices]
        self.fields = fields
        self.chip = chip

    def require(
        self,
        legal: BoolArray,
        what: str,
        found: Int64Array,
        allowed: str,
        cause: Fault = Fault.NO_SUCH_VALUE,
    ) -> None:
        """Raise for the first row that is not legal; `cause` is what the core says of it."""
        broken = np.flatnonzero(~legal)
        if len(broken):
            row = int(broken[0])
            name = Opcode(int(self.opcodes[row])).name
            raise VerifyError(
                f"instruction {self.indices[row]} ({name}): {what} is {found[row]}; allowed: {allowed}",
                cause,
            )

    def field(self, name: str, low: int, high: int) -> None:
        """Check low <= field <= high."""
        value, allowed = self.fields[name], f"{low} to {high}"
        if low == 1:
            self.require(value != 0, name, value, allowed, Fault.ZERO_LENGTH)
        self.require((value >= low) & (value <= high), name, value, allowed)

    def one_of(self, name: str, allowed: list[int]) -> None:
        """Check that a field holds one of the allowed codes."""
        value = self.fields[name]
        self.require(np.isin(value, allowed), name, value, ", ".join(map(str, allowed)))

    def product(self, span: Span, pitch: Int64Array, where: BoolArray, what: str, limit: int) -> Span:
        """The span of index * pitch, where it is made; refuses products that no place in the memory has."""
        made = np.where(where, pitch, 0)
        far = np.minimum(np.abs(span.high.astype(float) * made), FAR)
        allowed = f"{1 - limit} to {limit - 1}"
        self.require(far < limit, what, far.astype(np.int64), allowed, Fault.NO_SUCH_BYTE)
        return Span(
            np.minimum(span.low * made, span.high * made), np.maximum(span.low * made, span.high * made)
        )

    def span(
        self,
        span: Span,
        limit: int,
        what: str,
        where: BoolArray | None = None,
        cause: Fault = Fault.NO_SUCH_BYTE,
    ) -> None:
        """Check that a span, where it is made and not empty, lies in 0 .. limit-1."""
        made, allowed = ~span.empty if where is None else where & ~span.empty, f"0 to {limit - 1}"
        self.require(~made | (span.low >= 0), f"the lowest {what}", span.low, allowed, cause)
        self.require(~made | (span.high < limit), f"the highest {what}", span.high, allowed, cause)

    def coordinate(self, span: Span, name: str) -> None:
        """Check that all that y or x comes to, inside the limits or not, has 32 bits."""
        allowed = f"{-_COORDINATES} to {_COORDINATES - 1}"
        self.require(span.low >= -_COORDINATES, f"the lowest {name}", span.low, allowed)
        self.require(span.high < _COORDINATES, f"the highest {name}", span.high, allowed)


def product_of(fields: Fields, names: tuple[str, ...]) -> float:
    """Return the sum over all instructions of the product of fields."""
    return float(np.prod([fields[name].astype(float) for name in names], axis=0).sum())
