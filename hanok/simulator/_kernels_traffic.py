"""Numba kernels of the DMA engines' state: rings of open bursts, their answers, and busy cycles."""

# Elements of arrays and compiled functions are Any to mypy.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from typing import (
    NamedTuple,
)

import numpy as np
import numpy.typing as npt

from hanok.dram._kernels import (
    request,
    to_cycle,
    to_ps,
)
from hanok.dram._kernels_queues import answer_slot
from hanok.dram._kernels_schedule import (
    advance,
    next_event,
)
from hanok.dram._layout import (
    A_ADMITTED,
    A_COMPLETED,
    H_BURST,
    H_PSEUDO,
    H_READ_LATENCY,
    H_TCK_FS,
    H_UNITS,
    TRACE_FULL,
)
from hanok.isa.timing import FETCH_LATENCY_CYCLES, LOAD_ANSWER_STAGES
from hanok.numerics._kernels_compile import inner, leaf, pointer_at

Integers = npt.NDArray[np.int64]


LOAD, STORE, FETCH = 0, 1, 2


ENGINES = 3


# Columns of the constants of a simulation.
# OPEN_LINES: how many lines of a DMA engine may be open; LINE_SHIFT: log2 of their bytes; EXPAND_RING: bytes
# of packed words that the decoder holds; LATER: cycles that the load's SRAM side is later with an unpacker.
CLOCK_MHZ, BURST_SHIFT, BYTES_PER_CYCLE, OPEN_LINES, LINE_SHIFT, LATENCY = range(6)
EXPAND_LANES, EXPAND_RING, LATER = 6, 7, 8


CONSTANT_COLUMNS = 9


# A walk over an instruction's runs.
WALK_ADDRESS, WALK_LEFT, WALK_3, WALK_2, WALK_1, WALK_SIZE = range(6)


# Columns of a DMA engine's state.
(
    NEXT,  # cycle of the next request, or NEVER while that is not known
    SOONEST,  # that cycle but for the slot that it needs
    CURRENT,  # row of the instruction that issues requests, or -1
    ISSUE,  # cycle of the last request
    SENT,  # lines of this engine so far; of the fetch, each is a burst
    ANSWERED_LINES,  # of them, how many answers are in
    ANSWERED_PARTS,  # bursts of the oldest open line whose answers are known
    BURSTS,  # bursts of this engine so far
    TAKING,  # load: row of the instruction whose lines are coming in, or -1
    STARTED,  # load: cycle in which that instruction started
    PARTIAL,  # load: bytes waiting for a whole beat; store: bytes of the last beat not yet in a line
    MOVER,  # first cycle in which the SRAM side is free
    ANSWERED,  # load: when the latest answer so far can go to SRAM; store: latest acceptance so far
    LAST_END,  # store: end of the instruction that ended last
    BUSY,  # cycles in which it issues or moves
    LAST,  # store: 1 when the open line is the last of the instruction
    OPEN,  # store: number of the line that is being gathered
    BEAT,  # load: beats of an EXPAND so far
    GROUP,  # load: groups of symbols that have taken their words
    GROUP_AT,  # load: cycle in which the last of them did, or before the first one can
    ROOM_GROUP,  # load: the group that makes room for the next beat
    CHECK,  # a start in this cycle needs to know whether earlier instructions have ended, or NEVER
    CERTAIN,  # instructions whose end is not known end after this cycle
    ISSUE_FRONT, ISSUE_BACK,  # first interval of busy requests, and behind the last one
    MOVE_FRONT, MOVE_BACK,  # the same of the SRAM side
    BUS_FRONT, BUS_BACK,  # load: the same of the lines on the bus
    ISSUE_WALK,
) = range(30)  # fmt: skip


ARRIVAL_WALK = ISSUE_WALK + WALK_SIZE


ENGINE_COLUMNS = ARRIVAL_WALK + WALK_SIZE
"""The rings follow: for each line the cycle in which its request is on the bus, how many bursts it has and
the cycle in which it left its slot; then the busy intervals of both sides, twice as many, each a first cycle
and one behind; then the intervals in which lines are on the load's bus; then the memory channels of the
bursts of each line."""
BUS_INTERVALS = 11
"""Rings before those."""
CHANNELS = 13
"""Rings before those."""


