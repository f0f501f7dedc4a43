"""Address mappings: one-to-one, inverses, notations read and written, other tools' mappings, refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanok.dram.mapping import FIELDS, LETTERS, PRESETS, Hash, Mapping, compose_mapping, parse_mapping
from hanok.dram.standard import Organisation, Standard
from hanok.dram.standards import get_standard, standards
from hanok.errors import ChipError, HanokError

DRAMSIM = ("rochrababgco", "rocorabgbach", "rorabgbachco", "chrobabgraco")


def standard_of(name: str) -> Standard:
    standard = get_standard(name)
    assert isinstance(standard, Standard)
    return standard


HBM3 = standard_of("HBM3_6400")
SMALL = replace(HBM3, organisation=Organisation(2, 2, 4, 4, 8, 8))
"""2^13 bursts with 2 channels: all of them are tried."""
SMALL_BITS = {"channel": 1, "pseudo": 1, "rank": 1, "group": 2, "bank": 2, "row": 3, "column": 3}


@st.composite
def small_mappings(draw: st.DrawFn) -> Mapping:
    """Any owners of the bits, with hashes of fields that are not hashed themselves: never singular."""
    letters = [letter for letter, field in LETTERS.items() for _ in range(SMALL_BITS[field])]
    order = draw(st.permutations(letters))
    hashed = draw(st.sets(st.sampled_from(FIELDS)))
    terms = [
        Hash(field, bit, source, source_bit)
        for field in sorted(hashed)
        for bit in range(SMALL_BITS[field])
        for source in sorted(set(FIELDS) - hashed)
        for source_bit in range(SMALL_BITS[source])
    ]
    chosen = draw(st.sets(st.sampled_from(terms), max_size=8)) if terms else ()
    return compose_mapping("".join(order), chosen, SMALL)


def bursts(mapping: Mapping) -> np.ndarray:
    return np.arange(1 << mapping.address_bits - mapping.burst_bits, dtype=np.int64) << mapping.burst_bits


@settings(max_examples=60, deadline=None)
@given(small_mappings())
def test_no_two_bursts_share_a_place_and_the_inverse_finds_each(mapping: Mapping) -> None:
    addresses = bursts(mapping)
    places = mapping.locate_all(addresses)
    for field in FIELDS:
        assert places[field].min() >= 0
        assert places[field].max() < 1 << SMALL_BITS[field] == 1 << mapping.width(field)
    assert len(np.unique(np.stack(list(places.values())), axis=1).T) == len(addresses) == 1 << 13
    assert np.array_equal(mapping.address_of_all(places), addresses)


@settings(max_examples=60, deadline=None)
@given(small_mappings(), st.integers(0, (1 << 18) - 1))
def test_one_address_and_arrays_agree(mapping: Mapping, address: int) -> None:
    place = mapping.locate(address)
    assert {field: values[0] for field, values in mapping.locate_all(np.array([address])).items()} == place
    assert mapping.address_of(place) == address & ~31
    assert mapping.locate(address + (5 << mapping.address_bits)) == place


@settings(max_examples=200, deadline=None)
@given(small_mappings())
def test_both_notations_are_read_back(mapping: Mapping) -> None:
    assert parse_mapping(str(mapping), SMALL, 2) == mapping
    assert parse_mapping(mapping.to_bits(), SMALL, 2) == mapping


@pytest.mark.parametrize("channels", [1, 8])
@pytest.mark.parametrize("name", standards())
def test_named_mappings_suit_every_standard(name: str, channels: int) -> None:
    standard = standard_of(name)
    generator = np.random.default_rng(4)
    for text in (standard.mapping, *PRESETS, *DRAMSIM):
        mapping = parse_mapping(text, standard, channels)
        assert 1 << mapping.address_bits == standard.channel_bytes * channels
        step = standard.burst_bytes
        addresses = generator.integers(0, (1 << mapping.address_bits) // step, 500) * step
        assert np.array_equal(mapping.address_of_all(mapping.locate_all(addresses)), addresses)
        assert parse_mapping(str(mapping), standard, channels) == mapping
        assert parse_mapping(mapping.to_bits(), standard, channels) == mapping


def test_words_are_the_highest_bits_first() -> None:
    mapping = parse_mapping("row rank bank^row group column channel pseudo group:1", SMALL, 2)
    assert mapping.to_bits() == "RRRKBBGCCCHPG B0^R0 B1^R1"
    assert str(mapping) == "row rank bank^row group column channel pseudo group:1"
    # Bank 2 XOR the row's low bits, 1, is 3; the group's high bit stands above the column, its low one last.
    address = 0b101_1_10_1_011_0_1_0 << 5
    expected = {"row": 5, "rank": 1, "bank": 3, "group": 2, "column": 3, "channel": 0, "pseudo": 1}
    assert mapping.locate(address) == expected


def test_hashes_take_the_row_as_it_stands_in_the_address() -> None:
    plain = "rank bank group column channel pseudo group:1"
    shifted = parse_mapping(f"row {plain.replace('bank', 'bank^row+2')}", SMALL, 2)
    assert shifted.hashes == (Hash("bank", 0, "row", 2),)
    one_bit = parse_mapping("row rank bank group column channel^row+1 pseudo^row group:1", SMALL, 2)
    assert one_bit.hashes == (Hash("channel", 0, "row", 1), Hash("pseudo", 0, "row", 0))
    # The row's bit 1 is itself hashed; the bank sees the address bit, not the result.
    chained = parse_mapping("row:1 row^column:2 rank bank^row group column channel pseudo group:1", SMALL, 2)
    address = 0b001_0_00_0_001_0_0_0 << 5
    expected = {"channel": 0, "pseudo": 0, "rank": 0, "group": 0, "bank": 1, "row": 0, "column": 1}
    assert chained.locate(address) == expected


def test_spaces_and_underscores_do_not_count_in_bit_strings() -> None:
    plain = parse_mapping("RRRKBBGCCCHPG B0^R0^C2", SMALL, 2)
    assert parse_mapping(" RRR_K BB__G CCC\tHPG  B0^R0^C2 ", SMALL, 2) == plain
    assert str(plain) == "row rank bank bank^column+2^row:1 group column channel pseudo group:1"


def test_ramulator_names_are_what_its_sources_do() -> None:
    """RoBaRaCoCh cuts channel, column, then pseudo-channel up to bank and row; MOP4CLXOR hashes by column."""
    assert str(parse_mapping("RoBaRaCoCh", HBM3, 8)) == "row bank group rank pseudo column channel"
    assert str(parse_mapping("ChRaBaRoCo", HBM3, 8)) == "channel pseudo rank group bank row column"
    mapping = parse_mapping("MOP4CLXOR", HBM3, 1)
    generator = np.random.default_rng(5)
    for burst in generator.integers(0, 1 << mapping.address_bits - 5, 300).tolist():
        cuts = {}
        rest = burst
        for field, bits in (("low", 2), ("pseudo", 1), ("rank", 1), ("group", 2), ("bank", 2), ("high", 3)):
            cuts[field], rest = rest & (1 << bits) - 1, rest >> bits
        column = cuts["low"] | cuts["high"] << 2
        expected = {"channel": 0, "row": rest, "column": column}
        used = 0
        for field, bits in (("pseudo", 1), ("rank", 1), ("group", 2), ("bank", 2)):
            expected[field] = cuts[field] ^ (column >> used & (1 << bits) - 1)
            used += bits
        assert mapping.locate(burst << 5) == expected


def test_dramsim_pairs_are_its_fields() -> None:
    """Its 'ch' counts pseudo-channels, which are the low bits of a channel's number."""
    assert str(parse_mapping("rochrababgco", HBM3, 8)) == "row channel pseudo rank bank group column"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "bits of channel, pseudo, rank, group, bank, row, column are not named"),
        ("row rank bank group column channel", "bits of pseudo are not named"),
        ("row rank bank group column channel pseudo group:3", "group:3 asks for 3 bits; 2 are left of group"),
        ("row rank bank row column channel pseudo group", "'row' names row again; all its 3 bits have a"),
        ("row rank bank group column channel pseudo lane", "'lane' is not one of channel, pseudo"),
        ("row rank bank^lane group column channel pseudo", r"'bank\^lane' is not one of channel, pseudo"),
        ("row rank bank^ group column channel pseudo", r"'bank\^' is not one of"),
        ("row:x rank bank group column channel pseudo", "'row:x' is not one of"),
        ("row:٣ rank bank group column channel pseudo", "'row:٣' is not one of"),
        ("row rank bank^row+3 group column channel pseudo", r"'bank\^row\+3': row has 3 bits, so no bit 3"),
        ("row rank bank^row^row group column channel pseudo", "row bit 0 is XORed into bank bit 0 twice"),
        (
            "row^bank rank bank^row group column channel pseudo",
            "no permutation: bank bit 0 .* row bit 0 is alw",
        ),
        ("row rank^rank bank group column channel pseudo", "no permutation: rank bit 0 is always 0"),
        ("RRRKBBGGCCCH", r"12 bits where the memory has 13: P \(pseudo\) stands there 0 times, not 1"),
        ("RRRRKBBGGCCCHP", r"14 bits where the memory has 13: R \(row\) stands there 4 times, not 3"),
        ("RRRKBBGGCCCHX", "'X' is not one of the letters H channel, P pseudo, K rank"),
        ("RRRKBBGGCCCHP B0^R3", r"'B0\^R3': row has 3 bits, so there is no R3"),
        ("RRRKBBGGCCCHP B0^X3", r"'B0\^X3': there is no such letter, so there is no X3"),
        ("RRRKBBGGCCCHP B0^", r"'B0\^' is not a hash such as B0\^R2"),
        ("RRRKBBGGCCCHP B0^R1 B0^R1", "row bit 1 is XORed into bank bit 0 twice"),
        ("RRRKBBGGCCCHP B0^R1 R1^B0", "no permutation: bank bit 0 .* row bit 1 is always 0"),
        ("rorochrabaco", "'ro' stands there twice; name each of ch, ra, bg, ba, ro, co once"),
    ],
)
def test_mappings_that_are_no_permutation_are_refused(text: str, message: str) -> None:
    with pytest.raises(ChipError, match=f"^mapping '.*': {message}"):
        parse_mapping(text, SMALL, 2)


