"""Layers: fused groups of graph nodes in the terms of the machine, before tiling."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from hanok.compiler.formula_layer import FormulaLayer, Origin, Output, Tail
from hanok.compiler.view import View
from hanok.numerics.nibble_grids import find_entries
from hanok.numerics.nibbles import Entries

Int8Array = npt.NDArray[np.int8]
FloatArray = npt.NDArray[np.float32]
GROUP_ROWS = (128, 64, 32, 16)
"""Rows that may share a grid of sixteen weights, the cheapest first."""


@dataclass(frozen=True, eq=False)
class Residual:
    """A fused addition of a second tensor: fma(first, ratio, fma(second, ratio, fixed)), in that order."""

    view: View
    layer_ratio: np.float32
    other_ratio: np.float32
    fixed: np.float32
    layer_is_first: bool
    offset: int
    """What is added to stored values to give ONNX's own, which the fused additions take: 128 for uint8."""
    clamp: tuple[int, int]

    @property
    def output(self) -> Output:
        """The rounding back to stored values."""
        return Output(-self.offset, *self.clamp)


@dataclass(frozen=True, eq=False)
class Epilogue:
    """What the vector unit does to int32 sums: scale, round, then lookup, then addition."""

    scale: FloatArray
    """One factor for each output channel, or one for all."""
    output: Output
    table: Int8Array | None = None
    residual: Residual | None = None

    @property
    def final(self) -> Output:
        """The rounding of the last step."""
        if self.residual is not None:
            return self.residual.output
        return self.output if self.table is None else Output(0, -128, 127)

    @property
    def offset(self) -> int:
        """What a residual addition needs added to the stored values of its layer."""
        return 0 if self.residual is None else self.residual.offset

    @property
    def before_residual(self) -> Output:
        """The rounding before a lookup and an addition; without a lookup the offset is part of it."""
        offset = self.offset if self.table is None else 0
        return Output(self.output.zero + offset, self.output.low + offset, self.output.high + offset)

    @property
    def table_entries(self) -> FloatArray | None:
        """What the lookup gives: stored values, or what the addition takes."""
        return None if self.table is None else self.table.astype(np.float32) + np.float32(self.offset)


@dataclass(frozen=True, eq=False)
class Phase:
    """One convolution onto every `step`-th output position from `origin`; a plain one has step (1, 1).

    `weights`: passes that add up (two where a weight minus its zero point needs nine bits), each
    [taps_y][taps_x][group channels][output channels] (depthwise: [taps_y][taps_x][channels]).
    """

    weights: tuple[Int8Array, ...]
    bias: npt.NDArray[np.int32]
    start: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    origin: tuple[int, int]
    step: tuple[int, int]

    @property
    def taps(self) -> tuple[int, int]:
        """Vertical and horizontal taps."""
        return self.weights[0].shape[0], self.weights[0].shape[1]


@dataclass(frozen=True, eq=False)
class MatrixLayer:
    """Convolution, transposed convolution or matrix product with constant weights."""

    origin: Origin
    source: View
    output: View
    phases: tuple[Phase, ...]
    pad: int
    groups: int
    depthwise: bool
    epilogue: Epilogue
    tail: Tail | None = None

    @property
    def views(self) -> tuple[View, ...]:
        """The activations that are read."""
        residual, tail = self.epilogue.residual, self.tail
        others = () if residual is None else (residual.view,)
        more = () if tail is None else tuple(o.view for o in tail.operands if not o.content)
        return (self.source, *others, *more)

    @cached_property
    def entries(self) -> tuple[Entries, ...]:
        """Entries [groups][columns] of the grids of sixteen weights that the weights of each pass lie on.

        Empty where they lie on none, and for layers that are not plain products.
        """
        phase = self.phases[0]
        if len(self.phases) > 1 or self.groups > 1 or self.depthwise or phase.taps != (1, 1):
            return ()
        for group_rows in GROUP_ROWS:
            found = [find_entries(weights[0, 0], group_rows) for weights in phase.weights]
            if all(entries is not None for entries in found):
                return tuple(entries for entries in found if entries is not None)
        return ()

    @property
    def real(self) -> bool:
        """Whether the scaled sums are kept as float32."""
        return self.tail is not None or self.output.element_bytes > 1


@dataclass(frozen=True, eq=False)
class WindowLayer:
    """Pooling: max, or sum times a factor (one, or one for each output position)."""

    origin: Origin
    source: View
    output: View
    kernel: tuple[int, int]
    strides: tuple[int, int]
    start: tuple[int, int]
    dilation: tuple[int, int]
    maximum: bool
    source_zero: int
    factor: FloatArray
    result: Output

    @property
    def views(self) -> tuple[View, ...]:
        """The activations that are read."""
        return (self.source,)