NEVER = np.int64(1) << 60


class Engines(NamedTuple):
    """State of the DMA engines and of the instruction fetch, and the memory behind them."""

    state: Integers
    """[engine, ring_columns(ring, parts)]"""
    memory: Integers
    """Of hanok.dram, with ENGINES * ring * parts answers: that to burst b of those that are asked for of line
    n of an engine is at (engine * ring + n % ring) * parts + b."""
    wanted: Integers
    """[burst of a line] 1 if it belongs to the line that the store gathers."""
    taken: Integers
    """[group of an EXPAND] words of its stream that are taken after it."""
    taken_at: Integers
    """[group of an EXPAND] the cycle in which it takes its words."""
    ring: int
    """Places of a ring: a power of two, larger than what is ever open."""
    parts: int
    """Bursts of a line."""


def ring_columns(ring: int, parts: int) -> int:
    """Return how many columns an engine's state has with rings of `ring` lines of `parts` bursts."""
    return ENGINE_COLUMNS + (CHANNELS + parts) * ring


@leaf
def engine_of(engines: Engines, engine: int) -> Integers:
    """Return an engine's state."""
    return pointer_at(engines.state, engine * (ENGINE_COLUMNS + (CHANNELS + engines.parts) * engines.ring))


@leaf
def cycle_of(picoseconds: int, clock_mhz: int) -> int:
    """`hanok.units.picoseconds_to_cycles`."""
    return (picoseconds * clock_mhz + 999_999) // 1_000_000


@leaf
def picosecond_of(cycle: int, clock_mhz: int) -> int:
    """`hanok.units.cycles_to_picoseconds`."""
    return (cycle * 1_000_000 + clock_mhz - 1) // clock_mhz


@leaf
def quotient(number: int, divisor: int, inverse: float) -> int:
    """`number // divisor`, neither negative, by 1 / `divisor`, which takes less time than a division.

    The product is off by less than one as long as the quotient is less than 2**50.
    """
    found = int(number * inverse)
    rest = number - found * divisor
    if rest < 0:
        return found - 1
    return found + 1 if rest >= divisor else found


@leaf
def memory_cycle(engines: Engines, constants: Integers, cycle: int) -> int:
    """Return the memory's cycle in which a request of a cycle of the core arrives."""
    if cycle >= NEVER:
        return int(NEVER)
    return int(to_cycle(engines.memory, picosecond_of(cycle, constants[CLOCK_MHZ])))


@leaf
def core_cycle(engines: Engines, constants: Integers, cycle: int) -> int:
    """Return the first cycle of the core that does not begin before a cycle of the memory."""
    return int(cycle_of(to_ps(engines.memory, cycle), constants[CLOCK_MHZ]))


@inner
def busy(engines: Engines, engine: int, side: int, first: int, behind: int) -> None:
    """Count cycles in which an engine's requests (side 0) or SRAM side (1) are busy, each cycle once."""
    state, ring = engine_of(engines, engine), engines.ring
    state[BUSY] += behind - first
    start = ENGINE_COLUMNS + (3 + 4 * side) * ring
    front, back = ISSUE_FRONT + 2 * side, ISSUE_BACK + 2 * side
    last = start + 2 * ((state[back] - 1) & (2 * ring - 1))
    if state[back] > state[front] and state[last + 1] == first:
        state[last + 1] = behind
    else:
        slot = start + 2 * (state[back] & (2 * ring - 1))
        state[slot], state[slot + 1] = first, behind
        state[back] += 1
    _compare(state, ring)


@leaf
def _compare(state: Integers, ring: int) -> None:
    """Take what both sides hold off the busy cycles; forget intervals that the other side has passed."""
    mask = 2 * ring - 1
    issues = ENGINE_COLUMNS + 3 * ring
    moves = issues + 4 * ring
    while state[ISSUE_FRONT] < state[ISSUE_BACK] and state[MOVE_FRONT] < state[MOVE_BACK]:
        a = issues + 2 * (state[ISSUE_FRONT] & mask)
        b = moves + 2 * (state[MOVE_FRONT] & mask)
        shared = min(state[a + 1], state[b + 1]) - max(state[a], state[b])
        if shared > 0:
            state[BUSY] -= shared
        if state[a + 1] <= state[b + 1]:
            state[ISSUE_FRONT] += 1
        else:
            state[MOVE_FRONT] += 1


