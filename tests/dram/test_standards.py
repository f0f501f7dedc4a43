"""The tables: names, figures from their documents, second sources, refresh of banks, and refusals."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hanok.dram.standard import Bus, Command, FlatMemory, Form, Standard
from hanok.dram.standards import (
    check_standard,
    densities,
    families,
    get_standard,
    standard_by_speed,
    standards,
)
from hanok.errors import ChipError

ACT, PRE, PREA, RD, WR, REFA, ACT1, REFB = Command

NAMES = (
    "HBM2_1600 HBM2_2000 HBM2_2400 HBM2E_3200 HBM2E_3600 HBM3_5200 HBM3_5600 HBM3_6400 HBM3E_8000 HBM3E_9200 "
    "HBM3E_9600 HBM4_8000 LPDDR5_5500 LPDDR5_6400 LPDDR5X_7500 LPDDR5X_8533 DDR5_3200 DDR5_4800 DDR5_5600 "
    "DDR5_6400 GDDR6_14000 GDDR6_16000"
)
ALL = [f"{name}@{gbit}Gb" for name in standards() for gbit in densities(name)]


def standard_of(name: str) -> Standard:
    found = get_standard(name)
    assert isinstance(found, Standard)
    return found


def first_of(standard: Standard) -> Command:
    return ACT if standard.activate_gap_cycles == (0, 0) else ACT1


def test_all_standards_are_listed_with_sources():
    assert standards() == tuple(NAMES.split())
    assert families() == tuple(dict.fromkeys(name.split("_")[0] for name in standards()))
    for name in standards():
        standard = standard_of(name)
        assert standard.name == name
        assert f"{standard.family}_{standard.speed_mbps}" == name
        assert {"timings", "second"} <= standard.sources.keys()
        assert standard.energy.source
        assert standard.derived or standard.sources["timings"] != "derived"


@pytest.mark.parametrize("name", ALL)
def test_tables_are_whole_and_without_contradiction(name):
    standard = standard_of(name)
    check_standard(standard)
    assert standard.channel_bytes == gbit_of_a_channel(standard) << 27


def gbit_of_a_channel(standard: Standard) -> int:
    """A density is a channel of HBM, a die of LPDDR5, a quarter of a DDR5 channel, two channels of GDDR6."""
    return {"DDR5": 4 * standard.density_gbit, "GDDR6": standard.density_gbit // 2}.get(
        standard.family, standard.density_gbit
    )


@pytest.mark.parametrize(
    ("family", "pins", "burst_length"),
    [
        ("HBM2", 128, 4),
        ("HBM2E", 128, 4),
        ("HBM3", 64, 8),
        ("HBM3E", 64, 8),
        ("HBM4", 64, 8),
        ("LPDDR5", 16, 16),
        ("LPDDR5X", 16, 16),
        ("DDR5", 32, 16),
        ("GDDR6", 16, 16),
    ],
)
def test_peak_bandwidth_is_pins_times_rate(family, pins, burst_length):
    grades = [standard_of(name) for name in standards() if name.split("_")[0] == family]
    assert grades
    for standard in grades:
        peak = pins * standard.speed_mbps * 1e6 / 8
        assert standard.peak_bytes_per_second == pytest.approx(peak, rel=1e-5)
        assert standard.burst_bytes * 8 == pins // standard.organisation.pseudo_channels * burst_length


@pytest.mark.parametrize(("name", "count"), [("HBM2_2000", 16), ("HBM3_6400", 32), ("HBM4_8000", 64)])
def test_a_stack_has_its_pseudo_channels(name, count):
    standard = standard_of(name)
    assert standard.stack_channels * standard.organisation.pseudo_channels == count


# (standard, level, before, after, published ns, window): the delay is the fewest whole clocks that last them.
PUBLISHED = [
    ("HBM2_2000", "bank", ACT, RD, 14, 1),
    ("HBM2_2000", "bank", ACT, WR, 12, 1),
    ("HBM2_2000", "bank", PRE, ACT1, 14, 1),
    ("HBM2_2000", "bank", ACT, PRE, 34, 1),
    ("HBM2_2000", "pseudo", RD, RD, 2, 1),
    ("HBM2_2000", "group", RD, RD, 4, 1),
    ("HBM2_2000", "pseudo", ACT, ACT, 4, 1),
    ("HBM2_2000", "group", ACT, ACT, 4, 1),
    ("HBM2_2000", "pseudo", ACT, ACT, 15, 4),
    ("HBM2_2000", "pseudo", REFA, ACT1, 350, 1),
    ("HBM2_2000@4Gb", "pseudo", REFA, ACT1, 260, 1),
    ("HBM2_2000", "bank", REFB, ACT1, 160, 1),
    ("HBM3_6400", "bank", ACT, RD, 19.375, 1),
    ("HBM3_6400", "bank", ACT, WR, 9.375, 1),
    ("HBM3_6400", "bank", PRE, ACT1, 16.25, 1),
    ("HBM3_6400", "bank", ACT, PRE, 28.125, 1),
    ("HBM3_6400", "pseudo", RD, RD, 1.25, 1),
    ("HBM3_6400", "group", RD, RD, 2.5, 1),
    ("HBM3_6400", "pseudo", ACT, ACT, 2.5, 1),
    ("HBM3_6400", "group", ACT, ACT, 3.125, 1),
    ("HBM3_6400", "pseudo", ACT, ACT, 15, 4),
    ("HBM3_6400", "bank", REFB, ACT1, 200, 1),
    ("HBM4_8000", "bank", ACT, RD, 19.5, 1),
    ("HBM4_8000", "bank", PRE, ACT1, 16.5, 1),
    ("HBM4_8000", "bank", ACT, PRE, 28.5, 1),
    ("HBM4_8000", "bank", REFB, ACT1, 280, 1),
    ("HBM4_8000", "pseudo", REFA, ACT1, 450, 1),
    ("LPDDR5_6400", "bank", ACT, RD, 18.75, 1),
    ("LPDDR5_6400", "bank", PRE, ACT1, 18.75, 1),
    ("LPDDR5_6400", "bank", ACT, PRE, 42.5, 1),
    ("LPDDR5_6400", "rank", RD, RD, 2.5, 1),
    ("LPDDR5_6400", "group", RD, RD, 5, 1),
    ("LPDDR5_6400", "rank", ACT, ACT, 5, 1),
    ("LPDDR5_6400", "pseudo", ACT, ACT, 20, 4),
    ("LPDDR5_6400", "bank", REFB, ACT1, 140, 1),
    ("GDDR6_14000", "bank", ACT, RD, 15.39, 1),
    ("GDDR6_14000", "bank", ACT, WR, 9.12, 1),
    ("GDDR6_14000", "bank", ACT, PRE, 30.21, 1),
    ("DDR5_3200", "bank", ACT, RD, 15, 1),
    ("DDR5_4800", "bank", ACT, PRE, 32, 1),
    ("DDR5_4800", "pseudo", REFA, ACT1, 295, 1),
]


@pytest.mark.parametrize(("name", "level", "before", "after", "nanoseconds", "window"), PUBLISHED)
def test_delays_are_the_published_nanoseconds(name, level, before, after, nanoseconds, window):
    standard = standard_of(name)
    clock_ns = standard.tck_ps * standard.clock_cycles / 1000
    found = standard.delay(level, before, after, window) * standard.tck_ps / 1000
    assert nanoseconds - 1e-4 <= found < nanoseconds + clock_ns


@pytest.mark.parametrize(
    ("name", "near_ns", "far_ns"),
    [("HBM2_2000", 6, 8), ("HBM3_6400", 4.375, 6.25), ("LPDDR5_6400", 6.25, 12.5)],
)
def test_write_to_read_counts_from_the_end_of_the_data(name, near_ns, far_ns):
    standard = standard_of(name)
    level = "rank" if standard.family == "LPDDR5" else "pseudo"
    end = standard.write_latency_cycles + standard.burst_cycles
    near = standard.delay(level, WR, RD) - end
    assert near * standard.tck_ps == near_ns * 1000
    # LPDDR5 counts tWTR_L from the end of the column array's cycle, which is two bursts long.
    far = standard.delay("group", WR, RD) - end - (standard.burst_cycles if level == "rank" else 0)
    assert far * standard.tck_ps == far_ns * 1000


@pytest.mark.parametrize("name", standards())
def test_refresh_intervals_are_not_stretched(name):
    """tREFI 3.9 us (GDDR6 1.9 us, LPDDR5 3.906 us), rounded down; each bank once in it."""
    standard = standard_of(name)
    wanted = {"GDDR6": 1900, "LPDDR5": 3906, "LPDDR5X": 3906}.get(standard.family, 3900)
    found = standard.refresh_interval_cycles * standard.tck_ps / 1000
    assert wanted - 2 < found <= wanted + 1e-2
    banks = standard.bank_refresh_interval_cycles * standard.organisation.banks
    assert banks <= standard.refresh_interval_cycles + standard.clock_cycles
    assert (banks == 0) == (standard.family == "DDR5") == (REFB not in standard.forms)


ORIGINS = {
    "HBM2E_3200": "HBM2_2000",
    "HBM2E_3600": "HBM2_2000",
    "HBM3_5200": "HBM3_6400",
    "HBM3_5600": "HBM3_6400",
    "HBM3E_8000": "HBM3_6400",
    "HBM3E_9200": "HBM3_6400",
    "HBM3E_9600": "HBM3_6400",
    "GDDR6_16000": "GDDR6_14000",
}


def test_every_wholly_derived_grade_has_an_origin():
    derived = {name for name in standards() if standard_of(name).sources["timings"] == "derived"}
    assert derived == set(ORIGINS)


@pytest.mark.parametrize("name", ORIGINS)
def test_derived_grades_keep_the_times_of_their_origin(name):
    new, old = standard_of(name), standard_of(ORIGINS[name])
    for level, before, after in (
        ("bank", ACT, RD),
        ("bank", ACT, WR),
        ("bank", PRE, first_of(new)),
        ("bank", ACT, PRE),
        ("bank", ACT, ACT),
        ("bank", RD, PRE),
    ):
        clocks = old.delay(level, before, after) // old.clock_cycles
        wanted = -(-clocks * new.speed_mbps // old.speed_mbps)
        assert new.delay(level, before, after) == wanted * new.clock_cycles
    for level in ("pseudo", "group"):
        assert new.delay(level, RD, RD) == old.delay(level, RD, RD)


# Figures of a second public source, in the cycles of ours or in nanoseconds, and whether ours is the same.
SAME, STRICTER, LOOSER = "same", "stricter", "looser"
SECOND_SOURCES = [
    # DRAMsim3 HBM2_8Gb_x128.ini (ns; its tCCD counts bursts of a legacy channel)
    ("HBM2_2000", "DRAMsim3", "nCL", 14, SAME),
    ("HBM2_2000", "DRAMsim3", "nRCDRD", 14, SAME),
    ("HBM2_2000", "DRAMsim3", "nRCDWR", 14, LOOSER),
    ("HBM2_2000", "DRAMsim3", "nRP", 14, SAME),
    ("HBM2_2000", "DRAMsim3", "nRAS", 34, SAME),
    ("HBM2_2000", "DRAMsim3", "nRRDS", 4, SAME),
    ("HBM2_2000", "DRAMsim3", "nRRDL", 6, LOOSER),
    ("HBM2_2000", "DRAMsim3", "nWTRS", 6, SAME),
    ("HBM2_2000", "DRAMsim3", "nWTRL", 8, SAME),
    ("HBM2_2000", "DRAMsim3", "nFAW", 30, LOOSER),
    ("HBM2_2000", "DRAMsim3", "nWR", 16, SAME),
    ("HBM2_2000", "DRAMsim3", "nRFC", 260, STRICTER),
    ("HBM2_2000", "DRAMsim3", "nREFI", 3900, SAME),
    # DRAMSys HBM2.json (register values of a graphics card)
    ("HBM2_2000", "DRAMSys", "nRP", 14, SAME),
    ("HBM2_2000", "DRAMSys", "nRRDS", 4, SAME),
    ("HBM2_2000", "DRAMSys", "nRTP", 5, SAME),
    ("HBM2_2000", "DRAMSys", "nCCDS", 2, SAME),
    ("HBM2_2000", "DRAMSys", "nCCDL", 3, STRICTER),
    ("HBM2_2000", "DRAMSys", "nFAW", 16, LOOSER),
    ("HBM2_2000", "DRAMSys", "nRAS", 28, STRICTER),
    ("HBM2_2000", "DRAMSys", "nRCDRD", 12, STRICTER),
    ("HBM2_2000", "DRAMSys", "nWR", 14, STRICTER),
    ("HBM2_2000", "DRAMSys", "nRREFD", 8, SAME),
    ("HBM2_2000", "DRAMSys", "nRFCpb", 96, STRICTER),
    ("HBM2_2000", "DRAMSys", "nREFI", 3900, SAME),
    # gem5 HBM_2000_4H_1x64
    ("HBM2_2000", "gem5", "nRP", 14, SAME),
    ("HBM2_2000", "gem5", "nRAS", 28, STRICTER),
    ("HBM2_2000", "gem5", "nRFC", 220, STRICTER),
    # Ramulator 2.0 HBM3.cpp and its forks after JESD238A (refresh alone; half clocks of 0.3125 ns)
    ("HBM3_6400@4Gb", "Ramulator 2.0", "nRFC", 260 / 0.3125, SAME),
    ("HBM3_6400", "Ramulator 2.0", "nRFC", 350 / 0.3125, SAME),
    ("HBM3_6400@16Gb", "Ramulator 2.0", "nRFC", 450 / 0.3125, SAME),
    ("HBM3_6400", "Ramulator 2.0", "nRFCpb", 200 / 0.3125, SAME),
    ("HBM3_6400", "Ramulator 2.0", "nREFI", 3900 / 0.3125, SAME),
    ("HBM3_6400@32Gb", "fork", "nRFC", 650 / 0.3125, LOOSER),
    # Ramulator 2.1 LPDDR5_6400, in clocks; the table is made from gem5's and AMD's nanoseconds
    *(
        ("LPDDR5_6400", "Ramulator 2.1", timing, clocks, SAME)
        for timing, clocks in (
            ("nCL", 17),
            ("nCWL", 9),
            ("nRCDRD", 15),
            ("nRP", 15),
            ("nRPab", 17),
            ("nRAS", 34),
            ("nRC", 49),
            ("nWR", 28),
            ("nRTP", 8),
            ("nCCDS", 2),
            ("nCCDL", 4),
            ("nWTRS", 5),
            ("nWTRL", 10),
            ("nRRDS", 4),
            ("nFAW", 16),
            ("nRFC", 224),
            ("nRFCpb", 112),
            ("nRREFD", 6),
            ("nRREFR", 72),
        )
    ),
    ("LPDDR5_6400", "Ramulator 2.1", "nREFI", 3125, STRICTER),
    # gem5 DDR5_6400_4x8 (ns over 0.3125) and AMD's controller (clocks)
    ("DDR5_6400", "gem5", "nRCDRD", 14.375 / 0.3125, SAME),
    ("DDR5_6400", "gem5", "nRAS", 103, SAME),
    ("DDR5_6400", "gem5", "nFAW", 32, SAME),
    ("DDR5_6400", "gem5", "nWR", 96, SAME),
    ("DDR5_6400", "gem5", "nRTP", 24, SAME),
    ("DDR5_6400", "gem5", "nRFC", 944, SAME),
    ("DDR5_6400", "AMD", "nCL", 46, SAME),
    ("DDR5_6400", "AMD", "nCWL", 44, SAME),
    ("DDR5_6400", "AMD", "nCCDL", 16, SAME),
    ("DDR5_6400", "AMD", "nRRDL", 16, SAME),
    ("DDR5_6400", "AMD", "nCCDLWR", 64, SAME),
    ("DDR5_6400", "AMD", "nFAW", 40, LOOSER),
    ("DDR5_5600", "AMD", "nFAW", 32, SAME),
    ("DDR5_5600", "AMD", "nCCDL", 15, LOOSER),
    # Ramulator 2.1 where it leaves the standard's formulas
    ("DDR5_3200", "Ramulator 2.1", "nRRDL", 5, STRICTER),
    ("DDR5_5600", "Ramulator 2.1", "nCCDL", 12, STRICTER),
    ("DDR5_5600", "Ramulator 2.1", "nWTRS", 5, STRICTER),
    ("DDR5_3200", "Ramulator 2.1", "nWTRS", 6, LOOSER),
    ("DDR5_4800", "Ramulator 2.1", "nFAW", 48, LOOSER),
    # DRAMsim3 GDDR6_8Gb_x16.ini, a 12 Gb/s part, as nanoseconds over our 0.5714 ns
    ("GDDR6_14000", "DRAMsim3", "nRCDRD", 24 * 0.66 / 0.571429, LOOSER),
    ("GDDR6_14000", "DRAMsim3", "nRP", 24 * 0.66 / 0.571429, LOOSER),
    ("GDDR6_14000", "DRAMsim3", "nRAS", 54 * 0.66 / 0.571429, LOOSER),
    ("GDDR6_14000", "DRAMsim3", "nRFC", 126 * 0.66 / 0.571429, STRICTER),
]


@pytest.mark.parametrize(("name", "source", "timing", "theirs", "verdict"), SECOND_SOURCES)
def test_second_sources_agree_or_differ_as_written_down(name, source, timing, theirs, verdict):
    standard = standard_of(name)
    ours = standard.timings[timing]
    if verdict == SAME:
        assert ours == pytest.approx(theirs, abs=1e-3 * theirs), source
    else:
        # A longer delay is stricter; a longer refresh interval is not.
        longer = ours > theirs
        assert ours != theirs
        assert (longer != (timing == "nREFI")) == (verdict == STRICTER), source


@pytest.mark.parametrize("name", [name for name in ALL if not name.startswith("DDR5")])
def test_a_refreshed_bank_counts_as_an_activate(name):
    """Every row around REFB, and the four-activate window with a REFB anywhere in it."""
    standard = standard_of(name)
    first, timings = first_of(standard), standard.timings
    precharge_all = timings.get("nRPab", timings["nRP"])
    level = "rank" if standard.family.startswith("LPDDR5") else "pseudo"
    for where, before, after, cycles in (
        ("bank", PRE, REFB, timings["nRP"]),
        ("bank", ACT, REFB, timings["nRC"]),
        ("bank", REFB, first, timings["nRFCpb"]),
        ("bank", REFB, REFB, timings["nRFCpb"]),
        (level, ACT, REFB, timings["nRRDS"]),
        ("group", ACT, REFB, timings["nRRDL"]),
        (level, REFB, first, timings["nRREFD"]),
        (level, REFB, REFB, timings["nRREFR"]),
        ("pseudo", PREA, REFB, precharge_all),
        ("pseudo", REFA, REFB, timings["nRFC"]),
        ("pseudo", REFB, REFA, timings["nRFCpb"]),
        ("pseudo", REFB, PREA, timings["nRFCpb"]),
    ):
        assert standard.delay(where, before, after) == cycles
    assert standard.delay("pseudo", ACT, REFB, 4) == timings["nFAW"]
    # With a REFB as one of the first four, the fifth is late enough by the other rows.
    assert min(timings["nRREFD"], timings["nRREFR"]) + 3 * timings["nRRDS"] >= timings["nFAW"]
    assert timings["nRREFD"] >= timings["nRRDL"]


def test_half_clocks_lie_on_rising_edges():
    standard = standard_of("HBM3_6400")
    assert standard.clock_cycles == 2
    assert standard.activate_gap_cycles == (2, 2)
    assert standard.forms[ACT1] == Form(Bus.ROW, tail=1, align=2)
    assert standard.forms[PRE].align == 1
    for rule in standard.rules:
        assert rule.cycles % 2 == 0, str(rule)


def test_ddr5_ranks_keep_their_data_apart():
    """A second rank is allowed, and its bursts leave nCS cycles of the bus free in each direction."""
    single = standard_of("DDR5_4800")
    double = replace(single, organisation=replace(single.organisation, ranks=2))
    check_standard(double)
    latency = {RD: single.read_latency_cycles, WR: single.write_latency_cycles}
    for before in (RD, WR):
        for after in (RD, WR):
            gap = double.delay("other_rank", before, after) + latency[after] - latency[before] - 8
            assert gap == 2


@pytest.mark.parametrize(
    "name",
    [
        "",
        "HBM9",
        "HBM3",
        "HBM3_64",
        "hbm3_6400",
        "HBM3_6400@",
        "HBM3_6400@8",
        "FLAT",
        "FLAT:",
        "FLAT:0",
        "FLAT:-5",
    ],
)
def test_unknown_standards_are_refused_with_the_list(name):
    with pytest.raises(ChipError, match=r"memory\.standard: .* is unknown; allowed: HBM2_1600, .* or FLAT:"):
        get_standard(name)


def test_the_list_of_allowed_names_and_the_echo_are_short():
    with pytest.raises(ChipError) as caught:
        get_standard("x" * 5000)
    assert len(str(caught.value)) < 600


def test_other_densities_are_named_and_refused():
    assert standard_of("HBM3_6400@8Gb") is standard_of("HBM3_6400")
    assert standard_of("HBM3_6400@16Gb").name == "HBM3_6400@16Gb"
    assert standard_of("HBM3_6400@16Gb").timings["nRFC"] > standard_of("HBM3_6400").timings["nRFC"]
    assert densities("HBM3_6400@16Gb") == densities("HBM3_6400") == (4, 8, 16, 32)
    assert densities("FLAT:5") == ()
    with pytest.raises(ChipError, match=r"'HBM3_6400@5Gb' has density 5Gb; allowed: 4Gb, 8Gb, 16Gb, 32Gb"):
        get_standard("HBM3_6400@5Gb")


def test_standards_by_speed():
    assert standard_by_speed("HBM3", 6400) is standard_of("HBM3_6400")
    assert standard_by_speed("DDR5", 4800, 32).name == "DDR5_4800@32Gb"
    with pytest.raises(ChipError, match="'HBM9' is unknown; allowed: HBM2, HBM2E, HBM3"):
        standard_by_speed("HBM9", 6400)
    with pytest.raises(ChipError, match="HBM3 has no speed 6000 Mb/s; allowed: 5200, 5600, 6400"):
        standard_by_speed("HBM3", 6000)
    with pytest.raises(ChipError, match="HBM3 has no density 5 Gbit; allowed: 4, 8, 16, 32"):
        standard_by_speed("HBM3", 6400, 5)


def test_flat_memory_is_parsed():
    flat = get_standard("FLAT:470:25")
    assert flat == FlatMemory("FLAT:470:25", 470, 25_000)
    assert flat.peak_bytes_per_second == 470e6
    assert get_standard("FLAT:5000") == FlatMemory("FLAT:5000", 5000, 0)
