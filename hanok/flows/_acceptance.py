"""The program of a core's acceptance test: each instruction, its memory, its results."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt

from hanok.isa import Destination, Opcode, Operand, Reduction, Source, Step, Unit, encode, encode_stream
from hanok.isa.table import FLAG_BIAS, TABLE_ENTRIES
from hanok.machine import Chip
from hanok.numerics.huffman import code_lengths, histogram, pack_words, table_of
from hanok.numerics.nibbles import stream_bytes
from hanok.simulator import emulate
from hanok.units import ceil_div

Row = tuple[Opcode, dict[str, Any]]
MEMORY_BYTES = 1 << 14
"""On chips that unpack weights of four bits it is twice as much."""
_CODE, _ILLEGAL, _CONSTANTS, _IMAGE, _PACKED, _RESULTS = 0x044, 0x804, 0x1000, 0x2003, 0x2801, 0x3000
"""Where in memory things lie; code and image off the bursts."""
_SIDE, _DEPTH, _TAPS = 4, 12, 3
"""An image of 4 x 4 pixels of 12 bytes under 3 x 3 taps."""
_PIXELS = _SIDE * _SIDE
_PIECE_BYTES = 64
_NO_OPCODE = 0xEE
_EXPANDED_BYTES, _EXPANDED = 75, 64
"""Bytes of the packed stream, and where they go behind those that are filled."""
_NIBBLES, _WEIGHTS, _GROUPS = 0x4000, 0x6000, 2
"""Where in memory the stream of nibbles lies, a whole beat of any chip, and its weights; groups of it."""
_LOAD, _MATRIX, _VECTOR, _STORE = (1 << unit for unit in (Unit.LOAD, Unit.MATRIX, Unit.VECTOR, Unit.STORE))


@dataclass(frozen=True)
class Acceptance:
    """A memory, what it holds after the code has run, and code that must be refused."""

    memory: bytes
    expected: bytes
    code_address: int
    code_bytes: int
    illegal_address: int
    illegal_bytes: int
    illegal_offset: int
    """Byte of the illegal code where the instruction begins that has no opcode."""


def acceptance_program(chip: Chip, seed: int = 1) -> Acceptance:
    """Return a program that any chip can run, with what the emulator makes of it."""
    memory = _memory(chip, np.random.default_rng(seed))
    code = encode_stream(_instructions(chip))
    fill = encode(Opcode.FILL, _runs(run_bytes=1))
    refused = fill + bytes([_NO_OPCODE, 0, 0, 0])
    for address, content in ((_CODE, code), (_ILLEGAL, refused)):
        memory[address : address + len(content)] = np.frombuffer(content, np.uint8)
    assert _CODE + len(code) <= _ILLEGAL, "the code ends before what follows it"
    result = memory.copy()
    emulate(code, chip, result, mode="stepwise", trap=True)
    return Acceptance(
        memory=memory.tobytes(),
        expected=result.tobytes(),
        code_address=_CODE,
        code_bytes=len(code),
        illegal_address=_ILLEGAL,
        illegal_bytes=len(refused),
        illegal_offset=len(fill),
    )


def _columns(chip: Chip) -> int:
    return min(8, chip.core.matrix.columns)


def _memory(chip: Chip, random: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Random bytes everywhere; the table of floats, and biases, of a size that sums have."""
    size = MEMORY_BYTES * (2 if chip.core.dma.int4 else 1)
    memory = random.integers(0, 256, size, dtype=np.uint8)
    table = random.integers(-100, 100, TABLE_ENTRIES).astype("<f4") / 2
    biases = random.integers(-2000, 2000, _columns(chip)).astype("<i4")
    sizes, places = _constants(chip)
    for name, content in (("table", table), ("biases", biases)):
        start = _CONSTANTS + places[name]
        assert content.nbytes <= sizes[name]
        memory[start : start + content.nbytes] = np.frombuffer(content.tobytes(), np.uint8)
    if chip.core.dma.expand_lanes:
        stream = _packed(chip)
        memory[_PACKED : _PACKED + len(stream)] = np.frombuffer(stream, np.uint8)
    return memory


def _packed(chip: Chip) -> bytes:
    """A stream of packed weights: bytes of which a few are frequent."""
    content = (np.arange(_EXPANDED_BYTES) ** 3 % 251 % 40).astype(np.uint8)
    lengths = code_lengths(histogram(content))
    return table_of(lengths) + pack_words(content, lengths, chip.core.dma.expand_streams)


def _group_weights(chip: Chip) -> int:
    """Weights of the smallest group: whole rows, and whole beats of nibbles."""
    return max(chip.core.matrix.columns, 2 * chip.core.dma.bytes_per_cycle)


