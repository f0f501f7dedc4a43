"""The verifier: proves that code keeps to the rules of the machine before anything runs.

It takes instructions and a chip, not a compiler's word: bounds of every access, fields, ports, semaphores,
deadlock, and that nothing but happens-before decides who owns a bank or a byte of DRAM.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from hanok.compiler import _kernels_order as order_kernels
from hanok.compiler import _kernels_verify as kernels
from hanok.compiler._kernels_access import SRAM_BOUNDS
from hanok.compiler._verify_fields import (
    ELEMENT_BYTES,
    Finding,
    chain_findings,
    dma_findings,
    matrix_findings,
    table_findings,
)
from hanok.compiler._verify_rules import KERNEL_RULES, RULES
from hanok.errors import ProgramError, VerifyError
from hanok.isa import Decoded, Opcode, Program, Region, RegionKind, Source, Step, Unit, decode, disassemble
from hanok.isa.table import (
    FLAG_BIAS,
    FLAG_COLUMNS,
    FLAG_KEEP_CODE,
    FLAG_REDUCE_INNER,
    INSTRUCTIONS,
    TABLE_ENTRIES,
    VECTOR_STEPS,
)
from hanok.machine import Chip

Ints = npt.NDArray[np.int64]

_FORMAT_OPCODES = {
    name: [row.opcode for row in INSTRUCTIONS if row.format.name == name]
    for name in ("dma", "matrix", "vector", "table")
}


def verify_program(program: Program) -> None:
    """Verify every NPU stage of a program, and that its regions and constants lie within its DRAM."""
    for region in program.regions:
        if (
            region.address < 0
            or region.size_bytes < 0
            or region.address + region.size_bytes > program.dram_bytes
        ):
            raise VerifyError(
                f"region '{region.name}': bytes {region.address} .. {region.address + region.size_bytes} "
                f"are outside the program's DRAM of {program.dram_bytes} bytes"
            )
    capacity = program.chip.memory.capacity_mib << 20
    if program.dram_bytes > capacity:
        raise VerifyError(
            f"the program needs {program.dram_bytes} bytes of DRAM; chip '{program.chip.name}' has {capacity}"
        )
    fixed = [("constants", program.constants_address, len(program.constants))]
    fixed += [
        (f"code of stage {n}", stage.code_address, len(stage.code))
        for n, stage in enumerate(program.npu_stages)
    ]
    regions = list(program.regions)
    for name, address, size in fixed:
        if address < 0 or address + size > program.dram_bytes:
            raise VerifyError(
                f"{name}: bytes {address} .. {address + size} are outside {program.dram_bytes} bytes of DRAM"
            )
        regions.append(Region(name, RegionKind.CONSTANT, address, size))
    for stage in program.npu_stages:
        verify_code(stage.code, program.chip, program.dram_bytes, regions=regions)


def verify_code(
    code: Decoded | bytes, chip: Chip, dram_bytes: int, *, regions: Sequence[Region] | None = None
) -> None:
    """Prove that `code` keeps every rule of RULES; raise VerifyError that names instruction and rule.

    `regions` tells which DRAM ranges hold code and constants, which STORE must not write.
    """
    if isinstance(code, bytes):
        try:
            code = decode(code)
        except ProgramError as error:
            raise VerifyError(str(error)) from None
    if len(code) == 0:
        return
    _check_masks(code)
    _check_fields(code, chip)
    bits, common = _check_accesses(code, chip, dram_bytes)
    _check_tables(code)
    _check_kept_codes(code)
    boxes, strides = _dram_boxes(code)
    _check_store_regions(code, boxes, strides, regions or ())
    _check_order(code, chip, bits, common, boxes, strides)


def banks_touched(code: Decoded, chip: Chip, dram_bytes: int) -> npt.NDArray[np.bool_]:
    """Return which SRAM banks each instruction reads or writes: [instructions, banks]."""
    bits, _ = _check_accesses(code, chip, dram_bytes)
    flags = np.unpackbits(bits.astype("<u8").view(np.uint8), axis=1, bitorder="little")
    return flags[:, : chip.core.sram.banks].astype(bool)


def _fail(code: Decoded, index: int, rule: str, found: str) -> None:
    raise VerifyError(
        f"instruction {index} at byte {int(code.offset_bytes[index])}, `{disassemble(code, index)}`: {rule}: "
        f"{found} ({RULES[rule]})"
    )


def _members(code: Decoded, *opcodes: Opcode) -> Ints:
    return np.flatnonzero(np.isin(code.opcode, opcodes)).astype(np.int64)


def _check_masks(code: Decoded) -> None:
    own = (1 << code.unit).astype(np.int64)
    for name, mask in (("wait", code.wait), ("post", code.post)):
        bad = np.flatnonzero((mask >= 1 << len(Unit)) | ((mask & own) != 0))
        if len(bad):
            index = int(bad[0])
            unit = Unit(int(code.unit[index])).name
            _fail(code, index, "mask", f"{name} mask 0x{int(mask[index]):02x} of unit {unit}")


def _check_fields(code: Decoded, chip: Chip) -> None:
    findings: tuple[tuple[str, Iterator[Finding]], ...] = (
        ("dma", dma_findings(code.records["dma"], chip)),
        ("matrix", matrix_findings(code.records["matrix"], chip)),
        ("vector", chain_findings(code.records["vector"])),
        ("table", table_findings(code.records["table"])),
    )
    first = (len(code), "", "")
    for name, rows in findings:
        members = _members(code, *_FORMAT_OPCODES[name])
        for bad, rule, allowed in rows:
            if bad.any():
                first = min(first, (int(members[int(np.argmax(bad))]), rule, f"allowed: {allowed}"))
    if first[1]:
        _fail(code, *first)


def _columns(records: npt.NDArray[np.void], names: Sequence[str]) -> Ints:
    out = np.empty((len(records), len(names)), np.int64)
    for column, name in enumerate(names):
        out[:, column] = records[name]
    return out


_DMA_COLUMNS = (
    *("dram_address", "sram_address", "count_3", "count_2", "count_1"),
    *("dram_stride_3", "dram_stride_2", "dram_stride_1", "sram_stride_3", "sram_stride_2", "sram_stride_1"),
)
_MATRIX_COLUMNS = (
    *(
        "activation_address",
        "row_pitch",
        "ring_rows",
        "ring_start",
        "y_start",
        "y_stride",
        "y_dilation",
        "y_limit",
    ),
    *("x_start", "x_stride", "x_tap", "x_block", "x_limit", "out_height", "out_width", "taps_y", "taps_x"),
    *("tap_bytes", "blocks", "last_columns", "weight_address", "bias_address", "accumulator_row"),
    "weight_pitch",
)
_CHAIN_COLUMNS = (
    *("address_0", "ring_rows", "ring_start", "row_pitch", "pixel_pitch", "stride_2", "stride_inner"),
    *("y_start", "y_stride", "y_dilation", "y_limit", "x_start", "x_stride", "x_dilation", "x_limit"),
)


def _check_accesses(code: Decoded, chip: Chip, dram_bytes: int) -> tuple[npt.NDArray[np.uint64], Ints]:
    """Check bounds and ports; return the set of banks (SRAM, then accumulator) of each instruction.

    And a bank, or -1, that its weights share with the activations of the matrix instruction before.
    """
    sram, matrix = chip.core.sram, chip.core.matrix
    words = -(-(sram.banks + matrix.accumulator_banks) // 64)
    bits = np.zeros((len(code), words), np.uint64)
    finding, found = np.zeros(len(code), np.int64), np.zeros((len(code), 2), np.int64)
    common = np.full(len(code), -1, np.int64)
    rows = matrix.accumulator_rows * matrix.accumulator_banks

    records = code.records["dma"]
    fields = np.hstack(
        [
            (records["opcode"] != Opcode.FILL)[:, None],
            _columns(records, ("run_bytes",)),
            _columns(records, _DMA_COLUMNS),
            _dram_run(records)[:, None],
        ]
    ).astype(np.int64)
    sizes = np.array([sram.total_bytes, sram.bank_bytes, dram_bytes], np.int64)
    kernels.check_dma(fields, _members(code, *_FORMAT_OPCODES["dma"]), sizes, bits, finding, found)

    sizes = np.array(
        [
            *(sram.total_bytes, sram.bank_bytes, sram.banks),
            *(matrix.accumulator_rows * matrix.columns, rows * matrix.columns),
        ],
        np.int64,
    )
    fields = _chain_fields(code.records["vector"])
    kernels.check_chain(fields, _members(code, Opcode.CHAIN), sizes, bits, finding, found)
    _check_table_accesses(code, chip, bits, finding, found)

    records = code.records["matrix"]
    flags = records["flags"]
    kind = np.stack([records["opcode"] == Opcode.DEPTHWISE, flags & FLAG_BIAS != 0], axis=1)
    by_column = (flags & FLAG_COLUMNS != 0)[:, None]
    fields = np.hstack([kind, _columns(records, _MATRIX_COLUMNS), by_column]).astype(np.int64)
    sizes = np.array(
        [sram.total_bytes, sram.bank_bytes, sram.banks, matrix.columns, matrix.accumulator_rows, rows],
        np.int64,
    )
    members = _members(code, *_FORMAT_OPCODES["matrix"])
    kernels.check_matrix(fields, members, sizes, bits, finding, found, common)

    broken = np.flatnonzero(finding)
    if len(broken):
        index = int(broken[0])
        rule, text = KERNEL_RULES[int(finding[index])]
        numbers = [int(value) for value in found[index]]
        limits = {
            "sram": sram.total_bytes,
            "dram": dram_bytes,
            "rows": rows,
            "elements": rows * matrix.columns,
        }
        _fail(code, index, rule, text.format(*numbers, **limits))
    return bits, common


def _chain_fields(records: npt.NDArray[np.void]) -> Ints:
    loops = _columns(records, ("outer_2", "outer_1", "outer_0", "reduce_1", "reduce_0", "inner"))
    kind_0 = records["kind_0"]
    accumulator = kind_0 == Source.ACCUMULATOR
    widths = [ELEMENT_BYTES[records[name]] for name in ("kind_1", "kind_2", "kind_out")]
    folds = (records["flags"] & FLAG_REDUCE_INNER) != 0
    streams: list[npt.NDArray[np.int64]] = []
    for name in ("1", "2", "out"):
        streams += [
            records[f"address_{name}"].astype(np.int64)[:, None],
            records[f"strides_{name}"].astype(np.int64),
        ]
    width_0 = np.where(accumulator, 1, ELEMENT_BYTES[kind_0])
    columns = [
        loops,
        np.stack([accumulator, *widths, folds], axis=1),
        _columns(records, _CHAIN_COLUMNS),
        *streams,
    ]
    ends = np.stack([width_0, records["reduction"]], axis=1)
    return np.hstack([*columns, ends]).astype(np.int64)


def _check_table_accesses(
    code: Decoded, chip: Chip, bits: npt.NDArray[np.uint64], finding: Ints, found: Ints
) -> None:
    sram = chip.core.sram
    for index, address in zip(_members(code, Opcode.TABLE), code.records["table"]["address"], strict=True):
        low, high = int(address), int(address) + 4 * TABLE_ENTRIES
        if high > sram.total_bytes:
            finding[index], found[index] = SRAM_BOUNDS, (low, high)
            continue
        for bank in range(low // sram.bank_bytes, (high - 1) // sram.bank_bytes + 1):
            bits[index, bank >> 6] |= np.uint64(1 << (bank & 63))


def _check_tables(code: Decoded) -> None:
    records = code.records["vector"]
    active = np.arange(VECTOR_STEPS)[None, :] < records["steps"][:, None]
    users = _members(code, Opcode.CHAIN)[np.any(active & (records["step"] == Step.LOOKUP), axis=1)]
    tables = _members(code, Opcode.TABLE)
    if len(users) and (len(tables) == 0 or tables[0] > users[0]):
        _fail(code, int(users[0]), "table", "no TABLE before this LOOKUP")


def _check_kept_codes(code: Decoded) -> None:
    members = _members(code, Opcode.EXPAND)
    if not len(members):
        return
    records = code.records["dma"]
    flags = records["flags"][records["opcode"] == Opcode.EXPAND]
    if flags[0] & FLAG_KEEP_CODE:
        _fail(code, int(members[0]), "expand", "no EXPAND with a table before this one, which keeps the code")


def _dram_run(records: npt.NDArray[np.void]) -> Ints:
    """Contiguous bytes of DRAM in a run: EXPAND and UNPACK read a stream, the others what they move."""
    packed = np.isin(records["opcode"], (Opcode.EXPAND, Opcode.UNPACK))
    return np.where(packed, records["packed_bytes"], records["run_bytes"]).astype(np.int64)


def _dram_boxes(code: Decoded) -> tuple[Ints, Ints]:
    """Base, run and counts, and strides, of the DRAM bytes of each LOAD, EXPAND, UNPACK and STORE."""
    members = _members(code, *_FORMAT_OPCODES["dma"])
    records = code.records["dma"]
    boxes, strides = np.zeros((len(code), 5), np.int64), np.zeros((len(code), 3), np.int64)
    boxes[members] = _columns(records, ("dram_address", "run_bytes", "count_3", "count_2", "count_1"))
    boxes[members, 1] = _dram_run(records)
    strides[members] = _columns(records, ("dram_stride_3", "dram_stride_2", "dram_stride_1"))
    return boxes, strides


def _check_store_regions(code: Decoded, boxes: Ints, strides: Ints, regions: Sequence[Region]) -> None:
    fixed = [region for region in regions if region.kind is not RegionKind.ACTIVATION]
    if not fixed:
        return
    ranges = np.array([(region.address, region.size_bytes) for region in fixed], np.int64)
    store, number = order_kernels.find_store_into(_members(code, Opcode.STORE), boxes, strides, ranges)
    if store >= 0:
        region = fixed[number]
        _fail(
            code, store, "constant", f"region '{region.name}', {region.size_bytes} bytes at {region.address}"
        )


def _check_order(
    code: Decoded, chip: Chip, bits: npt.NDArray[np.uint64], common: Ints, boxes: Ints, strides: Ints
) -> None:
    wait, post = code.wait.astype(np.int64), code.post.astype(np.int64)
    control = chip.core.control
    order, place, clock, ran = order_kernels.run_untimed(code.unit, wait, post, control.queue_depth)
    if ran < len(code):
        index = int(np.flatnonzero(place == 0)[0])
        waits = ", ".join(unit.name for unit in Unit if wait[index] >> unit & 1)
        _fail(
            code, index, "deadlock", f"{len(code) - ran} instructions never start; this one waits for {waits}"
        )
    _check_balance(code, wait, post)
    index, receiver, most = order_kernels.find_overflow(
        code.unit, wait, post, place, clock, control.queue_depth, control.semaphore_limit
    )
    if index >= 0:
        found = f"the semaphore to {Unit(receiver).name} may reach {most}; allowed: {control.semaphore_limit}"
        _fail(code, index, "semaphore-limit", found)
    index, other, bank = order_kernels.find_shared_bank(order, code.unit, place, clock, bits)
    if index >= 0:
        banks = chip.core.sram.banks
        name = f"SRAM bank {bank}" if bank < banks else f"accumulator bank {bank - banks}"
        _fail(
            code,
            int(index),
            "bank-owner",
            f"{name}, also of instruction {other}, `{disassemble(code, int(other))}`",
        )
    _check_loader(code, common, place, clock)
    loads = _members(code, Opcode.LOAD, Opcode.EXPAND, Opcode.UNPACK)
    stores = _members(code, Opcode.STORE)
    load, store = order_kernels.find_dram_race(
        loads, stores, boxes, strides, place, clock, Unit.LOAD.value, Unit.STORE.value
    )
    if load >= 0:
        _fail(
            code,
            int(load),
            "dram-order",
            f"bytes also of instruction {store}, `{disassemble(code, int(store))}`",
        )


def _check_loader(code: Decoded, common: Ints, place: Ints, clock: Ints) -> None:
    """Weights where the matrix instruction before reads: its waits must come after the end of that one."""
    for index in np.flatnonzero(common >= 0):
        if clock[index, Unit.MATRIX] < place[index] - 1:
            _fail(code, int(index), "next-weight-port", f"SRAM bank {int(common[index])}")


def _check_balance(code: Decoded, wait: Ints, post: Ints) -> None:
    for source in Unit:
        for target in Unit:
            posters = np.flatnonzero((code.unit == source) & (post >> target & 1 == 1))
            waiters = np.flatnonzero((code.unit == target) & (wait >> source & 1 == 1))
            if len(posters) != len(waiters):
                index = int((posters if len(posters) else waiters)[-1])
                counts = f"{len(posters)} posts from {source.name} to {target.name} and {len(waiters)} waits"
                _fail(code, index, "balance", counts)
