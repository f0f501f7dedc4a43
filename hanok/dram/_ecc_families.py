"""What each family of standards has for error correction: codes, pins, latencies, and their sources."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from hanok.dram.codes import Code, hamming, hsiao, reed_solomon
from hanok.errors import ChipError


@dataclass(frozen=True)
class Family:
    """Pins of a pseudo-channel, codes on the dies, and what holds the host's check bits: pins or bursts."""

    pins: int
    side_code: Callable[[], Code]
    in_line: bool = False
    """It has no pins for check bits: they take bursts of their own."""
    die_code: Callable[[], Code] | None = None
    die_lanes: int = 0
    """A die's word is all beats of so many pins; 0: consecutive bits."""
    die_reports: bool = False
    """It tells the host of errors that its code cannot correct."""
    merge_rule: Literal["", "tCCD_L_WR", "tCCDMW"] = ""
    """The gap before a write that the die merges into a word; empty: the host has to merge."""
    side_die: bool = False
    """The check bits have a die of their own, with its own background power."""
    read_latency_clocks: int = 0
    """What the decoder of side-band or in-line ECC adds to a read, in the host."""
    sources: tuple[str, ...] = ()


def _secded() -> Code:
    return hsiao(64, 8)


def _die_hamming() -> Code:
    return hamming(128, 8)


_V100 = (
    "side band: eight check bits for each eight bytes, SECDED, no bandwidth or capacity lost (NVIDIA, Tesla "
    "V100 whitepaper); no added latency (Intel, HBM2 Interface FPGA IP user guide, ECC)"
)
_HBM3 = (
    "on die: symbol-based, corrects 16 bits within a sub-wordline (Ryu et al., JSSC 58(4), 2023), by a "
    "Reed-Solomon code for one symbol (Shin and Park, TCAD 44(8), 2025); derived: a symbol is the eight "
    "beats of two pins; 32 data pins, two ECC pins and two check symbols make RS(19,17) over GF(2^16)",
    "side band: metadata beside the data ('HBM3 RAS: Enhancing Resilience at Scale', 2021), two ECC pins a "
    "pseudo-channel, 16 bits a burst (JESD238, not checked in a public text); derived: the code, which is "
    "the host's choice, is one (272,256) Hsiao word a burst; latency as for HBM2",
    "the die reports in real time what it cannot correct (JEDEC's announcement of JESD238)",
)
_LPDDR5 = (
    "in line: (72,64) SECDED, 32 bytes after each 256, 8/9 of the capacity left (Texas Instruments, J784S4 "
    "DDR subsystem); every ninth burst, three clocks a read (AMD, PG456)",
    "on die: derived: (136,128) as DDR5, a word a byte lane; reads take no longer; a masked write holds its "
    "bank for tCCDMW (JESD209-5), derived: four times BL/n_max, as LPDDR4's is four times tCCD",
)

FAMILIES = {
    "HBM2": Family(64, _secded, sources=(_V100,)),
    "HBM2E": Family(
        64,
        _secded,
        die_code=lambda: hsiao(96, 8),
        sources=(
            _V100,
            "on die: 24 bits for 256 of data and 32 of ECC, three (104,96) SECDED words (Chun et al., JSSC "
            "56(1), 2021); derived: which bits share a word",
        ),
    ),
    **dict.fromkeys(
        ("HBM3", "HBM3E", "HBM4"),
        Family(
            32,
            lambda: hsiao(256, 16),
            die_code=lambda: reed_solomon(17, 16),
            die_lanes=2,
            die_reports=True,
            sources=_HBM3,
        ),
    ),
    **dict.fromkeys(
        ("LPDDR5", "LPDDR5X"),
        Family(
            16,
            _secded,
            in_line=True,
            die_code=_die_hamming,
            die_lanes=8,
            merge_rule="tCCDMW",
            read_latency_clocks=3,
            sources=_LPDDR5,
        ),
    ),
    "DDR5": Family(
        32,
        _secded,
        die_code=_die_hamming,
        die_lanes=8,
        merge_rule="tCCD_L_WR",
        side_die=True,
        read_latency_clocks=8,
        sources=(
            "on die: eight check bits for each 128 data bits of a die, corrected before they are sent, not "
            "reported (JESD79-5); x8 dies; a write that changes part of a word takes tCCD_L_WR, as the "
            "table has it for every write",
            "side band: four pins beside 32; eight clocks a read (AMD, PG456: 4- or 8-bit side-band ECC)",
        ),
    ),
    "GDDR6": Family(
        16,
        _secded,
        in_line=True,
        read_latency_clocks=3,
        sources=(
            "no ECC pins, no on-die ECC (JESD250; its EDC pins guard the transfer alone); in line as on "
            "GDDR5 boards (NVIDIA, Tesla V100 whitepaper, of the K40); derived: layout and latency as for "
            "LPDDR5",
        ),
    ),
}


def find_family(name: str) -> Family:
    """Return the facts of a family; raise ChipError for one that is not in the table."""
    if name not in FAMILIES:
        raise ChipError(
            f"memory.ecc: nothing is known of family '{name[:20]}'; allowed: {', '.join(FAMILIES)}"
        )
    return FAMILIES[name]
