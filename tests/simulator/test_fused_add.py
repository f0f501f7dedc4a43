"""Step FUSED_ADD: the kernel's float64 way, the stepwise path and exact integers give the same bits."""

from __future__ import annotations

import numpy as np
import pytest
from emulator_streams import small_chip

from hanok.errors import VerifyError
from hanok.isa import Destination, Opcode, Operand, Source, Step, encode
from hanok.numerics.fused import fused_multiply_add
from hanok.simulator import Machine, emulator_chains
from hanok.simulator._kernels_values_steps import fused_add

CORNERS = np.array(
    [0x00000000, 0x80000000, 0x00000001, 0x80000001, 0x007FFFFF, 0x00800000, 0x7F800000, 0xFF800000,
     0x7FC00000, 0x7F7FFFFF, 0xFF7FFFFF, 0x3F800000, 0xBF800000, 0x3F800001, 0x33800000, 0x4B800000],
    np.uint32,
).view(np.float32)  # fmt: skip


def assert_exact(first: np.ndarray, factor: np.float32, addend: np.ndarray) -> int:
    """Compare kernel and exact integers; return how often rounding twice, as float64 does, goes wrong."""
    found = addend.copy()
    fused_add(first, factor, found)
    exact = fused_multiply_add(first, factor, addend)
    assert np.all((found.view(np.uint32) == exact.view(np.uint32)) | (np.isnan(found) & np.isnan(exact)))
    with np.errstate(all="ignore"):
        twice = (first.astype(np.float64) * np.float64(factor) + addend).astype(np.float32)
    return int(np.sum((twice != exact) & ~np.isnan(exact)))


def test_corners() -> None:
    first, addend = (axis.ravel().copy() for axis in np.meshgrid(CORNERS, CORNERS))
    for factor in CORNERS:
        assert_exact(first, factor, addend)


def test_random_bits() -> None:
    rng = np.random.default_rng(0)
    for _ in range(40):
        bits = rng.integers(0, 1 << 32, (3, 1000), np.uint64).astype(np.uint32).view(np.float32)
        assert_exact(bits[0], bits[2, 0], bits[1])


def test_sums_near_ties() -> None:
    """Products whose low bits lie around and far below the middle between two float32 numbers."""
    rng = np.random.default_rng(1)
    count, wrong_when_rounded_twice = 1000, 0
    for _ in range(30):
        top = rng.integers(1 << 23, 1 << 24, count)
        shift = int(rng.integers(20, 40))
        factor = np.float32(2.0 ** -(24 + shift) * (1 + 2.0 ** -int(rng.integers(1, 24))))
        first = rng.choice([-1, 1], count) * 2.0 ** (23 + shift + rng.integers(-1, 2, count))
        wrong_when_rounded_twice += assert_exact(
            first.astype(np.float32), factor, (top * rng.choice([-1, 1], count)).astype(np.float32)
        )
        tiny = rng.integers(-(1 << 24), 1 << 24, count).astype(np.float32) * np.float32(2.0**-126)
        assert_exact(tiny, factor, (rng.integers(-9, 9, count) * 2.0**-148).astype(np.float32))
    assert_exact(*_half_way(rng))
    assert wrong_when_rounded_twice + assert_exact(*_half_way(rng)) > 100


def _half_way(rng: np.random.Generator) -> tuple[np.ndarray, np.float32, np.ndarray]:
    """addend + half a last place + a trace that float64 loses; the trace decides."""
    factor = np.float32(1 + 2.0**-23)
    first = rng.choice([-1, 1], 1000) * (2.0**-1 * (1 - 2.0**-23))
    addend = rng.choice([-1, 1], 1000) * rng.integers(1 << 23, 1 << 24, 1000).astype(np.float64)
    return first.astype(np.float32), factor, addend.astype(np.float32)


@pytest.mark.parametrize("kind", [Source.INT8, Source.FLOAT32])
def test_paths_agree(kind: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernels of int8 and of general chains against the stepwise path, on the steps of an ADD."""
    monkeypatch.setattr(emulator_chains, "FEW_OPERATIONS", 0)
    rng = np.random.default_rng(2)
    machines = [Machine(small_chip(), np.zeros(4096, np.uint8)) for _ in range(2)]
    size = 1 if kind is Source.INT8 else 4
    for _ in range(40):
        content = rng.integers(0, 256, machines[0].memories.sram.size).astype(np.uint8)
        code = encode(
            Opcode.CHAIN,
            {
                **dict.fromkeys(("outer_2", "outer_1", "outer_0", "reduce_1", "reduce_0"), 1),
                **{"inner": 100, "y_limit": 1, "x_limit": 1, "steps": 4, "steps_before": 4},
                **{"kind_0": kind, "scale_0": 1.0, "stride_inner": size},
                **{"kind_1": kind, "scale_1": 1.0, "strides_1": [0, 0, 0, size], "address_1": 512},
                **{"kind_out": Destination.FLOAT32 if size == 4 else Destination.INT8, "address_out": 1024},
                **{"strides_out": [0, 0, 0, size], "low_out": -128, "high_out": 127, "zero_out": -128},
                "step": [Step.SAVE, Step.TAKE, Step.FUSED_ADD, Step.FUSED_ADD, 0, 0, 0, 0],
                "operand": [0, Operand.IMMEDIATE, Operand.SOURCE_1, Operand.SAVED, 0, 0, 0, 0],
                "immediate": [0, *rng.uniform(-2, 2, 3), 0, 0, 0, 0],
            },
        )
        for machine, mode in zip(machines, ("stepwise", "fast"), strict=True):
            machine.memories.sram[:] = content
            machine.run(code, mode=mode)
        assert np.array_equal(machines[0].memories.sram, machines[1].memories.sram)


def test_refuses_an_immediate_operand() -> None:
    values = dict.fromkeys(("outer_2", "outer_1", "outer_0", "reduce_1", "reduce_0", "inner", "steps"), 1)
    values |= {"steps_before": 1, "kind_0": int(Source.INT8), "kind_out": int(Destination.INT8)}
    code = encode(Opcode.CHAIN, {**values, "step": [int(Step.FUSED_ADD)] + [0] * 7})
    with pytest.raises(VerifyError, match=r"operand 0 of FUSED_ADD is 0; allowed: 1 to 3: not IMMEDIATE"):
        Machine(small_chip(), np.zeros(4096, np.uint8)).run(code)
