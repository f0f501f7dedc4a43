"""`hanok dram`: every output on good input, one clear line and code 2 on bad input; `hanok run --dram`."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from cli_types import Run

from hanok.dram.commands import read_csv
from hanok.dram.standards import standards

MEMORY = ("--standard", "HBM3", "--speed", "6400")


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("traces") / "stream.txt"
    path.write_text("".join(f"{'ST' if i % 3 == 2 else 'LD'} 0x{32 * i:x}\n" for i in range(2000)))
    return path


def refused(result: Any, *words: str) -> None:
    assert result.exit_code == 2, (result.output, result.exception)
    assert "Traceback" not in result.output
    assert result.stderr.startswith(("error: ", "Usage: "))
    if result.stderr.startswith("error: "):
        assert result.stderr.count("\n") == 1
    for word in words:
        assert word in result.stderr


def test_list(hanok_command: Run) -> None:
    text = hanok_command("dram", "list").stdout
    for name in standards():
        assert name in text
    assert "derived" in text
    content = json.loads(hanok_command("dram", "list", "--json").stdout)
    assert [one["name"] for one in content] == list(standards())
    assert all(one["sources"] and one["channel_bytes_per_second"] > 0 for one in content)


def test_run_writes_every_report(hanok_command: Run, trace: Path, tmp_path: Path) -> None:
    result = hanok_command(
        "dram", "run", *MEMORY, trace, "--html", tmp_path / "r.html", "--json", tmp_path / "r.json",
        "--commands", tmp_path / "c.csv", "--check",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "bounds this trace" in result.stdout.replace("\n", " ")
    assert "timing rules  all kept" in result.stdout
    content = json.loads((tmp_path / "r.json").read_text())
    assert (content["requests"], content["reads"], content["writes"]) == (2000, 1334, 666)
    assert content["standard"]["name"] == "HBM3_6400"
    assert content["check"]["violations"] == 0
    commands = read_csv(tmp_path / "c.csv")
    assert len(commands) == content["check"]["commands"]
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.csv", "r.html", "r.json"]


def test_gzipped_in_and_out(hanok_command: Run, trace: Path, tmp_path: Path) -> None:
    packed = tmp_path / "t.gz"
    packed.write_bytes(gzip.compress(trace.read_bytes()))
    for name, source in (("plain", trace), ("packed", packed)):
        out = ("--json", tmp_path / f"{name}.json", "--commands", tmp_path / f"{name}.csv.gz")
        assert hanok_command("dram", "run", *MEMORY, source, *out).exit_code == 0
    first, second = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("plain", "packed"))
    for key in ("cycles", "bus", "latency", "commands", "loads"):
        assert first[key] == second[key]
    assert (read_csv(tmp_path / "plain.csv.gz") == read_csv(tmp_path / "packed.csv.gz")).all()


def test_the_options_reach_the_controller(hanok_command: Run, trace: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.json"
    result = hanok_command(
        "dram", "run", "--standard", "LPDDR5", "--speed", 6400, "--density", 8, "--channels", 2, trace,
        "--mapping", "RoBaRaCoCh", "--page", "closed", "--cap", 4, "--read-queue", 32, "--write-queue", 24,
        "--write-high", 20, "--write-low", 5, "--refresh", "per-bank", "--postpone", 2, "--json", out,
        "--window", 8, "--ecc", "both", "--partial-writes",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    content = json.loads(out.read_text())
    assert content["policy"] == {
        "page": "closed", "row_hit_cap": "4", "read_queue": "32", "write_queue": "24", "write_high": "20",
        "write_low": "5", "refresh": "per_bank", "postponed_refreshes": "2",
    }  # fmt: skip
    assert content["standard"]["density_gbit"] == 8
    assert content["channels"] == 2
    assert (content["window"], content["host"]) == (8, "sends at most 8 requests ahead of what is taken")
    assert (content["ecc"]["option"], content["ecc"]["partial_writes"]) == ("both", True)
    assert content["ecc"]["merge_reads"] == 666
    assert content["ecc"]["check_reads"] > 0 < content["ecc"]["check_writes"]
    assert content["mapping"] == "row bank group column channel"


def test_a_table_of_one_s_own(hanok_command: Run, trace: Path, tmp_path: Path) -> None:
    table = tmp_path / "own.toml"
    table.write_text('name = "own"\nbase = "HBM3_6400"\nsource = "measured"\n[timings]\nnRP = 70\n')
    result = hanok_command("dram", "run", "--table", table, trace)
    assert result.exit_code == 0, result.output
    assert "1 channel of own" in result.stdout


def test_ecc_and_its_cost_are_printed(hanok_command: Run, trace: Path) -> None:
    run = ("dram", "run", "--standard", "LPDDR5_6400", trace)
    plain = hanok_command(*run)
    assert "ECC" not in plain.stdout
    assert "waits until each request is taken" in plain.stdout
    text = " ".join(hanok_command(*run, "--ecc", "side_band", "--window", 0).stdout.split())
    assert "side_band: in line (72,64)" in text
    assert "bursts hold check bits" in text
    assert "sends as fast as requests come" in text


def test_mapping_search(hanok_command: Run, tmp_path: Path) -> None:
    path = tmp_path / "stride.txt"
    path.write_text("".join(f"LD {32768 * i}\n" for i in range(2000)))
    stated = hanok_command("dram", "run", *MEMORY, "--channels", 8, path)
    assert "to one of 16 pseudo-channels" in stated.stdout.replace("\n", " ")
    assert "Better: --mapping '" in stated.stdout
    found = hanok_command("dram", "run", *MEMORY, "--channels", 8, path, "--mapping", "search")
    assert found.exit_code == 0, found.output
    assert "Mappings tried" in found.stdout


def test_bad_lines_stop_or_are_counted(hanok_command: Run, tmp_path: Path) -> None:
    path = tmp_path / "bad.txt"
    path.write_text("LD 0\nLD zero\nLD 64\n")
    run = ("dram", "run", *MEMORY, path)
    refused(hanok_command(*run), "bad.txt: line 2: 'LD zero': a number cannot be read", "--skip-bad")
    result = hanok_command(*run, "--skip-bad", "--json", tmp_path / "r.json")
    assert result.exit_code == 0
    assert "1 bad line was left out; the first: " in result.stdout
    assert json.loads((tmp_path / "r.json").read_text())["bad_lines"] == 1
    path.write_text("LD 0\nLD 0xfffffffffff\n")
    refused(hanok_command(*run), "line 2", "0xfffffffffff is beyond the capacity", "1073741824 bytes")
    path.write_text("LD 0\n")
    refused(hanok_command(*run, "--format", "dramsim3"), "line 1: 'LD 0': expected 'ADDRESS READ CYCLE'")


def test_bad_input(hanok_command: Run, trace: Path, tmp_path: Path) -> None:
    run = ("dram", "run", *MEMORY)
    refused(hanok_command(*run, tmp_path / "none.txt"), "none.txt: no such file")
    refused(hanok_command(*run, tmp_path), "is not a file")
    (tmp_path / "empty").write_text("")
    refused(hanok_command(*run, tmp_path / "empty"), "holds no request")
    (tmp_path / "binary").write_bytes(bytes(range(256)) * 100)
    refused(hanok_command(*run, tmp_path / "binary"), "line 1", "is neither of Ramulator 2 nor of DRAMsim3")
    refused(hanok_command("dram", "run", trace), "which memory?")
    refused(hanok_command("dram", "run", "-s", "SDRAM", trace), "'SDRAM' is unknown")
    refused(hanok_command("dram", "run", "-s", "HBM3", trace), "--speed: which one? HBM3 has")
    refused(hanok_command("dram", "run", "--table", tmp_path / "x.toml", trace), "x.toml")
    refused(hanok_command(*run, "--table", tmp_path / "x.toml", trace), "--table has a whole standard")
    refused(hanok_command(*run, trace, "--channels", 3), "--channels: 3; allowed: a power of two")
    refused(hanok_command(*run, trace, "--mapping", "row row"), "mapping 'row row'")
    refused(hanok_command(*run, trace, "--write-high", 99), "write_high is 99; allowed: 1..64")
    refused(hanok_command(*run, trace, "--read-queue", 0), "read_queue is 0")
    refused(hanok_command(*run, trace, "--postpone", 99), "postponed_refreshes is 99")
    refused(hanok_command(*run, trace, "--window", 5000), "--window: 5000; allowed: 0 (no limit), 1..4096")
    refused(hanok_command(*run, trace, "--window", -1), "--window: -1")
    refused(hanok_command(*run, trace, "--partial-writes"), "--partial-writes: without ECC")
    hbm2 = ("dram", "run", "--standard", "HBM2_2000", trace)
    refused(hanok_command(*hbm2, "--ecc", "on_die"), "'on_die' on HBM2_2000; allowed: none, side_band")
    for option in (
        ("--ecc", "chipkill"),
        ("--window", "wide"),
        ("--page", "half"),
        ("--refresh", "often"),
        ("--format", "vcd"),
        ("--speed", "-1"),
    ):
        assert hanok_command("dram", "run", "-s", "HBM3", trace, *option).exit_code == 2


def test_outputs_are_refused_before_work(hanok_command: Run, tmp_path: Path) -> None:
    """The trace is missing too, but the output comes first."""
    for option in ("--html", "--json", "--commands"):
        run = ("dram", "run", *MEMORY, tmp_path / "none.txt", option)
        refused(hanok_command(*run, tmp_path), "is a folder")
        refused(hanok_command(*run, tmp_path / "no" / "x"), "does not exist; make it first")


def test_a_bad_run_leaves_nothing(hanok_command: Run, tmp_path: Path) -> None:
    path = tmp_path / "bad.txt"
    path.write_text("LD 0\nLD zero\n")
    outputs = ("--html", tmp_path / "h", "--json", tmp_path / "j", "--commands", tmp_path / "c")
    refused(hanok_command("dram", "run", *MEMORY, path, *outputs))
    assert [one.name for one in tmp_path.iterdir()] == ["bad.txt"]


def test_help(hanok_command: Run) -> None:
    text = hanok_command("dram", "--help").stdout
    assert "list " in text
    assert "run " in text
    text = hanok_command("dram", "run", "--help").stdout
    for option in (
        "--standard",
        "--mapping",
        "--skip-bad",
        "--window",
        "--ecc",
        "--partial-writes",
        "--check",
        "--commands",
        "0x12340 READ 100",
    ):
        assert option in text
    assert "dram " in hanok_command("--help").stdout


def test_run_with_another_dram(
    hanok_command: Run, model_file: Path, program_file: Path, tmp_path: Path
) -> None:
    cycles = {}
    for name in ("", "FLAT:100", "HBM3_6400"):
        out = tmp_path / "r.json"
        options = ("--dram", name) if name else ()
        result = hanok_command("run", model_file, "--chip", "nano", "--no-check", "--json", out, *options)
        assert result.exit_code == 0, result.output
        content = json.loads(out.read_text())
        cycles[name] = content["cycles"]
        if name:
            assert content["chip_summary"]["dram_standard"] == name
    assert cycles["HBM3_6400"] < cycles["FLAT:100"]
    refused(hanok_command("run", model_file, "--dram", "SDRAM"), "--dram: 'SDRAM' is unknown; allowed: HBM2")
    refused(hanok_command("run", program_file, "--dram", "HBM3_6400"), "compiled for its chip's DRAM")
    target = tmp_path / "m.hanok"
    assert hanok_command("compile", model_file, "--dram", "HBM3_6400", "-o", target).exit_code == 0
    assert "HBM3_6400" in hanok_command("run", target, "--no-check").stdout


def test_run_with_bit_errors_and_ecc(
    hanok_command: Run, model_file: Path, program_file: Path, tmp_path: Path
) -> None:
    out, run = tmp_path / "r.json", ("run", model_file, "--chip", "server")
    result = hanok_command(*run, "--bit-errors", "1e-2", "--seed", 3, "--ecc", "both", "--json", out)
    assert result.exit_code == 0, result.output
    content = json.loads(out.read_text())
    errors = content["bit_errors"]
    assert (errors["rate"], errors["seed"], errors["ecc"]) == (0.01, 3, "both")
    assert errors["hit"] == errors["corrected"] + errors["detected"] + errors["silent"] > 0
    assert content["outputs_mismatched"] >= errors["mismatched"] > 0
    text = " ".join(result.stdout.split())
    assert "bit errors" in text
    assert "values differ from the run without errors" in text
    assert "reported as uncorrectable" in text
    clean = hanok_command(*run, "--bit-errors", "0", "--json", out)
    assert "0 of 512 values differ from the run without errors" in " ".join(clean.stdout.split())
    assert json.loads(out.read_text())["bit_errors"]["ecc"] == "on_die"
    refused(hanok_command(*run, "--bit-errors", "1.5"), "--bit-errors: 1.5; allowed: 0..1")
    refused(hanok_command(*run, "--bit-errors", "nan"), "--bit-errors: nan; allowed: 0..1")
    assert hanok_command(*run, "--bit-errors", "many").exit_code == 2
    refused(hanok_command("run", program_file, "--bit-errors", "0.1"), "has no cells; give another --dram")
    refused(hanok_command("run", program_file, "--ecc", "none"), "which --ecc cannot change; compile again")
    refused(hanok_command("run", model_file, "--ecc", "both"), "no pins for check bits", "none, on_die")
    refused(hanok_command("compile", model_file, "--ecc", "side_band"), "--ecc: 'side_band' on LPDDR5X")
    assert hanok_command("compile", model_file, "--ecc", "mirror").exit_code == 2
    target = tmp_path / "m.hanok"
    assert hanok_command("compile", model_file, "--ecc", "on_die", "-o", target).exit_code == 0
    hanok_command("run", target, "--no-check", "--json", out)
    figures = {one["field"]: one for one in json.loads(out.read_text())["chip_summary"]["figures"]}
    assert figures["memory.ecc"] == {"field": "memory.ecc", "value": "on_die", "source": "choice: --ecc"}
