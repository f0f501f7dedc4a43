"""Pictures with a known subject: cut-out subjects laid on photographs, made hard to tell from real ones."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from pictures import load_pictures
from PIL import Image, ImageFilter
from subjects import load_subjects

OWN_SUBJECT = (
    "budgie/perched-osprey",
    "budgie/saturnian-profile",
    "elementary/Mr._Lee",
    "lomiri/Picture_0B_by_freespace",
    "lomiri/friends_by_Aitzol_Berasategi",
    "lomiri/seeding_by_Clements_Engelhardt",
    "lomiri/Wine_by_Jakkub_Mede",
    "pop/galen-crout-175291",
    "pop/jake-hills-36605",
    "pop/ng-32703",
    "budgie/canyon-wren",
    "budgie/oakland-zoo-otters",
    "pop/kait-herzog-8242",
    "skimage/astronaut",
    "skimage/chelsea",
    "skimage/coffee",
    "sklearn/china",
    "sklearn/flower",
)
"""Photographs that show a subject of their own and cannot be a background."""
REMEMBERED = 600


class Composer:
    """Makes composites without end.

    `test` takes subjects and photographs that training never sees, and leaves subjects as they are.
    """

    def __init__(
        self,
        data: Path,
        random: np.random.Generator,
        *,
        test: bool = False,
        subjects: list[np.ndarray] | None = None,
    ) -> None:
        self.random = random
        self.disguise = not test
        self.made: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
        self.subjects = load_subjects(data, test=test) if subjects is None else subjects
        pictures = load_pictures(data / "pictures", test=test)
        self.backgrounds = [
            Image.fromarray(picture) for name, picture in pictures.items() if name not in OWN_SUBJECT
        ]

    def batch(self, count: int, side: int, *, fresh: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
        """Pictures float32 [count, 3, side, side] in 0..1 and alphas [count, 1, side, side].

        With `fresh` below 1 the rest of the batch are mirror images of earlier composites of the same size.
        """
        new = count if len(self.made.get(side, ())) < REMEMBERED else round(count * fresh)
        made = [self.composite(side) for _ in range(new)]
        memory = self.made.setdefault(side, [])
        memory.extend((picture[:, ::-1], alpha[:, ::-1]) for picture, alpha in made)
        del memory[:-REMEMBERED]
        made += [memory[index] for index in self.random.integers(0, len(memory), count - new)]
        pictures = np.stack([picture for picture, _ in made]).transpose(0, 3, 1, 2)
        alphas = np.stack([alpha for _, alpha in made])[:, None]
        return np.ascontiguousarray(pictures, np.float32) / 255.0, alphas

    def composite(self, side: int) -> tuple[np.ndarray, np.ndarray]:
        """One picture uint8 [side, side, 3] and its alpha float32 [side, side]."""
        random = self.random
        picture = self._background(side)
        alpha = np.zeros((side, side), np.float32)
        count = 1 if random.random() < 0.75 else int(random.integers(2, 4))
        for _ in range(count):
            colours, cover = self._subject(side, random.uniform(0.35, 1.1) / count**0.5)
            if random.random() < 0.4:
                picture = picture * (1.0 - self._shadow(cover))[..., None]
            picture = picture + cover[..., None] * (colours - picture)
            alpha = np.maximum(alpha, cover)
        return self._camera(picture), alpha

    def _background(self, side: int) -> np.ndarray:
        random = self.random
        if random.random() < 0.08:
            ends = random.uniform(0, 255, (2, 3))
            return self._ramp(side)[..., None] * (ends[1] - ends[0]) + ends[0]
        image = self._photo(side, random.uniform(0.25, 1.0))
        if random.random() < 0.5:
            image = image.filter(ImageFilter.GaussianBlur(random.uniform(0.5, side / 40)))
        return self._tinted(np.asarray(image, np.float32))

    def _photo(self, side: int, share: float) -> Image.Image:
        """A square out of a photograph, `share` of its shorter side, brought to `side` pixels."""
        random = self.random
        image = self.backgrounds[random.integers(len(self.backgrounds))]
        length = max(32.0, share * min(image.size))
        left = random.uniform(0, image.width - length)
        top = random.uniform(0, image.height - length)
        box = (left, top, left + length, top + length)
        image = image.resize((side, side), Image.Resampling.BILINEAR, box=box, reducing_gap=1.5)
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if random.integers(2) else image

    def _subject(self, side: int, size: float) -> tuple[np.ndarray, np.ndarray]:
        """Colours float32 [side, side, 3] and cover [side, side] of one subject somewhere in the frame."""
        random = self.random
        subject = self.subjects[random.integers(len(self.subjects))]
        layer = self._placed(subject, side, size)
        colours, cover = layer[..., :3], layer[..., 3] / 255.0
        kind = random.random() if self.disguise else 1.0
        if kind < 0.35:
            colours = np.asarray(self._photo(side, random.uniform(0.05, 0.5)), np.float32)
        elif kind < 0.75:
            texture = np.asarray(self._photo(side, random.uniform(0.05, 0.4)).convert("L"), np.float32)
            strength = random.uniform(0.2, 0.9)
            colours = (
                colours * (1.0 + strength * (texture / max(1.0, float(texture.mean())) - 1.0))[..., None]
            )
        shade = 1.0 + random.uniform(0.0, 0.6) * (self._ramp(side) - 0.5)
        return self._tinted(colours * shade[..., None]), cover

    def _placed(self, subject: np.ndarray, side: int, size: float) -> np.ndarray:
        """The subject turned, stretched and moved: float32 [side, side, 4]."""
        random = self.random
        height, width = subject.shape[:2]
        scale = max(height, width) / (size * side)
        angle = random.normal(0.0, 0.25) if random.random() < 0.7 else random.uniform(-np.pi, np.pi)
        stretch = np.exp(random.normal(0.0, 0.12))
        mirror = -1.0 if random.integers(2) else 1.0
        slack = 0.33 - 0.2 * size
        centre = side * (0.5 + random.uniform(-slack, slack, 2))
        if random.random() < 0.3:
            centre[1] = side * (1.0 - 0.5 * size * random.uniform(0.6, 1.0))
        cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
        a, b = mirror * stretch * cosine, mirror * stretch * sine
        d, e = -sine / stretch, cosine / stretch
        shift_x = width / 2 - a * centre[0] - b * centre[1]
        shift_y = height / 2 - d * centre[0] - e * centre[1]
        image = Image.fromarray(subject)
        if scale > 1.6:
            image = image.reduce(int(scale + 0.4))
            factor = image.width / width
            a, b, d, e, shift_x, shift_y = (factor * value for value in (a, b, d, e, shift_x, shift_y))
        moved = image.transform(
            (side, side),
            Image.Transform.AFFINE,
            (a, b, shift_x, d, e, shift_y),
            Image.Resampling.BILINEAR,
        )
        return np.asarray(moved, np.float32)

    def _shadow(self, cover: np.ndarray) -> np.ndarray:
        random = self.random
        side = len(cover)
        moved = np.roll(cover, tuple(random.integers(-side // 12, side // 12 + 1, 2)), (0, 1))
        image = Image.fromarray(np.uint8(moved * 255 * random.uniform(0.2, 0.7)))
        return np.asarray(image.filter(ImageFilter.BoxBlur(side / 24)), np.float32) / 255.0

    def _ramp(self, side: int) -> np.ndarray:
        """A slope from 0 to 1 across a square, in a random direction."""
        angle = self.random.uniform(0, 2 * np.pi)
        line = np.linspace(-0.5, 0.5, side, dtype=np.float32)
        slope = np.cos(angle) * line[None, :] + np.sin(angle) * line[:, None]
        return 0.5 + slope / (abs(np.cos(angle)) + abs(np.sin(angle)))

    def _tinted(self, colours: np.ndarray) -> np.ndarray:
        """Brightness, contrast, saturation and tint a little off."""
        random = self.random
        grey = colours.mean(-1, keepdims=True)
        colours = grey + (colours - grey) * random.uniform(0.3, 1.4)
        gain = random.uniform(0.6, 1.3) * random.uniform(0.85, 1.15, 3)
        return np.clip(colours * gain + random.uniform(-20, 20), 0, 255).astype(np.float32)

    def _camera(self, picture: np.ndarray) -> np.ndarray:
        """What lens, sensor and JPEG do to the finished scene."""
        random = self.random
        noise = random.standard_normal(picture.shape, np.float32) * np.float32(random.uniform(0, 8))
        image = Image.fromarray(np.uint8(np.clip(picture + noise, 0, 255)))
        if random.random() < 0.3:
            image = image.filter(ImageFilter.GaussianBlur(random.uniform(0.3, 1.2)))
        if random.random() < 0.4:
            stream = io.BytesIO()
            image.save(stream, "JPEG", quality=int(random.integers(50, 95)))
            image = Image.open(stream).convert("RGB")
        return np.asarray(image)
