"""The reports of a request trace: self-contained page, drawings in their frames, JSON and terminal."""

import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from rich.console import Console

from hanok.flows.dram_results import (
    DramRecord,
    DramSeconds,
    EccSummary,
    Histogram,
    Latency,
    MappingTrial,
    PseudoChannelLoad,
    StandardSummary,
    TraceCheck,
    Traffic,
)
from hanok.flows.results import Contribution
from hanok.report.dram_charts import address_bits, balance_chart, latency_chart, nanoseconds, traffic_chart
from hanok.report.dram_html import dram_html
from hanok.report.dram_json import dram_json, standards_json
from hanok.report.dram_terminal import print_dram, print_standards

HOSTILE = "</script><script>alert('x')</script>\x1b[31m\u202e"
STANDARD = StandardSummary(
    name="HBM3_6400",
    family="HBM3",
    speed_mbps=6400,
    density_gbit=8,
    densities_gbit=(4, 8, 16),
    clock_mhz=1600.0,
    cycle_ps=312.5,
    burst_bytes=32,
    pseudo_channels=2,
    ranks=1,
    groups=4,
    banks_per_group=4,
    rows=16384,
    row_bytes=1024,
    channel_bytes=1 << 29,
    channel_bytes_per_second=51.2e9,
    package="stack",
    package_channels=16,
    derived="",
    sources=(("timings", "a public table"), ("second", "another one")),
)


@pytest.fixture(scope="module")
def record() -> DramRecord:
    return DramRecord(
        hanok_version="0.1.0",
        trace="trace.txt",
        trace_form="ramulator",
        timed=False,
        standard=STANDARD,
        channels=1,
        mapping="row bank^row group column pseudo group:1",
        mapping_letters="RRRRRRRRRRRRRRBBGCCCCCPG",
        mapping_hashes=("B0^R0", "B1^R1"),
        policy=(("page", "open"), ("row_hit_cap", "16")),
        requests=4000,
        reads=3000,
        writes=1000,
        bad_lines=0,
        bytes_moved=128_000,
        cycles=12_800,
        duration_ns=4000.0,
        bytes_per_second=32e9,
        peak_bytes_per_second=51.2e9,
        latencies=(
            Latency("all", 4000, 120.0, 110.0, 180.0, 260.0, 300.0, 310.0),
            Latency("reads", 3000, 110.0, 105.0, 170.0, 250.0, 290.0, 300.0),
            Latency("writes", 1000, 150.0, 140.0, 220.0, 280.0, 305.0, 310.0),
        ),
        histogram=Histogram((40.0, 80.0, 160.0, 320.0), (1000, 1500, 500), (0, 600, 400)),
        row_hits=3600,
        row_misses=100,
        row_conflicts=300,
        forwarded_reads=0,
        coalesced_writes=0,
        turnarounds=40,
        commands=(("read", 3000), ("write", 1000), ("activate", 400), ("precharge", 300)),
        bus=(
            ("read data", 12_000),
            ("write data", 4_000),
            ("no request", 600),
            ("refresh", 2_000),
            ("turnaround", 3_000),
            ("opening rows", 3_500),
            ("bank group or rank gap", 400),
            ("command bus", 100),
            ("finished", 0),
        ),
        bus_cycles=25_600,
        energy=(Contribution("read", 2e-3, 1e-3, 4e-3), Contribution("background", 1e-3, 5e-4, 2e-3)),
        energy_source="a public paper",
        loads=(PseudoChannelLoad(0, 0, 2000, 1000), PseudoChannelLoad(0, 1, 1000, 0)),
        traffic=Traffic(1000.0, (24_000, 24_000, 24_000, 24_000), (8_000, 8_000, 8_000, 8_000)),
        trials=(),
        check=None,
        bound_by="opening rows",
        verdict="Opening rows bounds this trace.",
        advice="",
        warnings=(),
        seconds=DramSeconds(0.1, 0.0, 0.2, 0.0),
    )


