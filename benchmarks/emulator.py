"""Time of the emulator against ONNX Runtime's own int8 time: one thread, same machine, CPU seconds.

`python benchmarks/emulator.py [CHIP [MODEL.onnx ...]]`; without models: ResNet-50 and MobileNetV2 with seeded
weights. Also shows the first call (compilation of the kernels, or loading them from the cache).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime

from hanok.flows._tensors import dram_image
from hanok.flows.compile_and_run import compile_model
from hanok.graph.topologies import TOPOLOGIES
from hanok.isa import decode
from hanok.machine import Chip
from hanok.simulator import emulate

REPEATS = 7


def cpu_seconds(action: Callable[[], object]) -> float:
    start = time.process_time()
    action()
    return time.process_time() - start


def runtime_seconds(model: bytes) -> float:
    """The fastest of several runs of ONNX Runtime on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    feeds = {
        value.name: rng.normal(size=[size if isinstance(size, int) else 1 for size in value.shape]).astype(
            np.float32
        )
        for value in session.get_inputs()
    }
    session.run(None, feeds)
    return min(cpu_seconds(lambda: session.run(None, feeds)) for _ in range(REPEATS))


def measure(name: str, source: str | bytes, chip: Chip) -> None:
    """Print one row."""
    program = compile_model(source, chip)
    image = dram_image(program)
    rng = np.random.default_rng(0)
    for binding in program.bindings:
        values = rng.integers(0, 256, int(np.prod(binding.shape)), np.uint8)
        image[binding.address : binding.address + len(values)] = values
    stages = [decode(stage.code) for stage in program.npu_stages]

    def run() -> None:
        memory = image.copy()
        for stage in stages:
            emulate(stage, chip, memory)

    first = cpu_seconds(run)
    seconds, runtime = min(cpu_seconds(run) for _ in range(REPEATS)), runtime_seconds(program.source_model)
    instructions, macs = sum(map(len, stages)), sum(layer.macs for layer in program.layers)
    times = f"{1e3 * first:9.0f} {1e3 * seconds:9.1f} {1e3 * runtime:9.1f} {seconds / runtime:6.1f}"
    print(f"{name:24} {instructions:7} {macs / 1e6:8.0f} {times}")


def main() -> None:
    """Print a row for each model."""
    chip = Chip.load(sys.argv[1] if len(sys.argv) > 1 else "hbm2-128")
    models: list[tuple[str, str | bytes]] = [(Path(path).stem, path) for path in sys.argv[2:]]
    if not models:
        models = [(name, TOPOLOGIES[name]().SerializeToString()) for name in ("resnet50", "mobilenet_v2")]
    print(
        f"{'model':24} {'instr':>7} {'M MACs':>8} {'first ms':>9} {'emulator':>9} {'runtime':>9} {'ratio':>6}"
    )
    for name, source in models:
        measure(name, source, chip)


if __name__ == "__main__":
    main()
