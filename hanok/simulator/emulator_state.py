"""The memories of an emulated core."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hanok.isa import TABLE_ENTRIES
from hanok.machine import Chip
from hanok.numerics._kernels_huffman import WINDOWS


@dataclass(frozen=True)
class Memories:
    """DRAM (the caller's array), SRAM bytes, int32 accumulators [row, column], LOOKUP and EXPAND tables."""

    chip: Chip
    dram: npt.NDArray[np.uint8]
    sram: npt.NDArray[np.uint8]
    accumulators: npt.NDArray[np.int32]
    table: npt.NDArray[np.float32]
    windows: npt.NDArray[np.uint16]
    """The code that EXPAND keeps, as `decoding_windows` gives it; zeros decode nothing."""

    @classmethod
    def cleared(cls, chip: Chip, dram: npt.NDArray[np.uint8]) -> Memories:
        """Memories of `chip` at the start of a stage: everything but DRAM is zero."""
        matrix = chip.core.matrix
        rows = matrix.accumulator_banks * matrix.accumulator_rows
        return cls(
            chip,
            dram,
            np.zeros(chip.core.sram.total_bytes, np.uint8),
            np.zeros((rows, matrix.columns), np.int32),
            np.zeros(TABLE_ENTRIES, np.float32),
            np.zeros(WINDOWS, np.uint16),
        )
