"""The marks of a core of which there is Verilog alone, read from outside, as any host would run it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from hanok.machine import Chip
from hanok.rtl.build import Port, build_text
from hanok.rtl.core import Core
from hanok.rtl.interface import CLOCK, INTERRUPT, RESET, interface_of
from hanok.rtl.mark_programs import wrong_program
from hanok.rtl.marks import (
    BLOCKS,
    CAUSE_MARK_BITS,
    COUNTER_MARK_BITS,
    INDEX_BITS,
    MarkedBlock,
    marks_of,
)
from hanok.rtl.register_map import BY_NAME, CAUSE_BITS, FIRST_OPEN, WORD_BYTES
from hanok.rtl.registers import SLAVE_ERROR
from hanok.rtl.simulate import Simulation
from hanok.rtl.yosys import ALONE, run_yosys

MOST_RUN_CYCLES, MOST_ANSWER_CYCLES = 2000, 100
CODE_ADDRESS = 0


def read_marks(chip: Chip, sources: list[str], top: str = "") -> list[int | None]:
    """Return the bit of each of `MARKS` marks of a core in Verilog, None where the core does not answer.

    `sources` are texts of Verilog: modules of the core, or cells of a netlist of it and the models of these
    cells. `top` is the core's module; without, the one that no other instantiates. Its ports have the names
    of the delivery. Raises HanokError for what is no such core, or cannot be read by Yosys.
    """
    reader = _Reader(chip, sources, top)
    words = {block.name: [reader.word(block, index) for index in range(1 << INDEX_BITS)] for block in BLOCKS}
    return marks_of(words)


def core_text(sources: list[str], top: str = "") -> str:
    """Return a core in Verilog as RTLIL, flat, with `top` as the module's name."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for number, source in enumerate(sources):
            (work / f"{number}.v").write_text(source, encoding="utf-8")
        read = "; ".join(f"read_verilog -sv {ALONE}/{number}.v" for number in range(len(sources)))
        chosen = f"-top {top}" if top else "-auto-top"
        script = f"{read}; hierarchy -check {chosen}; proc; flatten; rename -top top"
        run_yosys(f"{script}; write_rtlil {ALONE}/top.il", work, alone=True)
        return (work / "top.il").read_text(encoding="utf-8")


class _Reader:
    """A suspect in simulation, with a memory that holds a few bytes of code."""

    def __init__(self, chip: Chip, sources: list[str], top: str) -> None:
        core = Core(chip)
        self._burst_bytes = core.burst_bytes
        ports = [
            Port(port.name, port.bits, False, port.is_input)
            for port in interface_of(core).ports
            if port.name not in (CLOCK, RESET)
        ]
        self._simulation = Simulation(build_text(core_text(sources, top), ports))
        self._simulation.set(s_axi_control_bready=1, s_axi_control_rready=1)

    def word(self, block: MarkedBlock, index: int) -> int | None:
        """What a block answers for an index."""
        if block.name == "registers":
            content, response = self._read(FIRST_OPEN + WORD_BYTES * index)
            return content if response == SLAVE_ERROR else None
        code, fault = wrong_program(block.name, index)
        if not self._run(code):
            return None
        cause, _ = self._read(BY_NAME["cause"].offset)
        if cause & (1 << CAUSE_BITS) - 1 != fault:
            return None
        if block.bits == CAUSE_MARK_BITS:
            return cause >> CAUSE_BITS
        low = BY_NAME[f"{block.name}_busy_low"].offset
        self._read(low)
        return self._read(low + WORD_BYTES)[0] >> 32 - COUNTER_MARK_BITS

    def _run(self, code: bytes) -> bool:
        """Run a code; return whether the core has said that it ended."""
        for name, value in (
            ("status", 0b110),
            ("interrupt_enable", 0b110),
            ("code_bytes", len(code)),
            ("code_address_low", CODE_ADDRESS),
            ("code_address_high", 0),
            ("control", 1),
        ):
            self._write(BY_NAME[name].offset, value)
        memory = self._memory(code)
        for _ in range(MOST_RUN_CYCLES):
            next(memory)
            if self._simulation.get(INTERRUPT):
                return True
        return False

    def _memory(self, code: bytes) -> Iterator[None]:
        """A cycle at each step: answer all that was asked for in the cycle before."""
        simulation, burst = self._simulation, self._burst_bytes
        simulation.set(
            m_axi_fetch_arready=1, m_axi_load_arready=1, m_axi_store_awready=1, m_axi_store_wready=1
        )
        while True:
            answers: dict[str, int] = {}
            for name in ("fetch", "load"):
                asked = simulation.get(f"m_axi_{name}_arvalid")
                at = simulation.get(f"m_axi_{name}_araddr") // burst * burst
                content = int.from_bytes(code[at : at + burst], "little") if name == "fetch" else 0
                answers |= {
                    f"m_axi_{name}_rvalid": asked,
                    f"m_axi_{name}_rlast": asked,
                    f"m_axi_{name}_rdata": content,
                }
                answers[f"m_axi_{name}_rid"] = simulation.get(f"m_axi_{name}_arid")
            answers["m_axi_store_bvalid"] = simulation.get("m_axi_store_awvalid")
            simulation.step(**answers)
            yield

    def _write(self, offset: int, value: int) -> None:
        simulation = self._simulation
        simulation.step(
            s_axi_control_awvalid=1,
            s_axi_control_awaddr=offset,
            s_axi_control_wvalid=1,
            s_axi_control_wdata=value,
            s_axi_control_wstrb=15,
        )
        simulation.set(s_axi_control_awvalid=0, s_axi_control_wvalid=0)
        simulation.run_until("s_axi_control_bvalid", MOST_ANSWER_CYCLES)

    def _read(self, offset: int) -> tuple[int, int]:
        """Return what stands at an address, and the response beside it."""
        simulation = self._simulation
        simulation.step(s_axi_control_arvalid=1, s_axi_control_araddr=offset)
        simulation.set(s_axi_control_arvalid=0)
        simulation.run_until("s_axi_control_rvalid", MOST_ANSWER_CYCLES)
        return simulation.get("s_axi_control_rdata"), simulation.get("s_axi_control_rresp")
