"""Building the controller's state array from a standard's table, and reading counters out of it."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from hanok.dram import _layout as k
from hanok.dram._kernels_schedule import advance_address
from hanok.dram._layout import State
from hanok.dram.chip_memory import memory_standard
from hanok.dram.mapping import Mapping, parse_mapping
from hanok.dram.results import Counters
from hanok.dram.standard import LEVELS, Bus, Command, FlatMemory, Rule, Standard
from hanok.errors import ChipError
from hanok.machine import Memory, Policy

LONG_AGO = -(1 << 40)


def make_state(
    memory: Memory,
    *,
    ports: int = 1,
    port_depth: int = 256,
    stream: bool = True,
    answers: int = 1,
    trace_commands: int = 0,
) -> State:
    """Return the state of an idle memory of a chip; see `state_of`.

    Raises ChipError for an unknown standard, ECC as `memory_standard` does, a capacity that the standard's
    channels do not have, or a mapping that is none.
    """
    standard = memory_standard(memory)
    if isinstance(standard, FlatMemory):
        return flat_state_of(standard, memory.channels, ports=ports, port_depth=port_depth, answers=answers)
    native_mib = standard.channel_bytes * memory.channels >> 20
    if memory.capacity_mib > native_mib:
        raise ChipError(
            f"memory.capacity_mib: {memory.capacity_mib} MiB; allowed: at most {native_mib} for "
            f"{memory.channels} channels of {standard.name}"
        )
    return state_of(
        standard,
        memory.channels,
        memory.controller,
        memory.mapping,
        ports=ports,
        port_depth=port_depth,
        stream=stream,
        answers=answers,
        trace_commands=trace_commands,
    )


def state_of(
    standard: Standard,
    channels: int,
    policy: Policy | None = None,
    mapping: str = "",
    *,
    ports: int = 1,
    port_depth: int = 256,
    stream: bool = True,
    answers: int = 1,
    trace_commands: int = 0,
) -> State:
    """Return the state of `channels` idle channels of `standard`.

    mapping: text of `hanok.dram.mapping`, by default the standard's own. Each unit has `ports` ports, in each
    of which `port_depth` requests can wait (rounded up to a power of two). `stream` False turns the stream
    path off. There is room for `answers` answers (rounded up alike), which handles number, and for
    `trace_commands` commands, which are noted when it is not 0.
    """
    policy = policy or Policy()
    if policy.refresh == "per_bank" and not standard.bank_refresh_interval_cycles:
        raise ChipError(
            f"memory controller: refresh is 'per_bank', but {standard.name} has no refresh of single banks; "
            "allowed: all_bank, none"
        )
    table = parse_mapping(mapping or standard.mapping, standard, channels)
    tables: dict[int, list[int] | State] = {}
    tables[k.H_PLACES] = _places(table, standard)
    tables[k.H_FORMS] = _forms(standard)
    header = _header(standard, channels, policy, ports, port_depth)
    header[k.H_STREAM] = int(stream)
    header |= _flow(standard, policy) if stream else {}
    offset = k.H_SIZE
    for slot, content in tables.items():
        header[slot] = offset
        offset += len(content)
    header[k.H_RULES] = offset
    tables[k.H_RULES] = _rules(standard, offset)
    offset += len(tables[k.H_RULES])
    header |= {k.H_CHANNELS: offset}
    header[k.H_ANSWERS] = offset + channels * header[k.H_CHANNEL_SIZE]
    state = _with_records(header, answers, trace_commands)
    for slot, content in tables.items():
        state[header[slot] : header[slot] + len(content)] = content
    _idle(state)
    return state


def _with_records(header: dict[int, int], answers: int, trace_commands: int) -> State:
    """Return an array with `header`, and room for answers, none of which is known, and for commands."""
    count = 1 << max(0, answers - 1).bit_length()
    header[k.H_ANSWER_MASK] = count - 1
    header[k.H_TRACE] = header[k.H_ANSWERS] + count * k.A_SIZE
    header[k.H_TRACE_ROOM] = trace_commands
    header[k.H_ADVANCE] = advance_address()
    state = np.zeros(header[k.H_TRACE] + trace_commands * k.T_SIZE, np.int64)
    state[header[k.H_ANSWERS] : header[k.H_TRACE]] = -1
    for slot, value in header.items():
        state[slot] = value
    return state


def answers_of(state: State) -> State:
    """Return a view [handle, A_SIZE] of the answers."""
    return state[state[k.H_ANSWERS] : state[k.H_TRACE]].reshape(-1, k.A_SIZE)


def take_commands(state: State) -> State:
    """Return a copy [command, T_SIZE] of the commands that were noted, and forget them."""
    first, count = int(state[k.H_TRACE]), int(state[k.H_TRACE_COUNT])
    state[k.H_TRACE_COUNT] = 0
    return state[first : first + count * k.T_SIZE].reshape(-1, k.T_SIZE).copy()


def _header(standard: Standard, channels: int, policy: Policy, ports: int, port_depth: int) -> dict[int, int]:
    """Shape, policy and the sizes of a unit's parts."""
    shape = standard.organisation
    groups, banks = shape.ranks * shape.groups, shape.banks
    ring = 1 << max(1, (port_depth - 1).bit_length())
    offsets, offset = {}, k.U_SIZE
    for slot, size in (
        (k.O_RANKS, shape.ranks * k.COMMANDS),
        (k.O_GROUPS, groups * k.COMMANDS),
        (k.O_BANKS, banks * k.B_SIZE),
        (k.O_WANTING, 2 * k.WANTS * banks),
        (k.O_ENTRIES, (policy.read_queue + policy.write_queue + banks) * k.Q_SIZE),
        (k.O_PORTS, ports * k.I_SIZE),
        (k.O_INPUT, ports * ring * k.N_SIZE),
        (k.O_FLOWED, banks),
    ):
        offsets[slot] = offset
        offset += size
    windows = {rule.after: rule.cycles for rule in standard.rules if rule.window > 1}
    first = Command.ACT if standard.activate_gap_cycles[1] == 0 else Command.ACT1
    per_bank = policy.refresh == "per_bank"
    return offsets | {
        k.H_TCK_FS: standard.tck_fs,
        k.H_BURST: standard.burst_cycles,
        k.H_READ_LATENCY: standard.read_latency_cycles,
        k.H_WRITE_LATENCY: standard.write_latency_cycles,
        k.H_UNITS: channels * shape.pseudo_channels,
        k.H_PSEUDO: shape.pseudo_channels,
        k.H_PSEUDO_SHIFT: _log2(shape.pseudo_channels),
        k.H_RANKS: shape.ranks,
        k.H_GROUPS: groups,
        k.H_BANKS: banks,
        k.H_GROUP_SHIFT: _log2(shape.banks_per_group),
        k.H_RANK_SHIFT: _log2(shape.banks_per_group * shape.groups),
        k.H_WINDOW: max((rule.window for rule in standard.rules), default=1),
        k.H_WINDOW_ACT: windows.get(Command.ACT, 0) - standard.activate_gap_cycles[0],
        k.H_WINDOW_REFB: windows.get(Command.REFB, 0),
        k.H_BEFORE_REFB: standard.activate_gap_cycles[0] + _activate_to_refresh(standard),
        k.H_GAP_LEAST: standard.activate_gap_cycles[0],
        k.H_GAP_MOST: standard.activate_gap_cycles[1],
        k.H_FIRST: first,
        k.H_INTERVAL: standard.bank_refresh_interval_cycles if per_bank else standard.refresh_interval_cycles,
        k.H_BANK_INTERVAL: standard.bank_refresh_interval_cycles if per_bank else 0,
        k.H_REFRESH_CYCLES: _refresh_cycles(standard, per_bank),
        k.H_POSTPONED: policy.postponed_refreshes if policy.refresh != "none" else -1,
        k.H_CLOSED: int(policy.page == "closed"),
        k.H_CAP: policy.row_hit_cap,
        k.H_READ_QUEUE: policy.read_queue,
        k.H_WRITE_QUEUE: policy.write_queue,
        k.H_HIGH: policy.write_high,
        k.H_LOW: policy.write_low,
        k.H_PORTS: ports,
        k.H_RING_MASK: ring - 1,
        k.H_UNIT_SIZE: offset,
        k.H_CHANNEL_SIZE: k.CH_UNITS + shape.pseudo_channels * offset,
    }


