"""The instruction table: units, opcodes, formats and fields; every other view is derived from it.

The record of an instruction is one, two or four 64-byte words, little-endian, fields in table order without
gaps, the rest of the last word zero; in memory it is packed (hanok/isa/encoding.py). The meaning of each
instruction stands beside its fields; the manual (docs/isa.md) is printed from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from hanok.machine.chip import EXPAND_STAGES

WORD_BYTES = 64
VECTOR_STEPS = 8
TABLE_ENTRIES = 256
ISA_VERSION = 2


class Unit(IntEnum):
    """The four in-order units; the number is the bit in wait and post masks."""

    LOAD = 0
    STORE = 1
    MATRIX = 2
    VECTOR = 3


class Opcode(IntEnum):
    """Operation codes; 0 is illegal so that cleared memory stops a core."""

    LOAD = 0x01
    FILL = 0x02
    EXPAND = 0x03
    UNPACK = 0x04
    STORE = 0x10
    CONV = 0x20
    DEPTHWISE = 0x21
    CHAIN = 0x30
    TABLE = 0x31


class Source(IntEnum):
    """Where a vector operand comes from, and its element type."""

    NONE = 0
    ACCUMULATOR = 1
    INT8 = 2
    INT32 = 3
    FLOAT32 = 4


class Destination(IntEnum):
    """Element type of a vector result in SRAM."""

    INT8 = 2
    INT32 = 3
    FLOAT32 = 4


class Step(IntEnum):
    """Steps of a vector chain on the running value v with operand o, each one IEEE float32 operation."""

    NONE = 0
    ADD = 1
    SUB = 2
    REVERSE_SUB = 3
    MUL = 4
    DIV = 5
    REVERSE_DIV = 6
    MAX = 7
    MIN = 8
    ROUND = 9
    LOOKUP = 10
    SAVE = 11
    GREATER = 12
    SELECT = 13
    TAKE = 14
    FUSED_ADD = 15


STEP_MEANING = {
    Step.NONE: "v unchanged",
    Step.ADD: "v = v + o",
    Step.SUB: "v = v - o",
    Step.REVERSE_SUB: "v = o - v",
    Step.MUL: "v = v * o",
    Step.DIV: "v = v / o",
    Step.REVERSE_DIV: "v = o / v",
    Step.MAX: "v = o if o > v else v (a NaN v stays)",
    Step.MIN: "v = o if o < v else v (a NaN v stays)",
    Step.ROUND: "v = clamp(round_half_even(v) + round_zero, round_low, round_high), NaN gives round_low",
    Step.LOOKUP: "v = table[saturate_int8(round_half_even(v)) + 128], NaN reads entry 0",
    Step.SAVE: "saved = v",
    Step.GREATER: "v = 1.0 if v > o else 0.0",
    Step.SELECT: "v = o if v != 0 else saved",
    Step.TAKE: "v = o",
    Step.FUSED_ADD: "v = o * immediate + v, rounded once (IEEE fusedMultiplyAdd); o is not IMMEDIATE",
}

DIVISIONS = (Step.DIV, Step.REVERSE_DIV)
"""Steps that a divider makes, over several rounds."""


class Operand(IntEnum):
    """What a chain step takes as its operand o."""

    IMMEDIATE = 0
    SOURCE_1 = 1
    SOURCE_2 = 2
    SAVED = 3


class Reduction(IntEnum):
    """How a vector chain folds its reduce loops (and the inner loop, with the flag) into one element."""

    NONE = 0
    SUM = 1
    MAX = 2
    MIN = 3


FLAG_BIAS = 1
FLAG_ACCUMULATE = 2
FLAG_COLUMNS = 4
FLAG_REDUCE_INNER = 1
FLAG_KEEP_CODE = 1
FLAG_FRESH = 0x80
"""In the stream alone: the instruction starts from a cleared record, not from its unit's last one."""


@dataclass(frozen=True)
class Field:
    """One field: NumPy type code (little-endian), how many, and its meaning with its unit."""

    name: str
    code: str
    meaning: str
    count: int = 1

    @property
    def size_bytes(self) -> int:
        """Bytes that the field takes."""
        return np.dtype(self.code).itemsize * self.count


