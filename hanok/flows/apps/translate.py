"""Translates messages of software from English to Korean, sentence by sentence, on a chip."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hanok.errors import ModelError
from hanok.flows._execution import Progress, quiet
from hanok.flows._repeated_program import RepeatedProgram
from hanok.flows._text import TOKENIZER_NAME, TextStream, Tokenizer
from hanok.flows.apps._translate_network import SentenceMachine, check_programs, read_tables
from hanok.flows.apps._translate_spans import (
    PLACEHOLDERS,
    Protected,
    fill,
    has_words,
    pieces_of,
    plain_signs,
    protect_source,
    several_arguments,
)
from hanok.flows.arrays import InputError
from hanok.flows.compile_and_run import compile_model
from hanok.flows.cost import Cost, ProgramUse

if TYPE_CHECKING:
    from hanok.machine import Chip

SHIPPED = Path(__file__).parents[2] / "assets" / "translate"
MOST_CHARACTERS = 20_000
STOP_END, STOP_LENGTH = "end", "length"
Stream = Callable[[str], None]


@dataclass(frozen=True)
class Translation:
    """What became of a text, and what it cost the chip."""

    source: str
    text: str
    ids: tuple[int, ...]
    """Tokens of all pieces, without the ends."""
    steps: int
    """Runs of the decoder."""
    stop: str
    """`end`, or `length` where a piece's translation was cut because it did not end."""
    cost: Cost
    """Of this translation: a run of the encoder for each piece, and the decoder's steps."""


class Translator:
    """A translation network, compiled for a chip; its programs and weights stay loaded."""

    def __init__(
        self, chip: Chip, *, model: Path | None = None, check: bool = True, progress: Progress = quiet
    ) -> None:
        """`model` is a folder like the shipped one; `check` holds first runs against ONNX Runtime.

        Raises InputError for a folder that holds no translation network, or parts that do not belong
        together, and the errors of `compile_model`.
        """
        folder = SHIPPED if model is None else Path(model)
        self._tables = read_tables(folder)
        self._tokenizer = self._fitting_tokenizer(folder)
        paths = [folder / f"{name}.onnx" for name in ("encoder", "decoder")]
        for path in paths:
            if not path.is_file():
                raise InputError(f"{path}: no such file; a model folder has encoder.onnx and decoder.onnx")
        encoder, decoder = (compile_model(path, chip, no_host=True, progress=progress) for path in paths)
        check_programs(folder, encoder, decoder, self._tables)
        self.programs = (
            RepeatedProgram("encoder", encoder, check=check, progress=progress),
            RepeatedProgram("decoder", decoder, check=check, progress=progress),
        )
        self._machine = SentenceMachine(self._tables, *(program.run for program in self.programs))

    def translate(self, text: str, *, stream: Stream = lambda piece: None) -> Translation:
        """Translate a text of at most MOST_CHARACTERS characters; `stream` is given it as it is made.

        Lines and sentences are translated one by one and joined as they were; white space between them,
        and what is no word, stays. InputError for an empty, an overlong or an invalid text.
        """
        plain = plain_signs(_checked(text))
        runs = [program.runs for program in self.programs]
        made: list[str] = []
        ids: list[int] = []
        stop = STOP_END

        def give(part: str) -> None:
            if part:
                made.append(part)
                stream(part)

        for piece, space in pieces_of(plain, self._fits):
            tokens: list[int] = []
            for part in self._translated(piece, tokens) if self._is_translated(piece) else [piece]:
                give(part)
            if tokens and tokens[-1] != self._tables.end:
                stop = STOP_LENGTH
            ids += tokens
            give(space)
        kept = tuple(token for token in ids if token != self._tables.end)
        return Translation(text, "".join(made), kept, len(ids), stop, self._cost_since(runs))

    def _translated(self, piece: str, tokens: list[int]) -> Iterator[str]:
        """Parts of a piece's translation as they are made; its tokens are put into `tokens`.

        Where conversions may change their order, and so their form, the whole is one part.
        """
        tables = self._tables
        protected = protect_source(piece)
        whole = several_arguments(protected.spans)
        text = TextStream(self._tokenizer, [])
        order: list[int] = []
        first = True
        for token in self._machine.translate(self._encoded(protected), self._copies(protected)):
            tokens.append(token)
            if token in tables.placeholders:
                order.append(tables.placeholders.index(token))
            if not whole and token != tables.end:
                part = fill(text.add(token), order, protected.spans)
                yield part.lstrip() if first else part
                first = first and not part.strip()
        if not whole:
            yield fill(text.finish(), order, protected.spans)
            return
        said = self._tokenizer.decode([token for token in tokens if token != tables.end])
        yield fill(said.strip(), order, protected.spans)

    def _encoded(self, protected: Protected) -> list[int]:
        return [*self._tokenizer.encode(" ".join(protected.text.split())), self._tables.end]

    def _copies(self, protected: Protected) -> tuple[int, ...]:
        return self._tables.placeholders[: len(protected.spans)]

    def _fits(self, piece: str) -> bool:
        """Whether the network can take a piece at once."""
        protected = protect_source(piece)
        if len(protected.spans) > len(self._tables.placeholders):
            return False
        return len(self._encoded(protected)) <= self._tables.longest_source

    def _is_translated(self, piece: str) -> bool:
        """Whether a piece has words, and fits; a word of too many tokens stays as it is."""
        return has_words(protect_source(piece).text) and self._fits(piece)

    def _cost_since(self, runs: Sequence[int]) -> Cost:
        uses = [
            ProgramUse(program.name, program.runs - before, program.result)
            for program, before in zip(self.programs, runs, strict=True)
            if program.result is not None and program.runs > before
        ]
        return Cost(tuple(uses))

    def _fitting_tokenizer(self, folder: Path) -> Tokenizer:
        """The folder's tokenizer, if it knows the placeholders by the numbers that the model has for them."""
        path = folder / TOKENIZER_NAME
        try:
            tokenizer = Tokenizer(path, len(self._tables.rows))
        except ModelError as error:
            raise InputError(str(error)) from None
        for token, name in zip(self._tables.placeholders, PLACEHOLDERS, strict=False):
            if tokenizer.encode(name) != [token] or tokenizer.decode([token]) != name:
                raise InputError(
                    f"{path}: {name} is {tokenizer.encode(name)}; the model has {[token]} for it; it is "
                    "another model's tokenizer"
                )
        return tokenizer


def _checked(text: str) -> str:
    """The text, if it can be translated."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise InputError("the text is not valid UTF-8; give it in UTF-8") from None
    if not text.strip():
        raise InputError("the text is empty; give an English message")
    if len(text) > MOST_CHARACTERS:
        raise InputError(
            f"the text has {len(text):,} characters; allowed: at most {MOST_CHARACTERS:,}; translate it in "
            "parts"
        )
    return text