def _flow(standard: Standard, policy: Policy) -> dict[int, int]:
    """How far apart the column commands of a flow of reads are by each level's rules; none: no flows."""
    unit, rank, other, group, bank = (
        standard.delay(level, Command.RD, Command.RD)
        for level in ("pseudo", "rank", "other_rank", "group", "bank")
    )
    if policy.page == "closed" or bank > group:
        return {}
    return {
        k.H_FLOW_UNIT: max(unit, 1),
        k.H_FLOW_RANK: rank,
        k.H_FLOW_OTHER_RANK: other,
        k.H_FLOW_GROUP: group,
    }


def _activate_to_refresh(standard: Standard) -> int:
    """Cycles from an activate of one bank to the refresh of another, at most."""
    levels = ("pseudo", "rank", "group")
    return max(standard.delay(level, Command.ACT, Command.REFB) for level in levels)


def _refresh_cycles(standard: Standard, per_bank: bool) -> int:
    """Cycles from a refresh to the first activate of what it refreshed."""
    if per_bank:
        return max(standard.delay("bank", Command.REFB, first) for first in (Command.ACT, Command.ACT1))
    return max(standard.delay("pseudo", Command.REFA, first) for first in (Command.ACT, Command.ACT1))


def _forms(standard: Standard) -> list[int]:
    one_bus = len({form.bus for form in standard.forms.values()}) == 1
    found = []
    for command in Command:
        form = standard.forms.get(command)
        on_column = form is not None and form.bus is Bus.COLUMN and not one_bus
        found += [form.lead, form.tail, form.align, int(on_column)] if form else [0, 0, 1, 0]
    return found


