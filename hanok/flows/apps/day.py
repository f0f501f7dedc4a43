"""A day on a phone: every application once, on what ships with hanok, and what each cost and let out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import numpy.typing as npt

from hanok.flows._execution import Progress, quiet
from hanok.flows.apps.power import SustainedLoad, check_cap, sustained_load
from hanok.flows.apps.privacy import Departures, watch_departures
from hanok.flows.chips import chip_summary
from hanok.flows.cost import Cost
from hanok.flows.results import ChipSummary
from hanok.machine import Chip

Picture = npt.NDArray[np.uint8]
ENGLISH = "Save the file?"
BEGINNING = "오늘 서울은"
TOKENS = 64
NOISE = 25.0
"""Standard deviation, of 255, of the noise on the picture that is to be freed of it."""


@dataclass(frozen=True)
class Job:
    """One job: what came in, what came out, what it cost the chip."""

    name: str
    asked: str
    given: str
    cost: Cost
    load: SustainedLoad
    """The same job again and again."""
    wall_seconds: float
    """Of hanok on this computer: compiling, emulating, timing, checking."""
    pictures: tuple[Picture, Picture] | None = None
    """Before and after."""
    speed: str = ""
    """Where a job has a speed of its own, such as tokens a second."""


@dataclass(frozen=True)
class Day:
    """All jobs on one chip."""

    chip: ChipSummary
    jobs: tuple[Job, ...]
    departures: Departures
    cap_watts: float | None

    @property
    def milliseconds(self) -> float:
        """Of all jobs on the chip."""
        return sum(job.cost.milliseconds for job in self.jobs)

    @property
    def energy_mj(self) -> float:
        """Of all jobs."""
        return sum(job.cost.energy_mj for job in self.jobs)


@dataclass(frozen=True)
class _Outcome:
    """What a job's function returns."""

    asked: str
    given: str
    cost: Cost
    pictures: tuple[Picture, Picture] | None = None
    speed: str = ""


def run_day(
    chip: Chip,
    *,
    cap_watts: float | None = None,
    check: bool = True,
    progress: Progress = quiet,
    told: Callable[[Job], None] = lambda _job: None,
) -> Day:
    """Do every job once; `told` gets each as it ends. `check` compares each program with ONNX Runtime."""
    check_cap(cap_watts)
    jobs: list[Job] = []
    with watch_departures() as departures:
        for name, do in _JOBS.items():
            begin = perf_counter()
            outcome = do(chip, check, _named(progress, name))
            job = Job(
                name=name,
                asked=outcome.asked,
                given=outcome.given,
                cost=outcome.cost,
                load=sustained_load(outcome.cost, cap_watts),
                wall_seconds=perf_counter() - begin,
                pictures=outcome.pictures,
                speed=outcome.speed,
            )
            jobs.append(job)
            told(job)
    return Day(chip_summary(chip), tuple(jobs), departures, cap_watts)


def _denoise(chip: Chip, check: bool, progress: Progress) -> _Outcome:
    from hanok.flows.apps.photo import edit_photo, read_picture, sample_photo

    clean = read_picture(sample_photo())
    noise = np.random.default_rng(0).normal(0, NOISE, clean.shape)
    noisy = np.clip(np.rint(clean + noise), 0, 255).astype(np.uint8)
    photo = edit_photo(noisy, "denoise", chip, check=check, progress=progress)
    given = f"PSNR {_psnr(noisy, clean):.1f} dB -> {_psnr(photo.picture, clean):.1f} dB"
    asked = f"{_size(noisy)} with noise of {NOISE:.0f} in 255"
    return _Outcome(asked, given, photo.cost, (noisy, photo.picture))


def _upscale(chip: Chip, check: bool, progress: Progress) -> _Outcome:
    from hanok.flows.apps.photo import edit_photo, read_picture, sample_photo

    picture = read_picture(sample_photo())
    photo = edit_photo(picture, "upscale", chip, check=check, progress=progress)
    return _Outcome(_size(picture), _size(photo.picture), photo.cost, (picture, photo.picture))


def _cutout(chip: Chip, check: bool, progress: Progress) -> _Outcome:
    from hanok.flows.apps.photo import edit_photo, read_picture, sample_photo

    picture = read_picture(sample_photo())
    photo = edit_photo(picture, "cutout", chip, check=check, progress=progress)
    covered = float(photo.picture[..., 3].mean() / 255)
    given = f"the subject, {100 * covered:.0f} % of the picture"
    return _Outcome(_size(picture), given, photo.cost, (picture, photo.picture))


def _voice(chip: Chip, check: bool, progress: Progress) -> _Outcome:
    from hanok.flows.apps.voice import read_wav, recognise, sample_sound

    voice = recognise(read_wav(sample_sound()), chip, check=check, progress=progress)
    words = [f"{each.word or 'unknown'} ({100 * each.confidence:.0f} %)" for each in voice.heard]
    speed = f"{voice.windows} windows in {voice.seconds:.1f} s of sound"
    asked = f"{voice.seconds:.1f} s of speech"
    return _Outcome(asked, ", ".join(words) or "no word", voice.cost, speed=speed)


def _translate(chip: Chip, check: bool, progress: Progress) -> _Outcome:
    from hanok.flows.apps.translate import Translator

    translation = Translator(chip, check=check, progress=progress).translate(ENGLISH)
    speed = f"{translation.steps} steps"
    return _Outcome(ENGLISH, translation.text, translation.cost, speed=speed)


def _write(chip: Chip, check: bool, progress: Progress) -> _Outcome:
    from hanok.flows.apps.write import Writer

    writing = Writer(chip, check=check, progress=progress).write(BEGINNING, tokens=TOKENS)
    made = writing.generation
    speed = f"{made.tokens_per_second:,.0f} tokens/s, the first after {made.first_token_ms:.2f} ms"
    return _Outcome(BEGINNING, writing.text, writing.cost, speed=speed)


_JOBS: dict[str, Callable[[Chip, bool, Progress], _Outcome]] = {
    "photo: denoise": _denoise,
    "photo: upscale": _upscale,
    "photo: cutout": _cutout,
    "voice": _voice,
    "translate": _translate,
    "write": _write,
}


def _named(progress: Progress, job: str) -> Progress:
    """Progress that says whose phase it is."""
    return lambda phase: progress(f"{job}: {phase}")


def _size(picture: Picture) -> str:
    return f"{picture.shape[1]} x {picture.shape[0]} pixels"


def _psnr(picture: Picture, clean: Picture) -> float:
    """Peak signal to noise in dB: 10 log10(255^2 / mean square error)."""
    error = np.mean(np.square(picture.astype(np.float64) - clean))
    return float(10 * np.log10(255**2 / error)) if error else float("inf")
