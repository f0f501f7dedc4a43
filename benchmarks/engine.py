"""Speed of the cycle engine: ResNet-50 on one 128x128 core with HBM2, a fragment, language model weights."""

from __future__ import annotations

import time

from hanok.isa import Decoded, Opcode, Unit, decode, encode
from hanok.machine import Chip
from hanok.simulator.engine import simulate

RESNET50 = (
    # (repetitions, output height and width, taps, input channels, output channels)
    (1, 112, 7, 3, 64),
    *((3, 56, 1, 64, 64), (3, 56, 3, 64, 64), (3, 56, 1, 64, 256), (2, 56, 1, 256, 64), (1, 56, 1, 64, 256)),
    *((1, 56, 1, 256, 128), (4, 28, 3, 128, 128), (4, 28, 1, 128, 512), (3, 28, 1, 512, 128)),
    *((1, 28, 1, 256, 512), (1, 28, 1, 512, 256), (6, 14, 3, 256, 256), (6, 14, 1, 256, 1024)),
    *((5, 14, 1, 1024, 256), (1, 14, 1, 512, 1024), (1, 14, 1, 1024, 512), (3, 7, 3, 512, 512)),
    *((3, 7, 1, 512, 2048), (2, 7, 1, 2048, 512), (1, 7, 1, 1024, 2048), (1, 1, 1, 2048, 1000)),
)
"""The convolutions of He et al., 'Deep Residual Learning for Image Recognition' (2015), table 1."""
COLUMNS = 128
POSITIONS = 512
"""Accumulator rows of a bank: output positions that one CONV covers."""


def layer(address: int, side: int, taps: int, channels: int, outputs: int) -> tuple[bytes, int]:
    """Weights and activations from DRAM, CONV by CONV, results back; return the code and the next address."""
    code, once = b"", {"count_3": 1, "count_2": 1, "count_1": 1}
    for first in range(0, outputs, COLUMNS):
        columns = min(COLUMNS, outputs - first)
        weights = taps * taps * channels * columns
        code += encode(Opcode.LOAD, {**once, "run_bytes": weights, "dram_address": address})
        address += weights
        for position in range(0, side * side, POSITIONS):
            code += block(address, min(POSITIONS, side * side - position), taps, channels, columns)
    return code, address


def block(address: int, positions: int, taps: int, channels: int, columns: int) -> bytes:
    """One load of activations, one CONV, one CHAIN and one STORE."""
    once = {"count_3": 1, "count_2": 1, "count_1": 1}
    load = {**once, "run_bytes": positions * channels, "dram_address": address, "post": 1 << Unit.MATRIX}
    conv = {
        "flags": 1,
        "wait": 1 << Unit.LOAD,
        "post": 1 << Unit.VECTOR,
        "out_height": 1,
        "out_width": positions,
        "taps_y": taps,
        "taps_x": taps,
        "tap_bytes": channels,
        "blocks": 1,
        "last_columns": columns,
    }
    chain = {
        "wait": 1 << Unit.MATRIX,
        "post": 1 << Unit.STORE,
        "outer_2": 1,
        "outer_1": 1,
        "outer_0": positions,
        "reduce_1": 1,
        "reduce_0": 1,
        "inner": columns,
        "kind_0": 1,
        "stride_inner": 1,
        "kind_out": 2,
        "strides_out": [0, 0, columns, 1],
    }
    store = {**once, "run_bytes": positions * columns, "dram_address": address, "wait": 1 << Unit.VECTOR}
    return b"".join(
        encode(opcode, fields)
        for opcode, fields in (
            (Opcode.LOAD, load),
            (Opcode.CONV, conv),
            (Opcode.CHAIN, chain),
            (Opcode.STORE, store),
        )
    )


def resnet50() -> bytes:
    """All convolutions and the last matrix product, one after the other."""
    code, address = b"", 1 << 20
    for repetitions, side, taps, channels, outputs in RESNET50:
        for _ in range(repetitions):
            part, address = layer(address, side, taps, channels, outputs)
            code += part
    return code


def weights(pieces: int) -> bytes:
    """Weights of a language model's decode step: loads behind each other, as `edge` takes them."""
    size = 262_656
    once = {"count_3": 1, "count_2": 1, "count_1": 1, "run_bytes": size}
    return b"".join(
        encode(Opcode.LOAD, {**once, "dram_address": (1 << 20) + piece * size}) for piece in range(pieces)
    )


def cpu_ms(decoded: Decoded, chip: Chip) -> float:
    """Best CPU milliseconds of five."""
    best = float("inf")
    for _ in range(5):
        start = time.process_time()
        simulate(decoded, chip)
        best = min(best, time.process_time() - start)
    return best * 1e3


def main() -> None:
    chip = Chip.load("hbm2-128")
    flat_memory = chip.memory.model_copy(update={"standard": "FLAT:32000:40"})
    flat = chip.model_copy(update={"memory": flat_memory})
    whole = decode(resnet50())
    fragment = decode(b"".join(block(1 << 20, 16, 3, 256, 128) for _ in range(25)))
    start = time.process_time()
    timing = simulate(fragment, chip)
    print(f"first call, compiling what is not cached: {time.process_time() - start:.1f} s CPU")
    for name, decoded, on in (
        ("ResNet-50, HBM2", whole, chip),
        ("ResNet-50, flat memory", whole, flat),
        ("fragment, HBM2", fragment, chip),
        ("fragment, flat memory", fragment, flat),
        ("weights, LPDDR5X", decode(weights(600)), Chip.load("edge")),
    ):
        timing = simulate(decoded, on)
        bursts = timing.dram.reads + timing.dram.writes
        cost = cpu_ms(decoded, on)
        print(
            f"{name}: {len(decoded)} instructions, {bursts} bursts, {timing.cycles} cycles; "
            f"{cost:.2f} ms CPU, {cost * 1e6 / bursts:.0f} ns a burst"
        )


if __name__ == "__main__":
    main()
