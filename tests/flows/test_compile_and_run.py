"""Runs of small hand-written programs: values against ONNX Runtime, cycles that add up, inputs refused."""

from dataclasses import replace

import numpy as np
import pytest

from hanok.errors import HanokError, ModelError, ProgramError
from hanok.flows._tensors import dram_image, read_tensor, write_tensor
from hanok.flows.arrays import InputError
from hanok.flows.compile_and_run import RunResult, run_program
from hanok.isa import Binding, Program, ValueInfo


@pytest.fixture(scope="module")
def copied(copy_program: Program) -> RunResult:
    generator = np.random.default_rng(1)
    return run_program(copy_program, {"x": generator.normal(0, 40, (1, 4, 16)).astype(np.float32)})


def test_values_are_those_of_onnxruntime(copied: RunResult) -> None:
    record = copied.record
    assert record.checked
    assert (record.outputs_compared, record.outputs_mismatched, record.max_error_steps) == (64, 0, 0)
    assert record.outputs[0].step == 0.5


def test_causes_and_shares_add_up(copied: RunResult) -> None:
    record = copied.record
    assert record.cycles > 0
    for unit in record.units:
        assert sum(cycles for _, cycles in unit.causes) == record.cycles
    assert sum(layer.cycles for layer in record.layers) == record.cycles
    assert record.latency_ms == pytest.approx(record.cycles / 100e3)
    assert record.layers[0].dram_read_bytes == 64
    assert int(copied.traces.bandwidth.read_bytes.sum()) == 64
    assert int(copied.traces.bandwidth.write_bytes.sum()) == 64


def test_sram_map_shows_the_bank(copied: RunResult) -> None:
    sram = copied.traces.sram
    assert sram is not None
    assert set(np.unique(sram.owner[:, 0])) == {0, 1, 2}
    assert not sram.owner[:, 1:].any()


def test_the_same_run_gives_the_same_record(copy_program: Program, copied: RunResult) -> None:
    again = run_program(copy_program, seed=4)
    once_more = run_program(copy_program, seed=4)
    assert replace(again.record, seconds=copied.record.seconds) == replace(
        once_more.record, seconds=copied.record.seconds
    )
    np.testing.assert_array_equal(again.outputs["y"], once_more.outputs["y"])


def test_host_stage_between_npu_stages(host_program: Program) -> None:
    values = np.linspace(-3, 4, 64, dtype=np.float32).reshape(1, 4, 16)
    result = run_program(host_program, {"x": values})
    record = result.record
    assert (record.outputs_mismatched, record.max_error_steps) == (0, 0)
    (operator,) = record.host_operators
    assert (operator.name, operator.onnx_type, operator.stage, operator.reason) == (
        "exp_node",
        "Exp",
        1,
        "no table",
    )
    assert operator.milliseconds > 0
    assert record.host_ms == operator.milliseconds
    first, second = record.layers
    assert second.start_cycle > first.end_cycle
    assert first.cycles + second.cycles == record.cycles


def test_missing_input_is_random_and_said(copy_program: Program) -> None:
    record = run_program(copy_program, check=False).record
    assert any("random data with seed 0" in warning for warning in record.warnings)
    assert not record.checked
    assert record.outputs_compared == 0
    assert record.max_error_steps is None


def test_a_program_without_its_model_is_not_checked(copy_program: Program) -> None:
    record = run_program(replace(copy_program, source_model=b"")).record
    assert not record.checked
    assert any("does not carry its model" in warning for warning in record.warnings)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("z", np.zeros((1, 4, 16), np.float32), r"no input 'z'; allowed: 'x'"),
        ("x", np.zeros((4, 16), np.float32), r"shape \[4, 16\] was given; allowed: \[1, 4, 16\]"),
        ("x", np.zeros((1, 4, 16), np.complex64), r"complex64 was given; allowed: float32"),
        ("x", np.full((1, 4, 16), np.nan, np.float32), r"holds NaN"),
    ],
)
def test_unfit_inputs_are_refused(copy_program: Program, name: str, value: np.ndarray, message: str) -> None:
    with pytest.raises(HanokError, match=message):
        run_program(copy_program, {name: value})


def test_integers_become_floats(copy_program: Program) -> None:
    result = run_program(copy_program, {"x": np.full((1, 4, 16), 7)}, check=False)
    np.testing.assert_array_equal(result.outputs["y"], np.full((1, 4, 16), 7, np.float32))


def test_values_that_do_not_fit_the_type_are_refused(copy_program: Program) -> None:
    program = replace(copy_program, inputs=(ValueInfo("x", "int8", (1, 4, 16)),))
    with pytest.raises(InputError, match="values outside int8"):
        run_program(program, {"x": np.full((1, 4, 16), 200)}, check=False)


@pytest.mark.parametrize(("dtype", "unsigned"), [("int8", False), ("uint8", True)])
def test_integer_inputs_and_outputs_pass_as_they_are(
    copy_program: Program, dtype: str, unsigned: bool
) -> None:
    info = ValueInfo("x", dtype, (1, 4, 16)), ValueInfo("y", dtype, (1, 4, 16))
    bindings = tuple(replace(binding, unsigned=unsigned) for binding in copy_program.bindings)
    program = replace(copy_program, inputs=info[:1], outputs=info[1:], bindings=bindings)
    values = np.arange(64).astype(dtype).reshape(1, 4, 16)
    result = run_program(program, {"x": values}, check=False)
    assert result.outputs["y"].dtype == np.dtype(dtype)
    np.testing.assert_array_equal(result.outputs["y"], values)


def test_a_value_that_nothing_makes_is_a_program_error(copy_program: Program) -> None:
    program = replace(copy_program, outputs=(ValueInfo("ghost", "float32", (1,)),))
    with pytest.raises(ProgramError, match="reads 'ghost' before anything makes it"):
        run_program(program, check=False)


def test_code_outside_dram_is_refused(copy_program: Program) -> None:
    with pytest.raises(HanokError, match="outside the program's 64 bytes of DRAM"):
        dram_image(replace(copy_program, dram_bytes=64))


def test_other_output_shape_than_onnxruntime_is_refused(copy_program: Program) -> None:
    binding = Binding("y", (1, 64), (0, 1), 8192, 0.5, 3)
    program = replace(
        copy_program,
        outputs=(ValueInfo("y", "float32", (1, 64)),),
        bindings=(copy_program.bindings[0], binding),
    )
    with pytest.raises(ModelError, match=r"shape is \[1, 64\], ONNX Runtime's \[1, 4, 16\]"):
        run_program(program)


def test_quantise_saturates_and_rounds_half_to_even() -> None:
    binding = Binding("x", (6,), (0,), 0, 0.5, -10)
    image = np.zeros(6, np.uint8)
    write_tensor(image, binding, np.array([0.25, 0.75, 1e30, -1e30, np.inf, -np.inf], np.float32))
    assert image.view(np.int8).tolist() == [-10, -8, 127, -128, 127, -128]
    assert read_tensor(image, binding).tolist() == [0.0, 1.0, 68.5, -59.0, 68.5, -59.0]
