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
GREATER, SELECT = int(Step.GREATER), int(Step.SELECT)
FOLD_SUM, FOLD_MAX = int(Reduction.SUM), int(Reduction.MAX)
ACCUMULATOR, INT8, FLOAT32 = int(Source.ACCUMULATOR), int(Source.INT8), int(Source.FLOAT32)
OUT_INT8, OUT_INT32 = int(Destination.INT8), int(Destination.INT32)
NAN = np.array(CANONICAL_NAN_BITS, np.uint32).view(np.float32)[()]
VALUE, SAVED = 0, 3

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.int32]
Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@part
def read(
    kind: int, address: int, stride: int, count: int, sram: Bytes, accumulators: Words, words: Words
) -> None:
    """Read `count` elements as 32-bit words; address and stride in bytes (accumulator: elements)."""
    if kind == INT8:
        signed = sram.view(np.int8)
        if stride == 1:
            near = signed[address : address + count]
            for i in range(count):
                words[i] = near[i]
        else:
            for i in range(count):
                words[i] = signed[address + i * stride]
        return
    source = accumulators
    if kind != ACCUMULATOR:
        if (address | stride) & 3:
            for i in range(count):
                word = np.uint32(0)
                for byte in range(4):
                    word |= np.uint32(sram[address + i * stride + byte]) << np.uint32(8 * byte)
                words[i] = np.int32(word)
            return
        source, address, stride = sram.view(np.int32), address >> 2, stride >> 2
    if stride == 1:
        near_words = source[address : address + count]
        for i in range(count):
            words[i] = near_words[i]
    else:
        for i in range(count):
            words[i] = source[address + i * stride]


@part
def to_float32(kind: int, words: Words, zero: int, scale: np.float32, target: Floats) -> None:
    """target = float32(element - zero) * scale, float32 elements as they are; each operation rounds once."""
    if kind == FLOAT32:
        floats = words.view(np.float32)
        for i in range(len(target)):
            target[i] = floats[i] * scale
    elif zero == 0:
        for i in range(len(target)):
            target[i] = np.float32(words[i]) * scale
    else:
        for i in range(len(target)):
            target[i] = np.float32(np.int64(words[i]) - zero) * scale


@part
def make_step(step: int, slot: int, count: int, rounding: Integers, table: Floats, buffers: Floats) -> None:
    """Make a chain step on the value strip with the operand strip `slot`; rounding: zero, low, high of ROUND."""
    v, o, saved = buffers[VALUE, :count], buffers[slot, :count], buffers[SAVED, :count]
    if step == ADD:
        for i in range(count):
            v[i] = v[i] + o[i]
    elif step == SUB:
        for i in range(count):
            v[i] = v[i] - o[i]
    elif step == REVERSE_SUB:
        for i in range(count):
            v[i] = o[i] - v[i]
    elif step == MUL:
        for i in range(count):
            v[i] = v[i] * o[i]
    elif step == DIV:
        for i in range(count):
            v[i] = v[i] / o[i]
    elif step == REVERSE_DIV:
        for i in range(count):
            v[i] = o[i] / v[i]
    elif step == MAX:
        for i in range(count):
            v[i] = o[i] if o[i] > v[i] else v[i]
    elif step == MIN:
        for i in range(count):
            v[i] = o[i] if o[i] < v[i] else v[i]
    elif step == ROUND:
        zero, low, high = np.int32(rounding[0]), np.int32(rounding[1]), np.int32(rounding[2])
        for i in range(count):
            v[i] = np.float32(round_clamp(v[i], zero, low, high))
    elif step == LOOKUP:
        for i in range(count):
            v[i] = table[round_clamp(v[i], np.int32(0), np.int32(-128), np.int32(127)) + 128]
    elif step == SAVE:
        for i in range(count):
            saved[i] = v[i]
    elif step == GREATER:
        for i in range(count):
            v[i] = np.float32(1) if v[i] > o[i] else np.float32(0)
    elif step == SELECT:
        for i in range(count):
            v[i] = o[i] if v[i] != np.float32(0) else saved[i]
    elif step == TAKE:
        for i in range(count):
            v[i] = o[i]


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
def _write_int8(limits: Integers, address: int, stride: int, v: Floats, sram: Bytes) -> None:
    zero, low, high = np.int32(limits[0]), np.int32(limits[1]), np.int32(limits[2])
    signed = sram.view(np.int8)
    if stride == 1:
        near = signed[address : address + len(v)]
        for i in range(len(v)):
            near[i] = np.int8(round_clamp(v[i], zero, low, high))
    else:
        for i in range(len(v)):
            signed[address + i * stride] = np.int8(round_clamp(v[i], zero, low, high))


@part
def write(
    kind: int, limits: Integers, address: int, stride: int, v: Floats, words: Words, sram: Bytes
) -> None:
    """Write a strip; int8: clamp(round_half_even(v) + zero, low, high); int32: rounded and saturated."""
    if kind == OUT_INT8:
        _write_int8(limits, address, stride, v, sram)
        return
    floats = words.view(np.float32)
    if kind == OUT_INT32:
        for i in range(len(v)):
            words[i] = saturate_int32(v[i])
    else:
        for i in range(len(v)):
            floats[i] = v[i] if v[i] == v[i] else NAN
    if (address | stride) & 3:
        for i in range(len(v)):
            for byte in range(4):
                sram[address + i * stride + byte] = np.uint8(words[i] >> np.int32(8 * byte) & 0xFF)
    else:
        target = sram.view(np.int32)
        for i in range(len(v)):
            target[(address >> 2) + i * (stride >> 2)] = words[i]
