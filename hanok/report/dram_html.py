"""A request trace on a DRAM as one self-contained HTML page that opens offline."""

from __future__ import annotations

from hanok.flows.dram_results import DramRecord
from hanok.report._page import environment, template_text
from hanok.report.dram_charts import (
    address_bits,
    balance_chart,
    latency_chart,
    nanoseconds,
    traffic_chart,
)

_NO_BREAK = "\u00a0"
_CAUSE_CLASSES = {
    "read data": "read",
    "write data": "write",
    "no request": "idle",
    "refresh": "refresh",
    "turnaround": "turnaround",
    "opening rows": "rows",
    "bank group or rank gap": "groups",
    "command bus": "commands",
    "finished": "finished",
}
"""What the data bus did -> its colour in the style sheet."""

_ENERGY_CLASSES = {
    "activate and precharge": "rows",
    "read": "read",
    "write": "write",
    "refresh": "refresh",
    "background": "background",
}
"""Part of the energy -> its colour."""


def dram_html(record: DramRecord) -> str:
    """Return the page."""
    return str(
        environment()
        .get_template("dram.html")
        .render(
            record=record,
            bits=address_bits(record),
            traffic=traffic_chart(record),
            latency=latency_chart(record),
            balance=balance_chart(record),
            time=lambda value: nanoseconds(value).replace(" ", _NO_BREAK),
            cause_class=lambda cause: _CAUSE_CLASSES.get(cause, "finished"),
            energy_class=lambda part: _ENERGY_CLASSES.get(part, "background"),
            style=template_text("report.css") + template_text("dram.css"),
            script=template_text("dram.js"),
        )
    )
