"""Compiled designs: ports of every width and sign, cycles as Amaranth's own simulator counts them."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module, Signal, signed, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator
from platformdirs import user_cache_dir

from hanok.errors import HanokError
from hanok.rtl.build import build, ports_of
from hanok.rtl.simulate import Simulation


class Mixed(wiring.Component):
    """A product, a sum of 100 bits, a memory and a stream."""

    a: In(signed(8))
    b_in: In(signed(11))
    product: Out(signed(19))
    wide: In(100)
    wide_sum: Out(101)
    address: In(4)
    write: In(1)
    read: Out(data.StructLayout({"low": unsigned(5), "high": signed(6)}))
    words: In(stream.Signature(8))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.store = store = memory.Memory(shape=11, depth=16, init=range(16))
        port, write = store.read_port(), store.write_port()
        m.d.comb += [port.addr.eq(self.address), write.addr.eq(self.address), write.en.eq(self.write)]
        m.d.comb += [write.data.eq(self.b_in), self.read.eq(port.data), self.words.ready.eq(self.a == 0)]
        m.d.sync += [self.product.eq(self.a * self.b_in), self.wide_sum.eq(self.wide + self.words.payload)]
        return m


def test_it_counts_and_computes_as_amaranths_simulator() -> None:
    random, cycles = np.random.default_rng(1), 200
    given = {
        "a": random.integers(-128, 128, cycles),
        "b_in": random.integers(-1024, 1024, cycles),
        "wide": random.integers(0, 1 << 63, (cycles, 2), dtype=np.uint64) >> np.uint64(28),
        "address": random.integers(0, 16, cycles),
        "write": random.integers(0, 2, cycles),
        "words__payload": random.integers(0, 256, cycles),
    }
    names = ["product", "wide_sum", "read", "words__ready"]
    found = Simulation(Mixed()).run(cycles, given, names)
    design, expected = Mixed(), []

    async def bench(context: Any) -> None:
        for cycle in range(cycles):
            for name, values in given.items():
                port = design.words.payload if name == "words__payload" else getattr(design, name)
                value = values[cycle]
                context.set(port, int(value[0]) + (int(value[1]) << 64) if value.shape else int(value))
            wide = context.get(design.wide_sum)
            halves = wide & (1 << 64) - 1, wide >> 64
            rest = context.get(design.read.as_value()), context.get(design.words.ready)
            expected.append((context.get(design.product), *halves, *rest))
            await context.tick()

    simulator = Simulator(design)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    columns = [found["product"], found["wide_sum"][:, 0], found["wide_sum"][:, 1]]
    columns += [found["read"], found["words__ready"]]
    assert [tuple(map(int, row)) for row in zip(*columns, strict=True)] == expected


def test_single_steps_are_the_same_and_reset_starts_anew() -> None:
    simulation = Simulation(Mixed())
    simulation.step(a=-5, b_in=7)
    assert simulation.get("product") == 0
    simulation.step(3)
    assert simulation.get("product") == -35
    assert simulation.cycle == 4
    simulation.reset()
    simulation.step(wide=(1 << 100) - 1, words__payload=2)
    assert simulation.get("product") == 0
    assert simulation.cycle == 1
    simulation.step()
    assert simulation.get("wide_sum") == (1 << 100) + 1


class Counter(wiring.Component):
    """Says when it has counted to nine."""

    ended: Out(1)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        count = Signal(8)
        m.d.sync += count.eq(count + 1)
        m.d.comb += self.ended.eq(count == 9)
        return m


def test_it_runs_to_an_event() -> None:
    simulation = Simulation(Counter())
    assert not simulation.run_until("ended", most=5)
    assert simulation.cycle == 5
    assert simulation.run_until("ended", most=100)
    assert simulation.cycle == 10


class Loop(wiring.Component):
    """Gates in a ring that never settle."""

    o: Out(1)
    i: In(1)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.d.comb += self.o.eq(~self.o ^ self.i)
        return m


def test_a_loop_of_gates_is_found() -> None:
    with pytest.raises(Exception, match="Combinational cycle"):
        Simulation(Loop())


def test_a_design_is_compiled_once() -> None:
    design = Mixed()
    assert build(design).path == build(Mixed()).path
    assert [port.bits for port in ports_of(design)][:3] == [8, 11, 19]


IN_TWO_PROCESSES = """
from test_simulate import Counter
from hanok.rtl.build import build
build(Counter(), identity={identity!r})
"""


@pytest.mark.parametrize("identity", ["", "counter"])
def test_of_two_processes_one_compiles(tmp_path: Path, identity: str) -> None:
    """With an empty cache and a compiler that writes down its calls."""
    compiler, log = tmp_path / "compiler", tmp_path / "log"
    compiler.write_text(f"#!/bin/sh\necho $* >> {log}\nexec c++ $*\n")
    compiler.chmod(0o755)
    environment = os.environ | {
        "CXX": str(compiler),
        "XDG_CACHE_HOME": str(tmp_path),
        "YOWASP_CACHE_DIR": os.environ.get("YOWASP_CACHE_DIR") or user_cache_dir("YoWASP", appauthor=False),
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
    }
    command = [sys.executable, "-c", IN_TWO_PROCESSES.format(identity=identity)]
    both = [subprocess.Popen(command, env=environment) for _ in range(2)]
    assert [one.wait() for one in both] == [0, 0]
    assert log.read_text().count("-shared") == 1


def test_no_compiler_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(HanokError, match=r"no C\+\+ compiler; install"):
        build(Counter())
