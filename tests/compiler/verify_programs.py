"""Small instructions and programs for the verifier's tests."""

from __future__ import annotations

from typing import Any

from hanok.isa import Destination, Opcode, Source, encode
from hanok.machine import Chip

LOAD, STORE, MATRIX, VECTOR = 1, 2, 4, 8
"""Bits of the units in wait and post masks."""

BANK = 1024
COLUMNS = 8
DRAM_BYTES = 1 << 16


def small_chip(**control: int) -> Chip:
    """16 SRAM banks of 1 KiB, an 8x8 array, 2 accumulator banks of 64 rows."""
    return Chip.from_dict(
        {
            "name": "small",
            "clock_mhz": 100,
            "core": {
                "matrix": {"rows": 8, "columns": COLUMNS, "accumulator_rows": 64, "accumulator_banks": 2},
                "vector": {"lanes": 8, "stages": 2},
                "sram": {"banks": 16, "bank_bytes": BANK},
                "dma": {"bytes_per_cycle": 8, "outstanding": 4, "expand_lanes": 4, "int4": True},
                "control": control,
            },
            "memory": {"standard": "FLAT:800", "channels": 1, "capacity_mib": 1},
        },
        "small",
    )


def dma(opcode: Opcode = Opcode.LOAD, dram: int = 0, sram: int = 0, run: int = 64, **fields: Any) -> bytes:
    """A LOAD, FILL or STORE of one run unless fields say more."""
    values = {
        "dram_address": dram,
        "sram_address": sram,
        "run_bytes": run,
        "count_3": 1,
        "count_2": 1,
        "count_1": 1,
    }
    return encode(opcode, values | fields)


def conv(activations: int = 0, weights: int = 2 * BANK, row: int = 0, **fields: Any) -> bytes:
    """A 1x1 convolution of 4 rows of 4 pixels, 8 to 8 channels."""
    values = {
        "activation_address": activations,
        "row_pitch": 32,
        "y_stride": 1,
        "y_limit": 4,
        "x_stride": 8,
        "x_limit": 32,
        "out_height": 4,
        "out_width": 4,
        "taps_y": 1,
        "taps_x": 1,
        "tap_bytes": 8,
        "blocks": 1,
        "last_columns": 8,
        "weight_address": weights,
        "accumulator_row": row,
    }
    return encode(Opcode.CONV, values | fields)


def depthwise(**fields: Any) -> bytes:
    """A 3x3 depthwise convolution of 4 x 4 pixels of 8 channels, padded by one."""
    values = {
        "row_pitch": 32,
        "y_start": -1,
        "y_stride": 1,
        "y_dilation": 1,
        "y_limit": 4,
        "x_start": -8,
        "x_stride": 8,
        "x_tap": 8,
        "x_limit": 32,
        "pixel_pitch": 8,
        "out_height": 4,
        "out_width": 4,
        "taps_y": 3,
        "taps_x": 3,
        "tap_bytes": 1,
        "blocks": 1,
        "last_columns": 8,
        "weight_address": 2 * BANK,
    }
    return encode(Opcode.DEPTHWISE, values | fields)


def chain(element: int = 0, out: int = 4 * BANK, **fields: Any) -> bytes:
    """Requantise 16 accumulator rows of 8 to int8."""
    values = {
        "outer_2": 1,
        "outer_1": 1,
        "outer_0": 16,
        "reduce_1": 1,
        "reduce_0": 1,
        "inner": 8,
        "kind_0": Source.ACCUMULATOR,
        "kind_out": Destination.INT8,
        "scale_0": 1.0,
        "address_0": element,
        "pixel_pitch": COLUMNS,
        "stride_inner": 1,
        "x_stride": 1,
        "x_limit": 16,
        "y_limit": 1,
        "address_out": out,
        "strides_out": [0, 0, 8, 1],
        "low_out": -128,
        "high_out": 127,
    }
    return encode(Opcode.CHAIN, values | fields)


def layer_program(tiles: int) -> list[bytes]:
    """Load, convolve, requantise and store `tiles` tiles with two buffers of each kind: a legal program."""
    code = []
    for tile in range(tiles):
        turn, reused, reusing = tile % 2, tile >= 2, tile < tiles - 2
        code += [
            dma(dram=256 * tile, sram=turn * BANK, run=128, wait=MATRIX if reused else 0),
            dma(dram=8192, sram=(2 + turn) * BANK, post=MATRIX),
            conv(
                turn * BANK,
                (2 + turn) * BANK,
                64 * turn,
                wait=LOAD | (VECTOR if reused else 0),
                post=VECTOR | (LOAD if reusing else 0),
            ),
            chain(
                64 * COLUMNS * turn,
                (4 + turn) * BANK,
                wait=MATRIX | (STORE if reused else 0),
                post=STORE | (MATRIX if reusing else 0),
            ),
            dma(
                Opcode.STORE,
                dram=32768 + 128 * tile,
                sram=(4 + turn) * BANK,
                run=128,
                wait=VECTOR,
                post=VECTOR if reusing else 0,
            ),
        ]
    return code
