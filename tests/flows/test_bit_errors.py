"""Programs on damaged DRAM: what is wrong in memory is what differs, ECC mends it, chips keep their ECC."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hanok.dram.faults import Faults, read_through
from hanok.dram.standard import Standard
from hanok.dram.standards import get_standard
from hanok.errors import ChipError, HanokError, VerifyError
from hanok.flows._bit_errors import damage
from hanok.flows._execution import Execution
from hanok.flows._tensors import dram_image
from hanok.flows.compile_and_run import run_program
from hanok.flows.dram_swap import swap_dram, swap_ecc
from hanok.isa import Program, load_program, save_program
from hanok.machine import Chip
from hanok.simulator import simulate

VALUES = {"x": np.random.default_rng(1).normal(0, 20, (1, 4, 16)).astype(np.float32)}
HBM3 = get_standard("HBM3_6400")
assert isinstance(HBM3, Standard)


def with_memory(program: Program, ecc: str, dram: str = "HBM3_6400") -> Program:
    return replace(program, chip=swap_ecc(swap_dram(program.chip, dram), ecc))


def test_wrong_bytes_are_what_differs(copy_program: Program) -> None:
    """The program copies its input, 64 bytes in two bursts: each byte that is read wrong comes out wrong."""
    program = with_memory(copy_program, "none")
    clean = run_program(program, VALUES)
    result = run_program(program, VALUES, bit_errors=0.02, seed=5)
    errors = result.record.bit_errors
    assert errors is not None
    stored = [(one.outputs["y"] / 0.5 + 3).astype(np.int8).view(np.uint8) for one in (clean, result)]
    wrong = np.unpackbits(stored[0] ^ stored[1]).sum()
    assert errors.bursts == 2
    assert errors.wrong_cells == errors.wrong_bits == wrong > 0
    assert errors.silent == errors.hit > 0
    assert (errors.corrected, errors.detected) == (0, 0)
    assert errors.mismatched == np.count_nonzero(stored[0] != stored[1])
    assert errors.compared == 64
    assert result.record.outputs_mismatched == errors.mismatched
    assert clean.record.outputs_mismatched == 0
    assert clean.record.bit_errors is None
    assert result.record.cycles == clean.record.cycles
    assert not any("uncorrectable" in warning for warning in result.record.warnings)


def test_the_same_seed_gives_the_same_errors(copy_program: Program) -> None:
    program = with_memory(copy_program, "none")
    first, again, other = (
        run_program(program, VALUES, check=False, bit_errors=0.02, seed=seed).outputs["y"]
        for seed in (5, 5, 6)
    )
    assert (first == again).all()
    assert (first != other).any()


def test_no_errors_change_nothing(copy_program: Program) -> None:
    record = run_program(with_memory(copy_program, "both"), VALUES, bit_errors=0.0).record
    assert record.bit_errors is not None
    assert (record.bit_errors.hit, record.bit_errors.mismatched, record.outputs_mismatched) == (0, 0, 0)


def test_ecc_mends_what_it_can(copy_program: Program) -> None:
    """One wrong cell a burst is within each code; the seed is the first that gives such a run."""
    program = with_memory(copy_program, "side_band")
    for seed in range(100):
        errors = run_program(program, VALUES, check=False, bit_errors=2e-3, seed=seed).record.bit_errors
        assert errors is not None
        if errors.wrong_cells == errors.hit > 0:
            break
    assert errors.corrected == errors.hit > 0
    assert (errors.detected, errors.silent, errors.wrong_bits, errors.mismatched) == (0, 0, 0, 0)
    assert errors.words[0].startswith("side band (272,256)")


def test_what_is_only_detected_is_said(copy_program: Program) -> None:
    """At a rate of 0.02 a burst has some five wrong cells, more than RS(19,17) and SECDED correct."""
    result = run_program(with_memory(copy_program, "both"), VALUES, bit_errors=0.02, seed=1)
    errors = result.record.bit_errors
    assert errors is not None
    assert errors.detected > 0
    assert f"{errors.detected} bursts were reported as uncorrectable" in " ".join(result.record.warnings)
    assert errors.hit == errors.corrected + errors.detected + errors.silent


def test_constants_and_inputs_alone_are_damaged(copy_program: Program) -> None:
    """Constants of 100 bytes from 2048 on lie in four bursts; the input is 64 bytes from 4096 on."""
    program = with_memory(replace(copy_program, constants=bytes(range(100))), "none")
    image = dram_image(program)
    before = image.copy()
    report = damage(image, program, HBM3, 0.5, 3)
    touched = np.unique(np.flatnonzero(image != before) // 32)
    assert report.bursts == 6
    assert touched.tolist() == [64, 65, 66, 67, 128, 129]


def test_bursts_out_of_their_places_fare_as_in_them() -> None:
    """Words of a chip's ECC lie within bursts: the counts are those of an image of these bursts alone."""
    image = np.random.default_rng(2).integers(0, 256, 4096).astype(np.uint8)
    read, report = read_through(image, HBM3, "both", Faults(rate=1e-3, seed=4))
    wrong = (read != image).reshape(-1, 32).any(axis=1)
    places = np.concatenate([report.detected_addresses, report.silent_addresses]) // 32
    assert set(np.flatnonzero(wrong)) <= set(places.tolist())


