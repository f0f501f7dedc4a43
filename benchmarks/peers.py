"""Cycles against published figures of other NPUs, at as many multipliers and as much memory as they have.

`python benchmarks/peers.py [FOLDER]`. FOLDER may hold trained models, as ONNX files in QDQ form: the MLPerf
Tiny networks `resnet8.onnx`, `vww.onnx`, `autoencoder.onnx` (or under the names that MLPerf Tiny gives them),
and `resnet50.onnx`. What it does not hold is built with seeded weights in the same shapes; then cycles of the
matrix and the vector unit are the same, but packed weights are not as small as trained ones.

The limit is the larger of two times that nothing with these multipliers and this memory can beat: all
multiply-accumulates on all multipliers, and the weights (as they are stored), the input and the output over
the full bandwidth, each byte once.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from math import prod
from pathlib import Path

from models import int8_model
from table import print_table

from hanok.dram import get_standard
from hanok.flows.compile_and_run import compile_model
from hanok.isa import Program
from hanok.machine import Chip
from hanok.simulator.engine import simulate

VELA = "Ethos-U55, Vela 5.2"
NVDLA = "NVDLA, published"
GEMMINI = "Gemmini 16x16"
VELA_CYCLES = {
    "resnet8": {"u55-64": 358_129, "u55-128": 201_747, "u55-256": 141_933},
    "vww": {"u55-64": 359_674, "u55-128": 220_870, "u55-256": 161_459},
    "autoencoder": {"u55-64": 201_184, "u55-128": 201_184, "u55-256": 201_184},
}
"""Total cycles that ethos-u-vela 5.2 estimates for the trained networks: 500 MHz, Shared_Sram."""
NVDLA_FRAMES = {"nvdla-64": 7.3, "nvdla-256": 46, "nvdla-1024": 153}
"""ResNet-50 frames a second at 1 GHz: NVDLA Primer, performance table, nvdla.org/primer.html."""
GEMMINI_UTILISATION = (0.40, 0.51)
"""Share of its multipliers that Gemmini uses on ResNet-50, lowest and highest figure found."""
VELA_AIM, RESNET50_AIM = 1.3, 1 / 0.9
"""Cycles by the limit that are aimed at: the latter is 90 % of what is possible."""
OTHER_NAMES = {
    "resnet8": ("pretrainedResnet_quant",),
    "vww": ("vww_96_int8",),
    "autoencoder": ("ad01_int8",),
}


@dataclass(frozen=True)
class Comparison:
    """One model on one chip; the peer's cycles at its worst and at its best."""

    peer: str
    model: str
    chip: str
    peer_cycles: tuple[int, int]
    aim: float
    cycles: int
    mac_limit: int
    bandwidth_limit: int
    trained: bool

    @property
    def cells(self) -> tuple[str, ...]:
        """The row as text."""
        limit = max(self.mac_limit, self.bandwidth_limit)
        by_limit, best = self.cycles / limit, min(self.peer_cycles)
        verdict = "MISSED" if self.cycles >= best else "aim reached" if by_limit <= self.aim else "met"
        return (
            f"{self.model} on {self.chip}{'' if self.trained else ' (seeded)'}",
            self.peer,
            " to ".join(f"{cycles:,}" for cycles in dict.fromkeys(self.peer_cycles)),
            f"{self.cycles:,}",
            f"{self.cycles / best:.2f}",
            f"{self.mac_limit:,}",
            f"{self.bandwidth_limit:,}",
            f"{by_limit:.2f}",
            f"{self.aim:.2f}",
            verdict,
        )


HEADINGS = (
    *("model and chip", "peer", "peer cycles", "hanok", "by peer", "MAC limit", "DRAM limit", "by limit"),
    *("aim", "verdict"),
)


def find_model(name: str, folder: Path | None) -> Path | None:
    """A model of the user's folder, by any of its names."""
    stems = (name, *OTHER_NAMES.get(name, ()))
    paths = [folder / f"{stem}.onnx" for stem in stems] if folder else []
    return next((path for path in paths if path.is_file()), None)


def bandwidth_limit(program: Program) -> int:
    """Cycles to move constants, inputs and outputs once at the memory's full rate."""
    chip = program.chip
    rate = get_standard(chip.memory.standard).peak_bytes_per_second * chip.memory.channels
    ends = sum(prod(value.shape) for value in (*program.inputs, *program.outputs))
    return round((len(program.constants) + ends) * chip.clock_mhz * 1e6 / rate)


def compare(peer: str, name: str, chip_name: str, folder: Path | None) -> Comparison:
    """Compile, count, and find the limits."""
    given, chip = find_model(name, folder), Chip.load(chip_name)
    program = compile_model(given or int8_model(name), chip)
    cycles = sum(
        simulate(stage.code, chip, code_address=stage.code_address).cycles for stage in program.npu_stages
    )
    mac_limit = sum(layer.macs for layer in program.layers) // chip.core.matrix.macs
    if peer == VELA:
        peer_cycles = (VELA_CYCLES[name][chip_name],) * 2
    elif peer == NVDLA:
        peer_cycles = (round(chip.clock_mhz * 1e6 / NVDLA_FRAMES[chip_name]),) * 2
    else:
        slow, fast = (round(mac_limit / share) for share in GEMMINI_UTILISATION)
        peer_cycles = (slow, fast)
    aim = VELA_AIM if peer == VELA else RESNET50_AIM
    limits = mac_limit, bandwidth_limit(program)
    return Comparison(peer, name, chip_name, peer_cycles, aim, cycles, *limits, given is not None)


def main() -> None:
    """Print a row for each peer, model and chip."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    asked = [(VELA, name, chip) for name, chips in VELA_CYCLES.items() for chip in chips]
    asked += [(NVDLA, "resnet50", chip) for chip in NVDLA_FRAMES]
    asked.append((GEMMINI, "resnet50", "gemmini-16"))
    found = [compare(*case, folder) for case in asked]
    print_table(HEADINGS, (comparison.cells for comparison in found))
    for comparison in found:
        if comparison.peer != VELA:
            frames = Chip.load(comparison.chip).clock_mhz * 1e6 / comparison.cycles
            share = comparison.mac_limit / comparison.cycles
            print(f"ResNet-50 on {comparison.chip}: {frames:.1f} frames/s, {100 * share:.1f} % of its MACs")


if __name__ == "__main__":
    main()
