"""Subjects with an outline: pictures with alpha, kept small, split by what they show."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
from PIL import Image

LONGEST = 224
CLIP_ART_FOLDERS = (
    "animals",
    "buildings",
    "containers",
    "electronics",
    "food",
    "people",
    "plants",
    "recreation",
    "tools",
    "transportation",
)
SKIN_TONES = ("1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff")
TEST_SHARE = 10
"""One in ten subjects is for tests: all pictures of one emoji, whatever its skin, fall on the same side."""


def load_subjects(data: Path, *, test: bool) -> list[np.ndarray]:
    """uint8 [H, W, 4] each, cropped to what is not transparent; kept in a file for the next time."""
    kept = data / ("subjects_test.npz" if test else "subjects_train.npz")
    if not kept.exists():
        np.savez(kept, *read_subjects(data, test=test))
    with np.load(kept) as file:
        return list(file.values())


def read_subjects(data: Path, *, test: bool) -> list[np.ndarray]:
    """All subjects of one side, from emoji and clip art."""
    subjects = []
    for file in sorted((data / "emoji").glob("*.webp")):
        parts = file.stem.split("-")
        if is_test(parts[0]) == test and not any(tone in parts for tone in SKIN_TONES[:4]):
            subjects.append(load_subject(file))
    for folder in CLIP_ART_FOLDERS:
        for file in sorted((data / "clipart" / folder).rglob("*.png")):
            if is_test(file.stem) == test and file.stat().st_size > 4000:
                subjects.append(load_subject(file))
    return [subject for subject in subjects if subject is not None]


def is_test(name: str) -> bool:
    """Whether the subject of this name belongs to the tests, by a hash of the name."""
    return zlib.crc32(name.encode()) % TEST_SHARE == 0


def load_subject(file: Path) -> np.ndarray | None:
    """A subject that fills 15 % to 92 % of its own frame and is mostly opaque, or None."""
    with Image.open(file) as image:
        image = image.convert("RGBA")
    box = image.getchannel("A").point(lambda value: 255 * (value > 16)).getbbox()
    if box is None:
        return None
    image = image.crop(box)
    if min(image.size) < 48:
        return None
    image.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
    subject = np.array(image)
    alpha = subject[..., 3] / 255.0
    solid = float((alpha > 0.9).sum() / max(1, (alpha > 0.05).sum()))
    return subject if 0.15 < alpha.mean() < 0.92 and solid > 0.7 else None
