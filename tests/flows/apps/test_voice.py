"""Korean commands in sounds: the shipped network on unheard voices, streams, edges, and other networks."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from hanok.flows.apps._voice_features import FRAMES, MEL_BANDS, SAMPLE_RATE_HZ, WINDOW_SAMPLES, log_mel
from hanok.flows.apps._voice_listening import Decision, Windows, probabilities
from hanok.flows.apps._voice_model import read_description, shipped_model
from hanok.flows.apps.voice import Heard, Voice, VoiceListener, read_wav, recognise, sample_sound
from hanok.flows.arrays import InputError
from hanok.machine import Chip

COMMANDS = ("켜", "꺼", "위로", "아래로", "왼쪽", "오른쪽", "시작", "정지", "예", "아니오")
PAUSE = np.zeros(9600, np.float32)
Hear = Callable[[np.ndarray], list[Heard]]


@pytest.fixture(scope="module")
def edge() -> Chip:
    return Chip.load("edge")


@pytest.fixture(scope="module")
def words() -> dict[str, np.ndarray]:
    """Commands and other words of voices that training never heard, without silence around."""
    with np.load(Path(__file__).with_name("voice_words.npz")) as data:
        return {name: data[name].astype(np.float32) / 127 for name in data.files}


@pytest.fixture(scope="module")
def hear() -> Hear:
    """What `recognise` hears, with ONNX Runtime in the chip's place: quicker, and the same in every bit."""
    session = onnxruntime.InferenceSession(shipped_model().read_bytes())
    description = read_description(shipped_model())

    def listen(sound: np.ndarray) -> list[Heard]:
        windows, decision = (
            Windows(),
            Decision(description.labels, description.unknown, description.threshold),
        )
        found = []
        for window in [*windows.feed(sound), *windows.finish()]:
            (scores,) = session.run(None, {"features": log_mel(window.sound[None])})
            found.append(decision.feed(window.start_seconds, scores[0]))
        heard = [each for each in (*found, decision.finish()) if each is not None]
        return heard or [decision.nothing()]

    return listen


def said(voice: Voice) -> list[str | None]:
    return [heard.word for heard in voice.heard]


def after_one_another(words: dict[str, np.ndarray], names: list[str]) -> tuple[np.ndarray, list[float]]:
    """The words with pauses of 0.6 s around, and when each begins."""
    pieces, starts, length = [PAUSE], [], PAUSE.size
    for name in names:
        starts.append(length / SAMPLE_RATE_HZ)
        pieces += [words[name], PAUSE]
        length += words[name].size + PAUSE.size
    return np.concatenate(pieces), starts


def test_the_sample_says_its_word_exactly_as_onnxruntime_hears_it(edge: Chip) -> None:
    facts = tomllib.loads(shipped_model().with_suffix(".toml").read_text("utf-8"))
    voice = recognise(read_wav(sample_sound()), edge)
    assert said(voice) == [facts["sample"]]
    assert voice.heard[0].confidence >= facts["threshold"]
    assert voice.seconds == pytest.approx(1.5)
    (use,) = voice.cost.programs
    assert use.runs == voice.windows == 13
    assert use.result.record.checked
    assert use.result.record.outputs_mismatched == 0
    assert use.result.record.host_operators == ()


def test_each_command_is_heard_and_other_words_are_not(edge: Chip, words: dict[str, np.ndarray]) -> None:
    """One listener for all of it: every word once, in its order, at its time; no other word is a command."""
    others = [name for name in words if name not in COMMANDS]
    names = [*COMMANDS[:5], *others[:3], *COMMANDS[5:], *others[3:]]
    sound, starts = after_one_another(words, names)
    listener = VoiceListener(edge, check=False)
    heard = [each for block in np.array_split(sound, 97) for each in listener.feed(block)]
    voice = listener.finish()
    assert [each.word for each in voice.heard] == list(COMMANDS)
    assert list(voice.heard[: len(heard)]) == heard
    wanted = [start for start, name in zip(starts, names, strict=True) if name in COMMANDS]
    np.testing.assert_allclose([each.start_seconds for each in voice.heard], wanted, atol=0.3)
    assert recognise(sound, edge, check=False).heard == voice.heard, "blocks make no difference"


@pytest.mark.parametrize("word", COMMANDS)
def test_a_clip_of_one_word_gives_one_word_however_loud_and_where_it_is(
    hear: Hear, words: dict[str, np.ndarray], word: str
) -> None:
    clip = words[word]
    for sound in (clip, 1e-4 * clip, 1e4 * clip, np.pad(clip, (1111, 0)), np.pad(clip, (0, 22_222))):
        (heard,) = hear(sound)
        assert heard.word == word


