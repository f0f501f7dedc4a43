"""Error correction of a memory as a whole: which codes guard a burst, what they cost, and in-line ECC."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hanok.dram._ecc_families import Family, find_family
from hanok.dram._kernels_ecc import DATA_BURSTS, inline_bursts
from hanok.dram.codes import Code
from hanok.dram.mapping import Mapping, parse_mapping
from hanok.dram.standard import Command, RuleRow, Standard, build_rules
from hanok.errors import ChipError

__all__ = [
    "OPTIONS",
    "EccPlan",
    "Expanded",
    "Words",
    "ecc_options",
    "ecc_plan",
    "expand_inline",
    "expand_requests",
    "inline_addresses",
    "with_ecc",
]

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

OPTIONS = ("none", "on_die", "side_band", "both")

MAX_CACHE_BURSTS = 256

CHANNEL_LETTER = "H"
"""Of the channel's address bits, in `Mapping.letters`."""


@dataclass(frozen=True, eq=False)
class Words:
    """Words of one code: which bits of a block are the data bits of each, [words, code.data_bits].

    The bits of a block are numbered thus: the data of its bursts as they are addressed, then the check bits
    of the side band, word by word, then those of the dies.
    """

    code: Code
    bits: Integers


@dataclass(frozen=True, eq=False)
class EccPlan:
    """Which codes guard a memory's bursts, and what they cost."""

    family: str
    option: str
    burst_bytes: int
    block_bursts: int
    """Data bursts whose check bits belong together: 8 in line, else 1."""
    on_die: tuple[Words, ...]
    side_band: Words | None
    in_line: bool
    die_reports: bool
    """The dies tell the host of errors that their code cannot correct."""
    side_die: bool
    """The check bits have a die of their own."""
    pins: int
    """Data pins of a pseudo-channel."""
    read_latency_clocks: int
    """What the host's decoder adds to a read; no bus is held meanwhile."""
    sources: tuple[str, ...]

    @property
    def data_bits(self) -> int:
        """Of a block."""
        return 8 * self.burst_bytes * self.block_bursts

    @property
    def side_bits(self) -> int:
        """Check bits of a block's side-band or in-line words."""
        return 0 if self.side_band is None else len(self.side_band.bits) * self.side_band.code.check_bits

    @property
    def die_bits(self) -> int:
        """Check bits of a block that never leave the dies."""
        return sum(len(words.bits) * words.code.check_bits for words in self.on_die)

    @property
    def capacity(self) -> tuple[int, int]:
        """The share of the standard's capacity that holds data, as a fraction; ECC pins bring their own."""
        return (DATA_BURSTS, DATA_BURSTS + 1) if self.in_line else (1, 1)

    @property
    def pin_ratio(self) -> float:
        """Pins with side band by pins without."""
        return 1.0 if self.in_line else 1 + self.side_bits / self.data_bits

    @property
    def cell_ratio(self) -> float:
        """Cells that a burst opens and moves in the dies, by its data bits."""
        return (self.data_bits + self.side_bits + self.die_bits) / (
            self.data_bits + (self.side_bits if self.in_line else 0)
        )

    def usable_bytes(self, standard: Standard, channels: int = 1) -> int:
        """Return how many bytes of data the memory holds."""
        share, whole = self.capacity
        return channels * (standard.channel_bytes // (whole * self.burst_bytes) * share * self.burst_bytes)


def ecc_options(family: str) -> tuple[str, ...]:
    """Return the options that a family of standards has."""
    facts = find_family(family)
    return OPTIONS if facts.die_code else ("none", "side_band")


def ecc_plan(standard: Standard, option: str) -> EccPlan:
    """Return the codes and costs of `option` on a standard; 'side_band' is in line where it has no ECC pins.

    Raises ChipError for an option that the standard's family does not have.
    """
    facts = find_family(standard.family)
    allowed = ecc_options(standard.family)
    if option not in allowed:
        raise ChipError(f"memory.ecc: '{option[:20]}' on {standard.name}; allowed: {', '.join(allowed)}")
    has_side, has_die = option in {"side_band", "both"}, option in {"on_die", "both"}
    in_line = facts.in_line and has_side
    block_bursts = DATA_BURSTS if in_line else 1
    data_bits = 8 * standard.burst_bytes * block_bursts
    side = None
    if has_side:
        code = facts.side_code()
        side = Words(code, np.arange(data_bits).reshape(-1, code.data_bits))
    side_bits = len(side.bits) * side.code.check_bits if side else 0
    return EccPlan(
        family=standard.family,
        option=option,
        burst_bytes=standard.burst_bytes,
        block_bursts=block_bursts,
        on_die=_die_words(facts, in_line, 8 * standard.burst_bytes, data_bits, side_bits) if has_die else (),
        side_band=side,
        in_line=in_line,
        die_reports=facts.die_reports,
        side_die=facts.side_die,
        pins=facts.pins,
        read_latency_clocks=facts.read_latency_clocks if has_side else 0,
        sources=facts.sources,
    )


def _die_words(
    facts: Family, in_line: bool, burst_bits: int, data_bits: int, side_bits: int
) -> tuple[Words, ...]:
    """Return the words of the dies' code over the data and the side band's bits of a block."""
    assert facts.die_code is not None, "only asked for families whose dies have a code"
    code = facts.die_code()
    every = np.arange(data_bits + side_bits)
    on_pins, side = (every, every[:0]) if in_line else (every[:data_bits], every[data_bits:])
    if not facts.die_lanes:
        return _words(code, every)
    beats = burst_bits // facts.pins
    lanes = on_pins.reshape(-1, beats, facts.pins // facts.die_lanes, facts.die_lanes)
    if code.symbol_bits > 1:
        # A symbol is all beats of a lane; the side band's bits make the last symbol.
        word = np.concatenate([lanes.transpose(0, 2, 3, 1).reshape(-1), side])
        return _words(code.shortened(len(word)), word)
    return (*_words(code, lanes.transpose(0, 2, 1, 3).reshape(-1)), *_words(code, side))


def _words(code: Code, bits: Integers) -> tuple[Words, ...]:
    """Cut `bits` into words of `code`, and one of the code shortened for the bits that are left."""
    whole = len(bits) // code.data_bits * code.data_bits
    full, rest = bits[:whole].reshape(-1, code.data_bits), bits[whole:][None]
    words = [Words(code, full)] if len(full) else []
    if rest.size:
        words.append(Words(code.shortened(rest.size), rest))
    return tuple(words)


def with_ecc(standard: Standard, option: str, *, partial_writes: bool = False) -> Standard:
    """Return the standard as `option` changes it: energy, and with `partial_writes` its gaps between writes.

    Energy: activates and refreshes grow with the cells that are opened, reads and writes with the pins, the
    background only where check bits have a die of their own. With `partial_writes` every write is taken to
    change part of an on-die word (masked writes of LPDDR5, tCCD_L_WR of DDR5). What in-line ECC and
    read-modify-writes by the host cost is in the requests: see `expand_requests`. Raises ChipError as
    `ecc_plan` does.
    """
    plan = ecc_plan(standard, option)
    if option == "none":
        return standard
    energy = standard.energy
    scaled = replace(
        energy,
        activate_precharge_pj=energy.activate_precharge_pj * plan.cell_ratio,
        refresh_pj=energy.refresh_pj * plan.cell_ratio,
        bank_refresh_pj=energy.bank_refresh_pj * plan.cell_ratio,
        read_pj=energy.read_pj * plan.pin_ratio,
        write_pj=energy.write_pj * plan.pin_ratio,
        background_mw=energy.background_mw * (plan.pin_ratio if plan.side_die else 1),
        source=f"{energy.source}; ECC {option}: derived, in proportion to cells and pins",
    )
    changed = replace(standard, energy=scaled, sources={**standard.sources, "ecc": "; ".join(plan.sources)})
    return _with_partial_writes(changed) if partial_writes and plan.on_die else changed


def _with_partial_writes(standard: Standard) -> Standard:
    """Return the standard with the gap before a write that the die merges with what it holds."""
    write = Command.WR
    match find_family(standard.family).merge_rule:
        case "tCCDMW":
            row = RuleRow("bank", (write,), (write,), "nCCDMW")
            cycles = 4 * standard.delay("group", write, write)
        case "tCCD_L_WR":
            row = RuleRow("group", (write,), (write,), "nCCDLWR")
            cycles = max(32 * standard.clock_cycles, -(-20_000_000 // standard.tck_fs))
        case _:
            return standard
    if standard.delay(row.level, write, write) >= cycles:
        return standard
    timings = {**standard.timings, row.formula: cycles}
    return replace(
        standard,
        timings=timings,
        rows=(*standard.rows, row),
        rules=(*standard.rules, *build_rules((row,), timings)),
    )


class Expanded(NamedTuple):
    """Requests as ECC sends them, in order."""

    writes: Flags
    addresses: Integers
    arrivals: Integers
    owner: Integers
    """The request that each one is sent for: a read is answered when all of its reads are."""
    is_ecc: Flags
    """Bursts of check bits; their addresses, and those of the data, are the memory's."""


def expand_requests(
    standard: Standard,
    option: str,
    writes: Flags,
    addresses: Integers,
    arrivals: Integers,
    *,
    partial: Flags | None = None,
    cache_bursts: int = 16,
    channels: int = 1,
    mapping: str = "",
) -> Expanded:
    """Return the requests that the DRAM sees under `option`.

    `partial` marks writes that change part of their burst: the host reads the burst first, unless only the
    dies have a code and merge by themselves. In-line ECC: see `expand_inline`. Raises ChipError as
    `expand_inline` and `ecc_plan` do.
    """
    plan = ecc_plan(standard, option)
    if plan.in_line:
        return expand_inline(
            standard,
            writes,
            addresses,
            arrivals,
            partial=partial,
            cache_bursts=cache_bursts,
            channels=channels,
            mapping=mapping,
        )
    flags = _check_requests(standard, writes, addresses, arrivals, partial, channels * standard.channel_bytes)
    if option == "none" or (plan.side_band is None and find_family(standard.family).merge_rule):
        flags = np.zeros_like(flags)
    owner = np.repeat(np.arange(len(writes)), 1 + (flags & writes))
    first = np.ones(len(owner), bool)
    first[1:] = owner[1:] != owner[:-1]
    sent_write = writes[owner] & ~(first & flags[owner])
    return Expanded(sent_write, addresses[owner], arrivals[owner], owner, np.zeros(len(owner), bool))


def expand_inline(
    standard: Standard,
    writes: Flags,
    addresses: Integers,
    arrivals: Integers,
    *,
    partial: Flags | None = None,
    cache_bursts: int = 16,
    channels: int = 1,
    mapping: str = "",
) -> Expanded:
    """Return the requests with the bursts of in-line ECC: eight data bursts, then one of their check bits.

    Each channel's controller keeps its last `cache_bursts` ECC bursts (least recently used, written back). A
    read whose check bits are not there reads their burst; a write only changes them there. A changed burst
    that has to go is written, and read before if not all of its check bits are known. So a stream pays one
    burst in eight, a random read one for each, a random write a read and a write. At the end all changed
    bursts are written. The ECC burst lies in its data's channel, behind them in the order of addresses there.

    writes and partial are bool, addresses int64 bytes (data alone, below 8/9 of the capacity), arrivals int64
    cycles, all of one length. Raises ChipError for other shapes and addresses, for one in the last ninth of
    its channel (where the channel's bits are high ones), or for a cache outside 1..MAX_CACHE_BURSTS.
    """
    if not 1 <= cache_bursts <= MAX_CACHE_BURSTS:
        raise ChipError(f"in-line ECC: cache_bursts is {cache_bursts}; allowed: 1..{MAX_CACHE_BURSTS}")
    parsed = parse_mapping(mapping or standard.mapping, standard, channels)
    limit = ecc_plan(standard, "side_band").usable_bytes(standard, channels)
    flags = _check_requests(standard, writes, addresses, arrivals, partial, limit)
    channel = parsed.locate_all(addresses)["channel"]
    lines = np.full((channels, cache_bursts, 4), -1, np.int64)
    bursts = _channel_bursts(parsed, addresses)
    outside = np.flatnonzero(bursts * standard.burst_bytes * channels >= limit)
    if len(outside):
        raise ChipError(
            f"request {outside[0]}: address {addresses[outside[0]]} lies in the ninth of its channel that "
            f"in-line ECC takes; use others, or put the channel's bits below the row's in '{parsed}'"
        )
    size = inline_bursts(bursts, channel, writes, flags, lines.copy(), np.zeros((0, 4), np.int64))
    out = np.zeros((size, 4), np.int64)
    inline_bursts(bursts, channel, writes, flags, lines, out)
    owner = out[:, 3]
    return Expanded(
        writes=out[:, 1] == 1,
        addresses=_channel_addresses(parsed, out[:, 0], channel[owner]),
        arrivals=arrivals[owner],
        owner=owner,
        is_ecc=out[:, 2] == 1,
    )


def inline_addresses(mapping: Mapping, addresses: Integers) -> Integers:
    """Return where data bursts lie in a memory with in-line ECC."""
    bursts = _channel_bursts(mapping, addresses)
    moved = bursts // DATA_BURSTS * (DATA_BURSTS + 1) + bursts % DATA_BURSTS
    return _channel_addresses(mapping, moved, mapping.locate_all(addresses)["channel"])


def _channel_runs(mapping: Mapping) -> list[tuple[int, int]]:
    """Return the runs (first bit, bits) of burst address bits that are not the channel's, lowest first."""
    runs: list[tuple[int, int]] = []
    for place, letter in enumerate(reversed(mapping.letters)):
        if letter == CHANNEL_LETTER:
            continue
        if runs and runs[-1][0] + runs[-1][1] == place:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((place, 1))
    return runs


def _channel_bursts(mapping: Mapping, addresses: Integers) -> Integers:
    """Return the numbers of the bursts within their channels, in the order of addresses."""
    bursts, found, filled = addresses >> mapping.burst_bits, np.zeros_like(addresses), 0
    for first, bits in _channel_runs(mapping):
        found |= (bursts >> first & (1 << bits) - 1) << filled
        filled += bits
    return found


def _channel_addresses(mapping: Mapping, bursts: Integers, channel: Integers) -> Integers:
    """Return the addresses of bursts that are numbered within their channels."""
    found, filled = np.zeros_like(bursts), 0
    for first, bits in _channel_runs(mapping):
        found |= (bursts >> filled & (1 << bits) - 1) << first
        filled += bits
    places = mapping.locate_all(found << mapping.burst_bits)
    places["channel"] = channel
    return mapping.address_of_all(places)


def _check_requests(
    standard: Standard,
    writes: Flags,
    addresses: Integers,
    arrivals: Integers,
    partial: Flags | None,
    limit: int,
) -> Flags:
    """Return `partial` as an array; raise ChipError for requests that cannot be."""
    flags = np.zeros(len(writes), bool) if partial is None else partial
    if not len(writes) == len(addresses) == len(arrivals) == len(flags):
        raise ChipError(
            f"requests: {len(writes)} writes, {len(addresses)} addresses, {len(arrivals)} arrivals and "
            f"{len(flags)} partial flags; they must be equally many"
        )
    outside = np.flatnonzero((addresses < 0) | (addresses >= limit) | (addresses % standard.burst_bytes != 0))
    if len(outside):
        raise ChipError(
            f"request {outside[0]}: address {addresses[outside[0]]}; allowed with this ECC on "
            f"{standard.name}: multiples of {standard.burst_bytes} below {limit}"
        )
    return flags