@inner
def forget_intervals(engines: Engines, engine: int, passed: int) -> None:
    """Drop intervals that end by a cycle before which neither side does anything any more."""
    state, ring = engine_of(engines, engine), engines.ring
    for side in range(2):
        start = ENGINE_COLUMNS + (3 + 4 * side) * ring
        front, back = ISSUE_FRONT + 2 * side, ISSUE_BACK + 2 * side
        while state[front] < state[back]:
            if state[start + 2 * (state[front] & (2 * ring - 1)) + 1] > passed:
                break
            state[front] += 1


@leaf
def open_line(engines: Engines, constants: Integers, engine: int, cycle: int) -> int:
    """Begin a line whose request is on the bus in a cycle of the core; its bursts are to be sent.

    Returns the memory's cycle in which they arrive.
    """
    state, ring = engine_of(engines, engine), engines.ring
    slot = state[SENT] & (ring - 1)
    state[SENT] += 1
    state[ENGINE_COLUMNS + slot], state[ENGINE_COLUMNS + ring + slot] = cycle, 0
    return memory_cycle(engines, constants, cycle)


@inner
def send(engines: Engines, constants: Integers, engine: int, burst: int, cycle: int, kind: int) -> None:
    """Send the request for a burst of the line that was opened last, to arrive in a cycle of the memory."""
    state, ring = engine_of(engines, engine), engines.ring
    slot = (state[SENT] - 1) & (ring - 1)
    part = state[ENGINE_COLUMNS + ring + slot]
    state[ENGINE_COLUMNS + ring + slot] += 1
    state[BURSTS] += 1
    state[ENGINE_COLUMNS + CHANNELS * ring + slot * engines.parts + part] = request(
        engines.memory,
        engine,
        (engine * ring + slot) * engines.parts + part,
        burst << constants[BURST_SHIFT],
        cycle,
        kind,
    )


@leaf
def oldest(engines: Engines, engine: int) -> int:
    """Return the ring's slot of an engine's oldest open line."""
    return engine_of(engines, engine)[ANSWERED_LINES] & (engines.ring - 1)


@leaf
def bus_of_oldest(engines: Engines, engine: int) -> int:
    """Return the cycle in which the request of the oldest open line is on the bus."""
    return engine_of(engines, engine)[ENGINE_COLUMNS + oldest(engines, engine)]


@leaf
def answer_to_oldest(engines: Engines, constants: Integers, engine: int, column: int) -> int:
    """Return the cycle of the core of the last answer to an engine's oldest open line."""
    slot, found = oldest(engines, engine), 0
    first = (engine * engines.ring + slot) * engines.parts
    for part in range(engine_of(engines, engine)[ENGINE_COLUMNS + engines.ring + slot]):
        found = max(found, engines.memory[answer_slot(engines.memory, first + part) + column])
    return core_cycle(engines, constants, found)


@inner
def bring(engines: Engines, due: int) -> int:
    """Return the cycle in which the load's oldest open line is on its bus, which brings one in a cycle.

    A line that is due waits for those that were requested before it, and for no others.
    """
    state, ring = engine_of(engines, LOAD), engines.ring
    mask, taken = ring - 1, pointer_at(state, ENGINE_COLUMNS + BUS_INTERVALS * ring)
    while state[BUS_FRONT] < state[BUS_BACK]:
        if taken[2 * (state[BUS_FRONT] & mask) + 1] > bus_of_oldest(engines, LOAD):
            break
        state[BUS_FRONT] += 1
    place = state[BUS_BACK]
    while place > state[BUS_FRONT] and taken[2 * ((place - 1) & mask)] > due:
        place -= 1
    before = 2 * ((place - 1) & mask)
    if place == state[BUS_FRONT] or taken[before + 1] < due:
        for later in range(state[BUS_BACK], place, -1):
            _copy_interval(taken, later - 1, later, mask)
        taken[2 * (place & mask)], taken[2 * (place & mask) + 1] = due, due
        state[BUS_BACK] += 1
        before, place = 2 * (place & mask), place + 1
    found = taken[before + 1]
    taken[before + 1] += 1
    if place < state[BUS_BACK] and taken[2 * (place & mask)] == taken[before + 1]:
        taken[before + 1] = taken[2 * (place & mask) + 1]
        for later in range(place + 1, state[BUS_BACK]):
            _copy_interval(taken, later, later - 1, mask)
        state[BUS_BACK] -= 1
    return int(found)