@pytest.mark.parametrize(
    "sound",
    [
        np.zeros(1, np.float32),
        np.zeros(40_000, np.float32),
        np.full(16_000, 0.25, np.float32),
        np.random.default_rng(0).standard_normal(40_000).astype(np.float32),
        np.sin(np.arange(40_000) / 6).astype(np.float32),
        np.eye(1, 30_000, 15_000, dtype=np.float32)[0],
    ],
    ids=["a sample", "silence", "a constant", "noise", "a tone", "a click"],
)
def test_what_is_no_speech_is_no_command(hear: Hear, sound: np.ndarray) -> None:
    (heard,) = hear(sound)
    assert heard.word is None
    assert 0.3 < heard.confidence <= 1


def test_windows_cover_the_sound_and_half_a_second_around_it() -> None:
    sound = np.arange(1, 20_001, dtype=np.float32)
    windows, pieces = Windows(), Windows()
    cut = [*windows.feed(sound), *windows.finish()]
    again = [each for block in np.array_split(sound, 31) for each in pieces.feed(block)] + pieces.finish()
    padded = np.pad(sound, (8000, 40_000))
    assert [each.start_seconds for each in cut] == [-0.5 + 0.125 * place for place in range(len(cut))]
    assert [each.start_seconds for each in again] == [each.start_seconds for each in cut]
    for place, (one, other) in enumerate(zip(cut, again, strict=True)):
        np.testing.assert_array_equal(one.sound, padded[2000 * place : 2000 * place + WINDOW_SAMPLES])
        np.testing.assert_array_equal(one.sound, other.sound)
    last_end = cut[-1].start_seconds + 1
    assert 20_000 / SAMPLE_RATE_HZ + 0.5 <= last_end < 20_000 / SAMPLE_RATE_HZ + 0.5 + 0.125


def scores_of(command: float, place: int = 0) -> np.ndarray:
    """Scores whose softmax gives one of two commands this probability, the rest to the unknown label."""
    shares = np.full(3, 1e-6)
    shares[place], shares[2] = max(command, 1e-6), 1 - command
    return np.log(shares)


def test_a_decision_reports_an_event_once_when_it_ends() -> None:
    """Means of three: 0, 0.3, 0.6, 0.9, 0.63, 0.33, 0.03; it goes on down to half of the threshold."""
    decision = Decision(("켜", "꺼", "?"), "?", 0.5)
    sequence = [0.0, 0.9, 0.9, 0.9, 0.1, 0.0, 0.0]
    found = [decision.feed(0.125 * place, scores_of(share)) for place, share in enumerate(sequence)]
    assert [each is None for each in found] == [True] * 6 + [False]
    assert found[6] is not None
    assert (found[6].start_seconds, found[6].word) == (0.375, "켜")
    assert found[6].confidence == pytest.approx(0.9, abs=1e-4)
    assert decision.finish() is None


def test_an_event_of_two_commands_is_the_likelier_one() -> None:
    decision = Decision(("켜", "꺼", "?"), "?", 0.3)
    for place, (share, label) in enumerate([(0.9, 0), (0.9, 1), (0.9, 1), (0.7, 0)]):
        assert decision.feed(0.125 * place, scores_of(share, label)) is None
    heard = decision.finish()
    assert heard is not None
    assert heard.word == "꺼"


def test_what_goes_on_for_longer_than_a_window_was_said_twice() -> None:
    decision = Decision(("켜", "꺼", "?"), "?", 0.5)
    found = [decision.feed(0.125 * place, scores_of(0.9)) for place in range(14)]
    assert [each.word for each in (*found, decision.finish()) if each is not None] == ["켜", "켜"]


def test_a_sound_without_a_command_tells_how_surely() -> None:
    decision = Decision(("켜", "꺼", "?"), "?", 0.5)
    for share in (0.1, 0.7, 0.4, 0.1):
        assert decision.feed(0.0, scores_of(share)) is None
    assert decision.finish() is None
    nothing = decision.nothing()
    assert (nothing.word, nothing.start_seconds) == (None, 0.0)
    assert nothing.confidence == pytest.approx(0.6, abs=1e-4)
    np.testing.assert_allclose(probabilities(np.array([1e4, 0.0])), [1, 0])


def test_features_find_a_tone_in_its_band_whatever_its_loudness() -> None:
    """A tone of 1 kHz is loudest in the mel band whose triangle peaks next to it."""
    time_s = np.arange(WINDOW_SAMPLES) / SAMPLE_RATE_HZ
    made = log_mel(np.sin(2 * np.pi * 1000 * time_s)[None] * np.array([[1.0], [1e-9]]))
    assert made.shape == (2, 1, FRAMES, MEL_BANDS)
    np.testing.assert_allclose(made[0], made[1], atol=1e-3)
    mel = 1127 * np.log1p(np.array([60.0, 1000.0, 7600.0]) / 700)
    nearest = round((mel[1] - mel[0]) / (mel[2] - mel[0]) * (MEL_BANDS + 1)) - 1
    assert (made[0, 0].argmax(1) == nearest).all()
    with pytest.raises(ValueError, match="expected"):
        log_mel(np.zeros((1, 8000)))


