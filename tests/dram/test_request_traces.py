"""Request traces: every form is read as it was written, and every bad line is named."""

import gzip
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hanok.dram import request_traces
from hanok.dram.mapping import parse_mapping
from hanok.dram.request_traces import RequestTrace, TraceError, read_requests
from hanok.dram.standard import Standard
from hanok.dram.standards import get_standard, standard_by_speed


def standard_of(name: str) -> Standard:
    found = get_standard(name)
    assert isinstance(found, Standard)
    return found


HBM2 = standard_of("HBM2_2000")
HBM3 = standard_of("HBM3_6400")
LPDDR5 = standard_of("LPDDR5_6400")
GDDR6 = standard_of("GDDR6_14000")
PLACE = {"channel": 1, "group": 2, "bank": 3, "row": 100, "column": 7}
MIB = 1 << 20


def read(
    path: Path, content: str | bytes, standard: Standard = HBM3, channels: int = 1, **options
) -> RequestTrace:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    mapping = parse_mapping(standard.mapping, standard, channels)
    return read_requests(path, standard, channels, mapping, **options)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "trace.txt"


def test_loads_and_stores(file: Path) -> None:
    trace = read(file, "LD 0x12340\nST 4096\n\n# a remark\n  ld\t0XAb  \r\nST 0x0")
    assert trace.addresses.tolist() == [0x12340, 4096, 0xAB, 0]
    assert trace.writes.tolist() == [False, True, False, True]
    assert trace.arrivals.tolist() == [0, 0, 0, 0]
    assert (trace.form, trace.timed, trace.lines, trace.bad_lines, len(trace)) == (
        "ramulator",
        False,
        6,
        0,
        4,
    )


def test_dramsim3(file: Path) -> None:
    """Addresses are hexadecimal with or without 0x; a clock is two cycles for HBM3, one for LPDDR5."""
    text = "0x2000D5C0 READ  30\n1FF96FC0 WRITE   160\n0x40 P_MEM_WR 160\n0x80 P_FETCH 161\n0xc0 BOFF 170\n"
    trace = read(file, text)
    assert trace.addresses.tolist() == [0x2000D5C0, 0x1FF96FC0, 0x40, 0x80, 0xC0]
    assert trace.writes.tolist() == [False, True, True, False, True]
    assert trace.arrivals.tolist() == [60, 320, 320, 322, 340]
    assert (trace.form, trace.timed) == ("dramsim3", True)
    assert read(file, text, LPDDR5).arrivals.tolist() == [30, 160, 160, 161, 170]


def test_timed_requests_are_sorted_and_counted(file: Path) -> None:
    trace = read(file, "0x0 READ 10\n0x20 READ 5\n0x40 READ 10\n0x60 READ 7\n", LPDDR5)
    assert trace.arrivals.tolist() == [5, 7, 10, 10]
    assert trace.addresses.tolist() == [0x20, 0x60, 0, 0x40]
    assert trace.moved == 2


@pytest.mark.parametrize(
    ("standard", "vector", "place"),
    [
        (HBM3, "0,1,1,2,3,100,7", {"pseudo": 1, "rank": 1, "group": 2, "bank": 3, "row": 100, "column": 7}),
        (HBM2, "1,1,2,3,100,7", {"pseudo": 1, **PLACE}),
        (HBM2, "1,1,0,2,3,100,7", {"pseudo": 1, **PLACE}),
        (LPDDR5, "1,0,2,3,100,7", PLACE),
        (LPDDR5, "1,2,3,100,7", PLACE),
        (GDDR6, "1,2,3,100,7", PLACE),
    ],
    ids=lambda value: getattr(value, "name", None),
)  # fmt: skip
def test_address_vectors(file: Path, standard: Standard, vector: str, place: dict[str, int]) -> None:
    """In Ramulator's order of levels; pseudo-channel and rank may be left out where there is one."""
    trace = read(file, f"R {vector}\nW {vector}\n", standard, channels=2)
    mapping = parse_mapping(standard.mapping, standard, 2)
    assert trace.addresses.tolist() == [mapping.address_of(place)] * 2
    assert mapping.locate(int(trace.addresses[0])) == {
        **dict.fromkeys(("channel", "pseudo", "rank", "group", "bank", "row", "column"), 0), **place
    }  # fmt: skip
    assert trace.writes.tolist() == [False, True]


