"""From the engine's timings to result records: layers, units, timeline and DRAM traffic over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hanok.flows.results import Bandwidth, IntArray, LayerResult, Timeline, UnitCycles
from hanok.isa import Decoded, Layer, NpuStage, Opcode, Unit
from hanok.simulator.counters import Cause, Timing

UNIT_NAMES = {Unit.LOAD: "load DMA", Unit.STORE: "store DMA", Unit.MATRIX: "matrix", Unit.VECTOR: "vector"}
CAUSE_NAMES = {
    Cause.BUSY: "busy",
    Cause.WAIT_LOAD: "waits for load",
    Cause.WAIT_STORE: "waits for store",
    Cause.WAIT_MATRIX: "waits for matrix",
    Cause.WAIT_VECTOR: "waits for vector",
    Cause.DRAM: "waits for DRAM",
    Cause.FULL_COUNTER: "semaphore full",
    Cause.FETCH: "waits for fetch",
    Cause.DISPATCH: "waits for dispatch",
    Cause.END: "finished",
}
BOUND_NAMES = {Unit.LOAD: "DRAM read", Unit.STORE: "DRAM write", Unit.MATRIX: "matrix", Unit.VECTOR: "vector"}
LATENCY = "latency"
BOUND_FRACTION = 0.6
"""A layer is bound by its busiest unit if that one works for at least this fraction of the layer's share."""
BANDWIDTH_SLICES = 600


@dataclass(frozen=True)
class TimedStage:
    """An NPU stage, its timing, its decoded instructions, and the cycle of the run at which it starts."""

    stage: NpuStage
    timing: Timing
    decoded: Decoded
    offset: int


def timeline_of(stages: Sequence[TimedStage]) -> Timeline:
    """Join the stages' instructions, each stage from where the one before it ended."""

    def joined(parts: list[npt.NDArray[Any]], dtype: type[np.generic]) -> npt.NDArray[Any]:
        return np.concatenate(parts).astype(dtype) if parts else np.zeros(0, dtype)

    timings = [timed.timing for timed in stages]
    reads = [np.where(timing.unit == Unit.LOAD, timing.transferred_bytes, 0) for timing in timings]
    writes = [np.where(timing.unit == Unit.STORE, timing.transferred_bytes, 0) for timing in timings]
    return Timeline(
        start=joined([timed.timing.start + timed.offset for timed in stages], np.int64),
        end=joined([timed.timing.end + timed.offset for timed in stages], np.int64),
        unit=joined([timing.unit for timing in timings], np.int8),
        opcode=joined([timed.decoded.opcode for timed in stages], np.uint8),
        layer=joined([timed.stage.layer_of for timed in stages], np.int32),
        dram_read_bytes=joined(list(reads), np.int64),
        dram_write_bytes=joined(list(writes), np.int64),
        unit_names=tuple(UNIT_NAMES[unit] for unit in Unit),
        opcode_names=tuple((int(opcode), opcode.name.lower()) for opcode in Opcode),
    )


def unit_cycles(stages: Sequence[TimedStage]) -> tuple[UnitCycles, ...]:
    """Sum each unit's causes over the stages; causes that no unit has are left out."""
    total = sum((timed.timing.causes for timed in stages), np.zeros((len(Unit), len(Cause)), np.int64))
    kept = [cause for cause in Cause if cause is Cause.BUSY or total[:, cause].any()]
    return tuple(
        UnitCycles(UNIT_NAMES[unit], tuple((CAUSE_NAMES[cause], int(total[unit, cause])) for cause in kept))
        for unit in Unit
    )


