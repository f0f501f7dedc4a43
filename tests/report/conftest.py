"""A made-up run with hostile names, for rendering without a compiler."""

import numpy as np
import pytest

from hanok.flows.results import (
    Bandwidth,
    ChipFigure,
    ChipSummary,
    Contribution,
    HostOperator,
    LayerResult,
    MemoryRegion,
    OutputCheck,
    RunRecord,
    RunTraces,
    Seconds,
    SramMap,
    Timeline,
    UnitCycles,
)

UNITS = ("load DMA", "store DMA", "matrix", "vector")
HOSTILE = "</script><script>alert('x')</script>"
TYPES = ("Conv", "Conv", "DepthwiseConv", "Add", "MaxPool", "Gemm", "Softmax")


def make_timeline(layers: int, per_layer: int, seed: int) -> Timeline:
    generator = np.random.default_rng(seed)
    rows: list[tuple[int, int, int, int, int]] = []
    free = [0, 0, 0, 0]
    for layer in range(layers):
        weight = int(generator.integers(200, 2500))
        for _ in range(per_layer):
            load = free[0] + int(generator.integers(0, 40))
            loaded = load + int(generator.integers(weight // 3, weight))
            work = max(loaded, free[2])
            worked = work + int(generator.integers(weight // 3, weight))
            post = max(worked, free[3])
            posted = post + int(generator.integers(weight // 8, weight // 2))
            store = max(posted, free[1])
            stored = store + int(generator.integers(20, weight // 3))
            free = [loaded, stored, worked, posted]
            rows += [
                (load, loaded, 0, 0x01, layer),
                (work, worked, 2, 0x20, layer),
                (post, posted, 3, 0x30, layer),
                (store, stored, 1, 0x10, layer),
            ]
    table = np.array(rows, np.int64)
    length = table[:, 1] - table[:, 0]
    return Timeline(
        start=table[:, 0],
        end=table[:, 1],
        unit=table[:, 2].astype(np.int8),
        opcode=table[:, 3].astype(np.uint8),
        layer=table[:, 4].astype(np.int32),
        dram_read_bytes=np.where(table[:, 2] == 0, length * 24, 0),
        dram_write_bytes=np.where(table[:, 2] == 1, length * 24, 0),
        unit_names=UNITS,
        opcode_names=((0x01, "load"), (0x10, "store"), (0x20, "conv"), (0x30, "chain")),
    )


def make_layers(timeline: Timeline, count: int) -> tuple[LayerResult, ...]:
    results, before = [], 0
    for layer in range(count):
        mine = timeline.layer == layer
        start, end = int(timeline.start[mine].min()), int(timeline.end[mine].max())
        cycles = max(0, end - before)
        before = max(before, end)
        busy = tuple(
            (name, int((timeline.end - timeline.start)[mine & (timeline.unit == unit)].sum()))
            for unit, name in enumerate(UNITS)
        )
        kind = TYPES[layer % len(TYPES)]
        matrix = dict(busy)["matrix"]
        macs = 0 if kind in ("Add", "MaxPool", "Softmax") else matrix * 3000 * (layer % 5 + 1) // 4
        read = int(timeline.dram_read_bytes[mine].sum())
        written = int(timeline.dram_write_bytes[mine].sum())
        results.append(
            LayerResult(
                name=HOSTILE if layer == 3 else f"/model/stage{layer // 6}/block{layer}/{kind.lower()}",
                onnx_type=kind,
                onnx_nodes=(f"node_{layer}", f"relu_{layer}"),
                mapping=f"tiles 8 x {layer + 1}, weights stay",
                macs=macs,
                output_shape=(1, 64, 56, 56),
                instructions=int(mine.sum()),
                start_cycle=start,
                end_cycle=end,
                cycles=cycles,
                busy_cycles=busy,
                utilisation=min(1.0, macs / max(1, 4096 * max(cycles, matrix))),
                dram_read_bytes=read,
                dram_write_bytes=written,
                compulsory_bytes=int((read + written) * 0.9),
                bound_by="matrix" if layer % 3 else "DRAM read",
            )
        )
    return tuple(results)


def make_record(layers: int = 24, per_layer: int = 12, seed: int = 7) -> tuple[RunRecord, RunTraces]:
    timeline = make_timeline(layers, per_layer, seed)
    results = make_layers(timeline, layers)
    cycles = int(timeline.end.max())
    units = []
    for unit, name in enumerate(UNITS):
        mine = timeline.unit == unit
        busy = int((timeline.end - timeline.start)[mine].sum())
        rest = cycles - busy
        causes = (("busy", busy), ("waiting for DRAM", rest // 4), ("waiting for a semaphore", rest // 2))
        units.append(UnitCycles(name, (*causes, ("queue empty", rest - rest // 4 - rest // 2))))
    buckets = 200
    width = -(-cycles // buckets)
    generator = np.random.default_rng(seed)
    record = RunRecord(
        hanok_version="0.1.0",
        model="resnet_like & friends",
        chip=ChipSummary(
            "edge",
            "Phone class",
            1000,
            4096,
            8.192,
            2 << 20,
            "LPDDR5X-8533",
            68.3e9,
            (
                ChipFigure("core.matrix.rows", "64", "choice: a square array"),
                ChipFigure("memory.standard", "LPDDR5X-8533", "JEDEC JESD209-5C"),
            ),
        ),
        cycles=cycles,
        latency_ms=cycles / 1e6,
        energy_mj=3.21,
        energy_low_mj=1.7,
        energy_high_mj=6.6,
        macs=sum(layer.macs for layer in results),
        utilisation=0.63,
        dram_read_bytes=int(timeline.dram_read_bytes.sum()),
        dram_write_bytes=int(timeline.dram_write_bytes.sum()),
        compulsory_bytes=sum(layer.compulsory_bytes for layer in results),
        instructions=len(timeline),
        checked=True,
        outputs_compared=1000,
        outputs_mismatched=2,
        max_error_steps=1,
        signal_to_noise_db=None,
        outputs=(
            OutputCheck("logits", 1000, 2, 0.0625, 1, 0.0625, 0.01),
            OutputCheck("probabilities", 1000, 0, None, None, 1e-7, 1e-6),
        ),
        host_operators=(
            HostOperator("/head/NonMaxSuppression", "NonMaxSuppression", 1, "no NPU form", 0.42),
        ),
        host_ms=0.42,
        seconds=Seconds(0.8, 0.2, 0.1, 0.01, 0.05),
        layers=results,
        units=tuple(units),
        energy=(
            Contribution("DRAM", 1.9, 1.0, 4.0),
            Contribution("matrix", 0.8, 0.4, 1.6),
            Contribution("SRAM", 0.4, 0.2, 0.8),
            Contribution("vector", 0.11, 0.1, 0.2),
        ),
        area=(Contribution("matrix", 1.2, 1.0, 2.0), Contribution("SRAM", 2.0, 1.0, 3.0)),
        regions=(
            MemoryRegion("code", "code", 0, 64 << 10),
            MemoryRegion("constants", "constant", 64 << 10, 11 << 20),
            MemoryRegion("activations", "activation", (11 << 20) + (64 << 10), 3 << 20),
        ),
        bound_by="matrix",
        verdict="The matrix array bounds this model: it works in 71 % of the time; a larger one would help.",
        warnings=("the model was quantised with random data: its accuracy means nothing",),
        quantisation=(("source", "quantised by hanok"), ("calibration", "8 random samples, seed 0")),
    )
    traces = RunTraces(
        timeline,
        Bandwidth(
            width,
            generator.integers(0, 64 * width, buckets),
            generator.integers(0, 16 * width, buckets),
        ),
        SramMap(65536, width, generator.integers(0, 5, (buckets, 32)).astype(np.uint8)),
    )
    return record, traces


@pytest.fixture(scope="session")
def run() -> tuple[RunRecord, RunTraces]:
    return make_record()


@pytest.fixture(scope="session")
def hostile_name() -> str:
    return HOSTILE
