"""Additions fused behind a convolution: ONNX Runtime's bits, whichever operand the convolution is."""

from __future__ import annotations

import numpy as np
import pytest
from compiled import check
from qdq_models import QdqModel

from hanok.isa import Source, Step, decode


def scale(rng: np.random.Generator) -> float:
    """Multiples of 2^-12: many sums lie half way between two steps, and every rounding counts."""
    return int(rng.integers(60, 300)) * 2.0**-12


def zero(q: QdqModel, rng: np.random.Generator) -> int:
    return int(rng.integers(-60, 60)) + (128 if q.kind is np.uint8 else 0)


def stored(q: QdqModel, rng: np.random.Generator, value: str, step: float) -> str:
    point = zero(q, rng)
    return q.dequantize(q.quantize(value, step, point), step, point)


def branch(q: QdqModel, rng: np.random.Generator, x: str, table: bool) -> str:
    weights = rng.integers(-127, 128, (9, 6, 1, 1)).astype(np.int8)
    kernel = q.weight(weights, rng.uniform(0.005, 0.01, 9), 0, 0)
    value = stored(q, rng, q.apply("Conv", [x, kernel]), scale(rng))
    return stored(q, rng, q.apply("Tanh", [value]), 3 * 2.0**-8) if table else value


@pytest.mark.parametrize("unsigned", [False, True], ids=["int8", "uint8"])
@pytest.mark.parametrize("table", [False, True])
@pytest.mark.parametrize("last_is_first", [False, True])
def test_residuals_are_exact(last_is_first: bool, table: bool, unsigned: bool) -> None:
    for seed in range(6):
        rng, q = np.random.default_rng(seed), QdqModel(unsigned=unsigned)
        x = q.input((1, 6, 16, 15), scale(rng), zero(q, rng))
        other, last = branch(q, rng, x, False), branch(q, rng, x, table)
        q.output(q.apply("Add", [last, other] if last_is_first else [other, last]), scale(rng), zero(q, rng))
        for mode in ("fast", "stepwise"):
            found = check(q.model(), seed=seed, mode=mode)
            assert (found.reference_mismatches, found.onnxruntime_mismatches) == (0, 0)
            chains = np.concatenate([decode(s.code).records["vector"] for s in found.program.npu_stages])
            fused = np.any(chains["step"] == Step.FUSED_ADD, axis=1)
            assert np.any(fused & (chains["kind_0"] == Source.ACCUMULATOR))


def test_where_two_tiles_have_no_room_one_waits_for_the_other() -> None:
    """Eight banks of 16 KiB: one for parameters, and input, weights, output and residual want two each."""
    rng, q = np.random.default_rng(3), QdqModel()
    wide = q.input((1, 576, 14, 14), scale(rng), zero(q, rng))
    made = []
    for _ in range(2):
        weights = rng.integers(-127, 128, (96, 576, 1, 1)).astype(np.int8)
        kernel = q.weight(weights, rng.uniform(0.0005, 0.001, 96), 0, 0)
        made.append(stored(q, rng, q.apply("Conv", [wide, kernel]), scale(rng)))
    q.output(q.apply("Add", made), scale(rng), zero(q, rng))
    for mode in ("fast", "stepwise"):
        found = check(q.model(), "nano", seed=3, mode=mode)
        assert (found.reference_mismatches, found.onnxruntime_mismatches) == (0, 0)
