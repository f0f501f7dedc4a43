"""Rules of the verifier that look at the fields of one instruction alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from hanok.isa.table import (
    FLAG_ACCUMULATE,
    FLAG_BIAS,
    FLAG_COLUMNS,
    FLAG_KEEP_CODE,
    FLAG_REDUCE_INNER,
    VECTOR_STEPS,
    Destination,
    Opcode,
    Operand,
    Reduction,
    Source,
    Step,
)
from hanok.machine import Chip
from hanok.numerics.huffman import TABLE_BYTES
from hanok.numerics.nibbles import ENTRY_BYTES

Records = npt.NDArray[np.void]
Bad = npt.NDArray[np.bool_]
Finding = tuple[Bad, str, str]
"""Which records break a rule, the rule's name, and what is allowed."""

ELEMENT_BYTES = np.zeros(256, np.int64)
"""Bytes of an element of each SRAM Source or Destination code; 0 where there is none."""
ELEMENT_BYTES[Source.INT8] = 1
ELEMENT_BYTES[Source.INT32] = ELEMENT_BYTES[Source.FLOAT32] = 4

_COORDINATES = 1 << 31
_WITHOUT_OPERAND = (Step.NONE, Step.ROUND, Step.LOOKUP, Step.SAVE)


def _counts(records: Records, names: tuple[str, ...]) -> Iterator[Finding]:
    for name in names:
        yield records[name] < 1, "count", f"{name} is at least 1"


def _flags(records: Records, known: int) -> Finding:
    return (records["flags"] & ~np.uint8(known)) != 0, "flags", f"flags within 0x{known:02x}"


def _coordinate(
    records: Records, name: str, loops: Sequence[tuple[str, str]], beyond: npt.NDArray[np.float64]
) -> Finding:
    """Whether y or x leaves 32 bits: from its start on, loops of a count and a step, and what lies beyond."""
    low = high = records[f"{name}_start"].astype(np.float64)
    for count, step in loops:
        reach = (records[count].astype(np.float64) - 1) * records[step]
        low, high = low + np.minimum(reach, 0), high + np.maximum(reach, 0)
    leaves = (low < -_COORDINATES) | (high + beyond >= _COORDINATES)
    return leaves, "coordinate", f"{name} from -2^31 to 2^31 - 1"


def dma_findings(records: Records, chip: Chip) -> Iterator[Finding]:
    """LOAD, FILL, EXPAND, UNPACK, STORE."""
    expand = records["opcode"] == Opcode.EXPAND
    yield ~expand & (records["flags"] != 0), "flags", "no flags"
    yield (
        expand & ((records["flags"] & ~np.uint8(FLAG_KEEP_CODE)) != 0),
        "flags",
        f"flags within {FLAG_KEEP_CODE}",
    )
    yield from _counts(records, ("run_bytes", "count_3", "count_2", "count_1"))
    counts = records["count_3"] | records["count_2"] | records["count_1"]
    packed = records["packed_bytes"]
    table = np.where(records["flags"] & FLAG_KEEP_CODE, 0, TABLE_BYTES)
    yield (
        expand & (chip.core.dma.expand_lanes == 0),
        "expand",
        "core.dma.expand_lanes of the chip is at least 1",
    )
    yield expand & (counts != 1), "expand", "every count of EXPAND is 1"
    allowed = f"packed_bytes is even and above {TABLE_BYTES}, or above 0 without a table"
    yield expand & ((packed % 2 != 0) | (packed <= table)), "expand", allowed
    for broken, allowed in _unpack_findings(records, chip):
        yield (records["opcode"] == Opcode.UNPACK) & broken, "unpack", allowed
    touches_dram = records["opcode"] != Opcode.FILL
    yield touches_dram & (records["dram_address"] >= 1 << 62), "dram-bounds", "DRAM addresses below 2^62"


def _unpack_findings(records: Records, chip: Chip) -> Iterator[tuple[Bad, str]]:
    """What UNPACKs may not be, and what is allowed."""
    width, columns = chip.core.dma.bytes_per_cycle, chip.core.matrix.columns
    packed, run = (records[name].astype(np.int64) for name in ("packed_bytes", "run_bytes"))
    yield np.full(len(records), not chip.core.dma.int4), "core.dma.int4 of the chip is true"
    for name in ("count_3", "count_2", "count_1"):
        yield records[name] != 1, f"{name} is 1"
    group_rows = records["group_rows"].astype(np.int64)
    group = group_rows * columns
    yield group_rows == 0, "group_rows is at least 1"
    yield group % (2 * width) != 0, f"weights of a group are a multiple of {2 * width}"
    yield records["dram_address"] % np.uint64(width) != 0, f"dram_address is a multiple of {width}"
    yield packed % width != 0, f"packed_bytes is a multiple of {width}"
    groups, rest = np.divmod(run, np.maximum(group, 1))
    yield rest != 0, "run_bytes are whole groups"
    size = groups * columns * ENTRY_BYTES + run // 2
    yield packed != size, "packed_bytes are the entries of all groups and half a byte for each weight"


