"""Long streams through the controller: stepped until their state repeats, once for channels alike."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanok.dram import _kernels_streams as kernels
from hanok.dram import _layout as k
from hanok.dram._layout import State
from hanok.dram._mapping_periods import Periods, find_periods
from hanok.dram.mapping import Mapping, parse_mapping
from hanok.dram.results import Counters
from hanok.dram.standard import Standard
from hanok.dram.state import counters_of, state_of, units_of
from hanok.errors import HanokError
from hanok.machine import Policy

Integers = NDArray[np.int64]

ENUMERATED = 1 << 18
"""Bursts of a strided stream up to which channels are compared burst by burst."""


@dataclass(frozen=True)
class Stream:
    """Bursts that come one after the other, as fast as the controller takes them, from `arrival` on."""

    address: int
    """Of the first burst, in bytes; a whole number of bursts."""
    bursts: int
    stride_bytes: int = 0
    """From one burst to the next, a whole number of bursts; 0: the next one."""
    write: bool = False
    arrival: int = 0
    """Cycle of the standard."""


@dataclass(frozen=True)
class StreamRun:
    """What streams took; `simulated_bursts` of the `bursts` were stepped, the rest goes like them."""

    cycles: int
    """Up to the last data."""
    counters: Counters
    bursts: int
    simulated_bursts: int
    seconds: float
    bytes_per_second: float


def run_streams(
    standard: Standard,
    streams: Sequence[Stream],
    *,
    channels: int = 1,
    policy: Policy | None = None,
    mapping: str = "",
    stream: bool = True,
) -> StreamRun:
    """Run streams side by side through `channels` idle channels; each pseudo-channel takes its share of each.

    `stream` False steps every burst of every channel; the result is the same but for `simulated_bursts`.
    Raises HanokError for a stream that leaves the memory, ChipError for a mapping or a policy that cannot be.
    """
    table = _table(standard, streams, channels)
    parsed = parse_mapping(mapping or standard.mapping, standard, channels)
    state = state_of(standard, channels, policy, mapping, ports=max(1, len(table)), stream=stream)
    in_order = bool(state[k.H_CLOSED] or state[k.H_BANK_INTERVAL])
    periods = find_periods(parsed, standard, channels, exchange=not in_order)
    groups: dict[object, list[int]] = {}
    for channel in range(channels):
        alike = _share(table, parsed, periods, standard, channel) if stream else channel
        groups.setdefault(alike, []).append(channel)
    runner = _Runner(standard, state, table, periods, skips=stream)
    totals = np.zeros(k.U_RING - k.C_READS, np.int64)
    cycles = simulated = 0
    for members in groups.values():
        end, counts, stepped = runner.run(members[0])
        cycles = max(cycles, end)
        simulated += stepped
        totals += counts * len(members)
    seconds = cycles * standard.tck_fs * 1e-15
    bursts = sum(item.bursts for item in streams)
    return StreamRun(
        cycles=cycles,
        counters=counters_of(totals, channels, channels * standard.organisation.pseudo_channels),
        bursts=bursts,
        simulated_bursts=simulated,
        seconds=seconds,
        bytes_per_second=bursts * standard.burst_bytes / seconds if seconds else 0.0,
    )


def _table(standard: Standard, streams: Sequence[Stream], channels: int) -> Integers:
    """Streams as rows for the kernels."""
    capacity, burst = standard.channel_bytes * channels, standard.burst_bytes
    rows = []
    for number, item in enumerate(streams):
        stride = item.stride_bytes or burst
        last = item.address + (item.bursts - 1) * stride
        if item.bursts < 0 or item.arrival < 0 or item.address % burst or stride % burst or stride < 0:
            raise HanokError(
                f"stream {number}: {item}; allowed: bursts and arrival of at least 0, address and stride in "
                f"whole bursts of {burst} bytes"
            )
        if item.bursts and not 0 <= item.address <= last < capacity:
            raise HanokError(
                f"stream {number}: addresses {item.address}..{last + burst - 1}; allowed: 0..{capacity - 1}"
            )
        rows.append((item.address, stride, item.bursts, int(item.write), item.arrival, burst))
    return np.array(rows, np.int64).reshape(len(rows), kernels.S_SIZE)


def _share(
    table: Integers, mapping: Mapping, periods: Periods, standard: Standard, channel: int
) -> tuple[object, ...] | int:
    """Return what tells a channel's share of the streams from that of others; if not known, its number."""
    pseudo = standard.organisation.pseudo_channels
    found: list[object] = []
    for address, stride, count, *_ in table.tolist():
        for number in range(channel * pseudo, (channel + 1) * pseudo):
            if periods.mask and stride == standard.burst_bytes:
                end = address + count * stride
                found += [_first_of(periods, number, at) for at in (address, end)]
            elif periods.mask and count <= ENUMERATED:
                addresses = address + np.arange(count) * stride
                places = mapping.locate_all(addresses)
                mine = addresses & periods.mask == periods.values[number]
                parts = [places[name][mine] for name in ("rank", "group", "bank", "row", "column")]
                found.append(hashlib.sha256(np.stack(parts).tobytes()).digest())
            else:
                return channel
    return tuple(found)


def _first_of(periods: Periods, number: int, address: int) -> int:
    """Return the first address of a unit from `address` on, without the bits that choose the unit."""
    address = int(kernels.next_on_unit(address, periods.mask, int(periods.values[number])))
    left, position, shift = 0, 0, 0
    while address >> shift:
        if not periods.mask >> shift & 1:
            left |= (address >> shift & 1) << position
            position += 1
        shift += 1
    return left


