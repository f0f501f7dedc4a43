"""A run as one self-contained HTML page that opens offline: template, style, script and data in one file."""

from __future__ import annotations

from typing import Any

from hanok.flows.results import LayerResult, RunRecord, RunTraces, SramMap
from hanok.report import text as _format
from hanok.report._page import MAX_NAME, environment, script_json, template_text
from hanok.report._roofline import HEIGHT, WIDTH, lay_out
from hanok.report._slices import UnitSlices, thin, unit_slices

MAX_SLICES = 20_000
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
        environment()
        .get_template("report.html")
        .render(
            record=record,
            roofline=lay_out(record),
            roofline_size=(WIDTH, HEIGHT),
            data=script_json(_page_data(record, traces)),
            style=template_text("report.css"),
            script=template_text("report.js"),
            has_sram=traces.sram is not None,
            causes=_cause_names(record),
            cause_class=lambda cause: _CAUSE_CLASSES.get(cause, "other"),
            dram_end=max([region.address + region.size_bytes for region in record.regions], default=1),
            thinned=len(traces.timeline) > MAX_SLICES,
        )
    )


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
        "name": _format.clean(layer.name)[:MAX_NAME],
        "type": _format.clean(layer.onnx_type)[:MAX_NAME],
        "nodes": _format.clean(", ".join(layer.onnx_nodes))[:MAX_NAME],
        "mapping": _format.clean(layer.mapping)[:MAX_NAME],
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
