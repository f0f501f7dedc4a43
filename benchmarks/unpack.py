"""Time of the emulator for weights of four bits: CPU seconds of UNPACKs on one core, for each weight.

`python benchmarks/unpack.py`: 64 MB of weights on each preset that unpacks, in streams of 128 KiB of weights.
A decode step of a model of 1.5 billion parameters unpacks 24 times as much.
"""

from __future__ import annotations

import time

import numpy as np
from table import HEADINGS, Row, print_table

from hanok.isa import Opcode, decode, encode
from hanok.machine import Chip, preset_names
from hanok.numerics.nibbles import stream_bytes
from hanok.simulator import Machine

WEIGHTS, STREAM_WEIGHTS = 1 << 26, 1 << 17
REPEATS = 5
NANOSECONDS = 0.5
"""A weight may take so much: two billion a second."""


def nanoseconds(chip: Chip, group_rows: int) -> float:
    """The least time for a weight of several runs, the first of which compiles the kernels."""
    columns = chip.core.matrix.columns
    packed = stream_bytes(STREAM_WEIGHTS // columns, columns, group_rows)
    streams = WEIGHTS // STREAM_WEIGHTS
    once = {"count_1": 1, "count_2": 1, "count_3": 1, "group_rows": group_rows}
    code = b"".join(
        encode(
            Opcode.UNPACK,
            {**once, "run_bytes": STREAM_WEIGHTS, "packed_bytes": packed, "dram_address": number * packed},
        )
        for number in range(streams)
    )
    memory = np.random.default_rng(0).integers(0, 256, streams * packed, np.uint8)
    machine, decoded = Machine(chip, memory), decode(code)
    found = []
    for _ in range(REPEATS):
        begin = time.process_time()
        machine.run(decoded)
        found.append(time.process_time() - begin)
    return 1e9 * min(found) / WEIGHTS


def main() -> None:
    """Print a row for each preset and size of groups."""
    chips = [chip for chip in map(Chip.load, preset_names()) if chip.core.dma.int4]
    rows = [
        Row(f"{chip.name}, groups of {size}", NANOSECONDS, NANOSECONDS / 4, nanoseconds(chip, size), "ns")
        for chip in chips
        for size in (32, 128)
    ]
    print_table(HEADINGS, (row.cells for row in rows))


if __name__ == "__main__":
    main()