class Page(HTMLParser):
    """Collects elements, attributes, and text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.inside = tag

    def handle_data(self, data: str) -> None:
        if self.inside not in ("script", "style"):
            self.text.append(data.strip())

    @property
    def words(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.text))


def printed(record: DramRecord, width: int = 110) -> str:
    stream = io.StringIO()
    print_dram(record, Console(file=stream, width=width, force_terminal=False))
    return stream.getvalue()


def test_the_page_loads_nothing_and_is_the_same_each_time(record: DramRecord) -> None:
    text = dram_html(record)
    assert text == dram_html(record)
    assert not re.search(r"https?://|//[a-z]+\.|@import|url\(", text)
    for tag, attributes in Page(text).elements:
        assert tag not in ("iframe", "object", "embed", "img", "base")
        assert "src" not in attributes
        assert attributes.get("href", "data:,") == "data:,"
        assert not any(name.startswith("on") for name in attributes)


def test_every_figure_is_on_the_page(record: DramRecord) -> None:
    words = Page(dram_html(record)).words
    for figure in (
        "32 GB/s",
        "62 % of 51.2 GB/s",
        "110 ns",
        "99 % within 260 ns, all within 310 ns",
        "90 %",
        "3 µJ",
        "1.5 µJ",
        "6 µJ",
        "2.93 pJ a bit",
        "Opening rows bounds this trace.",
        "turnaround 12 % 3,000",
        "opening rows 14 % 3,500",
        "precharge",
        "row bank^row group column pseudo group:1",
        "a public table",
        "another one",
        "a public paper",
        "row hit cap 16",
    ):
        assert figure in words.replace("\u00a0", " "), figure


ECC = EccSummary(
    option="side_band",
    codes=("in line (72,64)",),
    in_line=True,
    partial_writes=True,
    check_reads=412,
    check_writes=313,
    merge_reads=0,
    usable_bytes=1 << 28,
    capacity_share=8 / 9,
    pin_ratio=1.0,
    cell_ratio=1.0,
    read_latency_ns=3.75,
    cost="725 of 4,725 bursts hold check bits",
)


def test_what_ecc_costs_and_how_the_host_sends(record: DramRecord) -> None:
    words = Page(dram_html(record)).words
    assert "check bits" not in words
    assert "sends as fast as requests come, without a limit" in words
    guarded = replace(record, ecc=ECC, window=1)
    words = Page(dram_html(guarded)).words
    for part in (
        "side band: in line (72,64); every write is partial; 256 MiB for data",
        "725 of 4,725 bursts hold check bits",
        "reads of check bits, among these 412 103",
        "writes of check bits, among these 313 78.2",
        "waits until each request is taken",
    ):
        assert part in words, part
    assert "to merge writes" not in words
    text = " ".join(printed(guarded).split())
    assert "ECC side_band: in line (72,64); every write is partial" in text
    assert "ECC costs 725 of 4,725 bursts hold check bits" in text
    assert "ECC costs nothing that is counted" in " ".join(
        printed(replace(record, ecc=replace(ECC, cost=""))).split()
    )
    assert "ECC" not in printed(record)
    content = json.loads(dram_json(guarded))
    assert content["ecc"]["check_reads"] == 412
    assert (content["window"], content["host"]) == (1, "waits until each request is taken")
    assert json.loads(dram_json(record))["ecc"] is None


def test_strange_names_cannot_become_markup(record: DramRecord) -> None:
    bad = replace(
        record,
        trace=HOSTILE,
        mapping=HOSTILE,
        warnings=(HOSTILE,),
        verdict=HOSTILE,
        advice=HOSTILE,
        trials=(MappingTrial(HOSTILE, 5, 10),),
        check=TraceCheck(10, 1, (HOSTILE,)),
        energy_source=HOSTILE,
        ecc=replace(ECC, option=HOSTILE, codes=(HOSTILE,), cost=HOSTILE),
        standard=replace(STANDARD, name=HOSTILE, derived=HOSTILE, sources=((HOSTILE, HOSTILE),)),
        commands=((HOSTILE, 1),),
        bus=((HOSTILE, 25_600),),
        policy=((HOSTILE, HOSTILE),),
    )
    text = dram_html(bad)
    assert sum(tag == "script" for tag, _ in Page(text).elements) == 1
    for shown in (text, printed(bad)):
        assert "\x1b" not in shown
        assert "\u202e" not in shown
    json.loads(dram_json(bad))


def test_what_need_not_be_there(record: DramRecord) -> None:
    plain = dram_html(record)
    assert "Timing rules" not in plain
    assert "Mappings tried" not in plain
    assert "Better:" not in plain
    kept = replace(
        record,
        check=TraceCheck(4800, 0, ()),
        advice="--mapping 'x' takes less",
        trials=(MappingTrial("x", 9, 9),),
    )
    words = Page(dram_html(kept)).words
    assert "Timing rules all kept 4,800 commands, 0 violations" in words
    assert "Better: --mapping 'x' takes less" in words
    assert "Mappings tried on 9 requests" in words
    broken = replace(record, check=TraceCheck(4800, 2, ("RD too early", "WR too early")), energy=())
    words = Page(dram_html(broken)).words
    assert "Timing rules 2 broken" in words
    assert "RD too early WR too early" in words
    assert "No energy figures are known" in words


def test_drawings_stay_in_their_frames(record: DramRecord) -> None:
    one = replace(record, loads=(PseudoChannelLoad(0, 0, 3000, 1000),))
    many = replace(record, loads=tuple(PseudoChannelLoad(*divmod(number, 2), 1, 0) for number in range(512)))
    same = replace(record, histogram=Histogram((50.0, 50.01), (4000,), (0,)))
    charts = [traffic_chart(record), latency_chart(record), latency_chart(same)]
    for chart in charts + [balance_chart(each) for each in (record, one, many)]:
        assert chart.bars
        for bar in chart.bars:
            assert chart.left <= bar.x <= bar.x + bar.width <= chart.right + 0.5
            assert chart.top <= bar.write_y <= bar.read_y <= chart.bottom
            assert bar.read_y + bar.read_height == pytest.approx(chart.bottom, abs=0.02)
            assert bar.write_y + bar.write_height == pytest.approx(bar.read_y, abs=0.02)
        assert all(chart.left <= label.position <= chart.right + 0.1 for label in chart.x_labels)
        assert all(chart.top <= label.position <= chart.bottom for label in chart.y_labels)


def test_bars_are_as_high_as_what_they_show(record: DramRecord) -> None:
    """24 and 8 kB in a microsecond are 24 and 8 GB/s; the peak's line is at 51.2 GB/s."""
    chart = traffic_chart(record)
    assert chart.bars[0].read_height == pytest.approx(3 * chart.bars[0].write_height, abs=0.05)
    peak = chart.bottom - chart.marks[0].position
    assert chart.bars[0].read_height / peak == pytest.approx(24 / 51.2, abs=1e-3)
    balance = balance_chart(record)
    even = balance.bottom - balance.marks[0].position
    assert (balance.bottom - balance.bars[0].write_y) / even == pytest.approx(1.5, abs=1e-2)


