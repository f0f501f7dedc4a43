"""Cycles of transformers against their multiplications alone: python benchmarks/transformers.py MODEL...

MODEL: ONNX files, float or QDQ. For each chip (--chip, by default gemmini-16 and edge): cycles,
how many times the cycles of the multiplications on a full array that is, operators on the host, and the kinds
of layers that take the time.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from hanok.cli.options import load_chip
from hanok.flows.compile_and_run import compile_model
from hanok.isa import Program, decode
from hanok.simulator import simulate


def times_of(program: Program) -> tuple[int, Counter[str]]:
    """Cycles in all, and from the end of each layer to the end of the next, by kind."""
    total, kinds = 0, Counter[str]()
    for stage in program.npu_stages:
        timing = simulate(decode(stage.code), program.chip, code_address=stage.code_address)
        total += timing.cycles
        ends: dict[int, int] = {}
        for layer, end in zip(stage.layer_of, timing.end, strict=True):
            ends[int(layer)] = max(ends.get(int(layer), 0), int(end))
        last = 0
        for layer in sorted(ends):
            kinds[program.layers[layer].onnx_type] += max(0, ends[layer] - last)
            last = max(last, ends[layer])
    return total, kinds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--chip", action="append")
    arguments = parser.parse_args()
    for name in arguments.chip or ["gemmini-16", "edge"]:
        chip = load_chip(name)
        for model in arguments.models:
            program = compile_model(model, chip)
            cycles, kinds = times_of(program)
            array = chip.core.matrix.rows * chip.core.matrix.columns
            ideal = sum(layer.macs for layer in program.layers) / array
            hosted = len(program.host_operators)
            print(
                f"{Path(model).stem} on {name}: {cycles:,} cycles, {cycles / ideal:.2f} times the products'"
            )
            print(f"  {hosted} operators on the host: {dict(Counter(k for _, k in program.host_operators))}")
            for kind, share in kinds.most_common(8):
                print(f"  {100 * share / cycles:5.1f} %  {kind}")


if __name__ == "__main__":
    main()
