"""What a run of requests says of itself: figures by hand from small runs, verdicts, choices of a standard."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hanok.dram.mapping import parse_mapping
from hanok.dram.results import Counters, Loss, RequestRun
from hanok.dram.standard import Standard
from hanok.dram.standards import families, get_standard, standards
from hanok.errors import ChipError
from hanok.flows import _dram_figures as figures
from hanok.flows import dram
from hanok.flows._dram_verdict import Host, judge
from hanok.flows.dram import Memory, choose_standard, list_standards, run_trace
from hanok.flows.dram_results import PseudoChannelLoad
from hanok.flows.dram_swap import swap_dram
from hanok.machine import Chip, Policy

HBM3 = get_standard("HBM3_6400")
assert isinstance(HBM3, Standard)
BURST = HBM3.burst_cycles


def make_run(**changes) -> RequestRun:
    """Three reads and a write on one channel: cycles 0 to 1,000."""
    counters = Counters(
        reads=3, writes=1, row_hits=2, row_misses=1, row_conflicts=1, activates=2, precharges=1, refreshes=1,
        bank_refreshes=2, turnarounds=2, forwarded_reads=0, coalesced_writes=0,
        lost_cycles=(10, 20, 30, 40, 50, 60), channels=1, pseudo_channels=2,
    )  # fmt: skip
    run = RequestRun(
        standard=HBM3,
        policy=Policy(),
        channels=1,
        mapping="row rank bank group column channel pseudo group:1",
        writes=np.array([False, False, True, False]),
        addresses=np.array([0, 32, 64, 96]),
        arrivals=np.array([0, 10, 20, 30]),
        admitted=np.array([5, 15, 25, 35]),
        completed=np.array([100, 210, 1000, 430]),
        cycles=1000,
        counters=counters,
        commands=None,
    )
    return replace(run, **changes)


def test_latency_counts_from_arrival_or_from_admission() -> None:
    nanoseconds = HBM3.tck_fs * 1e-6
    run = make_run()
    np.testing.assert_allclose(figures.latency_ns(run, True), np.array([100, 200, 980, 400]) * nanoseconds)
    np.testing.assert_allclose(figures.latency_ns(run, False), np.array([95, 195, 975, 395]) * nanoseconds)


def test_percentiles_are_latencies_that_occurred() -> None:
    values = np.arange(1000, 0, -1).astype(np.float64)
    writes = values <= 100
    every, reads, stores = figures.latencies(values, writes)
    assert (every.requests, reads.requests, stores.requests) == ("all", "reads", "writes")
    assert (every.count, reads.count, stores.count) == (1000, 900, 100)
    assert (every.p50_ns, every.p90_ns, every.p99_ns, every.p999_ns, every.max_ns) == (
        500,
        900,
        990,
        999,
        1000,
    )
    assert every.mean_ns == 500.5
    assert (stores.p50_ns, stores.max_ns, reads.p50_ns) == (50, 100, 550)
    assert [one.requests for one in figures.latencies(values, values > 0)] == ["all"]


@pytest.mark.parametrize(
    "values", [[5.0], [0.0], [1.0, 1.0], [0.5, 7.0, 1e6], list(np.geomspace(1, 900, 77))]
)
def test_the_histogram_holds_every_request(values: list[float]) -> None:
    array = np.array(values)
    writes = np.arange(len(values)) % 3 == 1
    found = figures.histogram(array, writes)
    assert len(found.edges_ns) == len(found.reads) + 1 == len(found.writes) + 1
    assert (np.diff(found.edges_ns) > 0).all()
    assert (sum(found.reads), sum(found.writes)) == ((~writes).sum(), writes.sum())
    counts, _ = np.histogram(np.maximum(array, found.edges_ns[0]), np.array(found.edges_ns))
    assert (counts == np.array(found.reads) + np.array(found.writes)).all()


def test_what_a_queue_answers_does_not_stretch_the_histogram() -> None:
    found = figures.histogram(np.array([0.0, 0.0, 100.0, 200.0, 300.0]), np.zeros(5, np.bool_))
    assert found.edges_ns[0] == pytest.approx(1.0)
    assert found.reads[0] == 2


def test_traffic_adds_up_and_never_exceeds_the_bus() -> None:
    found = figures.traffic(make_run())
    assert (sum(found.read_bytes), sum(found.write_bytes)) == (96, 32)
    assert found.write_bytes[-1] == 32
    count = 5000
    ends = np.arange(1, count + 1) * BURST
    busy = make_run(
        writes=ends < 0, addresses=0 * ends, arrivals=0 * ends, admitted=0 * ends, completed=ends,
        cycles=int(ends[-1]),
    )  # fmt: skip
    slices = figures.traffic(busy)
    assert len(slices.read_bytes) <= figures.SLICES
    assert max(slices.read_bytes) / slices.slice_ns <= HBM3.peak_bytes_per_second / 2 / 1e9 * 1.0001


def test_loads_follow_the_mapping() -> None:
    run = make_run()
    mapping = parse_mapping(run.mapping, HBM3, 1)
    assert [mapping.locate(address)["pseudo"] for address in run.addresses.tolist()] == [0, 0, 1, 1]
    assert figures.loads(run, mapping) == (PseudoChannelLoad(0, 0, 2, 0), PseudoChannelLoad(0, 1, 1, 1))


def test_the_bus_s_cycles_add_up() -> None:
    run = make_run()
    parts = dict(figures.bus_cycles(run))
    assert sum(parts.values()) == 2 * run.cycles
    assert (parts["read data"], parts["write data"]) == (3 * BURST, BURST)
    assert [parts[figures.LOSS_NAMES[loss]] for loss in Loss] == [10, 20, 30, 40, 50, 60]
    assert parts["finished"] == 2000 - 4 * BURST - 210


def test_energy_is_counts_times_figures() -> None:
    run, each = make_run(), HBM3.energy
    parts = {part.name: part for part in figures.energy(run)}
    assert parts["activate and precharge"].amount * 1e9 == pytest.approx(
        2 * each.activate_precharge_pj.nominal
    )
    assert parts["read"].low * 1e9 == pytest.approx(3 * each.read_pj.low)
    assert parts["write"].high * 1e9 == pytest.approx(each.write_pj.high)
    refresh = each.refresh_pj.nominal + 2 * each.bank_refresh_pj.nominal
    assert parts["refresh"].amount * 1e9 == pytest.approx(refresh)
    seconds = 1000 * HBM3.tck_fs * 1e-15
    assert parts["background"].amount == pytest.approx(each.background_mw.nominal * seconds)


def losing(loss: Loss, share: float, data: float = 0.3) -> list[tuple[str, int]]:
    """A bus of 1,000 cycles with `data` of them busy, and `share` lost to one cause."""
    rest = 1000 - round(1000 * data) - round(1000 * share)
    return [
        ("read data", round(1000 * data)),
        ("write data", 0),
        *((figures.LOSS_NAMES[one], round(1000 * share) if one == loss else 0) for one in Loss),
        ("finished", rest),
    ]


EVEN = [PseudoChannelLoad(0, pseudo, 100, 0) for pseudo in range(2)]
UNEVEN = [
    PseudoChannelLoad(channel, pseudo, 400 * (channel + pseudo == 0), 0)
    for channel in range(2)
    for pseudo in (0, 1)
]


@pytest.mark.parametrize(
    ("bus", "loads", "timed", "bound", "words"),
    [
        (losing(Loss.REFRESH, 0.05, 0.9), EVEN, False, "data bus", "it is busy 90 % of the time"),
        (losing(Loss.REFRESH, 0.05, 0.1), UNEVEN, False, "mapping", "all requests go to one of 4"),
        (losing(Loss.REFRESH, 0.5), EVEN, False, "refresh", "it takes 50 % of the data bus's time"),
        (losing(Loss.TURNAROUND, 0.5), EVEN, False, "turnaround", "one for each 2 requests"),
        (losing(Loss.ACTIVATE, 0.5), EVEN, False, "opening rows", "as 50 % of the requests find"),
        (losing(Loss.BANK_GROUP, 0.5), EVEN, False, "bank group or rank gap", "one bank group or of two"),
        (losing(Loss.COMMAND_BUS, 0.5), EVEN, False, "command bus", "waiting for it takes 50 %"),
        (losing(Loss.NO_REQUEST, 0.6), EVEN, True, "trace", "for 70 % of the time; 0.41 GB/s"),
        (losing(Loss.NO_REQUEST, 0.6), EVEN, False, "queues", "The queues run dry"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else None,
)  # fmt: skip
def test_verdicts(
    bus: list[tuple[str, int]], loads: list[PseudoChannelLoad], timed: bool, bound: str, words: str
) -> None:
    """128 bytes in 1,000 cycles of 312.5 ps are 0.41 GB/s."""
    found = judge(make_run(), bus, loads, timed, Host(0))
    assert found.bound_by == bound
    assert words in found.sentence
    assert found.sentence.endswith(("help.", "comes.", "do.", "busy.", "commands."))


def test_a_small_share_is_not_none() -> None:
    counters = replace(make_run().counters, row_hits=1, row_misses=1000)
    rare = judge(make_run(counters=counters), losing(Loss.ACTIVATE, 0.5), EVEN, False, Host(1))
    assert "as under 1 % of the requests find" in rare.sentence


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ([500, 500, 10, 10, 0, 0, 0, 0], "98 % of the requests go to 2 of 8 pseudo-channels"),
        ([300, 100, 100, 100, 100, 100, 100, 100], "30 % of the requests go to one of 8 pseudo-channels"),
    ],
)
def test_how_uneven_the_load_is(counts: list[int], words: str) -> None:
    loads = [PseudoChannelLoad(*divmod(number, 2), count, 0) for number, count in enumerate(counts)]
    assert words in judge(make_run(), losing(Loss.NO_REQUEST, 0.6), loads, False, Host(1)).sentence


def test_a_host_that_waits_is_part_of_the_reason() -> None:
    """Only where pseudo-channels are crowded one after the other, and there is more than one."""
    idle, gaps = losing(Loss.NO_REQUEST, 0.6), losing(Loss.BANK_GROUP, 0.5)
    crowd, spread = Host(1, 32.0, 0.9), Host(1, 1.0, 0.0)
    assert judge(make_run(), idle, EVEN, False, crowd).bound_by == "mapping"
    assert "32 requests go in a row" in judge(make_run(), idle, EVEN, False, crowd).sentence
    assert judge(make_run(), idle, EVEN, False, spread).bound_by == "queues"
    assert judge(make_run(), idle, EVEN[:1], False, crowd).bound_by == "queues"
    assert "32 requests in a row" in judge(make_run(), gaps, EVEN, False, crowd).sentence
    assert "in a row" not in judge(make_run(), gaps, EVEN, False, spread).sentence
    assert "at most 8 requests ahead" in judge(make_run(), gaps, EVEN, False, Host(8, 32.0)).sentence


def test_requests_in_a_row_and_those_held_back() -> None:
    """On pseudo-channels 0, 0, 1, 1: two in a row. Entered at 5, 15, 25, 35; arrived at 0, 10, 20, 30."""
    run = make_run()
    assert figures.requests_in_a_row(run, parse_mapping(run.mapping, HBM3, 1)) == 2
    assert figures.held_back(run, 1) == 0
    assert figures.held_back(make_run(arrivals=np.array([0, 1, 2, 30])), 1) == pytest.approx(2 / 3)
    assert figures.held_back(make_run(arrivals=np.array([0, 1, 2, 3])), 2) == 1
    assert figures.held_back(run, 0) == figures.held_back(run, 4) == 0


def test_every_standard_is_listed() -> None:
    found = list_standards()
    assert tuple(one.name for one in found) == standards()
    hbm3 = next(one for one in found if one.name == "HBM3_6400")
    assert hbm3.channel_bytes_per_second == 51.2e9
    assert (hbm3.package, hbm3.package_channels, hbm3.package_bytes_per_second) == ("stack", 16, 819.2e9)
    assert (hbm3.clock_mhz, hbm3.cycle_ps) == (1600, 312.5)
    assert hbm3.density_gbit in hbm3.densities_gbit
    assert all(one.sources for one in found)


def test_a_standard_is_chosen_by_family_or_name(tmp_path: Path) -> None:
    assert choose_standard("hbm3", 6400, 0, None) is HBM3
    assert choose_standard("HBM3_6400", 0, 0, None) is HBM3
    assert choose_standard("HBM3", 6400, 16, None).density_gbit == 16
    assert choose_standard("HBM4", 0, 0, None).family == "HBM4"
    file = tmp_path / "own.toml"
    file.write_text('name = "own"\nbase = "HBM3_6400"\nsource = "measured"\n[timings]\nnRP = 60\n')
    assert choose_standard("", 0, 0, file).name == "own"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("", 0, 0, None), "which memory"),
        (("HBM3", 0, 0, None), r"--speed: which one\? HBM3 has .*6400.* Mb/s a pin"),
        (("HBM3", 1, 0, None), "HBM3 has no speed 1 Mb/s; allowed: .*6400"),
        (("HBM3", 6400, 5, None), "HBM3 has no density 5 Gbit; allowed: "),
        (("SDRAM", 0, 0, None), "'SDRAM' is unknown; allowed: HBM2_"),
        (("HBM3_6400", 6400, 0, None), "go with a family, not with 'HBM3_6400'; families: HBM2"),
        (("FLAT:470", 0, 0, None), "'FLAT:470' has no banks, so no commands"),
        (("HBM3", 0, 0, Path("x.toml")), "--table has a whole standard; leave --standard,"),
        (("", 0, 0, Path("no/such.toml")), r"no/such\.toml"),
    ],
    ids=lambda value: None,
)  # fmt: skip
def test_choices_that_are_none(arguments: tuple[str, int, int, Path | None], message: str) -> None:
    with pytest.raises(ChipError, match=message):
        choose_standard(*arguments)
    assert "HBM3" in families()


@pytest.fixture
def stream(tmp_path: Path) -> Path:
    """Reads that all go to one of 16 pseudo-channels under HBM3's own mapping."""
    path = tmp_path / "stride.txt"
    path.write_text("".join(f"LD {32768 * number}\n" for number in range(3000)))
    return path


