"""The words that an EXPAND's lanes have taken after each group of symbols, which its time depends on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hanok.isa import Decoded, Opcode
from hanok.isa.table import FLAG_KEEP_CODE
from hanok.machine import Dma
from hanok.numerics.huffman import TABLE_BYTES, decoding_windows, lengths_of, words_taken
from hanok.units import ceil_div

Integers = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]


def taken_words(decoded: Decoded, dma: Dma, content: Bytes | None) -> tuple[Integers, Integers]:
    """Words taken after each group of `expand_lanes` symbols, of one EXPAND behind the other.

    The first array has a row for each DMA instruction: where its groups begin, and how many there are.
    `content` is the DRAM from which packed streams are read; without it, and where it has no stream, the
    words of a stream are taken evenly.
    """
    records = decoded.records["dma"]
    rows = np.zeros((len(records), 2), np.int64)
    found: list[Integers] = []
    windows, first = None, 0
    for row in np.flatnonzero(records["opcode"] == Opcode.EXPAND).tolist():
        record = records[row]
        symbols, packed = int(record["run_bytes"]), int(record["packed_bytes"])
        keeps = bool(record["flags"] & FLAG_KEEP_CODE)
        words = max(0, packed - (0 if keeps else TABLE_BYTES)) // 2
        taken = None
        if content is not None:
            begin = int(record["dram_address"])
            stream = content[begin : begin + packed]
            if not keeps:
                windows, stream = decoding_windows(lengths_of(stream[:TABLE_BYTES])), stream[TABLE_BYTES:]
            if windows is not None and len(stream) == 2 * words:
                taken = words_taken(stream, windows, dma.expand_streams, dma.expand_lanes, symbols)
        if taken is None:
            groups = ceil_div(symbols, dma.expand_lanes)
            taken = words * np.arange(1, groups + 1, dtype=np.int64) // groups
        rows[row] = first, len(taken)
        first += len(taken)
        found.append(taken)
    return rows, np.concatenate(found) if found else np.zeros(1, np.int64)
