"""The tables: names, figures from their documents, mappings, energy, and refusals."""

from __future__ import annotations

from math import ceil

import numpy as np
import pytest

from hanok.dram import (
    Command,
    FlatMemory,
    Standard,
    energy_pj,
    get_standard,
    make_state,
    parse_mapping,
    read_counters,
    standards,
    state_of,
)
from hanok.dram._kernels import read, write
from hanok.dram._kernels_commands import gather, locate
from hanok.dram._layout import H_BANK_PIECES, H_COLUMN_PIECES
from hanok.dram.mapping import FIELDS
from hanok.errors import ChipError
from hanok.machine import Memory

ACT, PRE, PREA, RD, WR, REFA, ACT1 = Command


def standard_of(name: str) -> Standard:
    found = get_standard(name)
    assert isinstance(found, Standard)
    return found


def test_all_standards_are_listed_with_sources() -> None:
    assert standards() == ("HBM2_2000", "HBM3_6400", "HBM3E_9200", "LPDDR5_6400", "LPDDR5X_8533")
    for name in standards():
        standard = standard_of(name)
        assert standard.name == name
        assert standard.sources
        assert standard.energy.source
        assert bool(standard.derived) == (standard.sources["timings"] == "derived")


@pytest.mark.parametrize(
    ("name", "pins", "gigabits", "burst_bits"),
    [
        ("HBM2_2000", 128, 2.0, 64 * 4),
        ("HBM3_6400", 64, 6.4, 32 * 8),
        ("HBM3E_9200", 64, 9.2, 32 * 8),
        ("LPDDR5_6400", 16, 6.4, 16 * 16),
        ("LPDDR5X_8533", 16, 8.533, 16 * 16),
    ],
)
def test_peak_bandwidth_is_pins_times_rate(name: str, pins: int, gigabits: float, burst_bits: int) -> None:
    standard = standard_of(name)
    assert standard.peak_bytes_per_second == pytest.approx(pins * gigabits * 1e9 / 8, rel=1e-4)
    assert standard.burst_bytes * 8 == burst_bits


@pytest.mark.parametrize(
    ("name", "level", "before", "after", "nanoseconds", "window"),
    [
        ("HBM2_2000", "bank", ACT, RD, 14, 1),
        ("HBM2_2000", "bank", ACT, WR, 12, 1),
        ("HBM2_2000", "bank", PRE, ACT1, 14, 1),
        ("HBM2_2000", "bank", ACT, PRE, 34, 1),
        ("HBM2_2000", "pseudo", RD, RD, 2, 1),
        ("HBM2_2000", "group", RD, RD, 4, 1),
        ("HBM2_2000", "pseudo", ACT, ACT, 15, 4),
        ("HBM2_2000", "pseudo", REFA, ACT1, 350, 1),
        ("HBM3_6400", "bank", ACT, RD, 19.375, 1),
        ("HBM3_6400", "bank", ACT, WR, 9.375, 1),
        ("HBM3_6400", "bank", PRE, ACT1, 16.25, 1),
        ("HBM3_6400", "bank", ACT, PRE, 28.125, 1),
        ("HBM3_6400", "pseudo", RD, RD, 1.25, 1),
        ("HBM3_6400", "group", RD, RD, 2.5, 1),
        ("HBM3_6400", "pseudo", ACT, ACT, 2.5, 1),
        ("HBM3_6400", "group", ACT, ACT, 3.125, 1),
        ("HBM3_6400", "pseudo", ACT, ACT, 15, 4),
        ("LPDDR5_6400", "bank", ACT, RD, 18.75, 1),
        ("LPDDR5_6400", "bank", PRE, ACT1, 18.75, 1),
        ("LPDDR5_6400", "bank", ACT, PRE, 42.5, 1),
        ("LPDDR5_6400", "pseudo", RD, RD, 2.5, 1),
        ("LPDDR5_6400", "group", RD, RD, 5, 1),
        ("LPDDR5_6400", "pseudo", ACT, ACT, 5, 1),
        ("LPDDR5_6400", "pseudo", ACT, ACT, 20, 4),
    ],
)
def test_delays_are_the_published_nanoseconds(
    name: str, level: str, before: Command, after: Command, nanoseconds: float, window: int
) -> None:
    standard = standard_of(name)
    assert standard.delay(level, before, after, window) * standard.tck_ps == nanoseconds * 1000


@pytest.mark.parametrize(
    ("derived", "origin"), [("HBM3E_9200", "HBM3_6400"), ("LPDDR5X_8533", "LPDDR5_6400")]
)
def test_derived_grades_keep_the_times_of_their_origin(derived: str, origin: str) -> None:
    new, old = standard_of(derived), standard_of(origin)
    for level, before, after in (
        ("bank", ACT, RD),
        ("bank", PRE, ACT1),
        ("bank", ACT, PRE),
        ("bank", ACT, ACT),
    ):
        cycles = ceil(old.delay(level, before, after) * old.tck_fs / new.tck_fs)
        assert new.delay(level, before, after) == cycles
    assert new.delay("group", RD, RD) == old.delay("group", RD, RD)


