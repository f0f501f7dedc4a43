"""Whose copy leaked: as lines of text, and as a page to print and file."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

from hanok.report._page import environment, template_text
from hanok.report.text import clean

if TYPE_CHECKING:
    from hanok.protect.marking import Suspicion, Trace

_LEAST_SHOWN = 1e-99


def trace_lines(trace: Trace) -> list[str]:
    """Return the verdict, what was read, and everyone who is accused or was nearest to it."""
    lines = [verdict(trace), f"  {trace.found:,} of {trace.marks:,} marks read"]
    lines += [
        f"  {clean(part.path)}: {part.found:,} of {part.marks:,} marks ({part.kind})"
        for part in trace.parts
        if len(trace.parts) > 1
    ]
    lines += [f"  accused: {_about(each)}, {agreement(trace, each)}" for each in trace.accused]
    lines += [f"  not accused: {_about(each)}" for each in trace.others[:3] if each.bound < 0.5]
    lines += [f"note: {clean(note)}" for note in trace.notes]
    return lines


def verdict(trace: Trace) -> str:
    """Return one sentence: who, or nobody."""
    among = f"of {trace.recipients:,} recipient{'' if trace.recipients == 1 else 's'}"
    if trace.accused:
        names = ", ".join(clean(each.recipient) for each in trace.accused)
        return f"The leak was made from the copy of: {names} ({among}, limit {trace.limit:g})"
    if not trace.found:
        return f"Nobody {among} is named: no marks were read"
    return f"Nobody {among} is named: no bound is within the limit of {trace.limit:g}"


def bound_words(bound: float) -> str:
    """Return a bound with two digits, rounded up, so that what is shown is true as well."""
    if bound < _LEAST_SHOWN:
        return "less than 1e-99"
    digits = f"{bound:.1e}"
    return digits if float(digits) >= bound else f"{bound * 1.05:.1e}"


def agreement(trace: Trace, suspicion: Suspicion) -> str:
    """Return how many marks fit a recipient's word, and how many fit that of an innocent."""
    return (
        f"fits {suspicion.agreeing:,} of {trace.found:,} marks read, where an innocent's would fit about "
        f"{suspicion.expected:,.0f}"
    )


def _about(suspicion: Suspicion) -> str:
    return (
        f"{clean(suspicion.recipient)}, chance of a false accusation at most {bound_words(suspicion.bound)}"
    )


def trace_page(trace: Trace, made_on: datetime.datetime) -> str:
    """Return the self-contained page; every name in it is escaped."""
    return str(
        environment()
        .get_template("tracing.html")
        .render(
            trace=trace,
            verdict=verdict(trace),
            bound=bound_words,
            agreement=lambda suspicion: agreement(trace, suspicion),
            made_on=made_on.strftime("%Y-%m-%d %H:%M UTC"),
            style=template_text("report.css") + template_text("dram.css"),
            script=template_text("dram.js"),
        )
    )
