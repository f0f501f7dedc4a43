"""Chips as reports and listings show them: headline figures, every field, its source."""

from __future__ import annotations

from typing import Any

from hanok.dram import get_standard
from hanok.flows.results import ChipFigure, ChipSummary
from hanok.machine import Chip, preset_names


def chip_summary(chip: Chip) -> ChipSummary:
    """Return the chip's headline figures and all of its fields with their sources."""
    return ChipSummary(
        name=chip.name,
        description=chip.description,
        clock_mhz=chip.clock_mhz,
        macs_per_cycle=chip.core.matrix.macs * chip.cores,
        peak_tops=chip.peak_tops,
        sram_bytes=chip.core.sram.total_bytes,
        dram_standard=chip.memory.standard,
        dram_bytes_per_second=get_standard(chip.memory.standard).peak_bytes_per_second * chip.memory.channels,
        figures=tuple(_figures(chip)),
    )


def preset_summaries() -> tuple[ChipSummary, ...]:
    """Return the summaries of the presets, smallest first."""
    summaries = [chip_summary(Chip.load(name)) for name in preset_names()]
    return tuple(sorted(summaries, key=lambda summary: (summary.peak_tops, summary.name)))


def _figures(chip: Chip) -> list[ChipFigure]:
    content = chip.model_dump(exclude={"name", "description", "sources"})
    return [ChipFigure(name, str(value), _source(name, chip.sources)) for name, value in _leaves(content, "")]


def _leaves(content: dict[str, Any], prefix: str) -> list[tuple[str, Any]]:
    leaves: list[tuple[str, Any]] = []
    for name, value in content.items():
        full = f"{prefix}{name}"
        leaves += _leaves(value, f"{full}.") if isinstance(value, dict) else [(full, value)]
    return leaves


def _source(name: str, sources: dict[str, str]) -> str:
    """The source of a field: its own, or that of the nearest group that has one."""
    while name:
        if name in sources:
            return sources[name]
        name = name.rpartition(".")[0]
    return ""
