"""A request trace on a DRAM, and the list of standards, as JSON: stable keys, finite numbers, no dates."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from hanok.flows.dram_results import DramRecord, StandardSummary
from hanok.report.json_result import plain


def dram_json(record: DramRecord) -> str:
    """Return the record; pairs become dictionaries, latencies are keyed by their requests."""
    content = asdict(record)
    content["standard"] = _standard(record.standard)
    content["latency"] = {
        latency.requests: {name: value for name, value in asdict(latency).items() if name != "requests"}
        for latency in record.latencies
    }
    del content["latencies"]
    content["policy"], content["commands"] = dict(record.policy), dict(record.commands)
    content["bus"] = dict(record.bus)
    content["host"] = record.host
    content["share_of_peak"] = record.share_of_peak
    content["row_hit_rate"] = record.row_hit_rate
    content["energy_mj"], content["pj_per_bit"] = record.energy_mj, record.pj_per_bit
    content["energy_low_mj"], content["energy_high_mj"] = record.energy_low_mj, record.energy_high_mj
    return _text(content)


def standards_json(summaries: Sequence[StandardSummary]) -> str:
    """Return the list of standards."""
    return _text([_standard(summary) for summary in summaries])


def _standard(summary: StandardSummary) -> dict[str, Any]:
    content = asdict(summary)
    content["sources"] = dict(summary.sources)
    content["package_bytes_per_second"] = summary.package_bytes_per_second
    return content


def _text(content: Any) -> str:
    return json.dumps(plain(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
