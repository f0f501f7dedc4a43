"""The inputs of a run: those that the user gives, checked, and seeded random data for the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hanok.flows.arrays import InputError
from hanok.isa import Binding, Program, ValueInfo

Array = npt.NDArray[Any]


def complete_inputs(
    program: Program, given: Mapping[str, Array], seed: int
) -> tuple[dict[str, Array], tuple[str, ...]]:
    """Return a value for every input of the program, and a warning where random data had to serve."""
    wanted = {info.name: info for info in program.inputs}
    for name in given:
        if name not in wanted:
            known = ", ".join(f"'{info.name}'" for info in program.inputs) or "none"
            raise InputError(f"the model has no input '{name}'; allowed: {known}")
    generator = np.random.default_rng(seed)
    values, missing = {}, []
    for info in program.inputs:
        if info.name in given:
            values[info.name] = fit(info, np.asarray(given[info.name]))
        else:
            values[info.name] = random_value(info, program.binding(info.name), generator)
            missing.append(info.name)
    if not missing:
        return values, ()
    names = ", ".join(f"'{name}'" for name in missing)
    word = "input" if len(missing) == 1 else "inputs"
    return values, (f"{word} {names}: random data with seed {seed}; give real data with --input NAME=FILE",)


def fit(info: ValueInfo, value: Array) -> Array:
    """Return `value` in the input's type; refuse another shape, and values that the type cannot hold."""
    if tuple(value.shape) != info.shape:
        found, allowed = list(value.shape), list(info.shape)
        raise InputError(
            f"input '{info.name}': shape {found} was given; allowed: {allowed}; reshape it, or export "
            "the model for that shape"
        )
    dtype = np.dtype(info.dtype)
    if value.dtype == dtype:
        return np.asarray(value, order="C")
    if value.dtype.kind not in "biuf" or (value.dtype.kind == "f" and dtype.kind != "f"):
        raise InputError(
            f"input '{info.name}': {value.dtype} was given; allowed: {dtype}; convert it with astype"
        )
    with np.errstate(over="ignore"):
        converted = value.astype(dtype)
    if dtype.kind in "biu" and not np.array_equal(converted, value):
        raise InputError(f"input '{info.name}': has values outside {dtype}; scale or clip them first")
    return np.asarray(converted, order="C")


def random_value(info: ValueInfo, binding: Binding | None, generator: np.random.Generator) -> Array:
    """Draw a value: the whole quantised range where there is one, else the standard normal.

    Integers of 32 and 64 bits are ids or masks, for which 0 and 1 are always legal.
    """
    dtype = np.dtype(info.dtype)
    if dtype.kind == "b" or (dtype.kind in "iu" and dtype.itemsize > 1):
        return generator.integers(0, 2, info.shape).astype(dtype)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return generator.integers(limits.min, limits.max + 1, info.shape).astype(dtype)
    if binding is None:
        return generator.standard_normal(info.shape, np.float32).astype(dtype)
    stored = generator.integers(-128, 128, info.shape).astype(np.int32)
    return ((stored - binding.zero_point).astype(np.float32) * np.float32(binding.scale)).astype(dtype)
