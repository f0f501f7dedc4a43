"""Requests through a memory with its ECC: what the DRAM sees, and when the trace's requests are answered."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from hanok.dram.ecc import EccPlan, Expanded, ecc_options, ecc_plan, expand_requests, with_ecc
from hanok.dram.mapping_search import Requests
from hanok.dram.request_traces import RequestTrace
from hanok.dram.results import RequestRun
from hanok.dram.simulate import run_requests
from hanok.dram.standard import Standard
from hanok.errors import ChipError
from hanok.flows.dram_results import EccSummary
from hanok.machine import Policy

MAX_CHANNELS = 256
MAX_WINDOW = 4096
NO_ECC = "none"


@dataclass(frozen=True)
class Memory:
    """What a trace runs on."""

    standard: Standard
    channels: int = 1
    mapping: str = ""
    """Empty: the standard's own. `hanok.flows.dram.SEARCH`: the best one found for the trace."""
    policy: Policy = field(default_factory=Policy)
    window: int = 1
    """Requests that the host sends ahead of those that queues have taken; 0: no limit."""
    ecc: str = NO_ECC
    partial_writes: bool = False
    """Every write changes part of its burst, so that ECC has to merge it with the rest."""


@dataclass(frozen=True, eq=False)
class Service:
    """A run as the host sees it, and as the DRAM does."""

    asked: RequestRun
    """The trace's requests, where their own bursts lie, and when they are answered, the decoder included."""
    sent: RequestRun
    """All bursts, those of check bits too."""
    is_ecc: npt.NDArray[np.bool_]
    """Which of these hold check bits."""
    plan: EccPlan | None


def check_memory(memory: Memory) -> None:
    """Raise ChipError for channels, a window or ECC that cannot be."""
    if not 1 <= memory.channels <= MAX_CHANNELS or memory.channels & memory.channels - 1:
        raise ChipError(f"--channels: {memory.channels}; allowed: a power of two, 1..{MAX_CHANNELS}")
    if not 0 <= memory.window <= MAX_WINDOW:
        raise ChipError(f"--window: {memory.window}; allowed: 0 (no limit), 1..{MAX_WINDOW}")
    if memory.ecc == NO_ECC:
        if memory.partial_writes:
            raise ChipError("--partial-writes: without ECC there is nothing to merge; give --ecc too")
        return
    allowed = ecc_options(memory.standard.family)
    if memory.ecc not in allowed:
        raise ChipError(
            f"--ecc: '{memory.ecc[:20]}' on {memory.standard.name}; allowed: {', '.join(allowed)}"
        )


def usable_bytes(memory: Memory) -> int:
    """Return how many bytes of data the memory holds."""
    if memory.ecc == NO_ECC:
        return memory.channels * memory.standard.channel_bytes
    return ecc_plan(memory.standard, memory.ecc).usable_bytes(memory.standard, memory.channels)


def serve(requests: RequestTrace | Requests, memory: Memory, *, commands: bool = False) -> Service:
    """Run requests through the controller of `memory`, with the bursts that its ECC adds.

    A read is answered when its burst, and the burst of its check bits where it needs one, are there and the
    host has decoded them; a write when its own data are on the bus. Raises ChipError as
    `hanok.dram.ecc.expand_requests` and `run_requests` do.
    """
    if memory.ecc == NO_ECC:
        run = _run(memory, memory.standard, requests, commands)
        return Service(run, run, np.zeros(len(requests.addresses), np.bool_), None)
    standard = with_ecc(memory.standard, memory.ecc, partial_writes=memory.partial_writes)
    expanded = expand_requests(
        memory.standard,
        memory.ecc,
        requests.writes,
        requests.addresses // standard.burst_bytes * standard.burst_bytes,
        requests.arrivals,
        partial=requests.writes if memory.partial_writes else None,
        channels=memory.channels,
        mapping=memory.mapping,
    )
    plan = ecc_plan(memory.standard, memory.ecc)
    sent = _run(memory, standard, expanded, commands)
    asked = _answered(requests, expanded, sent, plan.read_latency_clocks * standard.clock_cycles)
    return Service(asked, replace(sent, cycles=asked.cycles), expanded.is_ecc, plan)