@pytest.mark.parametrize("channels", [0, 3, 512])
def test_channels_are_a_power_of_two(stream: Path, channels: int) -> None:
    with pytest.raises(ChipError, match=rf"--channels: {channels}; allowed: a power of two, 1\.\.256"):
        run_trace(stream, Memory(HBM3, channels))


def test_a_run_and_its_record_agree(stream: Path) -> None:
    result = run_trace(stream, Memory(HBM3, 8), keep_commands=True, check=True)
    record = result.record
    assert (record.trace, record.requests, record.reads, record.writes) == ("stride.txt", 3000, 3000, 0)
    assert record.bytes_moved == 3000 * 32
    assert record.bytes_per_second == pytest.approx(96000 / (record.cycles * HBM3.tck_fs * 1e-15))
    assert record.row_hits + record.row_misses + record.row_conflicts == 3000
    assert sum(cycles for _, cycles in record.bus) == record.bus_cycles == 16 * record.cycles
    assert all(cycles >= 0 for _, cycles in record.bus)
    assert sum(load.requests for load in record.loads) == 3000
    assert record.check is not None
    assert (record.check.violations, record.check.commands) == (0, len(result.commands))
    assert sum(count for name, count in record.commands if name == "read") == 3000
    assert record.energy_low_mj < record.energy_mj < record.energy_high_mj
    assert record.warnings == ()


