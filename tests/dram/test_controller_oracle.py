"""The event-driven controller against one that tries every cycle: the same commands in the same cycles."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from small_standards import SMALL_STANDARDS
from stepped_controller import Sent, stepped_run

from hanok.dram.commands import Commands
from hanok.dram.mapping import parse_mapping
from hanok.dram.results import RequestRun
from hanok.dram.simulate import run_requests
from hanok.dram.standard import Command, Standard
from hanok.dram.standards import get_standard
from hanok.machine import Policy

NAMES = ("HBM2_2000", "HBM3_6400", "HBM4_8000", "LPDDR5_6400", "DDR5_4800", "GDDR6_16000")
MAPPINGS = (
    "row rank bank^row group column channel pseudo group:1",
    "row rank bank group column channel pseudo",
    "row bank rank column group channel pseudo",
    "row column rank bank group channel pseudo",
)
COUNTERS = (
    "reads",
    "writes",
    "row_hits",
    "row_misses",
    "row_conflicts",
    "activates",
    "precharges",
    "refreshes",
    "bank_refreshes",
    "turnarounds",
    "forwarded_reads",
    "coalesced_writes",
)
SHOWN = 6
"""Commands before the first that differs, in a message."""


@dataclass(frozen=True)
class Load:
    """A controller and the requests that it is given."""

    standard: Standard
    policy: Policy
    channels: int
    mapping: str
    window: int
    writes: NDArray[np.bool_]
    addresses: NDArray[np.int64]
    arrivals: NDArray[np.int64]

    def run(self, trace: bool = False, stream: bool = True) -> RequestRun:
        return run_requests(
            self.standard,
            self.writes,
            self.addresses,
            self.arrivals,
            channels=self.channels,
            policy=self.policy,
            mapping=self.mapping,
            window=self.window,
            trace=trace,
            stream=stream,
        )


def known_standard(name: str) -> Standard:
    found = get_standard(name)
    assert isinstance(found, Standard)
    return found


def random_policy(generator: np.random.Generator, standard: Standard) -> Policy:
    refreshes: list[Literal["all_bank", "per_bank", "none"]] = ["all_bank", "none"]
    if Command.REFB in standard.forms:
        refreshes.append("per_bank")
    writes = int(generator.choice([4, 8, 64]))
    high = int(generator.integers(1, writes + 1))
    return Policy(
        page="closed" if generator.random() < 0.5 else "open",
        row_hit_cap=int(generator.choice([0, 2, 16])),
        read_queue=int(generator.choice([4, 8, 64])),
        write_queue=writes,
        write_high=high,
        write_low=int(generator.integers(0, high + 1)),
        refresh=refreshes[generator.integers(len(refreshes))],
        postponed_refreshes=int(generator.integers(0, 3)),
    )


def often_refreshed(generator: np.random.Generator, standard: Standard) -> Standard:
    """The same standard with so short intervals that a short run has many refreshes."""
    first = Command.ACT1 if Command.ACT1 in standard.forms else Command.ACT
    refresh = standard.delay("pseudo", Command.REFA, first)
    of_bank = int(generator.integers(120, 500)) * standard.clock_cycles
    return replace(
        standard,
        refresh_interval_cycles=int(generator.integers(2, 6)) * refresh,
        bank_refresh_interval_cycles=of_bank if Command.REFB in standard.forms else 0,
    )


def random_bursts(generator: np.random.Generator, count: int) -> NDArray[np.int64]:
    """Numbers of bursts: a stream, a stride, a walk with jumps, a few hot rows, or anywhere."""
    base, index = int(generator.integers(1 << 40)), np.arange(count)
    match generator.choice(["stream", "stride", "walk", "hot", "anywhere"]):
        case "stream":
            return base + index
        case "stride":
            return base + (index << int(generator.integers(1, 14)))
        case "walk":
            steps = generator.integers(-3, 9, count) * generator.choice([1, 1, 1, 64, 4096], count)
            return base + np.cumsum(steps)
        case "hot":
            rows = generator.integers(0, 1 << 40, 6)
            return generator.choice(rows, count) + generator.integers(0, 64, count)
        case _:
            return generator.integers(0, 1 << 40, count)


def random_arrivals(generator: np.random.Generator, count: int) -> NDArray[np.int64]:
    """All at once, evenly, in bursts, with long gaps, or earlier ones after later ones."""
    match generator.choice(["once", "even", "bursts", "gaps", "unordered"]):
        case "unordered":
            return generator.integers(0, 10 * count, count)
        case "once":
            steps = np.zeros(count, np.int64)
        case "even":
            steps = generator.integers(0, int(generator.integers(2, 60)), count)
        case "bursts":
            steps = (generator.random(count) < 0.05) * generator.integers(0, 600, count)
        case _:
            steps = (generator.random(count) < 0.03) * generator.integers(0, 6_000, count)
            steps += generator.integers(0, 3, count)
    return np.cumsum(steps)


def random_load(standard: Standard, seed: int, most: int) -> Load:
    """`most` requests, or fewer, for 1 or 2 channels under some policy and mapping."""
    generator = np.random.default_rng([seed, *standard.name.encode()])
    channels, count = int(generator.integers(1, 3)), int(generator.integers(20, most + 1))
    standard = often_refreshed(generator, standard)
    addresses = random_bursts(generator, count) * standard.burst_bytes % (standard.channel_bytes * channels)
    return Load(
        standard,
        random_policy(generator, standard),
        channels,
        str(generator.choice(MAPPINGS)),
        0,
        generator.random(count) < generator.choice([0, 0.1, 0.35, 0.5, 0.9, 1]),
        addresses,
        random_arrivals(generator, count),
    )


def in_words(sent: Sent) -> str:
    return f"{sent[0]} {Command(sent[1]).name} {sent[2:]}"


def first_difference(expected: list[Sent], found: list[Sent]) -> str:
    """The first commands that differ, with those before them; '' when none does."""
    if expected == found:
        return ""
    pairs = zip(expected, found, strict=False)
    least = min(len(expected), len(found))
    place = next((i for i, (one, other) in enumerate(pairs) if one != other), least)
    lines = [in_words(sent) for sent in expected[max(0, place - SHOWN) : place]]
    lines += [f"expected {in_words(sent)}" for sent in expected[place : place + 2]]
    lines += [f"found    {in_words(sent)}" for sent in found[place : place + 2]]
    return "\n".join(lines)


def as_sent(commands: Commands | None) -> list[Sent]:
    assert commands is not None
    return sorted(commands.tolist())


def check(load: Load) -> None:
    """Both controllers give the same, the event-driven one also without stream path and without trace."""
    admitted, completed, sent, tally = stepped_run(
        load.standard,
        load.writes.tolist(),
        load.addresses.tolist(),
        load.arrivals.tolist(),
        load.channels,
        load.policy,
        load.mapping,
        load.window,
    )
    streamed, plodding, silent = load.run(trace=True), load.run(trace=True, stream=False), load.run()
    for run in (streamed, plodding):
        if difference := first_difference(sent, as_sent(run.commands)):
            pytest.fail(difference)
        counted = {name: getattr(run.counters, name) for name in COUNTERS}
        assert counted == {name: tally[name] for name in COUNTERS}
    for run in (streamed, plodding, silent):
        assert run.admitted.tolist() == admitted
        assert run.completed.tolist() == completed
        assert run.counters == streamed.counters


@pytest.mark.parametrize("seed", range(15))
@pytest.mark.parametrize("name", NAMES)
def test_every_command_comes_in_its_cycle(name: str, seed: int) -> None:
    check(random_load(known_standard(name), seed, 250))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("standard", [make() for make in SMALL_STANDARDS], ids=lambda standard: standard.name)
def test_tables_of_other_shapes(standard: Standard, seed: int) -> None:
    check(random_load(replace(standard, mapping=MAPPINGS[0]), seed, 250))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 160))
@pytest.mark.parametrize("name", NAMES)
def test_every_command_comes_in_its_cycle_over_many_loads(name: str, seed: int) -> None:
    check(random_load(known_standard(name), seed, 600))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 140))
@pytest.mark.parametrize("standard", [make() for make in SMALL_STANDARDS], ids=lambda standard: standard.name)
def test_tables_of_other_shapes_over_many_loads(standard: Standard, seed: int) -> None:
    check(random_load(replace(standard, mapping=MAPPINGS[0]), seed, 600))


@pytest.mark.parametrize("window", [1, 2, 8, 40])
@pytest.mark.parametrize("name", ["LPDDR5_6400", "DDR5_4800", "GDDR6_16000"])
def test_hosts_that_wait(name: str, window: int) -> None:
    """On one channel of one pseudo-channel, where the order of what happens in a cycle is beyond doubt."""
    standard = known_standard(name)
    load = random_load(standard, 50 + window, 250)
    addresses = load.addresses % load.standard.channel_bytes
    check(replace(load, window=window, channels=1, addresses=addresses))


@pytest.mark.parametrize("window", [0, 1])
@pytest.mark.parametrize("name", ["HBM2_2000", "HBM3_6400", "HBM4_8000"])
def test_a_queue_takes_requests_while_its_oldest_waits_for_a_refresh(name: str, window: int) -> None:
    """The oldest cannot begin before the pseudo-channel's next refresh is due (in HBM3 and HBM4)."""
    standard = known_standard(name)
    table = parse_mapping(MAPPINGS[1], standard, 1)
    places = {"pseudo": 1, "row": 1}, {"bank": 3, "row": 1}, {"pseudo": 1, "bank": 3, "row": 3}
    addresses = np.array([table.address_of(place) for place in places])
    arrivals = standard.bank_refresh_interval_cycles + np.array([2, 20, 30])
    policy = Policy(refresh="per_bank")
    check(Load(standard, policy, 1, MAPPINGS[1], window, np.zeros(3, np.bool_), addresses, arrivals))