def _rules(standard: Standard, offset: int) -> list[int]:
    """For each command and level the bounds of its pairs, then the pairs (after, cycles).

    Rules of a window wider than 1 are not among them; the activates' ring keeps those. Where an activate
    takes two commands, what must precede the second precedes the first, by as much less as the two are apart
    at least.
    """
    shift = standard.activate_gap_cycles[0]
    longest: dict[tuple[Command, str], dict[Command, int]] = {}
    for rule in standard.rules:
        if rule.window > 1:
            _check_window(standard, rule)
            continue
        pairs = longest.setdefault((rule.before, rule.level), {})
        after, cycles = rule.after, rule.cycles
        if after is Command.ACT and shift > 0:
            after, cycles = Command.ACT1, cycles - shift
        pairs[after] = max(pairs.get(after, 0), cycles)
    bounds: list[int] = []
    pairs_of: list[int] = []
    first = offset + k.COMMANDS * k.LEVELS * k.R_SIZE
    for command in Command:
        for level in LEVELS:
            begin = first + len(pairs_of)
            for after, cycles in sorted(longest.get((command, level), {}).items()):
                pairs_of += [int(after), cycles]
            bounds += [begin, first + len(pairs_of)]
    return bounds + pairs_of


def _check_window(standard: Standard, rule: Rule) -> None:
    """Our bug, not the user's: the ring holds activates of a pseudo-channel."""
    widest = max(other.window for other in standard.rules)
    fits = rule.level == "pseudo" and rule.before is Command.ACT and rule.after in (Command.ACT, Command.REFB)
    fits &= rule.window == widest <= k.RING
    assert fits, f"{standard.name}: the controller cannot keep {rule}"


def _idle(state: State) -> None:
    """Close all banks, empty the queues, and set the first refresh."""
    units = units_of(state)
    channels, pseudo, size = units.shape
    blocks = state[state[k.H_CHANNELS] : state[k.H_ANSWERS]].reshape(channels, -1)
    blocks[:, k.CH_LAST] = np.arange(channels) * pseudo
    units[..., k.U_ARRIVAL] = k.NEVER
    units[..., k.U_FIRST_READ : k.U_FREE] = -1
    units[..., k.U_HALF] = -1
    units[..., k.U_LAST_KIND] = -1
    first_refresh = state[k.H_INTERVAL] if state[k.H_POSTPONED] >= 0 else k.NEVER
    units[..., k.U_DUE] = units[..., k.U_NEXT] = first_refresh
    units[..., k.U_RING : k.U_RING + k.RING] = LONG_AGO
    banks = units[..., state[k.O_BANKS] : state[k.O_WANTING]].reshape(channels, pseudo, -1, k.B_SIZE)
    banks[..., k.B_ROW] = k.ROW_CLOSED
    banks[..., k.B_OWNER] = banks[..., k.B_FLOWED] = -1
    banks[..., k.B_HEAD_READ : k.B_WANT_READ] = -1
    banks[..., k.B_WANT_READ : k.B_PLACE_READ] = k.WANTS_NOTHING
    entries = units[..., state[k.O_ENTRIES] : state[k.O_PORTS]].reshape(channels, pseudo, -1, k.Q_SIZE)
    first = int(state[k.H_CHANNELS]) + k.CH_UNITS
    starts = first + np.arange(channels)[:, None] * int(state[k.H_CHANNEL_SIZE]) + np.arange(pseudo) * size
    places = starts[..., None] + int(state[k.O_ENTRIES]) + np.arange(entries.shape[2]) * k.Q_SIZE
    entries[..., :-1, k.Q_NEXT] = places[..., 1:]
    entries[..., -1, k.Q_NEXT] = -1
    units[..., k.U_FREE] = places[..., 0]


