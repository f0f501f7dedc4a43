"""The cycle engine against the stepped model: every start, end, cause and byte on random programs."""

from __future__ import annotations

import random

import numpy as np
import pytest
from engine_programs import crowded_program, opcodes_of, random_chip, random_program
from stepped_model import SteppedModel

from hanok.errors import VerifyError
from hanok.isa import Unit
from hanok.machine import Chip
from hanok.simulator.counters import Cause, Timing
from hanok.simulator.engine import simulate


def run_both(code: bytes, chip: Chip, address: int) -> Timing | None:
    """Compare the two in everything; return the engine's result, or None if there is a deadlock."""
    model = SteppedModel(code, chip, address)
    if not model.run():
        with pytest.raises(VerifyError, match="deadlock"):
            simulate(code, chip, code_address=address)
        return None
    timing = simulate(code, chip, code_address=address)
    np.testing.assert_array_equal(timing.dispatch, model.dispatch)
    np.testing.assert_array_equal(timing.start, model.start)
    np.testing.assert_array_equal(timing.end, model.end)
    assert timing.cycles == model.total
    np.testing.assert_array_equal(timing.causes, model.charged)
    np.testing.assert_array_equal(timing.causes.sum(axis=1), [timing.cycles] * len(Unit))
    np.testing.assert_array_equal(timing.transferred_bytes, np.array(model.bursts) * model.burst_bytes)
    return timing


@pytest.mark.parametrize("seed", range(90))
def test_random_programs_run_as_in_the_stepped_model(seed: int) -> None:
    rng = random.Random(seed)
    chip = random_chip(rng)
    code = random_program(rng, rng.choice([1, 5, 20, 45]), opcodes_of(chip))
    run_both(code, chip, rng.choice([0, 64, 4160, 4172]))


def test_full_counters_stall_as_in_the_stepped_model() -> None:
    stalled = 0
    for seed in range(20):
        rng = random.Random(seed)
        chip = random_chip(rng)
        limit = chip.core.control.queue_depth + rng.choice([1, 2])
        control = chip.core.control.model_copy(update={"semaphore_limit": limit})
        chip = chip.model_copy(update={"core": chip.core.model_copy(update={"control": control})})
        timing = run_both(crowded_program(rng, limit, opcodes_of(chip)), chip, 0)
        stalled += timing is not None and int(timing.causes[:, Cause.FULL_COUNTER].sum() > 0)
    assert stalled > 5