def matrix_findings(records: Records, chip: Chip) -> Iterator[Finding]:
    """CONV and DEPTHWISE."""
    rows, columns = chip.core.matrix.rows, chip.core.matrix.columns
    both = FLAG_BIAS | FLAG_ACCUMULATE
    yield _flags(records, both | FLAG_COLUMNS)
    by_column = (records["flags"] & FLAG_COLUMNS) != 0
    yield by_column & (records["opcode"] == Opcode.DEPTHWISE), "flags", "weights by column of CONV alone"
    yield (records["flags"] & both) == both, "flags", "bias or accumulate, not both"
    yield from _counts(
        records, ("out_height", "out_width", "taps_y", "taps_x", "tap_bytes", "blocks", "last_columns")
    )
    yield records["last_columns"] > columns, "array", f"last_columns is at most the array's {columns} columns"
    yield (records["y_limit"] < 0) | (records["x_limit"] < 0), "limit", "y_limit and x_limit are at least 0"
    yield _coordinate(
        records, "y", (("out_height", "y_stride"), ("taps_y", "y_dilation")), np.zeros(len(records))
    )
    widest = np.where(records["blocks"] > 1, columns, records["last_columns"])
    beyond = np.where(records["opcode"] == Opcode.DEPTHWISE, widest, records["tap_bytes"]) - 1.0
    yield _coordinate(
        records, "x", (("out_width", "x_stride"), ("taps_x", "x_tap"), ("blocks", "x_block")), beyond
    )
    ring = records["ring_rows"].astype(np.int64)
    yield (ring > 0) & (records["ring_start"] >= ring), "ring", "ring_start is smaller than ring_rows"
    yield (
        ((records["flags"] & FLAG_BIAS) != 0) & (records["bias_address"] % 4 != 0),
        "alignment",
        "int32 biases lie at a multiple of 4 bytes",
    )
    depthwise = records["opcode"] == Opcode.DEPTHWISE
    pitch = np.maximum(records["pixel_pitch"].astype(np.int64), 1)
    x_tap = np.where(records["taps_x"] > 1, records["x_tap"].astype(np.int64), 0)
    x_stride = np.where(records["out_width"] > 1, records["x_stride"].astype(np.int64), 0)
    yield depthwise & (records["pixel_pitch"] < 1), "count", "pixel_pitch is at least 1"
    yield depthwise & (records["tap_bytes"] != 1), "window", "tap_bytes of DEPTHWISE is 1"
    yield (
        depthwise & ((x_tap % pitch != 0) | (x_stride % pitch != 0)),
        "window",
        "x_tap and x_stride of DEPTHWISE are multiples of pixel_pitch",
    )
    stands = ((records["taps_x"] > 1) & (x_tap < pitch)) | ((records["out_width"] > 1) & (x_stride < pitch))
    yield (
        depthwise & stands,
        "window",
        "x_tap of DEPTHWISE with several taps_x, and x_stride with several columns, are at least pixel_pitch",
    )
    window = (records["taps_x"].astype(np.int64) - 1) * x_tap // pitch + 1
    yield (
        depthwise & (window > rows),
        "window",
        f"(taps_x - 1) * x_tap / pixel_pitch + 1 is at most {rows} pixels",
    )


