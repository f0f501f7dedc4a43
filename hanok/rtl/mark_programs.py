"""Programs of one wrong instruction each, which make a block of a core answer where nothing is specified."""

from __future__ import annotations

from typing import Any

from hanok.isa import Destination, Opcode, Source, Unit, encode
from hanok.isa.faults import Fault

BEYOND_DRAM, BEYOND_SRAM = 1 << 63, 1 << 31
_ONCE: dict[str, Any] = {"run_bytes": 1, "count_1": 1, "count_2": 1, "count_3": 1}
_CONV: dict[str, Any] = {
    "out_height": 1,
    "out_width": 1,
    "taps_y": 1,
    "taps_x": 1,
    "tap_bytes": 1,
    "blocks": 1,
    "last_columns": 1,
    "y_limit": 1,
    "x_limit": 1,
    "pixel_pitch": 1,
    "activation_address": BEYOND_SRAM,
}
_CHAIN: dict[str, Any] = {
    "outer_2": 1,
    "outer_1": 1,
    "outer_0": 1,
    "reduce_1": 1,
    "reduce_0": 1,
    "inner": 1,
    "kind_0": Source.INT8,
    "kind_out": Destination.INT8,
    "scale_0": 1.0,
    "y_limit": 1,
    "x_limit": 1,
    "high_out": 127,
    "address_0": BEYOND_SRAM,
}
_UNDEFINED_OPCODES = 0xF0


def wrong_program(block: str, index: int) -> tuple[bytes, Fault]:
    """Return code after which a block answers with the word of an index, and the cause of its fault."""
    match block:
        case "decoder":
            return bytes([_UNDEFINED_OPCODES | index, 0, 0, 0]), Fault.ILLEGAL_OPCODE
        case "legality":
            fields = {**_ONCE, "run_bytes": 0, "sram_address": index}
            return encode(Opcode.LOAD, fields), Fault.ZERO_LENGTH
        case "load":
            return encode(Opcode.LOAD, {**_ONCE, "dram_address": BEYOND_DRAM | index}), Fault.NO_SUCH_ADDRESS
        case "store":
            return encode(Opcode.STORE, {**_ONCE, "dram_address": BEYOND_DRAM | index}), Fault.NO_SUCH_ADDRESS
        case "matrix":
            return encode(Opcode.CONV, {**_CONV, "pad": index}), Fault.NO_SUCH_BYTE
        case _:
            assert block == Unit.VECTOR.name.lower(), f"no block {block}"
            return encode(Opcode.CHAIN, {**_CHAIN, "round_zero": index}), Fault.NO_SUCH_BYTE