def _unpack(chip: Chip, sram_address: int) -> Row:
    """Random bytes in memory are entries and nibbles, as any others."""
    columns, weights = chip.core.matrix.columns, _group_weights(chip)
    rows = weights // columns
    packed_bytes = stream_bytes(_GROUPS * rows, columns, rows)
    assert packed_bytes <= _WEIGHTS - _NIBBLES, "the stream ends before its weights"
    return Opcode.UNPACK, _runs(
        _GROUPS * weights, dram_address=_NIBBLES, sram_address=sram_address, packed_bytes=packed_bytes,
        group_rows=rows, post=_STORE,
    )  # fmt: skip


def _constants(chip: Chip) -> tuple[dict[str, int], dict[str, int]]:
    """Sizes of the constants, in whole pieces, and where each begins among them."""
    columns, taps = _columns(chip), _TAPS * _TAPS
    bytes_of = {
        "weights": taps * _DEPTH * columns,
        "depthwise_weights": taps * columns,
        "biases": 4 * columns,
        "table": 4 * TABLE_ENTRIES,
    }
    sizes = {name: ceil_div(size, _PIECE_BYTES) * _PIECE_BYTES for name, size in bytes_of.items()}
    return sizes, dict(zip(sizes, accumulate(sizes.values(), initial=0), strict=False))


def _places(chip: Chip) -> dict[str, int]:
    """SRAM addresses: constants, image, results, spread over the banks where there is room."""
    sizes, places = _constants(chip)
    image = ceil_div(_PIXELS * max(_DEPTH, _columns(chip)), _PIECE_BYTES) * _PIECE_BYTES
    regions = {
        "constants": sum(sizes.values()),
        **dict.fromkeys(("image", "first", "second", "mean", "filled"), image),
    }
    if chip.core.dma.int4:
        regions["unpacked"] = ceil_div(_GROUPS * _group_weights(chip), _PIECE_BYTES) * _PIECE_BYTES
    step = chip.core.sram.total_bytes // len(regions) // _PIECE_BYTES * _PIECE_BYTES
    is_roomy = step >= max(regions.values())
    starts = [step * number for number in range(len(regions))]
    packed = list(accumulate(regions.values(), initial=0))[:-1]
    found = dict(zip(regions, starts if is_roomy else packed, strict=True))
    return found | {name: found["constants"] + place for name, place in places.items()}


def _instructions(chip: Chip) -> Iterator[Row]:
    """The program; each instruction waits for those whose results it needs."""
    at = _places(chip)
    sizes, _ = _constants(chip)
    row_bytes = _SIDE * _DEPTH
    yield (Opcode.FILL, _runs(run_bytes=40, sram_address=at["filled"], value=-77, post=_STORE))
    if chip.core.dma.expand_lanes:
        expanded = _runs(_EXPANDED_BYTES, dram_address=_PACKED, sram_address=at["filled"] + _EXPANDED)
        yield (Opcode.EXPAND, expanded | {"packed_bytes": len(_packed(chip)), "post": _STORE})
    if chip.core.dma.int4:
        yield _unpack(chip, at["unpacked"])
    yield (
        Opcode.LOAD,
        _runs(run_bytes=sum(sizes.values()), dram_address=_CONSTANTS, sram_address=at["constants"]),
    )
    yield (
        Opcode.LOAD,
        _runs(
            run_bytes=row_bytes, dram_address=_IMAGE, sram_address=at["image"], count_1=_SIDE,
            dram_stride_1=80, sram_stride_1=row_bytes, post=_MATRIX | _VECTOR,
        ),
    )  # fmt: skip
    yield (Opcode.TABLE, {"address": at["table"], "wait": _LOAD, "post": _MATRIX})
    yield from _layers(chip, at)
    yield from _stores(chip, at)


def _layers(chip: Chip, at: dict[str, int]) -> Iterator[Row]:
    """A convolution and its chain, a depthwise one and a chain that adds the first result, a mean."""
    columns, width = _columns(chip), chip.core.matrix.columns
    yield (
        Opcode.CONV,
        _window(
            chip, _DEPTH, activation_address=at["image"], weight_address=at["weights"], tap_bytes=_DEPTH,
            bias_address=at["biases"], flags=FLAG_BIAS, wait=_LOAD | _VECTOR, post=_VECTOR,
        ),
    )  # fmt: skip
    yield (
        Opcode.CHAIN,
        _per_pixel(
            chip, 0, wait=_MATRIX, post=_MATRIX, scale_0=2.0**-9, address_out=at["first"],
            zero_out=3, steps=2, step=_codes(Step.ADD, Step.MAX), immediate=_numbers(0.5, -20.0),
        ),
    )  # fmt: skip
    yield (
        Opcode.DEPTHWISE,
        _window(
            chip, columns, activation_address=at["first"], weight_address=at["depthwise_weights"],
            tap_bytes=1, pad=3, accumulator_row=_PIXELS, wait=_VECTOR, post=_VECTOR,
        ),
    )  # fmt: skip
    yield (
        Opcode.CHAIN,
        _per_pixel(
            chip, _PIXELS * width, wait=_MATRIX, scale_0=2.0**-7, address_out=at["second"], zero_out=-5,
            kind_1=Source.INT8, address_1=at["first"], strides_1=[0, _SIDE * columns, columns, 1], zero_1=3,
            scale_1=0.5, steps=2, step=_codes(Step.LOOKUP, Step.ADD), operand=_codes(0, Operand.SOURCE_1),
        ),
    )  # fmt: skip
    yield (
        Opcode.CHAIN,
        _plane(
            columns, 1, reduce_1=_SIDE, reduce_0=_SIDE, y_dilation=1, x_dilation=1, reduction=Reduction.SUM,
            kind_0=Source.INT8, address_0=at["second"], zero_0=-5, scale_0=1.0, kind_out=Destination.FLOAT32,
            address_out=at["mean"], strides_out=[0, 0, 0, 4], steps=1, step=_codes(Step.DIV),
            immediate=_numbers(3.0), post=_STORE,
        ),
    )  # fmt: skip


