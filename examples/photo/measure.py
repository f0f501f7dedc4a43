"""What the networks are worth, on pictures that training never saw; through hanok's own tiling and masks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
from composites import Composer
from damage import halved, white_noise
from pictures import load_pictures
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from subjects import load_subject

from hanok.flows.apps._photo_mask import cut_out, shrink
from hanok.flows.apps._photo_tiles import Tiling, run_tiles

SIGMAS = (15, 25, 50)
SIDE = 512
SEED = 11
PHOTOGRAPHIC_STAMPS = (
    "animals",
    "clothes/hats",
    "food/fruit",
    "food/nuts",
    "food/vegetables",
    "hobbies/music",
    "household",
    "plants",
    "vehicles",
)
Run = Callable[[np.ndarray], np.ndarray]


def runner(model: bytes) -> Run:
    """A model in ONNX Runtime on one core, optimised: a pixel may be a step of int8 off the emulator's."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda tile: session.run(None, {"picture": tile})[0]


def middles(data: Path) -> list[np.ndarray]:
    """The middle of each test photograph, at most SIDE a side."""
    cut = []
    for picture in load_pictures(data / "pictures", test=True).values():
        side_y, side_x = (min(SIDE, length) for length in picture.shape[:2])
        top, left = (picture.shape[0] - side_y) // 2, (picture.shape[1] - side_x) // 2
        cut.append(np.ascontiguousarray(picture[top : top + side_y, left : left + side_x]))
    return cut


def likeness(result: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """PSNR in dB and SSIM of two uint8 pictures, four pixels of edge left out."""
    inner = (slice(4, -4), slice(4, -4))
    first, second = wanted[inner], result[inner]
    return np.array(
        [peak_signal_noise_ratio(first, second), structural_similarity(first, second, channel_axis=2)]
    )


def quiet(_: str) -> None:
    """Nobody watches."""


def measure_denoise(runs: dict[str, Run], data: Path) -> dict[str, dict[str, float]]:
    """For each strength of white noise: PSNR and SSIM of the noisy pictures and of each network's."""
    figures = {}
    tiling = Tiling(256, 24)
    for sigma in SIGMAS:
        random = np.random.default_rng(SEED)
        rows: dict[str, list[np.ndarray]] = {name: [] for name in ("noisy", *runs)}
        for clean in middles(data):
            noisy = np.uint8(white_noise(clean.astype(np.float32) / 255.0, sigma, random) * 255.0 + 0.5)
            rows["noisy"].append(likeness(noisy, clean))
            for name, run in runs.items():
                rows[name].append(likeness(run_tiles(noisy, tiling, run, quiet), clean))
        figures[f"sigma_{sigma}"] = table(rows)
    return figures


def measure_upscale(runs: dict[str, Run], data: Path) -> dict[str, float]:
    """PSNR and SSIM of bicubic enlargement and of each network's."""
    rows: dict[str, list[np.ndarray]] = {name: [] for name in ("bicubic", *runs)}
    for large in middles(data):
        small = halved(large)
        image = Image.fromarray(small).resize((large.shape[1], large.shape[0]), Image.Resampling.BICUBIC)
        rows["bicubic"].append(likeness(np.asarray(image), large))
        for name, run in runs.items():
            rows[name].append(likeness(run_tiles(small, Tiling(256, 8, 2), run, quiet), large))
    return table(rows)


def table(rows: dict[str, list[np.ndarray]]) -> dict[str, float]:
    """Means over the pictures."""
    figures = {}
    for name, values in rows.items():
        psnr, ssim = np.mean(values, 0)
        figures[f"psnr_{name}"], figures[f"ssim_{name}"] = round(float(psnr), 2), round(float(ssim), 4)
    return figures


def measure_cutout(runs: dict[str, Run], data: Path) -> dict[str, float]:
    """Intersection over union of the refined masks at one half, for each set of pictures and network."""
    sets = {"composites": composites(data, None, 100), "stamps": composites(data, stamps(data), 100)}
    if (data / "davis").exists():
        sets["video_frames"] = video_frames(data / "davis")
    figures = {}
    for kind, pairs in sets.items():
        for name, run in runs.items():
            scores = [overlap(run, picture, alpha) for picture, alpha in pairs]
            figures[f"{kind}_{name}"] = round(float(np.mean(scores)), 3)
        figures[f"{kind}_pictures"] = len(pairs)
    return figures


def overlap(run: Run, picture: np.ndarray, alpha: np.ndarray) -> float:
    """Intersection over union of what hanok cuts out of `picture` and what is so in `alpha`."""
    mask = np.clip(run(shrink(picture, 256))[0, 0], 0.0, 1.0)
    found, wanted = cut_out(picture, mask)[..., 3] >= 128, alpha >= 0.5
    return float((found & wanted).sum() / max(1, (found | wanted).sum()))


def composites(
    data: Path, subjects: list[np.ndarray] | None, count: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Unseen subjects on unseen photographs, 384 pixels a side."""
    composer = Composer(data, np.random.default_rng(SEED), test=True, subjects=subjects)
    return [composer.composite(384) for _ in range(count)]


def stamps(data: Path) -> list[np.ndarray]:
    """Photographs of things with alpha, none of which trains: tuxpaint-stamps."""
    files = (
        file for folder in PHOTOGRAPHIC_STAMPS for file in sorted((data / "stamps" / folder).rglob("*.png"))
    )
    loaded = (load_subject(file) for file in files if "cartoon" not in str(file))
    return [subject for subject in loaded if subject is not None]


def video_frames(folder: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """First and middle frame of each DAVIS sequence with its mask: real scenes, none of which trains."""
    pairs = []
    for sequence in sorted((folder / "JPEGImages").iterdir()):
        files = sorted(sequence.glob("*.jpg"))
        for file in (files[0], files[len(files) // 2]):
            mask = folder / "Annotations" / sequence.name / f"{file.stem}.png"
            picture = np.asarray(Image.open(file).convert("RGB"))
            pairs.append((picture, (np.asarray(Image.open(mask).convert("L")) > 0).astype(np.float32)))
    return pairs