def scattered(standard: Standard, seed: int, count: int) -> Load:
    """Requests all over one pseudo-channel, a third of them writes, some close together and some not."""
    generator = np.random.default_rng(seed)
    rows = generator.integers(0, 1 << 12, count) * (standard.channel_bytes >> 12)
    arrivals = np.cumsum(generator.integers(0, 120, count) * (generator.random(count) < 0.6))
    standard = often_refreshed(generator, standard)
    return Load(standard, Policy(), 1, MAPPINGS[3], 0, generator.random(count) < 0.3, rows, arrivals)


@pytest.mark.parametrize("name", ["HBM2_2000", "LPDDR5_6400"])
def test_no_request_is_late_because_there_are_more_than_a_port_holds(name: str) -> None:
    check(scattered(known_standard(name), 5, 600))


@pytest.mark.parametrize("refresh", ["all_bank", "per_bank"])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["HBM2_2000", "HBM3_6400"])
def test_a_pseudo_channel_that_has_nothing_to_do_refreshes(name: str, seed: int, refresh: str) -> None:
    """Its one request comes last of all; the other one's commands must make way for its refreshes."""
    load = scattered(known_standard(name), seed, 150)
    load = replace(
        load,
        policy=Policy(refresh="all_bank" if refresh == "all_bank" else "per_bank"),
        writes=np.append(load.writes, False),
        addresses=np.append(load.addresses, load.standard.burst_bytes),
        arrivals=np.append(load.arrivals, load.arrivals[-1] * load.standard.clock_cycles),
    )
    check(load)


