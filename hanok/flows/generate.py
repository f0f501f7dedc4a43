"""Text from a language model on a chip: its programs, its tokens, and what they cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy.typing as npt

from hanok.flows._execution import Progress, quiet
from hanok.flows._repeated_program import Values
from hanok.flows._text import TOKENIZER_NAME, TextStream, Tokenizer
from hanok.flows._token_program import TokenProgram
from hanok.flows.arrays import InputError
from hanok.flows.compile_and_run import compile_model
from hanok.flows.cost import ProgramUse
from hanok.flows.sampling import Sampler, Sampling
from hanok.isa import Program
from hanok.machine import Chip

if TYPE_CHECKING:
    from hanok.flows._language_folder import ProgramRequest

Array = npt.NDArray[Any]
Stop = Literal["stop token", "tokens", "context"]
CALIBRATION_TEXTS = (
    "오늘은 날씨가 맑아서 가족과 함께 한강 공원에 다녀왔습니다. 내일은 비가 온다고 합니다.",
    "인공지능 반도체는 신경망의 곱셈과 덧셈을 적은 전력으로 빠르게 계산한다.",
    "The house was built without a single nail, and its joints have held for three hundred years.",
    "질문: 12와 30을 더하면 얼마인가요? 답: 42입니다. 1, 2, 3, 4, 5.",
)
"""What activations are measured on where neither the user nor the folder gives texts."""
CALIBRATION_NAME = "calibration.txt"
MAX_CALIBRATION_BYTES = 1 << 20
MAX_CALIBRATION_LINES = 64


class Machine(Protocol):
    """A language model whose tokens programs of a chip make."""

    context: int
    vocabulary: int
    programs: list[TokenProgram]

    def prepare(self, prompt: int, expected: int) -> None:
        """Compile what a prompt of so many tokens needs, up to `expected` tokens with its continuation."""

    def begin(self, ids: Sequence[int]) -> Array:
        """Read a prompt; return the logits of what comes next."""

    def step(self, token: int) -> Array:
        """Read one more token; return the logits of what comes next."""


@dataclass(frozen=True)
class ProgramFigures(ProgramUse):
    """What a program that runs for tokens costs."""

    kind: str
    length: int
    """Tokens that it sees."""


@dataclass(frozen=True)
class Generation:
    """A text and its cost; times and energies are the chip's, without those of host operators."""

    prompt: tuple[int, ...]
    ids: tuple[int, ...]
    stop: Stop
    text: str
    reading: tuple[ProgramFigures, ...]
    """Programs that read the prompt."""
    making: tuple[ProgramFigures, ...]
    """Programs that made the tokens behind the first."""
    wall_seconds: float

    @property
    def first_token_ms(self) -> float:
        """From the prompt to the logits of the first token."""
        return sum(program.milliseconds for program in self.reading)

    @property
    def steps(self) -> int:
        """Tokens behind the first, each of them a run."""
        return sum(program.runs for program in self.making)

    @property
    def tokens_per_second(self) -> float:
        """What the chip makes behind the prompt; 0 where it made one token only."""
        spent = sum(program.milliseconds for program in self.making)
        return 1e3 * self.steps / spent if spent else 0.0

    @property
    def joules_per_token(self) -> float:
        """Of a step behind the prompt, on average; 0 where there is none."""
        return 1e-3 * sum(program.energy_mj for program in self.making) / self.steps if self.steps else 0.0


