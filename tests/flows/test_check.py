"""Outputs against expected ones: steps where there is a scale, exact equality where there is none."""

import numpy as np

from hanok.flows._check import compare


def test_steps() -> None:
    want = np.array([0.0, 0.5, 1.0, 1.5], np.float32)
    check = compare("y", want + np.array([0, 0.5, 0, -1.0], np.float32), want, 0.5)
    assert (check.elements, check.mismatched, check.max_error_steps) == (4, 2, 2)
    assert check.max_absolute_error == 1.0


def test_rounding_of_the_dequantised_value_is_no_step() -> None:
    want = np.array([100.0], np.float32)
    assert compare("y", np.nextafter(want, np.float32(200)), want, 0.5).mismatched == 0


def test_floats_differ_unless_equal() -> None:
    want = np.array([1.0, np.nan, np.inf, 0.0], np.float32)
    check = compare("y", np.array([1.0, np.nan, np.inf, -0.0], np.float32), want, None)
    assert (check.mismatched, check.max_error_steps, check.max_absolute_error) == (0, None, 0.0)
    check = compare("y", np.array([1.5, 1.0, -np.inf, 0.0], np.float32), want, None)
    assert check.mismatched == 3
    assert check.max_absolute_error == np.inf


def test_empty_outputs() -> None:
    empty = np.zeros((0, 3), np.float32)
    assert compare("y", empty, empty, 0.1).max_error_steps == 0
