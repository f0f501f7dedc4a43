"""A chip's memory with ECC: energy and read latency by hand, and what a chip cannot have."""

import pytest

from hanok.dram.chip_memory import ecc_latency_cycles, memory_standard
from hanok.dram.ecc import ecc_plan
from hanok.dram.standard import Standard
from hanok.dram.standards import get_standard
from hanok.dram.state import make_state
from hanok.errors import ChipError
from hanok.machine import Memory


def memory(standard: str, ecc: str) -> Memory:
    return Memory.model_validate({"standard": standard, "channels": 2, "capacity_mib": 64, "ecc": ecc})


def test_without_ecc_it_is_the_standard_itself() -> None:
    for name in ("HBM3_6400", "FLAT:470"):
        assert memory_standard(memory(name, "none")) == get_standard(name)
        assert ecc_latency_cycles(memory(name, "none"), 1000) == 0


def test_pins_and_cells_of_check_bits_take_energy() -> None:
    """HBM2: eight pins beside 64; DDR5's dies: 8 cells for each 128."""
    plain, guarded = get_standard("HBM2_2000"), memory_standard(memory("HBM2_2000", "side_band"))
    assert isinstance(plain, Standard)
    assert isinstance(guarded, Standard)
    assert guarded.energy.read_pj.nominal == pytest.approx(plain.energy.read_pj.nominal * 9 / 8)
    plain, guarded = get_standard("DDR5_4800"), memory_standard(memory("DDR5_4800", "on_die"))
    assert isinstance(plain, Standard)
    assert isinstance(guarded, Standard)
    assert guarded.energy.refresh_pj.nominal == pytest.approx(plain.energy.refresh_pj.nominal * 136 / 128)
    assert guarded.energy.read_pj == plain.energy.read_pj


@pytest.mark.parametrize(("clock_mhz", "cycles"), [(100, 1), (299, 1), (301, 2), (1000, 4), (2399, 8)])
def test_the_decoder_of_ddr5_takes_eight_clocks(clock_mhz: int, cycles: int) -> None:
    """Eight clocks of 2400 MHz are 3.33 ns."""
    standard = get_standard("DDR5_4800")
    assert isinstance(standard, Standard)
    assert ecc_plan(standard, "side_band").read_latency_clocks == 8
    exact = 8 * standard.clock_cycles * standard.tck_fs * clock_mhz / 1e9
    assert ecc_latency_cycles(memory("DDR5_4800", "side_band"), clock_mhz) == pytest.approx(
        exact + 0.5, abs=0.5
    )
    assert ecc_latency_cycles(memory("DDR5_4800", "side_band"), clock_mhz) == cycles
    assert ecc_latency_cycles(memory("DDR5_4800", "on_die"), clock_mhz) == 0


@pytest.mark.parametrize(
    ("standard", "ecc", "message"),
    [
        (
            "LPDDR5X_8533",
            "side_band",
            r"no pins for check bits.*`hanok dram run --ecc` .*allowed: none, on_die$",
        ),
        ("LPDDR5_6400", "both", r"'both' on LPDDR5_6400.*in-line ECC.*allowed: none, on_die$"),
        ("GDDR6_16000", "side_band", r"in-line ECC.*allowed: none$"),
        ("GDDR6_16000", "on_die", r"memory\.ecc: 'on_die' on GDDR6_16000; allowed: none, side_band"),
        ("HBM2_2000", "both", r"memory\.ecc: 'both' on HBM2_2000; allowed: none, side_band"),
        ("FLAT:470", "on_die", r"memory\.ecc: 'on_die' on FLAT:470, which has no codes; allowed: none"),
    ],
)
def test_what_a_chip_cannot_have(standard: str, ecc: str, message: str) -> None:
    with pytest.raises(ChipError, match=message):
        make_state(memory(standard, ecc))


def test_the_controller_is_the_same_with_ecc_on_pins_of_its_own() -> None:
    for ecc in ("on_die", "side_band", "both"):
        assert (make_state(memory("HBM3_6400", ecc)) == make_state(memory("HBM3_6400", "none"))).all()
