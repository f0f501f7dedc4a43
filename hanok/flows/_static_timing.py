"""Static timing of a mapped block by OpenSTA, where the machine has it."""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
from pathlib import Path

from hanok.errors import HanokError

PROGRAM = "sta"
_COMMANDS = """
read_liberty cells.lib
read_verilog netlist.v
link_design top
set_cmd_units -time ps
create_clock -name clk -period {period_ps} [get_ports clk]
report_worst_slack
"""
"""Paths from register to register, with clock-to-output and setup; ports have no times of their own."""
_SLACK = re.compile(r"^worst slack\s+(\S+)\s*$", re.MULTILINE)


def has_static_timing() -> bool:
    """Whether there is an OpenSTA on the PATH."""
    return shutil.which(PROGRAM) is not None


def worst_slack_ps(work: Path, block: str, period_ps: float) -> float | None:
    """Return the worst slack of `netlist.v` in a folder with `cells.lib`; None if no path has a time.

    A block without a port `clk` has none. Raises HanokError where OpenSTA fails or says no slack.
    """
    netlist = (work / "netlist.v").read_text(encoding="utf-8")
    if not re.search(r"^\s*input clk;", netlist, re.MULTILINE):
        return None
    (work / "timing.tcl").write_text(_COMMANDS.format(period_ps=period_ps), encoding="utf-8")
    command = [PROGRAM, "-no_init", "-no_splash", "-exit", "timing.tcl"]
    try:
        ended = subprocess.run(
            command,
            cwd=work,
            env={**os.environ, "HOME": str(work)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise HanokError(f"{PROGRAM}: {error.strerror}") from None
    said = ended.stdout + ended.stderr
    found = _SLACK.findall(said)
    try:
        slack = float(found[-1]) if found and not ended.returncode else math.nan
    except ValueError:
        slack = math.nan
    if math.isnan(slack):
        raise HanokError(f"{PROGRAM} gives no slack of block '{block}': {_last_words(said)}")
    return None if math.isinf(slack) or abs(slack) >= _NO_PATH_PS else slack


_NO_PATH_PS = 1e30
"""OpenSTA's own infinity, in some versions a number."""


def _last_words(said: str) -> str:
    """Return the errors of a report, otherwise its end."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()] or lines[-3:] or ["it says nothing"]
    return " ".join(errors)[:600]
