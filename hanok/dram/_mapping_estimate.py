"""What a mapping costs an access pattern, in cycles, from the addresses alone: bounds for each window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanok.dram.mapping import Integers, Mapping
from hanok.dram.standard import Command, Standard
from hanok.machine import Policy

SAMPLE = 16_384
"""Requests that an estimate looks at, at least four windows of them."""
RUN = 4
"""Windows of the sample that follow each other in the pattern."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Pattern:
    """A sample of a pattern, cut into windows of as many requests as all read queues hold."""

    writes: NDArray[np.bool_]
    addresses: Integers
    windows: Integers
    """The number of each request's window; numbers that follow each other are neighbours in time."""
    window: int
    """Requests in each."""

    @property
    def count(self) -> int:
        """Requests in the sample."""
        return len(self.addresses)


@dataclass(frozen=True)
class Costs:
    """Cycles of a standard that a pattern may have to pay, from its rules."""

    burst: int
    same_group: int
    """From one burst to the next of its bank group."""
    read_write_read: int
    """Both turnarounds, beyond the bursts themselves."""
    rank_switch: int
    activate: float
    """From one activate to the next of a pseudo-channel, on average of many."""
    row_cycle: int
    """From activate to activate of a bank."""
    row_read: int
    """A bank's row change around reads: from the last read to the first of the next row."""
    row_write: int


def costs_of(standard: Standard) -> Costs:
    """Read the costs out of the rules of `standard`."""
    act, read, write, close = Command.ACT, Command.RD, Command.WR, Command.PRE

    def wide(before: Command, after: Command, window: int = 1) -> int:
        return max(standard.delay(level, before, after, window) for level in ("pseudo", "rank"))

    def bank(before: Command, after: Command) -> int:
        return standard.delay("bank", before, after)

    burst = standard.burst_cycles
    gap = standard.activate_gap_cycles[0]
    opening = gap + max(bank(close, Command.ACT1), bank(close, act))
    pairs = ((read, read), (read, write), (write, read), (write, write))
    return Costs(
        burst=burst,
        same_group=max(burst, standard.delay("group", read, read), wide(read, read)),
        read_write_read=max(0, wide(read, write) + wide(write, read) - 2 * burst),
        rank_switch=max(0, *(standard.delay("other_rank", *pair) - burst for pair in pairs)),
        activate=max(gap + 1, wide(act, act), wide(act, act, 4) / 4),
        row_cycle=max(bank(act, act), bank(act, close) + opening),
        row_read=bank(read, close) + opening + bank(act, read),
        row_write=bank(write, close) + opening + bank(act, write),
    )