def _stores(chip: Chip, at: dict[str, int]) -> Iterator[Row]:
    """Rows apart, floats, and pieces of a few bytes: bursts that are written in part."""
    columns = _columns(chip)
    row_bytes = _SIDE * columns
    yield (
        Opcode.STORE,
        _runs(
            run_bytes=row_bytes, dram_address=_RESULTS, sram_address=at["second"], count_1=_SIDE,
            dram_stride_1=72, sram_stride_1=row_bytes, wait=_VECTOR,
        ),
    )  # fmt: skip
    yield (Opcode.STORE, _runs(run_bytes=4 * columns, dram_address=_RESULTS + 0x204, sram_address=at["mean"]))
    yield (
        Opcode.STORE,
        _runs(
            run_bytes=5, dram_address=_RESULTS + 0x401, sram_address=at["filled"] + 1, count_1=3,
            dram_stride_1=7, sram_stride_1=5, wait=_LOAD,
        ),
    )  # fmt: skip
    if chip.core.dma.expand_lanes:
        expanded = _runs(
            _EXPANDED_BYTES, dram_address=_RESULTS + 0x500, sram_address=at["filled"] + _EXPANDED
        )
        yield (Opcode.STORE, expanded | {"wait": _LOAD})
    if chip.core.dma.int4:
        size = _GROUPS * _group_weights(chip)
        yield (
            Opcode.STORE,
            _runs(size, dram_address=_WEIGHTS, sram_address=at["unpacked"], wait=_LOAD),
        )


def _runs(run_bytes: int, **fields: int) -> dict[str, Any]:
    return {"run_bytes": run_bytes, "count_1": 1, "count_2": 1, "count_3": 1} | fields


def _window(chip: Chip, pixel_bytes: int, **fields: int) -> dict[str, Any]:
    """3 x 3 taps over an image of dense pixels with a border of padding, one output for each pixel."""
    return {
        "row_pitch": _SIDE * pixel_bytes, "y_start": -1, "y_stride": 1, "y_dilation": 1, "y_limit": _SIDE,
        "x_start": -pixel_bytes, "x_stride": pixel_bytes, "x_tap": pixel_bytes,
        "x_limit": _SIDE * pixel_bytes, "pixel_pitch": pixel_bytes,
        "out_height": _SIDE, "out_width": _SIDE, "taps_y": _TAPS, "taps_x": _TAPS,
        "blocks": 1, "last_columns": _columns(chip),
    } | fields  # fmt: skip


def _plane(columns: int, side: int, **fields: Any) -> dict[str, Any]:
    """A chain over `side` x `side` pixels of an int8 image, all columns of each."""
    return {
        "outer_2": 1, "outer_1": side, "outer_0": side, "reduce_1": 1, "reduce_0": 1, "inner": columns,
        "row_pitch": _SIDE * columns, "pixel_pitch": columns, "stride_inner": 1, "y_limit": _SIDE,
        "x_limit": _SIDE, "kind_out": Destination.INT8, "low_out": -128, "high_out": 127,
    } | fields  # fmt: skip


def _per_pixel(chip: Chip, first_element: int, **fields: Any) -> dict[str, Any]:
    """A chain from accumulators, a row a pixel, to a dense int8 image."""
    columns, width = _columns(chip), chip.core.matrix.columns
    return _plane(
        columns, _SIDE, kind_0=Source.ACCUMULATOR, address_0=first_element, row_pitch=_SIDE * width,
        pixel_pitch=width, y_stride=1, x_stride=1, strides_out=[0, _SIDE * columns, columns, 1],
    ) | fields  # fmt: skip


def _codes(*codes: int) -> list[int]:
    return [int(code) for code in codes] + [0] * (8 - len(codes))


def _numbers(*numbers: float) -> list[float]:
    return [*numbers] + [0.0] * (8 - len(numbers))
