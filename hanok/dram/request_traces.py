"""Request traces of other simulators: Ramulator 2 (LD/ST and R/W) and DRAMsim3, plain or gzipped.

Ramulator 2: `LD 0x12340` or `ST 4096` (a byte address, decimal or hexadecimal after 0x), and
`R 0,1,2,100,7` or `W ...` (channel, pseudo-channel, rank or stack, bank group, bank, row, column in bursts;
pseudo-channel and rank are left out where the standard has one). DRAMsim3: `0x12340 READ 100` (hexadecimal
byte address, operation, cycle of the memory clock). Blank lines and lines beginning with # are passed over.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import numpy.typing as npt

from hanok.dram import _kernels_request_traces as k
from hanok.dram.mapping import FIELDS, Mapping
from hanok.dram.standard import Standard
from hanok.errors import HanokError

Form = Literal["auto", "ramulator", "dramsim3"]
FORMS: tuple[Form, ...] = ("auto", "ramulator", "dramsim3")

MAX_LINE_BYTES = 1024
MAX_REQUESTS = 200_000_000
MAX_TEXT_BYTES = 16 << 30
"""Of the text, unpacked: what a small gzip file can make a reader work through."""
MAX_CYCLE = 1 << 40
"""Of a request's arrival: several minutes of DRAM time, and far from where sums overflow."""
KEPT_BAD_LINES = 5
_CHUNK_BYTES = 4 << 20
_MOST_SHOWN = 60
_GZIP = b"\x1f\x8b"
_GUESSED_BYTES = 1 << 16
"""At the beginning of the text, from which the form is told."""
_RAMULATOR_WORDS = (b"LD", b"ST", b"R", b"W")
_DRAMSIM3_WORDS = (b"READ", b"WRITE", b"P_MEM_RD", b"P_MEM_WR", b"P_FETCH", b"BOFF")
_EXPECTED = {
    "ramulator": "'LD ADDRESS' or 'ST ADDRESS' such as 'LD 0x12340', or 'R VECTOR' or 'W VECTOR' such as "
    "'R 0,1,2,100,7'",
    "dramsim3": "'ADDRESS READ CYCLE' or 'ADDRESS WRITE CYCLE' such as '0x12340 READ 100'",
}
_SPOKEN = dict(
    zip(FIELDS, ("channel", "pseudo-channel", "rank", "bank group", "bank", "row", "column"), strict=True)
)


class TraceError(HanokError):
    """A request trace that cannot be read, or a bad line in it."""


@dataclass(frozen=True)
class RequestTrace:
    """Requests in the order in which they come."""

    form: Form
    writes: npt.NDArray[np.bool_]
    addresses: npt.NDArray[np.int64]
    """In bytes."""
    arrivals: npt.NDArray[np.int64]
    """Cycles of the standard; all 0 where the trace is not timed."""
    timed: bool
    lines: int
    bad_lines: int
    """Left out."""
    bad_examples: tuple[str, ...]
    """What was wrong with the first of them."""
    moved: int
    """Requests that stood behind a later one in the file; a timed trace is sorted by cycle."""

    def __len__(self) -> int:
        return len(self.addresses)


def read_requests(
    path: str | Path,
    standard: Standard,
    channels: int,
    mapping: Mapping,
    form: Form = "auto",
    *,
    skip_bad: bool = False,
    usable_bytes: int = 0,
) -> RequestTrace:
    """Read a request trace for `channels` of `standard`.

    `mapping` turns the address vectors of R and W lines into byte addresses. A DRAMsim3 cycle is a clock of
    the standard (`clock_cycles` of its cycles). Requests of a timed trace are sorted by arrival, equal ones
    in the order of the file. `usable_bytes` is what in-line ECC leaves of the capacity. Raises TraceError for
    a file that cannot be read, that holds no request or too many, and, unless `skip_bad`, for the first bad
    line.
    """
    file = _checked(path)
    reader = _Reader(str(path), standard, channels, mapping, form, skip_bad, usable_bytes)
    try:
        with file.open("rb") as raw:
            packed = raw.read(len(_GZIP)) == _GZIP
            raw.seek(0)
            stream: BinaryIO = gzip.GzipFile(fileobj=raw) if packed else raw  # type: ignore[assignment]
            for text, last in _chunks(stream, str(path)):
                reader.feed(text, last)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise TraceError(f"{path}: is a damaged gzip file: {error}") from None
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror or error}") from None
    return reader.trace()