def cut_pattern(
    writes: NDArray[np.bool_], addresses: Integers, units: int, policy: Policy, offset: float
) -> Pattern:
    """Take runs of neighbouring windows, spread evenly; `offset` (0..1) moves them within the space left."""
    window = units * policy.read_queue
    count = max(SAMPLE, RUN * window)
    if count >= len(addresses):
        chosen = np.arange(len(addresses))
        return Pattern(writes, addresses, chosen // window, window)
    runs = count // (RUN * window)
    first = ((np.arange(runs) + offset) * (len(addresses) - RUN * window) / runs).astype(np.int64)
    chosen = (first[:, None] + np.arange(RUN * window)).ravel()
    numbers = (np.arange(runs)[:, None] * (RUN + 1) + np.arange(RUN).repeat(window)).ravel()
    return Pattern(writes[chosen], addresses[chosen], numbers, window)


def estimate_cycles(
    mapping: Mapping, standard: Standard, costs: Costs, policy: Policy, pattern: Pattern
) -> float:
    """Return about how many cycles the pattern's requests keep the memory busy under `mapping`.

    A controller that reorders within its queues is done with a window when its busiest pseudo-channel is:
    that is as long as its data bus, its busiest bank group, its busiest bank or its activates take. The
    windows' times are added up, as if no pseudo-channel ran ahead into the next window.
    """
    shape = standard.organisation
    places = mapping.locate_all(pattern.addresses)
    units = places["channel"] * shape.pseudo_channels + places["pseudo"]
    unit_count = int(1 << mapping.width("channel")) * shape.pseudo_channels
    slots = pattern.windows * unit_count + units
    slot_count = (int(pattern.windows[-1]) + 1) * unit_count
    groups = (slots * shape.ranks + places["rank"]) * shape.groups + places["group"]
    banks = shape.ranks * shape.groups * shape.banks_per_group

    bursts = np.bincount(slots, minlength=slot_count)
    bus = bursts * costs.burst + _switch_cycles(places["rank"], units, slots, slot_count, costs)
    if pattern.writes.any():
        written = np.bincount(slots, pattern.writes, slot_count)
        drained = max(1, policy.write_high - policy.write_low)
        bus += costs.read_write_read * np.where(written < bursts, written / drained, 0)
    per_group = np.bincount(groups, minlength=slot_count * shape.ranks * shape.groups)
    busiest_group = per_group.reshape(slot_count, -1).max(axis=1) * costs.same_group
    places_of_rows = (groups * shape.banks_per_group + places["bank"]) * shape.rows + places["row"]
    bank_cycles, activates = _bank_cycles(
        places_of_rows, pattern, slot_count * banks, shape.rows, costs, policy
    )
    activates = activates.reshape(slot_count, -1).sum(axis=1)
    busiest_bank = bank_cycles.reshape(slot_count, -1).max(axis=1)
    slowest = np.max([bus, busiest_group, busiest_bank, activates * costs.activate], axis=0)
    # Activates cost energy even where they are hidden: of two mappings as fast, the one with fewer is better.
    energy = 1e-3 * float(activates.sum()) / unit_count
    return float(slowest.reshape(-1, unit_count).max(axis=1).sum()) + energy


def _switch_cycles(
    ranks: Integers, units: Integers, slots: Integers, slot_count: int, costs: Costs
) -> Floats:
    """Return the cycles that each slot loses where a pseudo-channel's bursts go on in another rank."""
    if not costs.rank_switch or not ranks.any():
        return np.zeros(slot_count)
    order = np.argsort(units, kind="stable")
    switched = (np.diff(ranks[order]) != 0) & (np.diff(units[order]) == 0)
    return (np.bincount(slots[order][1:][switched], minlength=slot_count) * costs.rank_switch).astype(
        np.float64
    )


def _bank_cycles(
    rows: Integers, pattern: Pattern, count: int, rows_per_bank: int, costs: Costs, policy: Policy
) -> tuple[Floats, Floats]:
    """Return each bank's busy cycles and its activates; `rows` numbers window, bank and row in one.

    A window visits each of its rows once. The first row change of a window is hidden when the bank was idle
    in the window before, and not needed when one of the rows was open there.
    """
    visits, hits = np.unique(rows * 2 + pattern.writes, return_counts=True)
    starts = np.flatnonzero(np.diff(visits >> 1, prepend=-1))
    written = np.add.reduceat(hits * (visits & 1), starts) > 0
    hits = np.add.reduceat(hits, starts)
    visits = visits[starts] >> 1
    banks = visits // rows_per_bank
    change = np.where(written, costs.row_write, costs.row_read)
    extra = np.maximum(costs.row_cycle, (hits - 1) * costs.same_group + change) - hits * costs.same_group
    total = np.bincount(banks, hits, count) * costs.same_group
    opened = np.bincount(banks, minlength=count).astype(np.float64)
    changes = np.bincount(banks, extra, count)
    per_window = count // (int(pattern.windows[-1]) + 1)
    idle_before = np.concatenate((np.ones(per_window, np.bool_), opened[:-per_window] == 0))
    carried = np.zeros(count, np.bool_)
    if policy.page == "open":
        before = visits - per_window * rows_per_bank
        where = np.minimum(np.searchsorted(visits, before), len(visits) - 1)
        carried[banks[visits[where] == before]] = True
    spared = (carried | idle_before) * changes / np.maximum(opened, 1)
    return (total + changes - spared).astype(np.float64), opened - carried
