"""A chip's memory with its ECC: the standard as ECC changes it, and what a decoder adds to a read."""

from __future__ import annotations

from functools import cache

from hanok.dram.ecc import ecc_options, ecc_plan, with_ecc
from hanok.dram.standard import FlatMemory, Standard
from hanok.dram.standards import get_standard
from hanok.errors import ChipError
from hanok.machine import Memory
from hanok.units import ceil_div

_CYCLE_UNITS = 10**9
"""Femtoseconds times megahertz that make a cycle."""


def memory_standard(memory: Memory) -> Standard | FlatMemory:
    """Return the standard of a chip's memory, its energy with that of `memory.ecc`.

    Raises ChipError for an unknown standard, and for ECC that it has not, or has only as bursts in line.
    """
    standard = get_standard(memory.standard)
    if memory.ecc == "none":
        return standard
    if isinstance(standard, FlatMemory):
        raise ChipError(f"memory.ecc: '{memory.ecc}' on {standard.name}, which has no codes; allowed: none")
    return _guarded(memory.standard, memory.ecc)


def ecc_latency_cycles(memory: Memory, clock_mhz: int) -> int:
    """Return the core cycles, rounded up, that the host's decoder adds to each read of a chip's memory.

    Raises ChipError as `memory_standard` does.
    """
    standard = memory_standard(memory)
    if memory.ecc == "none" or isinstance(standard, FlatMemory):
        return 0
    clocks = ecc_plan(standard, memory.ecc).read_latency_clocks
    return ceil_div(clocks * standard.clock_cycles * standard.tck_fs * clock_mhz, _CYCLE_UNITS)


@cache
def _guarded(name: str, option: str) -> Standard:
    standard = get_standard(name)
    assert isinstance(standard, Standard), "flat memories are refused before"
    if ecc_plan(standard, option).in_line:
        options = ecc_options(standard.family)
        allowed = ", ".join(one for one in options if not ecc_plan(standard, one).in_line)
        raise ChipError(
            f"memory.ecc: '{option}' on {name}, which has no pins for check bits, takes bursts of its own "
            f"(in-line ECC): `hanok dram run --ecc` simulates it, a chip does not; allowed: {allowed}"
        )
    return with_ecc(standard, option)
