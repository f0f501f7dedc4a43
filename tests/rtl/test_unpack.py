"""The unpacker of four-bit weights beside plain NumPy: bits, cycles, other writes, what is no stream."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pytest
from unpack_streams import CORNERS, NibbleStream, corners_of, group_choices, random_stream

from hanok.isa.timing import UNPACK_STAGES
from hanok.machine import Dma
from hanok.rtl.scratchpad import load_port_bytes
from hanok.rtl.simulate import Simulation
from hanok.rtl.unpack import Unpacker

BITS = 14
SHAPES = [(4, 2), (4, 8), (8, 48), (16, 8), (32, 64)]
"""Bytes of a beat and columns: as few columns as may be, and rows of several beats, also of three."""
WIDE_SHAPES = [(4, 4), (16, 128), (32, 192), (64, 32), (128, 64)]
DESIGNS: dict[tuple[int, int, int], Simulation] = {}


def design_of(width: int, columns: int, lanes: int = 0) -> Simulation:
    key = width, columns, lanes
    if key not in DESIGNS:
        DESIGNS[key] = Simulation(Unpacker(dma_of(width, lanes), columns, BITS))
    return DESIGNS[key]


def dma_of(width: int, lanes: int) -> Dma:
    return Dma(bytes_per_cycle=width, outstanding=4, expand_lanes=lanes, int4=True)


Write = tuple[int, bytes]
"""Address and bytes; the mask has the first ones."""


@dataclass
class Script:
    """What comes in each cycle, and what has to be written."""

    width: int
    passed_bytes: int
    rng: np.random.Generator
    inputs: dict[str, list[int]] = field(default_factory=dict)
    writes: dict[int, Write] = field(default_factory=dict)
    bad: list[int] = field(default_factory=list)

    @property
    def cycle(self) -> int:
        return len(self.inputs.get("en", []))

    def idle(self, stream: int = -1) -> None:
        """A cycle without a beat; another write passes by chance. Nothing is known of a next stream."""
        self._cycle(stream if stream >= 0 else int(self.rng.integers(1 << 40)))

    def beat(self, stream: int, content: bytes, ends: bool, weights: bytes, address: int) -> None:
        self._cycle(stream, content, ends)
        if weights:
            self.writes[self.cycle - 1 + UNPACK_STAGES] = address, weights

    def _cycle(self, stream: int, content: bytes = b"", ends: bool = False) -> None:
        passes = not content and self.rng.random() < 0.5
        passed = self.rng.bytes(int(self.rng.integers(1, self.passed_bytes + 1))) if passes else b""
        address = int(self.rng.integers(1 << BITS - 1))
        if passes:
            self.writes[self.cycle + UNPACK_STAGES] = address, passed
        values = {
            "stream": stream,
            "en": int(bool(content)),
            "content": int.from_bytes(content or self.rng.bytes(self.width), "little"),
            "ends": int(ends) if content else int(self.rng.integers(2)),
            "passed__en": int(passes),
            "passed__address": address,
            "passed__data": int.from_bytes(passed, "little"),
            "passed__mask": (1 << len(passed)) - 1,
        }
        for name, value in values.items():
            self.inputs.setdefault(name, []).append(value)


def words_of(values: list[int], bits: int) -> npt.NDArray[np.uint64]:
    """Numbers of so many bits as rows of words."""
    size = -(-bits // 64)
    joined = b"".join(value.to_bytes(8 * size, "little") for value in values)
    return np.frombuffer(joined, np.uint64).reshape(-1, size)


def feed(script: Script, stream: NibbleStream, address: int, gap: float, run_bytes: int = 0) -> None:
    """Send a stream; with other `run_bytes` than it has it is none. A beat of entries writes nothing."""
    width, run = script.width, run_bytes or stream.run_bytes
    known = (run - 1) | address << 32 | stream.group_rows << 32 + BITS
    content, unpacked = stream.content, stream.weights.tobytes()
    at = written = 0
    while at < len(content):
        while script.rng.random() < gap:
            script.idle(known if at else -1)
        in_group = at % stream.group_bytes
        weighs = in_group >= stream.entry_bytes
        fits = written + 2 * width <= run
        weights = unpacked[written : written + 2 * width] if weighs and fits else b""
        ends = at + width == len(content)
        ends_well = in_group + width == stream.group_bytes and written + 2 * width == run
        if (weighs and not fits) or (ends and not ends_well):
            script.bad.append(script.cycle + UNPACK_STAGES - 1)
        script.beat(known, content[at : at + width], ends, weights, (address + written) % (1 << BITS))
        at, written = at + width, written + (2 * width if weighs else 0)


def play(design: Simulation, script: Script, port_bytes: int) -> None:
    """Run a script; compare every write, and when a stream is found to be none."""
    for _ in range(UNPACK_STAGES + 1):
        script.idle()
    design.reset()
    sizes = {"content": 8 * script.width, "passed__data": 8 * script.passed_bytes}
    inputs = {
        name: words_of(values, sizes.get(name, 64 if name != "passed__mask" else script.passed_bytes))
        for name, values in script.inputs.items()
    }
    names = ["sram__en", "sram__address", "sram__mask", "sram__data", "bad"]
    found = design.run(script.cycle, inputs, names)
    expected = {cycle: write for cycle, write in script.writes.items() if cycle < script.cycle}
    data = found["sram__data"].reshape(script.cycle, -1).copy().view(np.uint8)
    masks = found["sram__mask"].reshape(script.cycle, -1).copy().view(np.uint8)
    seen = {}
    for cycle in np.flatnonzero(found["sram__en"]).tolist():
        mask = int.from_bytes(masks[cycle].tobytes(), "little")
        size = mask.bit_count()
        assert mask == (1 << size) - 1
        assert size <= port_bytes
        seen[cycle] = int(found["sram__address"][cycle]), data[cycle, :size].tobytes()
    assert seen == expected
    assert np.flatnonzero(found["bad"]).tolist() == script.bad


def run_streams(width: int, columns: int, lanes: int, seed: int, count: int) -> Counter[str]:
    """Streams one behind the other, with gaps and without, and other writes in the gaps."""
    rng = np.random.default_rng(seed)
    script, reached = Script(width, max(width, lanes), rng), Counter[str]()
    for _ in range(count):
        stream = random_stream(rng, width, columns)
        reached += Counter(corners_of(stream))
        address = int(rng.integers((1 << BITS - 1) - stream.run_bytes))
        feed(script, stream, address, rng.choice([0, 0, 0.3, 0.8]))
        for _ in range(int(rng.choice([0, 0, 3]))):
            script.idle()
    play(design_of(width, columns, lanes), script, load_port_bytes(dma_of(width, lanes)))
    return reached


@pytest.mark.parametrize(("width", "columns"), SHAPES)
def test_every_weight_is_numpys_two_cycles_later(width: int, columns: int) -> None:
    reached = run_streams(width, columns, 0, seed=width, count=30)
    assert [corner for corner in CORNERS if not reached[corner]] == []


@pytest.mark.parametrize("lanes", [16, 64])
def test_writes_of_a_decoder_of_any_width_pass(lanes: int) -> None:
    run_streams(8, 48, lanes, seed=lanes, count=10)


@pytest.mark.slow
@pytest.mark.parametrize(("width", "columns"), SHAPES + WIDE_SHAPES)
def test_many_streams_of_every_shape(width: int, columns: int) -> None:
    for seed in range(5):
        run_streams(width, columns, 0, seed=100 + seed, count=60)


def test_every_nibble_with_every_zero_and_every_scale() -> None:
    """All 16 x 16 x 4096 cases: a group for each zero and each 8 scales, whose rows have all nibbles."""
    width, columns = 4, 8
    design, rng = design_of(width, columns), np.random.default_rng(1)
    nibbles = np.tile(np.arange(16, dtype=np.uint8)[:, None], (512, 8))
    for zero in range(16):
        script = Script(width, width, rng)
        scales = np.arange(4096, dtype=np.uint16).reshape(512, 8)
        stream = NibbleStream.of(nibbles, scales, np.full((512, 8), zero, np.uint16))
        feed(script, stream, 0, 0)
        play(design, script, 2 * width)


def broken(name: str, stream: NibbleStream, width: int) -> tuple[bytes, int]:
    """Content and unpacked bytes that are no stream."""
    whole, run, group = stream.content, stream.run_bytes, stream.group_bytes
    more = whole + whole[:group]
    return {
        "ends with its first beat": (whole[:width], run),
        "ends with entries": (whole[: group + stream.entry_bytes], run),
        "ends within entries": (whole[: group + width], run),
        "ends within a group": (whole[:-width], run),
        "group and bytes end too soon": (whole[:-width], run - 2 * width),
        "entries in place of the last weights": (whole[: group + stream.entry_bytes], run // 3 + 2 * width),
        "a group is missing": (whole[:-group], run),
        "a group too many": (more, run),
        "a beat too many": (more[: len(whole) + stream.entry_bytes + width], run),
        "bytes short of a beat": (whole, run - 1),
        "a byte too many": (whole, run + 1),
        "one byte": (whole, 1),
    }[name]


BROKEN = (
    "ends with its first beat", "ends with entries", "ends within entries", "ends within a group",
    "group and bytes end too soon", "entries in place of the last weights", "a group is missing",
    "a group too many", "a beat too many", "bytes short of a beat", "a byte too many", "one byte",
)  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize(("width", "columns"), [(4, 2), (8, 48), (16, 8)])
def test_what_is_no_stream_is_told_and_writes_nothing_behind_its_bytes(
    width: int, columns: int, name: str
) -> None:
    rng = np.random.default_rng(len(name))
    rows = 2 * group_choices(width, columns)[0]
    stream = random_stream(rng, width, columns, rows, groups=3)
    content, run = broken(name, stream, width)
    part = NibbleStream(stream.columns, stream.group_rows, content)
    script = Script(width, width, rng)
    feed(script, part, 100, 0.2, run)
    assert script.bad
    unpacked = [write for write in script.writes.values() if len(write[1]) == 2 * width]
    assert all(address >= 100 and address + len(weights) <= 100 + run for address, weights in unpacked)
    play(design_of(width, columns), script, 2 * width)
