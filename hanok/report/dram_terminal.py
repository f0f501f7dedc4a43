"""A request trace on a DRAM, and the list of standards, as terminal tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hanok.flows.dram_results import DramRecord, StandardSummary
from hanok.report import text as _format
from hanok.report._tables import plain_text, titled_table
from hanok.report.dram_charts import nanoseconds
from hanok.units import readable_bytes

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_BARS = " ▁▂▃▄▅▆▇█"
_SHOWN_VIOLATIONS = 5
_STANDARD_COLUMNS = (
    ("name", True),
    ("density, Gb", True),
    ("pseudo x rank x group x bank", False),
    ("row", False),
    ("channel", False),
    ("GB/s", False),
    ("package", True),
    ("GB/s", False),
    ("", True),
)
"""Column, and whether it holds words (else numbers, to the right)."""


def print_dram(record: DramRecord, console: Console) -> None:
    """Print the record; the last line says what bounds the trace, and what would help."""
    console.print()
    console.print(_totals(record))
    console.print()
    console.print(_latencies(record))
    console.print(_bus(record))
    console.print(_energy(record))
    if record.trials:
        console.print(_trials(record))
    if record.check and record.check.violations:
        for line in record.check.examples[:_SHOWN_VIOLATIONS]:
            console.print(plain_text(line, "red"))
    for warning in record.warnings:
        console.print(plain_text(f"note: {warning}", "yellow"))
    console.print(plain_text(record.verdict, "bold"))
    if record.advice:
        console.print(plain_text(f"Better: {record.advice}", "bold"))


def print_standards(summaries: Sequence[StandardSummary], console: Console) -> None:
    """Print one row a standard, and below the table where its figures come from."""
    from rich.padding import Padding

    table = titled_table("DRAM standards")
    for title, words in _STANDARD_COLUMNS:
        table.add_column(title, justify="left" if words else "right", no_wrap=True)
    families = list(dict.fromkeys(one.family for one in summaries))
    for family in families:
        members = [one for one in summaries if one.family == family]
        for one in members:
            table.add_row(*map(plain_text, _standard_cells(one)), end_section=one is members[-1])
    console.print(table)
    for family in families:
        console.print(plain_text(family, "bold"))
        for line in _origins([one for one in summaries if one.family == family]):
            console.print(Padding(plain_text(line, "dim"), (0, 0, 0, 2)))


def _standard_cells(one: StandardSummary) -> tuple[str, ...]:
    return (
        one.name,
        _densities(one),
        f"{one.pseudo_channels} x {one.ranks} x {one.groups} x {one.banks_per_group}",
        readable_bytes(one.row_bytes),
        readable_bytes(one.channel_bytes),
        _format.significant(one.channel_bytes_per_second / 1e9),
        f"{one.package} x {one.package_channels}",
        _format.significant(one.package_bytes_per_second / 1e9),
        "derived" if one.derived else "",
    )


def _origins(members: Sequence[StandardSummary]) -> list[str]:
    """Return each source and each derivation once, with the grades that it is for where not all are."""
    said: dict[str, list[StandardSummary]] = {}
    for one in members:
        for key, source in (*one.sources, *((("derived", one.derived),) if one.derived else ())):
            said.setdefault(f"{key}: {source}", []).append(one)
    return [
        line if len(grades) == len(members) else f"{', '.join(str(one.speed_mbps) for one in grades)}: {line}"
        for line, grades in said.items()
    ]


def _densities(one: StandardSummary) -> str:
    """Return the usual density first, then the others."""
    others = (density for density in one.densities_gbit if density != one.density_gbit)
    return ", ".join(map(str, (one.density_gbit, *others)))


def _totals(record: DramRecord) -> Table:
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column()
    for key, value, style in _total_rows(record):
        table.add_row(key, plain_text(value, style))
    return table


def _total_rows(record: DramRecord) -> list[tuple[str, str, str]]:
    standard, seconds = record.standard, record.seconds
    channels = f"{record.channels} channel{'' if record.channels == 1 else 's'}"
    peak = _format.significant(record.peak_bytes_per_second / 1e9)
    bandwidth = _format.significant(record.bytes_per_second / 1e9)
    low, high = _format.energy(record.energy_low_mj), _format.energy(record.energy_high_mj)
    rows = [
        ("trace", f"{record.trace}: {record.reads:,} reads, {record.writes:,} writes", ""),
        ("memory", f"{channels} of {standard.name}, {peak} GB/s", ""),
        ("mapping", record.mapping, ""),
        ("host", record.host, ""),
        *_ecc_rows(record),
        ("took", f"{nanoseconds(record.duration_ns)}  ({record.cycles:,} cycles)", ""),
        ("bandwidth", f"{bandwidth} GB/s  ({_format.percent(record.share_of_peak)} of the peak)", ""),
        (
            "rows",
            f"{_format.percent(record.row_hit_rate)} hits  ({record.row_hits:,} hits, {record.row_misses:,} "
            f"misses, {record.row_conflicts:,} conflicts)",
            "",
        ),
        (
            "energy",
            f"{_format.energy(record.energy_mj)}  (estimate: between {low} and {high}; "
            f"{_format.significant(record.pj_per_bit)} pJ a bit)",
            "",
        ),
        ("commands", ", ".join(f"{count:,} {name}" for name, count in record.commands), ""),
        ("channels", _balance(record), ""),
        ("over time", _sparkline(record), ""),
    ]
    if record.check:
        broken = record.check.violations
        found = f"{broken:,} violations" if broken else "all kept"
        rows.append(
            ("timing rules", f"{found} in {record.check.commands:,} commands", "red" if broken else "green")
        )
    parts = (
        ("read", seconds.read),
        ("search", seconds.search),
        ("simulate", seconds.simulate),
        ("check", seconds.check),
    )
    rows.append(("hanok took", ", ".join(f"{name} {value:.2f} s" for name, value in parts if value), ""))
    return rows


def _ecc_rows(record: DramRecord) -> list[tuple[str, str, str]]:
    if record.ecc is None:
        return []
    ecc = record.ecc
    writes = "; every write is partial" if ecc.partial_writes else ""
    return [
        ("ECC", f"{ecc.option}: {', '.join(ecc.codes)}{writes}", ""),
        ("ECC costs", ecc.cost or "nothing that is counted", ""),
    ]


def _balance(record: DramRecord) -> str:
    """Say how the requests are spread."""
    shares = [load.requests / max(1, record.requests) for load in record.loads]
    used = sum(load.requests > 0 for load in record.loads)
    return (
        f"{used} of {len(shares)} pseudo-channels used; the busiest has {_format.percent(max(shares))} of "
        f"the requests, an even share is {_format.percent(1 / len(shares))}"
    )


def _sparkline(record: DramRecord, width: int = 60) -> str:
    """Draw the bandwidth over time as a line of blocks, full at the peak."""
    traffic = record.traffic
    moved = [read + write for read, write in zip(traffic.read_bytes, traffic.write_bytes, strict=True)]
    group = -(-len(moved) // width)
    full = record.peak_bytes_per_second * traffic.slice_ns * 1e-9
    line = ""
    for begin in range(0, len(moved), group):
        part = moved[begin : begin + group]
        line += _BARS[min(8, max(0, round(8 * sum(part) / (len(part) * full))))]
    return line


def _latencies(record: DramRecord) -> Table:
    begin = "arrival" if record.timed else "entry into the queue"
    table = titled_table(f"Latency, from {begin} to the last data")
    table.add_column("requests")
    for title in ("count", "mean", "50 %", "90 %", "99 %", "99.9 %", "most"):
        table.add_column(title, justify="right", no_wrap=True)
    for one in record.latencies:
        times = (one.mean_ns, one.p50_ns, one.p90_ns, one.p99_ns, one.p999_ns, one.max_ns)
        table.add_row(one.requests, f"{one.count:,}", *(nanoseconds(value) for value in times))
    return table


def _bus(record: DramRecord) -> Table:
    table = titled_table("Where the data bus's time went")
    table.add_column("")
    table.add_column("share", justify="right")
    table.add_column("cycles of all pseudo-channels", justify="right")
    for cause, cycles in record.bus:
        if cycles:
            table.add_row(
                plain_text(cause), _format.percent(cycles / max(1, record.bus_cycles)), f"{cycles:,}"
            )
    return table


def _energy(record: DramRecord) -> Table:
    table = titled_table("Energy by command")
    table.add_column("")
    for title in ("energy", "at least", "at most", "share"):
        table.add_column(title, justify="right")
    for part in record.energy:
        cells = (_format.energy(part.amount), _format.energy(part.low), _format.energy(part.high))
        table.add_row(plain_text(part.name), *cells, _format.percent(part.amount / record.energy_mj))
    return table


def _trials(record: DramRecord) -> Table:
    table = titled_table(f"Mappings tried on {record.trials[0].requests:,} requests")
    table.add_column("mapping")
    table.add_column("cycles", justify="right")
    for trial in record.trials:
        table.add_row(plain_text(trial.mapping), f"{trial.cycles:,}")
    return table
