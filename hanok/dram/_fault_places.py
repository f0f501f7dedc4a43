"""Where faults lie: kinds of faults, and the cells and pin bits of a memory that they make wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanok.dram.codes import check_rate
from hanok.dram.ecc import EccPlan, inline_addresses
from hanok.dram.mapping import parse_mapping
from hanok.dram.standard import Standard
from hanok.errors import ChipError

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class BitFlip:
    """One wrong cell: bit 0..7 of the byte at `address`."""

    address: int
    bit: int


@dataclass(frozen=True)
class BurstFault:
    """The cells of the burst that holds `address`, with their check bits, as after an aborted access."""

    address: int


@dataclass(frozen=True)
class RowFault:
    """All bursts of the DRAM row that holds `address`, with their check bits: a word line that fails."""

    address: int


@dataclass(frozen=True)
class ColumnFault:
    """Bit 0..7 of the byte at `address`, and the same one in each row of its bank: a bit line that fails."""

    address: int
    bit: int


@dataclass(frozen=True)
class PinFault:
    """One data pin of a pseudo-channel: its bit in each beat of each burst; the dies' code cannot see it."""

    channel: int
    pseudo: int
    pin: int


Fault = BitFlip | BurstFault | RowFault | ColumnFault | PinFault


@dataclass(frozen=True)
class Faults:
    """What is wrong with a memory; the same seed gives the same wrong bits.

    A bit under a fault other than BitFlip is wrong with probability 1/2, as what is read there does not
    depend on what was written.
    """

    rate: float = 0.0
    """Of wrong cells, each on its own: data, side band and the dies' check bits alike."""
    link_rate: float = 0.0
    """Of bits that go wrong between die and host, each on its own; the dies' code does not see them."""
    faults: tuple[Fault, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        check_rate("bit-error rate", self.rate)
        check_rate("bit-error rate of the link", self.link_rate)


def random_flips(total: int, rate: float, generator: np.random.Generator) -> Integers:
    """Return which of `total` bits are wrong, ascending, when each one is with probability `rate`.

    Drawn as the distances from one to the next, so the cost goes with the wrong bits alone. Raises ChipError
    for a rate outside 0..1.
    """
    check_rate("bit-error rate", rate)
    if rate == 0 or total == 0:
        return np.zeros(0, np.int64)
    found, last = [], -1
    while last < total:
        guess = min(int((total - last) * rate * 1.1) + 16, 1 << 24)
        # Distances past the end are cut, so that sums stay within 64 bits.
        steps = last + np.cumsum(np.minimum(generator.geometric(rate, guess), total + 1))
        found.append(steps)
        last = int(steps[-1])
    every: Integers = np.concatenate(found)
    inside: Integers = every[every < total]
    return inside


def place_faults(
    plan: EccPlan, standard: Standard, size: int, faults: Faults, channels: int, mapping: str
) -> tuple[Integers, Integers]:
    """Return the wrong cells and the wrong link bits, ascending: block * bits of a block + bit."""
    generator = np.random.default_rng(faults.seed)
    cell_bits = plan.data_bits + plan.side_bits + plan.die_bits
    link_bits = plan.data_bits + plan.side_bits
    blocks = -(-8 * size // plan.data_bits)
    cells = [random_flips(blocks * cell_bits, faults.rate, generator)]
    links = [random_flips(blocks * link_bits, faults.link_rate, generator)]
    places = _Places(plan, standard, size, channels, mapping)
    for fault in faults.faults:
        bits = places.bits_of(fault)
        if not isinstance(fault, BitFlip):
            bits = bits[generator.random(len(bits)) < 0.5]
        (links if isinstance(fault, PinFault) else cells).append(bits)
    return (
        _odd_ones(np.concatenate(cells), plan, cell_bits, size),
        _odd_ones(np.concatenate(links), plan, link_bits, size),
    )


def _odd_ones(flips: Integers, plan: EccPlan, bits: int, size: int) -> Integers:
    """Return what is flipped an odd number of times, ascending, but for words of data beyond the image."""
    found, times = np.unique(flips, return_counts=True)
    inside = found // bits * plan.data_bits + _homes(plan)[found % bits] < 8 * size
    odd: Integers = np.asarray(found[(times % 2 == 1) & inside], np.int64)
    return odd


def _homes(plan: EccPlan) -> Integers:
    """Return for each bit of a block the first data bit of the word that it is in."""
    shared = plan.data_bits + plan.side_bits
    homes = np.arange(shared)
    homes[plan.data_bits :] = np.arange(plan.side_bits) * plan.data_bits // max(1, plan.side_bits)
    firsts = [np.repeat(homes[words.bits].min(axis=1), words.code.check_bits) for words in plan.on_die]
    return np.concatenate([homes, *firsts])


class _Places:
    """Where faults lie, by the memory's address mapping."""

    def __init__(self, plan: EccPlan, standard: Standard, size: int, channels: int, mapping: str) -> None:
        self.plan, self.standard, self.size, self.channels = plan, standard, size, channels
        self.mapping = parse_mapping(mapping or standard.mapping, standard, channels)
        self.cell_bits = plan.data_bits + plan.side_bits + plan.die_bits
        if size > plan.usable_bytes(standard, channels):
            raise ChipError(
                f"memory image: {size} bytes; allowed on {channels} channels of {standard.name} with ECC "
                f"{plan.option}: at most {plan.usable_bytes(standard, channels)}"
            )

    def bits_of(self, fault: Fault) -> Integers:
        """Return the cells, or for a PinFault the link bits, that a fault covers."""
        match fault:
            case PinFault():
                return self._pin(fault)
            case BitFlip(address, bit):
                self._check(address, bit)
                return self._data_cells(np.array([8 * address + bit]))
            case BurstFault(address):
                self._check(address, 0)
                return self._burst_cells(np.array([address // self.plan.burst_bytes]))
            case RowFault(address):
                self._check(address, 0)
                return self._burst_cells(self._same(address, ("row",)))
            case ColumnFault(address, bit):
                self._check(address, bit)
                inside = 8 * (address % self.plan.burst_bytes) + bit
                return self._data_cells(self._same(address, ("column",)) * 8 * self.plan.burst_bytes + inside)

    def _check(self, address: int, bit: int) -> None:
        if not 0 <= address < self.size:
            raise ChipError(f"fault: address {address}; allowed: 0..{self.size - 1}, inside the image")
        if not 0 <= bit < 8:
            raise ChipError(f"fault: bit {bit}; allowed: 0..7 of a byte")

    def _same(self, address: int, fields: tuple[str, ...]) -> Integers:
        """Return the image's bursts in the bank of `address` that agree with it in `fields`."""
        places = self._located(np.arange(0, self.size, self.plan.burst_bytes))
        number = address // self.plan.burst_bytes
        same = np.ones(len(places["bank"]), bool)
        for field in ("channel", "pseudo", "rank", "group", "bank", *fields):
            same &= places[field] == places[field][number]
        return np.flatnonzero(same)

    def _located(self, addresses: Integers) -> dict[str, Integers]:
        moved = inline_addresses(self.mapping, addresses) if self.plan.in_line else addresses
        return self.mapping.locate_all(moved)

    def _data_cells(self, bits: Integers) -> Integers:
        """Return the cells of data bits that are counted from the image's first."""
        return bits // self.plan.data_bits * self.cell_bits + bits % self.plan.data_bits

    def _burst_cells(self, bursts: Integers) -> Integers:
        """Return the cells of bursts: data, and the check bits that lie beside them.

        In-line check bits, and the side band of DDR5, lie elsewhere.
        """
        plan = self.plan
        width = 8 * plan.burst_bytes
        cells = [self._data_cells((bursts[:, None] * width + np.arange(width)).reshape(-1))]
        start = bursts // plan.block_bursts * self.cell_bits
        if plan.side_bits and not plan.in_line and not plan.side_die:
            cells.append((start[:, None] + plan.data_bits + np.arange(plan.side_bits)).reshape(-1))
        place = plan.data_bits + plan.side_bits
        for words in plan.on_die:
            count = words.code.check_bits
            for bits in words.bits:
                if bits[0] < plan.data_bits:
                    here = start[bits[0] // width == bursts % plan.block_bursts]
                    cells.append((here[:, None] + place + np.arange(count)).reshape(-1))
                place += count
        return np.concatenate(cells)

    def _pin(self, fault: PinFault) -> Integers:
        plan, shape = self.plan, self.standard.organisation
        for name, value, count in (
            ("channel", fault.channel, self.channels),
            ("pseudo-channel", fault.pseudo, shape.pseudo_channels),
            ("pin", fault.pin, plan.pins),
        ):
            if not 0 <= value < count:
                raise ChipError(f"fault: {name} {value}; allowed on {self.standard.name}: 0..{count - 1}")
        places = self._located(np.arange(0, self.size, plan.burst_bytes))
        bursts = np.flatnonzero((places["channel"] == fault.channel) & (places["pseudo"] == fault.pseudo))
        width = 8 * plan.burst_bytes
        bits = (bursts[:, None] * width + np.arange(fault.pin, width, plan.pins)).reshape(-1)
        return bits // plan.data_bits * (plan.data_bits + plan.side_bits) + bits % plan.data_bits
