"""`hanok dram`: the DRAM standards, and request traces through the memory controller."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hanok.cli.progress import progress_line

if TYPE_CHECKING:
    from hanok.flows.dram import DramResult, Memory

HELP = """DRAM command by command: the standards, and request traces through the memory controller.

`hanok dram list` shows what there is. `hanok dram run --standard HBM3 --speed 6400 TRACE` runs a trace.
"""
_REFRESH: dict[str, Literal["all_bank", "per_bank", "none"]] = {
    "all-bank": "all_bank",
    "per-bank": "per_bank",
    "none": "none",
}
"""--refresh -> Policy.refresh."""


def list_command(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON in place of the table.")] = False,
) -> None:
    """List the standards: speeds, densities, organisation, peak bandwidth, and where figures come from."""
    from hanok.flows.dram import list_standards

    summaries = list_standards()
    if as_json:
        from hanok.report.dram_json import standards_json

        typer.echo(standards_json(summaries), nl=False)
        return
    from hanok.cli.console import make_console
    from hanok.report.dram_terminal import print_standards

    print_standards(summaries, make_console())


def run_command(
    trace: Annotated[
        Path,
        typer.Argument(
            metavar="TRACE",
            help="Requests, one burst a line, plain or gzipped. Ramulator 2: 'LD 0x12340', 'ST 4096', or "
            "'R 0,1,0,2,3,100,7' (channel, pseudo-channel, rank, bank group, bank, row, column). DRAMsim3: "
            "'0x12340 READ 100', cycles being clocks of the memory.",
        ),
    ],
    standard: Annotated[
        str,
        typer.Option(
            "--standard",
            "-s",
            metavar="NAME",
            help="A family such as HBM3, or a name such as HBM3_6400.",
            show_default=False,
        ),
    ] = "",
    speed: Annotated[
        int, typer.Option("--speed", min=0, metavar="MBPS", help="Mb/s a pin.", show_default=False)
    ] = 0,
    density: Annotated[
        int,
        typer.Option(
            "--density", min=0, metavar="GBIT", help="Of a channel (HBM) or a die.", show_default=False
        ),
    ] = 0,
    table: Annotated[
        Path | None, typer.Option("--table", metavar="FILE", help="A standard of your own (TOML), instead.")
    ] = None,
    channels: Annotated[int, typer.Option("--channels", help="A power of two.")] = 1,
    mapping: Annotated[
        str,
        typer.Option(
            "--mapping",
            metavar="TEXT",
            help="Address bits, highest first: 'row rank bank^row group column channel pseudo group:1', a "
            "bit string, RoBaRaCoCh, ...; or 'search' for the best one found.",
            show_default="the standard's",
        ),
    ] = "",
    form: Annotated[
        Literal["auto", "ramulator", "dramsim3"], typer.Option("--format", help="Of the trace.")
    ] = "auto",
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave bad lines out and count them, rather than stop.")
    ] = False,
    page: Annotated[
        Literal["open", "closed"], typer.Option("--page", help="Rows stay open, or close when nobody waits.")
    ] = "open",
    cap: Annotated[
        int, typer.Option("--cap", help="Row hits that may pass an older request of the bank.")
    ] = 16,
    read_queue: Annotated[int, typer.Option("--read-queue", help="Entries a pseudo-channel.")] = 64,
    write_queue: Annotated[int, typer.Option("--write-queue", help="Entries a pseudo-channel.")] = 64,
    write_high: Annotated[int, typer.Option("--write-high", help="Queued writes that begin a drain.")] = 48,
    write_low: Annotated[int, typer.Option("--write-low", help="Queued writes at which it ends.")] = 16,
    refresh: Annotated[
        Literal["all-bank", "per-bank", "none"], typer.Option("--refresh", help="How banks are refreshed.")
    ] = "all-bank",
    postpone: Annotated[int, typer.Option("--postpone", help="Refreshes that may wait for requests.")] = 0,
    window: Annotated[
        int,
        typer.Option(
            "--window",
            help="Requests that the host sends ahead of those that queues have taken, as trace front ends of "
            "Ramulator and DRAMsim3 send one; 0: no limit.",
        ),
    ] = 1,
    ecc: Annotated[
        Literal["none", "on_die", "side_band", "both"],
        typer.Option(
            "--ecc", help="Codes that guard a burst: the dies', the host's (in line where pins lack), both."
        ),
    ] = "none",
    partial_writes: Annotated[
        bool,
        typer.Option("--partial-writes", help="Every write changes part of its burst, which ECC must merge."),
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Hold the commands against the timing table, independently.")
    ] = False,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write the HTML report.")
    ] = None,
    json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the result as JSON.")
    ] = None,
    commands: Annotated[
        Path | None,
        typer.Option("--commands", metavar="FILE", help="Write every DRAM command (CSV; .gz is compressed)."),
    ] = None,
) -> None:
    """Run a request trace through a memory controller: bandwidth, latency, energy, where cycles were lost."""
    from hanok.report import check_writable

    for path in (html, json, commands):
        if path is not None:
            check_writable(path)
    from hanok.flows.dram import Memory, choose_standard, run_trace
    from hanok.machine import Policy

    policy = Policy(
        page=page,
        row_hit_cap=cap,
        read_queue=read_queue,
        write_queue=write_queue,
        write_high=write_high,
        write_low=write_low,
        refresh=_REFRESH[refresh],
        postponed_refreshes=postpone,
    )
    memory = Memory(
        choose_standard(standard, speed, density, table),
        channels,
        mapping,
        policy,
        window=window,
        ecc=ecc,
        partial_writes=partial_writes,
    )
    with progress_line() as progress:
        result = run_trace(
            trace,
            memory,
            form=form,
            skip_bad=skip_bad,
            keep_commands=commands is not None,
            check=check,
            progress=progress,
        )
        progress("writing the reports")
        _write(result, memory, html, json, commands)
    from hanok.cli.console import make_console
    from hanok.report.dram_terminal import print_dram

    print_dram(result.record, make_console())


def _write(
    result: DramResult, memory: Memory, html: Path | None, json: Path | None, commands: Path | None
) -> None:
    """Write the files that were asked for, each whole or not at all."""
    from hanok.report import write_through, write_whole

    if html is not None:
        from hanok.report.dram_html import dram_html

        write_whole(html, dram_html(result.record))
    if json is not None:
        from hanok.report.dram_json import dram_json

        write_whole(json, dram_json(result.record))
    if commands is not None:
        from hanok.dram.commands import write_csv

        sent = result.commands
        assert sent is not None, "the run kept its commands"
        write_through(commands, lambda place: write_csv(place, sent, memory.standard))
