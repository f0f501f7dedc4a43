"""Fill in addresses and semaphores of placed operations, and encode them."""

from __future__ import annotations

from hanok.compiler.schedule import Operation
from hanok.compiler.synchronise import synchronise
from hanok.isa import encode_stream
from hanok.machine import Chip


def encode_operations(operations: list[Operation], chip: Chip) -> bytes:
    """The packed instruction stream of operations whose buffers have addresses."""
    rows = []
    for operation, (wait, post) in zip(operations, synchronise(operations, chip), strict=True):
        values = dict(operation.values)
        for name, place in operation.places.items():
            values[name] = place.buffer.address + place.offset
        rows.append((operation.opcode, values | {"wait": wait, "post": post}))
    return encode_stream(rows)
