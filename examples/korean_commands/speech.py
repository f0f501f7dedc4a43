"""Korean command words spoken by espeak-ng in many voices, and the noise and rooms they are heard in."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from features import CLIP_SAMPLES, SAMPLE_RATE_HZ

COMMANDS = ("켜", "꺼", "위로", "아래로", "왼쪽", "오른쪽", "시작", "정지", "예", "아니오")
UNKNOWN = "(모름)"
LABELS = (*COMMANDS, UNKNOWN)
OTHER_WORDS = (
    *("나무", "하늘", "바다", "고양이", "강아지", "사랑", "학교", "친구", "김치", "서울", "부산", "커피"),
    *("물", "불", "산", "손", "눈", "집", "책", "꽃", "밤", "봄", "여름", "가을", "겨울", "하나", "둘"),
    *("셋", "넷", "다섯", "여섯", "일곱", "여덟", "아홉", "열", "안녕", "고마워", "미안해", "전화", "음악"),
    *("사진", "날씨", "시간", "내일", "오늘", "어제", "자동차", "기차", "비행기", "컴퓨터", "창문", "의자"),
)
UNHEARD_OTHER_WORDS = (
    "바람",
    "구름",
    "우유",
    "감자",
    "동생",
    "가방",
    "시계",
    "노래",
    "여행",
    "그림",
    "도시",
    "거울",
)
"""Words of the class UNKNOWN that only the test set has."""

UNHEARD_FAMILIES = frozenset(
    {
        "alicia",
        "andy",
        "belinda",
        "boris",
        "ed",
        "gustave",
        "john",
        "klatt",
        "linda",
        "marcelo",
        "mario",
        "max",
    }
    | {"michel", "nguyen", "pablo", "quincy", "rob", "shelby", "travis"}
)
"""Voice families that only the test set has; a family is a name without digits: klatt, klatt2, klatt3 ..."""
NOT_SPEECH = frozenset({"demonic", "whisper", "whisperf", "unirobot", "fast"})

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Utterance:
    """What espeak-ng is asked to say: the word, and how."""

    word: str
    voice: str
    pitch: int
    words_per_minute: int


def voices() -> tuple[list[str], list[str]]:
    """Return the voice variants to train on, and those to test with, sorted; no family is in both."""
    listing = subprocess.run(
        ["espeak-ng", "--voices=variant"], check=True, capture_output=True, text=True
    ).stdout
    names = sorted(set(re.findall(r"!v/(.+?)\s*$", listing, re.MULTILINE)))
    names = [name for name in names if _family(name) not in NOT_SPEECH]
    unheard = [name for name in names if _family(name) in UNHEARD_FAMILIES]
    return [name for name in names if name not in unheard], unheard


def utterances(
    voice_names: list[str], words: tuple[str, ...], per_voice: int, random: np.random.Generator
) -> list[Utterance]:
    """`per_voice` utterances of each word by each voice, at random pitch and speed."""
    return [
        Utterance(word, voice, int(random.integers(20, 81)), int(random.integers(110, 221)))
        for voice in voice_names
        for word in words
        for _ in range(per_voice)
    ]


def speak(utterance: Utterance) -> FloatArray:
    """One second at 16 kHz with the word in the middle, scaled to a peak of 1."""
    command = ["espeak-ng", "--stdout", "-v", f"ko+{utterance.voice}", "-p", str(utterance.pitch)]
    command += ["-s", str(utterance.words_per_minute), utterance.word]
    data = subprocess.run(command, check=True, capture_output=True).stdout
    rate_hz = int.from_bytes(data[24:28], "little")
    pcm = data[data.index(b"data") + 8 :]
    speech = np.frombuffer(pcm[: len(pcm) // 2 * 2], "<i2").astype(np.float32)
    loud = np.flatnonzero(np.abs(speech) > 0.02 * np.abs(speech).max(initial=1))
    speech = _resample(speech[loud[0] : loud[-1] + 1], rate_hz) if loud.size else speech[:0]
    speech = speech[:CLIP_SAMPLES]
    clip = np.zeros(CLIP_SAMPLES, np.float32)
    start = (CLIP_SAMPLES - speech.size) // 2
    clip[start : start + speech.size] = speech
    return clip / max(float(np.abs(clip).max()), 1e-6)


def in_the_world(
    clips: FloatArray, random: np.random.Generator, *, other_throats: bool = False
) -> FloatArray:
    """The clips as a microphone hears them: shifted, in a room, coloured, over noise of 5 to 30 dB.

    `other_throats` plays each faster or slower first, which moves pitch and formants: new voices to train on.
    """
    heard = np.empty_like(clips)
    for index, clip in enumerate(clips):
        if other_throats:
            clip = _resized(clip, random.uniform(0.82, 1.22))
        shifted = np.roll(clip, int(random.integers(-1600, 1601)))
        noise = _noise(random, clips)
        signal = _coloured(_in_a_room(shifted, random), random)
        ratio = 10 ** (-random.uniform(5, 30) / 20)
        level = np.sqrt(np.square(signal).mean()) * ratio / (np.sqrt(np.square(noise).mean()) + 1e-9)
        heard[index] = signal + level * noise
    return heard


def noise_only(count: int, random: np.random.Generator, clips: FloatArray) -> FloatArray:
    """`count` seconds without a command in them."""
    return np.stack([_noise(random, clips) for _ in range(count)])


def _family(voice: str) -> str:
    return voice.lower().rstrip("0123456789")


def _resample(speech: FloatArray, rate_hz: int) -> FloatArray:
    """Band-limited resampling: cut or pad the spectrum."""
    samples = max(1, round(speech.size * SAMPLE_RATE_HZ / rate_hz))
    return np.fft.irfft(np.fft.rfft(speech)[: samples // 2 + 1], samples).astype(np.float32)


def _resized(clip: FloatArray, speed: float) -> FloatArray:
    """The clip `speed` times as fast, its middle in the middle."""
    middle = CLIP_SAMPLES / 2
    moments = (np.arange(CLIP_SAMPLES) - middle) * speed + middle
    return np.interp(moments, np.arange(CLIP_SAMPLES), clip, left=0, right=0).astype(np.float32)


def _in_a_room(clip: FloatArray, random: np.random.Generator) -> FloatArray:
    """Convolve with a direct path and an exponentially decaying tail; a third of the clips stay dry."""
    if random.random() < 1 / 3:
        return clip
    length = int(SAMPLE_RATE_HZ * random.uniform(0.05, 0.35))
    tail = random.standard_normal(length) * np.exp(-6.9 * np.arange(length) / length)
    tail *= random.uniform(0.1, 0.6) / np.sqrt(np.square(tail).sum())
    tail[0] = 1.0
    size = 2 * CLIP_SAMPLES  # at least CLIP_SAMPLES + length, and quick to transform
    heard = np.fft.irfft(np.fft.rfft(clip, size) * np.fft.rfft(tail, size), size)
    return heard[:CLIP_SAMPLES].astype(np.float32)


def _coloured(clip: FloatArray, random: np.random.Generator) -> FloatArray:
    """A smooth random frequency response within about 6 dB."""
    knots = random.uniform(-6, 6, 6)
    bins = CLIP_SAMPLES // 2 + 1
    response = 10 ** (np.interp(np.linspace(0, 5, bins), np.arange(6), knots) / 20)
    return np.fft.irfft(np.fft.rfft(clip) * response, CLIP_SAMPLES).astype(np.float32)


def _noise(random: np.random.Generator, clips: FloatArray) -> FloatArray:
    """Coloured noise, or the babble of eight clips at random offsets, played backwards."""
    if random.random() < 0.3:
        chosen = clips[random.integers(0, len(clips), 8), ::-1]
        return np.sum([np.roll(clip, int(random.integers(CLIP_SAMPLES))) for clip in chosen], axis=0)
    bins = np.arange(CLIP_SAMPLES // 2 + 1, dtype=np.float32)
    spectrum = random.standard_normal(bins.size) + 1j * random.standard_normal(bins.size)
    spectrum /= np.maximum(bins, 20.0) ** random.uniform(0, 1)
    noise = np.fft.irfft(spectrum, CLIP_SAMPLES)
    return (noise / np.abs(noise).max()).astype(np.float32)
