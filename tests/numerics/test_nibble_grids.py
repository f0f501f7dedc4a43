"""Grids of sixteen weights: found again where they are, near to what they stand for, and never made up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanok.numerics.nibble_grids import find_entries, fit_entries, nearest_nibbles
from hanok.numerics.nibbles import entries_of, weights_of

LEAST_SCALE, LARGEST_SCALE = 128, 4088


def _error(values: np.ndarray, found: np.ndarray) -> float:
    return float(np.square(values - found).sum() / np.square(values).sum())


def _assert_stands_for(entries: np.ndarray | None, weights: np.ndarray) -> None:
    assert entries is not None
    np.testing.assert_array_equal(weights_of(nearest_nibbles(weights, entries), entries), weights)


def _in_steps(weights: np.ndarray) -> np.ndarray:
    """Weights in steps of their columns, the largest of which is 127."""
    return weights / (np.abs(weights).max(0) / 127)


@pytest.mark.parametrize("group_rows", [2, 16, 32, 128])
@pytest.mark.parametrize("shape", ["normal", "heavy", "shifted", "tiny", "zeros"])
def test_what_is_fitted_is_found_again(group_rows: int, shape: str) -> None:
    generator = np.random.default_rng(group_rows)
    values = generator.standard_normal((256, 24))
    values = {
        "normal": values,
        "heavy": values**5,
        "shifted": np.abs(values) + 0.2,
        "tiny": np.where(np.arange(256)[:, None] < 128, values / 1000, values),
        "zeros": np.where(np.arange(256)[:, None] < 128, 0, values),
    }[shape]
    steps = _in_steps(values)
    entries = fit_entries(steps, group_rows)
    weights = weights_of(nearest_nibbles(steps, entries), entries)
    found = find_entries(weights, group_rows)
    _assert_stands_for(found, weights)
    assert found is not None
    assert len(found) == 256 // group_rows


def test_fitted_grids_are_nearer_than_the_largest_of_a_group_asks() -> None:
    """Better than a scale of 1/7.5 of the largest magnitude, which needs no search, in every group size."""
    generator = np.random.default_rng(1)
    steps = _in_steps(generator.standard_normal((512, 64)))
    for group_rows in (16, 32, 128):
        entries = fit_entries(steps, group_rows)
        weights = weights_of(nearest_nibbles(steps, entries), entries)
        groups = steps.reshape(-1, group_rows, 64)
        scales = np.abs(groups).max(1, keepdims=True) / 7.5
        plain = np.clip(np.rint(groups / scales), -8, 7) * scales
        assert _error(steps, weights) < 0.85 * _error(groups, plain)


@pytest.mark.parametrize("middle", [8, 3, 12])
def test_weights_of_four_bits_lose_no_more_than_int8_does(middle: int) -> None:
    """Integers of 0 to 15 less a zero, with a scale a group, as users' models have them."""
    generator = np.random.default_rng(middle)
    codes = np.clip(np.rint(generator.normal(middle, 2.5, (16, 32, 64))), 0, 15)
    scales = generator.uniform(0.01, 0.03, (16, 1, 64))
    steps = _in_steps(((codes - middle) * scales).reshape(512, 64))
    entries = fit_entries(steps, 32)
    weights = weights_of(nearest_nibbles(steps, entries), entries)
    assert _error(steps, weights) < 1.6 * _error(steps, np.rint(steps))


def test_plain_int8_weights_lie_on_no_grid() -> None:
    generator = np.random.default_rng(2)
    weights = np.rint(_in_steps(generator.standard_normal((256, 16)))).astype(np.int8)
    assert find_entries(weights, 32) is None
    assert find_entries(weights, 96) is None
    assert find_entries(weights[:0], 32) is None


def test_one_weight_off_its_grid_is_seen() -> None:
    generator = np.random.default_rng(3)
    steps = _in_steps(generator.standard_normal((64, 8)))
    weights = weights_of(nearest_nibbles(steps, fit_entries(steps, 32)), fit_entries(steps, 32))
    assert find_entries(weights, 32) is not None
    weights[40, 5] = 1 if abs(int(weights[40, 5])) > 2 else 100
    found = find_entries(weights, 32)
    if found is not None:
        _assert_stands_for(found, weights)


def test_few_levels_in_int8_are_four_bits() -> None:
    """Weights of -8 to 7 in steps of one, as quantisers of four bits without groups leave them."""
    weights = np.random.default_rng(4).integers(-8, 8, (64, 8)).astype(np.int8)
    found = find_entries(weights, 64)
    _assert_stands_for(found, weights)


@given(st.integers(LEAST_SCALE // 8, LARGEST_SCALE // 8), st.integers(0, 15), st.integers(0, 2**32 - 1))
def test_any_grid_is_found(eighths: int, zero: int, seed: int) -> None:
    """Of a scale of at least one step in whole sixteenths of it, as far as int8 does not clamp it."""
    nibbles = np.random.default_rng(seed).integers(0, 16, (16, 1)).astype(np.uint8)
    apart = (nibbles.astype(np.int64) - zero) * (8 * eighths)
    nibbles = np.where(np.abs(apart) < 127 * 128, nibbles, zero).astype(np.uint8)
    weights = weights_of(nibbles, entries_of(np.array([[8 * eighths]]), np.array([[zero]])))
    found = find_entries(weights, 16)
    _assert_stands_for(found, weights)
