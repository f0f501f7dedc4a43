"""Numba kernels of the load, store and fetch engines: one DRAM burst at a time, in cycles of the core."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from hanok.dram._kernels import read, write

Integers = npt.NDArray[np.int64]

inner = njit(cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""Decorator of kernels that only kernels call; without the wrappers they compile faster."""

LOAD, STORE = 0, 1

# Columns of a DMA instruction.
FILL, RUN_BYTES, ADDRESS, COUNT_3, COUNT_2, COUNT_1, STRIDE_3, STRIDE_2, STRIDE_1, DECODER = range(10)
TRANSFER_COLUMNS = 10

# Columns of the constants of a simulation.
CLOCK_MHZ, BURST_SHIFT, BYTES_PER_CYCLE, OUTSTANDING, REQUESTS_PER_CYCLE, LATENCY = range(6)
CONSTANT_COLUMNS = 6

# Columns of a DMA engine's state.
(
    NEXT,  # cycle of the next request, or NEVER
    CURRENT,  # row of the instruction that issues requests, or -1
    RUN_ADDRESS,  # next byte of the present run
    RUN_LEFT,  # bytes left in the present run
    INDEX_3,
    INDEX_2,
    INDEX_1,
    PARTIAL,  # load: bytes waiting for a whole beat; store: bytes of the last beat not yet in a burst
    MOVER,  # first cycle in which the SRAM side is free
    ISSUE,  # cycle of the last request
    ISSUED,  # requests in that cycle
    ANSWERED,  # latest answer of the memory so far
    BURSTS,  # bursts of this engine so far
    BUSY,  # cycles in which it issues or moves
    LAST,  # 1 when the open burst is the last of the instruction
    FRONT,  # first pending interval
    BACK,  # behind the last pending interval
    SLOT,  # slot of the next burst
    OPEN,  # burst number of the write that is being gathered
    DECODED,  # load: cycle in which the decoder of an EXPAND is done
) = range(20)
ENGINE_COLUMNS = 20

NEVER = np.int64(1) << 62


class Engines(NamedTuple):
    """State of the two DMA engines."""

    state: Integers
    """[engine, ENGINE_COLUMNS]"""
    slots: Integers
    """[engine, outstanding]: cycle at which the burst in this slot left it."""
    intervals: Integers
    """[engine, ring, 2]: busy intervals of the side that runs ahead; the ring is a power of two."""


@inner
def cycle_of(picoseconds: int, clock_mhz: int) -> int:
    """`hanok.units.picoseconds_to_cycles`."""
    return (picoseconds * clock_mhz + 999_999) // 1_000_000


@inner
def picosecond_of(cycle: int, clock_mhz: int) -> int:
    """`hanok.units.cycles_to_picoseconds`."""
    return (cycle * 1_000_000 + clock_mhz - 1) // clock_mhz


@inner
def _push_interval(engine: Integers, ring: Integers, first: int, behind: int, passed: int) -> None:
    """Append a busy interval; forget those before `passed`, where the other side can do nothing any more."""
    mask = ring.shape[0] - 1
    while engine[FRONT] < engine[BACK] and ring[engine[FRONT] & mask, 1] <= passed:
        engine[FRONT] += 1
    back = engine[BACK]
    if back > engine[FRONT] and ring[(back - 1) & mask, 1] == first:
        ring[(back - 1) & mask, 1] = behind
        return
    ring[back & mask, 0] = first
    ring[back & mask, 1] = behind
    engine[BACK] = back + 1


@inner
def _overlap(engine: Integers, ring: Integers, first: int, behind: int) -> int:
    """Cycles of [first, behind) that pending intervals hold too; drop intervals that end before `first`."""
    mask, shared = ring.shape[0] - 1, 0
    while engine[FRONT] < engine[BACK]:
        slot = engine[FRONT] & mask
        if ring[slot, 0] >= behind:
            break
        shared += max(0, min(behind, ring[slot, 1]) - max(first, ring[slot, 0]))
        if ring[slot, 1] > behind:
            break
        engine[FRONT] += 1
    return shared


@inner
def _beats(gathered: int, width: int, all_of_it: bool) -> int:
    """Whole beats in `gathered` bytes; with `all_of_it`, the last may be short."""
    if all_of_it:
        gathered += width - 1
    if gathered < 2 * width:
        return 1 if gathered >= width else 0
    return gathered // width


