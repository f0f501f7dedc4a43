"""The instruction manual, printed from the instruction table: `python -m hanok.isa.manual > docs/isa.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from enum import IntEnum

from hanok.isa._packed import FORMATS, WORD
from hanok.isa.table import (
    FLAG_ACCUMULATE,
    FLAG_BIAS,
    FLAG_COLUMNS,
    FLAG_FRESH,
    FLAG_KEEP_CODE,
    FLAG_REDUCE_INNER,
    INSTRUCTIONS,
    ISA_VERSION,
    STEP_MEANING,
    TABLE_ENTRIES,
    VECTOR_STEPS,
    WORD_BYTES,
    Destination,
    Format,
    Operand,
    Reduction,
    Source,
    Step,
    Unit,
)
from hanok.isa.timing import (
    CHAIN_RING_CYCLES,
    CHAIN_SETUP_CYCLES,
    EXPAND_BEGIN_CYCLES,
    EXPAND_TABLE_CYCLES,
    EXPAND_WRITE_CYCLES,
    FAR_ROW_CYCLES,
    MATRIX_SETUP_CYCLES,
    PRELOAD_OVERHEAD_CYCLES,
    TABLE_OVERHEAD_CYCLES,
    UNPACK_STAGES,
)

_UNIT_MEANING = {
    Unit.LOAD: "copies, decodes or unpacks DRAM to SRAM, and fills SRAM",
    Unit.STORE: "copies SRAM to DRAM",
    Unit.MATRIX: "int8 dot products into int32 accumulators",
    Unit.VECTOR: "chains of float32 steps from accumulators or SRAM to SRAM",
}

_FLAGS = (
    ("conv, depthwise", FLAG_BIAS, "sums start from the bias"),
    ("conv, depthwise", FLAG_ACCUMULATE, "sums start from what the accumulators hold"),
    ("conv", FLAG_COLUMNS, "weights lie by column, weight_pitch bytes apart"),
    ("chain", FLAG_REDUCE_INNER, "the reduction folds the inner loop too"),
    ("expand", FLAG_KEEP_CODE, "the stream has no table; the code of the EXPAND before stays"),
    ("all", FLAG_FRESH, "in memory alone: see Encoding"),
)

_INTRODUCTION = f"""# Instruction set

Printed from `hanok/isa/table.py` by `python -m hanok.isa.manual > docs/isa.md`; a test holds the
two together. ISA version {ISA_VERSION}.

Units see records: a whole number of {WORD_BYTES}-byte words, little-endian, fields in table order without
gaps, the rest of the last word zero. Bytes and strides are bytes unless a field says elements; counts
are at least 1. int32 sums wrap; vector steps are IEEE float32 operations, rounded to nearest even, one
after the other. In SRAM, elements of 4 bytes (int32 and float32 operands and results, biases, tables) lie
at addresses and strides that are multiples of 4. In memory a record takes fewer bytes: see Encoding.

Instructions are dispatched in order, each to the queue of its unit; a full queue holds dispatch
back. Units work through their queues in order and at the same time. Only semaphores order units:
one counter for each ordered pair. An instruction starts when every unit of its `wait` mask has a
count for it, takes those counts, and adds one count for each unit of its `post` mask when its last
result is written. A full counter holds the post back.

An SRAM bank has one read port, one write port, and one owner unit at a time; an accumulator bank
passes between matrix and vector unit in the same way. Code that breaks this is not defined; the
verifier proves that it does not happen (`hanok/compiler/verify.py`).
"""

_ENCODING = f"""## Encoding

In memory an instruction is a few 32-bit words, little-endian, one instruction after the other:

| word | holds |
|---|---|
| 0 | header: opcode, wait, post, flags; in flags 0x{FLAG_FRESH:02x}, fresh |
| 1 .. b | bitmap: bit k of its 32 b bits says that the record's bytes 4 k + 4 .. 4 k + 7 follow |
| from b + 1 | those words of the record, in order |

Each unit keeps the last record of each of its formats, all zero at the start of a stage. The new record is
that one, or all zero if the instruction is fresh, with the words that follow replaced, and this header
without fresh. Words may follow that do not change; bits that no field has are illegal.
"""

_TIMING = f"""## Time

Exact, in core cycles, for everything but DRAM (`hanok/isa/timing.py`). `rows`, `columns`, `lanes`,
`stages`, `preload` (rows a cycle) and the names of `core.vector.pipeline` are the chip's;
L = 4 + ceil(log2 rows) + extra stages.

