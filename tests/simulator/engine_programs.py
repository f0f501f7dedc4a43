"""Random legal programs and small chips for the tests of the cycle engine."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from hanok.isa import Opcode, Unit, encode
from hanok.isa.table import FLAG_COLUMNS, UNIT_OF
from hanok.machine import Chip

DRAM_BYTES = 1 << 24
MEMORIES = (
    "FLAT:400:50", "FLAT:3000:7", "FLAT:64000", "HBM2_2000", "LPDDR5_6400", "HBM3_6400", "DDR5_4800",
    "GDDR6_16000",
)  # fmt: skip
CONTROLLERS: tuple[dict[str, Any], ...] = (
    {},
    {"refresh": "none", "read_queue": 4, "write_queue": 4, "write_high": 3, "write_low": 1},
    {"page": "closed", "row_hit_cap": 2},
    {"postponed_refreshes": 2},
)


def small_chip(**changes: Any) -> Chip:
    """A small chip; keywords such as queue_depth replace fields wherever they stand."""
    sections: dict[str, dict[str, Any]] = {
        "matrix": {
            "rows": 8,
            "columns": 8,
            "accumulator_rows": 64,
            "preload_rows_per_cycle": 1,
            "extra_stages": 0,
        },
        "vector": {"lanes": 8, "stages": 2, "pipeline": {}},
        "sram": {"banks": 16, "bank_bytes": 4096},
        "dma": {"bytes_per_cycle": 16, "outstanding": 8, "expand_lanes": 4, "int4": False},
        "control": {"queue_depth": 4, "semaphore_limit": 8, "fetch_buffer_bytes": 1024},
    }
    top: dict[str, Any] = {"name": "small", "clock_mhz": 1000}
    memory: dict[str, Any] = {
        "standard": "FLAT:1000:20",
        "channels": 1,
        "capacity_mib": 16,
        "latency_cycles": 3,
        "controller": {},
    }
    for name, value in changes.items():
        owner = next((part for part in (*sections.values(), memory) if name in part), top)
        owner[name] = value
    return Chip.from_dict({**top, "core": sections, "memory": memory}, "test")


def random_chip(rng: random.Random) -> Chip:
    depth = rng.choice([1, 2, 3, 8])
    width = rng.choice([4, 7, 16, 32, 64, 100, 256])
    return small_chip(
        clock_mhz=rng.choice([1000, 700, 333, 1501]),
        standard=rng.choice(MEMORIES),
        channels=rng.choice([1, 2]),
        controller=rng.choice(CONTROLLERS),
        latency_cycles=rng.choice([0, 1, 20]),
        bytes_per_cycle=width,
        int4=width in (4, 16) and rng.random() < 0.8,
        outstanding=rng.choice([1, 2, 3, 7, 64]),
        expand_lanes=rng.choice([1, 8, 64]),
        queue_depth=depth,
        semaphore_limit=depth + rng.choice([1, 2, 50]),
        fetch_buffer_bytes=rng.choice([512, 700, 4096]),
        rows=rng.choice([4, 8, 13]),
        preload_rows_per_cycle=rng.choice([1, 2, 3]),
        extra_stages=rng.choice([0, 3]),
        lanes=rng.choice([4, 16]),
        stages=rng.choice([1, 3]),
        pipeline=random_pipeline(rng),
    )


def random_pipeline(rng: random.Random) -> dict[str, int]:
    return {
        "convert": rng.choice([0, 2]),
        "to_integer": rng.choice([1, 3]),
        "multiply": rng.choice([1, 3]),
        "add": rng.choice([1, 4]),
        "fused": rng.choice([1, 5]),
        "division_bits": rng.choice([1, 2, 26]),
        "dividers": rng.choice([1, 2]),
        "batch": rng.choice([2, 4, 64]),
        "table_words": rng.choice([1, 4]),
    }


def random_transfer(rng: random.Random) -> dict[str, Any]:
    run = rng.choice([1, 3, 8, 16, 31, 32, 64, 100, 257])
    counts = [rng.choice([1, 1, 2, 3]), rng.choice([1, 2]), rng.choice([1, 2, 5, 9])]
    stride = rng.choice([run, run, run + 1, run + 5, 64, 128, 1000, -run, 0])
    return {
        "run_bytes": run,
        "dram_address": rng.randrange(1 << 20, 1 << 22),
        **{f"count_{number}": count for number, count in zip((3, 2, 1), counts, strict=True)},
        "dram_stride_1": stride,
        "dram_stride_2": rng.choice([stride * counts[2], 4096, -40]),
        "dram_stride_3": rng.choice([stride * counts[2] * counts[1], 1 << 16, 0]),
    }


def random_expand(rng: random.Random) -> dict[str, Any]:
    flags, symbols = rng.choice([0, 1]), rng.choice([1, 8, 100, 1000])
    return {
        "flags": flags,
        "run_bytes": symbols,
        "packed_bytes": (0 if flags else 128) + 2 * min(symbols, rng.choice([1, 7, 33, 100, 300])),
        "dram_address": rng.randrange(1 << 20, 1 << 22),
        **dict.fromkeys(("count_1", "count_2", "count_3"), 1),
    }


def random_unpack(rng: random.Random) -> dict[str, Any]:
    """A stream of whole beats on all chips with 8 columns that have an unpacker."""
    group_rows, groups = rng.choice([4, 16, 32, 252]), rng.choice([1, 2, 7])
    return {
        "run_bytes": 8 * groups * group_rows,
        "packed_bytes": groups * (2 * 8 + 8 * group_rows // 2),
        "dram_address": 16 * rng.randrange(1 << 16, 1 << 18),
        "group_rows": group_rows,
        **dict.fromkeys(("count_1", "count_2", "count_3"), 1),
    }


def random_matrix(rng: random.Random) -> dict[str, Any]:
    ring = rng.choice([0, 0, 1, 3, 8])
    return {
        "ring_rows": ring,
        "ring_start": rng.randrange(ring) if ring else 0,
        "y_start": rng.choice([-20, -8, -3, 0, 5, 15, 16]),
        "y_stride": rng.choice([-3, 1, 8]),
        "y_dilation": rng.choice([-8, 1, 3]),
        "flags": rng.choice([0, 1]),
        "out_height": rng.choice([1, 2, 5]),
        "out_width": rng.choice([1, 3, 7]),
        "taps_y": rng.choice([1, 2, 3]),
        "taps_x": rng.choice([1, 3]),
        "tap_bytes": rng.choice([1, 4, 8, 12, 30]),
        "blocks": rng.choice([1, 2, 3]),
        "last_columns": rng.randint(1, 8),
        "x_stride": rng.choice([1, 2]),
        "x_tap": rng.choice([1, 3]),
        "pixel_pitch": rng.choice([1, 2]),
    }


def random_convolution(rng: random.Random) -> dict[str, Any]:
    """A third of them has weights that lie by column."""
    fields = random_matrix(rng)
    return {**fields, "flags": fields["flags"] | rng.choice([0, 0, FLAG_COLUMNS])}


def random_vector(rng: random.Random) -> dict[str, Any]:
    steps = rng.randint(0, 8)
    return {
        "flags": rng.choice([0, 1]),
        "outer_2": rng.choice([1, 2]),
        "outer_1": rng.choice([1, 3]),
        "outer_0": 1,
        "reduce_1": rng.choice([1, 2]),
        "reduce_0": rng.choice([1, 2]),
        "inner": rng.choice([1, 8, 21]),
        "reduction": rng.choice([0, 0, 1, 2]),
        "steps": steps,
        "steps_before": rng.randint(0, steps),
        "step": [rng.choice([1, 4, 5, 6, 9]) if place < steps else 0 for place in range(8)],
        "kind_0": rng.choice([1, 2, 4]),
        "ring_rows": rng.choice([0, 0, 5]),
        "stride_inner": rng.choice([0, 1, 4]),
        "kind_1": rng.choice([0, 2, 3]),
        "strides_1": [0, 0, 0, rng.choice([0, 1, 4])],
        "kind_out": rng.choice([2, 4]),
        "strides_out": [0, 0, 0, rng.choice([0, 1, 4])],
    }


FIELDS = {
    Opcode.LOAD: random_transfer,
    Opcode.FILL: random_transfer,
    Opcode.EXPAND: random_expand,
    Opcode.UNPACK: random_unpack,
    Opcode.STORE: random_transfer,
    Opcode.CONV: random_convolution,
    Opcode.DEPTHWISE: random_matrix,
    Opcode.CHAIN: random_vector,
    Opcode.TABLE: lambda rng: {},
}

EVERYWHERE = tuple(opcode for opcode in FIELDS if opcode != Opcode.UNPACK)


def opcodes_of(chip: Chip) -> tuple[Opcode, ...]:
    """The opcodes of `FIELDS` that a chip has."""
    return tuple(FIELDS) if chip.core.dma.int4 else EVERYWHERE


def random_program(rng: random.Random, count: int, opcodes: Sequence[Opcode] = EVERYWHERE) -> bytes:
    """Instructions that wait only for posts of earlier ones, so that only full counters can stop them."""
    available = {(source, target): 0 for source in Unit for target in Unit}
    chosen = rng.choices(opcodes, weights=[rng.choice([1, 3, 9]) for _ in opcodes], k=count)
    post_rate, take_rate = rng.choice([(0.3, 0.9), (0.15, 1.0), (0.5, 0.3)])
    code = b""
    for opcode in chosen:
        unit, wait, post = UNIT_OF[opcode], 0, 0
        for other in Unit:
            if available[other, unit] and rng.random() < take_rate:
                wait |= 1 << other
                available[other, unit] -= 1
        for other in Unit:
            if rng.random() < post_rate:
                post |= 1 << other
                available[unit, other] += 1
        code += encode(opcode, {**FIELDS[opcode](rng), "wait": wait, "post": post})
    return code


def crowded_program(rng: random.Random, limit: int, opcodes: Sequence[Opcode] = EVERYWHERE) -> bytes:
    """A unit posts more often than a counter of `limit` holds, until another unit has waited long enough."""
    source = rng.choice([Unit.LOAD, Unit.STORE, Unit.VECTOR])
    target = rng.choice([unit for unit in (Unit.LOAD, Unit.STORE, Unit.VECTOR) if unit != source])
    of_unit = {unit: [opcode for opcode in opcodes if UNIT_OF[opcode] == unit] for unit in Unit}

    def one(unit: Unit, wait: int, post: int) -> bytes:
        opcode = rng.choice(of_unit[unit])
        return encode(opcode, {**FIELDS[opcode](rng), "wait": wait, "post": post})

    slow = {**random_matrix(rng), "out_height": rng.choice([200, 2000]), "post": 1 << target}
    count = limit + rng.randint(1, 4)
    code = encode(Opcode.CONV, slow)
    code += b"".join(one(source, 0, 1 << target) for _ in range(count))
    code += one(target, 1 << Unit.MATRIX | 1 << source, 0)
    return code + b"".join(one(target, 1 << source, 0) for _ in range(count - 1))
