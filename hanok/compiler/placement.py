"""What a layer may use, and which of its operands stay in SRAM."""

from __future__ import annotations

from dataclasses import dataclass

from hanok.compiler.layers import MatrixLayer


@dataclass(frozen=True)
class Budget:
    """What a layer may use: free SRAM banks, and DRAM bytes a core cycle."""

    banks: int
    bytes_per_cycle: float
    packed_ratio: float = 1.0
    """Packed size of the layer's weights by their size; 1 where they stay plain."""
    decoder_lanes: int = 0
    """Weights a cycle that their decoder gives; 0 where it keeps up with any DRAM."""


@dataclass(frozen=True)
class Placement:
    """Which operands of a layer stay in SRAM, and whether its output also goes to DRAM."""

    source_resident: bool
    output_resident: bool
    output_stored: bool
    residual_resident: bool

    @classmethod
    def of(cls, layer: MatrixLayer) -> Placement:
        """The placement as the storages say now."""
        residual, output = layer.epilogue.residual, layer.output.storage
        return cls(
            layer.source.storage.resident,
            output.resident,
            output.dram_address >= 0 or not output.resident,
            residual is None or residual.view.storage.resident,
        )
