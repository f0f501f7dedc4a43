"""A core as an IP-XACT component (IEEE 1685-2014): buses, registers, ports, files."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence

from hanok.machine import Chip
from hanok.rtl.interface import CLOCK, INTERRUPT, RESET, Bus, CorePort, Interface
from hanok.rtl.register_map import ADDRESS_BITS, REGISTERS, Access, Register, RegisterField

NAMESPACE = "http://www.accellera.org/XMLSchema/IPXACT/1685-2014"
_INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
VENDOR, LIBRARY = "hanok", "npu"
_AMBA = {"vendor": "amba.com", "library": "AMBA4", "version": "r0p0_0"}
_SIGNALS = {CLOCK: ("clock", "CLK"), RESET: ("reset", "RST"), INTERRUPT: ("interrupt", "INTERRUPT")}
"""Ports that are no part of AXI, as bus types of their own: the kind that most tools know, and its port."""
_SIGNAL_TYPES = {"vendor": "xilinx.com", "library": "signal", "version": "1.0"}
_LEVELS = {"reset": ("POLARITY", "ACTIVE_HIGH"), "interrupt": ("SENSITIVITY", "LEVEL_HIGH")}
_MEMORY_MAP = "control"
_WRITES = {
    Access.WRITE_ONE_TO_CLEAR: "oneToClear",
    Access.WRITE_ONE_TO_SET: "oneToSet",
}
_SUFFIXES = {".v": "verilogSource", ".xml": "unknown", ".h": "cSource", ".sdc": "SDC"}


def ip_xact(
    chip: Chip, top: str, version: str, interface: Interface, sources: Sequence[str], others: Sequence[str]
) -> str:
    """Return the component's XML; `sources` are the Verilog files in their order, paths from the XML file."""
    ET.register_namespace("ipxact", NAMESPACE)
    ET.register_namespace("xsi", _INSTANCE)
    root = ET.Element(_name("component"))
    root.set(f"{{{_INSTANCE}}}schemaLocation", f"{NAMESPACE} {NAMESPACE}/index.xsd")
    for name, value in (("vendor", VENDOR), ("library", LIBRARY), ("name", top), ("version", version)):
        _add(root, name, value)
    _add_buses(root, interface)
    _add_address_spaces(root, interface)
    _add_memory_map(root)
    _add_model(root, top, interface)
    _add_files(root, sources, others)
    _add(root, "description", f"NPU core of chip '{chip.name}'. {chip.description}".strip())
    _add_parameters(root, chip)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _name(tag: str) -> str:
    return f"{{{NAMESPACE}}}{tag}"


def _add(parent: ET.Element, tag: str, text: str | int | None = None) -> ET.Element:
    child = ET.SubElement(parent, _name(tag))
    if text is not None:
        child.text = str(text)
    return child


def _add_buses(root: ET.Element, interface: Interface) -> None:
    buses = _add(root, "busInterfaces")
    for bus in interface.buses:
        abstraction = _add_bus(buses, bus.prefix, bus.meaning, "AXI4-Lite" if bus.is_lite else "AXI4", bus)
        for port in interface.of_bus(bus):
            _map_port(abstraction, port.signal, port.name)
        _map_port(abstraction, "ACLK", CLOCK)
    names = {port.name for port in interface.ports}
    for lone, (kind, logical) in _SIGNALS.items():
        if lone in names:
            _map_port(_add_signal(buses, lone, kind), logical, lone)


def _add_bus(buses: ET.Element, name: str, meaning: str, kind: str, bus: Bus) -> ET.Element:
    """Add an AXI interface; return the place of its port maps."""
    found = _add(buses, "busInterface")
    _add(found, "name", name)
    _add(found, "description", meaning)
    _reference(found, "busType", {**_AMBA, "name": kind})
    maps = _abstraction(found, {**_AMBA, "name": f"{kind}_rtl"})
    if bus.is_master:
        _add(_add(found, "master"), "addressSpaceRef").set("addressSpaceRef", bus.prefix)
    else:
        _add(_add(found, "slave"), "memoryMapRef").set("memoryMapRef", _MEMORY_MAP)
    return maps


def _add_signal(buses: ET.Element, name: str, kind: str) -> ET.Element:
    found = _add(buses, "busInterface")
    _add(found, "name", name)
    _reference(found, "busType", {**_SIGNAL_TYPES, "name": kind})
    maps = _abstraction(found, {**_SIGNAL_TYPES, "name": f"{kind}_rtl"})
    _add(found, "master" if kind == "interrupt" else "slave")
    if kind in _LEVELS:
        parameter = _add(_add(found, "parameters"), "parameter")
        parameter.set("parameterId", f"{name}_level")
        for tag, text in zip(("name", "value"), _LEVELS[kind], strict=True):
            _add(parameter, tag, text)
    return maps


def _abstraction(interface: ET.Element, reference: dict[str, str]) -> ET.Element:
    abstraction = _add(_add(interface, "abstractionTypes"), "abstractionType")
    _reference(abstraction, "abstractionRef", reference)
    return _add(abstraction, "portMaps")


