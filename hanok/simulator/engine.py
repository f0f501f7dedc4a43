"""The cycle engine: times a stage's instructions on a chip, event by event, with DRAM from its controller."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hanok.dram import Commands, Standard, commands_of, get_standard, make_state, read_counters
from hanok.dram.chip_memory import ecc_latency_cycles
from hanok.dram.state import take_commands
from hanok.errors import HanokError, VerifyError
from hanok.isa import Decoded, Opcode, Unit, decode
from hanok.isa.faults import Fault
from hanok.isa.timing import CODE_WORD_BYTES, expand_ring_bytes, line_bytes, open_lines, unpack_stages
from hanok.machine import Chip
from hanok.simulator import _kernels_state as layout
from hanok.simulator import _kernels_traffic as traffic
from hanok.simulator._kernels_engine import DEADLOCK, FULL_TRACE, run
from hanok.simulator._packed import taken_words
from hanok.simulator._work import matrix_work, transfer_work, vector_work
from hanok.simulator.counters import Timing

Integers = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]


def simulate(
    code: bytes | Decoded,
    chip: Chip,
    *,
    code_address: int = 0,
    content: Bytes | None = None,
    stream: bool = True,
    trace_commands: int = 0,
) -> Timing:
    """Time the instructions `code` (fetched from `code_address` in DRAM) on `chip`; see docs/timing.md.

    `content` is the DRAM at the start: how fast packed weights go through the decoder depends on them, and on
    nothing else does the time of anything. Without it, their words are used evenly.
    `stream` False turns the DRAM's stream path off, which changes no cycle. With `trace_commands`,
    `Timing.dram_commands` holds the DRAM's commands, if they are fewer.
    Raises VerifyError for a deadlock, and for instructions that no legal program has; ProgramError for bytes
    that are no instructions; HanokError for a trace that is too small.
    """
    decoded = decode(code) if isinstance(code, bytes) else code
    groups, taken = taken_words(decoded, chip.core.dma, content)
    plan, stream_cycles, macs = _plan(decoded, chip, code_address, groups)
    record = _record(decoded, plan)
    engines = _engines(chip, taken, stream, trace_commands)
    cycles = int(run(plan, record, engines))
    if cycles == FULL_TRACE:
        raise HanokError(f"command trace: all {trace_commands} places are taken; ask for more")
    if cycles == DEADLOCK:
        raise VerifyError(_deadlock(decoded, plan, record))
    burst_bytes = 1 << int(plan.constants[traffic.BURST_SHIFT])
    bursts = engines.state[:, traffic.BURSTS]
    return Timing(
        chip=chip,
        cycles=cycles,
        unit=decoded.unit,
        dispatch=record.time[:, layout.DISPATCH],
        start=record.time[:, layout.START],
        end=record.time[:, layout.END],
        transferred_bytes=record.time[:, layout.TRANSFERRED] * burst_bytes,
        useful_macs=macs,
        stream_cycles_of=stream_cycles,
        causes=record.cause,
        load_bytes=int(bursts[traffic.LOAD]) * burst_bytes,
        store_bytes=int(bursts[traffic.STORE]) * burst_bytes,
        fetch_bytes=int(bursts[traffic.FETCH]) * burst_bytes,
        dram=read_counters(engines.memory),
        dram_commands=_commands(chip, engines) if trace_commands else None,
    )


def _plan(
    decoded: Decoded, chip: Chip, code_address: int, groups: Integers
) -> tuple[layout.Plan, Integers, Integers]:
    """Lay the program out for the kernel; also return stream cycles and MACs of each instruction."""
    core, count = chip.core, len(decoded)
    _check(decoded, chip, code_address)
    table = np.zeros((count, layout.INSTRUCTION_COLUMNS), np.int64)
    table[:, layout.UNIT] = decoded.unit
    table[:, layout.WAIT] = decoded.wait
    table[:, layout.POST] = decoded.post
    table[: count - 1, layout.CODE_END] = decoded.offset_bytes[1:]
    table[count - 1 :, layout.CODE_END] = decoded.code_bytes
    member = np.argsort(decoded.unit, kind="stable")
    counts = np.bincount(decoded.unit, minlength=layout.UNITS)
    first = np.cumsum(counts) - counts
    table[member, layout.RANK] = np.arange(count) - first[decoded.unit[member]]
    stream, macs = np.zeros(count, np.int64), np.zeros(count, np.int64)
    indices, work, tiles, useful = matrix_work(decoded, core.matrix)
    table[indices, layout.WORK_0 : layout.WORK_2 + 1] = work
    stream[indices], macs[indices] = work[:, 2] * tiles, useful
    indices, cycles = vector_work(decoded, core.vector)
    table[indices, layout.WORK_0] = cycles
    constants = _constants(chip)
    burst_bytes = 1 << int(constants[traffic.BURST_SHIFT])
    indices, transfers = transfer_work(decoded, core, chip.memory.capacity_mib << 20, burst_bytes)
    table[indices, layout.WORK_0] = np.arange(len(indices))
    transfers[:, layout.FIRST_GROUP], transfers[:, layout.GROUPS] = groups[:, 0], groups[:, 1]
    limits = np.array(
        [
            core.control.queue_depth,
            core.control.semaphore_limit,
            core.control.fetch_buffer_bytes,
            code_address,
            decoded.code_bytes,
            core.matrix.depth_cycles,
        ],
        np.int64,
    )
    return layout.Plan(count, table, member, transfers, constants, limits), stream, macs


def _constants(chip: Chip) -> Integers:
    burst_bytes = get_standard(chip.memory.standard).burst_bytes
    dma = chip.core.dma
    return np.array(
        [
            chip.clock_mhz,
            burst_bytes.bit_length() - 1,
            dma.bytes_per_cycle,
            open_lines(dma, burst_bytes),
            line_bytes(dma, burst_bytes).bit_length() - 1,
            chip.memory.latency_cycles + ecc_latency_cycles(chip.memory, chip.clock_mhz),
            dma.expand_lanes,
            expand_ring_bytes(dma),
            unpack_stages(dma),
        ],
        np.int64,
    )


def _check(decoded: Decoded, chip: Chip, code_address: int) -> None:
    capacity = chip.memory.capacity_mib << 20
    if not 0 <= code_address <= capacity - decoded.code_bytes:
        raise VerifyError(
            f"code of {decoded.code_bytes} bytes at DRAM address {code_address} leaves DRAM; allowed: within "
            f"0..{capacity - 1}",
            Fault.FETCH_ERROR,
        )
    if code_address % CODE_WORD_BYTES:
        raise VerifyError(
            f"code at DRAM address {code_address}; allowed: multiples of {CODE_WORD_BYTES}",
            Fault.UNALIGNED_CODE,
        )
    masks = (decoded.wait | decoded.post) >> len(Unit)
    if masks.any():
        index = int(np.argmax(masks != 0))
        raise VerifyError(
            f"instruction {index}: wait {int(decoded.wait[index])} or post {int(decoded.post[index])} names "
            f"a unit that is not there; allowed: bits 0..{len(Unit) - 1}",
            Fault.NO_SUCH_UNIT,
        )


def _record(decoded: Decoded, plan: layout.Plan) -> layout.Record:
    """The kernel's state at cycle 0."""
    semaphores = layout.UNITS * layout.UNITS
    members = np.arange(layout.UNITS)
    posts, takes = np.zeros(semaphores, np.int64), np.zeros(semaphores, np.int64)
    for other in members:
        posting = decoded.unit[(decoded.post >> other & 1) == 1]
        waiting = decoded.unit[(decoded.wait >> other & 1) == 1]
        posts[members * layout.UNITS + other] = np.bincount(posting, minlength=layout.UNITS)
        takes[other * layout.UNITS + members] = np.bincount(waiting, minlength=layout.UNITS)
    unit = np.zeros((layout.UNITS, layout.UNIT_COLUMNS), np.int64)
    unit[:, layout.COUNT] = np.bincount(decoded.unit, minlength=layout.UNITS)
    unit[:, layout.FIRST] = np.cumsum(unit[:, layout.COUNT]) - unit[:, layout.COUNT]
    unit[:, layout.POST_LEFT] = unit[:, layout.POST_TIME] = layout.UNKNOWN
    unit[:, layout.TAKEN] = layout.UNKNOWN
    control = np.zeros(layout.CONTROL_COLUMNS, np.int64)
    control[layout.FETCH_NEXT] = traffic.NEVER
    control[layout.FETCH_ISSUE] = -1
    time = np.full((len(decoded), layout.TIME_COLUMNS), layout.UNKNOWN, np.int64)
    time[:, layout.TRANSFERRED] = 0
    shift, address = plan.constants[traffic.BURST_SHIFT], plan.limits[layout.CODE_ADDRESS]
    bursts = (address + decoded.code_bytes - 1 >> shift) - (address >> shift) + 1
    return layout.Record(
        time=time,
        unit=unit,
        cause=np.zeros((layout.UNITS, layout.CAUSES), np.int64),
        posted=np.zeros(semaphores, np.int64),
        taken=np.zeros(semaphores, np.int64),
        post_first=np.cumsum(posts) - posts,
        take_first=np.cumsum(takes) - takes,
        post_time=np.zeros(int(posts.sum()), np.int64),
        take_time=np.zeros(int(takes.sum()), np.int64),
        control=control,
        code=np.zeros((bursts + 1, layout.CODE_COLUMNS), np.int64),
    )


