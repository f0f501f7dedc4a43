"""Program files (.hanok): one checked container, written whole or not at all.

Layout, little-endian: magic (8 bytes), format version (u4), zero (u4), file size (u8), header size (u8),
SHA-256 of every other byte (32), header (JSON: every field of Program; a `bytes` value or an array is a
range of the blobs), blobs. The header names no Python type: the records of `hanok.isa.program` say what
is read.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from hanok.errors import HanokError, ProgramError
from hanok.isa._fields import pack, unpack
from hanok.isa.encoding import decode
from hanok.isa.program import Program

MAGIC = b"HANOK\r\n\x1a"
FORMAT_VERSION = 3
"""Raised with `ISA_VERSION` too: a program of older instructions means something else."""
MAX_FILE_BYTES = 1 << 30
MAX_HEADER_BYTES = 1 << 22
_PREFIX = struct.Struct("<8sIIQQ")
_DIGEST_BYTES = 32
_CHUNK_BYTES = 1 << 20


def save_program(program: Program, path: str | Path) -> None:
    """Write `program` to `path` through a temporary file; the same program always gives the same bytes."""
    target = Path(path)
    blobs: list[bytes] = []
    header = json.dumps(pack(program, blobs), separators=(",", ":"), allow_nan=False).encode()
    size = _PREFIX.size + _DIGEST_BYTES + len(header) + sum(map(len, blobs))
    if size > MAX_FILE_BYTES or len(header) > MAX_HEADER_BYTES:
        raise ProgramError(
            f"{target}: the program would take {size} bytes, its header {len(header)}; allowed: "
            f"{MAX_FILE_BYTES} and {MAX_HEADER_BYTES}"
        )
    prefix = _PREFIX.pack(MAGIC, FORMAT_VERSION, 0, size, len(header))
    digest = hashlib.sha256(prefix)
    for part in (header, *blobs):
        digest.update(part)
    _write(target, [prefix, digest.digest(), header, *blobs])


def _write(target: Path, parts: list[bytes]) -> None:
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("xb") as file:
            for part in parts:
                file.write(part)
        os.replace(temporary, target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ProgramError(f"{target}: cannot be written: {error.strerror}") from None


def load_program(path: str | Path) -> Program:
    """Read a program file; raise ProgramError if it is damaged, of another version, or not one at all.

    The instructions are decoded but not verified: call `hanok.compiler.verify.verify_program` before running.
    """
    source = Path(path)
    try:
        if not source.is_file():
            raise ProgramError(f"{source}: there is no such file")
        with source.open("rb") as file:
            return _read(file, source.stat().st_size, str(source))
    except OSError as error:
        raise ProgramError(f"{source}: cannot be read: {error.strerror}") from None


def _read(file: BinaryIO, actual_bytes: int, origin: str) -> Program:
    prefix = file.read(_PREFIX.size)
    if len(prefix) < _PREFIX.size or prefix[:8] != MAGIC:
        raise ProgramError(f"{origin}: not a hanok program file; make one with `hanok compile`")
    _, version, reserved, size, header_bytes = _PREFIX.unpack(prefix)
    if version != FORMAT_VERSION:
        remedy = "update hanok, or compile" if version > FORMAT_VERSION else "compile"
        raise ProgramError(
            f"{origin}: format version {version}; this hanok reads {FORMAT_VERSION}: {remedy} the model again"
        )
    if size != actual_bytes:
        raise ProgramError(f"{origin}: {actual_bytes} bytes where {size} are promised: cut short or damaged")
    if size > MAX_FILE_BYTES or header_bytes > min(MAX_HEADER_BYTES, size - _PREFIX.size - _DIGEST_BYTES):
        raise ProgramError(f"{origin}: {size} bytes with a header of {header_bytes}; damaged, or too large")
    stored = file.read(_DIGEST_BYTES)
    digest = hashlib.sha256(prefix)
    for chunk in iter(lambda: file.read(_CHUNK_BYTES), b""):
        digest.update(chunk)
    if digest.digest() != stored or reserved:
        raise ProgramError(f"{origin}: the checksum is wrong: the file is damaged; compile the model again")
    file.seek(_PREFIX.size + _DIGEST_BYTES)
    header = file.read(header_bytes)
    blobs = file.read()
    try:
        content = json.loads(header.decode(), parse_constant=_refuse_constant)
        program: Program = unpack(Program, content, memoryview(blobs), "program")
        for fault in _faults(program):
            raise ProgramError(fault)
    except (ValueError, RecursionError, HanokError) as error:
        raise ProgramError(f"{origin}: {error}") from None
    return program


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} in the header")


def _faults(program: Program) -> Iterator[str]:
    """What does not fit together: places in DRAM, permutations, and the layer of each instruction."""
    ranges = [("constants", program.constants_address, len(program.constants))]
    ranges += [(f"region '{region.name}'", region.address, region.size_bytes) for region in program.regions]
    for binding in program.bindings:
        if (
            sorted(binding.permutation) != list(range(len(binding.shape)))
            or min(binding.shape, default=0) < 0
        ):
            yield f"binding '{binding.name}': shape {binding.shape} with permutation {binding.permutation}"
        size = binding.element_bytes
        if size not in (1, 4):
            yield f"binding '{binding.name}': elements of {size} bytes"
        for extent in binding.shape:
            size *= extent
        ranges.append((f"binding '{binding.name}'", binding.address, size))
    for number, stage in enumerate(program.npu_stages):
        ranges.append((f"code of stage {number}", stage.code_address, len(stage.code)))
        layers = stage.layer_of
        if layers.shape != (len(decode(stage.code)),) or layers.dtype != "<i4":
            yield f"stage {number}: {layers.size} layer numbers for {len(decode(stage.code))} instructions"
        elif layers.size and not 0 <= int(layers.min()) <= int(layers.max()) < len(program.layers):
            yield f"stage {number}: a layer number outside 0..{len(program.layers) - 1}"
    for name, address, size in ranges:
        if address < 0 or size < 0 or address + size > program.dram_bytes:
            place = f"bytes {address}..{address + size}"
            yield f"{name}: {place} outside the program's DRAM of {program.dram_bytes}"
    if program.dram_bytes > program.chip.memory.capacity_mib << 20:
        capacity = program.chip.memory.capacity_mib
        yield f"{program.dram_bytes} bytes of DRAM are more than the chip's {capacity} MiB"