@dataclass(frozen=True)
class ChainStep:
    """A step of an element-wise chain; operand None is the immediate, 1 or 2 a source."""

    step: int
    operand: int
    immediate: float = 0.0


@dataclass(frozen=True, eq=False)
class ElementOperand:
    """An operand of an element-wise layer: (element - zero) * scale; a constant has data, not a view."""

    view: View
    zero: int
    scale: np.float32
    constant: Int8Array | None = None


@dataclass(frozen=True, eq=False)
class ElementLayer:
    """An element-wise chain over one or two broadcast operands."""

    origin: Origin
    operands: tuple[ElementOperand, ...]
    output: View
    steps: tuple[ChainStep, ...]
    result: Output
    table: FloatArray | None = None

    @property
    def views(self) -> tuple[View, ...]:
        """The activations that are read."""
        return tuple(operand.view for operand in self.operands if operand.constant is None)


@dataclass(frozen=True, eq=False)
class CopyLayer:
    """Move [N][H][W][C] from one view to another, unchanged.

    With `fill`, the whole storage of the output is filled with that byte first (padding).
    """

    origin: Origin
    source: View
    output: View
    fill: int | None = None

    @property
    def views(self) -> tuple[View, ...]:
        """The activations that are read."""
        return (self.source,)


@dataclass(frozen=True, eq=False)
class StridedLayer:
    """Gather into a dense output: a transposition, a strided slice or a nearest resize, by nested loops.

    Output element (i0, i1, ...) (row-major over `counts`) is the source's element at byte `start` +
    sum(i_k * strides[k]); both have elements of one size.
    """

    origin: Origin
    source: View
    output: View
    counts: tuple[int, ...]
    strides: tuple[int, ...]
    start: int = 0

    @property
    def views(self) -> tuple[View, ...]:
        """The activations that are read."""
        return (self.source,)


@dataclass(frozen=True, eq=False)
class ReduceLayer:
    """Mean over the middle axis of [outer][reduce][inner]: sum of (x - zero) times factor."""

    origin: Origin
    source: View
    output: View
    shape: tuple[int, int, int]
    source_zero: int
    factor: np.float32
    result: Output

    @property
    def views(self) -> tuple[View, ...]:
        """The activations that are read."""
        return (self.source,)


@dataclass(frozen=True, eq=False)
class SoftmaxLayer:
    """Softmax over the last axis of [rows][classes]."""

    origin: Origin
    source: View
    output: View
    shape: tuple[int, int]
    table: FloatArray
    inverse_scale: np.float32
    result: Output

    @property
    def views(self) -> tuple[View, ...]:
        """The activations that are read."""
        return (self.source,)


@dataclass(frozen=True, eq=False)
class ResizeLayer:
    """Resize of rows and columns by taps and float32 weights (one tap: nearest; two: linear)."""

    origin: Origin
    source: View
    output: View
    rows: npt.NDArray[np.int32]
    row_weights: FloatArray
    columns: npt.NDArray[np.int32]
    column_weights: FloatArray
    source_zero: int
    factor: np.float32
    result: Output

    @property
    def views(self) -> tuple[View, ...]:
        """The activations that are read."""
        return (self.source,)


@dataclass(frozen=True, eq=False)
class ProductLayer:
    """A batch of products of two activations: left [rows][K] times right, to [rows][columns].

    `right` is [columns][K] if it lies `by_column`, otherwise [K][columns]; the last axis lies in neighbouring
    bytes. Views show one matrix; `batches` has the bytes from it to those of each product. `zeros` are the
    zero points of both operands.
    """

    origin: Origin
    left: View
    right: View
    by_column: bool
    output: View
    batches: tuple[tuple[int, int, int], ...]
    zeros: tuple[int, int]
    scale: np.float32
    result: Output

    @property
    def views(self) -> tuple[View, ...]:
        """The activations that are read."""
        return (self.left, self.right)

    @property
    def depth(self) -> int:
        """How many products each result sums up."""
        return self.left.shape[3]

    @property
    def columns(self) -> int:
        """Columns of the result."""
        return self.output.shape[3]


Layer = (
    MatrixLayer
    | WindowLayer
    | ElementLayer
    | CopyLayer
    | StridedLayer
    | ReduceLayer
    | SoftmaxLayer
    | ResizeLayer
    | FormulaLayer
    | ProductLayer
)
