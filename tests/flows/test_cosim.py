"""Gates beside the models: what is equal is called equal, and each kind of difference is found and said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from hanok.flows.cosim import CosimRecord, CosimStage, compare
from hanok.isa import Decoded, Opcode, Unit, decode, encode
from hanok.isa.faults import Fault
from hanok.machine import Chip
from hanok.report.cosim import cosim_json, print_cosim, verdict
from hanok.rtl.testbench import CoreRun
from hanok.simulator import simulate
from hanok.simulator.counters import Cause, Timing

COPY = {"run_bytes": 64, "count_1": 1, "count_2": 1, "count_3": 1}
CODE = (
    encode(Opcode.LOAD, COPY)
    + encode(Opcode.LOAD, {**COPY, "sram_address": 64, "post": 1 << Unit.STORE})
    + encode(Opcode.STORE, {**COPY, "dram_address": 4096, "wait": 1 << Unit.LOAD})
)
IMAGE = np.arange(256, dtype=np.uint8)


def models() -> tuple[Decoded, Timing]:
    return decode(CODE), simulate(CODE, Chip.load("nano"))


def faithful(decoded: Decoded, timing: Timing) -> CoreRun:
    """A core that does what the engine says."""
    times = [
        tuple(times[decoded.unit == unit] for unit in Unit)
        for times in (timing.dispatch, timing.start, timing.end)
    ]
    counters = {
        f"{unit.name.lower()}_{cause.name.lower()}": int(timing.causes[unit][cause])
        for unit in Unit
        for cause in Cause
    }
    counters |= {"cycles": timing.cycles, "read_bytes": timing.load_bytes}
    counters |= {"written_bytes": timing.store_bytes, "fetched_bytes": timing.fetch_bytes}
    return CoreRun(timing.cycles, Fault.NONE, 0, counters, *times)


def later(run: CoreRun, kind: str) -> CoreRun:
    """The same with the second LOAD a cycle later."""
    loads, *others = getattr(run, kind)
    moved = loads.copy()
    moved[1] += 1
    return replace(run, **{kind: (moved, *others)})


def cut(run: CoreRun) -> CoreRun:
    """The same without the STORE's end."""
    ends = list(run.ended)
    ends[Unit.STORE] = ends[Unit.STORE][:0]
    return replace(run, ended=tuple(ends))


def record(stage: CosimStage) -> CosimRecord:
    return CosimRecord("model", "nano", (stage,), 1.0, ())


def printed(stage: CosimStage) -> str:
    console = Console(width=120, force_terminal=False)
    with console.capture() as capture:
        print_cosim(record(stage), console)
    return capture.get()


def test_what_is_equal_is_equal() -> None:
    decoded, timing = models()
    stage = compare(0, decoded, timing, faithful(decoded, timing), IMAGE, IMAGE.copy())
    assert stage.equal
    assert "agree" in printed(stage)
    assert '"equal": true' in cosim_json(record(stage))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda run: replace(run, cycles=run.cycles + 1), "cycles"),
        (lambda run: later(run, "dispatched"), "dispatch load instruction 1"),
        (lambda run: later(run, "started"), "start load instruction 1"),
        (lambda run: later(run, "ended"), "end load instruction 1"),
        (cut, "end store instruction 2"),
        (lambda run: replace(run, counters={**run.counters, "load_busy": 0}), "counter busy load"),
        (lambda run: replace(run, counters={**run.counters, "read_bytes": 1}), "counter read_bytes"),
        (lambda run: replace(run, fault=Fault.BUS_ERROR), "bus_error"),
    ],
)
def test_each_difference_is_found_and_said(change: Any, what: str) -> None:
    decoded, timing = models()
    stage = compare(0, decoded, timing, change(faithful(decoded, timing)), IMAGE, IMAGE.copy())
    assert not stage.equal
    assert what in printed(stage)
    assert verdict(record(stage)) == "Gates and models differ in 1 of 1 stages."


def test_a_byte_that_differs_is_found() -> None:
    decoded, timing = models()
    found = IMAGE.copy()
    found[77] ^= 1
    stage = compare(0, decoded, timing, faithful(decoded, timing), IMAGE, found)
    assert not stage.equal
    assert "1 bytes of DRAM differ, the first at 77" in printed(stage)
