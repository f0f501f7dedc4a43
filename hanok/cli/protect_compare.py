"""`hanok protect compare`: is a design of ours in a suspect one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hanok.cli.progress import progress_line


def compare_command(
    suspect: Annotated[
        Path,
        typer.Argument(
            metavar="SUSPECT", help="Verilog, a folder of it, or a netlist: Verilog or Yosys' JSON."
        ),
    ],
    ours: Annotated[Path, typer.Argument(metavar="OURS", help="Our design, likewise.")],
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a report to read and print.")
    ] = None,
    json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the figures as JSON.")
    ] = None,
    background: Annotated[
        list[Path] | None,
        typer.Option(
            "--background",
            metavar="PATH",
            help="A further design, a file or a folder, of your own house that has nothing to do with "
            "either; so house style counts little. Repeatable.",
        ),
    ] = None,
    gates: Annotated[
        bool,
        typer.Option("--gates/--no-gates", help="Compare functions of flip-flops too; takes longest."),
    ] = True,
    limit_s: Annotated[
        float, typer.Option("--limit-s", min=1, help="Seconds for the netlists of one design.")
    ] = 300.0,
) -> None:
    """Look for our design in a suspect one, and say what chance would explain."""
    from hanok.cli.console import make_console
    from hanok.protect.clones import FAMILIES, compare, fingerprint, load_background, read_design
    from hanok.report import check_writable, write_whole
    from hanok.report.clones import clones_html, clones_json, print_clones

    for place in (html, json):
        if place is not None:
            check_writable(place)
    suspect_sources, our_sources = read_design(suspect), read_design(ours)
    house_sources = [read_design(each) for each in background or ()]
    families = [family for family in FAMILIES if gates or family != "gates"]
    with progress_line() as progress:
        progress("reading ours")
        our_features = fingerprint(our_sources, gates, limit_s)
        progress("reading the suspect")
        suspect_features = fingerprint(suspect_sources, gates, limit_s)
        house = []
        for number, sources in enumerate(house_sources, 1):
            progress(f"reading background {number} of {len(house_sources)}")
            house.append(fingerprint(sources, gates, limit_s))
        progress("comparing with unrelated designs")
        found = compare(suspect_features, our_features, load_background(), families, house)
    if html is not None:
        write_whole(html, clones_html(found))
    if json is not None:
        write_whole(json, clones_json(found))
    print_clones(found, make_console())
