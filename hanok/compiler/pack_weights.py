"""Decide which weights go to DRAM packed, under which code, and what packing is worth to a plan."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hanok.compiler.layers import MatrixLayer
from hanok.isa.timing import expand_cycles
from hanok.machine import Chip
from hanok.numerics.huffman import (
    TABLE_BYTES,
    code_lengths,
    coded_bits,
    histogram,
    lengths_of,
    pack_words,
    table_of,
)
from hanok.numerics.nibbles import ENTRY_BYTES

WORST_RATIO = 0.97
"""Weights that pack no better than this are not worth their decoder's time."""
ZERO_RATIO = 0.14
"""Packed size of the zeros that fill up block-diagonal weights: a code of one bit, seldom two."""

Counts = npt.NDArray[np.int64]


def weight_counts(layer: MatrixLayer) -> Counts:
    """How often each byte occurs in a layer's weights and biases."""
    counts = np.zeros(256, np.int64)
    for phase in layer.phases:
        for weights in phase.weights:
            counts += histogram(np.ascontiguousarray(weights).view(np.uint8).reshape(-1))
        counts += histogram(phase.bias.astype("<i4").view(np.uint8))
    return counts


def packing_pays(chip: Chip, bytes_per_cycle: float) -> bool:
    """Whether the chip has a decoder that is faster than its DRAM."""
    return chip.core.dma.expand_lanes > bytes_per_cycle


def packing_of(layer: MatrixLayer, chip: Chip, bytes_per_cycle: float) -> tuple[float, int]:
    """Packed size of a layer's weights by their size, 1 where packing does not pay; a decoder's lanes.

    Weights of four bits keep up with any DRAM; they are stored so wherever the chip unpacks them.
    """
    if chip.core.dma.int4 and layer.entries:
        groups = sum(len(entries) for entries in layer.entries)
        rows = sum(weights.shape[2] for weights in layer.phases[0].weights)
        return 0.5 + ENTRY_BYTES * groups / rows, 0
    if not packing_pays(chip, bytes_per_cycle):
        return 1.0, 0
    counts = weight_counts(layer)
    bits = coded_bits(counts, code_lengths(counts))
    ratio = (bits or 0) / max(1, 8 * int(counts.sum()))
    return (round(ratio, 2), chip.core.dma.expand_lanes) if ratio < WORST_RATIO else (1.0, 0)


class WeightPacker:
    """Packs the weights of a stage, layer by layer; `held` is the code of the last EXPAND so far."""

    def __init__(self, chip: Chip, bytes_per_cycle: float) -> None:
        self.chip, self.bytes_per_cycle = chip, bytes_per_cycle
        self.held = b""
        """The table of the code, as in a stream; empty before the first EXPAND."""

    def choose_code(self, layer: MatrixLayer, pixels: int, blob_bytes: int) -> bytes:
        """The table to pack a layer's blobs with (of `blob_bytes` in all, zeros included); empty: none."""
        if not packing_pays(self.chip, self.bytes_per_cycle):
            return b""
        counts = weight_counts(layer) * pixels
        total = max(blob_bytes, int(counts.sum()))
        counts[0] += max(1, total - int(counts.sum()))
        lengths = code_lengths(counts)
        own, table = coded_bits(counts, lengths), table_of(lengths)
        assert own is not None, "a code without one of its own symbols"
        bits = own + 8 * TABLE_BYTES
        if self.held:
            kept = coded_bits(counts, lengths_of(np.frombuffer(self.held, np.uint8)))
            if kept is not None and kept <= bits:
                bits, table = kept, self.held
        return table if bits < WORST_RATIO * 8 * total else b""

    def pack(self, content: bytes, table: bytes) -> bytes:
        """The words of a blob under a code, or nothing where it loads sooner as it is."""
        symbols, dma = np.frombuffer(content, np.uint8), self.chip.core.dma
        lengths = lengths_of(np.frombuffer(table, np.uint8))
        bits = coded_bits(histogram(symbols), lengths)
        if bits is None:
            return b""
        decoder = expand_cycles(dma, len(content), with_table=self.held != table)
        if max(bits / 8 / self.bytes_per_cycle, decoder) >= len(content) / self.bytes_per_cycle:
            return b""
        words = pack_words(symbols, lengths, dma.expand_streams)
        return words if len(words) < len(content) else b""