def _run(
    memory: Memory, standard: Standard, requests: RequestTrace | Requests | Expanded, commands: bool
) -> RequestRun:
    return run_requests(
        standard,
        requests.writes,
        requests.addresses,
        requests.arrivals,
        channels=memory.channels,
        policy=memory.policy,
        mapping=memory.mapping,
        window=memory.window,
        trace=commands,
    )


def _answered(
    requests: RequestTrace | Requests, expanded: Expanded, sent: RequestRun, decoder_cycles: int
) -> RequestRun:
    """Return the run of the trace's own requests.

    Bursts of data are in the order of the requests, first the read of a write that is merged; what follows a
    read is the burst of its check bits, if it needs one.
    """
    numbers = np.arange(len(requests.addresses))
    data = np.flatnonzero(~expanded.is_ecc)
    owners = expanded.owner[data]
    first = data[np.searchsorted(owners, numbers, side="left")]
    last = data[np.searchsorted(owners, numbers, side="right") - 1]
    after = np.minimum(last + 1, len(expanded.owner) - 1)
    checked = expanded.is_ecc[after] & ~expanded.writes[after] & (expanded.owner[after] == numbers)
    completed = np.where(
        checked & ~requests.writes,
        np.maximum(sent.completed[last], sent.completed[after]),
        sent.completed[last],
    )
    completed = completed + np.where(requests.writes, 0, decoder_cycles)
    return replace(
        sent,
        writes=requests.writes,
        addresses=sent.addresses[last],
        arrivals=requests.arrivals,
        admitted=sent.admitted[first],
        completed=completed,
        cycles=max(sent.cycles, int(completed.max(initial=0))),
    )


def ecc_summary(service: Service, memory: Memory) -> EccSummary | None:
    """Return what ECC is and what it costs; None where there is none."""
    plan, sent = service.plan, service.sent
    if plan is None:
        return None
    check = service.is_ecc
    reads = int(np.count_nonzero(check & ~sent.writes))
    writes = int(np.count_nonzero(check & sent.writes))
    merges = len(sent.writes) - len(service.asked.writes) - reads - writes
    codes = tuple(f"on die {words.code.name}" for words in plan.on_die)
    if plan.side_band is not None:
        codes += (f"{'in line' if plan.in_line else 'side band'} {plan.side_band.code.name}",)
    share, whole = plan.capacity
    summary = EccSummary(
        option=plan.option,
        codes=codes,
        in_line=plan.in_line,
        partial_writes=memory.partial_writes,
        check_reads=reads,
        check_writes=writes,
        merge_reads=merges,
        usable_bytes=usable_bytes(memory),
        capacity_share=share / whole,
        pin_ratio=plan.pin_ratio,
        cell_ratio=plan.cell_ratio,
        read_latency_ns=plan.read_latency_clocks * sent.standard.clock_cycles * sent.standard.tck_fs * 1e-6,
        cost="",
    )
    slower_writes = len(sent.standard.rows) > len(memory.standard.rows)
    return replace(summary, cost=_cost(summary, len(sent.writes), slower_writes))


def _cost(ecc: EccSummary, sent: int, slower_writes: bool) -> str:
    parts = []
    if ecc.in_line:
        bursts = ecc.check_reads + ecc.check_writes
        parts.append(
            f"{bursts:,} of {sent:,} bursts hold check bits ({ecc.check_reads:,} read, {ecc.check_writes:,} "
            f"written), and {100 * ecc.capacity_share:.3g} % of the capacity is left for data"
        )
    elif ecc.pin_ratio > 1:
        parts.append(
            "no bandwidth and no capacity, as check bits have pins of their own; "
            f"reads and writes take {100 * (ecc.pin_ratio - 1):.3g} % more energy"
        )
    if ecc.cell_ratio > 1:
        parts.append(f"activates and refreshes take {100 * (ecc.cell_ratio - 1):.3g} % more energy")
    if ecc.read_latency_ns:
        parts.append(f"{ecc.read_latency_ns:.3g} ns a read to decode")
    if ecc.merge_reads:
        parts.append(f"{ecc.merge_reads:,} reads to merge writes of part of a burst")
    if slower_writes:
        parts.append("gaps between writes, in which the dies merge parts of a word")
    return "; ".join(parts)
