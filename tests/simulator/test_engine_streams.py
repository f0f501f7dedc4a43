"""Long loads in succession, as of a language model's weights: the stream path changes no cycle or command."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from engine_programs import small_chip
from test_engine_oracle import run_both

from hanok.isa import Opcode, encode
from hanok.machine import Chip
from hanok.simulator.engine import simulate

STANDARDS = ("LPDDR5X_8533", "HBM2_2000", "HBM3_6400", "DDR5_4800", "GDDR6_16000")
POLICIES: dict[str, dict[str, Any]] = {
    "plain": {},
    "no refresh, short queues": {
        "refresh": "none",
        "read_queue": 6,
        "write_queue": 5,
        "write_high": 4,
        "write_low": 1,
    },
    "closed pages": {"page": "closed"},
    "postponed refreshes, low cap": {"postponed_refreshes": 3, "row_hit_cap": 1},
}
CODES = {"HBM2_2000": "side_band", "HBM3_6400": "on_die", "DDR5_4800": "on_die"}
"""Error correction of chips, which may come without."""
COMMANDS = 200_000


def weights(rng: random.Random, loads: int, size: int) -> bytes:
    """Loads one behind the other in DRAM, some strided; now and then a store, near them or far away."""
    address, code = 1 << 20, b""
    once = {"count_3": 1, "count_2": 1, "count_1": 1}
    for _ in range(loads):
        run = size + rng.choice([0, 0, 32, 512])
        fields = {**once, "run_bytes": run, "dram_address": address}
        if rng.random() < 0.2:
            fields |= {
                "run_bytes": run // 8,
                "count_1": 8,
                "dram_stride_1": rng.choice([run // 8 + 64, 2048]),
            }
        code += encode(Opcode.LOAD, fields)
        address += run
        if rng.random() < 0.3:
            target = rng.choice([address + (1 << 20), 1 << 23])
            code += encode(
                Opcode.STORE, {**once, "run_bytes": rng.choice([64, 3000]), "dram_address": target}
            )
    return code


def streaming_chip(rng: random.Random, standard: str, policy: str) -> Chip:
    chip = small_chip(
        standard=standard,
        channels=rng.choice([1, 2, 4]),
        controller=POLICIES[policy],
        clock_mhz=rng.choice([1000, 1200, 1501]),
        bytes_per_cycle=64,
        outstanding=rng.choice([32, 256]),
    )
    memory = chip.memory.model_copy(update={"ecc": rng.choice(["none", CODES.get(standard, "none")])})
    return chip.model_copy(update={"memory": memory})


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("standard", STANDARDS)
def test_streams_of_loads_take_the_same_commands_in_single_steps(standard: str, policy: str) -> None:
    rng = random.Random(f"{standard} {policy}")
    for _ in range(3):
        chip, code = streaming_chip(rng, standard, policy), weights(rng, 40, 16_384)
        run, step = (simulate(code, chip, stream=path, trace_commands=COMMANDS) for path in (True, False))
        assert run.cycles == step.cycles
        for name in ("dispatch", "start", "end", "causes", "transferred_bytes"):
            np.testing.assert_array_equal(getattr(run, name), getattr(step, name))
        assert run.dram == step.dram
        assert run.dram_commands is not None
        np.testing.assert_array_equal(run.dram_commands, step.dram_commands)


@pytest.mark.parametrize("standard", STANDARDS)
def test_streams_of_loads_run_as_in_the_stepped_model(standard: str) -> None:
    rng = random.Random(standard)
    for policy in POLICIES:
        run_both(weights(rng, 5, 2_048), streaming_chip(rng, standard, policy), 0)
