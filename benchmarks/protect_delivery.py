"""A delivery from end to end on `nano`: marked for ten, sealed, opened, leaked, traced, proven; step by step.

    python benchmarks/protect_delivery.py [--chip nano] [--recipients 10] [--flow gates]

Delivers the core's RTL, a model and its program. One recipient's copy leaks: the RTL under other names and in
other lines, or with --flow as the netlist of a flow of `protect_rtl_marks.py` (minutes); the model's weights
with noise. Each must name this recipient and nobody else, and the log must prove that he had it. Needs
`hanok[protect]` and `hanok[rtl]`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import time
from importlib import resources
from pathlib import Path
from typing import Any

import onnx
from protect_rtl_marks import FLOWS, netlist_of
from table import print_table
from typer.testing import CliRunner

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "protect"))
from rtl_attacks import rewritten
from weight_attacks import noisy

from hanok.cli.app import build_app

MODEL = Path(str(resources.files("hanok") / "assets" / "korean_commands.onnx"))
NOISE_STEPS = 4
LICENCE = """
title = "Evaluation licence"
licensor = "Vendor"
licensee = "{name}"
destination = "KR"
uses = ["simulate", "synthesise"]
terms = "No copies."
expires = 2999-06-30
"""


class Steps:
    """Commands of hanok, and what they took."""

    def __init__(self) -> None:
        self._runner, self._app = CliRunner(), build_app()
        self.rows: list[tuple[str, str]] = []

    def timed(self, what: str, begin: float) -> None:
        self.rows.append((what, f"{time.monotonic() - begin:.1f}"))
        print(*self.rows[-1], flush=True)

    def run(self, *arguments: Any) -> str:
        """Run a command, which must end well; return what it prints."""
        result = self._runner.invoke(self._app, [str(argument) for argument in arguments])
        if result.exit_code:
            raise SystemExit(f"{arguments}: {result.output}")
        return result.output

    def step(self, what: str, *arguments: Any) -> str:
        """Run a command and note its seconds."""
        begin = time.monotonic()
        said = self.run(*arguments)
        self.timed(what, begin)
        return said


class Vendor:
    """A vendor's folder: what is delivered, keys, secret and log."""

    def __init__(self, work: Path, steps: Steps, chip: str, names: list[str]) -> None:
        self.work, self.steps, self.names = work, steps, names
        self.build, self.program = work / "build", work / "model.hanok"
        self.secret, self.log, self.keys = work / "vendor.secret", work / "log.db", work / "keys"
        self.keys.mkdir()
        self.signs = ("--sign", self.keys / "vendor.key")
        self.known = ("--from", self.keys / "vendor.pub")
        steps.step(f"RTL of {chip}", "rtl", "--chip", chip, "-o", self.build)
        steps.step("program", "compile", MODEL, "--chip", chip, "-o", self.program)
        begin = time.monotonic()
        steps.run("protect", "secret", "-o", self.secret)
        for name in ("vendor", *names):
            steps.run("protect", "keygen", name, "-o", self.keys, "--x25519")
        steps.run("protect", "log", "create", self.log, *self.signs)
        steps.timed(f"keys for {len(names)}, secret and log", begin)

    def deliver(self, name: str) -> Path:
        """Mark, seal and open a copy; return the folder in which its recipient has it."""
        copy, bundle, opened = self.work / f"for-{name}", self.work / f"{name}.hnk", self.work / name
        run = self.steps.run
        logged = ("--log", self.log, *self.signs)
        run(
            "protect",
            "mark",
            self.build,
            MODEL,
            "--recipient",
            name,
            "--secret",
            self.secret,
            *logged,
            "-o",
            copy,
        )
        (self.work / f"{name}.toml").write_text(LICENCE.format(name=name), encoding="utf-8")
        terms = ("--to", self.keys / f"{name}.pub", "--licence", self.work / f"{name}.toml", *logged)
        run("protect", "seal", copy, self.program, *terms, "-o", bundle)
        run("protect", "open", bundle, "--key", self.keys / f"{name}.key", *self.known, "-o", opened)
        (found,) = (path.parent for path in opened.rglob(MODEL.name))
        return found

    def trace(self, what: str, leak: Path, original: Path, guilty: str) -> None:
        """Trace a leak; it must name the guilty one alone."""
        given = ("--original", original, "--secret", self.secret, "--log", self.log)
        said = self.steps.step(f"trace {what}: names {guilty}", "protect", "trace", leak, *given)
        accused = "\n".join(line for line in said.splitlines() if line.strip().startswith("accused:"))
        named = {name for name in self.names if re.search(rf"\b{name}\b", accused)}
        if named != {guilty}:
            raise SystemExit(f"{what}: named {sorted(named)}, not {guilty}\n{said}")

    def prove(self, guilty: str) -> None:
        """Prove from the log that a copy was made for the guilty one."""
        proof = self.work / "proof.json"
        entry = 2 * self.names.index(guilty)
        self.steps.step(
            "proof from the log", "protect", "log", "prove", self.log, "--entry", entry, "-o", proof
        )
        said = self.steps.step("proof verified", "protect", "log", "verify", proof, *self.known)
        if guilty not in said:
            raise SystemExit(f"the proof does not name {guilty}")


def leaked_core(folder: Path, flow: str) -> str:
    """Return a core's Verilog as it leaks."""
    if not flow:
        return rewritten(folder / "rtl")
    top = json.loads((folder / "test" / "acceptance.json").read_bytes())["top"]
    source = "\n".join(path.read_text("utf-8") for path in sorted((folder / "rtl").rglob("*.v")))
    return "\n".join([netlist_of(FLOWS[flow], source, top), *FLOWS[flow].models])


def main() -> None:
    """Run all steps in a folder that is removed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--chip", default="nano")
    parser.add_argument("--recipients", type=int, default=10)
    parser.add_argument("--flow", default="", choices=["", *FLOWS], metavar="FLOW")
    given = parser.parse_args()
    os.environ["HANOK_PASSPHRASE"] = "correct horse"
    names = [f"customer-{number}" for number in range(given.recipients)]
    guilty, steps = names[len(names) // 2], Steps()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        vendor = Vendor(work, steps, given.chip, names)
        begin = time.monotonic()
        had = {name: vendor.deliver(name) for name in names}[guilty]
        steps.timed(f"{len(names)} copies marked, sealed, opened", begin)
        begin = time.monotonic()
        gates, weights = work / "leaked.v", work / "leaked.onnx"
        gates.write_text(leaked_core(had, given.flow), encoding="utf-8")
        onnx.save(noisy(onnx.load(had / MODEL.name), NOISE_STEPS, seed=1), weights)
        how = f"as gates ({given.flow})" if given.flow else "renamed and reformatted"
        steps.timed(f"leaked: RTL {how}, weights with noise of {NOISE_STEPS} steps", begin)
        vendor.trace(f"the core, {gates.stat().st_size:,} bytes", gates, vendor.build, guilty)
        vendor.trace("the weights", weights, MODEL, guilty)
        vendor.prove(guilty)
    print_table(("step", "s"), steps.rows)


if __name__ == "__main__":
    main()
