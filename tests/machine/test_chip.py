"""Chip descriptions: presets with a source for every figure, and bad files refused by field."""

from __future__ import annotations

import copy
import time
import tomllib
from typing import Any

import pytest

from hanok.dram import get_standard, make_state
from hanok.dram.standard import Standard
from hanok.errors import ChipError
from hanok.machine import Chip, chip_toml, preset_names

PRESETS = (
    "auto",
    "edge",
    "gemmini-16",
    "hbm2-128",
    "nano",
    "nvdla-1024",
    "nvdla-256",
    "nvdla-64",
    "server",
    "u55-128",
    "u55-256",
    "u55-64",
)
FIGURES = ("clock_mhz", "core", "memory", "technology")


def leaves(content: dict[str, Any], path: str = "") -> list[str]:
    """Dotted names of every figure, the defaulted ones too."""
    names = []
    for key, value in content.items():
        name = f"{path}.{key}" if path else key
        names += leaves(value, name) if isinstance(value, dict) else [name]
    return names


def covers(source: str, figure: str) -> bool:
    return figure == source or figure.startswith(source + ".")


def test_the_presets_are_these():
    assert preset_names() == PRESETS


@pytest.mark.parametrize("name", PRESETS)
def test_every_figure_of_a_preset_has_a_source(name):
    chip = Chip.load(name)
    assert chip.name == name
    assert chip.description
    figures = leaves({key: chip.model_dump()[key] for key in FIGURES})
    for figure in figures:
        assert any(covers(source, figure) for source in chip.sources), f"{name}: {figure} has no source"
    for source, text in chip.sources.items():
        assert any(covers(source, figure) for figure in figures), f"{name}: {source} is no figure"
        assert len(text) > 10


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_sets_every_figure_but_defaults_of_the_form(name):
    """What is written in the TOML is what is loaded: nothing is left to a default unseen."""
    written = leaves({key: tomllib.loads(chip_toml(name))[key] for key in FIGURES})
    assert written == leaves({key: Chip.load(name).model_dump()[key] for key in FIGURES})


@pytest.mark.parametrize("name", PRESETS)
def test_memory_is_known_and_large_enough(name):
    chip = Chip.load(name)
    standard = get_standard(chip.memory.standard)
    if isinstance(standard, Standard):
        assert chip.memory.capacity_mib << 20 <= standard.channel_bytes * chip.memory.channels
    dma_bytes_per_second = chip.core.dma.bytes_per_cycle * chip.clock_mhz * 1e6
    assert dma_bytes_per_second >= standard.peak_bytes_per_second * chip.memory.channels


def test_figures_that_the_presets_promise():
    tops = {name: Chip.load(name).peak_tops for name in PRESETS}
    assert tops["edge"] == pytest.approx(2 * 64 * 128 * 1.2e9 / 1e12)
    assert tops["auto"] == pytest.approx(32.768)
    assert tops["server"] > 150
    for macs in (64, 128, 256):
        assert Chip.load(f"u55-{macs}").core.matrix.macs == macs
    for macs in (64, 256, 1024):
        assert Chip.load(f"nvdla-{macs}").core.matrix.macs == macs
    edge = Chip.load("edge")
    bandwidth = get_standard(edge.memory.standard).peak_bytes_per_second * edge.memory.channels
    assert bandwidth == pytest.approx(68.27e9, rel=1e-3)


@pytest.mark.parametrize("name", PRESETS)
def test_a_chip_has_the_ecc_that_its_preset_says(name):
    memory = Chip.load(name).memory
    assert memory.ecc == ("on_die" if name == "server" else "none")
    make_state(memory)


def test_nano_fits_the_block_ram_of_its_fpga():
    """LFE5U-85: 208 block RAMs of 18 Kbit, used as 2 KiB each."""
    core = Chip.load("nano").core
    accumulators = core.matrix.accumulator_banks * core.matrix.accumulator_rows * core.matrix.columns * 4
    used = core.sram.total_bytes + accumulators + core.control.fetch_buffer_bytes + 1024
    assert used / 2048 < 0.75 * 208


def content() -> dict[str, Any]:
    return tomllib.loads(chip_toml("edge"))


BAD: list[tuple[str, Any, str]] = [
    ("core.sram.banks", 0, r"core\.sram\.banks: Input should be greater than or equal to 8 \(found '0'\)"),
    ("core.sram.banks", "64", r"core\.sram\.banks: Input should be a valid integer"),
    ("core.sram.banks", 64.0, r"core\.sram\.banks: Input should be a valid integer"),
    ("core.sram.banks", True, r"core\.sram\.banks: Input should be a valid integer"),
    ("core.sram.bank_bytes", 1000, r"core\.sram\.bank_bytes: .*1000 is not a multiple of 64"),
    ("core.sram.colour", "red", r"core\.sram\.colour: Extra inputs are not permitted"),
    ("core.matrix.rows", -8, r"core\.matrix\.rows"),
    ("core.matrix.rows", 1 << 70, r"core\.matrix\.rows"),
    ("core.matrix.columns", 3, r"core\.matrix\.columns"),
    ("core.vector.lanes", 100, r"core\.vector\.lanes: .*100 is not a power of two"),
    ("core.vector.pipeline.batch", 48, r"core\.vector\.pipeline\.batch: .*48 is not a power of two"),
    ("core.vector.pipeline.table_words", 3, r"pipeline\.table_words: .*3 is not a power of two"),
    ("core.vector.pipeline.fused", 0, r"pipeline\.fused: Input should be greater than or equal to 1"),
    ("core.vector.pipeline.division_bits", 27, r"division_bits: Input should be less than or equal to 26"),
    ("core.vector.pipeline.dividers", 26, r"core\.vector: .*dividers is 26; allowed: at most 25, the places"),
    ("core.vector.lanes", 4, r"core\.vector: .*pipeline\.table_words is 8; allowed: at most 4, the lanes"),
    ("core.vector.pipeline_cycles", 16, r"core\.vector\.pipeline_cycles: Extra inputs are not permitted"),
    ("core.control.semaphore_limit", 32, r"semaphore_limit must be larger than queue_depth"),
    ("memory.channels", 3, r"memory\.channels: .*3 is not a power of two"),
    ("memory.standard", "", r"memory\.standard"),
    ("memory.controller.refresh", "yes", r"refresh: Input should be 'all_bank', 'per_bank' or 'none'"),
    ("memory.ecc", "chipkill", r"memory\.ecc: Input should be 'none', 'on_die', 'side_band' or 'both'"),
    ("memory.ecc", None, r"memory\.ecc: Input should be 'none', 'on_die'"),
    ("clock_mhz", 0, r"clock_mhz"),
    ("clock_mhz", float("nan"), r"clock_mhz"),
    ("technology.node_nm", float("nan"), r"technology\.node_nm"),
    ("technology.node_nm", float("inf"), r"technology\.node_nm"),
    ("cores", 2, r"cores: Input should be less than or equal to 1"),
    ("name", "../etc/passwd", r"name"),
    ("name", 5, r"name: Input should be a valid string"),
    ("core", [], r"core: "),
    ("sources", {"clock_mhz": 5}, r"sources\.clock_mhz: Input should be a valid string"),
    ("extra", 1, r"extra: Extra inputs are not permitted"),
]


