"""The terminal report, the JSON, and numbers as people read them."""

import io
import json
import math
from dataclasses import replace

from rich.console import Console

from hanok.flows.results import RunRecord, RunTraces
from hanok.report import print_record, to_json
from hanok.report.text import clean, energy, milliseconds, percent, scaled, significant

REQUIRED = {
    "model", "chip", "cycles", "latency_ms", "energy_mj", "macs", "utilisation", "dram_read_bytes",
    "dram_write_bytes", "outputs_compared", "outputs_mismatched", "max_error_steps", "host_operators",
    "seconds", "layers",
}  # fmt: skip
LAYER_KEYS = {
    "name", "onnx_type", "mapping", "macs", "start_cycle", "end_cycle", "cycles", "busy_cycles",
    "utilisation", "dram_bytes", "dram_read_bytes", "dram_write_bytes", "compulsory_bytes", "bound_by",
}  # fmt: skip


def _printed(record: RunRecord, width: int = 100) -> str:
    stream = io.StringIO()
    print_record(record, Console(file=stream, width=width, force_terminal=False))
    return stream.getvalue()


def test_json_has_the_promised_keys(run: tuple[RunRecord, RunTraces]) -> None:
    content = json.loads(to_json(run[0]))
    assert content.keys() >= REQUIRED
    assert content["seconds"].keys() >= {"compile", "emulate", "time"}
    assert all(layer.keys() >= LAYER_KEYS for layer in content["layers"])
    assert content["chip"] == "edge"
    assert content["units"]["matrix"]["busy"] == run[0].units[2].busy
    assert content["quantisation"]["calibration"] == "8 random samples, seed 0"


def test_json_holds_what_json_can_hold(run: tuple[RunRecord, RunTraces]) -> None:
    outputs = (replace(run[0].outputs[0], max_relative_error=math.inf, name="a\ud800b"),)
    content = json.loads(to_json(replace(run[0], outputs=outputs)))
    assert content["outputs"][0]["max_relative_error"] is None
    assert content["outputs"][0]["name"] == "a?b"


def test_the_last_line_says_what_bounds_the_model(run: tuple[RunRecord, RunTraces]) -> None:
    record = run[0]
    lines = [line for line in _printed(record, 200).splitlines() if line.strip()]
    assert lines[-1].strip() == record.verdict
    assert any("2 of 1,000 values differ" in line for line in lines)
    assert any("NonMaxSuppression" in line for line in lines)
    assert any("12 more" in line for line in lines)


def test_check_line(run: tuple[RunRecord, RunTraces]) -> None:
    same = replace(run[0], outputs_mismatched=0, max_error_steps=0)
    assert "identical: 1,000 values, 0 mismatches" in _printed(same)
    assert "not compared (--no-check)" in _printed(replace(run[0], checked=False))
    outputs = tuple(replace(output, step=None) for output in run[0].outputs)
    floats = replace(run[0], max_error_steps=None, signal_to_noise_db=31.25, outputs=outputs)
    assert "of floats 0.0625, 31.2 dB below the signal" in _printed(floats, 200)


def test_names_are_not_markup_and_not_escapes(run: tuple[RunRecord, RunTraces]) -> None:
    record = run[0]
    bad = "[bold red]x[/]\x1b[31mred\x1b]0;title\x07\r\n[/nothing]"
    layers = tuple(replace(layer, name=bad, onnx_type=bad) for layer in record.layers)
    operators = tuple(replace(operator, name=bad, reason=bad) for operator in record.host_operators)
    text = _printed(
        replace(record, layers=layers, model=bad, warnings=(bad,), verdict=bad, host_operators=operators)
    )
    assert "\x1b" not in text
    assert "[bold red]" in text
    assert "[/nothing]" in text


def test_host_operators_of_a_kind_share_a_row(run: tuple[RunRecord, RunTraces]) -> None:
    one = run[0].host_operators[0]
    many = tuple(replace(one, name=f"n{number}", stage=number, milliseconds=1.0) for number in range(30))
    text = _printed(replace(run[0], host_operators=many, host_ms=30.0))
    assert "n0 and 29 more" in text
    assert "30 ms" in text


def test_clean() -> None:
    assert clean("a\x1b[1;31mb\x1b]8;;http://x\x07c\x00d\u202ee\nf") == "abcde f"


def test_numbers() -> None:
    assert [significant(value) for value in (0, 1.0, 12.345, 123.4, 99_999, 0.01234, 1e-7)] == [
        "0", "1", "12.3", "123", "99,999", "0.0123", "1.00e-07"
    ]  # fmt: skip
    assert scaled(1.5e9, "MAC") == "1.5 GMAC"
    assert scaled(12, "") == "12"
    assert [milliseconds(value) for value in (1234, 1.5, 0.0123, 1e-6)] == [
        "1.23 s",
        "1.5 ms",
        "12.3 us",
        "1 ns",
    ]
    assert [energy(value) for value in (2500, 0.5)] == ["2.5 J", "500 uJ"]
    assert [percent(value) for value in (0, 0.0001, 0.052, 0.5, 0.9999, 0.995, 1)] == [
        "0 %", "<0.1 %", "5.2 %", "50 %", ">99.9 %", "99.5 %", "100 %"
    ]  # fmt: skip