@dataclass(frozen=True)
class Format:
    """A layout shared by instructions; `words` 64-byte words."""

    name: str
    words: int
    fields: tuple[Field, ...]

    @property
    def size_bytes(self) -> int:
        """Bytes of an instruction in this format."""
        return self.words * WORD_BYTES

    @property
    def dtype(self) -> np.dtype[np.void]:
        """The packed NumPy record of this format, padded to whole words."""
        offsets, position = [], 0
        for field in self.fields:
            offsets.append(position)
            position += field.size_bytes
        assert position <= self.size_bytes, f"format {self.name} is {position} bytes long"
        return np.dtype(
            {
                "names": [field.name for field in self.fields],
                "formats": [
                    field.code if field.count == 1 else (field.code, (field.count,)) for field in self.fields
                ],
                "offsets": offsets,
                "itemsize": self.size_bytes,
            }
        )


@dataclass(frozen=True)
class Instruction:
    """One row of the table."""

    opcode: Opcode
    unit: Unit
    format: Format
    meaning: str

    @property
    def mnemonic(self) -> str:
        """The name in assembly."""
        return self.opcode.name.lower()


HEADER = (
    Field("opcode", "u1", "operation"),
    Field(
        "wait",
        "u1",
        "bit s: before starting, take one count from the semaphore that unit s posts to this unit",
    ),
    Field("post", "u1", "bit d: when finished, add one count to the semaphore of unit d"),
    Field("flags", "u1", "see the instruction"),
)

DMA = Format(
    "dma",
    1,
    (
        *HEADER,
        Field("run_bytes", "<u4", "contiguous bytes of the innermost run"),
        Field("dram_address", "<u8", "byte address of the first run in DRAM"),
        Field("sram_address", "<u4", "byte address of the first run in SRAM"),
        Field("count_3", "<u4", "outermost repetitions (at least 1)"),
        Field("count_2", "<u4", "middle repetitions (at least 1)"),
        Field("count_1", "<u4", "innermost repetitions of the run (at least 1)"),
        Field("dram_stride_3", "<i4", "DRAM bytes between outermost repetitions"),
        Field("dram_stride_2", "<i4", "DRAM bytes between middle repetitions"),
        Field("dram_stride_1", "<i4", "DRAM bytes between runs"),
        Field("sram_stride_3", "<i4", "SRAM bytes between outermost repetitions"),
        Field("sram_stride_2", "<i4", "SRAM bytes between middle repetitions"),
        Field("sram_stride_1", "<i4", "SRAM bytes between runs"),
        Field("packed_bytes", "<u4", "EXPAND, UNPACK: bytes of the stream; of EXPAND an even number"),
        Field("value", "i1", "FILL: the byte that is written"),
        Field("group_rows", "u1", "UNPACK: rows that share entries, at least 1"),
    ),
)

MATRIX = Format(
    "matrix",
    2,
    (
        *HEADER,
        Field("activation_address", "<u4", "SRAM byte address of activation row slot 0, byte 0"),
        Field("row_pitch", "<u4", "bytes between row slots"),
        Field(
            "ring_rows", "<u4", "0: row y lies in slot y; otherwise in slot (y + ring_start) mod ring_rows"
        ),
        Field("ring_start", "<u4", "see ring_rows"),
        Field("y_start", "<i4", "row of output row 0 at tap 0; may be negative (padding)"),
        Field("y_stride", "<i4", "rows between output rows"),
        Field("y_dilation", "<i4", "rows between vertical taps"),
        Field("y_limit", "<i4", "rows outside 0 .. y_limit-1 read as `pad`"),
        Field("x_start", "<i4", "byte offset in the row of output column 0 at tap 0; may be negative"),
        Field("x_stride", "<i4", "bytes between output columns"),
        Field("x_tap", "<i4", "bytes between horizontal taps"),
        Field("x_block", "<i4", "bytes added for each block of output columns (groups, depthwise)"),
        Field("x_limit", "<i4", "byte offsets outside 0 .. x_limit-1 read as `pad`"),
        Field("pixel_pitch", "<u4", "DEPTHWISE: bytes between neighbouring pixels of a row"),
        Field("out_height", "<u4", "output rows"),
        Field("out_width", "<u4", "output columns (positions) in each output row"),
        Field("taps_y", "<u2", "vertical taps"),
        Field("taps_x", "<u2", "horizontal taps"),
        Field(
            "tap_bytes", "<u4", "CONV: contiguous bytes of each tap, read in chunks of `rows`; DEPTHWISE: 1"
        ),
        Field("blocks", "<u2", "blocks of array columns (N blocks)"),
        Field("last_columns", "<u2", "columns used in the last block"),
        Field(
            "weight_address",
            "<u4",
            "SRAM byte address of the first weight tile; tiles follow one another (flag 4: of column 0)",
        ),
        Field(
            "bias_address", "<u4", "SRAM byte address of int32 biases, one for each used column of each block"
        ),
        Field("accumulator_row", "<u4", "accumulator row of block 0, output position 0"),
        Field("pad", "i1", "int8 value of positions outside the limits"),
        Field("weight_pitch", "<u4", "CONV with flag 4: bytes from a column's weights to the next column's"),
    ),
)