def _checked(path: str | Path) -> Path:
    file = Path(path)
    try:
        if file.is_file():
            return file
        found = "is not a file" if file.exists() else "no such file"
    except (OSError, ValueError):
        found = "no such file"
    raise TraceError(f"{path}: {found}; give a request trace of Ramulator 2 or DRAMsim3")


def _chunks(stream: BinaryIO, origin: str) -> Iterator[tuple[bytes, bool]]:
    """Give the text in pieces, and with each whether it is the last one."""
    chunk, total = stream.read(_CHUNK_BYTES), 0
    while True:
        total += len(chunk)
        if total > MAX_TEXT_BYTES:
            raise TraceError(f"{origin}: more than {MAX_TEXT_BYTES} bytes of text; split the trace")
        following = stream.read(_CHUNK_BYTES) if chunk else b""
        yield chunk, not following
        if not following:
            return
        chunk = following


class _Reader:
    """Feeds the kernel, and gathers what it finds."""

    def __init__(
        self,
        origin: str,
        standard: Standard,
        channels: int,
        mapping: Mapping,
        form: Form,
        skip_bad: bool,
        usable_bytes: int,
    ) -> None:
        self.origin, self.standard, self.form, self.skip_bad = origin, standard, form, skip_bad
        self.channels = channels
        self.whole = channels * standard.channel_bytes
        self.capacity = usable_bytes or self.whole
        self.sizes = _field_sizes(standard, channels)
        self.orders = _vector_orders(self.sizes)
        self.address_bits = _address_bits(mapping)
        self.limits = np.array([self.capacity, MAX_CYCLE // standard.clock_cycles], np.int64)
        self.state = np.zeros(k.S_SIZE, np.int64)
        self.bad = np.zeros((KEPT_BAD_LINES, k.B_SIZE), np.int64)
        self.messages: list[str] = []
        self.rest = b""
        self.parts: list[tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64], npt.NDArray[np.int64]]] = []
        self.count = 0

    def feed(self, chunk: bytes, last: bool) -> None:
        """Read the whole lines of `chunk`; the rest waits for the next one."""
        content = self.rest + chunk
        if self.form == "auto":
            self.form = _guess(content, last, self.origin, self.skip_bad)
        if self.form == "auto":
            self.rest = content
            return
        text = np.frombuffer(content, np.uint8)
        room = len(content) // 5 + 1  # the shortest request is 'LD 0' and a line's end
        writes, addresses, cycles = (
            np.empty(room, np.bool_),
            np.empty(room, np.int64),
            np.empty(room, np.int64),
        )
        done = k.read_lines(
            text,
            k.DRAMSIM3 if self.form == "dramsim3" else k.RAMULATOR,
            self.skip_bad,
            last,
            MAX_LINE_BYTES,
            self.limits,
            self.orders,
            self.sizes,
            self.address_bits,
            self.state,
            writes,
            addresses,
            cycles,
            self.bad,
        )
        self._describe(content)
        if self.state[k.S_STOPPED]:
            raise TraceError(f"{self.messages[0]}; or leave such lines out with --skip-bad")
        found = int(self.state[k.S_COUNT])
        self.count += found
        if self.count > MAX_REQUESTS:
            raise TraceError(f"{self.origin}: more than {MAX_REQUESTS:,} requests; split the trace")
        self.parts.append((writes[:found].copy(), addresses[:found].copy(), cycles[:found].copy()))
        self.rest = content[done:]

    def _describe(self, content: bytes) -> None:
        for row in self.bad[len(self.messages) : int(self.state[k.S_BAD])].tolist():
            line = content[row[k.B_START] : min(row[k.B_END], row[k.B_START] + MAX_LINE_BYTES)]
            what = self._complaint(row[k.B_CODE], row[k.B_FIELD], row[k.B_VALUE])
            self.messages.append(f"{self.origin}: line {row[k.B_LINE]}: {_shown(line)}: {what}")

    def _complaint(self, code: int, field: int, value: int) -> str:
        expected = f"expected {_EXPECTED[self.form]}"
        match code:
            case k.NO_NUMBER:
                return f"a number cannot be read; {expected}"
            case k.TOO_LARGE:
                return f"the address does not fit in 62 bits; {self._allowed()}"
            case k.BEYOND:
                return f"address 0x{value:x} is beyond the capacity; {self._allowed()}"
            case k.LENGTH:
                lengths = [str(n) for n in range(len(self.orders)) if self.orders[n, 0] >= 0]
                names = ", ".join(_SPOKEN[FIELDS[f]] for f in self.orders[int(lengths[0])] if f >= 0)
                return f"an address with {value} parts; allowed: {' or '.join(lengths)} ({names})"
            case k.COMPONENT:
                found = f"{_SPOKEN[FIELDS[field]]} {value if value >= 0 else 'number'}"
                more = "; give more --channels" if FIELDS[field] == "channel" else ""
                return f"{found} is not there; allowed: 0..{int(self.sizes[field]) - 1}{more}"
            case k.LONG:
                return f"the line is longer than {MAX_LINE_BYTES} bytes; {expected}"
            case k.LATE:
                return f"the cycle is too late; allowed: 0..{self.limits[1]}"
        return expected

    def _allowed(self) -> str:
        left = "" if self.capacity == self.whole else f" that in-line ECC leaves of {self.whole}"
        has = "1 channel" if self.channels == 1 else f"{self.channels} channels"
        return (
            f"{has} of {self.standard.name}: {self.capacity} bytes{left}, "
            f"0x0..0x{self.capacity - 1:x}; give more --channels or a larger --density"
        )

    def trace(self) -> RequestTrace:
        """Return what was read."""
        if not self.count:
            bad = f"; {self.messages[0]}" if self.messages else ""
            raise TraceError(f"{self.origin}: holds no request{bad}")
        writes, addresses, cycles = (np.concatenate(part) for part in zip(*self.parts, strict=True))
        self.parts.clear()
        timed = self.form == "dramsim3"
        moved = 0
        if timed:
            late = np.maximum.accumulate(cycles) > cycles
            moved = int(np.count_nonzero(late))
            if moved:
                order = np.argsort(cycles, kind="stable")
                writes, addresses, cycles = writes[order], addresses[order], cycles[order]
        return RequestTrace(
            form=self.form,
            writes=writes,
            addresses=addresses,
            arrivals=cycles * self.standard.clock_cycles,
            timed=timed,
            lines=int(self.state[k.S_LINE]),
            bad_lines=int(self.state[k.S_BAD]),
            bad_examples=tuple(self.messages),
            moved=moved,
        )


