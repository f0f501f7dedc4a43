"""The shipped writer on a chip: how well it knows Korean; that it streams, stops, repeats itself, refuses."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hanok.errors import HanokError
from hanok.flows.apps.write import MAX_PROMPT_CHARACTERS, SHIPPED, TOKENS, Writer
from hanok.flows.sampling import Sampling
from hanok.machine import Chip

tokenizers = pytest.importorskip("tokenizers")

PROMPT = "오늘 서울은"
MOST_TOKENS = 48
UNSEEN = "우리는 앞으로도 국민과 함께 더 나은 미래를 만들어 나가겠습니다. 정부는 지역 경제를 살리고"
"""Written for this test."""


@pytest.fixture(scope="module")
def edge() -> Chip:
    return Chip.load("edge")


@pytest.fixture(scope="module")
def writer(edge: Chip) -> Writer:
    made = Writer(edge)
    made.prepare(PROMPT, MOST_TOKENS)
    return made


def bits_per_character(writer: Writer, text: str) -> float:
    """Of a text behind its begin token, by the int8 programs in the emulator."""
    machine, tokenizer = writer._model.machine, writer._model.tokenizer
    assert tokenizer is not None
    ids = tokenizer.encode(text)
    logits, nats = machine.begin(ids[:1]), 0.0
    for token in ids[1:]:
        nats += np.logaddexp.reduce(logits.astype(np.float64)) - logits[token]
        logits = machine.step(token)
    return float(nats / np.log(2) / len(text))


def test_it_knows_korean(writer: Writer) -> None:
    """An even choice among its tokens costs 12 bits a token; ordered words cost less than shuffled ones."""
    stated = tomllib.loads((SHIPPED / "write.toml").read_text("utf-8"))["quality"]
    right = bits_per_character(writer, UNSEEN)
    words = UNSEEN.split()
    shuffled = " ".join(np.random.default_rng(1).permutation(words))
    assert right < stated["bits_per_character_int8"]["speeches"] + 0.5
    assert right < bits_per_character(writer, shuffled) - 0.3


def test_a_text_is_streamed_whole_and_costs_what_its_programs_cost(writer: Writer) -> None:
    pieces: list[str] = []
    writing = writer.write(PROMPT, tokens=24, stream=pieces.append)
    assert "".join(pieces) == writing.text
    assert "\N{REPLACEMENT CHARACTER}" not in writing.text
    letters = [letter for letter in writing.text if letter.isalpha()]
    assert sum("가" <= letter <= "힣" for letter in letters) > 0.8 * len(letters) > 8
    generation, cost = writing.generation, writing.cost
    assert [(use.name, use.runs) for use in cost.programs] == [
        ("prefill of 16 tokens", 1),
        ("decode of 64 tokens", generation.steps),
    ]
    assert cost.milliseconds == pytest.approx(
        generation.first_token_ms + 1e3 * generation.steps / generation.tokens_per_second
    )
    assert cost.energy_mj == pytest.approx(sum(use.energy_mj for use in cost.programs))
    for use in cost.programs:
        record = use.result.record
        assert record.checked
        assert not record.host_operators
        assert max(check.max_absolute_error for check in record.outputs) < 1


def test_the_same_seed_gives_the_same_text(writer: Writer) -> None:
    sampling = [Sampling(0.9, 0.95, seed) for seed in (3, 3, 4)]
    texts = [writer.write(PROMPT, tokens=12, sampling=choice).text for choice in sampling]
    assert texts[0] == texts[1] != texts[2]


def test_spaces_at_the_end_of_a_prompt_are_dropped(writer: Writer) -> None:
    plain, spaced = (writer.write(prompt, tokens=2) for prompt in (PROMPT, f"{PROMPT}  "))
    assert (spaced.prompt, spaced.text) == (plain.prompt, plain.text)


def test_an_empty_prompt_begins_a_text(writer: Writer) -> None:
    writing = writer.write("", tokens=4)
    assert writing.generation.prompt == (0,)
    assert writing.text
    assert not writing.text.startswith(" ")


def test_characters_that_it_has_no_token_for_come_through(writer: Writer) -> None:
    """Their bytes are tokens; the prompt is not repeated and the text has whole characters."""
    writing = writer.write("뷁 😀", tokens=3)
    assert "😀" not in writing.text
    writing.text.encode("utf-8")


def test_it_stops_where_a_text_may_end(writer: Writer) -> None:
    """The stop token is far likelier behind a thanks that closes a speech than in the middle of a word."""
    machine, tokenizer = writer._model.machine, writer._model.tokenizer
    assert tokenizer is not None
    (stop,) = writer._model.stop_ids

    def log_chance(text: str) -> float:
        ids = tokenizer.encode(text)
        logits = machine.begin(ids[:16]).astype(np.float64)
        return float(logits[stop] - np.logaddexp.reduce(logits))

    assert (
        log_chance("여러분의 건강과 행복을 기원합니다. 감사합니다.")
        > log_chance("여러분의 건강과 행복을") + 2
    )


def test_a_stop_token_ends_the_text_and_is_not_written(writer: Writer) -> None:
    first = writer.write(PROMPT, tokens=6, sampling=Sampling()).generation
    at = next(place for place in range(1, 6) if first.ids[place] not in first.ids[:place])
    model = writer._model
    kept, model.stop_ids = model.stop_ids, frozenset([first.ids[at]])
    try:
        writing = writer.write(PROMPT, tokens=6, sampling=Sampling())
    finally:
        model.stop_ids = kept
    assert writing.generation.stop == "stop token"
    assert writing.generation.ids == first.ids[: at + 1]
    assert model.tokenizer is not None
    assert writing.text == model.tokenizer.decode([*first.prompt, *first.ids[:at]])[len(PROMPT) :]


@pytest.mark.parametrize(
    ("prompt", "tokens", "message"),
    [
        ("가 나 " * 200, TOKENS, r"prompt: \d+ tokens; allowed: at most 256, the context"),
        ("가" * (MAX_PROMPT_CHARACTERS + 1), TOKENS, "prompt: 1048577 characters; allowed: at most 1048576"),
        (PROMPT, 0, "0 tokens; allowed: 1..65536"),
        ("\ud800", TOKENS, "the prompt is not valid UTF-8"),
    ],
    ids=["context", "characters", "tokens", "utf-8"],
)
def test_what_cannot_be_written_is_said(writer: Writer, prompt: str, tokens: int, message: str) -> None:
    with pytest.raises(HanokError, match=message):
        writer.write(prompt, tokens=tokens)


def copy_of(folder: Path, **changes: bytes | str) -> Path:
    """The shipped folder with other files in some places."""
    for file in SHIPPED.iterdir():
        shutil.copyfile(file, folder / file.name)
    for name, content in changes.items():
        path = folder / name.replace("_json", ".json").replace("_txt", ".txt")
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def _large_tokenizer() -> str:
    content: dict[str, Any] = json.loads((SHIPPED / "tokenizer.json").read_text("utf-8"))
    content["added_tokens"].append({**content["added_tokens"][0], "id": 4096, "content": "<more>"})
    return json.dumps(content)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokenizer_json": _large_tokenizer()}, "ids up to 4096; the model's vocabulary has 4096; it is"),
        ({"config_json": "{}"}, "model_type missing; allowed: "),
        ({"tokenizer_json": "{}"}, "no tokenizer that can be read"),
        ({"calibration_txt": b"\xff"}, "byte 0 is not UTF-8; save the file as UTF-8"),
        ({"calibration_txt": "x" * (2 << 20)}, "2097152 bytes; allowed: at most 1048576"),
        ({"calibration_txt": "가\n" * 65}, "65 texts; allowed: at most 64, one a line"),
    ],
    ids=["tokenizer", "config", "broken", "bytes", "size", "lines"],
)
def test_a_folder_whose_parts_do_not_fit_is_refused(
    edge: Chip, tmp_path: Path, changes: dict[str, bytes | str], message: str
) -> None:
    with pytest.raises(HanokError, match=message):
        Writer(edge, model=copy_of(tmp_path, **changes))


def test_a_place_without_a_model_is_refused(edge: Chip, tmp_path: Path) -> None:
    with pytest.raises(HanokError, match="nowhere: no such file or folder; give a language model's folder"):
        Writer(edge, model=tmp_path / "nowhere")
    with pytest.raises(HanokError, match=r"config\.json"):
        Writer(edge, model=tmp_path)
    other = SHIPPED.parent / "korean_commands.onnx"
    with pytest.raises(HanokError, match="korean_commands"):
        Writer(edge, model=other)
