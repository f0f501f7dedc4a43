"""Texts that a chip's programs make: int8 tokens against the float reference, Korean, sampling, bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from language_folders import KINDS, write_folder, write_tokenizer
from language_reference import reference_logits
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from hanok.cli.app import build_app
from hanok.errors import HanokError
from hanok.flows._text import TextStream, Tokenizer
from hanok.flows.generate import Generation, open_language_model
from hanok.flows.sampling import Sampler, Sampling
from hanok.machine import Chip

tokenizers = pytest.importorskip("tokenizers")

PROMPT = "서울의 봄"
TOKENS = 16


def run(*arguments: object) -> Any:
    return CliRunner().invoke(build_app(), ["run", *map(str, arguments)])


@pytest.fixture(scope="session")
def edge() -> Chip:
    return Chip.load("edge")


def generate(folder: Path, chip: Chip, tokens: int = TOKENS) -> tuple[Generation, str]:
    pieces: list[str] = []
    model = open_language_model(folder, chip)
    generation = model.generate(PROMPT, tokens, stream=pieces.append)
    return generation, "".join(pieces)


@pytest.mark.parametrize("kind", [KINDS[0], *(pytest.param(k, marks=pytest.mark.slow) for k in KINDS[1:])])
def test_int8_tokens_are_mostly_the_float_references(tmp_path: Path, edge: Chip, kind: str) -> None:
    """Each token is held against what the float reference finds likeliest after the same tokens.

    Random weights have flat logits, so that eight bits change some; one of 264 would agree by chance.
    """
    config, values = write_folder(tmp_path, kind, seed=1)
    generation, streamed = generate(tmp_path, edge)
    sequence = [*generation.prompt, *generation.ids]
    logits = reference_logits(kind, config, values, sequence[:-1])[len(generation.prompt) - 1 :]
    agreeing = np.mean(np.argmax(logits, axis=1) == generation.ids)
    assert agreeing >= 0.7, (agreeing, generation.ids)
    gap = logits.max(1) - logits[np.arange(len(generation.ids)), generation.ids]
    assert gap.max() < logits.std(), "a token that differs is nearly as likely"
    assert streamed == generation.text
    _check_figures(generation)


def test_a_higher_goal_multiplies_more_operands_in_two_parts(tmp_path: Path, edge: Chip) -> None:
    write_folder(tmp_path, "llama", seed=1)
    macs = []
    for goal_db in (0.0, None, 60.0):
        model = open_language_model(tmp_path, edge, goal_db=goal_db, check=False)
        generation = model.generate(PROMPT, 1)
        macs.append(generation.reading[0].result.record.macs)
    assert macs[0] <= macs[1] < macs[2]
    result = run(tmp_path, "--goal-db", 101)
    assert result.exit_code == 2
    assert "--goal-db" in result.stderr


def test_weights_of_four_bits_are_loaded_as_such(tmp_path: Path, edge: Chip) -> None:
    """Their program's bits are ONNX Runtime's too; the head has columns enough for the array."""
    write_folder(tmp_path, "llama", seed=1)
    loaded = []
    for weight_bits in (8, 4):
        model = open_language_model(tmp_path, edge, goal_db=0.0, weight_bits=weight_bits)
        generation = model.generate(PROMPT, 3)
        _check_figures(generation)
        loaded.append(generation.making[0].result.record.dram_read_bytes)
    assert loaded[1] < loaded[0]


def _check_figures(generation: Generation) -> None:
    """The totals are those of the programs' records; each program's bits are ONNX Runtime's, or nearly."""
    assert [program.kind for program in generation.reading] == ["prefill"]
    assert {program.kind for program in generation.making} == {"decode"}
    assert generation.steps == len(generation.ids) - 1
    spent = sum(program.runs * program.result.record.latency_ms for program in generation.making)
    assert generation.tokens_per_second == pytest.approx(1e3 * generation.steps / spent)
    energy = sum(program.runs * program.result.record.energy_mj for program in generation.making)
    assert generation.joules_per_token == pytest.approx(1e-3 * energy / generation.steps)
    assert generation.first_token_ms == generation.reading[0].result.record.latency_ms
    for program in (*generation.reading, *generation.making):
        record = program.result.record
        assert record.checked
        assert not record.host_operators, "one program without the host"
        assert max(check.max_absolute_error for check in record.outputs) < 2