class _Runner:
    """Runs one channel after the other; skips what repeats from one checkpoint to a later one."""

    def __init__(
        self, standard: Standard, state: State, table: Integers, periods: Periods, skips: bool
    ) -> None:
        self.state, self.table, self.periods = state, table, periods
        self.pseudo = standard.organisation.pseudo_channels
        self.every = int(state[k.H_INTERVAL])
        if state[k.H_POSTPONED] < 0:
            per_unit = periods.period_bytes // (standard.burst_bytes * int(state[k.H_UNITS]))
            self.every = max(1, per_unit) * standard.burst_cycles
        elif state[k.H_BANK_INTERVAL]:
            self.every *= standard.organisation.banks
        self.edges = max(form.align for form in standard.forms.values())
        self.skips = skips and periods.period_bytes > 0
        self.scratch = np.zeros(int(state[k.H_CHANNEL_SIZE]) * 2, np.int64)

    def run(self, channel: int) -> tuple[int, Integers, int]:
        """Return the cycle of the channel's last data, its counters, and how many bursts were stepped."""
        positions = np.zeros((self.pseudo, len(self.table)), np.int64)
        counters = units_of(self.state)[channel, :, k.C_READS : k.U_RING]
        seen: dict[bytes, tuple[int, Integers, Integers, Integers]] = {}
        size = int(self.state[k.H_CHANNEL_SIZE])
        block = self.state[int(self.state[k.H_CHANNELS]) + channel * size :][:size]
        now, skipped = 0, np.zeros_like(counters)
        while self.skips and self._has_more(positions):
            before = block.copy(), positions.copy()
            now += self.every
            self._feed(channel, positions, now)
            if not self._is_busy(channel, positions):
                block[:], positions[:] = before
                break
            key, begun, untaken = self._describe(channel, positions, now)
            if key not in seen:
                seen[key] = (now, begun, untaken, counters.copy())
                continue
            cycles, moved_periods, moved = now - seen[key][0], begun - seen[key][1], untaken - seen[key][2]
            times = self._rounds(untaken, moved, now, cycles)
            if times:
                skipped += times * (counters - seen[key][3])
                banks, rows = self._exchanged(times * moved_periods)
                kernels.shift_channel(self.state, channel, times * cycles, banks, rows, self.scratch)
                positions[:] = untaken + times * moved
                now += times * cycles
            seen.clear()
        self._feed(channel, positions, k.NEVER)
        end = int(kernels.last_data(self.state, channel))
        self._feed(channel, positions, end + 1)
        stepped = int(counters[:, :2].sum())
        return end, (counters + skipped).sum(axis=0), stepped

    def _feed(self, channel: int, positions: Integers, until: int) -> None:
        kernels.feed_streams(
            self.state,
            channel,
            self.table,
            positions,
            self.periods.mask,
            self.periods.values,
            until,
        )

    def _is_busy(self, channel: int, positions: Integers) -> bool:
        """Whether the channel has something left to do; if not, its last data were through before now."""
        units = units_of(self.state)[channel]
        ports = units[:, self.state[k.O_PORTS] : self.state[k.O_INPUT]].reshape(len(units), -1, k.I_SIZE)
        waits = (ports[..., k.I_PUT] > ports[..., k.I_TAKEN]).any()
        queued = units[:, k.U_READS : k.U_READS + 2].any()
        return bool(waits or queued or self._has_more(positions))

    def _has_more(self, positions: Integers) -> bool:
        return bool((positions < self.table[:, kernels.S_COUNT]).any())

    def _describe(self, channel: int, positions: Integers, now: int) -> tuple[bytes, Integers, Integers]:
        """Return the channel's state without time, banks and rows, the periods that have begun [unit], and
        where it stands in each stream [unit, stream].
        """
        untaken = np.zeros_like(positions)
        kernels.next_untaken(self.state, channel, self.table, positions, untaken)
        addresses = self.table[:, kernels.S_ADDRESS] + untaken * self.table[:, kernels.S_STRIDE]
        active = (untaken < self.table[:, kernels.S_COUNT]) & (self.table[:, kernels.S_ARRIVAL] <= now)
        first = np.take_along_axis(addresses, active.argmax(axis=1)[:, None], axis=1)
        begun = np.where(np.any(active, axis=1, keepdims=True), first // self.periods.period_bytes, 0)
        banks, rows = self._exchanged(begun[:, 0])
        parts = banks.argsort(axis=1)
        size = kernels.describe_channel(self.state, channel, now, banks, parts, rows, self.scratch)
        places = np.where(active, addresses - begun * self.periods.period_bytes, -1)
        edge = now % self.edges
        return self.scratch[:size].tobytes() + places.tobytes() + bytes([edge]), begun[:, 0], untaken

    def _exchanged(self, periods: Integers) -> tuple[Integers, Integers]:
        """Return bank and row [unit, part] after each unit's periods."""
        found = [self.periods.after(count) for count in periods.tolist()]
        return np.stack([banks for banks, _ in found]), np.stack([rows for _, rows in found])

    def _rounds(self, untaken: Integers, moved: Integers, now: int, cycles: int) -> int:
        """Return how often streams can move on by `moved` in `cycles` before one of them ends or begins."""
        counts, rounds = self.table[:, kernels.S_COUNT], []
        for unit in range(self.pseudo):
            for stream in range(len(self.table)):
                left = int(counts[stream] - untaken[unit, stream])
                if moved[unit, stream] > 0:
                    rounds.append(left // int(moved[unit, stream]))
                elif left > 0:
                    begins = int(self.table[stream, kernels.S_ARRIVAL])
                    rounds.append(max(0, begins - now) // cycles if begins > now else 0)
        return min(rounds, default=0)
