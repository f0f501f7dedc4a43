"""Boards with an ECP5, as data: the device and what it holds, pins, and the divisors of its PLL."""

from __future__ import annotations

from dataclasses import dataclass

from hanok.errors import ChipError

_VCO_MHZ = (400.0, 800.0)
_PHASE_DETECTOR_MHZ = (3.125, 400.0)
_MOST_DIVISOR = 128
"""EHXPLLL (Lattice ECP5 and ECP5-5G sysCLOCK PLL/DLL Design and Usage Guide, FPGA-TN-02200)."""


@dataclass(frozen=True)
class Resources:
    """What a device has and a design takes."""

    luts: int
    block_rams: int
    multipliers: int


@dataclass(frozen=True)
class Board:
    """A board: its FPGA as nextpnr-ecp5 names it, and its pins."""

    name: str
    description: str
    device: str
    """The option of nextpnr."""
    package: str
    speed: int
    capacity: Resources
    clock_mhz: float
    pins: dict[str, str]
    """By port of the design: `clock`, `receive` (from the host), `transmit`, `leds[0]` ..."""
    io_types: dict[str, str]
    """Of ports that are not LVCMOS33."""
    leds_lit_by: int
    """The level that lights an LED."""
    source: str

    @property
    def leds(self) -> int:
        """How many LEDs there are."""
        return sum(port.startswith("leds[") for port in self.pins)


ECP5_85 = Resources(luts=83_640, block_rams=208, multipliers=156)
"""LFE5U-85, LFE5UM-85 and LFE5UM5G-85 (Lattice ECP5 and ECP5-5G Family Data Sheet, FPGA-DS-02012)."""


def _led_pins(pins: str) -> dict[str, str]:
    return {f"leds[{number}]": pin for number, pin in enumerate(pins.split())}


BOARDS = {
    board.name: board
    for board in (
        Board(
            name="ulx3s-85f",
            description="ULX3S with an LFE5U-85F of speed grade 6",
            device="85k",
            package="CABGA381",
            speed=6,
            capacity=ECP5_85,
            clock_mhz=25.0,
            pins={"clock": "G2", "receive": "M1", "transmit": "L4", **_led_pins("B2 C2 C1 D2 D1 E2 E1 H3")},
            io_types={},
            leds_lit_by=1,
            source="github.com/emard/ulx3s, doc/constraints/ulx3s_v20.lpf; docs/MANUAL.md",
        ),
        Board(
            name="ecp5-evn",
            description="Lattice ECP5 Evaluation Board with an LFE5UM5G-85F of speed grade 8",
            device="um5g-85k",
            package="CABGA381",
            speed=8,
            capacity=ECP5_85,
            clock_mhz=12.0,
            pins={
                "clock": "A10",
                "receive": "P2",
                "transmit": "P3",
                **_led_pins("A13 A12 B19 A18 B18 C17 A17 B17"),
            },
            io_types={f"leds[{number}]": "LVCMOS25" for number in range(8)},
            leds_lit_by=0,
            source="Lattice ECP5 Evaluation Board User Guide, FPGA-EB-02017; its UART takes two resistor "
            "jumpers (section 6.2)",
        ),
    )
}


OTHER_NAMES = {"ecp5-85": "ecp5-evn"}
"""What a board is called by its device."""


def board_of(name: str) -> Board:
    """Return the board of a name; raises ChipError for one that is not known."""
    known = OTHER_NAMES.get(name, name)
    if known not in BOARDS:
        raise ChipError(f"board '{name}' is not known; boards: {', '.join([*BOARDS, *OTHER_NAMES])}")
    return BOARDS[known]


@dataclass(frozen=True)
class PllDivisors:
    """Of an EHXPLLL that feeds back a clock of its own, oscillator / `back`.

    Its oscillator makes input * back / reference, its main output oscillator / `output`.
    """

    reference: int
    back: int
    output: int


def pll_divisors(input_mhz: float, output_mhz: float) -> PllDivisors:
    """Return divisors that make exactly this clock.

    Of several, those that compare phases most often, then those with the oscillator nearest the middle of
    its range. Raises ChipError where none do.
    """
    middle = sum(_VCO_MHZ) / 2
    found: list[tuple[tuple[int, float], PllDivisors]] = []
    for reference in range(1, _MOST_DIVISOR + 1):
        detector = input_mhz / reference
        if not _PHASE_DETECTOR_MHZ[0] <= detector <= _PHASE_DETECTOR_MHZ[1]:
            continue
        for output in range(1, _MOST_DIVISOR + 1):
            oscillator = output * output_mhz
            back = round(oscillator / detector)
            if not _VCO_MHZ[0] <= oscillator <= _VCO_MHZ[1] or not 1 <= back <= _MOST_DIVISOR:
                continue
            if abs(back * detector - oscillator) <= 1e-9 * oscillator:
                found.append(((reference, abs(oscillator - middle)), PllDivisors(reference, back, output)))
    if not found:
        raise ChipError(
            f"the board's PLL cannot make {output_mhz:g} MHz of {input_mhz:g} MHz; choose another clock"
        )
    return min(found, key=lambda pair: pair[0])[1]


def clock_below(input_mhz: float, most_mhz: float) -> int | None:
    """Return the most whole MHz up to `most_mhz` that the PLL can make; None where there is none."""
    for clock in range(int(most_mhz), 0, -1):
        try:
            pll_divisors(input_mhz, clock)
        except ChipError:
            continue
        return clock
    return None


def preferences(board: Board, sought_mhz: float) -> str:
    """Return the board's constraints in Lattice's preference format, for a core clock of `sought_mhz`."""
    lines = [f'FREQUENCY PORT "clock" {board.clock_mhz:g} MHZ;', f'FREQUENCY NET "clk" {sought_mhz:g} MHZ;']
    for port, pin in board.pins.items():
        lines.append(f'LOCATE COMP "{port}" SITE "{pin}";')
        lines.append(f'IOBUF PORT "{port}" IO_TYPE={board.io_types.get(port, "LVCMOS33")};')
    return "\n".join([*lines, ""])