@inner
def _next_run(engine: Integers, transfer: Integers) -> bool:
    """Step to the next run of the instruction; False when there is none."""
    engine[INDEX_1] += 1
    if engine[INDEX_1] == transfer[COUNT_1]:
        engine[INDEX_1] = 0
        engine[INDEX_2] += 1
        if engine[INDEX_2] == transfer[COUNT_2]:
            engine[INDEX_2] = 0
            engine[INDEX_3] += 1
            if engine[INDEX_3] == transfer[COUNT_3]:
                return False
    engine[RUN_ADDRESS] = (
        transfer[ADDRESS]
        + engine[INDEX_3] * transfer[STRIDE_3]
        + engine[INDEX_2] * transfer[STRIDE_2]
        + engine[INDEX_1] * transfer[STRIDE_1]
    )
    engine[RUN_LEFT] = transfer[RUN_BYTES]
    return True


@inner
def _first_run(engine: Integers, transfer: Integers, row: int) -> None:
    engine[CURRENT] = row
    engine[INDEX_3] = engine[INDEX_2] = engine[INDEX_1] = 0
    engine[RUN_ADDRESS] = transfer[ADDRESS]
    engine[RUN_LEFT] = transfer[RUN_BYTES]
    engine[PARTIAL] = 0


@inner
def fill(engines: Engines, transfer: Integers, constants: Integers, start: int) -> int:
    """Time a FILL that starts at `start`; return its end."""
    engine = engines.state[LOAD]
    width = constants[BYTES_PER_CYCLE]
    runs = transfer[COUNT_1] * transfer[COUNT_2] * transfer[COUNT_3]
    beats = runs * ((transfer[RUN_BYTES] + width - 1) // width)
    first = max(start, engine[MOVER])
    engine[MOVER] = first + beats
    engine[BUSY] += beats
    _push_interval(engine, engines.intervals[LOAD], first, first + beats, start)
    return int(first + beats)


@inner
def begin_load(engines: Engines, transfer: Integers, constants: Integers, row: int, start: int) -> None:
    """Let the load engine take instruction `row` at cycle `start`."""
    engine = engines.state[LOAD]
    _first_run(engine, transfer, row)
    engine[DECODED] = max(start, engine[MOVER]) + transfer[DECODER] if transfer[DECODER] > 0 else 0
    engine[NEXT] = max(start, engines.slots[LOAD, engine[SLOT]] + 1)


@inner
def load_bursts(
    engines: Engines, transfer: Integers, constants: Integers, memory: Integers, until: int
) -> bool:
    """Request the bursts up to cycle `until` and move what they bring; True after the instruction's last."""
    engine, ring, slots = engines.state[LOAD], engines.intervals[LOAD], engines.slots[LOAD]
    shift, width, clock = constants[BURST_SHIFT], constants[BYTES_PER_CYCLE], constants[CLOCK_MHZ]
    slot, outstanding = engine[SLOT], constants[OUTSTANDING]
    now, mover, answered, partial = engine[NEXT], engine[MOVER], engine[ANSWERED], engine[PARTIAL]
    address, left = engine[RUN_ADDRESS], engine[RUN_LEFT]
    issue, issued, bursts, more = engine[ISSUE], engine[ISSUED], 0, True
    request_ps = picosecond_of(issue, clock)
    while more and now <= until:
        if now != issue:
            issue, issued = now, 0
            request_ps = picosecond_of(now, clock)
            engine[BUSY] += 1 - _overlap(engine, ring, now, now + 1)
        issued += 1
        burst = address >> shift
        ready = cycle_of(read(memory, burst << shift, request_ps), clock) + constants[LATENCY]
        answered = max(ready, now + 1, answered)
        behind = (burst + 1) << shift
        while True:
            piece = min(left, behind - address)
            address += piece
            left -= piece
            partial += piece
            first = max(answered, mover)
            gone = first
            beats = _beats(partial, width, left == 0)
            if beats > 0:
                mover = first + beats
                gone = mover - 1
                engine[BUSY] += beats
                _push_interval(engine, ring, first, mover, now)
                partial -= beats * width
            if left > 0:
                break
            partial = 0
            more = _next_run(engine, transfer)
            address, left = engine[RUN_ADDRESS], engine[RUN_LEFT]
            if not more or address >> shift != burst:
                break
        slots[slot] = gone
        bursts += 1
        slot = slot + 1 if slot + 1 < outstanding else 0
        now = max(now if issued < constants[REQUESTS_PER_CYCLE] else now + 1, slots[slot] + 1)
    if not more and engine[DECODED] > mover:
        engine[BUSY] += engine[DECODED] - mover
        _push_interval(engine, ring, mover, engine[DECODED], issue)
        mover = engine[DECODED]
    engine[SLOT], engine[MOVER], engine[ANSWERED], engine[PARTIAL] = slot, mover, answered, partial
    engine[RUN_ADDRESS], engine[RUN_LEFT] = address, left
    engine[NEXT], engine[ISSUE], engine[ISSUED] = now, issue, issued
    engine[BURSTS] += bursts
    if not more:
        engine[NEXT], engine[CURRENT] = NEVER, -1
    return not more


@inner
def _gather_burst(engines: Engines, transfer: Integers, constants: Integers, start: int) -> None:
    """Read from SRAM what the next write burst needs, and set the cycle of its request."""
    engine, ring = engines.state[STORE], engines.intervals[STORE]
    shift, width = constants[BURST_SHIFT], constants[BYTES_PER_CYCLE]
    burst = engine[RUN_ADDRESS] >> shift
    engine[OPEN] = burst
    earliest = max(start, engines.slots[STORE, engine[SLOT]] + 1)
    while True:
        piece = min(engine[RUN_LEFT], ((burst + 1) << shift) - engine[RUN_ADDRESS])
        beats = _beats(piece - engine[PARTIAL], width, True)
        if beats > 0:
            first = max(engine[MOVER], earliest)
            engine[MOVER] = first + beats
            engine[BUSY] += beats - _overlap(engine, ring, first, first + beats)
        else:
            engine[MOVER] = max(engine[MOVER], earliest + 1)
        engine[PARTIAL] = min(engine[PARTIAL] + beats * width, engine[RUN_LEFT]) - piece
        engine[RUN_ADDRESS] += piece
        engine[RUN_LEFT] -= piece
        if engine[RUN_LEFT] > 0:
            break
        if not _next_run(engine, transfer):
            engine[LAST] = 1
            break
        if engine[RUN_ADDRESS] >> shift != burst:
            break
    free = engine[ISSUE] if engine[ISSUED] < constants[REQUESTS_PER_CYCLE] else engine[ISSUE] + 1
    engine[NEXT] = max(engine[MOVER], free)


@inner
def begin_store(engines: Engines, transfer: Integers, constants: Integers, row: int, start: int) -> None:
    """Let the store engine take instruction `row` at cycle `start`."""
    engine = engines.state[STORE]
    _first_run(engine, transfer, row)
    engine[LAST] = 0
    _gather_burst(engines, transfer, constants, start)


@inner
def store_bursts(
    engines: Engines, transfer: Integers, constants: Integers, memory: Integers, until: int
) -> bool:
    """Write gathered bursts up to cycle `until` and gather the next; True after the instruction's last."""
    engine, slots = engines.state[STORE], engines.slots[STORE]
    shift, clock = constants[BURST_SHIFT], constants[CLOCK_MHZ]
    while engine[NEXT] <= until:
        now = engine[NEXT]
        if now != engine[ISSUE]:
            engine[ISSUE], engine[ISSUED] = now, 0
            engine[BUSY] += 1
            _push_interval(engine, engines.intervals[STORE], now, now + 1, engine[MOVER])
        engine[ISSUED] += 1
        taken = write(memory, engine[OPEN] << shift, picosecond_of(now, clock))
        accepted = max(cycle_of(taken, clock), now)
        engine[ANSWERED] = max(engine[ANSWERED], accepted)
        slots[engine[SLOT]] = accepted
        engine[SLOT] = engine[SLOT] + 1 if engine[SLOT] + 1 < constants[OUTSTANDING] else 0
        engine[BURSTS] += 1
        if engine[LAST]:
            engine[NEXT], engine[CURRENT] = NEVER, -1
            return True
        _gather_burst(engines, transfer, constants, 0)
    return False
