"""Requests through the controller: from arrays of addresses to cycles, counters and commands."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hanok.dram import _layout as k
from hanok.dram._kernels import advance_all, feed_channel, feed_in_order, sort_by_unit
from hanok.dram._layout import State
from hanok.dram.commands import COMMAND_DTYPE, Commands
from hanok.dram.results import RequestRun
from hanok.dram.standard import Standard
from hanok.dram.state import answers_of, read_counters, state_of, take_commands
from hanok.errors import HanokError
from hanok.machine import Policy

TRACE_CHUNK = 1 << 16


def run_requests(
    standard: Standard,
    writes: NDArray[np.bool_],
    addresses: NDArray[np.int64],
    arrivals: NDArray[np.int64],
    *,
    channels: int = 1,
    policy: Policy | None = None,
    mapping: str = "",
    window: int = 0,
    trace: bool = False,
    stream: bool = True,
) -> RequestRun:
    """Run requests through `channels` idle channels; each pseudo-channel takes its own in the order given.

    writes, addresses (bytes), arrivals (cycles of the standard, at least 0): arrays of one length. A request
    enters its queue no earlier than its arrival and than the one before it on its pseudo-channel; with a
    `window` of n, it comes no earlier than the one before it, and than the n-th before it has entered its
    queue (1: a host that waits until each request is taken, as Ramulator's trace front ends do). Raises
    HanokError for arrays that do not fit together or an address beyond the capacity, ChipError for a mapping
    or a policy that cannot be.
    """
    policy = policy or Policy()
    writes, addresses, arrivals = _checked(standard, channels, writes, addresses, arrivals)
    state = state_of(
        standard,
        channels,
        policy,
        mapping,
        port_depth=max(256, window),
        stream=stream,
        answers=len(addresses),
        trace_commands=TRACE_CHUNK if trace else 0,
    )
    chunks = list(_feed(state, arrivals, writes, addresses, channels, window))
    admitted, completed = answers_of(state)[: len(addresses)].T.copy()
    assert (completed >= 0).all(), "the controller answers every request"
    return RequestRun(
        standard=standard,
        policy=policy,
        channels=channels,
        mapping=mapping or standard.mapping,
        writes=writes,
        addresses=addresses,
        arrivals=arrivals,
        admitted=admitted,
        completed=completed,
        cycles=int(completed.max(initial=0)),
        counters=read_counters(state),
        commands=commands_of(np.concatenate(chunks), standard) if trace else None,
    )


def _feed(
    state: State,
    arrivals: NDArray[np.int64],
    writes: NDArray[np.bool_],
    addresses: NDArray[np.int64],
    channels: int,
    window: int,
) -> Iterator[NDArray[np.int64]]:
    """Let the controller work the requests off; yield what it notes of its commands, piece by piece."""
    cursor, ends = np.zeros((2, int(state[k.H_UNITS])), np.int64)
    order = np.empty(0 if window else len(addresses), np.int64)
    if not window:
        sort_by_unit(state, addresses, order, cursor, ends)
    place = np.zeros(2, np.int64)
    for channel in range(1 if window else channels):
        why = k.TRACE_FULL
        while why == k.TRACE_FULL:
            if window:
                why = feed_in_order(state, arrivals, writes, addresses, window, place)
            else:
                why = feed_channel(state, channel, arrivals, writes, addresses, order, cursor, ends)
            yield take_commands(state)
    end = int(answers_of(state)[: len(addresses), k.A_COMPLETED].max(initial=0))
    while advance_all(state, end + 1) == k.TRACE_FULL:
        yield take_commands(state)
    yield take_commands(state)


def _checked(
    standard: Standard,
    channels: int,
    writes: NDArray[np.bool_],
    addresses: NDArray[np.int64],
    arrivals: NDArray[np.int64],
) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
    writes = np.asarray(writes, np.bool_)
    addresses, arrivals = np.asarray(addresses, np.int64), np.asarray(arrivals, np.int64)
    if not writes.shape == addresses.shape == arrivals.shape or addresses.ndim != 1:
        raise HanokError(
            f"requests: arrays of shapes {writes.shape}, {addresses.shape} and {arrivals.shape}; allowed: "
            "three of one dimension and one length"
        )
    capacity = standard.channel_bytes * channels
    for name, values, limit in (("address", addresses, capacity), ("arrival", arrivals, k.NEVER >> 10)):
        wrong = (values < 0) | (values >= limit)
        if wrong.any():
            index = int(np.argmax(wrong))
            raise HanokError(f"request {index}: {name} {int(values[index])}; allowed: 0..{limit - 1}")
    return writes, addresses, arrivals


def commands_of(raw: NDArray[np.int64], standard: Standard) -> Commands:
    """Return what was noted in a trace, in the order of the cycles, with each part of each place."""
    raw = raw[raw[:, k.T_CYCLE].argsort(kind="stable")]
    shape = standard.organisation
    found = np.zeros(len(raw), COMMAND_DTYPE)
    found["cycle"], found["command"] = raw[:, k.T_CYCLE], raw[:, k.T_COMMAND]
    found["channel"], found["pseudo"] = np.divmod(raw[:, k.T_UNIT], shape.pseudo_channels)
    group, bank = np.divmod(raw[:, k.T_BANK], shape.banks_per_group)
    rank, group = np.divmod(group, shape.groups)
    whole = raw[:, k.T_BANK] < 0
    for name, values in (("rank", rank), ("group", group), ("bank", bank)):
        found[name] = np.where(whole, -1, values)
    found["row"], found["column"] = raw[:, k.T_ROW], raw[:, k.T_COLUMN]
    return found