def test_a_second_text_compiles_nothing_and_is_the_same(tmp_path: Path, edge: Chip) -> None:
    write_folder(tmp_path, "qwen3", seed=3)
    model = open_language_model(tmp_path, edge)
    first = model.generate(PROMPT, 6)
    programs = list(model.machine.programs)
    again = model.generate(PROMPT, 6)
    assert model.machine.programs == programs
    assert again.ids == first.ids
    drawn = [model.generate(PROMPT, 6, sampling=Sampling(1.5, 0.9, seed)).ids for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_korean_on_the_command_line(tmp_path: Path) -> None:
    write_folder(tmp_path, "llama", seed=1)
    target, page = tmp_path / "text.json", tmp_path / "step.html"
    result = run(tmp_path, "--prompt", "한강", "--tokens", 3, "--json", target, "--html", page)
    assert result.exit_code == 0, result.output
    assert "decode" in result.output
    assert "tokens a second at" in result.output
    assert "이 글은 인공지능이 생성한 결과물입니다. This text was generated by AI." in result.stderr
    assert "인공지능" not in result.stdout
    content = json.loads(target.read_text("utf-8"))
    assert content["prompt_ids"] == list("한강".encode())
    assert len(content["ids"]) == 3
    assert content["digital_source_type"].endswith("/trainedAlgorithmicMedia")
    assert content["making"][0]["record"]["cycles"] > 0
    assert page.stat().st_size > 1000


def test_a_stream_never_gives_half_a_character(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    tokenizer = Tokenizer(tmp_path / "tokenizer.json", 264)
    text = "값: 한글 é 🙂 끝"
    ids = tokenizer.encode(text)
    assert ids == list(text.encode()), "a byte is a token"
    stream = TextStream(tokenizer, tokenizer.encode("앞"))
    pieces = [stream.add(token) for token in ids]
    assert [piece for piece in pieces if piece] == list(text)
    cut = TextStream(tokenizer, [])
    for token in "가".encode()[:2]:
        assert cut.add(token) == ""
    assert "\ufffd" in cut.finish()


def test_sampling_draws_what_it_should() -> None:
    logits = np.log(np.array([0.5, 0.3, 0.15, 0.05]))
    assert Sampler(Sampling()).choose(logits) == 0
    sampler = Sampler(Sampling(1.0, 0.75, seed=4))
    drawn = np.bincount([sampler.choose(logits) for _ in range(4000)], minlength=4) / 4000
    np.testing.assert_allclose(drawn, [0.625, 0.375, 0, 0], atol=0.03)
    sampler = Sampler(Sampling(2.0, 1.0, seed=4))
    wanted = np.sqrt([0.5, 0.3, 0.15, 0.05])
    drawn = np.bincount([sampler.choose(logits) for _ in range(4000)], minlength=4) / 4000
    np.testing.assert_allclose(drawn, wanted / wanted.sum(), atol=0.03)
    assert Sampler(Sampling(1.0, 1e-9)).choose(logits) == 0
    for wrong in ((-1, 1), (float("nan"), 1), (1, 0), (1, 1.5)):
        with pytest.raises(HanokError, match="above 0 up to 1"):
            Sampling(*wrong)


def _refused(result: Any, *words: str) -> None:
    assert result.exit_code == 2, (result.output, result.exception)
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    for word in words:
        assert word in result.stderr


def test_folders_that_are_none(tmp_path: Path) -> None:
    _refused(run(tmp_path, "--prompt", "x"), "config.json: no such file")
    write_folder(tmp_path, "llama")
    weights = tmp_path / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1])
    _refused(run(tmp_path, "--prompt", "x"), "truncated or damaged")
    weights.unlink()
    _refused(run(tmp_path, "--prompt", "x"), "0 .safetensors files")
    weights.write_bytes(whole)
    _refused(run(tmp_path, "--prompt", "x" * 200), "prompt: 200 tokens; allowed: at most 128")
    _refused(run(tmp_path, "--prompt", "\udcff"), "not valid UTF-8")
    _refused(run(tmp_path, "--prompt", "x", "--top-p", "0"), "above 0 up to 1")
    _refused(run(tmp_path, "--prompt", "x", "--bit-errors", "0.1"), "--bit-errors has no meaning")
    write_tokenizer(tmp_path, extra=20)
    _refused(run(tmp_path, "--prompt", "x"), "token ids up to 277; the model's vocabulary has 264")
    (tmp_path / "tokenizer.json").write_text("{}", "utf-8")
    _refused(run(tmp_path, "--prompt", "x"), "no tokenizer that can be read")
    (tmp_path / "tokenizer.json").unlink()
    _refused(run(tmp_path, "--prompt", "x"), "tokenizer.json: no such file")
    text = tmp_path / "texts.txt"
    text.write_text("\n \n", "utf-8")
    _refused(run(tmp_path, "--prompt", "x", "--calibrate", text), "has no text")
    text.write_bytes(b"\xff\xfe")
    _refused(run(tmp_path, "--prompt", "x", "--calibrate", text), "no text in UTF-8")


