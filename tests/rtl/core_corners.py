"""Which corners of which instructions programs reach."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from hanok.isa import Destination, Opcode, Reduction, Source, Step, decode
from hanok.isa.table import FLAG_ACCUMULATE, FLAG_BIAS, FLAG_COLUMNS, FLAG_REDUCE_INNER
from hanok.isa.timing import rows_are_far
from hanok.machine import Chip
from hanok.simulator.emulator_state import Memories
from hanok.simulator.emulator_stepwise import execute

FAR = 1 << 20
"""A stride that no step of which is made can be as long as it has bits for; this counts as long."""
SMALLEST_NORMAL = np.finfo(np.float32).tiny
DMA_CORNERS = (
    "one byte", "over a burst", "unaligned in DRAM", "three loops", "backwards", "runs touch", "long stride",
)  # fmt: skip
MATRIX_CORNERS = (
    "bias", "accumulates", "from zero", "padding", "one row", "several blocks", "narrow last block", "ring",
    "far rows", "backwards", "long stride", "unaligned", "sums wrap",
)  # fmt: skip
COLUMN_CORNERS = (
    "weights by column", "columns in several reads", "columns in several blocks", "columns with bias",
    "columns overlap",
)  # fmt: skip
CHAIN_CORNERS = (
    *(f"step {step.name}" for step in Step),
    *(f"reduction {reduction.name}" for reduction in Reduction),
    *(f"operand {source.name}" for source in Source),
    *(f"result {kind.name}" for kind in Destination),
    "inner folded", "elements left out", "ring", "in place", "strided result", "broadcast", "backwards",
    "long stride", "one element", "result NaN", "result infinite", "result subnormal", "result -0",
    "saturated low", "saturated high",
)  # fmt: skip
CORNERS: dict[str, tuple[str, ...]] = {
    "load": DMA_CORNERS,
    "fill": tuple(name for name in DMA_CORNERS if "DRAM" not in name and "burst" not in name),
    "store": DMA_CORNERS,
    "conv": (*MATRIX_CORNERS, "chunks", *COLUMN_CORNERS),
    "depthwise": MATRIX_CORNERS,
    "chain": CHAIN_CORNERS,
    "table": ("special numbers",),
}
"""By instruction, all that there are."""


def corners_of_program(chip: Chip, code: bytes, image: npt.NDArray[np.uint8]) -> Counter[tuple[str, str]]:
    """Count the instructions of a program that reach each corner, in the order of the code."""
    found: Counter[tuple[str, str]] = Counter()
    memories = Memories.cleared(chip, image.copy())
    decoded = decode(code)
    for index in range(len(decoded.opcode)):
        record = decoded.record(index)
        opcode = Opcode(int(record["opcode"]))
        before = memories.sram.copy(), memories.accumulators.copy()
        execute(memories, record)
        name = opcode.name.lower()
        found.update((name, corner) for corner in set(_corners(opcode, record, chip, before, memories)))
    return found


def _corners(
    opcode: Opcode, record: np.void, chip: Chip, before: tuple[np.ndarray, np.ndarray], after: Memories
) -> Iterator[str]:
    if opcode in (Opcode.LOAD, Opcode.FILL, Opcode.STORE):
        yield from _dma(opcode, record)
    elif opcode in (Opcode.CONV, Opcode.DEPTHWISE):
        yield from _matrix(opcode, record, chip, *before, after)
    elif opcode is Opcode.CHAIN:
        yield from _chain(record, before[0], after.sram)
    elif not np.isfinite(after.table).all():
        yield "special numbers"


def _dma(opcode: Opcode, record: np.void) -> Iterator[str]:
    run, counts = int(record["run_bytes"]), [int(record[f"count_{level}"]) for level in (1, 2, 3)]
    sides = ("sram",) if opcode is Opcode.FILL else ("sram", "dram")
    strides = [int(record[f"{side}_stride_{level}"]) for side in sides for level in (1, 2, 3)]
    made = [stride for stride, count in zip(strides, counts * len(sides), strict=True) if count > 1]
    if run == 1:
        yield "one byte"
    if opcode is not Opcode.FILL and run > 64:
        yield "over a burst"
    if opcode is not Opcode.FILL and int(record["dram_address"]) % 8:
        yield "unaligned in DRAM"
    if min(counts) > 1:
        yield "three loops"
    if any(stride < 0 for stride in made):
        yield "backwards"
    if any(abs(stride) <= run for stride in made):
        yield "runs touch"
    if any(abs(stride) >= FAR for stride in strides):
        yield "long stride"


def _matrix(
    opcode: Opcode,
    record: np.void,
    chip: Chip,
    sram: np.ndarray,
    sums: np.ndarray,
    after: Memories,
) -> Iterator[str]:
    get = {name: int(record[name]) for name in record.dtype.names or ()}
    flags = get["flags"]
    yield "bias" if flags & FLAG_BIAS else "accumulates" if flags & FLAG_ACCUMULATE else "from zero"
    rows = [
        get["y_start"] + row * get["y_stride"] + tap * get["y_dilation"]
        for row in range(get["out_height"])
        for tap in range(get["taps_y"])
    ]
    last = get["x_start"] + (get["out_width"] - 1) * get["x_stride"] + (get["taps_x"] - 1) * get["x_tap"]
    if min(rows) < 0 or max(rows) >= get["y_limit"] or get["x_start"] < 0 or last >= get["x_limit"]:
        yield "padding"
    if get["out_height"] * get["out_width"] == 1:
        yield "one row"
    if get["blocks"] > 1:
        yield "several blocks"
    if get["last_columns"] < chip.core.matrix.columns:
        yield "narrow last block"
    if get["ring_rows"]:
        yield "ring"
    if rows_are_far(
        get["ring_rows"], get["y_start"] + get["ring_start"], get["out_height"], get["y_stride"],
        get["taps_y"], get["y_dilation"],
    ):  # fmt: skip
        yield "far rows"
    steps = [get[name] for name in ("y_stride", "x_stride", "x_tap", "x_block")]
    if any(step < 0 for step in steps):
        yield "backwards"
    if any(abs(step) >= FAR for step in [*steps, get["y_dilation"]]):
        yield "long stride"
    if get["activation_address"] % 4 or get["weight_address"] % 4:
        yield "unaligned"
    if opcode is Opcode.CONV and get["tap_bytes"] > chip.core.matrix.rows:
        yield "chunks"
    if flags & FLAG_COLUMNS:
        yield from _weights_by_column(get, chip)
    changed = sums != after.accumulators
    if (flags & (FLAG_ACCUMULATE | FLAG_BIAS)) and (
        np.abs(after.accumulators[changed].astype(np.int64) - sums[changed]) > 1 << 31
    ).any():
        yield "sums wrap"


def _weights_by_column(get: dict[str, int], chip: Chip) -> Iterator[str]:
    matrix = chip.core.matrix
    yield "weights by column"
    if min(get["tap_bytes"], matrix.rows) > matrix.columns * matrix.preload_rows_per_cycle:
        yield "columns in several reads"
    if get["blocks"] > 1:
        yield "columns in several blocks"
    if get["flags"] & FLAG_BIAS:
        yield "columns with bias"
    several = get["blocks"] > 1 or get["last_columns"] > 1
    if several and get["weight_pitch"] < get["taps_y"] * get["taps_x"] * get["tap_bytes"]:
        yield "columns overlap"


def _chain(record: np.void, before: np.ndarray, after: np.ndarray) -> Iterator[str]:
    get = {name: record[name] for name in record.dtype.names or ()}
    steps = [Step(int(code)) for code in get["step"][: int(get["steps"])]]
    yield from (f"step {step.name}" for step in steps)
    reduction = Reduction(int(get["reduction"]))
    yield f"reduction {reduction.name}"
    yield from (f"operand {Source(int(get[f'kind_{number}'])).name}" for number in range(3))
    kind = Destination(int(get["kind_out"]))
    yield f"result {kind.name}"
    if int(get["flags"]) & FLAG_REDUCE_INNER:
        yield "inner folded"
    ys = [int(get["y_start"]) + row * int(get["y_stride"]) for row in (0, int(get["outer_1"]) - 1)]
    xs = [int(get["x_start"]) + column * int(get["x_stride"]) for column in (0, int(get["outer_0"]) - 1)]
    if min(ys) < 0 or max(ys) >= get["y_limit"] or min(xs) < 0 or max(xs) >= get["x_limit"]:
        yield "elements left out"
    if get["ring_rows"]:
        yield "ring"
    if get["address_out"] == get["address_0"] and get["kind_0"] != Source.ACCUMULATOR:
        yield "in place"
    size = 1 if kind is Destination.INT8 else 4
    if int(get["strides_out"][3]) != size and int(get["inner"]) > 1:
        yield "strided result"
    strides = [int(get["stride_inner"]), *(int(get[f"strides_{number}"][3]) for number in (1, 2))]
    if 0 in strides:
        yield "broadcast"
    if any(stride < 0 for stride in strides):
        yield "backwards"
    every = [*get["strides_1"], *get["strides_2"], *get["strides_out"], get["row_pitch"], get["stride_2"]]
    if any(abs(int(stride)) >= FAR for stride in every):
        yield "long stride"
    if np.prod([int(get[f"outer_{level}"]) for level in range(3)]) * int(get["inner"]) == 1:
        yield "one element"
    yield from _results(get, kind, before, after)


def _results(
    get: dict[str, np.generic], kind: Destination, before: np.ndarray, after: np.ndarray
) -> Iterator[str]:
    if kind is Destination.INT8:
        written = after[before != after].view(np.int8)
        if (written == get["low_out"]).any():
            yield "saturated low"
        if (written == get["high_out"]).any():
            yield "saturated high"
    elif kind is Destination.FLOAT32:
        size = before.size // 4 * 4
        old, new = (content[:size].view(np.uint32) for content in (before, after))
        changed = new[old != new].view(np.float32)
        if np.isnan(changed).any():
            yield "result NaN"
        if np.isinf(changed).any():
            yield "result infinite"
        if ((changed != 0) & (np.abs(changed) < SMALLEST_NORMAL)).any():
            yield "result subnormal"
        if ((changed == 0) & np.signbit(changed)).any():
            yield "result -0"