def layer_results(
    layers: Sequence[Layer], stages: Sequence[TimedStage], macs_per_cycle: int
) -> tuple[LayerResult, ...]:
    """Sum the instructions of each layer, and share the run's cycles out among the layers."""
    count = len(layers)
    first, last = np.full(count, np.iinfo(np.int64).max), np.zeros(count, np.int64)
    busy, moved = np.zeros((count, len(Unit)), np.int64), np.zeros((count, 2), np.int64)
    instructions, shares = np.zeros(count, np.int64), np.zeros(count, np.int64)
    for timed in stages:
        timing, rows = timed.timing, timed.stage.layer_of
        present = np.flatnonzero(np.bincount(rows, minlength=count))
        np.minimum.at(first, rows, timing.start + timed.offset)
        np.maximum.at(last, rows, timing.end + timed.offset)
        np.add.at(busy, (rows, timing.unit), timing.active_cycles_of)
        np.add.at(moved[:, 0], rows, np.where(timing.unit == Unit.LOAD, timing.transferred_bytes, 0))
        np.add.at(moved[:, 1], rows, np.where(timing.unit == Unit.STORE, timing.transferred_bytes, 0))
        np.add.at(instructions, rows, 1)
        shares[present] += _shares(last[present] - timed.offset, timing.cycles)
    return tuple(
        _layer_result(
            layer,
            tuple(
                int(value)
                for value in (instructions[row], min(first[row], last[row]), last[row], shares[row])
            ),
            busy[row],
            (int(moved[row, 0]), int(moved[row, 1])),
            macs_per_cycle,
        )
        for row, layer in enumerate(layers)
    )


def _shares(ends: IntArray, cycles: int) -> IntArray:
    """Cycles by which each layer, in order, moved the end of the stage; the last to end takes the rest."""
    reached = np.maximum.accumulate(ends)
    if len(reached):
        reached[np.argmax(reached) :] = cycles
    return np.diff(reached, prepend=0)


def _layer_result(
    layer: Layer, counts: tuple[int, ...], busy: IntArray, moved: tuple[int, int], macs_per_cycle: int
) -> LayerResult:
    instructions, start, end, cycles = counts
    capacity = max(cycles, int(busy[Unit.MATRIX])) * macs_per_cycle
    return LayerResult(
        name=layer.name,
        onnx_type=layer.onnx_type,
        onnx_nodes=layer.onnx_nodes,
        mapping=layer.mapping,
        macs=layer.macs,
        output_shape=layer.output_shape,
        instructions=instructions,
        start_cycle=start,
        end_cycle=end,
        cycles=cycles,
        busy_cycles=tuple((UNIT_NAMES[unit], int(busy[unit])) for unit in Unit),
        utilisation=layer.macs / capacity if capacity else 0.0,
        dram_read_bytes=moved[0],
        dram_write_bytes=moved[1],
        compulsory_bytes=layer.compulsory_bytes,
        bound_by=_bound_by(busy, cycles),
    )


def _bound_by(busy: IntArray, cycles: int) -> str:
    busiest = Unit(int(np.argmax(busy)))
    return BOUND_NAMES[busiest] if busy[busiest] >= BOUND_FRACTION * cycles else LATENCY


def bandwidth_of(timeline: Timeline, cycles: int) -> Bandwidth:
    """Sum the bytes that arrive, or leave, in equal slices of the run."""
    width = max(1, -(-cycles // BANDWIDTH_SLICES))
    slices = max(1, -(-cycles // width))
    return Bandwidth(
        width,
        _arrivals(timeline, Unit.LOAD, timeline.dram_read_bytes, width, slices),
        _arrivals(timeline, Unit.STORE, timeline.dram_write_bytes, width, slices),
    )


def _arrivals(timeline: Timeline, unit: Unit, moved: IntArray, width: int, slices: int) -> IntArray:
    """Bytes in each slice. A transfer's bytes move from the end of the one before it (transfers of an engine
    overlap, but arrive in order), or from its own start if that is later, to its end."""
    rows = np.flatnonzero((timeline.unit == unit) & (moved > 0))
    end = np.maximum.accumulate(timeline.end[rows])
    before = np.concatenate([np.zeros(1, np.int64), end])[:-1]
    start = np.minimum(np.maximum(timeline.start[rows], before), end)
    times = np.stack([start, end], axis=1).reshape(-1)
    total = np.cumsum(np.stack([np.zeros_like(end), moved[rows]], axis=1).reshape(-1))
    borders = np.arange(slices + 1) * width
    reached = np.interp(borders, times, total, left=0.0) if len(rows) else np.zeros(slices + 1)
    whole = np.rint(reached).astype(np.int64)
    result: IntArray = whole[1:] - whole[:-1]
    return result
