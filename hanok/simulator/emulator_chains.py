"""How the fast path executes each CHAIN: joined loops, operands that stand still, and which kernel."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from hanok.isa import VECTOR_STEPS, Destination, Reduction, Source, Step
from hanok.simulator._kernels_values_chain import STRIP
from hanok.simulator.emulator_checks import VectorReach
from hanok.simulator.emulator_fields import Fields

Int64Array = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

_LOOPS = ("outer_2", "outer_1", "outer_0")
_DENSE_STEPS = (
    Step.NONE,
    Step.ADD,
    Step.MUL,
    Step.MAX,
    Step.MIN,
    Step.ROUND,
    Step.LOOKUP,
    Step.SAVE,
    Step.TAKE,
    Step.FUSED_ADD,
)
FEW_OPERATIONS = 1 << 21
"""Below this the literal path takes less time than compiling the general kernel on a fresh machine."""


class ChainPath(IntEnum):
    """What executes a CHAIN; all give the same bits."""

    DENSE = 0
    GENERAL = 1
    STEPWISE = 2


@dataclass(frozen=True)
class ChainPlan:
    """For each CHAIN: its fields with loops joined, its float fields, and how to execute it."""

    joined: Int64Array
    scales: npt.NDArray[np.float32]
    still: list[bool]
    """One reading of operands 1 and 2 serves every run of the inner loop."""
    path: list[int]


def plan_chains(fields: Fields, reach: VectorReach) -> ChainPlan:
    """Plan every CHAIN of a program whose bounds have been checked."""
    joined = Fields(fields.column, fields.integers.copy(), fields.floats)
    _join_loops(joined)
    dense = dense_chains(joined)
    overlapping = overlapping_chains(fields, reach)
    operations = np.ones(len(dense))
    for name in (*_LOOPS, "inner", "reduce_1", "reduce_0"):
        operations = operations * fields[name]
    operations = np.where(dense | overlapping, 0.0, operations * (1 + fields["steps"]))
    rare = ChainPath.STEPWISE if operations.sum() < FEW_OPERATIONS else ChainPath.GENERAL
    path = np.where(overlapping, ChainPath.STEPWISE, np.where(dense, ChainPath.DENSE, rare))
    return ChainPlan(joined.integers, fields.floats, _sides_stand_still(joined).tolist(), path.tolist())


def _all_inside(fields: Fields, axis: str, loop: str) -> BoolArray:
    """Whether the rows (axis y) or pixels (axis x) of an outer loop lie within the limit."""
    start = fields[f"{axis}_start"]
    last = start + (fields[loop] - 1) * fields[f"{axis}_stride"]
    low, high = np.minimum(start, last), np.maximum(start, last)
    return (low >= 0) & (high < fields[f"{axis}_limit"])


def _join_loops(fields: Fields) -> None:
    """Make outer loops part of the inner loop where every stream simply goes on and nothing is folded."""
    open_ = fields["reduction"] == Reduction.NONE
    for axis in (2, 1, 0):
        count, inner = fields[_LOOPS[axis]], fields["inner"]
        match axis:
            case 2:
                inside, step = _all_inside(fields, "x", "outer_0"), fields["x_stride"] * fields["pixel_pitch"]
            case 1:
                inside = _all_inside(fields, "y", "outer_1") & (fields["ring_rows"] == 0)
                step = fields["y_stride"] * fields["row_pitch"]
            case _:
                inside, step = np.ones(len(count), bool), fields["stride_2"]
        goes_on = inside & (step == inner * fields["stride_inner"])
        for name in ("1", "2", "out"):
            strides = fields.repeated(f"strides_{name}", 4)
            goes_on &= (fields[f"kind_{name}"] == Source.NONE) | (strides[:, axis] == inner * strides[:, 3])
        joins = open_ & goes_on & (count > 1)
        inner[joins] *= count[joins]
        count[joins] = 1
        open_ &= count == 1


def _sides_stand_still(fields: Fields) -> BoolArray:
    still = fields["inner"] <= STRIP
    for name in ("1", "2"):
        strides = fields.repeated(f"strides_{name}", 4)
        for axis, loop in enumerate(_LOOPS):
            moves = (strides[:, axis] != 0) & (fields[loop] > 1)
            still &= (fields[f"kind_{name}"] == Source.NONE) | ~moves
    return still


def dense_chains(fields: Fields) -> BoolArray:
    """CHAINs of `dense_chain`: int8 results, near elements, common steps; all inside, or pooling."""
    dense: BoolArray = fields["kind_out"] == Destination.INT8
    inside = _all_inside(fields, "x", "outer_0") & _all_inside(fields, "y", "outer_1")
    pools = (fields["flags"] == 0) & (fields["steps_before"] == 0)
    dense &= np.where(fields["reduction"] == Reduction.NONE, inside, pools)
    sums = (fields["kind_0"] == Source.ACCUMULATOR) & (fields["zero_0"] == 0)
    dense &= (sums | (fields["kind_0"] == Source.INT8)) & (fields["stride_inner"] == 1)
    dense &= fields.repeated("strides_out", 4)[:, 3] == 1
    for name in ("1", "2"):
        kind, strides = fields[f"kind_{name}"], fields.repeated(f"strides_{name}", 4)
        bytes_ = (kind == Source.INT8) & (strides[:, 3] == 1)
        moves = np.bitwise_or.reduce(strides[:, :3], axis=1) | fields[f"address_{name}"]
        words = (kind == Source.FLOAT32) & (strides[:, 3] == 4) & (moves & 3 == 0)
        dense &= (kind == Source.NONE) | bytes_ | words
    common = np.isin(fields.repeated("step", VECTOR_STEPS), _DENSE_STEPS)
    unused = np.arange(VECTOR_STEPS) >= fields["steps"][:, None]
    dense &= np.all(common | unused, axis=1)
    return dense


def overlapping_chains(fields: Fields, reach: VectorReach) -> BoolArray:
    """CHAINs whose result may lie on an operand's bytes other than those of the same element."""
    counts = np.stack([fields[name] for name in ("outer_2", "outer_1", "outer_0", "inner")], axis=1)
    result_strides = fields.repeated("strides_out", 4)
    moves = counts > 1
    wide = np.where(fields["kind_out"] == Destination.INT8, 1, 4)
    elementwise = (fields["reduction"] == Reduction.NONE) & _writes_once(counts, result_strides, wide)
    strides_0 = (
        fields["stride_2"],
        fields["y_stride"] * fields["row_pitch"],
        fields["x_stride"] * fields["pixel_pitch"],
        fields["stride_inner"],
    )
    first_0 = (
        fields["address_0"]
        + fields["y_start"] * fields["row_pitch"]
        + fields["x_start"] * fields["pixel_pitch"]
    )
    streams = (
        (first_0, np.stack(strides_0, axis=1), "kind_0", fields["ring_rows"] == 0),
        (fields["address_1"], fields.repeated("strides_1", 4), "kind_1", True),
        (fields["address_2"], fields.repeated("strides_2", 4), "kind_2", True),
    )
    overlapping = np.zeros(len(counts), bool)
    for span, (first, strides, kind, plain) in zip(reach.sources, streams, strict=True):
        same = (first == fields["address_out"]) & np.all(~moves | (strides == result_strides), axis=1)
        same &= (np.where(fields[kind] == Source.INT8, 1, 4) == wide) & elementwise & plain
        overlapping |= span.meets(reach.result) & ~same
    return overlapping


def _writes_once(counts: Int64Array, strides: Int64Array, wide: Int64Array) -> BoolArray:
    """Whether loops, taken from the smallest stride up, step over all that the ones before them write."""
    sizes = np.where(counts > 1, np.abs(strides), 1 << 60)
    order = np.argsort(sizes, axis=1)
    sizes, steps = np.take_along_axis(sizes, order, 1), np.take_along_axis(counts, order, 1) - 1
    once, extent = np.ones(len(counts), bool), wide
    for axis in range(counts.shape[1]):
        once &= sizes[:, axis] >= extent
        extent = extent + np.where(steps[:, axis] > 0, sizes[:, axis] * steps[:, axis], 0)
    return once
