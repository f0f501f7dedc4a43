"""A compiled program as text: summary, memory map, layers, and assembly with the origin of each line."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np

from hanok.errors import HanokError
from hanok.isa import Program, Unit, decode, disassemble
from hanok.report.text import clean, scaled
from hanok.units import readable_bytes


class SelectionError(HanokError):
    """A layer that the program does not have."""


def listing(program: Program, *, layer: str = "", limit: int = 0) -> Iterator[str]:
    """Give the lines: of one `layer` (number, name or ONNX node) or all, at most `limit` of assembly."""
    wanted = _layer_number(program, layer) if layer else None
    return _lines(program, wanted, limit)


def _lines(program: Program, layer: int | None, limit: int) -> Iterator[str]:
    if layer is None:
        yield from _summary(program)
        yield from _memory_map(program)
        yield from _layers(program)
    yield from _assembly(program, layer, limit)


def _layer_number(program: Program, text: str) -> int:
    if text.isdecimal() and int(text) < len(program.layers):
        return int(text)
    for number, layer in enumerate(program.layers):
        if text == layer.name or text in layer.onnx_nodes:
            return number
    last = len(program.layers) - 1
    raise SelectionError(f"no layer '{text}'; allowed: 0..{last}, a layer's name, or an ONNX node's name")


def _summary(program: Program) -> Iterator[str]:

    macs = sum(layer.macs for layer in program.layers)
    yield f"program   {clean(program.name)}"
    yield f"chip      {program.chip.name}: {clean(program.chip.description)}"
    for title, infos in (("input", program.inputs), ("output", program.outputs)):
        for info in infos:
            shape = " x ".join(map(str, info.shape)) or "scalar"
            yield f"{title:9} {clean(info.name)}: {info.dtype} {shape}{_placed(program, info.name)}"
    yield f"layers    {len(program.layers)}, {scaled(macs, 'MAC')}"
    for name, onnx_type in program.host_operators:
        yield f"host      {clean(onnx_type)} '{clean(name)}'"
    for key, value in program.metadata.items():
        yield f"note      {clean(key)}: {clean(value)}"
    for warning in program.warnings:
        yield f"warning   {clean(warning)}"


def _placed(program: Program, name: str) -> str:
    binding = program.binding(name)
    if binding is None:
        return ", on the host"
    return f", in DRAM at 0x{binding.address:x}, scale {binding.scale:.6g}, zero point {binding.zero_point}"


def _memory_map(program: Program) -> Iterator[str]:

    yield ""
    capacity = program.chip.memory.capacity_mib << 20
    yield f"DRAM, {readable_bytes(program.dram_bytes)} of {readable_bytes(capacity)}"
    for region in program.regions:
        size = readable_bytes(region.size_bytes)
        yield f"  0x{region.address:010x}  {size:>9}  {region.kind.value:10}  {clean(region.name)}"


def _layers(program: Program) -> Iterator[str]:
    if not program.layers:
        return

    yield ""
    yield "layers"
    for number, layer in enumerate(program.layers):
        nodes = clean(", ".join(layer.onnx_nodes))
        macs = scaled(layer.macs, "MAC") if layer.macs else ""
        parts = (
            f"{number:4}",
            clean(layer.name),
            clean(layer.onnx_type),
            macs,
            clean(layer.mapping),
            f"[{nodes}]",
        )
        yield "  ".join(part for part in parts if part)


def _assembly(program: Program, layer: int | None, limit: int) -> Iterator[str]:
    left = limit or sys.maxsize
    for number, stage in enumerate(program.npu_stages):
        chosen = np.arange(len(stage.layer_of)) if layer is None else np.flatnonzero(stage.layer_of == layer)
        yield from _stage_lines(program, number, chosen[:left].tolist())
        left -= len(chosen)
        if left < 0:
            yield "... (--limit 0 shows all; --layer NUMBER shows one layer)"
            return


def _stage_lines(program: Program, number: int, indices: list[int]) -> Iterator[str]:
    """Assembly of the chosen instructions, with a line before each run of one layer."""
    stage = program.npu_stages[number]
    decoded = decode(stage.code)
    current = -1
    for index in indices:
        owner = int(stage.layer_of[index])
        if owner != current:
            origin = program.layers[owner]
            nodes = clean(", ".join(origin.onnx_nodes))
            yield f"\n# stage {number}, layer {owner}: {clean(origin.name)} ({nodes})"
            current = owner
        unit = Unit(int(decoded.unit[index])).name.lower()
        address = int(decoded.offset_bytes[index]) + stage.code_address
        yield f"{index:7}  {address:08x}  {unit:6}  {disassemble(decoded, index)}"