def _commands(chip: Chip, engines: traffic.Engines) -> Commands | None:
    """The noted commands; a memory without banks has none."""
    standard = get_standard(chip.memory.standard)
    return commands_of(take_commands(engines.memory), standard) if isinstance(standard, Standard) else None


def _engines(chip: Chip, taken: Integers, stream: bool, trace_commands: int) -> traffic.Engines:
    """The DMA engines and the memory at cycle 0."""
    dma, engines = chip.core.dma, traffic.ENGINES
    burst_bytes = get_standard(chip.memory.standard).burst_bytes
    lines, parts = open_lines(dma, burst_bytes), line_bytes(dma, burst_bytes) // burst_bytes
    fetched = chip.core.control.fetch_buffer_bytes // burst_bytes + 2
    ring = 1 << max(lines, fetched).bit_length()
    memory = make_state(
        chip.memory,
        ports=engines,
        port_depth=1 << max(lines * parts, fetched).bit_length(),
        stream=stream,
        answers=engines * ring * parts,
        trace_commands=trace_commands,
    )
    state = np.zeros((engines, traffic.ring_columns(ring, parts)), np.int64)
    for column in (traffic.NEXT, traffic.CHECK):
        state[:, column] = traffic.NEVER
    for column in (
        traffic.CURRENT,
        traffic.TAKING,
        traffic.ISSUE,
        traffic.CERTAIN,
    ):
        state[:, column] = -1
    wanted = np.zeros(parts, np.int64)
    return traffic.Engines(state, memory, wanted, taken, np.zeros_like(taken), ring, parts)


