"""The record and the traces of a run, put together from its timings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hanok.flows._accounting import TimedStage, bandwidth_of, layer_results, timeline_of, unit_cycles
from hanok.flows._diagnosis import bound_of, verdict
from hanok.flows._energy import area_of, energy_of
from hanok.flows._sram_map import sram_map
from hanok.flows._version import hanok_version
from hanok.flows.chips import chip_summary
from hanok.flows.results import HostOperator, MemoryRegion, OutputCheck, RunRecord, RunTraces, Seconds
from hanok.isa import Program
from hanok.units import cycles_to_ms


def make_record(
    program: Program,
    timed: Sequence[TimedStage],
    host_operators: Sequence[HostOperator],
    checks: tuple[OutputCheck, ...] | None,
    seconds: Seconds,
    warnings: tuple[str, ...],
) -> RunRecord:
    """Sum the stages up."""
    chip = program.chip
    summary = chip_summary(chip)
    cycles = sum(stage.timing.cycles for stage in timed)
    reads = sum(stage.timing.dram_read_bytes for stage in timed)
    writes = sum(stage.timing.dram_write_bytes for stage in timed)
    layers = layer_results(program.layers, timed, summary.macs_per_cycle)
    units = unit_cycles(timed)
    macs = sum(layer.macs for layer in program.layers)
    utilisation = macs / (cycles * summary.macs_per_cycle) if cycles else 0.0
    energy = energy_of(chip, timed)
    stage_times = {operator.stage: operator.milliseconds for operator in host_operators}
    steps = [check.max_error_steps for check in checks or () if check.max_error_steps is not None]
    ratios = [check.signal_to_noise_db for check in checks or () if check.signal_to_noise_db is not None]
    return RunRecord(
        hanok_version=hanok_version(),
        model=program.name,
        chip=summary,
        cycles=cycles,
        latency_ms=cycles_to_ms(cycles, chip.clock_mhz),
        energy_mj=sum((part.amount for part in energy), 0.0),
        energy_low_mj=sum((part.low for part in energy), 0.0),
        energy_high_mj=sum((part.high for part in energy), 0.0),
        macs=macs,
        utilisation=utilisation,
        dram_read_bytes=reads,
        dram_write_bytes=writes,
        compulsory_bytes=sum(layer.compulsory_bytes for layer in program.layers),
        instructions=sum(len(stage.decoded) for stage in timed),
        checked=checks is not None,
        outputs_compared=sum(check.elements for check in checks or ()),
        outputs_mismatched=sum(check.mismatched for check in checks or ()),
        max_error_steps=max(steps, default=None),
        signal_to_noise_db=min(ratios, default=None),
        outputs=checks or (),
        host_operators=tuple(host_operators),
        host_ms=sum(stage_times.values(), 0.0),
        seconds=seconds,
        layers=layers,
        units=units,
        energy=energy,
        area=area_of(chip),
        regions=tuple(
            MemoryRegion(region.name, region.kind.value, region.address, region.size_bytes)
            for region in program.regions
        ),
        bound_by=bound_of(layers),
        verdict=verdict(layers, units, summary, cycles, utilisation, reads + writes, host_operators),
        warnings=warnings,
        quantisation=tuple(program.metadata.items()),
    )


def make_traces(program: Program, timed: Sequence[TimedStage], cycles: int) -> RunTraces:
    """Return the timeline, DRAM traffic and SRAM use over time."""
    from hanok.compiler.verify import banks_touched

    timeline = timeline_of(timed)
    sram = program.chip.core.sram
    parts = [banks_touched(stage.decoded, program.chip, program.dram_bytes) for stage in timed]
    banks = np.concatenate(parts) if parts else np.zeros((0, sram.banks), bool)
    return RunTraces(timeline, bandwidth_of(timeline, cycles), sram_map(timeline, banks, sram, cycles))
