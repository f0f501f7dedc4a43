"""Formulas in the terms of the machine, alone or on the results of a matrix layer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hanok.compiler.pack_chains import pack_formula
from hanok.compiler.packed_chains import PackedFormula
from hanok.compiler.view import View
from hanok.numerics.formula import Formula
from hanok.units import ceil_div

REAL_BYTES = 4


@dataclass(frozen=True)
class Origin:
    """Where a layer comes from, for reports."""

    name: str
    onnx_type: str
    onnx_nodes: tuple[str, ...]
    macs: int = 0


@dataclass(frozen=True)
class Output:
    """How a float32 result becomes int8: clamp(round(v) + zero, low, high)."""

    zero: int
    low: int
    high: int


@dataclass(frozen=True, eq=False)
class FormulaOperand:
    """An operand of a formula: (element - zero) * scale; a constant has content, not a view of its own.

    Its view has length 1 along axes on which it repeats.
    """

    view: View
    zero: int
    scale: np.float32
    content: bytes = b""

    @property
    def real(self) -> bool:
        """Whether its elements are float32."""
        return self.view.element_bytes > 1


@dataclass(frozen=True, eq=False)
class FormulaLayer:
    """A formula over [N][H][W][C], whose folds run over C; `result` is the value that is written.

    The output has C = 1 if the result is one value a row. Float32 outputs are written as they are.
    """

    origin: Origin
    operands: tuple[FormulaOperand, ...]
    output: View
    shape: tuple[int, int, int, int]
    formula: Formula
    result: int
    rounding: Output

    @property
    def views(self) -> tuple[View, ...]:
        """The activations that are read."""
        return tuple(operand.view for operand in self.operands if not operand.content)

    @property
    def row_inputs(self) -> list[bool]:
        """Which operands have one value a row."""
        return [operand.view.shape[3] == 1 and self.shape[3] > 1 for operand in self.operands]

    @cached_property
    def packed(self) -> PackedFormula:
        """The formula's chains."""
        return pack_formula(self.formula, self.row_inputs, self.result)


@dataclass(frozen=True, eq=False)
class Tail:
    """A formula without folds on the float32 results of a matrix layer, tile by tile.

    `hole`: which of its operands they are; that one's view shows them as the layer would store them.
    """

    layer: FormulaLayer
    hole: int

    @property
    def operands(self) -> list[FormulaOperand]:
        """The operands that are not the results."""
        return [operand for number, operand in enumerate(self.layer.operands) if number != self.hole]

    def banks(self, elements: int, turns: int, bank_bytes: int) -> int:
        """SRAM banks beside a result of so many elements.

        For sums and other operands, which are there `turns` times, values between chains, and a table.
        """
        sizes = [
            operand.view.element_bytes * (elements if operand.view.shape[1:3] != (1, 1) else 1)
            for operand in self.operands
        ]
        others = sum(ceil_div(size, bank_bytes) for size in sizes)
        sums = ceil_div(REAL_BYTES * elements, bank_bytes)
        return turns * (sums + others) + self.layer.packed.most_values * sums + 1
