"""Frozen records that describe a chip, their checks, and the presets."""

from hanok.machine.chip import (
    Chip,
    Control,
    Core,
    Dma,
    Matrix,
    Memory,
    Sram,
    Technology,
    Vector,
    chip_toml,
    preset_names,
)
from hanok.machine.policy import MAX_POSTPONED, Policy

__all__ = [
    "MAX_POSTPONED",
    "Chip",
    "Control",
    "Core",
    "Dma",
    "Matrix",
    "Memory",
    "Policy",
    "Sram",
    "Technology",
    "Vector",
    "chip_toml",
    "preset_names",
]
