"""A delivery from end to end: marked for ten, sealed, opened, leaked, traced, proven from the log."""

from __future__ import annotations

import re
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import onnx
import pytest
from cli_types import Run

from hanok.machine import preset_names

sys.path.append(str(Path(__file__).parents[1] / "protect"))
from rtl_attacks import rewritten
from specifications import specification, written
from weight_attacks import noisy

RECIPIENTS = [f"customer-{number}" for number in range(10)]
GUILTY = RECIPIENTS[6]
MODEL = Path(str(resources.files("hanok") / "assets" / "korean_commands.onnx"))
CHIP = """
name = "small"
clock_mhz = 100
[core.matrix]
rows = 4
columns = 4
preload_rows_per_cycle = 1
accumulator_rows = 32
accumulator_banks = 2
[core.vector]
lanes = 4
stages = 1
[core.sram]
banks = 8
bank_bytes = 4096
[core.dma]
bytes_per_cycle = 8
outstanding = 2
expand_lanes = 0
[core.control]
queue_depth = 2
semaphore_limit = 3
fetch_buffer_bytes = 512
[memory]
standard = "FLAT:800"
channels = 1
capacity_mib = 1
latency_cycles = 7
"""
LICENCE = """
title = "Evaluation licence"
licensor = "Vendor"
licensee = "{name}"
destination = "KR"
uses = ["simulate", "synthesise"]
terms = "No copies."
expires = 2999-06-30
"""


def copied_by_hand(spec: Path) -> str:
    """The figures of a specification as somebody notes them: numbers alone, a fifth of them left out."""
    values = re.findall(r"^value = (\S+)", spec.read_text("utf-8"), re.MULTILINE)
    return "\n".join(value for number, value in enumerate(values) if number % 5)


@pytest.mark.slow
def test_a_leak_names_who_had_it(hanok_command: Run, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("HANOK_PASSPHRASE", "correct horse")

    def done(*arguments: Any) -> str:
        result = hanok_command(*arguments)
        assert result.exit_code == 0, (arguments, result.output, result.exception)
        return result.stdout

    chip, build, program = written(tmp_path, CHIP, "chip.toml"), tmp_path / "build", tmp_path / "model.hanok"
    spec, secret, log = written(tmp_path, specification(600)), tmp_path / "vendor.secret", tmp_path / "log.db"
    keys = tmp_path / "keys"
    keys.mkdir()
    done("rtl", "--chip", chip, "-o", build)
    done("compile", MODEL, "--chip", "nano", "-o", program)
    done("protect", "secret", "-o", secret)
    for name in ("vendor", *RECIPIENTS):
        done("protect", "keygen", name, "-o", keys, "--x25519")
    signs = ("--sign", keys / "vendor.key")
    done("protect", "log", "create", log, *signs)

    opened: dict[str, Path] = {}
    for name in RECIPIENTS:
        copy, bundle, opened[name] = tmp_path / f"for-{name}", tmp_path / f"{name}.hnk", tmp_path / name
        marks = ("--recipient", name, "--secret", secret, "--log", log, *signs)
        done("protect", "mark", build, MODEL, spec, *marks, "-o", copy)
        licence = written(tmp_path, LICENCE.format(name=name), f"{name}.toml")
        terms = ("--to", keys / f"{name}.pub", "--licence", licence, "--log", log, *signs)
        done("protect", "seal", copy, program, *terms, "-o", bundle)
        who = ("--key", keys / f"{name}.key", "--from", keys / "vendor.pub")
        done("protect", "open", bundle, *who, "-o", opened[name])
    other = hanok_command(
        "protect", "open", tmp_path / f"{GUILTY}.hnk", "--key", keys / f"{RECIPIENTS[0]}.key",
        "--from", keys / "vendor.pub", "-o", tmp_path / "stolen",
    )  # fmt: skip
    assert other.exit_code == 2
    assert not (tmp_path / "stolen").exists()

    (had,) = (path.parent for path in opened[GUILTY].rglob(MODEL.name))
    gates, weights = tmp_path / "leaked.v", tmp_path / "leaked.onnx"
    gates.write_text(rewritten(had / "rtl"), encoding="utf-8")
    onnx.save(noisy(onnx.load(had / MODEL.name), 4, seed=1), weights)
    notes = written(tmp_path, copied_by_hand(had / spec.name), "notes.txt")
    for leak, origin in ((gates, build), (weights, MODEL), (notes, spec)):
        said = done("protect", "trace", leak, "--original", origin, "--secret", secret, "--log", log)
        named = {name for name in RECIPIENTS if re.search(rf"\b{name}\b", said)}
        assert named == {GUILTY}, said

    proof = tmp_path / "proof.json"
    done("protect", "log", "prove", log, "--entry", 2 * RECIPIENTS.index(GUILTY), "-o", proof)
    vendor = ("--from", keys / "vendor.pub")
    assert GUILTY in done("protect", "log", "verify", proof, *vendor)
    done("protect", "log", "verify", log, *vendor)
    facts = written(tmp_path, '[institution]\nname = "Vendor"\n', "facts.toml")
    report = done("rules", "leak", facts, "--log", log, *vendor, "--of", keys / f"{GUILTY}.pub", "-l", "en")
    assert "mark: " in report
    assert "delivery: " in report
    assert RECIPIENTS[0] not in report
    for preset in preset_names():
        assert "Not legal advice" in done("rules", "export", preset)