def _guess(content: bytes, last: bool, origin: str, skip_bad: bool) -> Form:
    """Tell the form from the first line that is a request; with `skip_bad`, from the first that looks so.

    'auto' says that more of the text is needed.
    """
    whole = last or len(content) >= _GUESSED_BYTES
    lines = content[:_GUESSED_BYTES].split(b"\n")
    for number, line in enumerate(lines if whole else lines[:-1], 1):
        words = line[:MAX_LINE_BYTES].split()
        if not words or words[0].startswith(b"#"):
            continue
        if words[0].upper() in _RAMULATOR_WORDS:
            return "ramulator"
        if len(words) > 1 and words[1].upper() in _DRAMSIM3_WORDS:
            return "dramsim3"
        if not skip_bad:
            raise TraceError(
                f"{origin}: line {number}: {_shown(line)} is neither of Ramulator 2 nor of DRAMsim3; "
                f"expected {_EXPECTED['ramulator']}, or {_EXPECTED['dramsim3']}"
            )
    return "ramulator" if whole else "auto"


def _shown(line: bytes) -> str:
    """Return the beginning of a line in quotes, what is no letter escaped."""
    text = ascii(line[:_MOST_SHOWN].decode("latin-1").strip())[1:-1]
    return f"'{text}'" if len(line) <= _MOST_SHOWN else f"'{text}...'"


def _field_sizes(standard: Standard, channels: int) -> npt.NDArray[np.int64]:
    shape = standard.organisation
    return np.array(
        [
            channels,
            shape.pseudo_channels,
            shape.ranks,
            shape.groups,
            shape.banks_per_group,
            shape.rows,
            shape.columns,
        ],
        np.int64,
    )


def _vector_orders(sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return, for each length of a vector, the fields that it names; -1 where there is no such length.

    Pseudo-channel and rank may be left out where there is one of them: where both are single and one is
    named, it is the rank, as Ramulator has it; its number can only be 0.
    """
    orders = np.full((len(FIELDS) + 1, len(FIELDS)), -1, np.int64)
    names = list(range(len(FIELDS)))
    orders[len(names)] = names
    for field in (FIELDS.index("pseudo"), FIELDS.index("rank")):
        if sizes[field] == 1:
            names.remove(field)
            orders[len(names), : len(names)] = names
    return orders


def _address_bits(mapping: Mapping) -> npt.NDArray[np.int64]:
    """Return the address at which each bit of each field alone is set: a mapping is linear over XOR."""
    found = np.zeros((len(FIELDS), 32), np.int64)
    for number, field in enumerate(FIELDS):
        for bit in range(mapping.width(field)):
            found[number, bit] = mapping.address_of({field: 1 << bit})
    return found
