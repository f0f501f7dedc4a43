"""The fast path gives the bits of the stepwise path, on instructions that cover every field."""

from __future__ import annotations

import numpy as np
import pytest
from emulator_streams import (
    fields_of,
    random_chain,
    random_instruction,
    random_matrix,
    random_memory,
    small_chip,
)
from emulator_streams import is_legal as legal

from hanok.isa import Opcode, decode, disassemble, encode
from hanok.machine import Chip
from hanok.simulator import Machine, emulator_chains, emulator_fast
from hanok.simulator.emulator_fields import extract_fields


@pytest.fixture(autouse=True)
def _compiled_chains(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small programs too go to the general kernel of CHAIN."""
    monkeypatch.setattr(emulator_chains, "FEW_OPERATIONS", 0)


def twins(seed: int) -> tuple[np.random.Generator, Machine, Machine]:
    rng = np.random.default_rng(seed)
    chip = small_chip(int(rng.integers(4, 20)), int(rng.integers(4, 20)), int(rng.choice([4, 8, 16])))
    dram, sram = random_memory(rng), random_memory(rng)
    accumulators = None
    machines = []
    for _ in range(2):
        machine = Machine(chip, dram.copy())
        machine.memories.sram[:] = sram[: machine.memories.sram.size]
        if accumulators is None:
            accumulators = rng.integers(-(1 << 31), 1 << 31, machine.memories.accumulators.shape)
            accumulators[::2] >>= 12
        machine.memories.accumulators[:] = accumulators
        machines.append(machine)
    return rng, machines[0], machines[1]


def assert_same(slow: Machine, fast: Machine, code: bytes) -> None:
    for name in ("sram", "accumulators", "dram"):
        left, right = getattr(slow.memories, name), getattr(fast.memories, name)
        assert np.array_equal(left, right), f"{name} differs after {disassemble(decode(code), 0)}"


@pytest.mark.parametrize("seed", range(10))
def test_random_instructions_agree(seed: int) -> None:
    rng, slow, fast = twins(seed)
    for _ in range(40):
        code = random_instruction(rng, slow.memories.chip)
        slow.run(code, mode="stepwise")
        fast.run(code)
        assert_same(slow, fast, code)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("wide", [1, 1000])
def test_products_of_every_size_agree(seed: int, wide: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every CONV through the product backend: blocks together or one by one, patches in several parts."""
    monkeypatch.setattr(emulator_fast, "SMALL_PRODUCT_MACS", 0)
    monkeypatch.setattr(emulator_fast, "WIDE_BLOCK_COLUMNS", wide)
    monkeypatch.setattr(emulator_fast, "PATCH_BYTES", 512)
    rng, slow, fast = twins(100 + seed)
    for _ in range(20):
        code = random_matrix(rng, slow.memories.chip)
        if legal(code, slow.memories.chip):
            slow.run(code, mode="stepwise")
            fast.run(code)
            assert_same(slow, fast, code)


@pytest.mark.parametrize("seed", range(4))
def test_results_on_top_of_operands_agree(seed: int) -> None:
    """Results that overlap operands in every way; the definition reads everything first."""
    rng, slow, fast = twins(200 + seed)
    chip = slow.memories.chip
    done = 0
    while done < 40:
        record = fields_of(random_chain(rng, chip))
        record["address_out"] = int(
            rng.choice([record["address_0"], record["address_1"], record["address_2"]])
        )
        if rng.random() < 0.5:
            record["strides_out"] = record["strides_1"]
        code = encode(Opcode.CHAIN, record)
        if legal(code, chip):
            slow.run(code, mode="stepwise")
            fast.run(code)
            assert_same(slow, fast, code)
            done += 1


@pytest.mark.parametrize(("inner", "lanes"), [(1500, 8), (2100, 16), (1024, 4)])
@pytest.mark.parametrize("flags", [0, 1])
@pytest.mark.parametrize("reduction", [0, 1, 2, 3])
def test_long_inner_loops_agree(inner: int, lanes: int, flags: int, reduction: int) -> None:
    """Inner loops longer than a strip of the fast path."""
    rng = np.random.default_rng(inner)
    chip = small_chip(lanes=lanes, bank_bytes=2048)
    sram = rng.integers(0, 256, chip.core.sram.total_bytes, np.uint8)
    values = {
        "flags": flags if reduction else 0, "outer_2": 1, "outer_1": 2, "outer_0": 1,
        "reduce_1": 1, "reduce_0": 2 if reduction else 1, "inner": inner, "reduction": reduction,
        "steps_before": 2, "steps": 4, "kind_0": 2, "kind_1": 2, "kind_2": 0, "kind_out": 4,
        "zero_0": 3, "zero_1": -4, "scale_0": 0.37, "scale_1": 0.11, "row_pitch": inner,
        "pixel_pitch": inner // 2, "stride_inner": 1, "y_stride": 1, "y_limit": 2,
        "x_dilation": 1, "x_limit": 2, "address_1": 4000, "strides_1": [0, 7, 0, 1],
        "address_out": 8192, "strides_out": [0, 8800, 0, 4],
        "step": [4, 11, 1, 4, 0, 0, 0, 0], "operand": [1, 0, 0, 1, 0, 0, 0, 0],
        "immediate": [0, 0, 1.3] + [0] * 5,
    }  # fmt: skip
    code = encode(Opcode.CHAIN, values)
    machines = [Machine(chip, np.zeros(64, np.uint8)) for _ in range(2)]
    for machine, mode in zip(machines, ("stepwise", "fast"), strict=True):
        machine.memories.sram[:] = sram
        machine.run(code, mode=mode)
    assert_same(machines[0], machines[1], code)


def test_joined_loops_agree() -> None:
    """Dense elementwise work, which the fast path makes in one long loop."""
    rng = np.random.default_rng(3)
    chip = small_chip(bank_bytes=4096)
    sram = rng.integers(0, 256, chip.core.sram.total_bytes, np.uint8)
    for limit in (9, 8):
        values = {
            "outer_2": 3, "outer_1": 9, "outer_0": 11, "reduce_1": 1, "reduce_0": 1, "inner": 13, "steps": 2,
            "kind_0": 2, "kind_1": 2, "kind_out": 2, "zero_0": 5, "scale_0": 0.7, "scale_1": 1.9,
            "row_pitch": 143, "pixel_pitch": 13, "stride_2": 1287, "stride_inner": 1, "y_stride": 1,
            "y_limit": limit, "x_stride": 1, "x_limit": 11, "address_1": 8192,
            "strides_1": [1287, 143, 13, 1], "address_out": 16384,
            "strides_out": [1287, 143, 13, 1], "low_out": -128, "high_out": 127,
            "step": [1, 4, 0, 0, 0, 0, 0, 0], "operand": [1] + [0] * 7, "immediate": [0, 0.31] + [0] * 6,
        }  # fmt: skip
        code = encode(Opcode.CHAIN, values)
        machines = [Machine(chip, np.zeros(64, np.uint8)) for _ in range(2)]
        for machine, mode in zip(machines, ("stepwise", "fast"), strict=True):
            machine.memories.sram[:] = sram
            machine.run(code, mode=mode)
        assert_same(machines[0], machines[1], code)


def random_dense_chain(rng: np.random.Generator, chip: Chip) -> bytes:
    """What `dense_chains` admits: sums or int8, operands of each kind that move or stand still."""
    size, sums = chip.core.sram.total_bytes, bool(rng.integers(2))
    counts = [int(rng.integers(1, high)) for high in (3, 4, 9, 20)]
    inner = counts[3] = int(rng.choice([counts[3], 8, 1300]))
    if inner > 1000:
        counts[:3] = 1, 1, 2
    dense = [inner * counts[2] * counts[1], inner * counts[2], inner, 1]
    values = fields_of(random_chain(rng, chip)) | {
        "flags": 0, "reduction": 0, "reduce_1": 1, "reduce_0": 1, "steps_before": 0, "kind_out": 2,
        "outer_2": counts[0], "outer_1": counts[1], "outer_0": counts[2], "inner": inner,
        "kind_0": 1 if sums else 2, "zero_0": 0 if sums else int(rng.integers(-9, 9)),
        "stride_inner": 1, "pixel_pitch": dense[2], "row_pitch": dense[1], "stride_2": dense[0],
        "ring_rows": 0, "x_start": 0, "x_stride": 1, "x_limit": counts[2], "y_start": 0,
        "y_stride": 1, "y_limit": counts[1], "address_0": int(rng.integers(64)),
        "address_out": int(rng.integers(size // 2, size)),
        "strides_out": dense, "step": rng.choice([0, 1, 4, 7, 8, 9, 10, 11, 14], 8).tolist(),
    }  # fmt: skip
    for name in ("1", "2"):
        kind = values[f"kind_{name}"] = int(rng.choice([2, 4]))
        moving = [0, 0, 0, 1] if rng.random() < 0.6 else dense
        values[f"strides_{name}"] = [stride * (4 if kind == 4 else 1) for stride in moving]
        values[f"address_{name}"] = int(rng.integers(size // 4)) & ~3
    if rng.random() < 0.3:
        values |= {
            "reduction": int(rng.integers(1, 4)),
            "reduce_1": 3,
            "reduce_0": 2,
            "y_start": -1,
            "x_start": -1,
        }
        values |= {"y_dilation": 1, "x_dilation": 2}
    if rng.random() < 0.3:
        values |= {"steps": 1, "step": [4] * 8, "operand": [int(rng.integers(3))] * 8}
    return encode(Opcode.CHAIN, values)


@pytest.mark.parametrize("seed", range(4))
def test_dense_chains_agree(seed: int) -> None:
    rng, slow, fast = twins(300 + seed)
    chip = slow.memories.chip
    done = 0
    while done < 40:
        code = random_dense_chain(rng, chip)
        if legal(code, chip):
            assert emulator_chains.dense_chains(extract_fields(decode(code))["vector"]).all()
            slow.run(code, mode="stepwise")
            fast.run(code)
            assert_same(slow, fast, code)
            done += 1
