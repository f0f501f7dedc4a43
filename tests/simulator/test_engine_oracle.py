"""The cycle engine against the stepped model: every start, end, cause and byte on random programs."""

from __future__ import annotations

import random

import numpy as np
import pytest
from engine_programs import random_chip, random_program
from stepped_model import SteppedModel

from hanok.errors import VerifyError
from hanok.isa import Unit
from hanok.simulator.engine import simulate


@pytest.mark.parametrize("seed", range(90))
def test_random_programs_run_as_in_the_stepped_model(seed: int) -> None:
    rng = random.Random(seed)
    chip = random_chip(rng)
    code = random_program(rng, rng.choice([1, 5, 20, 45]))
    address = rng.choice([0, 64, 4160])
    model = SteppedModel(code, chip, address)
    if not model.run():
        with pytest.raises(VerifyError, match="deadlock"):
            simulate(code, chip, code_address=address)
        return
    timing = simulate(code, chip, code_address=address)
    np.testing.assert_array_equal(timing.dispatch, model.dispatch)
    np.testing.assert_array_equal(timing.start, model.start)
    np.testing.assert_array_equal(timing.end, model.end)
    assert timing.cycles == model.total
    np.testing.assert_array_equal(timing.causes, model.charged)
    np.testing.assert_array_equal(timing.causes.sum(axis=1), [timing.cycles] * len(Unit))
    np.testing.assert_array_equal(timing.transferred_bytes, np.array(model.bursts) * model.burst_bytes)
