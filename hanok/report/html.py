"""A run as one self-contained HTML page that opens offline: template, style, script and data in one file."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

from hanok.flows.results import LayerResult, RunRecord, RunTraces, SramMap
from hanok.report import text as _format
from hanok.report._roofline import HEIGHT, WIDTH, lay_out
from hanok.report._slices import UnitSlices, thin, unit_slices
from hanok.units import readable_bytes

MAX_SLICES = 20_000
_MAX_NAME = 400
_CAUSE_CLASSES = {
    "busy": "busy",
    "waits for load": "load",
    "waits for store": "store",
    "waits for matrix": "matrix",
    "waits for vector": "vector",
    "waits for DRAM": "dram",
    "waits for fetch": "fetch",
    "waits for dispatch": "dispatch",
    "finished": "finished",
}
"""Cause -> its colour in the style sheet; others share one."""


def to_html(record: RunRecord, traces: RunTraces) -> str:
    """Return the page."""
    return str(
        _environment()
        .get_template("report.html")
        .render(
            record=record,
            roofline=lay_out(record),
            roofline_size=(WIDTH, HEIGHT),
            data=_script_json(_page_data(record, traces)),
            style=_file("report.css"),
            script=_file("report.js"),
            has_sram=traces.sram is not None,
            causes=_cause_names(record),
            cause_class=lambda cause: _CAUSE_CLASSES.get(cause, "other"),
            dram_end=max([region.address + region.size_bytes for region in record.regions], default=1),
            thinned=len(traces.timeline) > MAX_SLICES,
        )
    )


def _file(name: str) -> str:
    return (resources.files("hanok.report") / "templates" / name).read_text("utf-8")


@cache
def _environment() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_file),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        clean=lambda text: _format.clean(str(text))[:_MAX_NAME],
        count=_format.count,
        significant=_format.significant,
        scaled=_format.scaled,
        milliseconds=lambda value: _format.milliseconds(value).replace(" us", " µs"),
        energy=lambda value: _format.energy(value).replace(" uJ", " µJ"),
        percent=_format.percent,
        bytes=readable_bytes,
    )
    return environment


def _script_json(content: Any) -> str:
    """Return JSON that cannot end the script element that holds it."""
    text = json.dumps(content, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _cause_names(record: RunRecord) -> list[str]:
    """Every cause in order of first appearance; all units share one legend."""
    return list(dict.fromkeys(cause for unit in record.units for cause, _ in unit.causes))


def _page_data(record: RunRecord, traces: RunTraces) -> dict[str, Any]:
    timeline, bandwidth = traces.timeline, traces.bandwidth
    names = timeline.unit_names
    opcodes = dict(timeline.opcode_names)
    numbers = {code: position for position, code in enumerate(opcodes)}
    share = MAX_SLICES // max(1, len(names))
    return {
        "cycles": record.cycles,
        "clockMhz": record.chip.clock_mhz,
        "opcodes": list(opcodes.values()),
        "layers": [_layer_data(layer) for layer in record.layers],
        "units": [
            {"name": name, **_lane(thin(unit_slices(timeline, unit), share), timeline.opcode, numbers)}
            for unit, name in enumerate(names)
        ],
        "bandwidth": {
            "slice": bandwidth.slice_cycles,
            "read": bandwidth.read_bytes.tolist(),
            "write": bandwidth.write_bytes.tolist(),
            "peak": record.chip.dram_bytes_per_second,
        },
        "sram": _sram_data(traces.sram),
    }


def _layer_data(layer: LayerResult) -> dict[str, Any]:
    return {
        "name": _format.clean(layer.name)[:_MAX_NAME],
        "type": _format.clean(layer.onnx_type)[:_MAX_NAME],
        "nodes": _format.clean(", ".join(layer.onnx_nodes))[:_MAX_NAME],
        "mapping": _format.clean(layer.mapping)[:_MAX_NAME],
        "start": layer.start_cycle,
        "end": layer.end_cycle,
        "cycles": layer.cycles,
        "bound": layer.bound_by,
    }


def _lane(slices: UnitSlices, opcode: Any, numbers: dict[int, int]) -> dict[str, Any]:
    """A unit's slices: starts as distances from the end before, so that the numbers are short."""
    ends = [0, *slices.end.tolist()]
    starts = slices.start.tolist()
    return {
        "gap": [start - end for start, end in zip(starts, ends, strict=False)],
        "length": (slices.end - slices.start).tolist(),
        "busy": slices.busy.tolist() if int(slices.count.max(initial=1)) > 1 else None,
        "count": slices.count.tolist() if int(slices.count.max(initial=1)) > 1 else None,
        "layer": slices.layer.tolist(),
        "opcode": [numbers.get(code, 0) for code in opcode[slices.instruction].tolist()],
        "instruction": slices.instruction.tolist(),
    }


def _sram_data(sram: SramMap | None) -> dict[str, Any] | None:
    if sram is None:
        return None
    return {
        "bankBytes": sram.bank_bytes,
        "slice": sram.slice_cycles,
        "banks": int(sram.owner.shape[1]),
        "owner": ["".join(map(str, row)) for row in sram.owner.T.tolist()],
    }
