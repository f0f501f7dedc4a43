"""The phone's jobs as terminal lines, as JSON and as one HTML page with pictures before and after."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hanok.report import text as _format
from hanok.report._page import environment, template_text
from hanok.report._programs import agreement, program_notes, program_table
from hanok.report._tables import plain_text, titled_table
from hanok.report.json_result import as_dictionary, plain
from hanok.units import readable_bytes

if TYPE_CHECKING:
    from rich.console import Console

    from hanok.flows.apps.day import Day, Job
    from hanok.flows.apps.power import SustainedLoad
    from hanok.flows.cost import Cost
    from hanok.flows.results import ChipSummary


_LONGEST_SIDE = 1600
"""Pixels of a picture in a page."""


def print_cost(cost: Cost, console: Console) -> None:
    """Print the programs of one job and, as the last line, what it takes the chip."""
    console.print(program_table(cost.programs))
    for note in program_notes(cost.programs):
        console.print(plain_text(f"note: {note}", "yellow"))
    console.print(
        plain_text(
            f"{_format.milliseconds(cost.milliseconds)} on the chip, {_format.energy(cost.energy_mj)}, "
            f"{readable_bytes(cost.dram_bytes)} of DRAM traffic, "
            f"{readable_bytes(cost.peak_dram_bytes)} of DRAM in use.",
            "bold",
        )
    )


def print_day(day: Day, console: Console) -> None:
    """Print one row a job; the last lines say what all of them take and what left the device."""
    table = titled_table(f"{len(day.jobs)} jobs on {_format.clean(day.chip.name)}")
    names = ("job", "in", "out", "time", "energy", "DRAM traffic", "DRAM in use", "power", "speed")
    for name in names:
        table.add_column(name, justify="left" if name in ("job", "in", "out", "speed") else "right")
    for job in day.jobs:
        cost = job.cost
        table.add_row(
            *(plain_text(part) for part in (job.name, job.asked, job.given)),
            _format.milliseconds(cost.milliseconds),
            _format.energy(cost.energy_mj),
            readable_bytes(cost.dram_bytes),
            readable_bytes(cost.peak_dram_bytes),
            f"{_format.significant(job.load.full_watts)} W",
            job.speed,
        )
    console.print(table)
    if day.cap_watts is not None:
        _print_loads(day, console)
    console.print(
        plain_text(
            f"All jobs: {_format.milliseconds(day.milliseconds)}, {_format.energy(day.energy_mj)}. "
            f"{departure_words(day)}",
            "bold",
        )
    )


def departure_words(day: Day) -> str:
    """One sentence: what left the device."""
    seen = day.departures
    if seen.none:
        return "Left the device: nothing."
    return f"Left the device: {', '.join(sorted(set(seen.events)))}; {seen.sockets} sockets left open."


def day_json(day: Day) -> str:
    """Return the day as JSON: every job's figures and the record of every program."""
    content: dict[str, Any] = {
        "chip": day.chip.name,
        "milliseconds": day.milliseconds,
        "energy_mj": day.energy_mj,
        "power_cap_watts": day.cap_watts,
        "left_the_device": [*day.departures.events, *["socket"] * day.departures.sockets],
        "jobs": [_job(job) for job in day.jobs],
    }
    return json.dumps(plain(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def cost_dictionary(cost: Cost) -> dict[str, Any]:
    """The figures of a job and of its programs, for JSON."""
    return {
        "milliseconds": cost.milliseconds,
        "energy_mj": cost.energy_mj,
        "dram_bytes": cost.dram_bytes,
        "peak_dram_bytes": cost.peak_dram_bytes,
        "programs": [
            {"name": program.name, "runs": program.runs, "record": as_dictionary(program.result.record)}
            for program in cost.programs
        ],
    }


def job_json(figures: dict[str, Any], cost: Cost) -> str:
    """Return one job as JSON: its own figures, then those of the chip."""
    content = plain({**figures, **cost_dictionary(cost)})
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def jobs_page(title: str, chip: ChipSummary, jobs: Sequence[Job], verdict: str) -> str:
    """Return one self-contained page: figures, pictures and texts of the jobs, and their programs."""
    return str(
        environment()
        .get_template("jobs.html")
        .render(
            title=title,
            chip=chip,
            jobs=jobs,
            verdict=verdict,
            picture=_data_address,
            agreement=agreement,
            notes=program_notes,
            energy_parts=_energy_parts,
            capped=any(job.load.cap_watts is not None for job in jobs),
            milliseconds=sum(job.cost.milliseconds for job in jobs),
            energy_mj=sum(job.cost.energy_mj for job in jobs),
            dram_bytes=sum(job.cost.dram_bytes for job in jobs),
            peak_dram_bytes=max((job.cost.peak_dram_bytes for job in jobs), default=0),
            style=template_text("report.css") + template_text("dram.css") + template_text("jobs.css"),
            script=template_text("dram.js"),
        )
    )


def _print_loads(day: Day, console: Console) -> None:
    table = titled_table(f"again and again under {_format.significant(day.cap_watts or 0)} W")
    for name in ("job", "runs/s, free", "runs/s, capped", "works", "power", "energy a run"):
        table.add_column(name, justify="left" if name == "job" else "right")
    for job in day.jobs:
        load = job.load
        free = 1 / load.seconds if load.seconds else 0.0
        table.add_row(
            plain_text(job.name),
            _format.significant(free),
            _format.significant(load.runs_per_second),
            _format.percent(load.share),
            f"{_format.significant(load.watts)} W",
            _run_energy(load),
        )
    console.print(table)


def _run_energy(load: SustainedLoad) -> str:
    return _format.energy(1e3 * load.joules_per_run) if load.runs_per_second else "never runs"


def _job(job: Job) -> dict[str, Any]:
    load = job.load
    return {
        "name": job.name,
        "in": job.asked,
        "out": job.given,
        "speed": job.speed,
        "watts": load.full_watts,
        "sustained": {
            "runs_per_second": load.runs_per_second,
            "share_of_time": load.share,
            "watts": load.watts,
            "joules_per_run": load.joules_per_run,
        },
        **cost_dictionary(job.cost),
    }


def _energy_parts(cost: Cost) -> list[tuple[str, float]]:
    """(part, millijoules) over all runs of a job, in the order of the record."""
    parts: dict[str, float] = {}
    for program in cost.programs:
        for part in program.result.record.energy:
            parts[part.name] = parts.get(part.name, 0.0) + program.runs * part.amount
    return list(parts.items())


def _data_address(pixels: Any) -> str:
    """A picture [H, W, 3 or 4] as the address of a PNG that stands in the page, large ones made smaller."""
    from PIL import Image

    buffer = io.BytesIO()
    picture = Image.fromarray(pixels)
    picture.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE), Image.Resampling.BICUBIC, reducing_gap=2.0)
    picture.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
