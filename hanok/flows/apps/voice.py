"""Korean voice commands from a sound or a microphone: what was said and when, heard on a chip's NPU."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hanok.flows._execution import Progress, quiet
from hanok.flows._repeated_program import RepeatedProgram
from hanok.flows.apps._voice_features import SAMPLE_RATE_HZ, FloatArray, log_mel
from hanok.flows.apps._voice_listening import Decision, Heard, Window, Windows
from hanok.flows.apps._voice_model import (
    assets_folder,
    compile_recogniser,
    read_description,
    shipped_model,
)
from hanok.flows.apps._voice_wav import read_wav, stream_wav
from hanok.flows.arrays import InputError
from hanok.flows.cost import Cost, cost_of
from hanok.machine import Chip

__all__ = ["Heard", "Voice", "VoiceListener", "read_wav", "recognise", "sample_sound", "stream_wav"]


@dataclass(frozen=True)
class Voice:
    """What was heard in a sound: its commands in their order, or one Heard without a word."""

    heard: tuple[Heard, ...]
    seconds: float
    """Length of the sound."""
    cost: Cost
    windows: int
    """Seconds of sound, overlapping, that the network has looked at."""


class VoiceListener:
    """Hears commands in a sound that comes in blocks; holds one second of it at a time."""

    def __init__(
        self, chip: Chip, *, model: Path | None = None, check: bool = True, progress: Progress = quiet
    ) -> None:
        """Compile the shipped network, or `model` with its labels in the .toml beside it.

        `check` compares the first window's scores with ONNX Runtime. Raises HanokError subclasses.
        """
        description = read_description(shipped_model() if model is None else model)
        program = compile_recogniser(model, chip, description, progress)
        self._program = RepeatedProgram("voice", program, check=check, progress=progress)
        self._input, self._shape = program.inputs[0].name, program.inputs[0].shape
        self._decision = Decision(description.labels, description.unknown, description.threshold)
        self._windows = Windows()
        self._heard: list[Heard] = []
        self._finished = False

    def feed(self, block: FloatArray) -> list[Heard]:
        """The commands that ended by now; block: samples [n], mono at 16 kHz, of any loudness."""
        if self._finished:
            raise InputError("the sound: has been finished; begin another VoiceListener")
        if block.ndim != 1 or block.dtype.kind != "f":
            raise InputError(f"the sound: {block.dtype} {list(block.shape)}; expected floats [samples]")
        if not np.isfinite(block).all():
            raise InputError("the sound: holds samples that are no numbers")
        return self._listen(self._windows.feed(block.astype(np.float32, copy=False)))

    def finish(self) -> Voice:
        """End the sound; raises InputError if it had no samples."""
        if self._windows.samples == 0:
            raise InputError("the sound: holds no samples; expected speech, mono at 16 kHz")
        if not self._finished:
            self._finished = True
            self._listen(self._windows.finish())
            self._keep(self._decision.finish())
        heard = tuple(self._heard) or (self._decision.nothing(),)
        seconds = self._windows.samples / SAMPLE_RATE_HZ
        return Voice(heard, seconds, cost_of([self._program]), self._program.runs)

    def _listen(self, windows: list[Window]) -> list[Heard]:
        already = len(self._heard)
        for window in windows:
            features = log_mel(window.sound[None]).reshape(self._shape)
            (scores,) = self._program.run({self._input: features}).values()
            self._keep(self._decision.feed(window.start_seconds, scores.reshape(-1)))
        return self._heard[already:]

    def _keep(self, heard: Heard | None) -> None:
        if heard is not None:
            self._heard.append(heard)


def recognise(
    sound: FloatArray,
    chip: Chip,
    *,
    model: Path | None = None,
    check: bool = True,
    progress: Progress = quiet,
) -> Voice:
    """Hear the commands in a whole sound [samples], mono at 16 kHz; see VoiceListener."""
    if sound.size == 0:
        raise InputError("the sound: holds no samples; expected speech, mono at 16 kHz")
    listener = VoiceListener(chip, model=model, check=check, progress=progress)
    progress("listening")
    listener.feed(sound)
    return listener.finish()


def sample_sound() -> Path:
    """The shipped WAV file: one command, said by a synthetic voice that training never heard."""
    return assets_folder() / "voice_sample.wav"