def test_a_better_mapping_is_named_and_is_better(stream: Path) -> None:
    poor = run_trace(stream, Memory(HBM3, 8)).record
    assert poor.bound_by == "mapping"
    named = poor.advice.split("'")[1]
    better = run_trace(stream, Memory(HBM3, 8, named)).record
    assert better.cycles < 0.5 * poor.cycles
    searched = run_trace(stream, Memory(HBM3, 8, dram.SEARCH)).record
    assert searched.mapping == searched.trials[0].mapping
    assert searched.cycles <= better.cycles
    assert [one.cycles for one in searched.trials] == sorted(one.cycles for one in searched.trials)


def test_what_was_odd_about_a_trace_is_said(tmp_path: Path) -> None:
    lpddr5x = get_standard("LPDDR5X_8533")
    assert isinstance(lpddr5x, Standard)
    path = tmp_path / "odd.trc"
    path.write_text("0x40 READ 9000\nwhat\n0x80 READ 8000\n0xc0 WRITE 9100\n")
    record = run_trace(path, Memory(lpddr5x), skip_bad=True).record
    text = " | ".join(record.warnings)
    assert f"1 bad line was left out; the first: {path}: line 2: 'what': expected" in text
    assert "1 requests stand behind later ones" in text
    assert f"the first request comes after {8000 * lpddr5x.tck_fs * 1e-6:,.0f} ns" in text
    assert "LPDDR5X_8533 is derived" in text


def test_dram_is_swapped() -> None:
    edge = Chip.load("edge")
    swapped = swap_dram(edge, "HBM3_6400")
    assert swapped.memory.standard == "HBM3_6400"
    assert swapped.memory.channels == edge.memory.channels
    holds = HBM3.channel_bytes * edge.memory.channels >> 20
    assert swapped.memory.capacity_mib == min(holds, edge.memory.capacity_mib)
    assert swapped.sources["memory.standard"] == "choice: --dram"
    assert swap_dram(edge, edge.memory.standard).memory.capacity_mib == edge.memory.capacity_mib
    assert swap_dram(edge, "FLAT:470").memory.capacity_mib == edge.memory.capacity_mib
    with pytest.raises(ChipError, match="--dram: 'SDRAM' is unknown; allowed: HBM2"):
        swap_dram(edge, "SDRAM")
