"""Flows of reads: they begin where they can, end at anything else, and change no cycle."""

from __future__ import annotations

import numpy as np
import pytest

from hanok.dram import get_standard, read_counters
from hanok.dram._kernels import advance_all, finish, request
from hanok.dram._layout import READ, U_FLOWING, WRITE, State
from hanok.dram.state import answers_of, state_of, units_of
from hanok.machine import Policy

READS, FAR = 400, 1 << 22
STANDARDS = ("LPDDR5X_8533", "HBM3_6400", "DDR5_4800", "GDDR6_16000")
BREAKS = {
    "nothing": (),
    "another row": ((0, FAR, READ),),
    "a read at another port": ((1, 640, READ),),
    "another row at another port": ((1, FAR, READ),),
    "a write": ((1, FAR + 32, WRITE),),
    "a write to the stream's own row": ((1, 9600, WRITE),),
    "a write and a read of what it wrote": ((1, FAR, WRITE), (0, FAR, READ)),
}
"""Requests (port, address, kind) that come in the middle of a stream of reads."""


def interrupted(name: str, policy: Policy, stream: bool, interruption: str) -> State:
    """Send a stream and what interrupts it, when half of it is through; return the state then."""
    standard = get_standard(name)
    state = state_of(standard, 1, policy, ports=2, port_depth=1024, stream=stream, answers=1024)
    gap = standard.burst_cycles
    broken = READS // 2 * gap
    for number in range(READS // 2):
        request(state, 0, number, number * standard.burst_bytes, number * gap, READ)
    advance_all(state, broken)
    for number, (port, address, kind) in enumerate(BREAKS[interruption]):
        request(
            state, port, READS + number, address // standard.burst_bytes * standard.burst_bytes, broken, kind
        )
    for number in range(READS // 2, READS):
        request(state, 0, number, number * standard.burst_bytes, (number + 3) * gap, READ)
    return state


@pytest.mark.parametrize("interruption", BREAKS)
@pytest.mark.parametrize("name", STANDARDS)
def test_a_flow_changes_no_answer(name: str, interruption: str) -> None:
    for policy in (Policy(), Policy(read_queue=8, write_queue=4, write_high=3, write_low=1, row_hit_cap=2)):
        flowing, stepped = (interrupted(name, policy, stream, interruption) for stream in (True, False))
        assert finish(flowing) == finish(stepped)
        np.testing.assert_array_equal(answers_of(flowing), answers_of(stepped))
        assert read_counters(flowing) == read_counters(stepped)


def flows(name: str, policy: Policy, stream: bool = True) -> bool:
    """Whether a stream of reads flows at any time; nothing flows when it is through."""
    standard, found = get_standard(name), False
    state = state_of(standard, 1, policy, port_depth=1024, stream=stream, answers=1024)
    for number in range(READS):
        request(state, 0, number, number * standard.burst_bytes, number * standard.burst_cycles, READ)
    for until in range(0, READS * standard.burst_cycles, 10):
        advance_all(state, until)
        found |= bool(units_of(state)[..., U_FLOWING].any())
    finish(state)
    assert not units_of(state)[..., U_FLOWING].any()
    return found


@pytest.mark.parametrize("name", STANDARDS)
def test_a_stream_flows_until_it_is_through(name: str) -> None:
    assert flows(name, Policy())
    assert not flows(name, Policy(), stream=False)
    assert not flows(name, Policy(page="closed"))
