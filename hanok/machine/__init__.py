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

__all__ = [
    "Chip",
    "Control",
    "Core",
    "Dma",
    "Matrix",
    "Memory",
    "Sram",
    "Technology",
    "Vector",
    "chip_toml",
    "preset_names",
]
