"""What bounds a request trace on a DRAM, in one sentence, and what would help."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hanok.dram.results import Loss, RequestRun
from hanok.flows._dram_figures import FINISHED, LOSS_NAMES, READ_DATA, WRITE_DATA
from hanok.flows.dram_results import PseudoChannelLoad

DATA_BUS, MAPPING, TRACE, QUEUES = "data bus", "mapping", "trace", "queues"
MAPPING_MATTERS = (MAPPING, LOSS_NAMES[Loss.ACTIVATE], LOSS_NAMES[Loss.BANK_GROUP])
"""Bounds that another address mapping may lift."""

_BUSY = 0.85
"""A bus that carries data for this share of the time is the bound itself."""
_IDLE = 0.2
_UNEVEN = 1.5
_MOST_REQUESTS = 0.9
_HELD = 0.5
"""Of the requests: so many that wait for the host's window make it a bound."""
_CROWD = 8
"""Requests in a row on one pseudo-channel that keep the others from working."""


@dataclass(frozen=True)
class Verdict:
    """What bounds the trace, and the sentence that says so."""

    bound_by: str
    sentence: str


@dataclass(frozen=True)
class Host:
    """How the host sends the trace's requests."""

    window: int
    """It is at most so many requests ahead of what queues have taken; 0: no limit."""
    in_a_row: float = 1.0
    """Requests that follow one another on the same pseudo-channel, in the mean."""
    held_back: float = 0.0
    """Share of requests that came while the window was full."""


def judge(
    run: RequestRun,
    bus: Sequence[tuple[str, int]],
    loads: Sequence[PseudoChannelLoad],
    timed: bool,
    host: Host,
) -> Verdict:
    """Find the largest reason why the data buses carried no data."""
    total = max(1, sum(cycles for _, cycles in bus))
    share = {name: cycles / total for name, cycles in bus}
    data = share[READ_DATA] + share[WRITE_DATA]
    if data >= _BUSY:
        return Verdict(
            DATA_BUS,
            f"The data bus bounds this trace: it is busy {_percent(data)} of the time; "
            "only more channels or a faster grade would help.",
        )
    idle = share[LOSS_NAMES[Loss.NO_REQUEST]] + share[FINISHED]
    busiest = max(load.requests for load in loads) * len(loads) / max(1, sum(load.requests for load in loads))
    if idle >= _IDLE and busiest >= _UNEVEN:
        return Verdict(MAPPING, _uneven(loads))
    causes = {name: share[name] for loss, name in LOSS_NAMES.items() if loss != Loss.NO_REQUEST}
    worst = max(causes, key=lambda name: causes[name])
    if idle > causes[worst]:
        if host.held_back >= _HELD and len(loads) > 1:
            return Verdict(MAPPING, _crowded(host, idle))
        return _waiting(run, idle, timed)
    if worst in MAPPING_MATTERS and host.window and host.in_a_row >= _CROWD and len(loads) > 1:
        return Verdict(worst, _crowded_lost(run, host, worst, causes[worst]))
    return Verdict(worst, _lost(run, worst, causes[worst]))


def _crowded(host: Host, idle: float) -> str:
    """Say that a full queue of one pseudo-channel keeps the others waiting."""
    return (
        f"The mapping bounds this trace: {_patience(host)}, and a full queue of one pseudo-channel, to which "
        f"{host.in_a_row:.3g} requests go in a row, keeps the others waiting: the data bus has no request "
        f"for {_percent(idle)} of the time; a mapping that spreads neighbours over pseudo-channels, or a "
        "wider --window, would help."
    )


def _crowded_lost(run: RequestRun, host: Host, cause: str, share: float) -> str:
    """Say what is lost, and that few pseudo-channels work at a time."""
    return (
        f"{_lost(run, cause, share)} {host.in_a_row:.3g} requests in a row go to one pseudo-channel, and "
        f"{_patience(host)}, so the others have little to do meanwhile: a mapping that spreads neighbours "
        "over pseudo-channels, or a wider --window, would help."
    )


def _patience(host: Host) -> str:
    if host.window == 1:
        return "the host waits until each request is taken"
    return f"the host sends at most {host.window} requests ahead of what is taken"


def _uneven(loads: Sequence[PseudoChannelLoad]) -> str:
    """Say on how few pseudo-channels nearly all requests meet."""
    ranked = sorted((load.requests for load in loads), reverse=True)
    total, taken, few = sum(ranked), 0, 0
    while taken < _MOST_REQUESTS * total:
        taken += ranked[few]
        few += 1
    if few > len(loads) // 2:
        few, taken = 1, ranked[0]
    where = f"{'one' if few == 1 else few} of {len(loads)} pseudo-channels"
    share = "all requests" if taken == total else f"{_percent(taken / total)} of the requests"
    return f"The mapping bounds this trace: {share} go to {where}, while the rest have little to do."


def _waiting(run: RequestRun, idle: float, timed: bool) -> Verdict:
    if timed:
        offered = run.bytes_moved / max(run.seconds, 1e-15) / 1e9
        return Verdict(
            TRACE,
            f"The trace asks for no more: the data bus has no request for {_percent(idle)} of the time; "
            f"{offered:.3g} GB/s are what comes.",
        )
    return Verdict(
        QUEUES,
        f"The queues run dry: the data bus has no request for {_percent(idle)} of the time; larger read and "
        "write queues, or a longer trace, would keep it busy.",
    )


def _lost(run: RequestRun, cause: str, share: float) -> str:
    counters = run.counters
    reached = max(1, counters.row_hits + counters.row_misses + counters.row_conflicts)
    takes = f"{_percent(share)} of the data bus's time"
    match cause:
        case "opening rows":
            return (
                f"Opening rows bounds this trace: it takes {takes}, as "
                f"{_percent(counters.row_hits / reached)} of the requests find their row open; requests "
                "nearer together, or a mapping that keeps them in one row and spreads rows over banks, would "
                "help."
            )
        case "turnaround":
            each = (counters.reads + counters.writes) / max(1, counters.turnarounds)
            return (
                f"Turnaround between reads and writes bounds this trace: it takes {takes}, one for each "
                f"{each:.3g} requests; a larger write queue and a wider gap between --write-high and "
                "--write-low would help."
            )
        case "refresh":
            return (
                f"Refresh bounds this trace: it takes {takes}; refresh of single banks (--refresh per-bank) "
                "or postponing it (--postpone) may help."
            )
        case "command bus":
            return (
                f"The command bus bounds this trace: waiting for it takes {takes}; longer visits to each row "
                "would need fewer commands."
            )
    return (
        f"Gaps between bursts of one bank group or of two ranks bound this trace: they take {takes}; a "
        "mapping that sends neighbours to different bank groups would help."
    )


def _percent(share: float) -> str:
    return "under 1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"