def _log2(power: int) -> int:
    return power.bit_length() - 1


def _places(mapping: Mapping, standard: Standard) -> State:
    """What each value of each digit of an address adds to a burst's place."""
    shape = standard.organisation
    bank, group = _log2(shape.banks_per_group), _log2(shape.groups)
    first = {
        "pseudo": 0,
        "channel": _log2(shape.pseudo_channels),
        "column": k.P_COLUMN,
        "bank": k.P_BANK,
        "group": k.P_BANK + bank,
        "rank": k.P_BANK + bank + group,
        "row": k.P_ROW,
    }
    found = [0] * 64
    for piece in mapping.pieces:
        for bit in range(piece.bits):
            found[piece.address_bit + bit] ^= 1 << (first[piece.field] + piece.field_bit + bit)
    return _by_digits(found)


def _by_digits(bits: list[int]) -> State:
    """Return the XOR of those of `bits` that each value of each digit sets, digit by digit."""
    digits = np.array(bits, np.int64).reshape(-1, k.P_DIGIT)
    found = np.zeros((len(digits), k.P_VALUES), np.int64)
    for bit in range(k.P_DIGIT):
        found[:, 1 << bit : 2 << bit] = found[:, : 1 << bit] ^ digits[:, bit, None]
    return found.ravel()


def units_of(state: State) -> State:
    """Return a view [channel, pseudo-channel, size] of the blocks of all units."""
    blocks = state[state[k.H_CHANNELS] : state[k.H_ANSWERS]].reshape(-1, int(state[k.H_CHANNEL_SIZE]))
    return blocks[:, k.CH_UNITS :].reshape(len(blocks), int(state[k.H_PSEUDO]), int(state[k.H_UNIT_SIZE]))


def read_counters(state: State) -> Counters:
    """Sum the counters of all units."""
    units = units_of(state)
    counts = units[..., k.C_READS : k.U_RING].sum(axis=(0, 1))
    return counters_of(counts, units.shape[0], units.shape[0] * units.shape[1])


def counters_of(counts: State, channels: int, units: int) -> Counters:
    """Return sums over units of their counters, in the order of the layout, by their names."""
    names = tuple(field.name for field in fields(Counters))[: k.C_LOST - k.C_READS]
    found = [int(count) for count in counts]
    return Counters(
        **dict(zip(names, found[: len(names)], strict=True)),
        lost_cycles=tuple(found[len(names) :]),
        channels=channels,
        pseudo_channels=units,
    )


def flat_state_of(
    flat: FlatMemory, channels: int, *, ports: int = 1, port_depth: int = 256, answers: int = 1
) -> State:
    """Return the state of a memory without banks, its bursts spread over the channels in turn.

    A cycle of it is a picosecond.
    """
    ring = 1 << max(1, (port_depth - 1).bit_length())
    unit_size = k.U_SIZE + ports * k.I_SIZE + ports * ring * k.N_SIZE
    channels_at = k.H_SIZE + k.P_SIZE
    header = {
        k.H_FLAT: 1,
        k.H_FLAT_FS: flat.burst_fs,
        k.H_FLAT_LATENCY_FS: flat.latency_ps * 1000,
        k.H_TCK_FS: 1000,
        k.H_UNITS: channels,
        k.H_PSEUDO: 1,
        k.H_PLACES: k.H_SIZE,
        k.H_PORTS: ports,
        k.H_RING_MASK: ring - 1,
        k.H_CHANNELS: channels_at,
        k.H_CHANNEL_SIZE: k.CH_UNITS + unit_size,
        k.H_UNIT_SIZE: unit_size,
        k.H_ANSWERS: channels_at + channels * (k.CH_UNITS + unit_size),
        k.O_PORTS: k.U_SIZE,
        k.O_INPUT: k.U_SIZE + ports * k.I_SIZE,
    }
    state = _with_records(header, answers, 0)
    bits = [0] * 64
    for bit in range(_log2(channels)):
        bits[_log2(flat.burst_bytes) + bit] = 1 << bit
    state[k.H_SIZE : k.H_SIZE + k.P_SIZE] = _by_digits(bits)
    units_of(state)[..., k.U_NEXT] = k.NEVER
    return state
