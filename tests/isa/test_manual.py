"""docs/isa.md is what the table prints today, and it leaves nothing out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hanok.isa import INSTRUCTIONS, Destination, Operand, Reduction, Source, Step, Unit
from hanok.isa.manual import manual_text

DOCUMENT = Path(__file__).parents[2] / "docs" / "isa.md"


def test_the_document_is_current():
    assert DOCUMENT.read_text("utf-8") == manual_text(), "run: python -m hanok.isa.manual > docs/isa.md"


def test_the_module_prints_it():
    printed = subprocess.run(
        [sys.executable, "-m", "hanok.isa.manual"], capture_output=True, text=True, check=True
    )
    assert printed.stdout == manual_text()


def test_every_field_of_every_format_stands_with_its_offset():
    text = manual_text()
    for layout in {row.format.name: row.format for row in INSTRUCTIONS}.values():
        section = text.split(f"### Format {layout.name} ", 1)[1].split("###", 1)[0]
        for field in layout.fields:
            offset = layout.dtype.fields[field.name][1]
            assert f"| {offset} | `{field.name}` | {field.code.removeprefix('<')}" in section
            assert field.meaning in section


@pytest.mark.parametrize("row", INSTRUCTIONS, ids=lambda row: row.mnemonic)
def test_every_instruction_stands_with_its_meaning(row):
    assert (
        f"| 0x{row.opcode:02x} | `{row.mnemonic}` | {row.unit.name} | {row.format.name} | {row.meaning} |"
        in manual_text()
    )


@pytest.mark.parametrize("codes", [Unit, Source, Destination, Operand, Reduction, Step])
def test_every_code_stands(codes):
    text = manual_text()
    for member in codes:
        assert f"{member.value} {member.name}" in text or f"| {member.value} | {member.name} |" in text
