"""What weight repair is worth: signal to noise of quantised outputs on data that calibration never saw.

The trained Korean command recogniser that hanok carries, with its real clips, and networks with seeded
weights on random data (which exaggerate quantisation error). `python benchmarks/quantisation_repair.py`.
"""

from __future__ import annotations

import time
from importlib import resources

import numpy as np
import onnx

from hanok.graph._repair import float_outputs, signal_to_noise_db
from hanok.graph.quantise import prepare_float, quantise_model
from hanok.graph.topologies import autoencoder, ds_cnn, espcn, mobilenet_v2, mobilenet_v3_small, resnet8, unet

CALIBRATION_SAMPLES = 16
TEST_SAMPLES = 32


def korean_commands() -> tuple[onnx.ModelProto, list[dict], list[dict], np.ndarray]:
    folder = resources.files("hanok") / "assets"
    model = onnx.load_from_string((folder / "korean_commands_float.onnx").read_bytes())
    with (folder / "korean_commands.npz").open("rb") as file, np.load(file) as data:
        clips = data["features"].astype(np.float32)
        calibration = data["calibration"].astype(np.float32)
        labels = data["labels"]
    return model, [{"features": x[None]} for x in calibration], [{"features": x[None]} for x in clips], labels


def random_data(model: onnx.ModelProto) -> tuple[list[dict], list[dict]]:
    value = model.graph.input[0]
    shape = [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
    random = np.random.default_rng(11)
    samples = [
        {value.name: random.standard_normal(shape, dtype=np.float32)}
        for _ in range(CALIBRATION_SAMPLES + TEST_SAMPLES)
    ]
    return samples[:CALIBRATION_SAMPLES], samples[CALIBRATION_SAMPLES:]


def compare(name: str, model: onnx.ModelProto, calibration: list[dict], test: list[dict]) -> None:
    start = time.process_time()
    plain = quantise_model(model, calibration, repair=False).model
    middle = time.process_time()
    repaired = quantise_model(model, calibration).model
    end = time.process_time()
    wanted = float_outputs(prepare_float(model), test)
    before, after = (signal_to_noise_db(wanted, each, test) for each in (plain, repaired))
    print(
        f"{name:28s} plain {before:6.2f} dB  repaired {after:6.2f} dB  gain {after - before:+.2f} dB  "
        f"CPU {middle - start:.1f} s, with repair {end - middle:.1f} s",
        flush=True,
    )


def main() -> None:
    model, calibration, test, _ = korean_commands()
    compare("korean_commands (trained)", model, calibration, test)
    networks = {
        "resnet8": resnet8(),
        "ds_cnn": ds_cnn(),
        "autoencoder": autoencoder(),
        "espcn": espcn(height=48, width=48),
        "unet": unet(image=64),
        "mobilenet_v2": mobilenet_v2(image=96),
        "mobilenet_v3_small": mobilenet_v3_small(image=96),
    }
    for name, network in networks.items():
        compare(f"{name} (seeded)", network, *random_data(network))


if __name__ == "__main__":
    main()
