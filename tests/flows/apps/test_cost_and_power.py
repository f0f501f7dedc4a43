"""Costs of jobs, and jobs without end under a power cap."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from hanok.flows import compile_model
from hanok.flows._repeated_program import RepeatedProgram
from hanok.flows.apps.power import SustainedLoad, sustained_load
from hanok.flows.arrays import InputError
from hanok.flows.cost import Cost, cost_of
from hanok.machine import Chip


@pytest.fixture(scope="module")
def cost() -> Cost:
    """Of a small product that ran three times, beside a program that never ran."""
    weight = np.random.default_rng(0).normal(0, 1, (64, 32)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [16, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [16, 32])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    program = compile_model(model.SerializeToString(), Chip.load("nano"))
    often, never = RepeatedProgram("often", program), RepeatedProgram("never", program)
    values = {"x": np.random.default_rng(1).normal(0, 1, (16, 64)).astype(np.float32)}
    first = often.run(values)
    assert np.array_equal(often.run({"x": 2 * values["x"]})["y"], often.run({"x": 2 * values["x"]})["y"])
    assert not np.array_equal(first["y"], often.run({"x": 2 * values["x"]})["y"])
    return cost_of([often, never])


def test_costs_are_those_of_all_runs(cost: Cost) -> None:
    (use,) = cost.programs
    record = use.result.record
    assert use.runs == 4
    assert cost.milliseconds == 4 * record.latency_ms
    assert cost.energy_mj == pytest.approx(4 * record.energy_mj)
    assert cost.dram_bytes == 4 * (record.dram_read_bytes + record.dram_write_bytes)
    assert cost.peak_dram_bytes >= 64 * 32 + 16 * 64  # its weights and its input, in int8


def test_power_without_a_cap_is_energy_by_time(cost: Cost) -> None:
    load = sustained_load(cost)
    assert load.full_watts == pytest.approx(cost.energy_mj / cost.milliseconds)
    assert load.runs_per_second == pytest.approx(1e3 / cost.milliseconds)
    assert load.watts == pytest.approx(load.full_watts)
    assert load.share == pytest.approx(1)


def test_a_cap_is_kept_by_pauses() -> None:
    """Stepped in slices of a microsecond: run where the energy so far allows it, else wait."""
    cap, seconds, work, standing = 0.5, 1e-3, 2e-3, 0.1
    load = SustainedLoad(cap, seconds, work, standing)
    spent, runs, now, step = 0.0, 0, 0.0, 1e-6
    while now < 2.0:
        length = seconds if spent + work + standing * seconds <= cap * (now + seconds) else step
        runs += length == seconds
        spent += standing * length + (work if length == seconds else 0.0)
        now += length
    assert load.runs_per_second == pytest.approx(runs / now, rel=0.01)
    assert load.watts == pytest.approx(cap)
    assert load.joules_per_run == pytest.approx(spent / runs, rel=0.01)
    assert load.full_watts == pytest.approx(2.1)


def test_a_cap_above_what_the_chip_takes_changes_nothing(cost: Cost) -> None:
    free = sustained_load(cost)
    assert sustained_load(cost, 10 * free.full_watts).runs_per_second == free.runs_per_second


def test_a_cap_below_the_standing_power_lets_nothing_run(cost: Cost) -> None:
    load = sustained_load(cost, 0.5 * sustained_load(cost).standing_watts)
    assert (load.runs_per_second, load.joules_per_run) == (0, 0)
    assert load.watts == load.standing_watts


@pytest.mark.parametrize("cap", [0, -1, float("nan"), float("inf")])
def test_caps_that_are_none(cost: Cost, cap: float) -> None:
    with pytest.raises(InputError, match=r"power cap: .* allowed: more than 0"):
        sustained_load(cost, cap)