@pytest.mark.parametrize("channels", [0, -2, 3, 12])
def test_channels_that_are_no_power_of_two_are_refused(channels: int) -> None:
    with pytest.raises(ChipError, match=f"mapping: {channels} channels; allowed: a power of two"):
        parse_mapping(HBM3.mapping, HBM3, channels)


def test_places_outside_the_memory_are_refused() -> None:
    mapping = parse_mapping(HBM3.mapping, SMALL, 2)
    with pytest.raises(ChipError, match="place: 'lane' is not one of channel"):
        mapping.address_of({"lane": 0})
    for row in (-1, 8):
        with pytest.raises(ChipError, match=f"place: row is {row}; allowed: 0..7"):
            mapping.address_of({"row": row})


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.text(max_size=40),
        st.text("RKBGCHP_ ^0123", max_size=30),
        st.lists(st.sampled_from([*FIELDS, *"^+:", "0", "1", "99", " ", "co", "ro"]), max_size=30).map(
            "".join
        ),
    )
)
def test_hostile_text_is_refused_or_a_permutation(text: str) -> None:
    try:
        mapping = parse_mapping(text, SMALL, 2)
    except HanokError:
        return
    addresses = bursts(mapping)
    assert np.array_equal(mapping.address_of_all(mapping.locate_all(addresses)), addresses)
