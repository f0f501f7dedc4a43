"""A comparison of two designs as terminal tables, as JSON and as one HTML page to print."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from hanok.protect.clones import Comparison
from hanok.report import text as _format
from hanok.report._page import environment, template_text
from hanok.report._tables import plain_text, titled_table
from hanok.report.json_result import plain

if TYPE_CHECKING:
    from rich.console import Console

    from hanok.protect.clones.compare import FamilyScore

FAMILY_WORDS = {
    "text": "runs of 16 tokens, without names, numbers and comments",
    "cells": "what stands around an operator or a register",
    "registers": "which register depends on which",
    "gates": "the function that a flip-flop computes, and of what",
}
LIMITS = (
    "It does not say who copied from whom: both may come from a third design, a standard, a generator or a "
    "library that either side may use. Look at the matched parts, at licences and at dates.",
    "Unrelated designs are those that hanok was calibrated on, open designs that have nothing to do with "
    "either side, and those given with --background. Designs of one author, one house style or one "
    "generator are more alike than that.",
    "A high p-value does not prove independence: a design that was written anew after reading ours, or "
    "changed enough, looks like any other.",
)
"""What the figures do not prove; every report says it."""
_SHOWN = 12


def verdict(found: Comparison) -> str:
    """Say in one sentence how the likeness compares with chance."""
    level = f"{found.p_value:.2g}"
    given = f" ({found.house} given with --background)" if found.house else ""
    if found.p_value <= found.resolution * (1 + 1e-9):
        return (
            f"Ours is in the suspect as no other of {found.unrelated} unrelated designs{given} is: "
            f"p <= {level}, the least that so many can show."
        )
    if found.p_value <= 0.05:
        return (
            f"More alike than unrelated designs usually are: p = {level} by {found.unrelated} of them{given}."
        )
    return f"No more alike than unrelated designs are: p = {level} by {found.unrelated} of them{given}."


def strongest(found: Comparison) -> FamilyScore:
    """Return the kind of features that gave the score."""
    return max(found.families, key=lambda each: each.score)


def print_clones(found: Comparison, console: Console) -> None:
    """Print scores, matched parts and, as the last lines, what they prove and what not."""
    table = titled_table(f"{_format.clean(found.ours)} in {_format.clean(found.suspect)}")
    for name in ("features", "ours", "suspect", "found", "best part", "score"):
        table.add_column(name, justify="left" if name == "features" else "right")
    for each in found.families:
        words = plain_text(f"{each.family}: {FAMILY_WORDS[each.family]}")
        shares = (_format.percent(each.whole), _format.percent(each.part), f"{each.score:.2f}")
        table.add_row(words, f"{each.ours:,}", f"{each.suspect:,}", *shares)
    console.print(table)
    _print_matches(found, console)
    for note in found.notes:
        console.print(plain_text(f"note: {note}", "yellow"))
    words = f"score {found.score:.2f}, by {strongest(found).family}. {verdict(found)}"
    console.print(plain_text(words, "bold"))
    for line in LIMITS:
        console.print(plain_text(line, "dim"))


def _print_matches(found: Comparison, console: Console) -> None:
    if found.regions:
        table = titled_table("modules of ours, and where most of each is")
        for name in ("ours", "suspect", "found there", "lines of ours", "lines of the suspect"):
            table.add_column(name, justify="right" if name == "found there" else "left")
        for region in found.regions[:_SHOWN]:
            cells = (region.ours, region.suspect, _format.percent(region.share))
            table.add_row(*(plain_text(cell) for cell in (*cells, region.lines_ours, region.lines_suspect)))
        console.print(table)
    if found.registers:
        table = titled_table("registers that do the same")
        for name in ("ours", "suspect", "evidence"):
            table.add_column(name, justify="right" if name == "evidence" else "left")
        for pair in found.registers[:_SHOWN]:
            evidence = plain_text(f"{pair.evidence_bits:.0f} bits")
            table.add_row(plain_text(pair.ours), plain_text(pair.suspect), evidence)
        console.print(table)


def clones_json(found: Comparison) -> str:
    """Return the comparison as JSON: stable keys, finite numbers, no dates."""
    content = asdict(found) | {"resolution": found.resolution, "verdict": verdict(found), "limits": LIMITS}
    return json.dumps(plain(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def clones_html(found: Comparison) -> str:
    """Return the comparison as a page that opens offline."""
    return str(
        environment()
        .get_template("clones.html")
        .render(
            found=found,
            verdict=verdict(found),
            strongest=strongest(found),
            words=FAMILY_WORDS,
            limits=LIMITS,
            style=template_text("report.css"),
        )
    )
