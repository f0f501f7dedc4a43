"""Cells of Yosys over machine words: random netlists of all kinds, widths and signs, in Python's integers."""

from pathlib import Path

import numpy as np
import pytest
from cell_netlists import INPUT_BITS, CellNetlist, Values

from hanok.rtl import build
from hanok.rtl._harness import harness
from hanok.rtl.build import Library, Port
from hanok.rtl.simulate import Simulation

CYCLES = 60


def compiled(netlist: CellNetlist, folder: Path) -> Simulation:
    inputs = tuple(Port(name, bits, False, True) for name, bits in netlist.inputs.items())
    outputs = tuple(Port(name, bits, False, False) for name, bits in netlist.ports.items())
    build._compile(folder, netlist.rtlil(), harness(inputs, outputs), build._compiler())
    return Simulation(Library(folder / "design.so", inputs, outputs))


def given_values(random: np.random.Generator) -> list[Values]:
    """Numbers of random bits, of few of them, and at the ends of their range."""

    def drawn(bits: int) -> int:
        some = int.from_bytes(random.bytes(24), "little") & (1 << bits) - 1
        ends = (0, 1, (1 << bits) - 1, 1 << bits - 1, (1 << bits - 1) - 1)
        return int(random.choice(np.array([some, some, some, some & 7, *ends], object)))

    return [{f"i{bits}": drawn(bits) for bits in INPUT_BITS} for _ in range(CYCLES)]


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_random_cells_are_pythons_integers(seed: int, tmp_path: Path) -> None:
    random = np.random.default_rng(seed)
    netlist = CellNetlist(random)
    simulation, state = compiled(netlist, tmp_path), {}
    netlist.evaluate(state, dict.fromkeys(netlist.inputs, 0))  # the cycle of the reset
    for cycle, values in enumerate(given_values(random)):
        simulation.step(1, **values)
        right = netlist.evaluate(state, values)
        found = {name: simulation.get(name) for name in netlist.ports}
        wrong = {name: (value, right[name]) for name, value in found.items() if value != right[name]}
        assert not wrong, (cycle, wrong)