def test_labels_of_many_pseudo_channels_name_the_first_of_a_channel(record: DramRecord) -> None:
    loads = tuple(PseudoChannelLoad(*divmod(number, 2), 1, 0) for number in range(64))
    labels = balance_chart(replace(record, loads=loads)).x_labels
    assert all(label.text.endswith(".0") for label in labels)
    assert [label.text for label in balance_chart(record).x_labels] == ["0.0", "0.1"]


def test_address_bits(record: DramRecord) -> None:
    bits = address_bits(record)
    assert [bit.bit for bit in bits] == list(range(28, -1, -1))
    fields = [bit.field for bit in bits]
    assert (
        fields
        == ["row"] * 14 + ["bank"] * 2 + ["group"] + ["column"] * 5 + ["pseudo", "group"] + ["burst"] * 5
    )
    assert bits[15].tip == "address bit 13: bank bit 0 XOR row bit 0"
    assert bits[16].tip == "address bit 12: group bit 1"
    assert bits[-1].tip == "address bit 0: a place within a burst"


def test_times() -> None:
    assert [nanoseconds(value) for value in (0, 0.3125, 1.5, 999, 1000, 2.5e6, 3e9)] == [
        "0",
        "0.312 ns",
        "1.5 ns",
        "999 ns",
        "1 µs",
        "2.5 ms",
        "3 s",
    ]