@pytest.mark.parametrize(
    "name", ["", "HBM9", "FLAT", "FLAT:", "FLAT:0", "FLAT:-5", "FLAT:12345678", "FLAT:1:x", "x" * 64]
)
def test_unknown_standards_are_refused_with_the_list(name: str) -> None:
    with pytest.raises(ChipError, match=r"memory\.standard: .* is unknown; allowed: HBM2_2000, .* or FLAT:"):
        get_standard(name)


def test_flat_memory_is_parsed() -> None:
    flat = get_standard("FLAT:470:25")
    assert flat == FlatMemory("FLAT:470:25", 470, 25_000)
    assert flat.peak_bytes_per_second == 470e6
    assert get_standard("FLAT:5000") == FlatMemory("FLAT:5000", 5000, 0)


def test_capacity_beyond_the_channels_is_refused() -> None:
    make_state(Memory(standard="LPDDR5X_8533", channels=4, capacity_mib=4 * 2048))
    with pytest.raises(ChipError, match="8193 MiB; allowed: at most 8192 for 4 channels of LPDDR5X_8533"):
        make_state(Memory(standard="LPDDR5X_8533", channels=4, capacity_mib=4 * 2048 + 1))


@pytest.mark.parametrize("channels", [1, 2, 8])
@pytest.mark.parametrize("name", standards())
def test_mapping_is_a_permutation_and_the_kernel_agrees(name: str, channels: int) -> None:
    """Addresses that differ in one field's bits alone, with all others random, land in distinct places."""
    standard = standard_of(name)
    mapping = parse_mapping(standard.mapping, standard, channels)
    assert 1 << mapping.address_bits == standard.channel_bytes * channels
    state = state_of(standard, channels)
    shape = standard.organisation
    generator = np.random.default_rng(2)
    low = [index * 32 for index in range(4096)]
    spread = (generator.integers(0, 1 << mapping.address_bits, 4096) // 32 * 32).tolist()
    for addresses in (low, spread):
        places = set()
        for address in addresses:
            found = mapping.locate(address)
            places.add(tuple(found[field] for field in FIELDS))
            unit, bank, row = locate(state, address)
            assert unit == found["channel"] * shape.pseudo_channels + found["pseudo"]
            flat = (found["rank"] * shape.groups + found["group"]) * shape.banks_per_group + found["bank"]
            assert (bank, row) == (flat, found["row"])
            assert gather(state, address, state[H_BANK_PIECES], state[H_COLUMN_PIECES]) == found["column"]
        assert len(places) == len(set(addresses))


@pytest.mark.parametrize("name", standards())
def test_a_small_device_is_mapped_one_to_one(name: str) -> None:
    """Every address of two rows of every bank, so that the XOR of row and bank is seen whole."""
    standard = standard_of(name)
    mapping = parse_mapping(standard.mapping, standard, 2)
    row_bytes = standard.channel_bytes * 2 // standard.organisation.rows
    step = max(32, row_bytes // 4096)
    addresses = range(0, 8 * row_bytes, step)
    places = {tuple(mapping.locate(address).values()) for address in addresses}
    assert len(places) == len(addresses)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("row rank bank group column channel", "bits of pseudo are not named"),
        ("row rank bank group column channel pseudo group:3", "group:3 asks for 3 bits; 2 are left"),
        ("row rank bank group:1 column channel pseudo", "bits of group are not named"),
        ("row rank bank group column channel pseudo lane", "'lane' is not one of channel, pseudo"),
        ("row:x rank bank group column channel pseudo", "'row:x' is not one of"),
        ("", "are not named"),
    ],
)
def test_mappings_that_are_no_permutation_are_refused(text: str, message: str) -> None:
    with pytest.raises(ChipError, match=message):
        parse_mapping(text, standard_of("HBM2_2000"), 8)


def test_another_mapping_is_obeyed() -> None:
    """With the channel's bits on top, a stream stays on one pseudo-channel and gets its share alone."""
    standard = standard_of("HBM2_2000")
    state = state_of(standard, 8, mapping="pseudo channel row rank bank column group")
    last = [read(state, index * 32, 0) for index in range(2_000)][-1]
    ideal = 2_000 * 2 * standard.tck_fs // 1000
    assert ideal <= last


def test_energy_is_commands_times_figures_and_background() -> None:
    standard = standard_of("HBM2_2000")
    state = make_state(Memory(standard="HBM2_2000", channels=2, capacity_mib=64, refresh=False))
    read(state, 0, 0)
    write(state, 0, 0)
    read(state, 0, 0)  # forwarded, the DRAM does not see it
    spent = energy_pj(read_counters(state), standard, 1_000_000)
    assert spent.activate_precharge_pj == 909.0
    assert spent.read_pj == pytest.approx(256 * 3.48)
    assert spent.write_pj == 0
    assert spent.background_pj == pytest.approx(2 * 66e-3 * 1e-6 * 1e12)
    assert spent.total_pj == pytest.approx(909 + 256 * 3.48 + 2 * 66e3)
    assert energy_pj(read_counters(state), get_standard("FLAT:5"), 10).total_pj == 0
