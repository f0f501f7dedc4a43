"""Run one network on three chips and print what each costs: the same bits, other cycles.

Usage: python examples/compare_chips.py
"""

from __future__ import annotations

import numpy as np

import hanok
from hanok.graph.quantise import quantise_model
from hanok.graph.topologies import resnet8


def main() -> None:
    """Build ResNet8 with seeded weights, quantise it, and run it on each chip."""
    generator = np.random.default_rng(7)
    images = generator.standard_normal((4, 3, 32, 32)).astype(np.float32)
    model = quantise_model(resnet8(), {"input": images}).model.SerializeToString(deterministic=True)
    first = None
    for name in ("nano", "edge", "server"):
        chip = hanok.Chip.load(name)
        result = hanok.compile(model, chip).run({"input": images[:1]})
        (output,) = result.outputs.values()
        first = output if first is None else first
        same = "same values" if np.array_equal(output, first) else "other values"
        print(f"{name:8} {result.cycles:8,} cycles at {chip.clock_mhz:5,} MHz, {same}")


if __name__ == "__main__":
    main()
