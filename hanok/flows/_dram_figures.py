"""Figures of a run of requests: latency, balance, traffic over time, where the bus's cycles went, energy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hanok.dram.mapping import Mapping
from hanok.dram.results import Loss, RequestRun
from hanok.flows.dram_results import Histogram, Latency, PseudoChannelLoad, Traffic
from hanok.flows.results import Contribution
from hanok.units import align_up, ceil_div

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

SLICES = 160
"""Of the run, in its bandwidth over time."""
HISTOGRAM_BINS = 48
_LOWEST_BIN = 0.01
"""Of the median latency."""
PJ_PER_MJ = 1e9
READ_DATA, WRITE_DATA, FINISHED = "read data", "write data", "finished"
LOSS_NAMES = {
    Loss.NO_REQUEST: "no request",
    Loss.REFRESH: "refresh",
    Loss.TURNAROUND: "turnaround",
    Loss.ACTIVATE: "opening rows",
    Loss.BANK_GROUP: "bank group or rank gap",
    Loss.COMMAND_BUS: "command bus",
}
_PER_MILLE = (500, 900, 990, 999)


def latency_ns(run: RequestRun, timed: bool) -> Floats:
    """Return each request's latency: from its arrival, or where the trace has no times from its admission."""
    begin = run.arrivals if timed else run.admitted
    return np.asarray((run.completed - begin) * (run.standard.tck_fs * 1e-6), np.float64)


def latencies(nanoseconds: Floats, writes: Mask) -> tuple[Latency, ...]:
    """Return mean, percentiles and maximum of all requests, and of reads and writes where there are both.

    A percentile is the smallest latency that at least so many of the requests do not exceed.
    """
    kinds: list[tuple[str, Floats]] = [("all", nanoseconds)]
    if writes.any() and not writes.all():
        kinds += [("reads", nanoseconds[~writes]), ("writes", nanoseconds[writes])]
    return tuple(_latency(name, values) for name, values in kinds)


def _latency(name: str, values: Floats) -> Latency:
    places = [ceil_div(len(values) * part, 1000) - 1 for part in _PER_MILLE]
    p50, p90, p99, p999 = np.partition(values, places)[places].tolist()
    return Latency(name, len(values), float(values.mean()), p50, p90, p99, p999, float(values.max()))


def histogram(nanoseconds: Floats, writes: Mask) -> Histogram:
    """Count requests in bins that grow by a constant factor up to the largest latency.

    They begin at the smallest one, but no lower than a hundredth of the median: what a queue answers at once
    is in the first bin.
    """
    high = float(nanoseconds.max())
    low = max(float(nanoseconds.min()), float(np.median(nanoseconds)) * _LOWEST_BIN, 1e-3)
    edges = np.geomspace(low, max(high, low * 1.001) * 1.0001, HISTOGRAM_BINS + 1)
    bins = np.clip(np.searchsorted(edges, nanoseconds, side="right") - 1, 0, HISTOGRAM_BINS - 1)
    reads = np.bincount(bins[~writes], minlength=HISTOGRAM_BINS)
    stores = np.bincount(bins[writes], minlength=HISTOGRAM_BINS)
    return Histogram(tuple(edges.tolist()), tuple(reads.tolist()), tuple(stores.tolist()))


def traffic(run: RequestRun) -> Traffic:
    """Return the bytes that were through in each of up to SLICES equal slices, which hold whole bursts."""
    width = align_up(max(1, -(-run.cycles // SLICES)), run.standard.burst_cycles)
    slices = max(1, -(-run.cycles // width))
    place = np.minimum(np.maximum(run.completed - 1, 0) // width, slices - 1)
    burst = run.standard.burst_bytes
    reads, writes = (np.bincount(place[mask], minlength=slices) * burst for mask in (~run.writes, run.writes))
    return Traffic(width * run.standard.tck_fs * 1e-6, tuple(reads.tolist()), tuple(writes.tolist()))


def loads(run: RequestRun, mapping: Mapping) -> tuple[PseudoChannelLoad, ...]:
    """Count the requests of each pseudo-channel, those that its queues answered too."""
    places = mapping.locate_all(run.addresses)
    pseudo_channels = run.standard.organisation.pseudo_channels
    place = places["channel"] * pseudo_channels + places["pseudo"]
    total = run.channels * pseudo_channels
    reads, writes = (np.bincount(place[mask], minlength=total) for mask in (~run.writes, run.writes))
    return tuple(
        PseudoChannelLoad(*divmod(number, pseudo_channels), read, write)
        for number, (read, write) in enumerate(zip(reads.tolist(), writes.tolist(), strict=True))
    )


def requests_in_a_row(run: RequestRun, mapping: Mapping) -> float:
    """Return how many requests follow one another on the same pseudo-channel, in the mean."""
    places = mapping.locate_all(run.addresses)
    place = places["channel"] * run.standard.organisation.pseudo_channels + places["pseudo"]
    return len(place) / (1 + int(np.count_nonzero(np.diff(place))))


def held_back(run: RequestRun, window: int) -> float:
    """Return the share of requests that came before the host could send them: its window was full."""
    if not 0 < window < len(run.arrivals):
        return 0.0
    return float(np.mean(run.admitted[:-window] > run.arrivals[window:]))


def bus_cycles(run: RequestRun) -> tuple[tuple[str, int], ...]:
    """Split the cycles of all pseudo-channels' data buses into data, causes of loss, and the time after."""
    counters, burst = run.counters, run.standard.burst_cycles
    parts = [(READ_DATA, counters.reads * burst), (WRITE_DATA, counters.writes * burst)]
    parts += [(LOSS_NAMES[loss], counters.lost_cycles[loss]) for loss in Loss]
    rest = run.cycles * counters.pseudo_channels - sum(cycles for _, cycles in parts)
    return (*parts, (FINISHED, rest))


def commands(run: RequestRun) -> tuple[tuple[str, int], ...]:
    """Return how often each kind of command was sent."""
    counters = run.counters
    found = (
        ("read", counters.reads),
        ("write", counters.writes),
        ("activate", counters.activates),
        ("precharge", counters.precharges),
        ("refresh, all banks", counters.refreshes),
        ("refresh, one bank", counters.bank_refreshes),
    )
    return tuple((name, count) for name, count in found if count)


def energy(run: RequestRun) -> tuple[Contribution, ...]:
    """Return the millijoules of each kind of command and of the background, as ranges of their sources."""
    counters, figures = run.counters, run.standard.energy
    picojoules = (
        ("activate and precharge", figures.activate_precharge_pj * counters.activates),
        ("read", figures.read_pj * counters.reads),
        ("write", figures.write_pj * counters.writes),
        (
            "refresh",
            figures.refresh_pj * counters.refreshes + figures.bank_refresh_pj * counters.bank_refreshes,
        ),
        ("background", figures.background_mw * (run.channels * run.seconds * PJ_PER_MJ)),
    )
    scaled = ((name, amount * (1 / PJ_PER_MJ)) for name, amount in picojoules)
    return tuple(Contribution(name, one.nominal, one.low, one.high) for name, one in scaled if one.high)
