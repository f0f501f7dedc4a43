"""Tools that come as Python packages, each run in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from hanok.errors import HanokError
from hanok.rtl.first_start import prepare


def run_tool(work: Path, package: str, function: str, options: Sequence[str]) -> str:
    """Run a tool in the folder `work`; return what it said. Raises HanokError with its errors."""
    prepare(package, function)
    code = f"import sys, {package}; sys.exit({package}.{function}(sys.argv[1:]))"
    ended = subprocess.run(
        [sys.executable, "-c", code, *options], cwd=work, capture_output=True, text=True, check=False
    )
    said = ended.stdout + ended.stderr
    if ended.returncode:
        errors = [line for line in said.splitlines() if "ERROR" in line] or said.splitlines()[-3:]
        raise HanokError(f"{function.removeprefix('run_')}: {' '.join(errors)[:600]}")
    return said
