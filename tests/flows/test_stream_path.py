"""Whole models: the DRAM's stream path changes no cycle, counter or command; all commands are legal."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from onnx import ModelProto

from hanok.dram import Standard, check_commands, get_standard
from hanok.flows.compile_and_run import compile_model
from hanok.graph import topologies
from hanok.machine import Chip
from hanok.simulator.engine import simulate

MODELS: dict[str, Callable[[], ModelProto]] = {
    "mobilenet_v2": lambda: topologies.mobilenet_v2(image=32, classes=10),
    "resnet8": topologies.resnet8,
}
CHIPS = ("edge", "hbm2-128", "server")
"""LPDDR5X, HBM2 with two pseudo-channels a channel, HBM3E with two stacks' banks."""
COMMANDS = 400_000


@pytest.mark.parametrize("chip_name", CHIPS)
@pytest.mark.parametrize("model", MODELS)
def test_the_step_path_takes_the_same_cycles_and_commands(model: str, chip_name: str) -> None:
    chip = Chip.load(chip_name)
    standard = get_standard(chip.memory.standard)
    assert isinstance(standard, Standard)
    program = compile_model(MODELS[model]().SerializeToString(), chip)
    assert program.npu_stages
    for stage in program.npu_stages:
        stream, step = (
            simulate(
                stage.code,
                chip,
                code_address=stage.code_address,
                stream=path,
                trace_commands=COMMANDS,
            )
            for path in (True, False)
        )
        assert stream.cycles == step.cycles
        for name in ("dispatch", "start", "end", "causes"):
            np.testing.assert_array_equal(getattr(stream, name), getattr(step, name))
        assert stream.dram == step.dram
        assert stream.dram_commands is not None
        np.testing.assert_array_equal(stream.dram_commands, step.dram_commands)
        assert check_commands(stream.dram_commands, standard).violations == 0
