"""Rotations in stages of powers of two, without the parts of a stage that nothing needs."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, Module, Mux, Signal, Value


def split(value: Value, bits: int) -> list[Value]:
    """Return the parts of a value, the lowest first."""
    return [value[at : at + bits] for at in range(0, len(value), bits)]


def rotate_down(m: Module, ring: Sequence[Value], amount: Value, wanted: int, name: str) -> list[Value]:
    """Return parts `amount`, `amount` + 1 ... of a ring, `wanted` of them; `amount` is within the ring.

    Long steps come first: behind a step of s only `wanted` + s - 1 parts are still of use.
    """
    parts, bits = list(ring), len(ring[0])
    for stage in reversed(range(len(amount))):
        step = 1 << stage
        places = range(min(len(ring), wanted + step - 1))
        moved = Cat(parts[(place + step) % len(parts)] for place in places)
        turned = Signal(bits * len(places), name=f"{name}_{stage}")
        m.d.comb += turned.eq(Mux(amount[stage], moved, Cat(parts[place] for place in places)))
        parts = split(turned, bits)
    return parts[:wanted]


def rotate_up(
    m: Module, parts: Sequence[Value], amount: Value, size: int, name: str, fill: Value | None = None
) -> Value:
    """Return a ring of `size` parts with the given ones from part `amount` on.

    The others are `fill`, or, without one, whatever costs nothing. Short steps come first: as long as few
    parts are in use, the rest needs no gates.
    """
    bits = len(parts[0])
    ring: list[Value | None] = [*parts, *[fill] * (size - len(parts))]
    for stage in range(len(amount)):
        step = 1 << stage
        moved = [ring[(place - step) % size] for place in range(size)]
        choices = [(a, b) for a, b in zip(moved, ring, strict=True) if a is not None or b is not None]
        turned = Signal(bits * len(choices), name=f"{name}_{stage}")
        one, other = (
            Cat(pair[side] if pair[side] is not None else pair[1 - side] for pair in choices)
            for side in (0, 1)
        )
        m.d.comb += turned.eq(Mux(amount[stage], one, other))
        places = iter(split(turned, bits))
        ring = [None if a is None and b is None else next(places) for a, b in zip(moved, ring, strict=True)]
    assert all(part is not None for part in ring), "the steps together pass over the whole ring"
    return Cat(part for part in ring if part is not None)
