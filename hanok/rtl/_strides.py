"""Strides and pitches cut to the bits of an address, such that what leaves the memory is still seen."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Mux, Value

STRIDE_BITS = 32


def is_far(stride: Value, bits: int) -> Value:
    """Whether a step of this stride ends outside of 0 .. 2**(bits - 1) - 1, wherever there it begins."""
    signs = stride[bits - 1 :]
    return signs.any() & ~signs.all()


def bounded(stride: Value, bits: int) -> Value:
    """Return a stride in `bits` bits, a far one as -2**(bits - 1).

    Added to an address below 2**(bits - 1), modulo 2**bits, it gives one that is not.
    """
    if bits >= len(stride):
        return stride.as_signed()
    return Mux(is_far(stride, bits), Const(1 << (bits - 1), bits), stride[:bits]).as_signed()


def reach_of(pitch: Value, bits: int) -> Value:
    """Return what `is_beyond` needs of a pitch: a bit for each of the lowest bits of an index, and one for
    the others. An index that has a bit which is set here makes a product of 2**bits or more, up or down.
    """
    size = pitch.as_unsigned()
    if pitch.shape().signed:
        size = size ^ pitch[-1].replicate(len(pitch))
    found = size[bits:].any()
    forbidden = []
    for place in range(bits):
        forbidden.append(found)
        found = found | size[bits - 1 - place : bits - place].any()
    return Cat(forbidden, pitch.any())


def is_beyond(index: Value, reach: Value) -> Value:
    """Whether index * pitch is 2**bits or more, up or down; elsewhere it is at most 2**(bits + 1).

    `reach` is that of the pitch; a few products that are 2**bits or more may pass.
    """
    bits = len(reach) - 1
    return (index[:bits] & reach[:bits]).any() | (index[bits:].any() & reach[bits])