def chain_findings(records: Records) -> Iterator[Finding]:
    """CHAIN."""
    yield _flags(records, FLAG_REDUCE_INNER)
    yield from _counts(records, ("outer_2", "outer_1", "outer_0", "reduce_1", "reduce_0", "inner"))
    yield ~np.isin(records["reduction"], list(Reduction)), "code", "reduction is a Reduction"
    kinds = [kind for kind in Source if kind is not Source.NONE]
    yield ~np.isin(records["kind_0"], kinds), "code", "kind_0 is a Source, not NONE"
    vector_kinds = [kind for kind in Source if kind is not Source.ACCUMULATOR]
    for name in ("kind_1", "kind_2"):
        yield ~np.isin(records[name], vector_kinds), "code", f"{name} is NONE, INT8, INT32 or FLOAT32"
    yield ~np.isin(records["kind_out"], list(Destination)), "code", "kind_out is a Destination"
    plain = records["reduction"] == Reduction.NONE
    loops = (records["reduce_1"] != 1) | (records["reduce_0"] != 1) | (records["flags"] != 0)
    yield plain & loops, "reduction", "without a reduction reduce_1 and reduce_0 are 1 and no flag is set"
    yield (records["y_limit"] < 0) | (records["x_limit"] < 0), "limit", "y_limit and x_limit are at least 0"
    for name, outer, reduce in (("y", "outer_1", "reduce_1"), ("x", "outer_0", "reduce_0")):
        loops = ((outer, f"{name}_stride"), (reduce, f"{name}_dilation"))
        yield _coordinate(records, name, loops, np.zeros(len(records)))
    ring = records["ring_rows"].astype(np.int64)
    yield (ring > 0) & (records["ring_start"] >= ring), "ring", "ring_start is smaller than ring_rows"
    yield from _range_findings(records)
    yield from _alignment_findings(records)
    yield from _step_findings(records)


def _range_findings(records: Records) -> Iterator[Finding]:
    int8 = records["kind_out"] == Destination.INT8
    low, high = records["low_out"], records["high_out"]
    wrong = (low < -128) | (high > 127) | (low > high)
    yield int8 & wrong, "clamp", "-128 <= low_out <= high_out <= 127 for an int8 result"
    active = np.arange(VECTOR_STEPS)[None, :] < records["steps"][:, None]
    rounds = np.any(active & (records["step"] == Step.ROUND), axis=1)
    yield (
        rounds & (records["round_low"] > records["round_high"]),
        "clamp",
        "round_low <= round_high for step ROUND",
    )


def _alignment_findings(records: Records) -> Iterator[Finding]:
    allowed = "elements of 4 bytes lie at multiples of 4 bytes, strides too"
    strides_0 = ("address_0", "row_pitch", "pixel_pitch", "stride_2", "stride_inner")
    misfit = np.zeros(len(records), np.bool_)
    for name in strides_0:
        misfit |= records[name] % 4 != 0
    sram = (records["kind_0"] == Source.INT32) | (records["kind_0"] == Source.FLOAT32)
    yield sram & misfit, "alignment", f"operand 0: {allowed}"
    for name in ("1", "2", "out"):
        wide = ELEMENT_BYTES[records[f"kind_{name}"]] == 4
        misfit = (records[f"address_{name}"] % 4 != 0) | np.any(records[f"strides_{name}"] % 4 != 0, axis=1)
        yield wide & misfit, "alignment", f"operand {name}: {allowed}"


def _step_findings(records: Records) -> Iterator[Finding]:
    steps = records["steps"].astype(np.int64)
    yield steps > VECTOR_STEPS, "steps", f"at most {VECTOR_STEPS} steps"
    yield records["steps_before"] > steps, "steps", "steps_before is at most steps"
    place = np.arange(VECTOR_STEPS)[None, :]
    active = place < steps[:, None]
    step, operand = records["step"], records["operand"]
    yield np.any(active & ~np.isin(step, list(Step)), axis=1), "code", "each step is a Step"
    reads = active & ~np.isin(step, _WITHOUT_OPERAND)
    yield np.any(reads & ~np.isin(operand, list(Operand)), axis=1), "code", "each operand is an Operand"
    fused = active & (step == Step.FUSED_ADD) & (operand == Operand.IMMEDIATE)
    yield (
        np.any(fused, axis=1),
        "operand",
        "FUSED_ADD takes SOURCE_1, SOURCE_2 or SAVED; its immediate is the factor",
    )
    for code, name in ((Operand.SOURCE_1, "kind_1"), (Operand.SOURCE_2, "kind_2")):
        missing = np.any(reads & (operand == code), axis=1) & (records[name] == Source.NONE)
        yield missing, "operand", f"a step that takes {code.name} needs {name}"
    reduced = records["reduction"] != Reduction.NONE
    after = reduced[:, None] & (place >= records["steps_before"][:, None])
    reads_saved = reads & ((operand == Operand.SAVED) | (step == Step.SELECT))
    saves = active & (step == Step.SAVE)
    for side in (after, ~after):
        saved = np.cumsum(saves & side, axis=1) > 0
        yield (
            np.any(reads_saved & side & ~saved, axis=1),
            "saved",
            "SAVE comes first, on the same side of the reduction",
        )


def table_findings(records: Records) -> Iterator[Finding]:
    """TABLE."""
    yield _flags(records, 0)
    yield records["address"] % 4 != 0, "alignment", "the table lies at a multiple of 4 bytes"