@leaf
def _copy_interval(taken: Integers, source: int, target: int, mask: int) -> None:
    taken[2 * (target & mask)] = taken[2 * (source & mask)]
    taken[2 * (target & mask) + 1] = taken[2 * (source & mask) + 1]


@leaf
def leave_slot(engines: Engines, engine: int, cycle: int) -> None:
    """Note that the oldest open line leaves its slot in `cycle`."""
    state = engine_of(engines, engine)
    state[ENGINE_COLUMNS + 2 * engines.ring + oldest(engines, engine)] = cycle
    state[ANSWERED_LINES] += 1
    state[ANSWERED_PARTS] = 0


@leaf
def slot_cycle(engines: Engines, constants: Integers, engine: int) -> int:
    """Return the first cycle in which the slot of the next line is free, or NEVER if that is not known."""
    state, ring = engine_of(engines, engine), engines.ring
    before = state[SENT] - constants[OPEN_LINES]
    if before < 0:
        return 0
    if before >= state[ANSWERED_LINES]:
        return int(NEVER)
    return state[ENGINE_COLUMNS + 2 * ring + (before & (ring - 1))] + 1


@leaf
def is_answered(engines: Engines, engine: int) -> bool:
    """Whether the answers to all bursts of an engine's oldest open line are known."""
    state, slot = engine_of(engines, engine), oldest(engines, engine)
    if state[ANSWERED_LINES] == state[SENT]:
        return False
    column = A_ADMITTED if engine == STORE else A_COMPLETED
    first = (engine * engines.ring + slot) * engines.parts
    while state[ANSWERED_PARTS] < state[ENGINE_COLUMNS + engines.ring + slot]:
        if engines.memory[answer_slot(engines.memory, first + state[ANSWERED_PARTS]) + column] < 0:
            return False
        state[ANSWERED_PARTS] += 1
    return True


PROGRESS, STILL, FULL = 1, 0, -1


@leaf
def _ahead(engines: Engines, constants: Integers, engine: int) -> int:
    """Memory cycles from the next event of a channel to the first request that it could bring about.

    The answer to a read comes its latency and burst after its command, that to a write in the cycle of its
    entry. Cycles of the core from the answer to a request on a bus: an instruction that ends, or the slot
    that is free, brings a load's request two later; a start makes room for a dispatch a cycle later, and that
    for a fetch. From a fetched word to a dispatch it takes a cycle.
    """
    memory, delay, cycles = engines.memory, 0, 3
    if engine != STORE:
        delay = memory[H_READ_LATENCY] + memory[H_BURST]
        cycles = constants[LATENCY] + (LOAD_ANSWER_STAGES + 3 if engine == LOAD else FETCH_LATENCY_CYCLES + 2)
    return int(max(1, delay + (cycles * 1_000_000 // constants[CLOCK_MHZ]) * 1000 // memory[H_TCK_FS]))


@inner
def run_memory(engines: Engines, constants: Integers, limit: int) -> int:
    """Let the memory go on, when no line that is next in its engine's order is answered, up to cycle `limit`.

    No channel goes further than where the next answer of any engine could bring it a request: an answer to
    the first burst of a line that has none. Returns PROGRESS, STILL when nothing happens before `limit`, or
    FULL for the command trace.
    """
    ring, memory = engines.ring, engines.memory
    bound = limit
    for engine in range(ENGINES):
        state = engine_of(engines, engine)
        if state[ANSWERED_LINES] < state[SENT]:
            part = oldest(engines, engine) * engines.parts + state[ANSWERED_PARTS]
            channel = state[ENGINE_COLUMNS + CHANNELS * ring + part]
            bound = min(bound, next_event(memory, channel) + _ahead(engines, constants, engine))
    if bound >= NEVER:
        return STILL
    found = STILL
    for channel in range(memory[H_UNITS] // memory[H_PSEUDO]):
        if next_event(memory, channel) < bound:
            found = PROGRESS
            if advance(memory, channel, bound) == TRACE_FULL:
                return FULL
    return found
