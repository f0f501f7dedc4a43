"""What an UNPACK must be: rules on its fields, which emulator and engine both apply."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from hanok.isa.faults import Fault
from hanok.machine import Core
from hanok.numerics.nibbles import ENTRY_BYTES

Int64Array = npt.NDArray[np.int64]
Rule = tuple[npt.NDArray[np.bool_], str, Int64Array, str, Fault]
"""Which instructions keep it, what it looks at, what was found, what is allowed, and the fault's cause."""


def unpack_rules(field: Callable[[str], Int64Array], core: Core) -> Iterator[Rule]:
    """Yield the rules for instructions whose fields `field` gives by name; other opcodes break them too.

    Lengths and counts are at least 1; sums of `stream_bytes` stay below 2**44.
    """
    width, columns = core.dma.bytes_per_cycle, core.matrix.columns
    packed, group_rows = field("packed_bytes"), field("group_rows")
    has_unpacker = np.full(len(packed), core.dma.int4)
    yield has_unpacker, "int4 of the chip", has_unpacker.astype(np.int64), "1", Fault.ILLEGAL_OPCODE
    counts = np.maximum.reduce([field(f"count_{level}") for level in (1, 2, 3)])
    yield counts == 1, "the largest count", counts, "1", Fault.NO_SUCH_VALUE
    whole = (group_rows > 0) & (group_rows * columns % (2 * width) == 0)
    allowed = f"1 or more, and rows of {columns} that together are a multiple of {2 * width} weights"
    yield whole, "group_rows", group_rows, allowed, Fault.NO_SUCH_VALUE
    address, allowed = field("dram_address"), f"multiples of {width}, the engine's bytes a cycle"
    yield address % width == 0, "dram_address", address, allowed, Fault.NO_SUCH_VALUE
    beats = (packed % width == 0) & (packed > 0)
    yield beats, "packed_bytes", packed, f"{allowed}, above 0", Fault.NO_SUCH_VALUE
    run, group = field("run_bytes"), np.maximum(group_rows, 1) * columns
    stream = run // group * columns * ENTRY_BYTES + run // 2
    is_stream = (run % group == 0) & (packed == stream)
    allowed = "that of whole groups of run_bytes weights, and their entries"
    yield is_stream, "packed_bytes", packed, allowed, Fault.NO_SUCH_CODE
