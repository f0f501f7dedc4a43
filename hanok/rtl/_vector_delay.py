"""Registers one behind the other."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Signal


def delayed(m: Module, value: Any, cycles: int, name: str, reset_less: bool = True) -> Any:
    """Return what `value` was `cycles` cycles ago."""
    for cycle in range(cycles):
        held = Signal.like(value, name=f"{name}_{cycle}", reset_less=reset_less)
        m.d.sync += held.eq(value)
        value = held
    return value
