"""ECC of each family: words, costs, rules; the bursts that in-line ECC and partial writes add."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanok.dram._ecc_families import FAMILIES
from hanok.dram.ecc import (
    OPTIONS,
    ecc_options,
    ecc_plan,
    expand_inline,
    expand_requests,
    inline_addresses,
    with_ecc,
)
from hanok.dram.mapping import parse_mapping
from hanok.dram.simulate import run_requests
from hanok.dram.standard import Command, Standard
from hanok.dram.standards import get_standard
from hanok.errors import ChipError
from hanok.machine import Policy

BY_FAMILY = {
    "HBM2": "HBM2_2000",
    "HBM2E": "HBM2E_3600",
    "HBM3": "HBM3_6400",
    "HBM3E": "HBM3E_9200",
    "HBM4": "HBM4_8000",
    "LPDDR5": "LPDDR5_6400",
    "LPDDR5X": "LPDDR5X_8533",
    "DDR5": "DDR5_4800",
    "GDDR6": "GDDR6_16000",
}


def standard_of(name: str) -> Standard:
    standard = get_standard(name)
    assert isinstance(standard, Standard)
    return standard


LPDDR5 = standard_of("LPDDR5_6400")


def test_all_families_are_known_and_named_here() -> None:
    assert set(FAMILIES) == set(BY_FAMILY)
    for family, name in BY_FAMILY.items():
        assert standard_of(name).family == family


@pytest.mark.parametrize("family", BY_FAMILY)
def test_each_bit_of_a_block_is_in_one_word_of_each_code(family: str) -> None:
    standard = standard_of(BY_FAMILY[family])
    for option in ecc_options(family):
        plan = ecc_plan(standard, option)
        if plan.on_die:
            found = np.sort(np.concatenate([words.bits.reshape(-1) for words in plan.on_die]))
            assert (found == np.arange(plan.data_bits + plan.side_bits)).all()
        if plan.side_band:
            assert (np.sort(plan.side_band.bits.reshape(-1)) == np.arange(plan.data_bits)).all()
        assert bool(plan.side_band) == (option in {"side_band", "both"})
        assert bool(plan.on_die) == (option in {"on_die", "both"})


def test_words_are_those_that_the_sources_give() -> None:
    hbm2e = ecc_plan(standard_of("HBM2E_3600"), "both")
    assert [(words.code.bits, len(words.bits)) for words in hbm2e.on_die] == [(104, 3)]
    hbm3 = ecc_plan(standard_of("HBM3_6400"), "both")
    (die,) = hbm3.on_die
    assert (die.code.symbols, die.code.symbol_bits, len(die.bits)) == (19, 16, 1)
    # A symbol is all eight beats of two neighbouring pins of 32.
    assert {int(bit) % 32 for bit in die.bits[0, :16]} == {0, 1}
    assert {int(bit) // 32 for bit in die.bits[0, :16]} == set(range(8))
    ddr5 = ecc_plan(standard_of("DDR5_4800"), "both")
    assert [(words.code.bits, len(words.bits)) for words in ddr5.on_die] == [(136, 4), (72, 1)]
    assert {int(bit) % 32 for bit in ddr5.on_die[0].bits[1]} == set(range(8, 16))
    inline = ecc_plan(LPDDR5, "both")
    assert (inline.block_bursts, inline.side_bits) == (8, 8 * LPDDR5.burst_bytes)
    assert [(words.code.bits, len(words.bits)) for words in inline.on_die] == [(136, 18)]


def test_costs_of_each_kind() -> None:
    hbm2 = ecc_plan(standard_of("HBM2_2000"), "side_band")
    assert (hbm2.pin_ratio, hbm2.cell_ratio, hbm2.capacity) == (72 / 64, 72 / 64, (1, 1))
    hbm3 = ecc_plan(standard_of("HBM3_6400"), "both")
    assert (hbm3.pin_ratio, hbm3.cell_ratio) == (34 / 32, 304 / 256)
    on_die = ecc_plan(standard_of("DDR5_4800"), "on_die")
    assert (on_die.pin_ratio, on_die.cell_ratio, on_die.read_latency_clocks) == (1, 136 / 128, 0)
    assert ecc_plan(standard_of("DDR5_4800"), "side_band").read_latency_clocks == 8
    inline = ecc_plan(LPDDR5, "side_band")
    assert (inline.pin_ratio, inline.cell_ratio, inline.read_latency_clocks) == (1, 1, 3)
    blocks = LPDDR5.channel_bytes // (9 * 32)
    assert inline.usable_bytes(LPDDR5, 2) == 2 * blocks * 8 * 32


def test_options_by_family() -> None:
    assert ecc_options("HBM3") == OPTIONS
    assert ecc_options("GDDR6") == ecc_options("HBM2") == ("none", "side_band")
    with pytest.raises(ChipError, match=r"memory\.ecc: 'on_die' on GDDR6_16000; allowed: none, side_band"):
        ecc_plan(standard_of("GDDR6_16000"), "on_die")
    with pytest.raises(ChipError, match=r"memory\.ecc: 'chipkill' on HBM3_6400; allowed: none, on_die"):
        with_ecc(standard_of("HBM3_6400"), "chipkill")
    with pytest.raises(ChipError, match=r"nothing is known of family 'SDRAM'; allowed: HBM2, "):
        ecc_options("SDRAM")


def test_energy_grows_with_cells_and_pins() -> None:
    for name, option in (("HBM3_6400", "both"), ("DDR5_4800", "side_band"), ("LPDDR5_6400", "on_die")):
        before = standard_of(name)
        plan, after = ecc_plan(before, option), with_ecc(before, option)
        for field in ("activate_precharge_pj", "refresh_pj", "bank_refresh_pj"):
            assert getattr(after.energy, field) == getattr(before.energy, field) * plan.cell_ratio
        for field in ("read_pj", "write_pj"):
            assert getattr(after.energy, field) == getattr(before.energy, field) * plan.pin_ratio
        background = 1.125 if name == "DDR5_4800" else 1
        assert after.energy.background_mw == before.energy.background_mw * background
        assert after.rules == before.rules
        assert after.sources["ecc"]
    assert with_ecc(LPDDR5, "none") is LPDDR5


def test_partial_writes_wait_for_the_dies_merge() -> None:
    write = Command.WR
    after = with_ecc(LPDDR5, "on_die", partial_writes=True)
    assert after.delay("bank", write, write) == 4 * LPDDR5.delay("group", write, write) == 16
    assert after.delay("group", write, write) == LPDDR5.delay("group", write, write)
    ddr5 = standard_of("DDR5_4800")
    assert with_ecc(ddr5, "both", partial_writes=True).rules == ddr5.rules, "the table has tCCD_L_WR already"
    short = tuple(
        rule for rule in ddr5.rules if (rule.level, rule.before, rule.after) != ("group", write, write)
    )
    added = with_ecc(replace(ddr5, rules=short), "both", partial_writes=True)
    assert added.delay("group", write, write) == max(32, -(-20_000_000 // ddr5.tck_fs))
    hbm3 = standard_of("HBM3_6400")
    assert with_ecc(hbm3, "on_die", partial_writes=True).rules == hbm3.rules, "the host merges"


def reference_inline(
    writes: list[bool], bursts: list[int], partial: list[bool], size: int
) -> tuple[list[tuple[int, bool, bool]], list[tuple[int, bool, bool]]]:
    """In-line ECC on one channel by its docstring, (burst, write, ECC): for the requests, and at the end."""
    sent: list[tuple[int, bool, bool]] = []
    lines: OrderedDict[int, tuple[set[int], bool]] = OrderedDict()

    def evict(block: int) -> None:
        known, dirty = lines.pop(block)
        if dirty and len(known) < 8:
            sent.append((9 * block + 8, False, True))
        if dirty:
            sent.append((9 * block + 8, True, True))

    for write, burst, part in zip(writes, bursts, partial, strict=True):
        block, place = divmod(burst, 8)
        if block not in lines and len(lines) == size:
            evict(next(iter(lines)))
        known, dirty = lines.pop(block, (set(), False))
        if not write or part:
            sent.append((9 * block + place, False, False))
            if place not in known:
                sent.append((9 * block + 8, False, True))
                known = set(range(8))
        if write:
            sent.append((9 * block + place, True, False))
            known, dirty = known | {place}, True
        lines[block] = (known, dirty)
    for_requests = sent.copy()
    for block in list(lines):
        evict(block)
    return for_requests, sent[len(for_requests) :]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 80), st.booleans()), max_size=120),
    st.integers(1, 6),
)
def test_inline_bursts_are_those_of_a_plain_cache(requests: list[tuple[bool, int, bool]], size: int) -> None:
    writes, bursts, partial = (
        (list(column) for column in zip(*requests, strict=True)) if requests else ([],) * 3
    )
    found = expand_inline(
        LPDDR5,
        np.array(writes, bool),
        np.array(bursts, np.int64) * 32,
        np.arange(len(bursts)),
        partial=np.array(partial, bool),
        cache_bursts=size,
    )
    sent, written_back = reference_inline(writes, bursts, partial, size)
    steps = [tuple(step) for step in zip(found.addresses // 32, found.writes, found.is_ecc, strict=True)]
    assert steps[: len(sent)] == sent
    # The order of the lines that are written at the end is the cache's own affair.
    assert sorted(steps[len(sent) :]) == sorted(written_back)
    assert (np.diff(found.owner[: len(sent)]) >= 0).all()


def requests_of(bursts: np.ndarray, write: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.full(len(bursts), write), bursts.astype(np.int64) * 32, np.zeros(len(bursts), np.int64)


def test_a_stream_pays_an_eighth_and_random_accesses_pay_for_each() -> None:
    count = 8000
    stream, scattered = np.arange(count), np.random.default_rng(3).permutation(1 << 20)[:count] * 8
    for write in (False, True):
        assert len(expand_inline(LPDDR5, *requests_of(stream, write)).writes) == count + count // 8
    reads = expand_inline(LPDDR5, *requests_of(scattered))
    assert (len(reads.writes), int(reads.writes.sum()), int(reads.is_ecc.sum())) == (2 * count, 0, count)
    sent = expand_inline(LPDDR5, *requests_of(scattered, True))
    assert (len(sent.writes), int(sent.writes.sum()), int(sent.is_ecc.sum())) == (
        3 * count,
        2 * count,
        2 * count,
    )


@pytest.mark.parametrize(
    "text",
    [
        LPDDR5.mapping,
        "row rank bank channel^row group column pseudo",
        "channel row rank bank^channel group column pseudo",
    ],
)
def test_ecc_bursts_lie_in_the_channel_of_their_data_and_apart(text: str) -> None:
    channels = 4
    bursts = np.arange(50_000)
    found = expand_inline(LPDDR5, *requests_of(bursts), channels=channels, mapping=text)
    parsed = parse_mapping(text, LPDDR5, channels)
    channel_of = parsed.locate_all(bursts.astype(np.int64) * 32)["channel"]
    assert (parsed.locate_all(found.addresses)["channel"] == channel_of[found.owner]).all()
    data, check = found.addresses[~found.is_ecc], found.addresses[found.is_ecc]
    assert len(np.unique(data)) == len(bursts)
    assert not np.isin(check, data).any()
    assert (data == inline_addresses(parsed, bursts.astype(np.int64) * 32)).all()
    assert found.addresses.max() < channels * LPDDR5.channel_bytes


def test_the_last_bytes_of_the_capacity_can_be_used() -> None:
    limit = ecc_plan(LPDDR5, "side_band").usable_bytes(LPDDR5)
    last = np.array([limit // 32 - 1])
    assert expand_inline(LPDDR5, *requests_of(last)).addresses.max() < LPDDR5.channel_bytes
    with pytest.raises(
        ChipError, match=rf"request 0: address {limit}; allowed with this ECC on LPDDR5_6400: mul"
    ):
        expand_inline(LPDDR5, *requests_of(last + 1))


def test_the_bandwidth_lost_comes_out_of_the_commands() -> None:
    policy = Policy(refresh="none")
    writes, addresses, arrivals = requests_of(np.arange(40_000))
    plain = run_requests(LPDDR5, writes, addresses, arrivals, policy=policy)
    sent = expand_inline(LPDDR5, writes, addresses, arrivals)
    guarded = run_requests(LPDDR5, sent.writes, sent.addresses, sent.arrivals, policy=policy)
    assert guarded.cycles / plain.cycles == pytest.approx(9 / 8, rel=0.02)


def test_partial_writes_are_read_first_where_the_host_merges() -> None:
    writes, partial = np.array([True, False, True, True]), np.array([True, True, False, True])
    addresses, arrivals = np.arange(4) * 64, np.arange(4)
    hbm3 = standard_of("HBM3_6400")
    found = expand_requests(hbm3, "side_band", writes, addresses, arrivals, partial=partial)
    assert found.owner.tolist() == [0, 0, 1, 2, 3, 3]
    assert found.writes.tolist() == [False, True, False, True, False, True]
    assert (found.addresses == addresses[found.owner]).all()
    assert not found.is_ecc.any()
    for name, option in (("HBM3_6400", "none"), ("DDR5_4800", "on_die")):
        same = expand_requests(standard_of(name), option, writes, addresses, arrivals, partial=partial)
        assert same.writes.tolist() == writes.tolist()
        assert same.owner.tolist() == [0, 1, 2, 3]
    inline = expand_requests(LPDDR5, "both", writes, addresses, arrivals, partial=partial)
    assert int(inline.is_ecc.sum()) > 0


def test_bad_requests_are_refused() -> None:
    writes, addresses, arrivals = requests_of(np.arange(4))
    with pytest.raises(ChipError, match=r"cache_bursts is 0; allowed: 1\.\.256"):
        expand_inline(LPDDR5, writes, addresses, arrivals, cache_bursts=0)
    with pytest.raises(ChipError, match=r"4 writes, 3 addresses, 4 arrivals and 4 partial flags"):
        expand_inline(LPDDR5, writes, addresses[:3], arrivals)
    with pytest.raises(ChipError, match=r"request 1: address 33; allowed .* multiples of 32 below"):
        expand_inline(LPDDR5, writes, addresses + (addresses > 0), arrivals)
    with pytest.raises(ChipError, match=r"request 0: address -32"):
        expand_requests(standard_of("HBM3_6400"), "side_band", writes, addresses - 32, arrivals)
