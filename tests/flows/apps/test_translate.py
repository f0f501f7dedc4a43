"""The shipped translation network on a chip: its quality, what it copies, and what it refuses."""

import shutil
import tomllib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from hanok.errors import HanokError
from hanok.flows.apps._translate_network import SentenceMachine, Tables, Values, read_tables
from hanok.flows.apps._translate_spans import protect_source
from hanok.flows.apps.translate import MOST_CHARACTERS, SHIPPED, Translator
from hanok.flows.arrays import InputError
from hanok.graph.oracle import reference_session, run_session
from hanok.machine import Chip

MESSAGES = ("Save the file?", 'could not open file "%s": %m')


@pytest.fixture(scope="module")
def translator() -> Translator:
    return Translator(Chip.load("edge"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped model that a test may damage."""
    return Path(shutil.copytree(SHIPPED, tmp_path / "model"))


def test_every_shipped_file_is_small() -> None:
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 4_500_000


def test_a_translation_is_korean_and_is_streamed_as_it_is_given(translator: Translator) -> None:
    parts: list[str] = []
    made = translator.translate("Save the file?", stream=parts.append)
    assert "".join(parts) == made.text
    assert "파일" in made.text
    assert "저장" in made.text
    assert made.text.endswith("?")
    assert made.stop == "end"
    assert made.source == "Save the file?"


@pytest.mark.parametrize(
    ("text", "korean"),
    [
        ("Open settings", "설정"),
        ("Enter your password", "비밀번호"),
        ("The file name is too long.", "파일 이름"),
        ("Cannot connect to the server.", "서버에 연결할 수 없"),
        ("permission denied for table %s", "%s 테이블"),
    ],
)
def test_usual_messages_have_their_words(translator: Translator, text: str, korean: str) -> None:
    assert korean in translator.translate(text).text


def test_the_cost_is_that_of_one_translation(translator: Translator) -> None:
    first = translator.translate("Save the file?")
    again = translator.translate("Save the file?")
    assert first == again
    encoder, decoder = again.cost.programs
    assert (encoder.name, encoder.runs) == ("encoder", 1)
    assert (decoder.name, decoder.runs) == ("decoder", again.steps)
    assert again.steps == len(again.ids) + 1
    assert again.cost.milliseconds == pytest.approx(
        encoder.result.record.latency_ms + again.steps * decoder.result.record.latency_ms
    )


def test_the_first_runs_agree_with_onnx_runtime(translator: Translator) -> None:
    translator.translate("Save the file?")
    for program in translator.programs:
        assert program.result is not None
        assert program.result.record.checked
        ratio = program.result.record.signal_to_noise_db
        assert ratio is None or ratio > 35


@pytest.mark.parametrize("text", MESSAGES)
def test_the_chip_makes_the_tokens_that_onnx_runtime_makes(translator: Translator, text: str) -> None:
    tables = read_tables(SHIPPED)

    def run_of(name: str):
        session = reference_session(SHIPPED / f"{name}.onnx")
        return lambda values: run_session(session, values)

    machine = SentenceMachine(tables, run_of("encoder"), run_of("decoder"))
    protected = protect_source(text)
    source = translator._encoded(protected)
    wanted = list(machine.translate(source, translator._copies(protected)))
    assert list(translator.translate(text).ids) == [token for token in wanted if token != tables.end]


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ('could not open file "%s": %m', ("%s", "%m")),
        ("%1$s of %2$lu files copied to {folder}", ("%1$s", "%2$lu", "{folder}")),
        ("Wait 30 seconds, then visit https://example.org/a.", ("30", "https://example.org/a")),
        ("The word 안녕 and the sign ☃ stay.", ("안녕", "☃")),
    ],
)
def test_spans_come_through_once(translator: Translator, text: str, spans: Sequence[str]) -> None:
    made = translator.translate(text).text
    assert all(made.count(span) == 1 for span in spans)


def test_lines_and_white_space_stay_where_they_were(translator: Translator) -> None:
    made = translator.translate("  Cancel\n\n\tOpen the file\r\n")
    first, _, rest = made.text.partition("\n\n\t")
    assert first.startswith("  ")
    assert first.strip()
    assert rest.endswith("\r\n")
    assert made.cost.programs[0].runs == 2


@pytest.mark.parametrize("text", ["42", "- / -", "☃", "%d%d%d%d%d%d%d%d%d%d%d%d"])
def test_what_has_no_words_is_copied_without_the_chip(translator: Translator, text: str) -> None:
    made = translator.translate(text)
    assert made.text == text
    assert made.steps == 0
    assert made.cost.programs == ()


def test_a_long_sentence_is_translated_in_parts(translator: Translator) -> None:
    made = translator.translate("the file that you want to open, " * 9 + "\n")
    assert made.cost.programs[0].runs > 1
    assert made.text.endswith("\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the text is empty; give an English message"),
        (" \n\t", "the text is empty"),
        ("a\udc80", "the text is not valid UTF-8"),
        ("a " * MOST_CHARACTERS, "the text has 40,000 characters; allowed: at most 20,000"),
    ],
)
def test_texts_that_are_refused(translator: Translator, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        translator.translate(text)


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no translation model: .*; a model is a folder with rows\.npz"):
        Translator(Chip.load("edge"), model=tmp_path)


@pytest.mark.parametrize(
    "content", ["", "[tokens]\nstart = 0\n", "tokens = 3", "[tokens", "[tokens]\nstart = 'a'"]
)
def test_a_description_that_says_too_little(folder: Path, content: str) -> None:
    (folder / "translate.toml").write_text(content)
    with pytest.raises(InputError, match="no translation model"):
        Translator(Chip.load("edge"), model=folder)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("rows", np.zeros((2, 160), np.int8)),
        ("positions", np.zeros((48, 8), np.float32)),
        ("positions", np.zeros((4, 160), np.float32)),
    ],
)
def test_tables_that_do_not_fit(folder: Path, name: str, array: np.ndarray) -> None:
    with np.load(folder / "rows.npz") as file:
        arrays = {key: file[key] for key in file.files} | {name: array}
    arrays["scales"] = arrays["scales"][: len(arrays["rows"])]
    np.savez(folder / "rows.npz", **arrays)
    with pytest.raises(InputError, match=r"which do not fit the tokens that translate\.toml names"):
        Translator(Chip.load("edge"), model=folder)


def test_a_missing_program(folder: Path) -> None:
    (folder / "decoder.onnx").unlink()
    with pytest.raises(InputError, match=r"decoder\.onnx: no such file"):
        Translator(Chip.load("edge"), model=folder)


def test_a_damaged_program(folder: Path) -> None:
    (folder / "encoder.onnx").write_bytes(b"no model")
    with pytest.raises(HanokError):
        Translator(Chip.load("edge"), model=folder)


def test_programs_that_do_not_belong_to_the_tables(folder: Path) -> None:
    shutil.copyfile(folder / "decoder.onnx", folder / "encoder.onnx")
    with pytest.raises(
        InputError, match=r"encoder\.onnx: its inputs are .*; a translation network's with these"
    ):
        Translator(Chip.load("edge"), model=folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("⟦0⟧", "⟦zero⟧"), "⟦0⟧ is .*; the model has .* for it; it is another model's tokenizer"),
        (('"</s>":1', '"</s>":9000'), "token ids up to 9000; the model's vocabulary has 4096"),
        (("{", "["), "no tokenizer that can be read"),
    ],
)
def test_a_tokenizer_that_does_not_fit(folder: Path, change: tuple[str, str], message: str) -> None:
    path = folder / "tokenizer.json"
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(InputError, match=message):
        Translator(Chip.load("edge"), model=folder)


def test_the_description_has_the_measured_quality() -> None:
    about = tomllib.loads((SHIPPED / "translate.toml").read_text())
    assert {"pg_rewind", "DocumentsUI"} == set(about["quality"])
    for figures in about["quality"].values():
        assert figures["int8_chrf"] > figures["float32_chrf"] - 2


PLACES, WIDTH = 8, 4
START, END, PAD, COPY, WORD = range(5)


def _machine(scores: Sequence[Sequence[float]]) -> tuple[SentenceMachine, list[Values]]:
    """A machine whose decoder gives these scores one after another, then the last for ever."""
    tables = Tables(np.ones((5, WIDTH)), np.zeros((PLACES, WIDTH)), START, END, PAD, (COPY,), PLACES)
    steps: list[Values] = []

    def encode(values: Values) -> Values:
        return {"cross.0.keys": np.zeros((1, 1, 4, PLACES)), "cross.0.values": np.zeros((1, 1, PLACES, 4))}

    def step(values: Values) -> Values:
        steps.append({name: value.copy() for name, value in values.items()})
        new = np.full((1, 1, 1, 4), len(steps), np.float32)
        logits = np.array(scores[min(len(steps), len(scores)) - 1], np.float32)[None, None]
        return {"logits": logits, "new.0.keys": new, "new.0.values": new}

    return SentenceMachine(tables, encode, step), steps


def test_the_caches_hold_the_rows_before() -> None:
    machine, steps = _machine([[0, 0, 0, 0, 9], [0, 0, 0, 0, 9], [0, 9, 0, 0, 0]])
    assert list(machine.translate([WORD, END], [])) == [WORD, WORD, END]
    last = steps[-1]
    assert last["past.0.keys"][0, 0, :, 0].tolist() == [1, 2, 0, 0, 0, 0, 0]
    assert last["past_mask"].reshape(-1).tolist() == [0, 0, -1e4, -1e4, -1e4, -1e4, -1e4, 0]
    assert last["mask"].reshape(-1).tolist() == [0, 0, *[-1e4] * 6]


def test_start_padding_and_an_end_at_once_are_never_chosen() -> None:
    machine, _ = _machine([[9, 8, 9, 9, 0]])
    assert list(machine.translate([WORD, END], [])) == [WORD, END]


def test_a_missing_placeholder_stands_before_the_end() -> None:
    machine, _ = _machine([[0, 9, 0, 1, 5]])
    assert list(machine.translate([COPY, END], [COPY])) == [WORD, COPY, END]


def test_a_placeholder_is_given_once() -> None:
    machine, _ = _machine([[0, 0, 0, 9, 1], [0, 0, 0, 9, 1], [0, 9, 0, 9, 1]])
    assert list(machine.translate([COPY, END], [COPY])) == [COPY, WORD, END]


def test_a_translation_without_an_end_is_cut_and_has_its_placeholders() -> None:
    machine, _ = _machine([[0, 0, 0, 0, 9]])
    tokens = list(machine.translate([COPY, END], [COPY]))
    assert len(tokens) == PLACES
    assert tokens.count(COPY) == 1