def _reference(parent: ET.Element, tag: str, reference: dict[str, str]) -> None:
    found = _add(parent, tag)
    for name in ("vendor", "library", "name", "version"):
        found.set(name, reference[name])


def _map_port(maps: ET.Element, logical: str, physical: str) -> None:
    found = _add(maps, "portMap")
    _add(_add(found, "logicalPort"), "name", logical)
    _add(_add(found, "physicalPort"), "name", physical)


def _add_address_spaces(root: ET.Element, interface: Interface) -> None:
    spaces = _add(root, "addressSpaces")
    for bus in interface.buses:
        if not bus.is_master:
            continue
        space = _add(spaces, "addressSpace")
        _add(space, "name", bus.prefix)
        bits = max(interface.bits(bus, "ARADDR"), interface.bits(bus, "AWADDR"))
        _add(space, "range", 1 << bits)
        _add(space, "width", max(interface.bits(bus, "RDATA"), interface.bits(bus, "WDATA")))
    if not len(spaces):
        root.remove(spaces)


def _add_memory_map(root: ET.Element) -> None:
    memory_map = _add(_add(root, "memoryMaps"), "memoryMap")
    _add(memory_map, "name", _MEMORY_MAP)
    block = _add(memory_map, "addressBlock")
    _add(block, "name", "registers")
    _add(block, "baseAddress", 0)
    _add(block, "range", 1 << ADDRESS_BITS)
    _add(block, "width", 32)
    _add(block, "usage", "register")
    for register in REGISTERS:
        _add_register(block, register)
    _add(memory_map, "addressUnitBits", 8)


def _add_register(block: ET.Element, register: Register) -> None:
    found = _add(block, "register")
    _add(found, "name", register.name)
    _add(found, "description", register.meaning)
    _add(found, "addressOffset", f"'h{register.offset:X}")
    _add(found, "size", 32)
    is_constant = register.name in ("identifier", "isa_version")
    is_kept = is_constant or register.access is Access.READ_WRITE
    _add(found, "volatile", "false" if is_kept else "true")
    is_read_only = register.access is Access.READ_ONLY
    _add(found, "access", "read-only" if is_read_only else "read-write")
    whole = (RegisterField("value", 0, 32, register.meaning),)
    for part in register.fields or whole:
        _add_field(found, register, part)


def _add_field(parent: ET.Element, register: Register, part: RegisterField) -> None:
    found = _add(parent, "field")
    _add(found, "name", part.name)
    _add(found, "description", part.meaning)
    _add(found, "bitOffset", part.bit)
    mask = (1 << part.bits) - 1
    _add(_add(_add(found, "resets"), "reset"), "value", f"'h{register.reset >> part.bit & mask:X}")
    _add(found, "bitWidth", part.bits)
    is_read_only = register.access is Access.READ_ONLY or (register.name, part.name) == ("status", "busy")
    _add(found, "access", "read-only" if is_read_only else "read-write")
    if register.access in _WRITES and not is_read_only:
        _add(found, "modifiedWriteValue", _WRITES[register.access])


def _add_model(root: ET.Element, top: str, interface: Interface) -> None:
    model = _add(root, "model")
    view = _add(_add(model, "views"), "view")
    _add(view, "name", "rtl")
    _add(view, "envIdentifier", "verilogSource:*Synthesis:")
    _add(view, "componentInstantiationRef", "verilog")
    found = _add(_add(model, "instantiations"), "componentInstantiation")
    _add(found, "name", "verilog")
    _add(found, "language", "verilog")
    _add(found, "moduleName", top)
    _add(_add(found, "fileSetRef"), "localName", "rtl")
    ports = _add(model, "ports")
    for port in interface.ports:
        _add_port(ports, port)


def _add_port(ports: ET.Element, port: CorePort) -> None:
    found = _add(ports, "port")
    _add(found, "name", port.name)
    wire = _add(found, "wire")
    _add(wire, "direction", "in" if port.is_input else "out")
    if port.bits > 1:
        vector = _add(_add(wire, "vectors"), "vector")
        _add(vector, "left", port.bits - 1)
        _add(vector, "right", 0)


def _add_files(root: ET.Element, sources: Sequence[str], others: Sequence[str]) -> None:
    sets = _add(root, "fileSets")
    for name, files in (("rtl", sources), ("companions", others)):
        if not files:
            continue
        found = _add(sets, "fileSet")
        _add(found, "name", name)
        for path in files:
            file = _add(found, "file")
            _add(file, "name", path)
            suffix = path[path.rindex(".") :]
            _add(file, "fileType", _SUFFIXES.get(suffix, "unknown"))


def _add_parameters(root: ET.Element, chip: Chip) -> None:
    found = _add(_add(root, "parameters"), "parameter")
    found.set("parameterId", "clock_mhz")
    found.set("type", "int")
    _add(found, "name", "clock_mhz")
    _add(found, "value", chip.clock_mhz)
