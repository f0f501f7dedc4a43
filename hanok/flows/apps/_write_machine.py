"""The writer's machine: a decoder from a folder, with one program for all tokens behind the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy.typing as npt

from hanok.flows._execution import Progress
from hanok.flows._language_folder import FolderMachine, ProgramRequest
from hanok.flows._text import TOKENIZER_NAME, Tokenizer
from hanok.flows._token_program import TokenProgram, bucket_of
from hanok.flows.arrays import InputError
from hanok.flows.compile_and_run import compile_model
from hanok.flows.generate import CALIBRATION_TEXTS, LanguageModel
from hanok.graph.language.build import LOGITS
from hanok.graph.language.names import open_checkpoint
from hanok.graph.language.quantised import quantised_decoder
from hanok.machine import Chip

Array = npt.NDArray[Any]
CALIBRATION_NAME = "calibration.txt"
MAX_CALIBRATION_BYTES = 1 << 20
MAX_CALIBRATION_LINES = 64


class OneDecoder(FolderMachine):
    """Compiles one decode program for a whole text, where FolderMachine has one for each power of two.

    A text then waits for two programs, however long it is. Each step costs the chip a little more, because it
    always looks at all places of the cache.
    """

    def prepare(self, prompt: int, expected: int) -> None:
        """Compile the program that reads a prompt, and the one that continues it up to `expected` tokens."""
        self._program("prefill", bucket_of(prompt, self.context))
        last = min(expected - 1, self.context)
        if last > prompt:
            self._program("decode", self._decode_length(last))

    def step(self, token: int) -> Array:
        """Read one more token; return the logits of what comes next."""
        filled = self._cache.filled
        length = self._decode_length(filled + 1)
        values = self._feed.decode(token, self._cache.view(length - 1), filled, length - 1)
        outputs = self._program("decode", length).run(values)
        self._cache.append(self._feed.new_rows(outputs, 1))
        return outputs[LOGITS].reshape(-1)

    def _decode_length(self, seen: int) -> int:
        """Of the shortest decode program there is for so many tokens, or of the one to make."""
        lengths = [program.length for program in self.programs if program.kind == "decode"]
        return min((length for length in lengths if length >= seen), default=bucket_of(seen, self.context))


@dataclass(frozen=True)
class _Compiler:
    """Makes the programs of one folder, without an operator on the host."""

    name: str
    chip: Chip
    check: bool
    progress: Progress

    def __call__(self, request: ProgramRequest) -> TokenProgram:
        """Quantise and compile a decoder."""
        self.progress("quantising")
        decoder = quantised_decoder(request.checkpoint, request.rows, request.past, request.samples)
        content = decoder.model.SerializeToString(deterministic=True)
        program = compile_model(content, self.chip, no_host=True, progress=self.progress)
        named = replace(program, name=f"{self.name} {request.kind} {request.length}")
        return TokenProgram(request.kind, request.length, named, check=self.check, progress=self.progress)


def open_folder(folder: Path, chip: Chip, *, check: bool, progress: Progress) -> LanguageModel:
    """Open a language model's folder; its calibration.txt, where it has one, calibrates the activations."""
    progress("reading the model")
    checkpoint = open_checkpoint(folder)
    decoder = checkpoint.decoder
    tokenizer = Tokenizer(folder / TOKENIZER_NAME, decoder.vocabulary)
    texts = calibration_texts(folder) or CALIBRATION_TEXTS
    samples = [ids for ids in map(tokenizer.encode, texts) if ids]
    if not samples:
        raise InputError(f"{folder}: no calibration text has a token; write some into {CALIBRATION_NAME}")
    machine = OneDecoder(checkpoint, samples, compile=_Compiler(folder.name, chip, check, progress))
    return LanguageModel(machine, tokenizer, decoder.begin_id, decoder.stop_ids)


def calibration_texts(folder: Path) -> Sequence[str]:
    """The lines of a folder's calibration.txt; none where it has no such file."""
    path = folder / CALIBRATION_NAME
    if not path.is_file():
        return ()
    size = path.stat().st_size
    if size > MAX_CALIBRATION_BYTES:
        raise InputError(f"{path}: {size} bytes; allowed: at most {MAX_CALIBRATION_BYTES}")
    try:
        lines = [line for line in path.read_text("utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from None
    if len(lines) > MAX_CALIBRATION_LINES:
        raise InputError(f"{path}: {len(lines)} texts; allowed: at most {MAX_CALIBRATION_LINES}, one a line")
    return lines
