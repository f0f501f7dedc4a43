"""Shifts, selections, and rotations in stages of powers of two, without the parts that nothing needs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value


def split(value: Value, bits: int) -> list[Value]:
    """Return the parts of a value, the lowest first."""
    return [value[at : at + bits] for at in range(0, len(value), bits)]


def shift_up(value: Value, amount: Value) -> Value:
    """Return a value shifted up, with the bits that leave its width."""
    return value << amount if len(amount) else value


def ones(count: Value, most: int) -> Value:
    """Return `most` bits, of which the first `count` are set."""
    return ~shift_up(Const((1 << most) - 1, most), count)[:most]


def delayed(m: Module, value: Value, cycles: int, name: str) -> Value:
    """Return a value so many cycles later."""
    for _ in range(cycles):
        register = Signal(len(value), name=name, reset_less=True)
        m.d.sync += register.eq(value)
        value = register
    return value


def any_of(values: Iterable[Value]) -> Value:
    """Return the OR of values as a tree of pairs."""
    level = list(values)
    while len(level) > 1:
        level = [
            level[at] | level[at + 1] if at + 1 < len(level) else level[at] for at in range(0, len(level), 2)
        ]
    return level[0]


def select(hot: Sequence[Value], values: Sequence[Value]) -> Value:
    """Return the value whose bit is set, which at most one is; zero if none is."""
    return any_of(value & bit.replicate(len(value)) for bit, value in zip(hot, values, strict=True))


def rotate_down(m: Module, ring: Value, part: int, amount: Value, wanted: int, name: str) -> Value:
    """Return parts `amount`, `amount` + 1 ... of a ring, `wanted` of them; `amount` is within the ring.

    Long steps come first: behind a step of s only `wanted` + s - 1 parts are still of use.
    """
    parts = len(ring) // part
    for stage in reversed(range(len(amount))):
        step = 1 << stage
        left = min(parts, wanted + step - 1) * part
        turned = Signal(left, name=f"{name}_{stage}")
        moved = Cat(ring[step * part :], ring[: step * part])
        m.d.comb += turned.eq(Mux(amount[stage], moved[:left], ring[:left]))
        ring = turned
    return ring[: wanted * part]


def rotate_up(m: Module, value: Value, part: int, amount: Value, size: int, name: str) -> Value:
    """Return a ring of `size` parts with those of a value from part `amount` on, the others zero."""
    ring: Value = Signal(size * part, name=f"{name}_given")
    m.d.comb += ring.eq(value)
    for stage in range(len(amount)):
        turned = Signal(size * part, name=f"{name}_{stage}")
        m.d.comb += turned.eq(Mux(amount[stage], ring.rotate_left(part << stage), ring))
        ring = turned
    return ring
