"""Published figures of energy and area, their sources, and how they are scaled to a node and a voltage."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import exp, log

from hanok.machine import Technology
from hanok.numerics.ranges import Range

HOROWITZ = "Horowitz, 'Computing's Energy Problem', ISSCC 2014, figure 1.1.9: 45 nm, 0.9 V"
JOUPPI = (
    "Jouppi et al., 'Ten Lessons From Three Generations Shaped Google's TPUv4i', ISCA 2021, table 2: 7 nm"
)

OLD_NODE_NM, NEW_NODE_NM = 45.0, 7.0


@dataclass(frozen=True)
class OperationEnergy:
    """Picojoules of one operation at the two nodes for which both papers give it."""

    name: str
    old_pj: float
    new_pj: float


INT8_ADD = OperationEnergy("int8 add", 0.03, 0.007)
INT32_ADD = OperationEnergy("int32 add", 0.1, 0.03)
INT8_MULTIPLY = OperationEnergy("int8 multiply", 0.2, 0.07)
FLOAT32_ADD = OperationEnergy("float32 add", 0.9, 0.38)
FLOAT32_MULTIPLY = OperationEnergy("float32 multiply", 3.7, 1.31)
OPERATIONS = (INT8_ADD, INT32_ADD, INT8_MULTIPLY, FLOAT32_ADD, FLOAT32_MULTIPLY)


@dataclass(frozen=True)
class SramEnergy:
    """Picojoules of a 64-bit access to an SRAM of this size at the two nodes."""

    size_bytes: int
    old_pj: float
    new_pj: float


SRAM_ENERGY = (
    SramEnergy(8 << 10, 10.0, 7.5),
    SramEnergy(32 << 10, 20.0, 8.5),
    SramEnergy(1 << 20, 100.0, 14.0),
)
SRAM_ACCESS_BYTES = 8

NOMINAL_VOLTAGE = ((90.0, 1.2), (65.0, 1.1), (45.0, 0.9), (28.0, 0.9), (16.0, 0.8), (7.0, 0.75), (3.0, 0.75))
NOMINAL_VOLTAGE_SOURCE = (
    "45 nm: Horowitz; others: nominal supplies of TSMC's processes as WikiChip lists them"
)

LOGIC_DENSITY = (
    (65.0, 1 / 2.35),
    (40.0, 1.0),
    (28.0, 2.0),
    (16.0, 4.0),
    (10.0, 8.0),
    (7.0, 12.8),
    (5.0, 19.2),
    (3.0, 30.7),
)
LOGIC_DENSITY_SOURCE = (
    "gate density relative to 40 nm, from TSMC's own steps (40 nm: 2.35 x 65 nm; 28 nm: 2 x; 16FF+: 2 x; "
    "10 nm: 2 x; 7 nm: 1.6 x; N3: 1.6 x); N5: 1.5 x as Angstronomics measured it (2022), not TSMC's 1.8 x"
)

BIT_CELL_UM2 = (
    (65.0, 0.499),
    (45.0, 0.296),
    (40.0, 0.242),
    (28.0, 0.127),
    (16.0, 0.07),
    (10.0, 0.042),
    (7.0, 0.027),
    (5.0, 0.021),
    (3.0, 0.0199),
)
BIT_CELL_SOURCE = (
    "high-density 6T cells of TSMC's IEDM and ISSCC papers for each node, as WikiChip lists them"
)

GATE_AREA_NODE_NM = 45.0
INT8_MULTIPLY_UM2, INT32_ADD_UM2 = 282.0, 137.0
GATE_AREA_SOURCE = f"{HOROWITZ}, with areas as Dally gives them (tutorial, NIPS 2015)"
VECTOR_UNIT_UM2, VECTOR_LANE_UM2, VECTOR_STEP_UM2 = 45_900.0, 45_800.0, 25_400.0
"""A unit's control; a lane's three operands, fold, divider and writer; a step unit with all operations."""
VECTOR_SOURCE = (
    "hanok's own gates with the pipelines of `nano` in Nangate 45 nm cells (`hanok area`): 188,314 um2 for 2 "
    "lanes of 1 step, 330,685 for 4 of 1, 432,259 for 4 of 2"
)
FLIP_FLOP_UM2 = 4.522
FLIP_FLOP_SOURCE = "Nangate 45 nm Open Cell Library, DFF_X1"

MAC_OVERHEAD = Range(1.0, 1.4, 2.2)
IDLE_SLOT = Range(0.02, 0.1, 0.3)
PRELOAD = Range(0.5, 1.5, 4.0)
VECTOR_STEP = Range(1.0, 1.0, 1.3)
SRAM_WIRES = Range(0.5, 1.0, 2.0)
FLAT_PJ_PER_BIT = Range(4.0, 15.0, 40.0)
LEAKAGE_MW_PER_MM2 = Range(1.0, 5.0, 30.0)
PE_AREA = Range(1.3, 1.75, 2.6)
VECTOR_AREA = Range(0.7, 1.0, 1.6)
SRAM_MACRO = Range(1.8, 2.8, 4.5)
CONTROL_AREA = Range(0.03, 0.08, 0.2)

CHOICES = (
    (
        "MAC_OVERHEAD",
        MAC_OVERHEAD,
        "clock, registers and glitches on top of an int8 multiply and an int32 add",
    ),
    ("IDLE_SLOT", IDLE_SLOT, "a multiplier that streams without work, of a MAC: clock gated to not gated"),
    (
        "PRELOAD",
        PRELOAD,
        "a weight byte moved to a shadow register, of an int8 add: eight flip-flops and wires",
    ),
    (
        "VECTOR_STEP",
        VECTOR_STEP,
        "low: an add; nominal: mean of add and multiply; high: multiply times this",
    ),
    ("SRAM_WIRES", SRAM_WIRES, "wide rows amortise decoding (low), wires across the core add to it (high)"),
    (
        "FLAT_PJ_PER_BIT",
        FLAT_PJ_PER_BIT,
        "pJ/bit of FLAT memory: low-power DRAM to DDR (20 pJ/bit in both papers)",
    ),
    ("LEAKAGE_MW_PER_MM2", LEAKAGE_MW_PER_MM2, "mW/mm2: low-power to high-performance transistors, warm"),
    (
        "PE_AREA",
        PE_AREA,
        "the array against the sum of its parts: hanok's own gates in Nangate 45 nm cells take 1.77 (8x8) "
        "and 1.74 (16x16) times as much, for depthwise inputs, padding, sign and carry; up to half more "
        "with wires",
    ),
    ("VECTOR_AREA", VECTOR_AREA, "shorter pipelines than those of `nano` (low); wires and clock (high)"),
    ("SRAM_MACRO", SRAM_MACRO, "macro with one read and one write port against its high-density cells"),
    ("CONTROL_AREA", CONTROL_AREA, "fetch, dispatch, DMA and network, of everything else"),
)
"""Name, range and reason of each factor that no publication gives: these are choices."""


def _interpolate(table: tuple[tuple[float, float], ...], at: float) -> float:
    """Value of a table sorted by falling x, straight between its points on log-log axes and at its ends."""
    rows = list(pairwise(table))
    (left, low), (right, high) = next((row for row in rows if at >= row[1][0]), rows[-1])
    slope = log(high / low) / log(right / left)
    return low * exp(slope * log(at / left))


def node_energy(old_pj: float, new_pj: float, technology: Technology) -> float:
    """Scale between the two nodes, a power of the node through both, and with the square of the voltage."""
    base = _interpolate(((OLD_NODE_NM, old_pj), (NEW_NODE_NM, new_pj)), technology.node_nm)
    return base * (technology.voltage / nominal_voltage(technology.node_nm)) ** 2


def nominal_voltage(node_nm: float) -> float:
    """The supply at which the figures of a node hold; the ends of the table beyond it."""
    held = min(max(node_nm, NOMINAL_VOLTAGE[-1][0]), NOMINAL_VOLTAGE[0][0])
    return _interpolate(NOMINAL_VOLTAGE, held)


def operation_pj(operation: OperationEnergy, technology: Technology) -> float:
    """Picojoules of an operation."""
    return node_energy(operation.old_pj, operation.new_pj, technology)


def sram_pj_per_byte(bank_bytes: int, technology: Technology) -> Range:
    """Picojoules of a byte read from or written to a bank of this size."""
    old = _interpolate(
        tuple((float(row.size_bytes), row.old_pj) for row in reversed(SRAM_ENERGY)), bank_bytes
    )
    new = _interpolate(
        tuple((float(row.size_bytes), row.new_pj) for row in reversed(SRAM_ENERGY)), bank_bytes
    )
    return SRAM_WIRES * (node_energy(old, new, technology) / SRAM_ACCESS_BYTES)


def logic_um2(old_um2: float, node_nm: float) -> float:
    """Area of logic that takes old_um2 at 45 nm."""
    return old_um2 * _interpolate(LOGIC_DENSITY, GATE_AREA_NODE_NM) / _interpolate(LOGIC_DENSITY, node_nm)


def sram_um2(size_bytes: int, node_nm: float) -> Range:
    """Area of an SRAM macro."""
    return SRAM_MACRO * (8 * size_bytes * _interpolate(BIT_CELL_UM2, node_nm))