requests = st.lists(
    st.tuples(st.booleans(), st.integers(0, HBM3.channel_bytes - 1), st.integers(0, 1 << 20)),
    min_size=1,
    max_size=60,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests, st.integers(1, 80), st.booleans(), st.sampled_from(["\n", "\r\n", "\n\n", "\n#\n"]))
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    items: list[tuple[bool, int, int]],
    chunk: int,
    packed: bool,
    end: str,
) -> None:
    """In pieces of any size, with any line end, packed or plain, in each form."""
    file = tmp_path_factory.mktemp("trace") / "t"
    mapping = parse_mapping(HBM3.mapping, HBM3, 1)
    places = [mapping.locate(address) for _, address, _ in items]
    order = ("channel", "pseudo", "rank", "group", "bank", "row", "column")
    texts = {
        "decimal": end.join(f"{'ST' if write else 'LD'} {address}" for write, address, _ in items),
        "hexadecimal": end.join(f"{'ST' if write else 'LD'} 0x{address:x}" for write, address, _ in items),
        "vector": end.join(
            f"{'W' if item[0] else 'R'} {','.join(str(place[name]) for name in order)}"
            for item, place in zip(items, places, strict=True)
        ),
        "timed": end.join(
            f"0x{address:X} {'WRITE' if write else 'READ'} {cycle}" for write, address, cycle in items
        ),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(request_traces, "_CHUNK_BYTES", chunk)
        for name, text in texts.items():
            content = text.encode()
            trace = read(file, gzip.compress(content) if packed else content)
            expected = sorted(items, key=lambda item: item[2]) if name == "timed" else items
            mask = ~31 if name == "vector" else -1
            assert trace.writes.tolist() == [write for write, _, _ in expected]
            assert trace.addresses.tolist() == [address & mask for _, address, _ in expected]
            assert trace.arrivals.tolist() == [
                2 * cycle if name == "timed" else 0 for _, _, cycle in expected
            ]


BAD_LINES = [
    ("LD", "ramulator", r"'LD': expected 'LD ADDRESS' or 'ST ADDRESS' such as 'LD 0x12340', or 'R VECTOR'"),
    ("LD 1 2", "ramulator", "'LD 1 2': expected 'LD ADDRESS'"),
    ("LOAD 1", "ramulator", "'LOAD 1': expected 'LD ADDRESS'"),
    ("LD 12f", "ramulator", "'LD 12f': a number cannot be read; expected 'LD ADDRESS'"),
    ("LD 0x", "ramulator", "'LD 0x': a number cannot be read"),
    ("LD -4", "ramulator", "'LD -4': a number cannot be read"),
    ("LD 0x1g", "ramulator", "a number cannot be read"),
    ("LD 1e5", "ramulator", "a number cannot be read"),
    (f"LD {1 << 63}", "ramulator", "the address does not fit in 62 bits; 1 channel of HBM3_6400: "),
    ("LD " + "9" * 400, "ramulator", "the address does not fit in 62 bits"),
    (
        f"LD 0x{HBM3.channel_bytes:x}",
        "ramulator",
        f"address 0x{HBM3.channel_bytes:x} is beyond the capacity; 1 channel of HBM3_6400: "
        f"{HBM3.channel_bytes} bytes, 0x0..0x{HBM3.channel_bytes - 1:x}; give more --channels or a larger ",
    ),
    ("R 0x40", "ramulator", r"an address with 1 parts; allowed: 7 \(channel, pseudo-channel, rank, bank"),
    ("R 0,1,2,100,7", "ramulator", "an address with 5 parts; allowed: 7"),
    ("R 0,0,0,0,0,0,0,0,0", "ramulator", "an address with 9 parts; allowed: 7"),
    ("W 0,0,0,0,4,0,0", "ramulator", "bank 4 is not there; allowed: 0\\.\\.3"),
    ("W 1,0,0,0,0,0,0", "ramulator", "channel 1 is not there; allowed: 0\\.\\.0; give more --channels"),
    ("W 0,0,0,0,0,99999999999999999999,0", "ramulator", "row number is not there"),
    ("W 0,0,0,,0,0,0", "ramulator", "a number cannot be read"),
    ("LD " + "0" * 2000, "ramulator", "the line is longer than 1024 bytes; expected 'LD ADDRESS'"),
    ("0x40 READ", "dramsim3", "'0x40 READ': expected 'ADDRESS READ CYCLE' or 'ADDRESS WRITE CYCLE' such as"),
    ("0x40 COPY 5", "dramsim3", "'0x40 COPY 5': expected 'ADDRESS READ CYCLE'"),
    ("0x40 READ x", "dramsim3", "a number cannot be read; expected 'ADDRESS READ"),
    ("zz READ 5", "dramsim3", "a number cannot be read"),
    (f"0x40 READ {1 << 40}", "dramsim3", rf"the cycle is too late; allowed: 0\.\.{1 << 39}"),
    ("0x40 READ " + "9" * 30, "dramsim3", "the cycle is too late"),
    (f"0x{HBM3.channel_bytes:x} READ 5", "dramsim3", "is beyond the capacity"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "form", "message"), BAD_LINES, ids=[line[:16] for line, _, _ in BAD_LINES])
def test_a_bad_line_stops_or_is_skipped(file: Path, line: str, form: str, message: str) -> None:
    good = "LD 64" if form == "ramulator" else "0x40 READ 9"
    text = f"{good}\n# remark\n{line}\n{good}\n{line}"
    with pytest.raises(TraceError, match=rf"trace\.txt: line 3: .*{message}.*--skip-bad") as caught:
        read(file, text, form=form)
    assert len(str(caught.value)) < 600
    trace = read(file, text, form=form, skip_bad=True)
    assert len(trace) == 2
    assert (trace.bad_lines, trace.lines) == (2, 5)
    assert re.search(rf"line 3: .*{message}", trace.bad_examples[0])
    assert "line 5:" in trace.bad_examples[1]


def test_only_the_first_bad_lines_are_kept(file: Path) -> None:
    trace = read(file, "LD 0\n" + "what?\n" * 1000, skip_bad=True)
    assert (trace.bad_lines, len(trace.bad_examples)) == (1000, request_traces.KEPT_BAD_LINES)


def test_a_line_without_end_is_one_bad_line(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_traces, "_CHUNK_BYTES", 4096)
    trace = read(file, b"LD 0\n" + b"x" * 100_000 + b"\nLD 32\n" + b"y" * 9_000, skip_bad=True)
    assert trace.addresses.tolist() == [0, 32]
    assert (trace.bad_lines, trace.lines) == (2, 4)


def test_more_channels_hold_more(file: Path) -> None:
    assert len(read(file, f"LD {HBM3.channel_bytes}", channels=2)) == 1
    larger = standard_by_speed("HBM3", 6400, 16)
    assert len(read(file, f"LD {HBM3.channel_bytes}", larger)) == 1


def test_files_that_are_none(file: Path, tmp_path: Path) -> None:
    mapping = parse_mapping(HBM3.mapping, HBM3, 1)
    with pytest.raises(
        TraceError, match="none: no such file; give a request trace of Ramulator 2 or DRAMsim3"
    ):
        read_requests(tmp_path / "none", HBM3, 1, mapping)
    with pytest.raises(TraceError, match="no such file"):
        read_requests(tmp_path / ("x" * 300), HBM3, 1, mapping)
    with pytest.raises(TraceError, match="no such file"):
        read_requests("a\0b", HBM3, 1, mapping)
    with pytest.raises(TraceError, match="is not a file"):
        read_requests(tmp_path, HBM3, 1, mapping)
    for content in ("", "\n\n", "# only a remark\n"):
        with pytest.raises(TraceError, match=r"trace\.txt: holds no request"):
            read(file, content)
    with pytest.raises(TraceError, match=r"holds no request; .*line 1: 'what': expected"):
        read(file, "what", skip_bad=True)


def test_a_form_that_cannot_be_guessed(file: Path) -> None:
    with pytest.raises(
        TraceError, match=r"line 2: 'hello world' is neither of Ramulator 2 nor of DRAMsim3; expec"
    ):
        read(file, "# x\nhello world\n")
    with pytest.raises(TraceError, match=r"line 1: '\\x7fELF\\x00\\x01' is neither"):
        read(file, b"\x7fELF\x00\x01\nLD 0\n")
    assert read(file, "hello world\n0x40 READ 5\n", skip_bad=True).form == "dramsim3"


def test_damaged_gzip(file: Path) -> None:
    whole = gzip.compress(b"LD 0\nLD 32\n" * 1000)
    for content in (
        whole[:-9],
        whole[:40],
        whole[:-8] + struct.pack("<II", 1, 2),
        b"\x1f\x8b",
        whole + b"junk",
    ):
        with pytest.raises(TraceError, match=r"trace\.txt: is a damaged gzip file"):
            read(file, content)


def test_a_file_that_cannot_be_read(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: object) -> None:
        raise OSError(5, "Input/output error")

    file.write_text("LD 0\n")
    monkeypatch.setattr(Path, "open", broken)
    with pytest.raises(TraceError, match=r"trace\.txt: cannot be read: Input/output error"):
        read_requests(file, HBM3, 1, parse_mapping(HBM3.mapping, HBM3, 1))


def test_sizes_are_bounded(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_traces, "MAX_REQUESTS", 10)
    with pytest.raises(TraceError, match="more than 10 requests; split the trace"):
        read(file, "LD 0\n" * 11)
    assert len(read(file, "LD 0\n" * 10)) == 10
    monkeypatch.setattr(request_traces, "MAX_TEXT_BYTES", MIB)
    with pytest.raises(TraceError, match=f"more than {MIB} bytes of text; split the trace"):
        read(file, gzip.compress(b"\n" * (MIB + 1)))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=300)
    | st.text("LDSTRW 0123456789abcx,#\n\r\t", max_size=300).map(str.encode)
    | st.text("0x1aF READWITE\n 9", max_size=300).map(str.encode),
    st.booleans(),
)
def test_no_bytes_break_the_reader(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, skip_bad: bool
) -> None:
    try:
        trace = read(tmp_path_factory.mktemp("fuzz") / "t", content, skip_bad=skip_bad)
    except TraceError:
        return
    assert len(trace.writes) == len(trace.arrivals) == len(trace) > 0
    assert 0 <= int(trace.addresses.min()) <= int(trace.addresses.max()) < HBM3.channel_bytes
    assert (np.diff(trace.arrivals) >= 0).all()
