"""Numba kernels of lines that long runs of a load fill: many are sent and taken at once."""

from __future__ import annotations

from hanok.dram._kernels import request_line
from hanok.dram._kernels_queues import answer_slot
from hanok.dram._layout import (
    A_COMPLETED,
    H_TCK_FS,
    READ,
)
from hanok.isa.timing import (
    LOAD_ANSWER_STAGES,
    LOAD_REQUEST_STAGES,
)
from hanok.numerics._kernels_compile import inner, leaf, pointer_at
from hanok.simulator._kernels_state import (
    GROUPS,
)
from hanok.simulator._kernels_traffic import (
    ANSWERED,
    ANSWERED_LINES,
    ANSWERED_PARTS,
    ARRIVAL_WALK,
    BURST_SHIFT,
    BURSTS,
    BYTES_PER_CYCLE,
    CHANNELS,
    CLOCK_MHZ,
    CURRENT,
    ENGINE_COLUMNS,
    ISSUE_WALK,
    LATENCY,
    LATER,
    LINE_SHIFT,
    LOAD,
    MOVER,
    NEVER,
    NEXT,
    OPEN_LINES,
    PARTIAL,
    SENT,
    SOONEST,
    WALK_ADDRESS,
    WALK_LEFT,
    Engines,
    Integers,
    bring,
    bus_of_oldest,
    busy,
    core_cycle,
    engine_of,
    quotient,
    slot_cycle,
)


@leaf
def plan_load(engines: Engines, constants: Integers) -> None:
    """Set the cycle of the next request, if its slot is known."""
    state = engine_of(engines, LOAD)
    if state[CURRENT] >= 0 and state[NEXT] == NEVER:
        free = slot_cycle(engines, constants, LOAD)
        if free < NEVER:
            state[NEXT] = max(state[SOONEST], free)


@inner
def send_whole_lines(engines: Engines, constants: Integers) -> None:
    """Send requests for lines that a run of a load fills and goes on behind, while their slots are known."""
    state, memory, ring, parts = engine_of(engines, LOAD), engines.memory, engines.ring, engines.parts
    shift, clock, tick = constants[LINE_SHIFT], constants[CLOCK_MHZ], memory[H_TCK_FS]
    per_clock, per_tick = 1.0 / clock, 1.0 / tick
    address, sent, answered = state[ISSUE_WALK + WALK_ADDRESS], state[SENT], state[ANSWERED_LINES]
    lines = min((state[ISSUE_WALK + WALK_LEFT] - 1) >> shift, answered + constants[OPEN_LINES] - sent)
    if address & ((1 << shift) - 1) or lines <= 0:
        return
    now = begun = behind = state[NEXT]
    for line in range(sent, sent + lines):
        slot = line & (ring - 1)
        if line > sent:
            before = line - constants[OPEN_LINES]
            free = state[ENGINE_COLUMNS + 2 * ring + (before & (ring - 1))] + 1 if before >= 0 else 0
            now = max(behind, free)
        if now > behind:
            busy(engines, LOAD, 0, begun, behind)
            begun = now
        behind = now + 1
        bus = now + LOAD_REQUEST_STAGES
        state[ENGINE_COLUMNS + slot], state[ENGINE_COLUMNS + ring + slot] = bus, parts
        picosecond = quotient(bus * 1_000_000 + clock - 1, clock, per_clock)
        request_line(
            memory, LOAD, slot * parts, address, 1 << constants[BURST_SHIFT],
            quotient(picosecond * 1000 + tick - 1, tick, per_tick), READ,
            pointer_at(state, ENGINE_COLUMNS + CHANNELS * ring + slot * parts), parts,
        )  # fmt: skip
        address += 1 << shift
    busy(engines, LOAD, 0, begun, behind)
    state[SENT] = sent + lines
    state[BURSTS] += lines * parts
    state[ISSUE_WALK + WALK_ADDRESS] = address
    state[ISSUE_WALK + WALK_LEFT] -= lines << shift
    state[NEXT], state[SOONEST] = NEVER, behind
    plan_load(engines, constants)


@inner
def take_whole_lines(engines: Engines, transfer: Integers, constants: Integers) -> bool:
    """Move lines that a run of a load fills and goes on behind to SRAM, in whole beats; True if any."""
    state, memory, ring, parts = engine_of(engines, LOAD), engines.memory, engines.ring, engines.parts
    shift, size, width = constants[LINE_SHIFT], 1 << constants[LINE_SHIFT], constants[BYTES_PER_CYCLE]
    address, first = state[ARRIVAL_WALK + WALK_ADDRESS], state[ANSWERED_LINES]
    lines = min((state[ARRIVAL_WALK + WALK_LEFT] - 1) >> shift, state[SENT] - first)
    whole = address & (size - 1) == 0 and state[PARTIAL] == 0 and size % width == 0
    if not whole or lines <= 0 or transfer[GROUPS] > 0:
        return False
    beats, answered, begun, mover = size // width, state[ANSWERED], state[MOVER], state[MOVER]
    line = first
    while line < first + lines:
        slot, found = line & (ring - 1), 0
        for part in range(slot * parts, slot * parts + parts):
            answer = memory[answer_slot(memory, part) + A_COMPLETED]
            found = int(NEVER) if answer < 0 else max(found, answer)
        if found == NEVER:
            break
        state[ANSWERED_LINES] = line
        ready = core_cycle(engines, constants, found) + constants[LATENCY]
        arrived = bring(engines, max(ready, bus_of_oldest(engines, LOAD) + 1))
        answered = max(arrived + LOAD_ANSWER_STAGES + constants[LATER], answered)
        if answered > mover:
            if mover > begun:
                busy(engines, LOAD, 1, begun, mover)
            begun = mover = answered
        mover += beats
        state[ENGINE_COLUMNS + 2 * ring + slot] = mover - 1
        line += 1
    if line == first:
        return False
    busy(engines, LOAD, 1, begun, mover)
    state[ANSWERED_LINES], state[ANSWERED_PARTS] = line, 0
    state[ANSWERED], state[MOVER] = answered, mover
    state[ARRIVAL_WALK + WALK_ADDRESS] = address + ((line - first) << shift)
    state[ARRIVAL_WALK + WALK_LEFT] -= (line - first) << shift
    return True
