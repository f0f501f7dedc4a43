"""Wrong bits through every ECC: what is put in, what each code does with it, and what the host reads."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanok.dram.codes import Code, WordStatus, hamming, hsiao, outcome_probabilities, reed_solomon
from hanok.dram.ecc import ecc_options, ecc_plan, inline_addresses
from hanok.dram.faults import (
    BitFlip,
    BurstFault,
    ColumnFault,
    FaultReport,
    Faults,
    PinFault,
    RowFault,
    StageReport,
    inject,
    random_flips,
    read_through,
)
from hanok.dram.mapping import parse_mapping
from hanok.dram.standard import Standard
from hanok.dram.standards import get_standard
from hanok.errors import ChipError

NAMES = ("HBM2_2000", "HBM2E_3600", "HBM3_6400", "HBM4_8000", "LPDDR5X_8533", "DDR5_4800", "GDDR6_16000")


def standard_of(name: str) -> Standard:
    standard = get_standard(name)
    assert isinstance(standard, Standard)
    return standard


HBM2, HBM3, LPDDR5X, DDR5 = (
    standard_of(name) for name in ("HBM2_2000", "HBM3_6400", "LPDDR5X_8533", "DDR5_4800")
)
EVERY = [(name, option) for name in NAMES for option in ecc_options(standard_of(name).family)]


def image_of(size: int, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8)


def close(found: int, words: int, share: float) -> bool:
    """Whether a binomial count is within five standard deviations (and one) of its expectation."""
    return abs(found - words * share) <= 5 * sqrt(words * share * (1 - share)) + 1


@pytest.mark.parametrize("rate", [1e-4, 0.03, 0.5, 0.9])
def test_random_flips_are_as_many_as_the_rate_says(rate: float) -> None:
    total = 400_000
    flips = random_flips(total, rate, np.random.default_rng(1))
    assert close(len(flips), total, rate)
    assert (np.diff(flips) > 0).all()
    halves = (flips < total // 2).sum()
    assert close(int(halves), total // 2, rate)


def test_random_flips_at_the_ends_of_the_range() -> None:
    generator = np.random.default_rng(1)
    assert len(random_flips(1000, 0.0, generator)) == 0
    assert len(random_flips(0, 0.5, generator)) == 0
    assert random_flips(1000, 1.0, generator).tolist() == list(range(1000))
    assert len(random_flips(1 << 50, 1e-18, generator)) == 0


@pytest.mark.parametrize("code", [hamming(128, 8), hsiao(64, 8), hsiao(256, 16)], ids=lambda code: code.name)
@pytest.mark.parametrize("rate", [1e-3, 0.02])
def test_injection_agrees_with_the_binomial_expectation(code: Code, rate: float) -> None:
    words = 60_000
    generator = np.random.default_rng(7)
    data = generator.integers(0, 256, (words, code.data_bits // 8), np.uint8)
    damaged = inject(code, data, code.encode(data), random_flips(words * code.bits, rate, generator))
    read, status = code.decode(*damaged)
    wrong = (read != data).any(axis=1)
    expected = outcome_probabilities(code, rate)
    corrected = status == WordStatus.CORRECTED
    assert close(int(((status == WordStatus.OK) & ~wrong).sum()), words, expected.ok)
    assert close(int((corrected & ~wrong).sum()), words, expected.corrected)
    assert close(int((status == WordStatus.DETECTED).sum()), words, expected.detected)
    assert close(int((corrected & wrong).sum()), words, expected.miscorrected)
    assert close(int(((status == WordStatus.OK) & wrong).sum()), words, expected.undetected)


def test_symbol_codes_correct_as_often_as_expected() -> None:
    code, words, rate = reed_solomon(17, 16), 60_000, 2e-3
    generator = np.random.default_rng(8)
    data = generator.integers(0, 256, (words, 34), np.uint8)
    damaged = inject(code, data, code.encode(data), random_flips(words * code.bits, rate, generator))
    read, status = code.decode(*damaged)
    expected = outcome_probabilities(code, rate)
    right = (read == data).all(axis=1)
    assert close(int(((status == WordStatus.CORRECTED) & right).sum()), words, expected.corrected)
    assert close(int((status == WordStatus.OK).sum()), words, expected.ok)
    # Several wrong symbols: nearly all detected; their values are not uniform here, so within a factor.
    assert int((status == WordStatus.DETECTED).sum()) == pytest.approx(words * expected.detected, rel=0.05)


def test_inject_inverts_the_bits_named() -> None:
    code = hsiao(64, 8)
    data, check = np.zeros((2, 8), np.uint8), np.zeros((2, 1), np.uint8)
    read, read_check = inject(code, data, check, np.array([3, 64, 72 + 15]))
    assert read.tolist() == [[8, 0, 0, 0, 0, 0, 0, 0], [0, 128, 0, 0, 0, 0, 0, 0]]
    assert read_check.tolist() == [[1], [0]]
    assert not data.any()
    with pytest.raises(ChipError, match=r"\(72,64\) Hsiao SECDED: bit 144; allowed: 0\.\.143"):
        inject(code, data, check, np.array([144]))


@pytest.mark.parametrize(("name", "option"), EVERY)
def test_without_faults_the_image_is_read_as_it_is(name: str, option: str) -> None:
    image = image_of(64 * 37)
    read, report = read_through(image, standard_of(name), option, Faults())
    assert (read == image).all()
    assert (report.hit, report.cell_flips, report.link_flips) == (0, 0, 0)


@pytest.mark.parametrize(("name", "option"), EVERY)
def test_one_wrong_cell_is_corrected_by_every_code_and_passed_on_without(name: str, option: str) -> None:
    standard, image = standard_of(name), image_of(64 * 40)
    for address, bit in ((0, 0), (1337, 5), (len(image) - 1, 7)):
        read, report = read_through(image, standard, option, Faults(faults=(BitFlip(address, bit),)))
        start = address // standard.burst_bytes * standard.burst_bytes
        if option == "none":
            assert read[address] == image[address] ^ 1 << bit
            assert (report.silent, report.wrong_bits, report.silent_addresses.tolist()) == (1, 1, [start])
        else:
            assert (read == image).all()
            assert (report.corrected, report.detected, report.silent) == (1, 0, 0)
        assert (report.hit, report.cell_flips) == (1, 1)


def test_two_wrong_cells_of_a_word_are_detected_by_secded_and_passed_on_by_the_die() -> None:
    image = image_of(4096)
    flips = Faults(faults=(BitFlip(64, 0), BitFlip(68, 3)))
    read, report = read_through(image, HBM2, "side_band", flips)
    assert (report.detected, report.silent, report.detected_addresses.tolist()) == (1, 0, [64])
    assert report.side_band == StageReport("(72,64) Hsiao SECDED", 1, 0, 1, 0, 0)
    assert report.wrong_bits == 2, "a detected word is passed on as it was read"
    # A die of DDR5 says nothing of what it cannot correct, and SEC makes most double errors worse.
    read, report = read_through(image, DDR5, "on_die", flips)
    assert (report.detected, report.silent) == (0, 1)
    assert report.on_die is not None
    assert report.on_die.miscorrected + report.on_die.detected == 1
    # The dies of HBM3 report: two symbols, of pins 0..1 and 2..3.
    read, report = read_through(image, HBM3, "on_die", flips)
    assert (report.detected, report.silent) == (1, 0)
    # Two cells of one symbol, the beats 0 and 1 of pin 0, are corrected.
    read, report = read_through(image, HBM3, "on_die", Faults(faults=(BitFlip(64, 0), BitFlip(68, 0))))
    assert (report.corrected, report.detected, report.silent) == (1, 0, 0)
    assert (read == image).all()


def test_what_the_die_miscorrects_the_host_detects_or_corrects() -> None:
    image = image_of(1 << 16)
    _, alone = read_through(image, DDR5, "on_die", Faults(rate=2e-3, seed=1))
    _, both = read_through(image, DDR5, "both", Faults(rate=2e-3, seed=1))
    assert alone.silent > 50
    assert both.silent < alone.silent / 4
    assert both.detected > 0


@pytest.mark.parametrize(("name", "option"), EVERY)
def test_random_cells_end_as_the_codes_expect(name: str, option: str) -> None:
    standard, image, rate = standard_of(name), image_of(1 << 20), 5e-4
    plan = ecc_plan(standard, option)
    read, report = read_through(image, standard, option, Faults(rate=rate, seed=11))
    blocks = -(-8 * len(image) // plan.data_bits)
    assert close(report.cell_flips, blocks * (plan.data_bits + plan.side_bits + plan.die_bits), rate)
    assert report.hit == report.corrected + report.detected + report.silent
    assert report.wrong_bits == int(np.unpackbits(read ^ image).sum())
    wrong = (
        np.flatnonzero((read != image).reshape(-1, standard.burst_bytes).any(axis=1)) * standard.burst_bytes
    )
    told = set(report.detected_addresses.tolist())
    assert set(report.silent_addresses.tolist()) == set(wrong.tolist()) - told
    for words, stage in ((plan.on_die, report.on_die), ((plan.side_band,), report.side_band)):
        if option == "both" or stage is None or len(words) != 1:
            continue
        (group,) = words
        assert group is not None
        count, expected = blocks * len(group.bits), outcome_probabilities(group.code, rate)
        assert close(stage.corrected, count, expected.corrected)
        assert close(stage.words, count, 1 - expected.ok)
        if group.code.symbol_bits == 1:
            assert close(stage.detected, count, expected.detected)
            assert close(stage.miscorrected, count, expected.miscorrected)


def test_a_seed_gives_the_same_faults_and_another_seed_others() -> None:
    image = image_of(1 << 14)
    kinds = (BurstFault(512), PinFault(0, 1, 3))
    first, again, other = (
        read_through(image, HBM3, "both", Faults(1e-3, 1e-4, kinds, seed))[0] for seed in (1, 1, 2)
    )
    assert (first == again).all()
    assert (first != other).any()


def test_chunks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    image, faults = image_of(1 << 14), Faults(rate=3e-3, link_rate=1e-3, seed=4)
    whole = read_through(image, LPDDR5X, "both", faults)
    monkeypatch.setattr("hanok.dram.faults.CHUNK_BITS", 5000)
    parts = read_through(image, LPDDR5X, "both", faults)
    assert (whole[0] == parts[0]).all()
    assert whole[1].lines() == parts[1].lines()


def test_the_image_may_end_within_a_block() -> None:
    image = image_of(32 * 11)
    read, report = read_through(image, LPDDR5X, "both", Faults(rate=0.05, link_rate=0.05, seed=3))
    assert len(read) == len(image)
    assert report.hit <= report.bursts == 11
    assert report.detected_addresses.max() < len(image)


def test_link_errors_pass_the_dies_code() -> None:
    image = image_of(1 << 18)
    read, report = read_through(image, DDR5, "on_die", Faults(link_rate=1e-4, seed=2))
    assert report.on_die == StageReport("(136,128) Hamming SEC", 0, 0, 0, 0, 0)
    assert report.wrong_bits == report.link_flips > report.silent == report.hit > 0
    read, report = read_through(image, DDR5, "both", Faults(link_rate=1e-4, seed=2))
    assert (report.silent, report.side_band.corrected > 100) == (0, True)
    wrong = np.flatnonzero((read != image).reshape(-1, 64).any(axis=1)) * 64
    assert set(wrong.tolist()) <= set(report.detected_addresses.tolist())


def places_of(
    standard: Standard, size: int, in_line: bool = False, channels: int = 1
) -> dict[str, np.ndarray]:
    mapping = parse_mapping(standard.mapping, standard, channels)
    addresses = np.arange(0, size, standard.burst_bytes)
    return mapping.locate_all(inline_addresses(mapping, addresses) if in_line else addresses)


@pytest.mark.parametrize("in_line", [False, True])
def test_a_row_fault_hits_the_bursts_of_its_row(in_line: bool) -> None:
    image, address = image_of(1 << 20), 77_777
    option = "side_band" if in_line else "none"
    read, report = read_through(image, LPDDR5X, option, Faults(faults=(RowFault(address),)))
    places = places_of(LPDDR5X, len(image), in_line)
    number = address // 32
    expected = np.ones(report.bursts, bool)
    for field in ("group", "bank", "row"):
        expected &= places[field] == places[field][number]
    assert report.hit == expected.sum() > 1
    changed = (read != image).reshape(-1, 32).any(axis=1)
    assert not changed[~expected].any()
    assert changed[expected].mean() > 0.5


def test_a_column_fault_hits_one_bit_of_each_row() -> None:
    small = replace(HBM2, organisation=replace(HBM2.organisation, rows=512))
    size = small.channel_bytes
    read, report = read_through(image_of(size), small, "none", Faults(faults=(ColumnFault(4099, 6),), seed=1))
    flips = np.flatnonzero(np.unpackbits(read ^ image_of(size), bitorder="little"))
    places = places_of(small, size)
    hit = flips // 8 // 32
    for field in ("pseudo", "group", "bank", "column"):
        assert (places[field][hit] == places[field][4099 // 32]).all()
    assert (flips % 256 == (4099 % 32) * 8 + 6).all()
    assert len(set(places["row"][hit].tolist())) == len(flips)
    assert close(len(flips), 512, 0.5)
    # One wrong bit a word: side-band ECC corrects them all.
    read, report = read_through(
        image_of(size), small, "side_band", Faults(faults=(ColumnFault(4099, 6),), seed=1)
    )
    assert (read == image_of(size)).all()
    assert report.corrected == len(flips)


def test_a_pin_fault_hits_its_bit_of_each_beat_and_goes_round_the_die() -> None:
    image = image_of(1 << 16)
    fault = Faults(faults=(PinFault(0, 1, 5),))
    read, report = read_through(image, HBM3, "none", fault)
    flips = np.flatnonzero(np.unpackbits(read ^ image, bitorder="little"))
    assert (flips % 32 == 5).all()
    assert (places_of(HBM3, len(image))["pseudo"][flips // 256] == 1).all()
    assert close(len(flips), report.bursts // 2 * 8, 0.5)
    _, on_die = read_through(image, HBM3, "on_die", fault)
    assert on_die.silent == report.silent
    # 64 pins: a beat is a word of HBM2's side band, which has one wrong bit at most.
    read, report = read_through(image, HBM2, "side_band", fault)
    assert (read == image).all()
    assert report.corrected == report.hit > 0


def test_a_burst_fault_hits_its_burst_alone() -> None:
    image = image_of(1 << 12)
    for standard, option in ((HBM3, "both"), (HBM2, "side_band"), (LPDDR5X, "both"), (DDR5, "both")):
        read, report = read_through(image, standard, option, Faults(faults=(BurstFault(1000),), seed=6))
        start = 1000 // standard.burst_bytes * standard.burst_bytes
        assert (report.hit, report.detected) == (1, 1), "garbage in a burst is reported by one word at least"
        assert report.detected_addresses.tolist() == [start]
        assert (read[:start] == image[:start]).all()
        assert (read[start + standard.burst_bytes :] == image[start + standard.burst_bytes :]).all()


def test_flips_of_one_cell_undo_each_other() -> None:
    image = image_of(1 << 10)
    read, report = read_through(image, HBM3, "none", Faults(faults=(BitFlip(9, 1), BitFlip(9, 1))))
    assert (read == image).all()
    assert report.cell_flips == 0


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(EVERY),
    st.lists(st.tuples(st.integers(0, 2047), st.integers(0, 7)), max_size=20, unique=True),
)
def test_any_wrong_cells_are_accounted_for(case: tuple[str, str], cells: list[tuple[int, int]]) -> None:
    name, option = case
    image = image_of(2048)
    faults = Faults(faults=tuple(BitFlip(address, bit) for address, bit in cells))
    read, report = read_through(image, standard_of(name), option, faults)
    width = standard_of(name).burst_bytes
    assert report.hit == len({address // width for address, _ in cells})
    wrong = set((np.flatnonzero((read != image).reshape(-1, width).any(axis=1)) * width).tolist())
    assert wrong == set(report.silent_addresses.tolist()) | (wrong & set(report.detected_addresses.tolist()))
    assert report.corrected + report.detected + report.silent == report.hit


def test_the_report_in_words() -> None:
    _, report = read_through(
        image_of(4096), HBM2, "side_band", Faults(faults=(BitFlip(64, 0), BitFlip(65, 3)))
    )
    assert isinstance(report, FaultReport)
    assert report.lines() == (
        "HBM2_2000, ECC side_band: 2 wrong cells and 0 wrong pin bits, in 1 of 128 bursts",
        "bursts: 0 corrected, 1 detected, 0 silently wrong (2 wrong bits read)",
        "side band (72,64) Hsiao SECDED: 1 words with errors: 0 corrected, 1 detected, 0 miscorrected, "
        "0 undetected",
    )


@pytest.mark.parametrize(
    ("image", "option", "faults", "message"),
    [
        (image_of(4096), "parity", Faults(), r"memory\.ecc: 'parity' on HBM3_6400; allowed: none, on_die"),
        (image_of(4095), "none", Faults(), r"memory image: uint8 \[4095\]; .* a multiple of the 32 bytes"),
        (image_of(0), "none", Faults(), r"memory image: uint8 \[0\]"),
        (
            image_of(4096).reshape(64, 64),
            "none",
            Faults(),
            r"memory image: uint8 \[64, 64\]; allowed: uint8, one",
        ),
        (image_of(4096).view(np.int8), "none", Faults(), r"memory image: int8"),
        (
            image_of(4096),
            "none",
            Faults(faults=(BitFlip(4096, 0),)),
            r"fault: address 4096; allowed: 0\.\.4095",
        ),
        (image_of(4096), "none", Faults(faults=(BurstFault(-1),)), r"fault: address -1; allowed: 0\.\.4095"),
        (image_of(4096), "none", Faults(faults=(RowFault(5000),)), r"fault: address 5000"),
        (
            image_of(4096),
            "none",
            Faults(faults=(ColumnFault(0, 8),)),
            r"fault: bit 8; allowed: 0\.\.7 of a byte",
        ),
        (
            image_of(4096),
            "none",
            Faults(faults=(PinFault(0, 0, 32),)),
            r"fault: pin 32; allowed on HBM3_6400: 0\.\.31",
        ),
        (image_of(4096), "none", Faults(faults=(PinFault(0, 2, 0),)), r"fault: pseudo-channel 2; .*: 0\.\.1"),
        (image_of(4096), "none", Faults(faults=(PinFault(1, 0, 0),)), r"fault: channel 1; .*: 0\.\.0"),
    ],
)
def test_what_cannot_be_is_refused(image: np.ndarray, option: str, faults: Faults, message: str) -> None:
    with pytest.raises(ChipError, match=message):
        read_through(image, HBM3, option, faults)


def test_rates_and_sizes_that_cannot_be_are_refused() -> None:
    with pytest.raises(ChipError, match=r"bit-error rate is -0\.1; allowed: 0\.\.1"):
        Faults(rate=-0.1)
    with pytest.raises(ChipError, match=r"bit-error rate of the link is 2; allowed: 0\.\.1"):
        Faults(link_rate=2)
    with pytest.raises(ChipError, match=r"bit-error rate is nan"):
        Faults(rate=float("nan"))
    with pytest.raises(ChipError, match=r"bit-error rate is 1\.1"):
        random_flips(10, 1.1, np.random.default_rng(0))
    small = replace(LPDDR5X, organisation=replace(LPDDR5X.organisation, rows=2))
    with pytest.raises(
        ChipError, match=r"memory image: 65536 bytes; allowed on 1 channels of LPDDR5X_8533 with ECC"
    ):
        read_through(image_of(65536), small, "side_band", Faults())
