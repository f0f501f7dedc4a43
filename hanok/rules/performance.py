"""Total processing performance and applicable die area, as ECCN 3A090's technical notes define them.

TPP is the sum, over the processing units of a circuit, of 2 x MacTOPS x bit length: dense multiplications
with accumulation in 10^12 a second, in the mode whose product is highest, times the bits of the
multiplier's largest input.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from hanok.rules.facts import Fact
from hanok.rules.interval import EVERYTHING, NOTHING, Interval, largest

NON_PLANAR_UP_TO_NM = 16
"""Logic processes of 16 nm and below are taken as FinFET or gate-all-around."""
PLANAR_FROM_NM = 28
"""And from 28 nm on as planar; between them there are both (Intel's 22 nm is FinFET, TSMC's 20 nm is not)."""
_FORMAT = re.compile(r"(?:u?int|fp|bf|float)([0-9]{1,3})", re.ASCII)


@dataclass(frozen=True)
class Mode:
    """A way in which a unit multiplies: its inputs' formats, and dense MacTOPS where they are known."""

    inputs: tuple[str, ...]
    bits: int
    mac_tops: Interval

    @property
    def product(self) -> Interval:
        """2 x MacTOPS x bit length."""
        return Interval.of(2 * self.bits) * self.mac_tops


@dataclass(frozen=True)
class Unit:
    """Processing units of one kind, all of them together."""

    name: str
    modes: tuple[Mode, ...]

    @property
    def product(self) -> Interval:
        """Of the mode that has the highest."""
        return largest([mode.product for mode in self.modes]) if self.modes else Interval(Fraction(0), None)


@dataclass(frozen=True)
class Die:
    """A logic die: its area, and whether its transistors are non-planar (None: not known)."""

    name: str
    mm2: Interval
    non_planar: bool | None
    source: str


def bits_of(formats: Sequence[str]) -> int:
    """Return the bits of the largest input; raises ValueError for a format whose name does not tell them."""
    widths = []
    for name in formats:
        found = _FORMAT.fullmatch(name.lower())
        if not found or not 1 <= int(found[1]) <= 512:
            raise ValueError(
                f"format {name[:20]!r} does not tell its bits; write int8, fp16 ..., or give bits"
            )
        widths.append(int(found[1]))
    return max(widths)


def performance(units: Sequence[Unit]) -> Fact:
    """Return TPP, with the sum that makes it as its source; unknown where no unit is described."""
    if not units:
        return Fact(None, "no processing unit is described")
    total, parts = NOTHING, []
    for unit in units:
        total = total + unit.product
        parts.append(f"{unit.name}: {_told(unit)}")
    if total.high is None and total.low == 0:
        return Fact(None, "; ".join(parts))
    return Fact(total, "; ".join(parts))


def applicable_area(dies: Sequence[Die]) -> Fact:
    """Return the area of the logic dies whose transistors are non-planar, in mm2."""
    if not dies:
        return Fact(None, "no die is described")
    total, parts = NOTHING, []
    for die in dies:
        if die.non_planar is None:
            total = total + Interval(Fraction(0), die.mm2.high)
            parts.append(f"{die.name}: {die.mm2} mm2 if its transistors are non-planar, which is not known")
        elif die.non_planar:
            total = total + die.mm2
            parts.append(f"{die.name}: {die.mm2} mm2 ({die.source})")
        else:
            parts.append(f"{die.name}: planar, does not count ({die.source})")
    if total == Interval(Fraction(0), None):
        return Fact(None, "; ".join(parts))
    return Fact(total, "; ".join(parts))


def non_planar_by_node(process_nm: Fraction) -> bool | None:
    """What a process node says about its transistors; None between the two limits."""
    if process_nm <= NON_PLANAR_UP_TO_NM:
        return True
    return False if process_nm >= PLANAR_FROM_NM else None


def _told(unit: Unit) -> str:
    modes = []
    for mode in unit.modes:
        name = " x ".join(mode.inputs)
        if mode.mac_tops in (EVERYTHING, Interval(Fraction(0), None)):
            modes.append(f"{name} of unknown speed")
        else:
            modes.append(f"{name} 2 x {mode.mac_tops} MacTOPS x {mode.bits} bits = {mode.product}")
    return ", ".join(modes) or "no mode is given"