def _deadlock(decoded: Decoded, plan: layout.Plan, record: layout.Record) -> str:
    """Say what each unit waits for."""
    lines = []
    for unit in Unit:
        state = record.unit[unit]
        for rank in (int(state[layout.POSTING]), int(state[layout.HEAD])):
            if rank >= state[layout.COUNT]:
                continue
            index = int(plan.member[state[layout.FIRST] + rank])
            line = _blocked(decoded, record, unit, index)
            if line and line not in lines:
                lines.append(line)
    return "deadlock: " + "; ".join(lines)


def _blocked(decoded: Decoded, record: layout.Record, unit: Unit, index: int) -> str:
    name = f"{unit.name} instruction {index} ({Opcode(int(decoded.opcode[index])).name})"
    if record.time[index, layout.END] != layout.UNKNOWN:
        full = [other.name for other in Unit if int(record.unit[unit, layout.POST_LEFT]) >> other & 1]
        return f"{name} cannot post to {' and '.join(full)}, whose semaphore is full" if full else ""
    if record.time[index, layout.DISPATCH] == layout.UNKNOWN:
        return f"{name} is not dispatched"
    if record.unit[unit, layout.TAKEN] != layout.UNKNOWN:
        return ""
    missing = [
        other.name
        for other in Unit
        if int(decoded.wait[index]) >> other & 1
        and record.taken[other * layout.UNITS + unit] >= record.posted[other * layout.UNITS + unit]
    ]
    return f"{name} waits for a post of {' and '.join(missing)}" if missing else ""
