"""Writing on: a language model on the chip continues a Korean text, token by token."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hanok.flows._execution import Progress, quiet
from hanok.flows.arrays import InputError
from hanok.flows.cost import Cost
from hanok.flows.generate import Generation, LanguageModel, open_language_model
from hanok.flows.sampling import Sampling
from hanok.machine import Chip

SHIPPED = Path(__file__).parents[2] / "assets" / "write"
"""The language model that hanok carries."""
TOKENS = 64
"""How many tokens a text gets where nobody says."""
MAX_TOKENS = 65536
MAX_PROMPT_CHARACTERS = 1 << 20
DEFAULT_SAMPLING = Sampling(temperature=0.5, top_p=0.9, seed=3)


@dataclass(frozen=True)
class Writing:
    """A prompt and what the chip wrote behind it: `prompt + text` is the whole."""

    prompt: str
    text: str
    generation: Generation
    """Token ids, why it stopped, tokens a second."""
    cost: Cost


class Writer:
    """A language model on a chip; the programs of one text serve the next."""

    def __init__(
        self, chip: Chip, *, model: Path | None = None, check: bool = True, progress: Progress = quiet
    ) -> None:
        """`model` is a language model's folder or an ONNX decoder; without one, it is hanok's own.

        `check` compares the first run of each program with ONNX Runtime. Raises HanokError for a folder that
        is none, or whose parts do not fit each other.
        """
        self._model = _open(model or SHIPPED, chip, check, progress)

    @property
    def context(self) -> int:
        """Tokens that the model can look back on, the prompt's included."""
        return self._model.machine.context

    def prepare(self, prompt: str, tokens: int = TOKENS) -> None:
        """Compile the programs that `write` with the same arguments needs."""
        self._model.prepare(_checked(prompt, tokens), tokens)

    def write(
        self,
        prompt: str,
        *,
        tokens: int = TOKENS,
        sampling: Sampling = DEFAULT_SAMPLING,
        stream: Callable[[str], None] = quiet,
    ) -> Writing:
        """Continue a prompt by at most `tokens` tokens; `stream` is given the text as it grows.

        An empty prompt begins a new text. Spaces at a prompt's end are dropped, since words bring their own.
        A stop token or the end of the context may end it sooner. The same seed gives the same text. Raises
        InputError for a prompt that the context does not hold.
        """
        prompt = _checked(prompt, tokens)
        generation = self._model.generate(prompt, tokens, sampling=sampling, stream=stream)
        cost = Cost((*generation.reading, *generation.making))
        return Writing(prompt, generation.text, generation, cost)


def _checked(prompt: str, tokens: int) -> str:
    """The prompt without spaces at its end."""
    if not 1 <= tokens <= MAX_TOKENS:
        raise InputError(f"{tokens} tokens; allowed: 1..{MAX_TOKENS}")
    if len(prompt) > MAX_PROMPT_CHARACTERS:
        raise InputError(f"prompt: {len(prompt)} characters; allowed: at most {MAX_PROMPT_CHARACTERS}")
    return prompt.rstrip(" ")


def _open(path: Path, chip: Chip, check: bool, progress: Progress) -> LanguageModel:
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; give a language model's folder or ONNX decoder")
    return open_language_model(path, chip, no_host=path.is_dir(), check=check, progress=progress)