@pytest.mark.parametrize(("field", "value", "message"), BAD, ids=lambda value: str(value)[:30])
def test_a_bad_field_is_named(field, value, message):
    bad = copy.deepcopy(content())
    *parents, last = field.split(".")
    place = bad
    for name in parents:
        place = place[name]
    place[last] = value
    with pytest.raises(ChipError, match=rf"my\.toml: .*({message})"):
        Chip.from_dict(bad, "my.toml")


@pytest.mark.parametrize(
    ("columns", "width"), [(128, 48), (24, 64), (96, 64), (128, 512), (12, 8), (4, 16)], ids=str
)
def test_an_unpacker_needs_beats_that_go_into_rows_or_rows_into_beats(columns, width):
    bad = content()
    bad["core"]["matrix"]["columns"], bad["core"]["dma"]["bytes_per_cycle"] = columns, width
    with pytest.raises(
        ChipError,
        match=rf"core\.dma\.int4: a beat of {width} bytes holds {2 * width} weights, and the array has "
        rf"{columns} columns; allowed: core\.dma\.bytes_per_cycle a power of two, at most twice the columns",
    ):
        Chip.from_dict(bad, "my.toml")
    bad["core"]["dma"]["int4"] = False
    assert not Chip.from_dict(bad, "my.toml").core.dma.int4


def test_presets_with_weights_of_four_bits():
    assert {name for name in PRESETS if Chip.load(name).core.dma.int4} == {"auto", "edge"}


def test_sram_too_small_for_one_tile():
    bad = content()
    bad["core"]["sram"] = {"banks": 16, "bank_bytes": 1024}
    with pytest.raises(
        ChipError, match=r"core\.sram: 16384 bytes cannot hold two weight tiles of 8192 bytes"
    ):
        Chip.from_dict(bad, "my.toml")


@pytest.mark.parametrize("field", ["name", "clock_mhz", "core", "memory"])
def test_a_missing_field_is_named(field):
    bad = content()
    del bad[field]
    with pytest.raises(ChipError, match=rf"my\.toml: {field}: Field required"):
        Chip.from_dict(bad, "my.toml")


def refused(path) -> str:
    begin = time.process_time()
    with pytest.raises(ChipError) as caught:
        Chip.load(path)
    assert time.process_time() - begin < 2
    return str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 30_000,
        "a = " + "[" * 30_000 + "]" * 30_000,
        "a = " + "{b = " * 10_000,
        ".".join("a" * 30_000) + " = 1",
        "[" + ".".join("a" * 30_000) + "]",
        "\n".join("a" + ".a" * 300 + f"{n} = 1" for n in range(60)),
        "a = " + "9" * 60_000,
        'a = "' + "x" * 60_000,
        "\n".join(f"[t{n}]" for n in range(7_000)),
        "= = =",
        "a = 1\na = 2",
        "\x00",
        "a = 1979-13-45",
    ],
    ids=lambda text: repr(text[:12]),
)
def test_hostile_toml(tmp_path, text):
    path = tmp_path / "chip.toml"
    path.write_text(text)
    assert str(path) in refused(path)


def test_files_that_are_no_chip(tmp_path):
    known = "presets: " + ", ".join(PRESETS)
    assert f"'{tmp_path / 'none'}' is neither a chip file nor a preset; {known}" in refused(tmp_path / "none")
    assert "neither a chip file nor a preset" in refused(tmp_path)
    assert "neither a chip file nor a preset" in refused("edge\0")
    assert "neither a chip file nor a preset" in refused("x" * 5_000)
    binary = tmp_path / "binary.toml"
    binary.write_bytes(bytes(range(256)))
    assert "cannot be read as UTF-8 text" in refused(binary)
    huge = tmp_path / "huge.toml"
    with huge.open("wb") as file:
        file.truncate(1 << 40)
    assert "a chip file has at most 65536" in refused(huge)
    empty = tmp_path / "empty.toml"
    empty.write_text("")
    assert "name: Field required" in refused(empty)


def test_a_chip_file_is_loaded_by_path(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(chip_toml("edge").replace('name = "edge"', 'name = "mine"'))
    chip = Chip.load(path)
    assert chip.name == "mine"
    assert chip.core == Chip.load("edge").core