def onnx_decoder(*, places: int, mask: bool = True, rows: bool = False) -> onnx.ModelProto:
    """One layer of attention over a cache, with names as exporters give them; `places` 0 leaves them open.

    `rows`: the present is the new row alone. Positions are added as an embedding.
    """
    random = np.random.default_rng(8)
    constants = {
        "embedding": random.standard_normal((24, 16)),
        "positions": random.standard_normal((32, 16)),
        **{name: random.standard_normal((16, 16)) / 4 for name in ("wq", "wk", "wv")},
        "head": random.standard_normal((16, 24)),
        "big": np.array(1e4),
        "one": np.array(1.0),
    }
    tensors = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()]
    tensors += [numpy_helper.from_array(np.array([1, 1, 1, 16]), "row")]
    tensors += [numpy_helper.from_array(np.array([1, 1, 16]), "flat")]
    past: int | str = places or "past"
    total: int | str = places + 1 if places else "total"
    node = helper.make_node
    nodes = [
        node("Gather", ["embedding", "input_ids"], ["e"]),
        node("Gather", ["positions", "position_ids"], ["p"]),
        node("Add", ["e", "p"], ["x"]),
    ]
    for name in "qkv":
        nodes += [
            node("MatMul", ["x", f"w{name}"], [f"{name}.flat"]),
            node("Reshape", [f"{name}.flat", "row"], [name if rows or name == "q" else f"{name}.new"]),
        ]
    new = "{}" if rows else "{}.new"
    presents = {"k": "present.0.key", "v": "present.0.value"}
    pasts = {"k": "past_key_values.0.key", "v": "past_key_values.0.value"}
    for name in "kv":
        joined = f"{name}.all" if rows else presents[name]
        nodes.append(node("Concat", [pasts[name], new.format(name)], [joined], axis=2))
        if rows:
            nodes.append(node("Identity", [name], [presents[name]]))
    keys, values = ("k.all", "v.all") if rows else (presents["k"], presents["v"])
    nodes += [
        node("Transpose", [keys], ["kt"], perm=[0, 1, 3, 2]),
        node("MatMul", ["q", "kt"], ["scores"]),
        node("Cast", ["attention_mask"], ["seen"], to=TensorProto.FLOAT),
        node("Sub", ["seen", "one"], ["hidden"]),
        node("Mul", ["hidden", "big"], ["bias"]),
        node("Add", ["scores", "bias"], ["masked"]),
        node("Softmax", ["masked"], ["chances"]),
        node("MatMul", ["chances", values], ["mixed"]),
        node("Reshape", ["mixed", "flat"], ["y"]),
        node("Add", ["x", "y"], ["z"]),
        node("MatMul", ["z", "head"], ["logits"]),
    ]
    info = helper.make_tensor_value_info
    inputs = [info(name, TensorProto.INT64, (1, 1)) for name in ("input_ids", "position_ids")]
    if mask:
        inputs.append(info("attention_mask", TensorProto.INT64, (1, total)))
    else:
        ones = np.ones((1, places + 1), np.int64)
        tensors.append(numpy_helper.from_array(ones, "attention_mask"))
    inputs += [info(name, TensorProto.FLOAT, (1, 1, past, 16)) for name in pasts.values()]
    outputs = [info("logits", TensorProto.FLOAT, (1, 1, 24))]
    outputs += [info(name, TensorProto.FLOAT, (1, 1, 1 if rows else total, 16)) for name in presents.values()]
    graph = helper.make_graph(nodes, "decoder", inputs, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def onnx_reference(ids: list[int]) -> np.ndarray:
    """Logits of every position of `onnx_decoder`, without a cache."""
    weights = {t.name: numpy_helper.to_array(t) for t in onnx_decoder(places=4).graph.initializer}
    x = weights["embedding"][ids] + weights["positions"][: len(ids)]
    query, key, value = (x @ weights[name] for name in ("wq", "wk", "wv"))
    scores = query @ key.T
    scores[np.triu_indices(len(ids), 1)] = -np.inf
    chances = np.exp(scores - scores.max(1, keepdims=True))
    return (x + chances / chances.sum(1, keepdims=True) @ value) @ weights["head"]


@pytest.mark.parametrize(("places", "rows"), [(15, False), (15, True), (0, False)])
def test_an_onnx_decoder_writes_tokens(tmp_path: Path, edge: Chip, places: int, rows: bool) -> None:
    path = tmp_path / "decoder.onnx"
    onnx.save(onnx_decoder(places=places, rows=rows), path)
    model = open_language_model(path, edge)
    generation = model.generate([3, 17, 9], 8)
    sequence = [*generation.prompt, *generation.ids]
    logits = onnx_reference(sequence[:-1])[2:]
    assert np.mean(np.argmax(logits, axis=1) == generation.ids) >= 0.7
    assert [program.length for program in model.machine.programs] == [16]
    assert [program.runs for program in generation.reading] == [3], "the prompt is read token by token"
    assert [program.runs for program in generation.making] == [7]
    assert generation.text == "".join(f"{token} " for token in generation.ids)


def test_onnx_decoders_on_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "decoder.onnx"
    onnx.save(onnx_decoder(places=15), path)
    result = run(path, "--tokens", 30)
    assert result.exit_code == 0, result.output
    assert "16 tokens (context)" in result.output
    assert "run on the host" in result.output
    _refused(run(path, "--prompt", "x"), "a prompt in words needs the model's tokenizer.json")
    (tmp_path / "texts.txt").write_text("글\n", "utf-8")
    refused = run(path, "--tokens", 3, "--calibrate", tmp_path / "texts.txt")
    _refused(refused, "texts to calibrate with need the model's tokenizer.json")
    onnx.save(onnx_decoder(places=15, mask=False), path)
    _refused(run(path, "--tokens", 3), "has no mask input")
    model = onnx_decoder(places=15)
    del model.graph.output[1:]
    onnx.save(model, path)
    _refused(run(path, "--tokens", 3), "2 float32 inputs and 0 outputs with four axes")
    _refused(run(tmp_path / "none.onnx", "--tokens", 3), "no such file")