def test_what_is_no_sound_is_refused(edge: Chip) -> None:
    with pytest.raises(InputError, match="the sound: holds no samples; expected speech"):
        recognise(np.zeros(0, np.float32), edge)
    listener = VoiceListener(edge, check=False)
    with pytest.raises(InputError, match="holds no samples"):
        listener.finish()
    with pytest.raises(InputError, match=r"the sound: float32 \[2, 8\]; expected floats \[samples\]"):
        listener.feed(np.zeros((2, 8), np.float32))
    with pytest.raises(InputError, match=r"the sound: int16 \[8\]"):
        listener.feed(np.zeros(8, np.int16))
    with pytest.raises(InputError, match="holds samples that are no numbers"):
        listener.feed(np.full(8, np.nan, np.float32))
    listener.feed(np.zeros(800, np.float32))
    assert listener.finish() == listener.finish()
    with pytest.raises(InputError, match="has been finished; begin another VoiceListener"):
        listener.feed(np.zeros(8, np.float32))


def small_network(
    path: Path,
    shape: tuple[int, ...],
    outputs: int,
    *,
    labels: str = 'labels = ["a", "b", "?"]\nunknown = "?"',
) -> Path:
    """Features -> Flatten -> Gemm -> scores, in float, and labels beside it."""
    size = int(np.prod(shape[1:]))
    weights = np.random.default_rng(0).standard_normal((size, outputs)).astype(np.float32) / 40
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w"], ["scores"], name="linear"),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, (1, outputs))],
        [numpy_helper.from_array(weights, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    path.with_suffix(".toml").write_text(labels, "utf-8")
    return path


@pytest.mark.parametrize("shape", [(1, 1, 49, 32), (1, 49, 32)])
def test_another_network_takes_the_place_of_the_shipped_one(
    edge: Chip, tmp_path: Path, shape: tuple[int, ...]
) -> None:
    model = small_network(tmp_path / "mine.onnx", shape, 3)
    voice = recognise(read_wav(sample_sound()), edge, model=model)
    assert set(said(voice)) <= {"a", "b", None}
    assert voice.cost.programs[0].result.record.outputs_mismatched == 0


@pytest.mark.parametrize(
    ("shape", "outputs", "labels", "message"),
    [
        ((1, 1, 40, 32), 3, None, r"input is \[1, 1, 40, 32\]; expected \[1, 1, 49, 32\], log-mel"),
        ((1, 1, 49, 32), 4, None, r"output is \[1, 4\]; expected \[1, 3\], a score for each label"),
        ((1, 1, 49, 32), 3, "labels = 3", r"mine\.toml: labels is 3; expected labels = "),
        ((1, 1, 49, 32), 3, 'labels = ["a", "a"]', "2 labels; allowed: 2..10000, all different"),
        ((1, 1, 49, 32), 3, 'labels = ["a", "b"]', "unknown is None; allowed: one of the labels"),
        (
            (1, 1, 49, 32),
            3,
            'labels = ["a", "b", "?"]\nunknown = "?"\nthreshold = 2',
            "threshold is 2; allowed: a number between 0 and 1",
        ),
        ((1, 1, 49, 32), 3, "labels = [", "is no TOML"),
        ((1, 1, 49, 32), 3, "#" * (1 << 20), "is larger than 1048576 bytes"),
    ],
)
def test_a_network_that_does_not_fit_is_refused(
    edge: Chip, tmp_path: Path, shape: tuple[int, ...], outputs: int, labels: str | None, message: str
) -> None:
    model = small_network(tmp_path / "mine.onnx", shape, outputs)
    if labels is not None:
        padding = "#\n" if labels.startswith("#") else ""
        model.with_suffix(".toml").write_text(labels + padding, "utf-8")
    with pytest.raises(InputError, match=message):
        VoiceListener(edge, model=model)


def test_a_network_without_labels_or_with_two_inputs_is_refused(edge: Chip, tmp_path: Path) -> None:
    model = small_network(tmp_path / "mine.onnx", (1, 1, 49, 32), 3)
    model.with_suffix(".toml").unlink()
    with pytest.raises(InputError, match=r"mine\.toml: cannot be read: No such file .*mine\.onnx needs it"):
        VoiceListener(edge, model=model)
    small_network(model, (1, 1, 49, 32), 3)
    two = onnx.load(model)
    two.graph.input.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 3)))
    two.graph.node.append(helper.make_node("Add", ["scores", "y"], ["sum"]))
    two.graph.output[0].name = "sum"
    onnx.save(two, model)
    with pytest.raises(InputError, match="has 2 inputs and 1 outputs; a recogniser has one of each"):
        VoiceListener(edge, model=model)