class LanguageModel:
    """A model on a chip; programs that were compiled for one prompt serve the next."""

    def __init__(
        self, machine: Machine, tokenizer: Tokenizer | None, begin_id: int | None, stop_ids: Sequence[int]
    ) -> None:
        self.machine = machine
        self.tokenizer = tokenizer
        self.begin_id = begin_id
        self.stop_ids = frozenset(stop_ids)

    def prepare(self, prompt: str | Sequence[int], tokens: int) -> None:
        """Compile the programs that `generate` with the same arguments needs."""
        ids = self._prompt_ids(prompt)
        self.machine.prepare(len(ids), len(ids) + tokens)

    def generate(
        self,
        prompt: str | Sequence[int],
        tokens: int,
        *,
        sampling: Sampling | None = None,
        stream: Callable[[str], None] = quiet,
    ) -> Generation:
        """Continue a prompt by at most `tokens` tokens; `stream` is given the text as it grows.

        A prompt is text, or token ids; an empty one is the model's begin token, or id 0. Without a tokenizer
        the text is the ids.
        """
        machine, begin = self.machine, perf_counter()
        ids = self._prompt_ids(prompt)
        sampler = Sampler(sampling or Sampling())
        writer = _Writer(self.tokenizer, ids, stream)
        machine.prepare(len(ids), len(ids) + tokens)
        start = [program.runs for program in machine.programs]
        logits = machine.begin(ids)
        read = [program.runs for program in machine.programs]
        made: list[int] = []
        stop: Stop | None = None
        while stop is None:
            made.append(sampler.choose(logits))
            stop = self._stop(len(ids), made, tokens)
            if stop != "stop token":
                writer.add(made[-1])
            if stop is None:
                logits = machine.step(made[-1])
        end = [program.runs for program in machine.programs]
        return Generation(
            prompt=tuple(ids),
            ids=tuple(made),
            stop=stop,
            text=writer.finish(),
            reading=_figures(machine.programs, start, read),
            making=_figures(machine.programs, read, end),
            wall_seconds=perf_counter() - begin,
        )

    def _stop(self, prompt: int, made: Sequence[int], tokens: int) -> Stop | None:
        if made[-1] in self.stop_ids:
            return "stop token"
        if len(made) >= tokens:
            return "tokens"
        return "context" if prompt + len(made) > self.machine.context else None

    def _prompt_ids(self, prompt: str | Sequence[int]) -> list[int]:
        machine = self.machine
        if not isinstance(prompt, str):
            ids = list(prompt)
        elif not prompt:
            ids = []
        elif self.tokenizer is None:
            raise InputError(f"a prompt in words needs the model's {TOKENIZER_NAME} beside it")
        else:
            ids = self.tokenizer.encode(prompt)
        ids = ids or [self.begin_id or 0]
        wrong = next((token for token in ids if not 0 <= token < machine.vocabulary), None)
        if wrong is not None:
            raise InputError(f"prompt: token {wrong}; allowed: 0..{machine.vocabulary - 1}")
        if len(ids) > machine.context:
            raise InputError(f"prompt: {len(ids)} tokens; allowed: at most {machine.context}, the context")
        return ids


class _Writer:
    """Streams the text of tokens, or their ids where there is no tokenizer, and keeps it."""

    def __init__(
        self, tokenizer: Tokenizer | None, prompt: Sequence[int], stream: Callable[[str], None]
    ) -> None:
        self._text = None if tokenizer is None else TextStream(tokenizer, prompt)
        self._stream = stream
        self._pieces: list[str] = []

    def add(self, token: int) -> None:
        """Give what a token completes."""
        self._give(f"{token} " if self._text is None else self._text.add(token))

    def finish(self) -> str:
        """Give the rest; return the whole text."""
        if self._text is not None:
            self._give(self._text.finish())
        return "".join(self._pieces)

    def _give(self, piece: str) -> None:
        if piece:
            self._pieces.append(piece)
            self._stream(piece)


def _figures(
    programs: Sequence[TokenProgram], before: Sequence[int], after: Sequence[int]
) -> tuple[ProgramFigures, ...]:
    """The programs that ran between two counts of their runs."""
    return tuple(
        ProgramFigures(program.name, last - first, program.result, program.kind, program.length)
        for program, first, last in zip(programs, before, after, strict=True)
        if last > first and program.result is not None
    )


