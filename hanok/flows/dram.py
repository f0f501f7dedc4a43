"""A request trace goes through a memory controller, a result record comes out; and the list of standards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np

from hanok.dram.checker import check_commands
from hanok.dram.commands import Commands
from hanok.dram.mapping import PRESETS, parse_mapping
from hanok.dram.mapping_search import SIMULATED, Requests, sample_requests, search_mapping
from hanok.dram.request_traces import Form, RequestTrace, read_requests
from hanok.dram.results import RequestRun
from hanok.dram.standard import Standard
from hanok.dram.standards import (
    densities,
    families,
    get_standard,
    load_standard,
    standard_by_speed,
    standards,
)
from hanok.errors import ChipError
from hanok.flows import _dram_figures as figures
from hanok.flows._dram_service import (
    MAX_CHANNELS,
    Memory,
    Service,
    check_memory,
    ecc_summary,
    serve,
    usable_bytes,
)
from hanok.flows._dram_verdict import MAPPING, MAPPING_MATTERS, Host, judge
from hanok.flows._version import hanok_version
from hanok.flows.dram_results import (
    DramRecord,
    DramSeconds,
    MappingTrial,
    StandardSummary,
    TraceCheck,
)
from hanok.machine import Policy

__all__ = [
    "MAX_CHANNELS",
    "SEARCH",
    "DramResult",
    "Memory",
    "choose_standard",
    "list_standards",
    "run_trace",
    "summarise",
]

SEARCH = "search"
"""The mapping that stands for the best one found."""
SAMPLE_REQUESTS = 20_000
"""Of a trace, on which mappings are compared."""
_BETTER = 0.9
"""A mapping is named when it takes at most this share of the present one's cycles."""
_SHOWN_TRIALS = 5
_SHOWN_VIOLATIONS = 10
_LATE_START = 0.1
_NO_ROOM = 1 << 62
"""Cycles of a mapping that cannot be."""

Progress = Callable[[str], None]


class DramResult(NamedTuple):
    """A run: the record for reports, and the commands that were sent, when asked for."""

    record: DramRecord
    commands: Commands | None


def list_standards() -> tuple[StandardSummary, ...]:
    """Return every speed grade at its usual density, in table order."""
    found = (get_standard(name) for name in standards())
    return tuple(summarise(standard) for standard in found if isinstance(standard, Standard))


def summarise(standard: Standard) -> StandardSummary:
    """Return what listings and reports show of a standard."""
    cycle_ps, shape = standard.tck_fs / 1000, standard.organisation
    return StandardSummary(
        name=standard.name,
        family=standard.family,
        speed_mbps=standard.speed_mbps,
        density_gbit=standard.density_gbit,
        densities_gbit=_densities(standard),
        clock_mhz=1e6 / (cycle_ps * standard.clock_cycles),
        cycle_ps=cycle_ps,
        burst_bytes=standard.burst_bytes,
        pseudo_channels=shape.pseudo_channels,
        ranks=shape.ranks,
        groups=shape.groups,
        banks_per_group=shape.banks_per_group,
        rows=shape.rows,
        row_bytes=shape.columns * standard.burst_bytes,
        channel_bytes=standard.channel_bytes,
        channel_bytes_per_second=standard.peak_bytes_per_second,
        package="stack" if standard.family.startswith("HBM") else "die",
        package_channels=standard.stack_channels,
        derived=standard.derived,
        sources=tuple(standard.sources.items()),
    )


def _densities(standard: Standard) -> tuple[int, ...]:
    """Densities of the family; of a standard of one's own, the one that it has."""
    name = f"{standard.family}_{standard.speed_mbps}"
    return densities(name) if name in standards() else (standard.density_gbit,)


def choose_standard(name: str, speed_mbps: int, density_gbit: int, table: Path | None) -> Standard:
    """Return the standard that a command's options name: a family at a speed, a whole name, or a TOML file.

    0 stands for a speed or density that was not given. Raises ChipError that says what there is.
    """
    if table is not None:
        if name or speed_mbps or density_gbit:
            raise ChipError("--table has a whole standard; leave --standard, --speed and --density out")
        return load_standard(str(table))
    if not name:
        raise ChipError("which memory? give --standard and --speed (see `hanok dram list`), or --table FILE")
    if name.upper() in families():
        family = name.upper()
        return standard_by_speed(family, speed_mbps or _only_speed(family), density_gbit or None)
    if speed_mbps or density_gbit:
        raise ChipError(
            f"--speed and --density go with a family, not with '{name[:64]}'; families: "
            f"{', '.join(families())}"
        )
    found = get_standard(name)
    if not isinstance(found, Standard):
        raise ChipError(f"--standard: '{name[:64]}' has no banks, so no commands; see `hanok dram list`")
    return found


