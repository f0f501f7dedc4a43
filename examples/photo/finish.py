"""From trained weights to what hanok ships: float ONNX, int8 QDQ ONNX, figures, photo.toml."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import onnx
import torch
from composites import Composer
from damage import halved, noisy
from export import EXPORTS, TILE
from measure import measure_cutout, measure_denoise, measure_upscale, runner
from pictures import batch_of_crops, load_pictures
from sources import SOURCES

from hanok.graph.quantise import quantise_model

SEED = 7
CALIBRATION = {"denoise": 12, "upscale": 12, "cutout": 32}
MEASURES = {"denoise": measure_denoise, "upscale": measure_upscale, "cutout": measure_cutout}
ABOUT = {
    "denoise": "noise of any strength, 1 to 50 of 255, taken from tiles of 256 x 256 pixels",
    "upscale": "tiles of 256 x 256 pixels made twice as high and wide",
    "cutout": "the subject's mask of a whole picture squeezed into 256 x 256 pixels",
}


def float_model(job: str, data: Path) -> onnx.ModelProto:
    """The trained network, operator by operator."""
    network_type, export = EXPORTS[job]
    network = network_type()
    network.load_state_dict(torch.load(data / "weights" / f"{job}.pt"))
    return export(network.eval())


def calibration(job: str, data: Path) -> dict[str, np.ndarray]:
    """Training pictures as the network will see them: float32 [n, 3, 256, 256]."""
    random = np.random.default_rng(SEED)
    count, side = CALIBRATION[job], TILE[job]
    if job == "cutout":
        return {"picture": Composer(data, random).batch(count, side)[0]}
    pictures = list(load_pictures(data / "pictures", test=False).values())
    crops = batch_of_crops(pictures, count, side if job == "denoise" else 2 * side, random)
    if job == "denoise":
        return {"picture": noisy(crops, random)}
    small = [halved(np.uint8(crop.transpose(1, 2, 0) * 255.0 + 0.5)) for crop in crops]
    return {"picture": np.ascontiguousarray(np.stack(small).transpose(0, 3, 1, 2), np.float32) / 255.0}


def description(figures: dict[str, dict]) -> str:
    """The text of photo.toml."""
    lines = ["# What the networks of this folder are; written by examples/photo/finish.py."]
    for job, values in figures.items():
        lines += ["", f"[{job}]", f'does = "{ABOUT[job]}"', f'file = "{job}.onnx"']
        lines += _lines(f"{job}.quality", values)
    for source in SOURCES:
        lines += ["", "[[photographs]]", f'origin = "{source.origin}"', f'licence = "{source.licence}"']
        lines += [f"held_out = {list(source.test)}".replace("'", '"')]
    lines += [
        "",
        "[[subjects]]",
        'origin = "Fluent emoji in 3D (Microsoft), as in the npm package @lobehub/fluent-emoji-3d"',
        'licence = "MIT"',
        "",
        "[[subjects]]",
        'origin = "openclipart-png (Debian)"',
        'licence = "public domain"',
        "",
        "[sample]",
        'file = "sample.jpg"',
        'origin = "a part of oakland-zoo-otters.jpg of BuddiesOfBudgie/budgie-backgrounds, held out"',
        'licence = "CC0-1.0"',
        "",
    ]
    return "\n".join(lines)


def _lines(name: str, values: dict) -> list[str]:
    plain = [f"{key} = {value}" for key, value in values.items() if not isinstance(value, dict)]
    nested = [
        line
        for key, value in values.items()
        if isinstance(value, dict)
        for line in _lines(f"{name}.{key}", value)
    ]
    return [f"\n[{name}]", *plain, *nested] if plain else nested


def main() -> None:
    """DATA/weights/*.pt -> OUT/*.onnx and OUT/photo.toml."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the folder that README.md describes")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--jobs", nargs="+", default=list(EXPORTS), choices=list(EXPORTS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for job in arguments.jobs:
        model = float_model(job, arguments.data)
        quantised = quantise_model(model, calibration(job, arguments.data))
        content = quantised.model.SerializeToString(deterministic=True)
        (arguments.out / f"{job}.onnx").write_bytes(content)
        runs = {"float32": runner(model.SerializeToString()), "int8": runner(content)}
        figures = MEASURES[job](runs, arguments.data)
        (arguments.data / "weights" / f"{job}.json").write_text(json.dumps(figures))
        print(job, quantised.record.snr_plain_db, quantised.record.snr_repaired_db, figures, flush=True)
    (arguments.out / "photo.toml").write_text(description(kept_figures(arguments.data)), encoding="utf-8")


def kept_figures(data: Path) -> dict[str, dict]:
    """The figures of all jobs measured so far."""
    files = {job: data / "weights" / f"{job}.json" for job in EXPORTS}
    return {job: json.loads(file.read_text()) for job, file in files.items() if file.exists()}


if __name__ == "__main__":
    main()
