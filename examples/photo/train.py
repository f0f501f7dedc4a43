"""Train one of the three networks on one processor core: python train.py JOB --data DATA."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from composites import Composer
from damage import halved, noisy, worn
from networks import Convolution, Cutter, Denoiser, Upscaler
from pictures import batch_of_crops, load_pictures
from torch import Tensor, nn
from torch.nn import functional

SEED = 5
REPORT_EVERY = 100
ROUNDING_STEPS, ROUNDING_RATE = 200, 0.2
Batch = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Job:
    """How one network is trained; `batch` gives inputs and targets for a share 0..1 of the training done."""

    network: nn.Module
    steps: int
    rate: float
    batch: Callable[[float], Batch]
    loss: Callable[[Tensor, Tensor], Tensor]


def denoise_job(data: Path, random: np.random.Generator) -> Job:
    """Crops of 96 pixels with noise of any strength."""
    pictures = list(load_pictures(data / "pictures", test=False).values())

    def batch(_: float) -> Batch:
        clean = batch_of_crops(pictures, 12, 96, random)
        return noisy(clean, random), clean

    return Job(Denoiser(), 3000, 1e-3, batch, charbonnier)


def upscale_job(data: Path, random: np.random.Generator) -> Job:
    """Crops of 96 pixels, halved."""
    pictures = list(load_pictures(data / "pictures", test=False).values())

    def batch(_: float) -> Batch:
        large = np.rint(batch_of_crops(pictures, 24, 96, random) * 255.0).astype(np.uint8)
        crops = large.transpose(0, 2, 3, 1)
        small = np.stack([worn(halved(crop), random) for crop in crops])
        return as_floats(small), as_floats(crops)

    return Job(Upscaler(), 3600, 1.5e-3, batch, charbonnier)


def cutout_job(data: Path, random: np.random.Generator) -> Job:
    """Composites: of 160 pixels for the first two thirds, then of 256."""
    composer = Composer(data, random)

    def batch(done: float) -> Batch:
        return composer.batch(32, 160, fresh=0.3) if done < 0.65 else composer.batch(14, 256, fresh=0.3)

    return Job(Cutter(), 1600, 3e-3, batch, mask_loss)


JOBS = {"denoise": denoise_job, "upscale": upscale_job, "cutout": cutout_job}


def as_floats(crops: np.ndarray) -> np.ndarray:
    """uint8 [N, H, W, 3] -> float32 [N, 3, H, W] in 0..1."""
    return np.ascontiguousarray(crops.transpose(0, 3, 1, 2), np.float32) / 255.0


def charbonnier(result: Tensor, wanted: Tensor) -> Tensor:
    """Mean absolute difference, rounded off below one step of 8 bits."""
    return torch.sqrt((result - wanted) ** 2 + 1e-5).mean()


def mask_loss(logits: Tensor, alpha: Tensor) -> Tensor:
    """Cross entropy and one minus a soft intersection over union, a picture each."""
    entropy = functional.binary_cross_entropy_with_logits(logits, alpha)
    mask = torch.sigmoid(logits)
    shared = (mask * alpha).sum((1, 2, 3))
    either = (mask + alpha - mask * alpha).sum((1, 2, 3))
    return entropy + 0.5 * (1.0 - (shared + 1.0) / (either + 1.0)).mean()


def train(job: Job, out: Path, steps: int, start: int = 0) -> nn.Module:
    """Adam with a warm-up and a cosine down to nothing, in bfloat16; checkpoints on the way."""
    network = job.network.to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), job.rate, weight_decay=1e-4)
    total, started = 0.0, time.process_time()
    for step in range(start, steps):
        rate = job.rate * min(1.0, (step - start + 1) / 100) * 0.5 * (1.0 + math.cos(math.pi * step / steps))
        for group in optimiser.param_groups:
            group["lr"] = rate
        inputs, wanted = (torch.from_numpy(array) for array in job.batch(step / steps))
        with torch.autocast("cpu", torch.bfloat16, enabled=not Convolution.rounding):
            result = network(inputs.contiguous(memory_format=torch.channels_last))
        loss = job.loss(result.float(), wanted)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        total += loss.item()
        if (step + 1) % REPORT_EVERY == 0:
            seconds = time.process_time() - started
            print(f"{step + 1} of {steps}: loss {total / REPORT_EVERY:.5f}, {seconds:.0f} s", flush=True)
            total = 0.0
            torch.save(network.state_dict(), out)
    if Convolution.rounding:
        for module in network.modules():
            if isinstance(module, Convolution):
                module.weight.data = module.rounded()
    torch.save(network.state_dict(), out)
    return network


def main() -> None:
    """Read the arguments, train, leave DATA/weights/JOB.pt."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job", choices=JOBS)
    parser.add_argument("--data", type=Path, required=True, help="the folder that README.md describes")
    parser.add_argument("--steps", type=int, help="fewer steps, for a try")
    parser.add_argument("--round", action="store_true", help="adapt the trained weights to int8, at the end")
    parser.add_argument("--start", type=int, default=0, help="go on from the checkpoint at this step")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    job = JOBS[arguments.job](arguments.data, np.random.default_rng(SEED))
    folder = arguments.data / "weights"
    folder.mkdir(exist_ok=True)
    checkpoint = folder / f"{arguments.job}.pt"
    if arguments.round:
        Convolution.rounding = True
        job = replace(job, rate=job.rate * ROUNDING_RATE, steps=ROUNDING_STEPS)
    if arguments.start or arguments.round:
        job.network.load_state_dict(torch.load(checkpoint))
    train(job, checkpoint, arguments.steps or job.steps, arguments.start)


if __name__ == "__main__":
    main()