| what | cycles |
|---|---|
| load a weight tile of R rows (R + 4 with the bias) | ceil(R / preload) + {PRELOAD_OVERHEAD_CYCLES} |
| ... that lies by column, of C columns | C * ceil(R / (columns * preload)) + \
max(columns - C, B) + {PRELOAD_OVERHEAD_CYCLES}; B = ceil(4 / preload) with the bias, else 0 |
| stream a tile over M positions | M; the next tile loads meanwhile: the larger of both |
| stream a depthwise tile | out_height * (((out_width - 1) * x_stride + (taps_x - 1) * x_tap) / pitch + 1) |
| first stream of a matrix instruction | {MATRIX_SETUP_CYCLES} after its start, at the earliest |
| ... with far rows | {FAR_ROW_CYCLES} after its start, at the earliest |
| end of a matrix instruction | L + 1 after its last tile has streamed |
| chain without a reduction | fixed + S(outer * groups) |
| chain with a reduction | fixed + a batch's cycles for each batch of B results |
| ... a batch | S(elements * P) + A + fold - 1 + F + T(B) |
| table | {TABLE_ENTRIES} / table_words + {TABLE_OVERHEAD_CYCLES} |
| expand: decoder | {EXPAND_BEGIN_CYCLES} + ceil(run_bytes / expand_lanes) + {EXPAND_WRITE_CYCLES} |
| ... with a table, in addition | {EXPAND_TABLE_CYCLES - EXPAND_BEGIN_CYCLES} |
| unpack: beats | packed_bytes / bytes_per_cycle |
| what a load engine with `int4` writes, in addition | {UNPACK_STAGES} |

Rows are far where ring_rows is not 0 and y_start + ring_start lies outside -ring_rows .. 2 * ring_rows - 1,
or y_stride (with more than one output row) or y_dilation (with more than one vertical tap) is ring_rows or
more, up or down.

Of a chain: pitch = pixel_pitch; outer, reduce = products of the loop counts; groups = ceil(inner / lanes) if
each operand has an inner stride of 0 or one element and the result one of one element (or flag 1 is set),
else inner. Without flag 1 there are outer * groups results of reduce elements each, with it outer results
of reduce * groups. Batches have `batch` results, the last one what is left.

- D = stages * (1 + max(fused, to_integer + max(convert, 1))) + 1, the places of the ring; fold = add + 4;
  A = 11 + convert + multiply + D; fixed = {CHAIN_SETUP_CYCLES} + A + to_integer + 2, and \
{CHAIN_RING_CYCLES} more with ring_rows.
- P = max(B, fold). F = 0, but with flag 1 the sum of max(n, fold + floor(n / 2)) over log2(lanes) levels,
  where n is ceil(B / 2) for the first and half of the one before, rounded up, for each other.
- S(n) of the steps before the reduction (all steps without one), T(n) of those after it:
  (floor((n - 1) / W) * R + R - 1) * D + (n - 1) mod W + 1. R rounds: a round makes up to `stages` steps; a
  division has ceil((ceil(26 / division_bits) + 11) / D) rounds to itself; at least one. W = D, or `dividers`
  if one of the steps is a division.
"""


def _table(head: tuple[str, ...], rows: list[tuple[object, ...]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |"
    yield ""


def _format(layout: Format) -> Iterator[str]:
    names = ", ".join(row.mnemonic for row in INSTRUCTIONS if row.format is layout)
    yield f"### Format {layout.name} (record of {layout.size_bytes} bytes): {names}"
    yield ""
    rows: list[tuple[object, ...]] = []
    offset = 0
    for field in layout.fields:
        kind = field.code.removeprefix("<") + (f"[{field.count}]" if field.count > 1 else "")
        rows.append((offset, f"`{field.name}`", kind, field.meaning))
        offset += field.size_bytes
    yield from _table(("byte", "field", "type", "meaning"), rows)


def _codes(title: str, members: type[IntEnum]) -> Iterator[str]:
    text = ", ".join(f"{member.value} {member.name}" for member in members)
    yield f"- {title}: {text}"


def _packed_sizes() -> Iterator[str]:
    rows: list[tuple[object, ...]] = []
    for name, form in FORMATS.items():
        least = WORD.itemsize * (1 + form.bitmap_words)
        most = least + WORD.itemsize * form.body_words
        rows.append((name, form.body_words, form.bitmap_words, f"{least} .. {most}"))
    yield from _table(("format", "words after the header", "bitmap words b", "bytes"), rows)


def manual_text() -> str:
    """Return the manual as Markdown."""
    lines = [_INTRODUCTION, "## Units", ""]
    lines += _table(("bit", "unit", "does"), [(unit.value, unit.name, _UNIT_MEANING[unit]) for unit in Unit])
    lines += ["## Instructions", ""]
    rows: list[tuple[object, ...]] = [
        (f"0x{row.opcode:02x}", f"`{row.mnemonic}`", row.unit.name, row.format.name, row.meaning)
        for row in INSTRUCTIONS
    ]
    lines += _table(("opcode", "name", "unit", "format", "meaning"), rows)
    lines += ["Flags:", ""]
    lines += _table(("instruction", "flag", "meaning"), [*_FLAGS])
    lines += [_ENCODING]
    lines += _packed_sizes()
    lines += ["## Formats", ""]
    for layout in dict.fromkeys(row.format for row in INSTRUCTIONS):
        lines += _format(layout)
    lines += ["## Codes", ""]
    for title, members in (
        ("Source (`kind_0`, `kind_1`, `kind_2`)", Source),
        ("Destination (`kind_out`)", Destination),
        ("Operand", Operand),
        ("Reduction", Reduction),
    ):
        lines += _codes(title, members)
    lines += [
        "",
        f"A chain has at most {VECTOR_STEPS} steps; v is the running value, o the operand, of each step:",
        "",
    ]
    steps: list[tuple[object, ...]] = [(step.value, step.name, STEP_MEANING[step]) for step in Step]
    lines += _table(("code", "step", "meaning"), steps)
    lines.append(_TIMING.rstrip())
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(manual_text())
