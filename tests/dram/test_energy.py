"""Energy: figures by hand from their sources, ranges, and what a run costs."""

from __future__ import annotations

from dataclasses import fields

import pytest

from hanok.dram.energy import MemoryEnergy, energy_pj
from hanok.dram.results import Counters, Loss
from hanok.dram.standard import Standard
from hanok.dram.standards import densities, get_standard, standards
from hanok.numerics.ranges import NOTHING, Range

FIGURES = (
    "activate_precharge_pj",
    "read_pj",
    "write_pj",
    "refresh_pj",
    "bank_refresh_pj",
    "background_mw",
)


def standard_of(name: str) -> Standard:
    found = get_standard(name)
    assert isinstance(found, Standard)
    return found


def counters(**counts: int) -> Counters:
    whole = {field.name: 0 for field in fields(Counters)} | {"lost_cycles": (0,) * len(Loss)}
    return Counters(**(whole | counts))


@pytest.mark.parametrize("name", [f"{name}@{gbit}Gb" for name in standards() for gbit in densities(name)])
def test_every_figure_is_a_range_around_its_nominal(name):
    standard = standard_of(name)
    for figure in FIGURES:
        value = getattr(standard.energy, figure)
        if figure == "bank_refresh_pj" and not standard.bank_refresh_interval_cycles:
            assert value == NOTHING
            continue
        assert 0 < value.low < value.nominal < value.high
    assert standard.energy.source


def test_hbm2_figures_come_from_their_sources():
    """909 pJ a row and 3.48 pJ/bit (O'Connor); the low ends and refresh from currents, halved for 64 pins."""
    energy = standard_of("HBM2_2000").energy
    assert energy.activate_precharge_pj.nominal == 909
    assert energy.activate_precharge_pj.low == pytest.approx(1.2 * (65 * 48 - 55 * 34 - 40 * 14) / 2)
    assert energy.read_pj.nominal == pytest.approx(256 * 3.48)
    assert energy.read_pj.low == pytest.approx((390 - 55) * 1.2)
    assert energy.write_pj.low == pytest.approx((500 - 55) * 1.2)
    assert energy.read_pj.high == pytest.approx(256 * 6.0)
    assert energy.refresh_pj.nominal == pytest.approx(195 * 1.2 * 350 / 2)
    assert energy.background_mw.nominal == pytest.approx(66)
    assert energy.background_mw.low == pytest.approx(48)


def test_refresh_costs_what_its_time_does():
    small, large = standard_of("HBM2_2000@4Gb").energy, standard_of("HBM2_2000").energy
    assert large.refresh_pj.nominal / small.refresh_pj.nominal == pytest.approx(350 / 260)
    assert large.bank_refresh_pj.nominal * 16 == pytest.approx(large.refresh_pj.nominal)


@pytest.mark.parametrize(("name", "volts"), [("HBM3_6400", 1.1), ("HBM3E_9200", 1.1), ("HBM4_8000", 1.05)])
def test_later_stacks_are_scaled_by_the_square_of_the_supply(name, volts):
    old, new = standard_of("HBM2_2000").energy, standard_of(name).energy
    for figure in ("activate_precharge_pj", "read_pj", "write_pj", "background_mw"):
        ratio = getattr(new, figure).nominal / getattr(old, figure).nominal
        assert ratio == pytest.approx((volts / 1.2) ** 2)
    assert new.source.startswith("derived")


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("HBM2_2000", 2.5, 3.92), ("HBM3E_9200", 2.5, 3.9), ("LPDDR5_6400", 3, 6), ("GDDR6_14000", 5.5, 7.5)],
)
def test_data_cost_about_what_is_said_of_the_family(name, low, high):
    """pJ/bit: HBM2 2.5 to 3.92 (O'Connor), HBM3E 3.9 with rows and standby (Samsung), GDDR6 7.5 (Micron)."""
    standard = standard_of(name)
    assert low <= standard.energy.read_pj.nominal / (8 * standard.burst_bytes) <= high


def test_a_run_costs_commands_times_figures_and_standby():
    standard = standard_of("HBM2_2000")
    figures = standard.energy
    found = energy_pj(
        counters(
            activates=3, reads=5, writes=7, refreshes=2, bank_refreshes=11, channels=4, forwarded_reads=99
        ),
        standard,
        1_000_000,
    )
    assert found.activate_precharge_pj == figures.activate_precharge_pj * 3
    assert found.read_pj == figures.read_pj * 5
    assert found.write_pj == figures.write_pj * 7
    assert found.refresh_pj == figures.refresh_pj * 2
    assert found.bank_refresh_pj == figures.bank_refresh_pj * 11
    # 66 mW for a microsecond are 66 nJ.
    assert found.background_pj.nominal == pytest.approx(4 * 66e3)
    parts = [getattr(found, cause.name) for cause in fields(MemoryEnergy)]
    assert found.total_pj.nominal == pytest.approx(sum(part.nominal for part in parts))
    assert found.total_pj.low == pytest.approx(sum(part.low for part in parts))


def test_memory_without_banks_has_no_figures():
    found = energy_pj(counters(reads=5, channels=1), get_standard("FLAT:5"), 10)
    assert found == MemoryEnergy()
    assert found.total_pj == Range(0, 0, 0)
