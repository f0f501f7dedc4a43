"""What training does to clean pictures: noise to take away, pixels to bring back."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

BLUR = np.array([0.25, 0.5, 0.25], np.float32)


def noisy(clean: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """`clean` [N, 3, H, W] in 0..1 as an 8-bit camera might give it: three kinds of noise, 1 to 55 of 255.

    Six in ten have white noise of one strength, three in ten shot noise (its variance rises with brightness),
    one in ten noise that a camera has already smeared over its neighbours.
    """
    count = len(clean)
    sigma = random.uniform(1.0, 55.0, (count, 1, 1, 1)).astype(np.float32) / 255.0
    noise = random.standard_normal(clean.shape, np.float32)
    kind = random.random((count, 1, 1, 1))
    smeared = _smear(noise)
    noise = np.where(kind > 0.9, smeared, noise)
    strength = np.where((kind > 0.6) & (kind <= 0.9), np.sqrt(0.1 + 0.9 * clean) * 1.3, 1.0)
    return quantised(clean + noise * sigma * strength.astype(np.float32))


def _smear(noise: np.ndarray) -> np.ndarray:
    """White noise blurred by a small tent, brought back to variance 1 or nearly so."""
    padded = np.pad(noise, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="wrap")
    rows = BLUR[0] * padded[:, :, :-2] + BLUR[1] * padded[:, :, 1:-1] + BLUR[2] * padded[:, :, 2:]
    both = BLUR[0] * rows[..., :-2] + BLUR[1] * rows[..., 1:-1] + BLUR[2] * rows[..., 2:]
    return both / float((BLUR**2).sum())


def white_noise(clean: np.ndarray, sigma: float, random: np.random.Generator) -> np.ndarray:
    """`clean` with white noise of `sigma` (of 255), clipped to 8 bits: what the tests measure."""
    return quantised(clean + random.standard_normal(clean.shape, np.float32) * np.float32(sigma / 255.0))


def quantised(picture: np.ndarray) -> np.ndarray:
    """Rounded to the 256 steps of a file and back to 0..1."""
    return (np.clip(np.rint(picture * 255.0), 0.0, 255.0) / 255.0).astype(np.float32)


def halved(large: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] -> uint8 [H/2, W/2, 3] by an antialiased bicubic filter."""
    image = Image.fromarray(large)
    return np.asarray(image.resize((image.width // 2, image.height // 2), Image.Resampling.BICUBIC))


def worn(small: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """uint8 [H, W, 3]: one in five a little noisy, one in five saved as JPEG, the others untouched."""
    kind = random.random()
    if kind < 0.2:
        noise = random.standard_normal(small.shape, np.float32) * np.float32(random.uniform(0.5, 4.0))
        return np.clip(np.rint(small + noise), 0, 255).astype(np.uint8)
    if kind < 0.4:
        stream = io.BytesIO()
        Image.fromarray(small).save(stream, "JPEG", quality=int(random.integers(75, 97)))
        return np.asarray(Image.open(stream).convert("RGB"))
    return small
