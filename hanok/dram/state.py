"""Building the controller's state array, and reading counters and command traces out of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanok.dram import _layout as k
from hanok.dram.mapping import Mapping, parse_mapping
from hanok.dram.standard import Command, FlatMemory, Standard
from hanok.dram.standards import get_standard
from hanok.errors import ChipError
from hanok.machine import Memory

State = NDArray[np.int64]

ACT, PRE, PREA, RD, WR, REFA, ACT1 = Command

_DELAYS = {
    k.H_BANK_ACT_ACT: ("bank", ACT, ACT, 1),
    k.H_BANK_ACT_RD: ("bank", ACT, RD, 1),
    k.H_BANK_ACT_WR: ("bank", ACT, WR, 1),
    k.H_BANK_ACT_PRE: ("bank", ACT, PRE, 1),
    k.H_BANK_PRE_ACT: ("bank", PRE, ACT1, 1),
    k.H_BANK_RD_PRE: ("bank", RD, PRE, 1),
    k.H_BANK_WR_PRE: ("bank", WR, PRE, 1),
    k.H_GROUP_ACT_ACT: ("group", ACT, ACT, 1),
    k.H_GROUP_RD_RD: ("group", RD, RD, 1),
    k.H_GROUP_WR_WR: ("group", WR, WR, 1),
    k.H_GROUP_WR_RD: ("group", WR, RD, 1),
    k.H_GROUP_RD_WR: ("group", RD, WR, 1),
    k.H_ACT_ACT: ("pseudo", ACT, ACT, 1),
    k.H_FAW: ("pseudo", ACT, ACT, 4),
    k.H_PRE_PRE: ("pseudo", PRE, PRE, 1),
    k.H_RD_RD: ("pseudo", RD, RD, 1),
    k.H_WR_WR: ("pseudo", WR, WR, 1),
    k.H_RD_WR: ("pseudo", RD, WR, 1),
    k.H_WR_RD: ("pseudo", WR, RD, 1),
    k.H_PREA_REFA: ("pseudo", PREA, REFA, 1),
    k.H_REFA_ACT: ("pseudo", REFA, ACT1, 1),
    k.H_OTHER_RD_RD: ("other_rank", RD, RD, 1),
    k.H_OTHER_WR_WR: ("other_rank", WR, WR, 1),
}
"""Header slot -> the rule that the kernels keep there."""

_IMPLIED = {
    ("pseudo", ACT, PREA, 1): ("bank", ACT, PRE, 1),
    ("pseudo", RD, PREA, 1): ("bank", RD, PRE, 1),
    ("pseudo", WR, PREA, 1): ("bank", WR, PRE, 1),
    ("pseudo", PRE, PREA, 1): ("pseudo", PRE, PRE, 1),
    ("pseudo", PREA, PRE, 1): ("pseudo", PRE, PRE, 1),
    ("pseudo", PREA, PREA, 1): ("pseudo", PRE, PRE, 1),
    ("pseudo", PREA, ACT1, 1): ("pseudo", REFA, ACT1, 1),
    ("pseudo", PRE, REFA, 1): ("bank", ACT, ACT, 1),
    ("pseudo", ACT, REFA, 1): ("bank", ACT, ACT, 1),
    ("pseudo", REFA, PREA, 1): ("pseudo", REFA, ACT1, 1),
    ("pseudo", REFA, REFA, 1): ("pseudo", REFA, ACT1, 1),
}
"""Rules that the kernels keep by keeping another one, of at least as many cycles, in the same place."""


@dataclass(frozen=True)
class Counters:
    """What the DRAM did; `refresh_stall_ps` sums the delays of column commands by refreshes."""

    reads: int
    writes: int
    row_hits: int
    row_misses: int
    row_conflicts: int
    activates: int
    precharges: int
    refreshes: int
    turnarounds: int
    refresh_stall_ps: int
    forwarded_reads: int
    channels: int


def make_state(memory: Memory, trace_commands: int = 0) -> State:
    """Return the state of an idle memory; with `trace_commands`, it keeps that many commands.

    Raises ChipError for an unknown standard or a capacity that the standard's channels do not have.
    """
    standard = get_standard(memory.standard)
    if isinstance(standard, FlatMemory):
        return _flat_state(standard, memory.channels)
    native_mib = standard.channel_bytes * memory.channels >> 20
    if memory.capacity_mib > native_mib:
        raise ChipError(
            f"memory.capacity_mib: {memory.capacity_mib} MiB; allowed: at most {native_mib} for "
            f"{memory.channels} channels of {standard.name}"
        )
    return state_of(standard, memory.channels, memory.refresh, trace_commands)


def state_of(
    standard: Standard, channels: int, refresh: bool = True, trace_commands: int = 0, mapping: str = ""
) -> State:
    """Return the state of `channels` idle channels of `standard`, with its own mapping or another one."""
    _check_rules(standard)
    shape = standard.organisation
    units = channels * shape.pseudo_channels
    table = parse_mapping(mapping or standard.mapping, standard, channels)
    pieces, ends = _pieces(table, standard)
    groups = shape.ranks * shape.groups
    sizes = (
        (k.H_PIECES, len(pieces) * k.P_SIZE),
        (k.H_UNITS, units * k.U_SIZE),
        (k.H_GROUPS, units * groups * k.G_SIZE),
        (k.H_BANKS, units * shape.banks * k.B_SIZE),
        (k.H_BUSES, channels * 2 * k.BUS_SIZE),
        (k.H_READ_QUEUES, units * k.READ_QUEUE),
        (k.H_WRITE_QUEUES, units * k.W_SIZE),
        (k.H_TRACE, trace_commands * k.T_SIZE),
    )
    state = np.zeros(k.H_SIZE + sum(size for _, size in sizes), np.int64)
    offset = k.H_SIZE
    for slot, size in sizes:
        state[slot] = offset
        offset += size
    header = {
        k.H_TCK_FS: standard.tck_fs,
        k.H_UNIT_PIECES: ends[0],
        k.H_BANK_PIECES: ends[1],
        k.H_COLUMN_PIECES: ends[2],
        k.H_HASH_MASK: shape.banks_per_group - 1,
        k.H_UNIT_COUNT: units,
        k.H_GROUP_COUNT: groups,
        k.H_BANK_COUNT: shape.banks,
        k.H_GROUP_SHIFT: _log2(shape.banks_per_group),
        k.H_RANK_SHIFT: _log2(shape.banks_per_group * shape.groups),
        k.H_CHANNEL_SHIFT: _log2(shape.pseudo_channels),
        k.H_COLUMN_BUS: k.BUS_SIZE if standard.bus_of[RD] != standard.bus_of[ACT] else 0,
        k.H_TRACE_SIZE: trace_commands,
        k.H_INTERVAL: standard.refresh_interval_cycles,
        k.H_ACT_GAP: standard.activate_gap_cycles,
        k.H_READ_LATENCY: standard.read_latency_cycles,
        k.H_WRITE_LATENCY: standard.write_latency_cycles,
        k.H_BURST_SHIFT: _log2(standard.burst_bytes),
        k.H_BURST_CYCLES: standard.burst_cycles,
    }
    header |= {slot: standard.delay(*rule) for slot, rule in _DELAYS.items()}
    for slot, value in header.items():
        state[slot] = value
    row = next(piece for piece in table.pieces if piece.field == "row")
    state[k.H_ROW_SHIFT], state[k.H_ROW_MASK] = row.address_bit, (1 << row.bits) - 1
    state[state[k.H_PIECES] : state[k.H_UNITS]] = np.array(pieces, np.int64).ravel()
    _idle(state, standard.refresh_interval_cycles if refresh else k.NEVER)
    return state


def _idle(state: State, first_refresh: int) -> None:
    """Close all banks, empty the buses, and set the first refresh."""
    unit_table = state[state[k.H_UNITS] : state[k.H_GROUPS]].reshape(-1, k.U_SIZE)
    unit_table[:, k.U_DUE] = first_refresh
    unit_table[:, k.U_LAST_COLUMN] = -1
    unit_table[:, k.U_LAST_KIND] = -1
    state[state[k.H_BANKS] : state[k.H_BUSES]].reshape(-1, k.B_SIZE)[:, k.B_ROW] = -1
    state[state[k.H_BUSES] : state[k.H_READ_QUEUES]] = -1


def _flat_state(flat: FlatMemory, channels: int) -> State:
    """Return the state of a memory without banks, its bursts spread over the channels in turn."""
    state = np.zeros(k.H_SIZE + k.P_SIZE + channels * k.U_SIZE, np.int64)
    state[k.H_FLAT] = 1
    state[k.H_PIECES] = k.H_SIZE
    state[k.H_UNITS] = k.H_SIZE + k.P_SIZE
    state[k.H_UNIT_PIECES] = 1
    state[k.H_UNIT_COUNT] = channels
    state[k.H_TCK_FS] = 1000
    state[k.H_FLAT_FS], state[k.H_FLAT_LATENCY_FS] = flat.burst_fs, flat.latency_ps * 1000
    state[k.H_SIZE : k.H_SIZE + k.P_SIZE] = (_log2(flat.burst_bytes), channels - 1, 0)
    return state


def _log2(power: int) -> int:
    return power.bit_length() - 1


def _pieces(mapping: Mapping, standard: Standard) -> tuple[list[tuple[int, int, int]], list[int]]:
    """Return (shift, mask, target bit) of the unit's, the bank's and the column's pieces; where each ends."""
    shape = standard.organisation
    bank_bits = _log2(shape.banks_per_group)
    targets = (
        {"pseudo": 0, "channel": _log2(shape.pseudo_channels)},
        {"bank": 0, "group": bank_bits, "rank": bank_bits + _log2(shape.groups)},
        {"column": 0},
    )
    found: list[tuple[int, int, int]] = []
    ends = []
    for target in targets:
        found += [
            (piece.address_bit, (1 << piece.bits) - 1, target[piece.field] + piece.field_bit)
            for piece in mapping.pieces
            if piece.field in target
        ]
        ends.append(len(found))
    return found, ends