def test_json(record: DramRecord) -> None:
    content = json.loads(dram_json(replace(record, check=TraceCheck(10, 0, ()), duration_ns=float("inf"))))
    assert content["standard"]["name"] == "HBM3_6400"
    assert content["standard"]["package_bytes_per_second"] == 819.2e9
    assert content["latency"]["reads"]["p99_ns"] == 250.0
    assert content["bus"]["turnaround"] == 3000
    assert content["commands"]["activate"] == 400
    assert content["policy"]["row_hit_cap"] == "16"
    assert content["share_of_peak"] == 0.625
    assert content["row_hit_rate"] == 0.9
    assert (content["energy_low_mj"], content["energy_mj"], content["energy_high_mj"]) == (1.5e-3, 3e-3, 6e-3)
    assert content["pj_per_bit"] == pytest.approx(3e-3 * 1e9 / (8 * 128_000))
    assert sum(content["histogram"]["reads"]) == 3000
    assert content["check"] == {"commands": 10, "violations": 0, "examples": []}
    assert content["duration_ns"] is None


def test_the_terminal_says_the_same(record: DramRecord) -> None:
    text = printed(record)
    for words in (
        "trace.txt: 3,000 reads, 1,000 writes",
        "1 channel of HBM3_6400, 51.2 GB/s",
        "32 GB/s  (62 % of the peak)",
        "90 % hits  (3,600 hits, 100 misses, 300 conflicts)",
        "2.93 pJ a bit",
        "2 of 2 pseudo-channels used; the busiest",
        "from entry into the queue",
        "99.9 %",
        "opening rows",
        "3,500",
        "Energy by command",
    ):
        assert words in text, words
    assert text.strip().endswith("Opening rows bounds this trace.")
    assert "finished" not in text
    more = replace(
        record,
        timed=True,
        advice="--mapping 'x' takes less",
        warnings=("one thing",),
        check=TraceCheck(10, 7, ("RD bad",)),
        trials=(MappingTrial("row [bold]bank", 99, 1000),),
    )
    text = printed(more)
    assert text.strip().endswith("Better: --mapping 'x' takes less")
    for words in (
        "from arrival",
        "note: one thing",
        "7 violations in 10 commands",
        "RD bad",
        "row [bold]bank",
        "on 1,000",
    ):
        assert words in text, words
    assert "all kept in 10 commands" in printed(replace(record, check=TraceCheck(10, 0, ())))
    assert max(map(len, printed(more, 80).splitlines())) <= 80


def test_the_list_of_standards() -> None:
    derived = replace(
        STANDARD,
        name="HBM3_7200",
        speed_mbps=7200,
        derived="by a rule",
        sources=(("timings", "no [b]table"),),
    )
    stream = io.StringIO()
    print_standards((STANDARD, derived), Console(file=stream, width=120, force_terminal=False))
    text = stream.getvalue()
    assert re.search(r"HBM3_6400 +8, 4, 16 +2 x 1 x 4 x 4 +1 KiB +512 MiB +51\.2 +stack x 16 +819", text)
    assert re.search(r"HBM3_7200 .* derived", text)
    assert "6400: timings: a public table" in text
    assert "7200: timings: no [b]table" in text
    assert "7200: derived: by a rule" in text
    content = json.loads(standards_json((STANDARD, derived)))
    assert [one["derived"] for one in content] == ["", "by a rule"]
    assert content[0]["sources"] == {"timings": "a public table", "second": "another one"}