def open_language_model(
    path: str | Path,
    chip: Chip,
    *,
    texts: Sequence[str] = (),
    seed: int = 0,
    no_host: bool = False,
    check: bool = True,
    goal_db: float | None = None,
    weight_bits: int = 8,
    progress: Progress = quiet,
) -> LanguageModel:
    """Open a model's folder, or an ONNX decoder with key and value inputs.

    `texts` calibrate the scales of activations (without them, a folder with calibration.txt has its own, else
    CALIBRATION_TEXTS do); `check` compares the first run of each program with ONNX Runtime; `goal_db` and
    `weight_bits` are those of compile_model, for each part of a model.
    """
    progress("reading the model")
    compiler = _Compiler(Path(path), chip, seed, no_host, check, goal_db, weight_bits, progress)
    if compiler.path.is_dir():
        return _open_folder(compiler, texts or calibration_texts(compiler.path) or CALIBRATION_TEXTS)
    return _open_onnx(compiler, texts)


@dataclass(frozen=True)
class _Compiler:
    """How the programs of one language model are made."""

    path: Path
    chip: Chip
    seed: int
    no_host: bool
    check: bool
    goal_db: float | None
    weight_bits: int
    progress: Progress

    def compile(self, kind: str, length: int, model: bytes, samples: list[Values]) -> TokenProgram:
        """Compile an ONNX model; samples quantise it where it is float."""
        program = compile_model(
            model,
            self.chip,
            calibration=samples or None,
            no_host=self.no_host,
            seed=self.seed,
            goal_db=self.goal_db,
            weight_bits=self.weight_bits,
            progress=self.progress,
        )
        return self._token_program(kind, length, program)

    def compile_decoder(self, request: ProgramRequest) -> TokenProgram:
        """Quantise and compile a decoder from its folder."""
        from hanok.graph.language.quantised import quantised_decoder

        self.progress("quantising")
        decoder = quantised_decoder(
            request.checkpoint,
            request.rows,
            request.past,
            request.samples,
            scales=request.scales,
            seed=self.seed,
            goal_db=self.goal_db,
            weight_bits=self.weight_bits,
        )
        content = decoder.model.SerializeToString(deterministic=True)
        program = compile_model(content, self.chip, no_host=self.no_host, progress=self.progress)
        notes = {
            "quantised by": "ONNX Runtime's static quantiser through hanok",
            "calibration": f"{len(request.samples)} samples",
        }
        for record in decoder.records:
            found = record.snr_repaired_db if record.repair_used else record.snr_plain_db
            if found is not None:
                notes["signal to noise"] = f"{found:.1f} dB"
        return self._token_program(request.kind, request.length, replace(program, metadata=notes))

    def _token_program(self, kind: str, length: int, program: Program) -> TokenProgram:
        named = replace(program, name=f"{self.path.stem} {kind} {length}")
        return TokenProgram(kind, length, named, check=self.check, progress=self.progress)


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


def _open_folder(compiler: _Compiler, texts: Sequence[str]) -> LanguageModel:
    from hanok.flows._language_folder import FolderMachine
    from hanok.graph.language.names import open_checkpoint

    folder = compiler.path
    checkpoint = open_checkpoint(folder)
    decoder = checkpoint.decoder
    tokenizer = Tokenizer(folder / TOKENIZER_NAME, decoder.vocabulary)
    samples = [ids for ids in map(tokenizer.encode, texts) if ids]
    if not samples:
        raise InputError(f"{folder}: no calibration text has a token")
    machine = FolderMachine(checkpoint, samples, compile=compiler.compile_decoder)
    return LanguageModel(machine, tokenizer, decoder.begin_id, decoder.stop_ids)


def _open_onnx(compiler: _Compiler, texts: Sequence[str]) -> LanguageModel:
    from hanok.flows._language_onnx import OnnxMachine
    from hanok.graph.language.config import read_special_ids

    path = compiler.path
    machine = OnnxMachine(path, seed=compiler.seed, compile=compiler.compile)
    tokenizer = None
    if (path.parent / TOKENIZER_NAME).exists():
        tokenizer = Tokenizer(path.parent / TOKENIZER_NAME, machine.vocabulary)
        machine.calibrate_with([ids for ids in map(tokenizer.encode, texts or CALIBRATION_TEXTS) if ids])
    elif texts:
        raise InputError(f"{path}: texts to calibrate with need the model's {TOKENIZER_NAME} beside it")
    begin_id, stop_ids = read_special_ids(path.parent)
    return LanguageModel(machine, tokenizer, begin_id, stop_ids)
