"""A run record as JSON: stable keys, no wall-clock dates, numbers that every JSON reader accepts."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

from hanok.flows.results import LayerResult, RunRecord


def to_json(record: RunRecord) -> str:
    """Return the record as indented JSON; a float that JSON cannot hold becomes null."""
    return json.dumps(plain(as_dictionary(record)), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def as_dictionary(record: RunRecord) -> dict[str, Any]:
    """Return the record as plain dictionaries, lists and numbers, pairs as dictionaries."""
    content = asdict(record)
    content["layers"] = [_layer(layer) for layer in record.layers]
    content["units"] = {unit.unit: dict(unit.causes) for unit in record.units}
    content["quantisation"] = dict(record.quantisation)
    if record.bit_errors is not None:
        content["bit_errors"]["mismatched"] = record.bit_errors.mismatched
        content["bit_errors"]["compared"] = record.bit_errors.compared
    content["model"], content["chip"] = record.model, record.chip.name
    content["chip_summary"] = asdict(record.chip)
    return content


def _layer(layer: LayerResult) -> dict[str, Any]:
    content = asdict(layer)
    content["busy_cycles"] = dict(layer.busy_cycles)
    content["dram_bytes"] = layer.dram_bytes
    return content


def plain(value: Any) -> Any:
    """Return `value` as what every JSON reader accepts: lists, dictionaries, finite numbers, UTF-8."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    return value
