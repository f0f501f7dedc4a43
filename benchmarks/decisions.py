"""What each decision of docs/decisions is worth: the same model compiled with and without it.

`python benchmarks/decisions.py [MODEL.onnx ...]`; without models: ResNet-50, MobileNetV2 and MLPerf Tiny's
networks with seeded weights.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from unittest.mock import patch

from models import int8_model
from table import print_table

from hanok.compiler import compile_graph, pipeline
from hanok.compiler.verify import verify_code
from hanok.graph import import_graph, load_model
from hanok.isa import Program, decode
from hanok.machine import Chip
from hanok.simulator.engine import simulate

CASES = (
    *(("resnet50", "edge"), ("resnet50", "nvdla-256"), ("mobilenet_v2", "edge"), ("resnet8", "u55-128")),
    *(("vww", "u55-128"), ("autoencoder", "u55-128")),
)
GIVEN_CHIPS = ("edge", "u55-128")


def compiled(source: str | bytes, chip: Chip, *, measured: bool = True) -> Program:
    """A program; without `measured` its plans are chosen by the closed formulas alone."""
    measure = (lambda code: simulate(code, chip)) if measured else None
    return compile_graph(import_graph(load_model(source)), chip, measure=measure)


def without_decoder(chip: Chip) -> Chip:
    """The chip, unable to read packed weights."""
    dma = chip.core.dma.model_copy(update={"expand_lanes": 0})
    return chip.model_copy(update={"core": chip.core.model_copy(update={"dma": dma})})


def cost(program: Program) -> tuple[int, int]:
    """Cycles, and bytes of DRAM both ways."""
    timings = [
        simulate(stage.code, program.chip, code_address=stage.code_address) for stage in program.npu_stages
    ]
    moved = sum(timing.dram_read_bytes + timing.dram_write_bytes for timing in timings)
    return sum(timing.cycles for timing in timings), moved


def change(without: tuple[int, int], with_it: tuple[int, int]) -> str:
    """Cycles and bytes without it, by those with it."""
    return f"{without[0] / with_it[0]:.2f} {without[1] / with_it[1]:.2f}"


def row(name: str, source: str | bytes, chip: Chip) -> tuple[str, ...]:
    """All figures of one model on one chip."""
    program = compiled(source, chip)
    here = cost(program)
    (stage, *_) = program.npu_stages
    decoded = decode(stage.code)
    start = time.process_time()
    verify_code(decoded, chip, program.dram_bytes, regions=program.regions)
    verified = time.process_time() - start
    records = sum(len(part) * part.dtype.itemsize for part in decoded.records.values())
    with patch.object(pipeline, "choose_residents", lambda *_: []):
        streamed = cost(compiled(source, chip))
    with patch.object(pipeline, "reorder", lambda operations, *_: operations):
        in_order = cost(compiled(source, chip))
    guessed = cost(compiled(source, chip, measured=False))
    plain = cost(compiled(source, without_decoder(chip))) if chip.core.dma.expand_lanes else here
    return (
        f"{name} on {chip.name}",
        f"{len(decoded):,}",
        f"{1e3 * verified:.0f}",
        f"{len(stage.code):,}",
        f"{records / len(stage.code):.1f}",
        f"{here[0]:,}",
        change(plain, here) if plain != here else "-",
        change(streamed, here),
        change(in_order, here),
        change(guessed, here),
    )


HEADINGS = (
    *("model", "instructions", "proof, CPU ms", "code bytes", "records by code", "cycles"),
    *("no packed weights: cycles, bytes", "no residents", "in program order", "nothing measured"),
)


def main() -> None:
    """Print a row for each model and chip."""
    given = [(Path(path).stem, path, chip) for path in sys.argv[1:] for chip in GIVEN_CHIPS]
    cases = given or [(name, int8_model(name), chip) for name, chip in CASES]
    print_table(HEADINGS, [row(name, source, Chip.load(chip)) for name, source, chip in cases])


if __name__ == "__main__":
    main()
