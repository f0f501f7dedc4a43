"""Decoders of every kind against the float reference: logits, caches, buckets, masks and greedy tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from language_folders import (
    CONFIGS,
    KINDS,
    VOCABULARY,
    make_tensors,
    write_folder,
    write_safetensors,
)
from language_reference import greedy, reference_logits

from hanok.errors import HanokError, ModelError, UnsupportedError
from hanok.flows._language_folder import Feed, FolderMachine, ProgramRequest
from hanok.flows.arrays import InputError
from hanok.flows.generate import LanguageModel, calibration_texts
from hanok.graph.language.build import part_model
from hanok.graph.language.cache_scales import UNSCALED, CacheScales
from hanok.graph.language.config import read_decoder
from hanok.graph.language.names import open_checkpoint
from hanok.graph.language.quantised import float_caches, quantised_decoder
from hanok.graph.oracle import reference_session, run_session

PROMPT = [3, 77, 140, 5, 9, 250, 33, 8, 100]
TOLERANCE = 1e-4


class FloatProgram:
    """Stands for a compiled program: the float model itself, in ONNX Runtime."""

    def __init__(self, request: ProgramRequest) -> None:
        self.kind, self.length, self.runs = request.kind, request.length, 0
        self.name = self.kind
        self.session = reference_session(
            part_model(request.checkpoint, request.rows, request.past, None, request.scales)
        )
        self.result: Any = self

    def run(self, values: dict[str, Any]) -> dict[str, Any]:
        self.runs += 1
        return run_session(self.session, values)


def float_machine(folder: Path) -> FolderMachine:
    return FolderMachine(open_checkpoint(folder), [PROMPT], compile=FloatProgram)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_logits_of_prompt_and_steps_are_the_references(tmp_path: Path, kind: str) -> None:
    """The prompt does not fill its bucket, and steps cross from one bucket to the next."""
    config, values = write_folder(tmp_path, kind, seed=11)
    sequence = [*PROMPT, *np.random.default_rng(5).integers(0, VOCABULARY, 12).tolist()]
    wanted = reference_logits(kind, config, values, sequence)
    machine = float_machine(tmp_path)
    machine.prepare(len(PROMPT), len(PROMPT) + 2)
    found = [machine.begin(PROMPT), *(machine.step(token) for token in sequence[len(PROMPT) :])]
    np.testing.assert_allclose(np.stack(found), wanted[len(PROMPT) - 1 :], atol=TOLERANCE)
    assert {(program.kind, program.length) for program in machine.programs} == {
        ("prefill", 16),
        ("decode", 16),
        ("decode", 32),
    }


def test_a_text_has_one_program_for_its_prompt_and_one_for_its_tokens(tmp_path: Path) -> None:
    write_folder(tmp_path, "llama", seed=11)
    model = LanguageModel(float_machine(tmp_path), None, None, ())
    for tokens, lengths in ((30, [64]), (3, [64]), (90, [64, 128])):
        model.generate(PROMPT, tokens)
        made = [program.length for program in model.machine.programs if program.kind == "decode"]
        assert made == lengths


def test_a_folder_may_bring_its_calibration_texts(tmp_path: Path) -> None:
    assert calibration_texts(tmp_path) == ()
    place = tmp_path / "calibration.txt"
    place.write_text("한 줄\n\nanother\n", "utf-8")
    assert calibration_texts(tmp_path) == ["한 줄", "another"]
    for content, message in (
        (b"\xff", "byte 0 is not UTF-8"),
        (b"a\n" * 65, "65 texts; allowed: at most 64"),
        (b"a" * ((1 << 20) + 1), "1048577 bytes; allowed"),
    ):
        place.write_bytes(content)
        with pytest.raises(InputError, match=message):
            calibration_texts(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_tokens_are_the_references(tmp_path: Path, kind: str) -> None:
    config, values = write_folder(tmp_path, kind, seed=12)
    model = LanguageModel(float_machine(tmp_path), None, None, ())
    wanted = greedy(kind, config, values, PROMPT, 12)
    assert list(model.generate(PROMPT, 12).ids) == wanted
    assert list(model.generate(PROMPT, 12).ids) == wanted, "a second text does not see the first"


_VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "one key head": ("llama", {"num_key_value_heads": 1}),
    "as many key heads as heads": ("llama", {"num_key_value_heads": 4}),
    "untied": ("llama", {"tie_word_embeddings": False}),
    "no scaling of frequencies": ("llama", {"rope_scaling": None}),
    "linear scaling": ("exaone", {"rope_scaling": {"type": "linear", "factor": 4.0}}),
    "partial rotary": ("llama", {"partial_rotary_factor": 0.25, "head_dim": 16}),
    "windows everywhere": ("qwen2", {"max_window_layers": 0, "sliding_window": 4}),
    "windows unused": ("qwen2", {"use_sliding_window": False}),
    "tied exaone": ("exaone", {"tie_word_embeddings": True}),
    "whole heads turned": ("gptj", {"rotary_dim": 8}),
    "exact GELU": ("gpt2", {"activation_function": "gelu"}),
    "windows by layer": ("qwen2", {"layer_types": ["sliding_attention", "full_attention"]}),
    "scores by layer": ("gpt2", {"scale_attn_by_inverse_layer_idx": True}),
    "scores as they are": ("gpt2", {"scale_attn_weights": False}),
    "relu": ("gpt2", {"activation_function": "relu"}),
    "no multipliers": ("hyperclovax", {"use_post_norm": False, "residual_multiplier": 1.0}),
}


@pytest.mark.parametrize("name", _VARIANTS)
def test_logits_of_other_shapes(tmp_path: Path, name: str) -> None:
    kind, changes = _VARIANTS[name]
    config, values = write_folder(tmp_path, kind, seed=13, **changes)
    wanted = reference_logits(kind, config, values, PROMPT)
    machine = float_machine(tmp_path)
    machine.prepare(6, len(PROMPT) + 1)
    found = [machine.begin(PROMPT[:6]), *(machine.step(token) for token in PROMPT[6:])]
    np.testing.assert_allclose(np.stack(found), wanted[5:], atol=TOLERANCE)


@pytest.mark.parametrize("dtype", ["F16", "BF16"])
def test_stored_types_and_shards(tmp_path: Path, dtype: str) -> None:
    config, values = write_folder(tmp_path, "llama", seed=14, dtype=dtype, shards=3)
    wanted = reference_logits("llama", config, values, PROMPT)[-1]
    machine = float_machine(tmp_path)
    machine.prepare(len(PROMPT), len(PROMPT))
    np.testing.assert_allclose(machine.begin(PROMPT), wanted, atol=TOLERANCE)


def test_names_without_their_root(tmp_path: Path) -> None:
    """Checkpoints of a bare GPT-2 leave out 'transformer.'."""
    config, values = write_folder(tmp_path, "gpt2", seed=15)
    bare = {name.removeprefix("transformer."): value for name, value in values.items()}
    write_safetensors(tmp_path / "model.safetensors", bare)
    machine = float_machine(tmp_path)
    machine.prepare(len(PROMPT), len(PROMPT))
    wanted = reference_logits("gpt2", config, values, PROMPT)[-1]
    np.testing.assert_allclose(machine.begin(PROMPT), wanted, atol=TOLERANCE)


def test_stops_at_stop_tokens_and_at_the_context(tmp_path: Path) -> None:
    write_folder(tmp_path, "llama", seed=12, max_position_embeddings=16)
    machine = float_machine(tmp_path)
    model = LanguageModel(machine, None, None, ())
    generation = model.generate(PROMPT, 100)
    assert generation.stop == "context"
    assert len(PROMPT) + len(generation.ids) == 16 + 1, "the last token needs no place in the cache"
    stopping = LanguageModel(machine, None, None, (generation.ids[3],))
    shorter = stopping.generate(PROMPT, 100)
    assert shorter.stop == "stop token"
    assert shorter.ids == generation.ids[: generation.ids.index(generation.ids[3]) + 1]
    assert model.generate(PROMPT, 2).stop == "tokens"
    with pytest.raises(HanokError, match="prompt: 17 tokens; allowed: at most 16, the context"):
        model.generate([1] * 17, 1)
    with pytest.raises(HanokError, match=rf"prompt: token {VOCABULARY}; allowed: 0\.\.{VOCABULARY - 1}"):
        model.generate([VOCABULARY], 1)


def _config(folder: Path, content: dict[str, Any]) -> Path:
    (folder / "config.json").write_text(json.dumps(content), "utf-8")
    return folder


_BAD_CONFIGS: dict[str, tuple[str, dict[str, Any], str]] = {
    "kind of lists": ("llama", {"model_type": ["llama"]}, "model_type ['llama']; allowed: llama"),
    "list": ("gpt2", {"activation_function": ["gelu"]}, "activation_function is ['gelu']; allowed: silu"),
    "kind": ("llama", {"model_type": "mamba"}, "model_type 'mamba'; allowed: llama"),
    "missing": ("llama", {"hidden_size": None}, "hidden_size is missing; allowed: 1"),
    "text": ("llama", {"vocab_size": "264"}, "vocab_size is '264'; allowed: 1"),
    "negative": ("llama", {"num_hidden_layers": -1}, "num_hidden_layers is -1; allowed: 1..1024"),
    "huge": ("llama", {"intermediate_size": 10**30}, "intermediate_size is 1000000"),
    "endless": ("llama", {"rope_theta": 10**400}, "rope_theta is 1000000"),
    "heads": ("llama", {"num_key_value_heads": 3}, "4 heads cannot share 3 key heads evenly"),
    "division": ("llama", {"num_attention_heads": 5, "num_key_value_heads": 5}, "no multiple of 5 heads"),
    "odd": ("gptj", {"rotary_dim": 5}, "turns 5 of 8 elements"),
    "theta": ("llama", {"rope_theta": -1}, "rope_theta -1"),
    "scaling": ("llama", {"rope_scaling": {"type": "yarn", "factor": 2}}, "type 'yarn'; allowed: default"),
    "factor": (
        "llama",
        {"rope_scaling": {"type": "linear", "factor": 0.5}},
        "factor 0.5; allowed: at least 1",
    ),
    "factors": (
        "llama",
        {"rope_scaling": {**CONFIGS["llama"]["rope_scaling"], "low_freq_factor": 8}},
        "low_freq_factor 8 and high_freq_factor 4",
    ),
    "object": ("llama", {"rope_scaling": [1]}, "rope_scaling is"),
    "activation": ("gpt2", {"activation_function": "mish"}, "activation_function is 'mish'; allowed: silu"),
    "flag": ("llama", {"tie_word_embeddings": 1}, "tie_word_embeddings is 1; allowed: true or false"),
    "ids": ("llama", {"eos_token_id": "x"}, "eos_token_id is 'x'; allowed: token ids"),
    "epsilon": ("llama", {"rms_norm_eps": 0}, "epsilon is 0"),
    "layer types": ("qwen2", {"layer_types": ["x"]}, "layer_types is no list of 2 kinds"),
}


@pytest.mark.parametrize("name", _BAD_CONFIGS)
def test_a_wrong_configuration_is_one_clear_error(tmp_path: Path, name: str) -> None:
    kind, changes, message = _BAD_CONFIGS[name]
    with pytest.raises((ModelError, UnsupportedError)) as found:
        read_decoder(_config(tmp_path, {**CONFIGS[kind], **changes}))
    assert message in str(found.value)
    assert len(str(found.value)) < 400


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocab_size": 300}, "[264, 32]; config.json asks for [300, 32]"),
        ({"intermediate_size": 49}, "has shape [48, 32]; config.json asks for [49, 32]"),
        ({"num_hidden_layers": 3}, "no file has tensor 'model.layers.2.input_layernorm.weight'"),
        ({"tie_word_embeddings": False}, "no file has tensor 'lm_head.weight', and config.json does not tie"),
    ],
)
def test_weights_that_do_not_fit_the_configuration(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    write_folder(tmp_path, "llama")
    _config(tmp_path, {**CONFIGS["llama"], **changes})
    with pytest.raises(ModelError) as found:
        float_machine(tmp_path).prepare(4, 5)
    assert message in str(found.value)


def test_a_model_that_one_onnx_message_cannot_hold(tmp_path: Path) -> None:
    write_folder(tmp_path, "llama")
    _config(tmp_path, {**CONFIGS["llama"], "intermediate_size": 1 << 24})
    with pytest.raises(UnsupportedError, match="allowed: at most 2000000000 each"):
        float_machine(tmp_path)


@pytest.mark.parametrize("kind", ["llama", "gptj"])
@pytest.mark.parametrize(("rows", "past"), [(16, 0), (1, 15)])
def test_quantised_parts_are_one_model(tmp_path: Path, kind: str, rows: int, past: int) -> None:
    """Cut after every layer, a decoder has the same inputs and outputs, and is as near to the float model."""
    write_folder(tmp_path, kind, seed=16)
    checkpoint = open_checkpoint(tmp_path)
    whole = part_model(checkpoint, rows, past)
    random = np.random.default_rng(2)
    feed, samples = Feed(checkpoint), []
    for _ in range(4):
        ids = random.integers(0, VOCABULARY, 16).tolist()
        cache = feed.empty_cache()
        if past:
            cache.append(feed.new_rows(float_caches(checkpoint, 16, [feed.prefill(ids, 16)])[0], 16))
            cache.filled = 12
        samples.append(feed.decode(ids[12], cache.view(past), 12, past) if past else feed.prefill(ids, 16))
    one = quantised_decoder(checkpoint, rows, past, samples)
    cut = quantised_decoder(checkpoint, rows, past, samples, part_bytes=100 * 4 * 32)
    assert len(one.records) == 1
    assert len(cut.records) == 2 + 3, "two layers, and three pieces of the head of at most 100 columns"
    for model in (one.model, cut.model):
        onnx.checker.check_model(model, full_check=True)
        for borders in ("input", "output"):
            wanted = {value.name: value.type for value in getattr(whole.graph, borders)}
            assert {value.name: value.type for value in getattr(model.graph, borders)} == wanted
    wanted = run_session(reference_session(whole), samples[0])["logits"]
    for model in (one.model, cut.model):
        error = run_session(reference_session(model), samples[0])["logits"] - wanted
        assert 20 * np.log10(wanted.std() / error.std()) > 18


def test_small_heads_of_a_cache_have_all_of_int8(tmp_path: Path) -> None:
    """One head's keys and values are a tenth as large, and what reads them takes them tenfold."""
    config, _ = write_folder(tmp_path, "llama", seed=16)
    tensors = make_tensors("llama", config, 16)
    size = config["hidden_size"] // config["num_attention_heads"]
    readers = config["num_attention_heads"] // config["num_key_value_heads"] * size
    for layer in range(config["num_hidden_layers"]):
        stem = f"model.layers.{layer}.self_attn"
        for part in ("k_proj", "v_proj"):
            tensors[f"{stem}.{part}.weight"][:size] *= 0.1
        tensors[f"{stem}.q_proj.weight"][:readers] *= 10
        tensors[f"{stem}.o_proj.weight"][:, :readers] *= 10
    write_safetensors(tmp_path / "model.safetensors", tensors)
    checkpoint = open_checkpoint(tmp_path)
    feed, random = Feed(checkpoint), np.random.default_rng(2)
    texts = random.integers(0, VOCABULARY, (4, 16)).tolist()
    rows = [feed.new_rows(float_caches(checkpoint, 16, [feed.prefill(ids, 16)])[0], 16) for ids in texts]
    caches = [{name: value[:, :, :15] for name, value in each.items()} for each in rows]
    scales = CacheScales.of(caches)
    noise_db = []
    for chosen in (scales, UNSCALED):
        given = [chosen.divide(cache) if chosen.by_name else cache for cache in caches]
        samples = [feed.decode(ids[15], cache, 15, 15) for ids, cache in zip(texts, given, strict=True)]
        (record,) = quantised_decoder(checkpoint, 1, 15, samples, scales=chosen).records
        assert record.transformer is not None
        found = {(each.product, each.position): each.noise_db for each in record.transformer.two_parts}
        noise_db.append([found[f"layer.0.{product}.past", 1] for product in ("scores", "mixed")])
    (keys, values), (plain_keys, plain_values) = noise_db
    assert keys < plain_keys - 5
    assert values < plain_values - 15


def test_stop_tokens_of_both_files(tmp_path: Path) -> None:
    _config(tmp_path, CONFIGS["llama"])
    assert read_decoder(tmp_path).stop_ids == (256,)
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [257, 256, 5]}', "utf-8")
    decoder = read_decoder(tmp_path)
    assert decoder.stop_ids == (256, 257, 5)
    assert decoder.begin_id == 257