_LOOPS = "outer_2", "outer_1", "outer_0"
VECTOR = Format(
    "vector",
    4,
    (
        *HEADER,
        Field("outer_2", "<u4", "outermost loop count (at least 1)"),
        Field("outer_1", "<u4", "second loop count; moves y of source 0"),
        Field("outer_0", "<u4", "third loop count; moves x of source 0"),
        Field("reduce_1", "<u2", "reduce loop count; moves y of source 0 by y_dilation"),
        Field("reduce_0", "<u2", "reduce loop count; moves x of source 0 by x_dilation"),
        Field("inner", "<u4", "elements of the innermost loop, `lanes` at a time"),
        Field("reduction", "u1", "Reduction of the reduce loops"),
        Field("steps_before", "u1", "chain steps made before the reduction"),
        Field("steps", "u1", "chain steps in all (at most 8)"),
        Field("kind_0", "u1", "Source of operand 0"),
        Field("kind_1", "u1", "Source of operand 1"),
        Field("kind_2", "u1", "Source of operand 2"),
        Field("kind_out", "u1", "Destination type"),
        Field("zero_0", "<i2", "operand 0 is float32(element - zero_0) * scale_0 (no zero for float32)"),
        Field("zero_1", "<i2", "likewise operand 1"),
        Field("zero_2", "<i2", "likewise operand 2"),
        Field("scale_0", "<f4", "see zero_0"),
        Field("scale_1", "<f4", "see zero_1"),
        Field("scale_2", "<f4", "see zero_2"),
        Field(
            "address_0",
            "<u4",
            "SRAM byte address, or accumulator element (row * columns + column), inside if any is read",
        ),
        Field("ring_rows", "<u4", "operand 0: as in the matrix format"),
        Field("ring_start", "<u4", "operand 0: as in the matrix format"),
        Field("row_pitch", "<i4", "operand 0: bytes (accumulator: elements) between row slots"),
        Field("pixel_pitch", "<i4", "operand 0: bytes (elements) between pixels"),
        Field("stride_2", "<i4", "operand 0: bytes (elements) for each step of outer_2"),
        Field("stride_inner", "<i4", "operand 0: bytes (elements) for each step of inner"),
        Field("y_start", "<i4", "y = y_start + outer_1 * y_stride + reduce_1 * y_dilation"),
        Field("y_stride", "<i4", "see y_start"),
        Field("y_dilation", "<i4", "see y_start"),
        Field(
            "y_limit", "<i4", "outside 0 .. y_limit-1 an element is left out of a reduction, else reads 0.0"
        ),
        Field("x_start", "<i4", "x = x_start + outer_0 * x_stride + reduce_0 * x_dilation"),
        Field("x_stride", "<i4", "see x_start"),
        Field("x_dilation", "<i4", "see x_start"),
        Field("x_limit", "<i4", "as y_limit"),
        Field("address_1", "<u4", "SRAM byte address of operand 1"),
        Field("strides_1", "<i4", "operand 1: bytes for each step of outer_2, outer_1, outer_0, inner", 4),
        Field("address_2", "<u4", "SRAM byte address of operand 2"),
        Field("strides_2", "<i4", "operand 2: likewise", 4),
        Field("address_out", "<u4", "SRAM byte address of the result"),
        Field("strides_out", "<i4", "result: likewise", 4),
        Field(
            "zero_out",
            "<i2",
            "int8: clamp(round_half_even(v) + zero_out, low_out, high_out); NaN gives low_out",
        ),
        Field("low_out", "<i2", "see zero_out"),
        Field("high_out", "<i2", "see zero_out"),
        Field("round_zero", "<i2", "of step ROUND"),
        Field("round_low", "<i2", "of step ROUND"),
        Field("round_high", "<i2", "of step ROUND"),
        Field("step", "u1", "Step codes", VECTOR_STEPS),
        Field("operand", "u1", "Operand codes", VECTOR_STEPS),
        Field("immediate", "<f4", "immediate operands", VECTOR_STEPS),
    ),
)

VECTOR_TABLE = Format(
    "table",
    1,
    (*HEADER, Field("address", "<u4", "SRAM byte address of 256 float32 entries")),
)

