"""Bit errors on the terminal, on the page and in the JSON: what ECC did, and how the outputs differ."""

import io
import json
from dataclasses import replace

from rich.console import Console

from hanok.flows.results import BitErrors, OutputCheck, RunRecord, RunTraces
from hanok.report import print_record, to_html, to_json

HOSTILE = '"><script>alert(1)</script>\x1b[31m'
ERRORS = BitErrors(
    rate=1e-4,
    seed=7,
    ecc="both",
    standard="HBM3_6400",
    bursts=5000,
    wrong_cells=130,
    hit=120,
    corrected=110,
    detected=9,
    silent=1,
    wrong_bits=40,
    words=("on die RS(19,17): 120 words with errors: 110 corrected",),
    outputs=(
        OutputCheck("logits", 1000, 37, 0.0625, 12, 0.75, 0.2),
        OutputCheck("probabilities", 1000, 5, None, None, 1e-3, 1e-2),
    ),
)


def printed(record: RunRecord) -> str:
    stream = io.StringIO()
    print_record(record, Console(file=stream, width=100, force_terminal=False))
    return " ".join(stream.getvalue().split())


def test_they_are_said_where_there_were_any(run: tuple[RunRecord, RunTraces]) -> None:
    record, traces = run
    damaged = replace(record, bit_errors=ERRORS)
    assert "bit errors" not in printed(record)
    assert "Bit errors in DRAM" not in to_html(record, traces)
    assert json.loads(to_json(record))["bit_errors"] is None
    text = printed(damaged)
    assert (
        "130 wrong cells (rate 0.0001, seed 7), ECC both: of 120 bursts 110 corrected, 9 detected, 1 "
        "silently wrong" in text
    )
    assert "on die RS(19,17): 120 words with errors" in text
    assert "42 of 2,000 values differ from the run without errors, by up to 12 quantisation steps" in text
    page = to_html(damaged, traces)
    assert "130 in 120 of the 5,000 bursts that hold constants and inputs" in page
    assert "110 bursts corrected, 9 detected, 1 silently wrong (40 wrong bits read)" in page
    assert "42 of 2,000 values differ from the run without errors" in page
    assert "37 of 1,000 differ, at most by 12 steps" in page
    assert "5 of 1,000 differ, at most by 0.001" in page
    content = json.loads(to_json(damaged))["bit_errors"]
    assert (content["mismatched"], content["compared"], content["detected"]) == (42, 2000, 9)
    assert content["outputs"][0]["name"] == "logits"


def test_no_difference_has_no_largest_step(run: tuple[RunRecord, RunTraces]) -> None:
    same = replace(ERRORS, outputs=(OutputCheck("logits", 1000, 0, 0.0625, 0, 0.0, 0.0),))
    text = printed(replace(run[0], bit_errors=same))
    assert "0 of 1,000 values differ from the run without errors" in text
    assert "by up to" not in text
    assert "0 of 1,000 differ<" in to_html(replace(run[0], bit_errors=same), run[1])


def test_names_cannot_become_markup(run: tuple[RunRecord, RunTraces]) -> None:
    outputs = (replace(ERRORS.outputs[0], name=HOSTILE),)
    bad = replace(ERRORS, ecc=HOSTILE, standard=HOSTILE, words=(HOSTILE,), outputs=outputs)
    page = to_html(replace(run[0], bit_errors=bad), run[1])
    assert "<script>alert" not in page
    assert "\x1b" not in page
    assert "\x1b" not in printed(replace(run[0], bit_errors=bad))