@pytest.mark.parametrize("name", NAMES)
def test_a_row_hit_that_comes_just_before_a_precharge_keeps_the_row_open(name: str) -> None:
    """An older request wants the row closed; meanwhile another bank's reads fill the bus."""
    standard = known_standard(name)
    table = parse_mapping(MAPPINGS[0], standard, 1)
    others = [{"bank": 1, "column": column} for column in range(30)]
    places = [{"row": 1}, {"row": 2}, *others, {"row": 1, "column": 5}]
    addresses = np.array([table.address_of(place) for place in places])
    writes = np.zeros(len(places), np.bool_)
    closes = standard.delay("bank", Command.ACT, Command.PRE)
    for arrival in range(closes - 4, closes + 16 * standard.clock_cycles):
        arrivals = np.append(np.zeros(len(places) - 1, np.int64), arrival)
        check(Load(standard, Policy(refresh="none"), 1, MAPPINGS[0], 0, writes, addresses, arrivals))


@pytest.mark.parametrize("page", ["open", "closed"])
@pytest.mark.parametrize("name", NAMES)
def test_long_streams(name: str, page: str) -> None:
    """Reads, then writes, in the default queues and with the standard's own refresh interval."""
    standard, count = known_standard(name), 1_500
    check(
        Load(
            standard,
            Policy(page="open" if page == "open" else "closed"),
            1,
            "",
            0,
            np.arange(count) > count // 2,
            np.arange(count) * standard.burst_bytes,
            np.zeros(count, np.int64),
        )
    )


def test_channels_do_not_know_of_each_other() -> None:
    """The same requests on both channels give the same commands on both."""
    standard, generator, count = known_standard("HBM2_2000"), np.random.default_rng(4), 200
    one = generator.integers(0, standard.channel_bytes // 32, count) * 32
    low, high = one & 31, one >> 5
    addresses = np.stack([(high >> 1) << 7 | channel << 6 | (high & 1) << 5 | low for channel in (0, 1)], 1)
    mapping = "row column rank bank group channel pseudo"
    run = run_requests(
        standard,
        np.repeat(generator.random(count) < 0.3, 2),
        addresses.ravel(),
        np.zeros(2 * count, np.int64),
        channels=2,
        mapping=mapping,
        trace=True,
    )
    first, second = ([sent[:2] + sent[3:] for sent in as_sent(run.commands) if sent[2] == i] for i in (0, 1))
    assert first == second