INSTRUCTIONS = (
    Instruction(Opcode.LOAD, Unit.LOAD, DMA, "Copy runs from DRAM to SRAM."),
    Instruction(
        Opcode.FILL, Unit.LOAD, DMA, "Write `value` to every byte of the SRAM runs; DRAM is not read."
    ),
    Instruction(
        Opcode.EXPAND,
        Unit.LOAD,
        DMA,
        "Decode `packed_bytes` contiguous bytes at `dram_address` to `run_bytes` contiguous bytes at "
        "`sram_address`; every count is 1. The stream is a table of 128 bytes (code length, 0 to 15 bits, of "
        "symbol 2i in the low and of symbol 2i + 1 in the high half of byte i; flag 1, keep code: no table, "
        "the code of the EXPAND before stays), then 16-bit little-endian words. Codes are canonical Huffman "
        f"codes: shorter ones first, then by symbol. Byte i is decoded from stream i mod "
        f"({EXPAND_STAGES} `expand_lanes`); before each symbol, in this order, a stream that holds fewer "
        "than 16 bits takes the next word, if one is left. Bits count from a word's highest.",
    ),
    Instruction(
        Opcode.UNPACK,
        Unit.LOAD,
        DMA,
        "Unpack `packed_bytes` contiguous bytes at `dram_address`, a multiple of the engine's bytes a cycle, "
        "to `run_bytes` contiguous bytes at `sram_address`; every count is 1. The stream holds rows of as "
        "many int8 as the array has columns, `group_rows` at a time: for each column an entry of 16 bits, "
        "little-endian (zero: bits 0 to 3, scale: bits 4 to 15), then the rows' nibbles, two to a byte, the "
        "earlier column in the low half. A nibble n becomes ((n - zero) * scale + 64) >> 7, clamped to int8.",
    ),
    Instruction(Opcode.STORE, Unit.STORE, DMA, "Copy runs from SRAM to DRAM."),
    Instruction(
        Opcode.CONV,
        Unit.MATRIX,
        MATRIX,
        "For each block n, tap (ty, tx) and chunk of `rows` bytes of the tap: load the weight tile "
        "[chunk bytes][used columns], then for each output position (oy, ox) add to accumulator row "
        "accumulator_row + n * out_height * out_width + oy * out_width + ox the dot products of the chunk "
        "with "
        "every tile column. Byte j of the chunk lies in row y = y_start + oy * y_stride + ty * y_dilation at "
        "offset x_start + ox * x_stride + tx * x_tap + n * x_block + chunk * rows + j. The first tile of a "
        "block "
        "starts from the bias (flag 1: bias) or zero, or from what is there (flag 2: accumulate). Tiles are "
        "stored in the order n, ty, tx, chunk; int32 sums wrap. With flag 4 (columns) weights lie by column "
        "instead: byte j of the chunk of column c of block n is at weight_address + (n * columns + c) * "
        "weight_pitch + (ty * taps_x + tx) * tap_bytes + chunk * rows + j.",
    ),
    Instruction(
        Opcode.DEPTHWISE,
        Unit.MATRIX,
        MATRIX,
        "As CONV with a private input for each column: column c of block n sums over the taps the byte at "
        "offset "
        "x_start + ox * x_stride + tx * x_tap + n * x_block + c. A tile is [taps_x][used columns], one for "
        "each "
        "(n, ty); a row of pixels streams through a window of up to `rows` pixels. x_tap (with more than one "
        "taps_x) and x_stride (with more than one out_width) are multiples of pixel_pitch, at least one.",
    ),
    Instruction(
        Opcode.CHAIN,
        Unit.VECTOR,
        VECTOR,
        "For every index of the outer loops and the inner loop: read operand 0, make the first "
        "`steps_before` "
        "steps for every index of the reduce loops (reduce_1 outside reduce_0) and fold them in order, make "
        "the remaining steps, write the result. With flag 1 (reduce inner) the inner loop is folded too: "
        "lane l "
        "folds elements l, l + lanes, ... of every reduce index in order, then lanes are folded in halves "
        "(l with l + lanes/2, ...). Without a reduction all steps are made for each element. "
        "Operands are read ahead of results: a result lies on no operand, or, without a reduction, exactly "
        "in its place, with the same address, strides and element size, no ring, each element written once.",
    ),
    Instruction(Opcode.TABLE, Unit.VECTOR, VECTOR_TABLE, "Load the 256-entry float32 table of step LOOKUP."),
)

BY_OPCODE = {row.opcode: row for row in INSTRUCTIONS}
UNIT_OF = {row.opcode: row.unit for row in INSTRUCTIONS}