@pytest.mark.parametrize("rate", [-0.1, 1.5, float("nan"), float("inf")])
def test_rates_outside_are_refused(copy_program: Program, rate: float) -> None:
    with pytest.raises(ChipError, match=r"--bit-errors: .*; allowed: 0\.\.1, the share of wrong cells"):
        run_program(with_memory(copy_program, "none"), VALUES, bit_errors=rate)


def test_memories_without_cells_are_refused(copy_program: Program) -> None:
    with pytest.raises(
        ChipError, match=r"--bit-errors: FLAT:800 of chip 'nano' has no cells; give another --dram"
    ):
        run_program(copy_program, VALUES, bit_errors=0.1)


def test_nothing_to_damage_is_refused(copy_program: Program) -> None:
    program = with_memory(replace(copy_program, inputs=()), "none")
    with pytest.raises(ChipError, match="--bit-errors: the program has no constants and no inputs in DRAM"):
        damage(dram_image(program), program, HBM3, 0.1, 0)


def test_a_run_that_stops_at_wrong_bits_is_said(
    copy_program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Execution.run

    def stop(execution: Execution, *, count_cycles: bool = True) -> None:
        if not count_cycles:
            raise VerifyError("EXPAND of the stream at DRAM byte 0: no prefix code")
        run(execution)

    monkeypatch.setattr(Execution, "run", stop)
    with pytest.raises(
        HanokError, match=r"--bit-errors 0\.1: the run stops at wrong bits in packed weights \(EXP"
    ):
        run_program(with_memory(copy_program, "none"), VALUES, bit_errors=0.1)


def test_a_program_file_keeps_the_ecc_of_its_chip(copy_program: Program, tmp_path: Path) -> None:
    program = with_memory(copy_program, "side_band")
    save_program(program, tmp_path / "p.hanok")
    loaded = load_program(tmp_path / "p.hanok")
    assert loaded.chip == program.chip
    assert loaded.chip.memory.ecc == "side_band"


def test_the_decoder_s_cycles_come_on_top_of_the_chip_s(copy_program: Program) -> None:
    """Eight clocks of DDR5_4800 are 3.33 ns: one cycle of 100 MHz, beside what the chip itself takes."""
    stage = copy_program.npu_stages[0]
    guarded = swap_ecc(swap_dram(copy_program.chip, "DDR5_4800"), "side_band")
    plain = swap_ecc(guarded, "on_die")
    slower = plain.model_copy(
        update={"memory": plain.memory.model_copy(update={"latency_cycles": plain.memory.latency_cycles + 1})}
    )
    cycles = [simulate(stage.code, chip).cycles for chip in (plain, slower, guarded)]
    assert cycles[1] == cycles[2] > cycles[0]


def test_ecc_is_swapped() -> None:
    server = Chip.load("server")
    assert server.memory.ecc == "on_die"
    both = swap_ecc(server, "both")
    assert (both.memory.ecc, both.sources["memory.ecc"]) == ("both", "choice: --ecc")
    with pytest.raises(
        ChipError, match=r"--ecc: 'side_band' on LPDDR5X_8533, which has no pins.*allowed: none"
    ):
        swap_ecc(Chip.load("edge"), "side_band")
    with pytest.raises(ChipError, match=r"--ecc: 'on_die' on FLAT:800, which has no codes; allowed: none"):
        swap_ecc(Chip.load("nano"), "on_die")


@pytest.mark.parametrize(
    ("dram", "ecc"),
    [("HBM4_8000", "both"), ("DDR5_4800", "both"), ("LPDDR5_6400", "none"), ("FLAT:470", "none")],
)
def test_another_dram_keeps_the_ecc_that_it_has(dram: str, ecc: str) -> None:
    swapped = swap_dram(swap_ecc(Chip.load("server"), "both"), dram)
    assert swapped.memory.ecc == ecc
    if ecc == "none":
        assert swapped.sources["memory.ecc"] == f"choice: none, as {dram} does not have 'both'"
