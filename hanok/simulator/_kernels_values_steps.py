"""Numba kernels of one strip of a CHAIN: reading elements, chain steps, folding and writing."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hanok.isa import Destination, Reduction, Source, Step
from hanok.numerics._kernels_compile import kernel, part
from hanok.numerics._kernels_scalar import round_clamp, saturate_int32
from hanok.numerics.rounding import CANONICAL_NAN_BITS

ADD, SUB, REVERSE_SUB, MUL = int(Step.ADD), int(Step.SUB), int(Step.REVERSE_SUB), int(Step.MUL)
DIV, REVERSE_DIV, MAX, MIN = int(Step.DIV), int(Step.REVERSE_DIV), int(Step.MAX), int(Step.MIN)
ROUND, LOOKUP, SAVE, TAKE = int(Step.ROUND), int(Step.LOOKUP), int(Step.SAVE), int(Step.TAKE)
GREATER, SELECT, NO_STEP = int(Step.GREATER), int(Step.SELECT), int(Step.NONE)
FUSED_ADD = int(Step.FUSED_ADD)
FOLD_SUM, FOLD_MAX = int(Reduction.SUM), int(Reduction.MAX)
ACCUMULATOR, INT8, FLOAT32 = int(Source.ACCUMULATOR), int(Source.INT8), int(Source.FLOAT32)
OUT_INT8, OUT_INT32 = int(Destination.INT8), int(Destination.INT32)
NAN = np.array(CANONICAL_NAN_BITS, np.uint32).view(np.float32)[()]
VALUE, SAVED = 0, 3

Bytes = npt.NDArray[np.uint8]
Signed = npt.NDArray[np.int8]
Words = npt.NDArray[np.int32]
Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@part
def _float_limits(limits: Integers) -> tuple[np.float32, np.float32, np.float32]:
    """Zero point, and the limits less the zero point; all are exact in float32."""
    return np.float32(limits[0]), np.float32(limits[1] - limits[0]), np.float32(limits[2] - limits[0])


@part
def _gather_words(
    address: int, stride: int, count: int, sram: Bytes, sram_words: Words, words: Words
) -> None:
    """Read `count` little-endian words at any byte address and stride."""
    if (address | stride) & 3 == 0:
        for i in range(count):
            words[i] = sram_words[(address >> 2) + i * (stride >> 2)]
    else:
        for i in range(count):
            word = np.uint32(0)
            for byte in range(4):
                word |= np.uint32(sram[address + i * stride + byte]) << np.uint32(8 * byte)
            words[i] = np.int32(word)


@part
def read_near(
    kind: int, address: int, zero: int, scale: np.float32, signed: Signed, accumulators: Words, target: Floats
) -> None:
    """target = float32(element - zero) * scale of neighbouring int8 or, with zero 0, accumulators."""
    if kind == INT8:
        zero_32, near = np.int32(zero), signed[address : address + len(target)]
        for i in range(len(target)):
            target[i] = np.float32(np.int32(near[i]) - zero_32) * scale
    else:
        near_words = accumulators[address : address + len(target)]
        for i in range(len(target)):
            target[i] = np.float32(near_words[i]) * scale


@part
def read(
    kind: int,
    address: int,
    stride: int,
    zero: int,
    scale: np.float32,
    sram: Bytes,
    signed: Signed,
    sram_words: Words,
    accumulators: Words,
    words: Words,
    target: Floats,
) -> None:
    """target = float32(element - zero) * scale, float32 elements as they are; each operation rounds once.

    Address and stride in bytes (accumulator: elements).
    """
    count = len(target)
    if stride == 1 and (kind == INT8 or (kind == ACCUMULATOR and zero == 0)):
        read_near(kind, address, zero, scale, signed, accumulators, target)
        return
    if kind == INT8:
        for i in range(count):
            words[i] = signed[address + i * stride]
    elif kind == ACCUMULATOR:
        for i in range(count):
            words[i] = accumulators[address + i * stride]
    else:
        _gather_words(address, stride, count, sram, sram_words, words)
    if kind == FLOAT32:
        floats = words.view(np.float32)
        for i in range(count):
            target[i] = floats[i] * scale
    else:
        for i in range(count):
            target[i] = np.float32(np.int64(words[i]) - zero) * scale


@part
def fused_add(o: Floats, factor: np.float32, v: Floats) -> None:
    """v = o * factor + v, rounded once.

    The product is exact in float64. Its sum with v is rounded to odd there, which makes the second rounding
    right (Boldo and Melquiond, Emulation of FMA and correctly rounded sums, IEEE Trans. Computers 57(4)):
    where the float64 sum is not exact and its last bit is even, it moves to the neighbour that lies on the
    side of the error, which Knuth's TwoSum gives. The error of infinities is NaN and moves nothing.
    """
    wide = np.float64(factor)
    for i in range(len(v)):
        product, addend = np.float64(o[i]) * wide, np.float64(v[i])
        total = product + addend
        part_of_addend = total - product
        error = (product - (total - part_of_addend)) + (addend - part_of_addend)
        bits = np.float64(total).view(np.int64)
        outwards = np.int64(1) if (error > 0) == (total > 0) else np.int64(-1)
        moves = ((error > 0) | (error < 0)) & (bits & np.int64(1) == 0)
        v[i] = np.float32(np.int64(bits + (outwards if moves else np.int64(0))).view(np.float64))


@part
def make_common_step(
    step: int,
    slot: int,
    immediate: np.float32,
    count: int,
    rounding: Integers,
    table: Floats,
    buffers: Floats,
) -> bool:
    """Make a step on the value strip with the operand strip `slot`, or return that it is not one of these.

    `immediate`: the factor of FUSED_ADD. `rounding`: zero, low and high of ROUND.
    """
    v, o, saved = buffers[VALUE, :count], buffers[slot, :count], buffers[SAVED, :count]
    made = True
    if step == ADD:
        for i in range(count):
            v[i] = v[i] + o[i]
    elif step == MUL:
        for i in range(count):
            v[i] = v[i] * o[i]
    elif step == MAX:
        for i in range(count):
            v[i] = o[i] if o[i] > v[i] else v[i]
    elif step == MIN:
        for i in range(count):
            v[i] = o[i] if o[i] < v[i] else v[i]
    elif step == ROUND:
        zero, low, high = _float_limits(rounding)
        for i in range(count):
            v[i] = round_clamp(v[i], low, high) + zero
    elif step == LOOKUP:
        for i in range(count):
            v[i] = table[np.int32(round_clamp(v[i], np.float32(-128), np.float32(127))) + 128]
    elif step == SAVE:
        for i in range(count):
            saved[i] = v[i]
    elif step == TAKE:
        for i in range(count):
            v[i] = o[i]
    elif step == FUSED_ADD:
        fused_add(o, immediate, v)
    else:
        made = step == NO_STEP
    return made


@part
def make_rare_step(step: int, slot: int, count: int, buffers: Floats) -> None:
    """Make one of the remaining steps."""
    v, o, saved = buffers[VALUE, :count], buffers[slot, :count], buffers[SAVED, :count]
    if step == SUB:
        for i in range(count):
            v[i] = v[i] - o[i]
    elif step == REVERSE_SUB:
        for i in range(count):
            v[i] = o[i] - v[i]
    elif step == DIV:
        for i in range(count):
            v[i] = v[i] / o[i]
    elif step == REVERSE_DIV:
        for i in range(count):
            v[i] = o[i] / v[i]
    elif step == GREATER:
        for i in range(count):
            v[i] = np.float32(1) if v[i] > o[i] else np.float32(0)
    elif step == SELECT:
        for i in range(count):
            v[i] = o[i] if v[i] != np.float32(0) else saved[i]


@kernel
def fold(reduction: int, total: Floats, value: Floats) -> None:
    """Fold a strip into running totals of the same length."""
    count = len(value)
    if reduction == FOLD_SUM:
        for i in range(count):
            total[i] = total[i] + value[i]
    elif reduction == FOLD_MAX:
        for i in range(count):
            total[i] = value[i] if value[i] > total[i] else total[i]
    else:
        for i in range(count):
            total[i] = value[i] if value[i] < total[i] else total[i]


@part
def write_near(limits: Integers, v: Floats, target: Signed) -> None:
    """Write a strip as neighbouring int8 elements: clamp(round_half_even(v) + zero, low, high)."""
    zero, low, high = _float_limits(limits)
    for i in range(len(v)):
        target[i] = np.int32(round_clamp(v[i], low, high) + zero)


@part
def write(
    kind: int,
    limits: Integers,
    address: int,
    stride: int,
    v: Floats,
    words: Words,
    sram: Bytes,
    signed: Signed,
    sram_words: Words,
) -> None:
    """Write a strip; int8: clamp(round_half_even(v) + zero, low, high); int32: rounded and saturated."""
    count = len(v)
    if kind == OUT_INT8:
        zero, low, high = _float_limits(limits)
        if stride == 1:
            write_near(limits, v, signed[address : address + count])
        else:
            for i in range(count):
                signed[address + i * stride] = np.int32(round_clamp(v[i], low, high) + zero)
    else:
        floats = words.view(np.float32)
        if kind == OUT_INT32:
            for i in range(count):
                words[i] = saturate_int32(v[i])
        else:
            for i in range(count):
                floats[i] = v[i] if v[i] == v[i] else NAN
        if (address | stride) & 3 == 0:
            for i in range(count):
                sram_words[(address >> 2) + i * (stride >> 2)] = words[i]
        else:
            for i in range(count):
                for byte in range(4):
                    sram[address + i * stride + byte] = np.uint8(words[i] >> np.int32(8 * byte) & 0xFF)


@part
def scale_row(source: Words, scale: np.float32, factors: Floats, limits: Integers, target: Signed) -> None:
    """The most common chain in one pass: int32 sums times scale times a factor each, rounded to int8."""
    zero, low, high = _float_limits(limits)
    for i in range(len(target)):
        value = np.float32(source[i]) * scale * factors[i]
        target[i] = np.int32(round_clamp(value, low, high) + zero)
