"""What formulas become: chains of the vector unit, and the values that lie in SRAM between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hanok.isa import Operand, Reduction, Step


@dataclass(frozen=True)
class Held:
    """A value in SRAM: the number of the input or line, and whether its bits are read as an int32."""

    number: int
    as_bits: bool = False


@dataclass(frozen=True)
class PackedStep:
    """A step of a chain; `stream` counts the chain's streams from 0 where its operand is one of them."""

    step: Step
    operand: Operand = Operand.IMMEDIATE
    immediate: float = 0.0


@dataclass(frozen=True)
class PackedChain:
    """One CHAIN: where it begins, its other operands, its steps, and what it leaves in SRAM.

    `result`: the line whose value is written; `to_bits`: as the int32 nearest to the value of the line
    before. `folded`: how the rows are folded at the end. `rowwise`: it works on one value a row.
    """

    start: Held
    streams: tuple[Held, ...]
    steps: tuple[PackedStep, ...]
    result: int
    to_bits: bool = False
    folded: Reduction = Reduction.NONE
    bounds: tuple[int, int] | None = None
    table: int = -1
    rowwise: bool = False


@dataclass(frozen=True)
class PackedFormula:
    """The chains of a formula, whether each value is one a row, and for each chain how many whole and how
    many row-wise values lie in SRAM beside operands and result."""

    chains: tuple[PackedChain, ...]
    rowwise: tuple[bool, ...]
    live: tuple[tuple[int, int], ...]

    @property
    def most_values(self) -> int:
        """The most values that lie in SRAM at a time."""
        return max(whole + rows for whole, rows in self.live)


def live_values(chains: Sequence[PackedChain], rowwise: list[bool], result: int) -> list[tuple[int, int]]:
    """For each chain, how many whole and how many row-wise values lie in SRAM between tiles' operands."""
    last: dict[int, int] = {}
    for index, chain in enumerate(chains):
        for held in (chain.start, *chain.streams):
            last[held.number] = index
    found = []
    born = {chain.result: index for index, chain in enumerate(chains)}
    for index in range(len(chains)):
        numbers = [
            number
            for number, first in born.items()
            if number != result and first <= index <= last.get(number, first)
        ]
        whole = sum(not rowwise[number] for number in numbers)
        found.append((whole, len(numbers) - whole))
    return found
