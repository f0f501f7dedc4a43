"""Legality, bounds and amount of work of every instruction, proven before any of them runs.

No address depends on data, so one pass over the columns is enough, and the kernels behind it need no checks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hanok.errors import VerifyError
from hanok.isa import VECTOR_STEPS, Decoded, Destination, Opcode, Operand, Reduction, Source, Step
from hanok.isa.faults import Fault
from hanok.isa.table import FLAG_ACCUMULATE, FLAG_BIAS, FLAG_COLUMNS, FLAG_REDUCE_INNER
from hanok.machine import Chip
from hanok.simulator._check_dma import check_dma
from hanok.simulator._checker import FAR, BoolArray, Checker, Span, product_of
from hanok.simulator.emulator_fields import Fields

_FARTHEST_PRODUCT = 1 << 44
DEFAULT_WORK_LIMIT = 1 << 44
"""Multiply-accumulates, vector steps and bytes that a program may take in all."""


@dataclass(frozen=True)
class VectorReach:
    """First and last SRAM byte that each CHAIN may read as operand 0, 1 and 2, and may write."""

    sources: tuple[Span, Span, Span]
    result: Span


def check_program(
    decoded: Decoded, fields: dict[str, Fields], chip: Chip, dram_bytes: int, work_limit: int
) -> VectorReach:
    """Raise VerifyError unless every instruction is legal, in bounds, and the work is below the limit."""
    masks = (decoded.wait | decoded.post).astype(np.int64)
    own = (masks >> decoded.unit) & 1 == 1
    broken = np.flatnonzero((masks > 15) | own)
    if len(broken):
        raise VerifyError(
            f"instruction {broken[0]}: wait {decoded.wait[broken[0]]}, post {decoded.post[broken[0]]}; "
            "allowed: bits of the three other units",
            Fault.NO_SUCH_UNIT,
        )
    work = 0.0
    work += check_dma(Checker(decoded, fields["dma"], chip), dram_bytes)
    work += _check_matrix(Checker(decoded, fields["matrix"], chip))
    reach, vector_work = _check_vector(Checker(decoded, fields["vector"], chip))
    work += vector_work
    table = Checker(decoded, fields["table"], chip)
    flags = table.fields["flags"]
    table.require(flags == 0, "flags", flags, "0", Fault.NO_SUCH_FLAG)
    table.span(
        Span(table.fields["address"], table.fields["address"] + 1023), chip.core.sram.total_bytes, "SRAM byte"
    )
    if work > work_limit:
        raise VerifyError(f"the program takes {work:.3g} operations; allowed: at most {work_limit:.3g}")
    return reach


def _check_matrix(checker: Checker) -> float:
    fields, matrix, sram = checker.fields, checker.chip.core.matrix, checker.chip.core.sram.total_bytes
    rows = matrix.accumulator_banks * matrix.accumulator_rows
    depthwise = fields["opcode"] == Opcode.DEPTHWISE
    flags = fields["flags"]
    sums = FLAG_BIAS | FLAG_ACCUMULATE
    checker.require(flags <= sums | FLAG_COLUMNS, "flags", flags, "0 to 7", Fault.NO_SUCH_FLAG)
    checker.require(~depthwise | (flags <= sums), "flags", flags, "0 to 3", Fault.NO_SUCH_FLAG)
    checker.one_of("flags", [flag for flag in range((sums | FLAG_COLUMNS) + 1) if flag & sums != sums])
    for name in ("out_height", "out_width"):
        checker.field(name, 1, rows)
    for name in ("taps_y", "taps_x", "blocks"):
        checker.field(name, 1, 65535)
    checker.field("last_columns", 1, matrix.columns)
    checker.field("tap_bytes", 1, sram)
    checker.require(~depthwise | (fields["tap_bytes"] == 1), "tap_bytes", fields["tap_bytes"], "1")
    checker.require(
        ~depthwise | (fields["pixel_pitch"] > 0),
        "pixel_pitch",
        fields["pixel_pitch"],
        "1 or more",
        Fault.ZERO_LENGTH,
    )
    positions = fields["out_height"] * fields["out_width"]
    last_row = fields["accumulator_row"] + fields["blocks"] * np.minimum(positions, FAR >> 16) - 1
    checker.span(Span(fields["accumulator_row"], last_row), rows, "accumulator row")
    used = (fields["blocks"] - 1) * matrix.columns + fields["last_columns"]
    depth = np.minimum(fields["taps_y"] * fields["taps_x"] * fields["tap_bytes"], 1 << 32)
    pitch = np.where(flags & FLAG_COLUMNS, fields["weight_pitch"], depth)
    weights = Span.at(fields["weight_address"]).moved(used - 1, pitch)
    checker.span(Span(weights.low, weights.high + depth - 1), sram, "SRAM byte of weights")
    bias = fields["bias_address"]
    checker.span(Span(bias, bias + 4 * used - 1), sram, "SRAM byte of biases", flags & FLAG_BIAS > 0)
    _check_activations(checker, depthwise)
    return float((positions.astype(float) * used * depth).sum())


def _check_activations(checker: Checker, depthwise: BoolArray) -> None:
    fields, matrix, sram = checker.fields, checker.chip.core.matrix, checker.chip.core.sram.total_bytes
    y = Span.at(fields["y_start"]).moved(fields["out_height"] - 1, fields["y_stride"])
    y = y.moved(fields["taps_y"] - 1, fields["y_dilation"])
    checker.coordinate(y, "y")
    y = y.within(fields["y_limit"])
    x = Span.at(fields["x_start"]).moved(fields["out_width"] - 1, fields["x_stride"])
    x = x.moved(fields["taps_x"] - 1, fields["x_tap"]).moved(fields["blocks"] - 1, fields["x_block"])
    widest = np.where(fields["blocks"] > 1, matrix.columns, fields["last_columns"])
    bytes_wide = np.where(depthwise, widest, fields["tap_bytes"])
    x = x.moved(bytes_wide - 1, np.ones_like(bytes_wide))
    checker.coordinate(x, "x")
    x = x.within(fields["x_limit"])
    read = ~y.empty & ~x.empty
    row = checker.product(
        _ring(y, fields), fields["row_pitch"], read, "row slot * row_pitch", _FARTHEST_PRODUCT
    )
    start = fields["activation_address"]
    span = Span(start + row.low + x.low, start + row.high + x.high)
    checker.span(span, sram, "SRAM byte of activations", read)


def _ring(y: Span, fields: Fields) -> Span:
    """Row slots that rows y lie in; a ring that wraps or is covered uses all of its slots."""
    ring, start = fields["ring_rows"], fields["ring_start"]
    size = np.maximum(ring, 1)
    first, last = (y.low + start) // size, (y.high + start) // size
    whole = first != last
    low = np.where(whole, 0, (y.low + start) % size)
    high = np.where(whole, size - 1, (y.high + start) % size)
    return Span(np.where(ring > 0, low, y.low), np.where(ring > 0, high, y.high))


def _check_vector(checker: Checker) -> tuple[VectorReach, float]:
    fields = checker.fields
    for name in ("outer_2", "outer_1", "outer_0", "inner"):
        checker.field(name, 1, (1 << 31) - 1)
    for name in ("reduce_1", "reduce_0"):
        checker.field(name, 1, 65535)
    checker.one_of("reduction", [int(code) for code in Reduction])
    none = fields["reduction"] == Reduction.NONE
    flags = fields["flags"]
    checker.require(flags <= FLAG_REDUCE_INNER, "flags", flags, "0 or 1", Fault.NO_SUCH_FLAG)
    checker.require(~none | (fields["flags"] == 0), "flags", fields["flags"], "0 without a reduction")
    reduces = fields["reduce_1"] * fields["reduce_0"]
    checker.require(~none | (reduces == 1), "reduce_1 * reduce_0", reduces, "1 without a reduction")
    checker.one_of("kind_0", [int(kind) for kind in Source if kind is not Source.NONE])
    for name in ("kind_1", "kind_2"):
        checker.one_of(name, [int(kind) for kind in Source if kind is not Source.ACCUMULATOR])
    checker.one_of("kind_out", [int(kind) for kind in Destination])
    _check_output_range(checker)
    _check_steps(checker)
    reach = _check_vector_bounds(checker)
    lengths = ("outer_2", "outer_1", "outer_0", "reduce_1", "reduce_0", "inner")
    return reach, (1 + VECTOR_STEPS) * product_of(fields, lengths)


def _check_output_range(checker: Checker) -> None:
    fields = checker.fields
    int8 = fields["kind_out"] == Destination.INT8
    low, high = fields["low_out"], fields["high_out"]
    checker.require(~int8 | ((low >= -128) & (low <= 127)), "low_out", low, "-128 to 127")
    checker.require(~int8 | ((high >= low) & (high <= 127)), "high_out", high, "low_out to 127")


def _check_steps(checker: Checker) -> None:
    fields = checker.fields
    checker.field("steps", 0, VECTOR_STEPS)
    before = fields["steps_before"]
    checker.require(before <= fields["steps"], "steps_before", before, "0 to steps")
    steps, operands = fields.repeated("step", VECTOR_STEPS), fields.repeated("operand", VECTOR_STEPS)
    for number in range(VECTOR_STEPS):
        made = number < fields["steps"]
        step, operand = steps[:, number], operands[:, number]
        checker.require(~made | np.isin(step, list(Step)), f"step {number}", step, f"0 to {max(Step)}")
        checker.require(
            ~made | np.isin(operand, list(Operand)), f"operand {number}", operand, f"0 to {max(Operand)}"
        )
        immediate = made & (step == Step.FUSED_ADD) & (operand == Operand.IMMEDIATE)
        checker.require(
            ~immediate, f"operand {number} of FUSED_ADD", operand, f"1 to {max(Operand)}: not IMMEDIATE"
        )
        for code, kind in ((Operand.SOURCE_1, "kind_1"), (Operand.SOURCE_2, "kind_2")):
            missing = made & (operand == code) & (fields[kind] == Source.NONE)
            checker.require(~missing, f"{kind} of step {number}", fields[kind], "a source that is read")


def _check_vector_bounds(checker: Checker) -> VectorReach:
    fields, sram = checker.fields, checker.chip.core.sram.total_bytes
    inner = fields["inner"] - 1
    from_accumulators = fields["kind_0"] == Source.ACCUMULATOR
    matrix = checker.chip.core.matrix
    elements = matrix.accumulator_banks * matrix.accumulator_rows * matrix.columns
    count = fields["outer_2"].astype(float) * fields["outer_1"] * fields["outer_0"] * fields["inner"]
    most = max(sram, elements)
    checker.require(
        count <= most, "outer_2 * outer_1 * outer_0 * inner", count.astype(np.int64), f"1 to {most}"
    )
    span, read = _source_0(checker, most)
    start = Span.at(fields["address_0"])
    checker.span(start, elements, "accumulator element where operand 0 begins", read & from_accumulators)
    checker.span(start, sram, "SRAM byte where operand 0 begins", read & ~from_accumulators)
    span = span.moved(fields["outer_2"] - 1, fields["stride_2"]).moved(inner, fields["stride_inner"])
    wide = np.where((fields["kind_0"] == Source.INT8) | from_accumulators, 0, 3)
    span = span.moved(wide, np.ones_like(wide))
    checker.span(span, elements, "accumulator element", read & from_accumulators)
    checker.span(span, sram, "SRAM byte of operand 0", read & ~from_accumulators)
    spans = [span.only(read & ~from_accumulators)]
    folded = fields["flags"] == FLAG_REDUCE_INNER
    for name, length in (("1", inner), ("2", inner), ("out", np.where(folded, 0, inner))):
        strides = fields.repeated(f"strides_{name}", 4)
        span = Span.at(fields[f"address_{name}"])
        for axis, steps in enumerate(
            (fields["outer_2"] - 1, fields["outer_1"] - 1, fields["outer_0"] - 1, length)
        ):
            span = span.moved(steps, strides[:, axis])
        wide = np.where(fields[f"kind_{name}"] == Source.INT8, 0, 3)
        span = span.moved(wide, np.ones_like(wide))
        used = fields[f"kind_{name}"] != Source.NONE
        checker.span(span, sram, f"SRAM byte of operand {name}", used)
        spans.append(span.only(used))
    return VectorReach((spans[0], spans[1], spans[2]), spans[3])


def _source_0(checker: Checker, most: int) -> tuple[Span, BoolArray]:
    """Where rows and pixels of operand 0 lie, of memories of `most` places, and whether any are read."""
    fields = checker.fields
    y = Span.at(fields["y_start"]).moved(fields["outer_1"] - 1, fields["y_stride"])
    y = y.moved(fields["reduce_1"] - 1, fields["y_dilation"])
    checker.coordinate(y, "y")
    y = y.within(fields["y_limit"])
    x = Span.at(fields["x_start"]).moved(fields["outer_0"] - 1, fields["x_stride"])
    x = x.moved(fields["reduce_0"] - 1, fields["x_dilation"])
    checker.coordinate(x, "x")
    x = x.within(fields["x_limit"])
    read = ~y.empty & ~x.empty
    row = checker.product(_ring(y, fields), fields["row_pitch"], read, "row slot * row_pitch", most)
    pixel = checker.product(x, fields["pixel_pitch"], read, "x * pixel_pitch", most)
    start = fields["address_0"]
    return Span(start + row.low + pixel.low, start + row.high + pixel.high), read
