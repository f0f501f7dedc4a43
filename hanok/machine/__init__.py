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
from hanok.machine.vector_pipeline import VectorPipeline

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
    "VectorPipeline",
    "chip_toml",
    "preset_names",
]