def _only_speed(family: str) -> int:
    speeds = [one.speed_mbps for one in list_standards() if one.family == family]
    if len(speeds) > 1:
        raise ChipError(f"--speed: which one? {family} has {', '.join(map(str, speeds))} Mb/s a pin")
    return speeds[0]


def run_trace(
    path: str | Path,
    memory: Memory,
    *,
    form: Form = "auto",
    skip_bad: bool = False,
    keep_commands: bool = False,
    check: bool = False,
    progress: Progress = lambda _phase: None,
) -> DramResult:
    """Run the requests of a trace file through the controller of `memory`.

    `check` holds the commands against the standard's table alone. Raises TraceError for the file and
    ChipError for the memory.
    """
    standard, seconds = memory.standard, DramSeconds()
    check_memory(memory)
    searching = memory.mapping == SEARCH
    first = parse_mapping(
        standard.mapping if searching or not memory.mapping else memory.mapping, standard, memory.channels
    )
    progress("reading the trace")
    begin = perf_counter()
    trace = read_requests(
        path,
        standard,
        memory.channels,
        first,
        form,
        skip_bad=skip_bad,
        usable_bytes=usable_bytes(memory),
    )
    seconds = replace(seconds, read=perf_counter() - begin)
    trials: tuple[MappingTrial, ...] = ()
    if searching:
        progress("searching a mapping")
        begin = perf_counter()
        trials = _search(trace, memory)
        memory = replace(memory, mapping=trials[0].mapping if trials else "")
        seconds = replace(seconds, search=perf_counter() - begin)
    progress("simulating")
    begin = perf_counter()
    service = serve(trace, memory, commands=keep_commands or check)
    seconds = replace(seconds, simulate=perf_counter() - begin)
    found = None
    if check:
        progress("checking the commands")
        begin = perf_counter()
        found = _check(service.sent, memory.policy)
        seconds = replace(seconds, check=perf_counter() - begin)
    progress("making the report")
    record = _record(Path(path).name, trace, service, memory, trials, found, seconds)
    return DramResult(record, service.sent.commands if keep_commands else None)


def _search(requests: RequestTrace | Requests, memory: Memory) -> tuple[MappingTrial, ...]:
    """Look for the best mapping, as the host sends and with ECC; the best of those tried come first."""
    part = sample_requests(Requests(requests.writes, requests.addresses, requests.arrivals), SIMULATED)

    def measure(mapping: str) -> tuple[int, float]:
        run = _try_mapping(part, memory, mapping)
        if run is None:
            return _NO_ROOM, float(_NO_ROOM)
        return run.cycles, float(np.mean(run.completed - run.arrivals))

    found = search_mapping(
        memory.standard,
        memory.channels,
        part.writes,
        part.addresses,
        part.arrivals,
        memory.policy,
        measure=measure,
    )
    fitting = [one for one in found if one.cycles < _NO_ROOM]
    return tuple(MappingTrial(one.text, one.cycles, one.requests) for one in fitting[:_SHOWN_TRIALS])


def _try_mapping(requests: Requests, memory: Memory, mapping: str) -> RequestRun | None:
    """Run under another mapping; None where in-line ECC then leaves no room for an address."""
    try:
        return serve(requests, replace(memory, mapping=mapping)).asked
    except ChipError:
        return None


def _check(run: RequestRun, policy: Policy) -> TraceCheck:
    assert run.commands is not None, "commands were asked for"
    report = check_commands(
        run.commands, run.standard, refresh=policy.refresh != "none", limit=_SHOWN_VIOLATIONS
    )
    return TraceCheck(report.commands, report.violations, tuple(map(str, report.found)))


