"""Shifts, and rotations of lists in stages of powers of two, without the parts that nothing needs."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Const, Module, Mux, Signal, Value


def split(value: Value, bits: int) -> list[Value]:
    """Return the parts of a value, the lowest first."""
    return [value[at : at + bits] for at in range(0, len(value), bits)]


def shift_up(value: Value, amount: Value) -> Value:
    """Return a value shifted up, with the bits that leave its width."""
    return value << amount if len(amount) else value


def ones(count: Value, most: int) -> Value:
    """Return `most` bits, of which the first `count` are set."""
    return ~shift_up(Const((1 << most) - 1, most), count)[:most]


def choose(values: Sequence[Value], number: Value) -> Value:
    """Return the value of a number as a tree of pairs; any, if there are not so many."""
    if len(values) == 1:
        return values[0]
    bit = (len(values) - 1).bit_length() - 1
    half = 1 << bit
    return Mux(number[bit], choose(values[half:], number), choose(values[:half], number))


def rotate_down(m: Module, ring: Sequence[Value], amount: Value, wanted: int, name: str) -> list[Value]:
    """Return parts `amount`, `amount` + 1 ... of a ring, `wanted` of them; `amount` is within the ring.

    Long steps come first: behind a step of s only `wanted` + s - 1 parts are still of use.
    """
    parts = list(ring)
    for stage in reversed(range(len(amount))):
        step = 1 << stage
        turned: list[Value] = []
        for place in range(min(len(ring), wanted + step - 1)):
            part = Signal(len(ring[0]), name=f"{name}_{stage}_{place}")
            m.d.comb += part.eq(Mux(amount[stage], parts[(place + step) % len(parts)], parts[place]))
            turned.append(part)
        parts = turned
    return parts[:wanted]


def rotate_up(m: Module, parts: Sequence[Value], amount: Value, size: int, name: str) -> list[Value]:
    """Return a ring of `size` parts with the given ones from part `amount` on, the others whatever.

    Short steps come first: as long as few parts are in use, the rest needs no gates.
    """
    ring: list[Value | None] = [*parts, *[None] * (size - len(parts))]
    for stage in range(len(amount)):
        step = 1 << stage
        moved = [ring[(place - step) % size] for place in range(size)]
        turned: list[Value | None] = []
        for place, (one, other) in enumerate(zip(moved, ring, strict=True)):
            if one is None or other is None:
                turned.append(one if other is None else other)
                continue
            part = Signal(len(parts[0]), name=f"{name}_{stage}_{place}")
            m.d.comb += part.eq(Mux(amount[stage], one, other))
            turned.append(part)
        ring = turned
    assert all(part is not None for part in ring), "the steps together pass over the whole ring"
    return [part for part in ring if part is not None]
