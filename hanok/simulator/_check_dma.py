"""Legality and bounds of LOAD, FILL, EXPAND, UNPACK and STORE, for all of them at once."""

from __future__ import annotations

import numpy as np

from hanok.isa import Opcode
from hanok.isa.faults import Fault
from hanok.isa.table import FLAG_KEEP_CODE
from hanok.numerics.huffman import TABLE_BYTES
from hanok.simulator._checker import FAR, BoolArray, Checker, Span, product_of
from hanok.simulator._unpack_rules import unpack_rules


def check_dma(checker: Checker, dram_bytes: int) -> float:
    """Raise VerifyError for the first that is not legal; return the bytes that all of them write."""
    fields = checker.fields
    expand = fields["opcode"] == Opcode.EXPAND
    for name in ("run_bytes", "count_1", "count_2", "count_3"):
        checker.field(name, 1, (1 << 32) - 1)
    flags = fields["flags"]
    checker.require(expand | (flags == 0), "flags", flags, "0", Fault.NO_SUCH_FLAG)
    _check_expand(checker, expand)
    unpack = fields["opcode"] == Opcode.UNPACK
    for legal, what, found, allowed, cause in unpack_rules(fields.__getitem__, checker.chip.core):
        checker.require(~unpack | legal, what, found, allowed, cause)
    sram, dram = Span.at(fields["sram_address"]), Span.at(np.clip(fields["dram_address"], -1, FAR))
    dram = Span(
        np.where(fields["dram_address"] < 0, FAR, dram.low),
        np.where(fields["dram_address"] < 0, FAR, dram.high),
    )
    for level in (1, 2, 3):
        sram = sram.moved(fields[f"count_{level}"] - 1, fields[f"sram_stride_{level}"])
        dram = dram.moved(fields[f"count_{level}"] - 1, fields[f"dram_stride_{level}"])
    one = np.ones(len(sram.low), np.int64)
    checker.span(sram.moved(fields["run_bytes"] - 1, one), checker.chip.core.sram.total_bytes, "SRAM byte")
    moved = dram.moved(np.where(expand | unpack, fields["packed_bytes"], fields["run_bytes"]) - 1, one)
    reads = fields["opcode"] != Opcode.FILL
    capacity = checker.chip.memory.capacity_mib << 20
    checker.span(moved, max(capacity, dram_bytes), "DRAM byte", reads, Fault.NO_SUCH_ADDRESS)
    checker.span(moved, dram_bytes, "DRAM byte", reads, Fault.BUS_ERROR)
    return product_of(fields, ("run_bytes", "count_1", "count_2", "count_3"))


def _check_expand(checker: Checker, expand: BoolArray) -> None:
    fields, lanes = checker.fields, checker.chip.core.dma.expand_lanes
    checker.require(
        ~expand | (lanes > 0),
        "expand_lanes of the chip",
        np.full(len(expand), lanes),
        "1 or more",
        Fault.ILLEGAL_OPCODE,
    )
    flags = fields["flags"]
    checker.require(~expand | (flags <= FLAG_KEEP_CODE), "flags", flags, "0 or 1", Fault.NO_SUCH_FLAG)
    counts = fields["count_1"] | fields["count_2"] | fields["count_3"]
    checker.require(~expand | (counts == 1), "the largest count", counts, "1")
    packed = fields["packed_bytes"]
    least = np.where(fields["flags"] == FLAG_KEEP_CODE, 0, TABLE_BYTES)
    legal = (packed % 2 == 0) & (packed > least)
    checker.require(
        ~expand | legal, "packed_bytes", packed, f"even numbers above {TABLE_BYTES} with a table, or 0"
    )