def _check_rules(standard: Standard) -> None:
    """Our bug, not the user's: every row of the table must be one that the kernels keep."""
    kept = set(_DELAYS.values())
    for rule in standard.rules:
        place = (rule.level, rule.before, rule.after, rule.window)
        if place in kept:
            continue
        assert place in _IMPLIED, f"{standard.name}: the controller does not know the rule {rule}"
        assert rule.cycles <= standard.delay(*_IMPLIED[place]), f"{standard.name}: {rule} is not implied"


def read_counters(state: State) -> Counters:
    """Sum the counters of all channels."""
    first = int(state[k.H_UNITS])
    units = state[first : first + int(state[k.H_UNIT_COUNT]) * k.U_SIZE].reshape(-1, k.U_SIZE).sum(axis=0)
    return Counters(
        reads=int(units[k.C_READS]) + int(units[k.C_FORWARDS]),
        writes=int(units[k.C_WRITES]),
        row_hits=int(units[k.C_HITS]),
        row_misses=int(units[k.C_MISSES]),
        row_conflicts=int(units[k.C_CONFLICTS]),
        activates=int(units[k.C_ACTIVATES]),
        precharges=int(units[k.C_PRECHARGES]),
        refreshes=int(units[k.C_REFRESHES]),
        turnarounds=int(units[k.C_TURNAROUNDS]),
        refresh_stall_ps=int(units[k.C_STALL]) * int(state[k.H_TCK_FS]) // 1000,
        forwarded_reads=int(units[k.C_FORWARDS]),
        channels=int(state[k.H_UNIT_COUNT]) >> int(state[k.H_CHANNEL_SHIFT]),
    )