def _record(
    name: str,
    trace: RequestTrace,
    service: Service,
    memory: Memory,
    trials: tuple[MappingTrial, ...],
    check: TraceCheck | None,
    seconds: DramSeconds,
) -> DramRecord:
    run, sent = service.asked, service.sent
    mapping = parse_mapping(run.mapping or run.standard.mapping, run.standard, run.channels)
    nanoseconds = figures.latency_ns(run, trace.timed)
    bus, loads, counters = figures.bus_cycles(sent), figures.loads(run, mapping), sent.counters
    host = Host(
        memory.window, figures.requests_in_a_row(run, mapping), figures.held_back(sent, memory.window)
    )
    verdict = judge(run, bus, loads, trace.timed, host)
    writes = int(np.count_nonzero(run.writes))
    letters, *hashes = mapping.to_bits().split()
    return DramRecord(
        hanok_version=hanok_version(),
        trace=name,
        trace_form=trace.form,
        timed=trace.timed,
        standard=summarise(run.standard),
        channels=run.channels,
        mapping=str(mapping),
        mapping_letters=letters,
        mapping_hashes=tuple(hashes),
        policy=tuple((key, str(value)) for key, value in asdict(run.policy).items()),
        requests=len(run.addresses),
        reads=len(run.addresses) - writes,
        writes=writes,
        bad_lines=trace.bad_lines,
        bytes_moved=run.bytes_moved,
        cycles=run.cycles,
        duration_ns=run.seconds * 1e9,
        bytes_per_second=run.bytes_moved / max(run.seconds, 1e-15),
        peak_bytes_per_second=run.standard.peak_bytes_per_second * run.channels,
        latencies=figures.latencies(nanoseconds, run.writes),
        histogram=figures.histogram(nanoseconds, run.writes),
        row_hits=counters.row_hits,
        row_misses=counters.row_misses,
        row_conflicts=counters.row_conflicts,
        forwarded_reads=counters.forwarded_reads,
        coalesced_writes=counters.coalesced_writes,
        turnarounds=counters.turnarounds,
        commands=figures.commands(sent),
        bus=bus,
        bus_cycles=run.cycles * counters.pseudo_channels,
        energy=figures.energy(sent),
        energy_source=run.standard.energy.source,
        loads=loads,
        traffic=figures.traffic(run),
        trials=trials,
        check=check,
        bound_by=verdict.bound_by,
        verdict=verdict.sentence,
        advice="" if trials else _advice(verdict.bound_by, trace, memory),
        warnings=tuple(_warnings(trace, run)),
        seconds=seconds,
        window=memory.window,
        ecc=ecc_summary(service, memory),
    )


def _advice(bound_by: str, trace: RequestTrace, memory: Memory) -> str:
    """Name a mapping that takes clearly less time, where the mapping may be what bounds the trace.

    The standard's own mapping and the presets are tried; where pseudo-channels are unevenly used, also what
    the search finds within seconds.
    """
    if bound_by not in MAPPING_MATTERS:
        return ""
    part = sample_requests(Requests(trace.writes, trace.addresses, trace.arrivals), SAMPLE_REQUESTS)

    def cycles(mapping: str) -> int:
        run = _try_mapping(part, memory, mapping)
        return run.cycles if run else _NO_ROOM

    candidates = [memory.standard.mapping, *PRESETS]
    if bound_by == MAPPING:
        candidates += [trial.mapping for trial in _search(part, memory)[:1]]
    tried = {mapping: cycles(mapping) for mapping in candidates}
    best, present = min(tried, key=lambda mapping: tried[mapping]), cycles(memory.mapping)
    if tried[best] > _BETTER * present:
        return ""
    gain = 100 * (1 - tried[best] / present)
    return f"--mapping '{best}' takes {gain:.0f} % less time on {len(part.addresses):,} of the requests"


def _warnings(trace: RequestTrace, run: RequestRun) -> list[str]:
    found = []
    if trace.bad_lines:
        count = f"{trace.bad_lines:,} bad line{'s were' if trace.bad_lines > 1 else ' was'} left out"
        found.append(f"{count}; the first: {trace.bad_examples[0]}")
    if trace.moved:
        found.append(
            f"{trace.moved:,} requests stand behind later ones in the trace; it was sorted by cycle first"
        )
    if trace.timed and trace.arrivals[0] > _LATE_START * run.cycles:
        begin = trace.arrivals[0] * run.standard.tck_fs * 1e-6
        found.append(f"the first request comes after {begin:,.0f} ns; the time before it counts as idle")
    if run.standard.derived:
        found.append(f"{run.standard.name} is derived, not from a public document: {run.standard.derived}")
    return found
