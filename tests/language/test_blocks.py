"""How a long prompt is cut into blocks: they cover it, see what they must, and change no logits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from language_folders import KINDS, VOCABULARY, write_folder
from language_reference import reference_logits
from test_language_models import PROMPT, TOLERANCE, float_machine

from hanok.flows._language_folder import Feed
from hanok.graph import Operator, import_graph, load_model
from hanok.graph.language import blocks
from hanok.graph.language.blocks import causal_blocks, result_columns
from hanok.graph.language.names import open_checkpoint
from hanok.graph.language.quantised import quantised_decoder


@pytest.mark.parametrize("window", [0, 1, 100, 4096])
@pytest.mark.parametrize("rows", [1, 127, 128, 129, 512, 1500, 4096])
def test_blocks_cover_all_rows_and_what_they_see(rows: int, window: int) -> None:
    found = causal_blocks(rows, window)
    assert [block.start for block in found[1:]] == [block.end for block in found[:-1]]
    assert (found[0].start, found[-1].end, len(found) <= 8) == (0, rows, True)
    for block in found:
        assert block.rows > 0
        oldest = max(0, block.start - window + 1) if window else 0
        assert block.first_key == oldest


def test_results_are_whole_units_of_at_most_a_mebibyte() -> None:
    assert result_columns(512) == 512
    assert result_columns(512, 80) == 480
    assert result_columns(16) == 16384
    assert result_columns(1 << 20, 64) == 64, "one unit at least"


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five rows a block, and a product for each head."""
    monkeypatch.setattr(blocks, "_FEWEST_ROWS", 5)
    monkeypatch.setattr(blocks, "_RESULT_BYTES", 1)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("kind", KINDS)
def test_logits_in_blocks_are_the_references(tmp_path: Path, kind: str) -> None:
    """The prompt does not fill its bucket: the first blocks hold masked rows alone."""
    config, values = write_folder(tmp_path, kind, seed=11)
    sequence = [*PROMPT, *np.random.default_rng(5).integers(0, VOCABULARY, 3).tolist()]
    wanted = reference_logits(kind, config, values, sequence)
    machine = float_machine(tmp_path)
    machine.prepare(len(PROMPT), len(PROMPT) + 2)
    found = [machine.begin(PROMPT), *(machine.step(token) for token in sequence[len(PROMPT) :])]
    np.testing.assert_allclose(np.stack(found), wanted[len(PROMPT) - 1 :], atol=TOLERANCE)


@pytest.mark.usefixtures("small_blocks")
def test_what_several_blocks_read_is_rounded_once(tmp_path: Path) -> None:
    """Products of all blocks take slices of the rounded queries, keys and values, each with one scale."""
    write_folder(tmp_path, "llama", seed=3)
    checkpoint = open_checkpoint(tmp_path)
    samples = [Feed(checkpoint).prefill([3, 77, 140, 5, 9, 250, 33, 8, 100], 16)]
    model = quantised_decoder(checkpoint, 16, 0, samples, goal_db=0).model
    graph = import_graph(load_model(model.SerializeToString()))
    makers = graph.producers()
    scales: dict[str, set[float]] = {}
    for node in graph.nodes:
        for position, (product, name) in enumerate(
            [("scores", "query"), ("scores", "key"), ("mixed", "value")]
        ):
            if node.operator is not Operator.MATMUL or f".{product}" not in node.name:
                continue
            operand = node.inputs[min(position, 1)]
            quantization = graph.tensor(operand).quantization
            assert quantization is not None
            scales.setdefault(f"{node.name.split('.rows.')[0]}.{name}", set()).add(
                float(quantization.scalar_scale)
            )
            passed = []
            while makers[operand].operator is not Operator.FORMULA:
                passed.append(makers[operand].operator)
                operand = makers[operand].inputs[0]
            assert Operator.SLICE in passed, "rounded before it is cut"
    assert len(scales) == 2 * 3
    assert all(len(found) == 1 for found in scales.values())
