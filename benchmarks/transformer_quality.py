"""Signal to noise, and the chosen tokens, of quantised transformers on inputs that calibration never saw.

`python benchmarks/transformer_quality.py MODEL.onnx FOLDER ...`: each float model (networks that are no
transformers are passed over) is quantised with seeded random samples, plainly (ranges from the smallest to
the largest value, nothing else done) and as hanok does it; then both run on other random samples.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from hanok.graph._calibration import random_samples
from hanok.graph._observe import observe_ranges
from hanok.graph._quantise_onnxruntime import insert_quantisers
from hanok.graph._quantise_select import is_transformer, keep_float
from hanok.graph._quantise_transformer import GOAL_DB
from hanok.graph._repair import float_outputs, signal_to_noise_by_output, signal_to_noise_db
from hanok.graph.load import load_model
from hanok.graph.oracle import reference_session, run_session
from hanok.graph.quantise import is_quantised, prepare_float, quantise_model

CALIBRATION_SEED, TEST_SEED = 0, 7
POSITIONS = 512
"""Rows of the first output that are compared, where inputs are tokens."""
FEWEST_SAMPLES = 4


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", type=Path, help="ONNX files, or folders of them")
    parser.add_argument("--goal", type=float, default=GOAL_DB, help="dB that operands are split for")
    parser.add_argument("--weight-bits", type=int, choices=(8, 4), default=8)
    arguments = parser.parse_args()
    given = arguments.models
    paths = [path for item in given for path in (sorted(item.glob("*.onnx")) if item.is_dir() else [item])]
    print(
        f"{'':42s} {'all outputs, dB':>11s} {'worst output':>13s}\n"
        f"{'model':42s} {'plain':>5s} {'hanok':>5s} {'plain':>7s} {'hanok':>5s}  "
        f"{'largest of a row the same':26s} {'smoothed':>9s} {'rows':>5s} {'parts':>6s} {'CPU':>6s}"
    )
    for path in paths:
        compare(path, arguments.goal, arguments.weight_bits)


def compare(path: Path, goal_db: float, weight_bits: int) -> None:
    """Print one line for a model."""
    model = load_model(path)
    if is_quantised(model) or not is_transformer(working := prepare_float(model)):
        return
    start = time.process_time()
    done = quantise_model(model, seed=CALIBRATION_SEED, goal_db=goal_db, weight_bits=weight_bits)
    seconds = time.process_time() - start
    ranges = observe_ranges(working, random_samples(working, CALIBRATION_SEED))
    plain = insert_quantisers(working, ranges, keep_float(working, ranges), products=True)
    first = working.outputs[0]
    rows = int(np.prod(working.shape(first)[:-1]))
    tokens = "ids" in working.inputs or any("input_ids" in name for name in working.inputs)
    count = max(FEWEST_SAMPLES, -(-POSITIONS // rows) if tokens else 0)
    test = random_samples(working, TEST_SEED, count)
    wanted = float_outputs(working, test)
    ratios = [signal_to_noise_by_output(wanted, each, test) for each in (plain, done.model)]
    whole = [signal_to_noise_db(wanted, each, test) for each in (plain, done.model)]
    agreement = [same_choice(wanted, each, test, first) for each in (plain, done.model)]
    form = done.record.transformer
    assert form is not None, "a transformer has its record"
    choices = f"{agreement[0]:.1%} -> {agreement[1]:.1%} of {rows * count}"
    print(
        f"{path.parent.name + '/' + path.stem:42s} {whole[0]:5.1f} {whole[1]:5.1f} "
        f"{min(ratios[0].values()):7.1f} {min(ratios[1].values()):5.1f}  {choices:26s} "
        f"{len(form.smoothed):9d} {len(form.evened_rows):5d} {len(form.two_parts):6d} {seconds:4.0f} s",
        flush=True,
    )


def same_choice(wanted: list[dict], model: object, samples: list[dict], name: str) -> float:
    """The part of an output's rows whose largest value stands at the same place as in float."""
    session = reference_session(model)
    same = [
        run_session(session, sample, [name])[name].argmax(-1) == outputs[name].argmax(-1)
        for outputs, sample in zip(wanted, samples, strict=True)
    ]
    return float(np.mean(same))


if __name__ == "__main__":
    main()
