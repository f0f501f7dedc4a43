"""Kernel of a memory without banks: each burst holds its channel for a fixed time, in order of arrival."""

# Elements of arrays and compiled functions are Any to mypy.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from hanok.dram._kernels_queues import (
    answer_slot,
)
from hanok.dram._layout import (
    A_ADMITTED,
    A_COMPLETED,
    C_READS,
    H_FLAT_FS,
    H_FLAT_LATENCY_FS,
    H_PORTS,
    H_RING_MASK,
    I_PUT,
    I_SIZE,
    I_TAKEN,
    N_ARRIVAL,
    N_HANDLE,
    N_KIND,
    N_SIZE,
    NEVER,
    O_INPUT,
    O_PORTS,
    REACHED,
    U_DATA_END,
    U_NEXT,
    State,
)
from hanok.numerics._kernels_compile import (
    inner,
)

FLAT_QUEUE = 64
"""Bursts that wait in a memory without banks before a write is kept from entering."""


@inner
def step_flat(state: State, unit: int, until: int) -> int:
    """A memory without banks: each burst holds its channel for a fixed time, in order of arrival."""
    ring = state[H_RING_MASK]
    while True:
        least, first = NEVER, -1
        for index in range(state[H_PORTS]):
            port = unit + state[O_PORTS] + index * I_SIZE
            taken = state[port + I_TAKEN]
            if taken < state[port + I_PUT]:
                request = unit + state[O_INPUT] + (index * (ring + 1) + (taken & ring)) * N_SIZE
                if state[request + N_ARRIVAL] < least:
                    least, first = state[request + N_ARRIVAL], index
        state[unit + U_NEXT] = least
        if least >= until or first < 0:
            return REACHED
        port = unit + state[O_PORTS] + first * I_SIZE
        request = unit + state[O_INPUT] + (first * (ring + 1) + (state[port + I_TAKEN] & ring)) * N_SIZE
        state[port + I_TAKEN] += 1
        kind, handle = state[request + N_KIND], state[request + N_HANDLE]
        start = max(state[unit + U_DATA_END], least * 1000)
        end = start + state[H_FLAT_FS]
        state[unit + U_DATA_END] = end
        state[unit + C_READS + kind] += 1
        entry = max(least * 1000, start - FLAT_QUEUE * state[H_FLAT_FS])
        slot = answer_slot(state, handle)
        state[slot + A_ADMITTED] = (entry + 999) // 1000
        state[slot + A_COMPLETED] = (end + state[H_FLAT_LATENCY_FS] + 999) // 1000
