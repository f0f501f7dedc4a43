"""Float operators from ONNX to their bits: compiled, emulated, held against reference and ONNX Runtime."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from compiled import chip, run_program
from models_float import (
    FUNCTIONS,
    LONG_PRODUCT,
    PRODUCTS,
    Build,
    even_chances,
    grouped_attention,
    product_of,
)
from onnx import ModelProto

from hanok.compiler.pack_chains import ChainPacker
from hanok.compiler.passes.fuse_formulas import fuse_formulas
from hanok.compiler.passes.split_rows import split_rows
from hanok.compiler.pipeline import compile_graph
from hanok.errors import CompileError
from hanok.graph import (
    FormulaAttributes,
    Graph,
    Operator,
    host_model,
    import_graph,
    run_onnxruntime,
    run_reference,
)
from hanok.isa import VECTOR_STEPS
from hanok.numerics.formula import FOLDS, Action, Formula, Ref
from hanok.numerics.functions import falling_exponential
from hanok.simulator import simulate

ORDERS = ("program", "eager:store,vector,matrix,load", "eager:load,matrix,vector,store", "random:5")
ON_HOST = {"islands": ["LpNormalization"]}


Feeds = dict[str, np.ndarray]


def feeds_of(graph: Graph, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(graph.tensor(name).shape).astype(np.float32) for name in graph.inputs}


def compare(
    name: str, build: Build, chip_name: str, seed: int, given: Feeds | None = None, **how: str | bool
) -> None:
    model, target = build(), chip(chip_name)
    graph = import_graph(model)
    program = compile_graph(graph, target)
    feeds = given or feeds_of(graph, seed)
    found = run_program(program, feeds, **how)
    reference = run_reference(graph, feeds, lanes=target.core.vector.lanes)
    theirs = run_onnxruntime(model, feeds)
    assert [kind for _, kind in program.host_operators] == ON_HOST.get(name, [])
    for output in graph.outputs:
        same = found[output].view(np.int32) == reference[output].view(np.int32)
        assert same.all(), f"{name}, {chip_name}: {(~same).sum()} of {same.size} values of {output}"
        far = np.abs(found[output] - theirs[output]) > 2e-6 * np.maximum(1, np.abs(theirs[output]))
        rounds = ("attention", "feed forward", "islands", "transformer block")
        steps = 0.1 if name in rounds else 0  # rounded at other places after other sums
        assert not far.any() or np.abs(found[output] - theirs[output]).max() <= steps, f"{name}, {chip_name}"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float_operator_is_computed_bit_for_bit(name: str) -> None:
    for seed, chip_name in enumerate(("odd wide", "nano", "edge")):
        compare(name, FUNCTIONS[name], chip_name, seed)


@pytest.mark.parametrize(
    "name",
    ["Softmax", "LayerNormalization", "Erf", "attention", "feed forward", "image", "islands", "rotary"],
)
def test_it_is_the_same_one_instruction_at_a_time_in_any_order(name: str) -> None:
    for order in ORDERS:
        compare(name, FUNCTIONS[name], "odd wide", 3, mode="stepwise", trap=True, order=order)


@pytest.mark.parametrize("name", PRODUCTS)
def test_product_of_activations(name: str) -> None:
    for seed, chip_name in enumerate(("odd wide", "nano", "edge")):
        compare(name, PRODUCTS[name], chip_name, seed)
    compare(name, PRODUCTS[name], "odd wide", 3, mode="stepwise", trap=True, order="random:7")


@pytest.mark.parametrize("chip_name", ["odd wide", "nano", "edge"])
def test_exponentials_below_the_largest_of_a_row_are_good_to_eight_bits(chip_name: str) -> None:
    """On the NPU, by the reference, and on the host, where they are ONNX Runtime's own operators."""
    model = even_chances()
    graph = import_graph(model)
    feeds = feeds_of(graph, 4)
    found = run_program(compile_graph(graph, chip(chip_name)), feeds)
    reference = run_reference(graph, feeds)
    exact, host = run_onnxruntime(model, feeds), run_onnxruntime(host_model(graph, graph.nodes), feeds)
    powers, top = graph.outputs
    assert np.array_equal(found[top], exact[top])
    assert np.array_equal(host[top], exact[top])
    assert np.array_equal(found[powers], reference[powers])
    assert np.array_equal(host[powers], exact[powers])
    steps = 255 * np.abs(found[powers] - exact[powers])
    assert steps.max() < 1.001
    assert (steps > 0.5).mean() < 0.1, "only of values near the middle of two steps"
    assert exact[powers].max() > 0.99
    assert (exact[powers] == 0).mean() > 0.1


def test_an_exponential_below_the_largest_takes_three_rounds_of_four_steps() -> None:
    f = Formula(2)
    result = f.mul(falling_exponential(f, f.input(0), f.input(1)), 255.0)
    chains = ChainPacker(f, [False, True], [result.number]).pack()
    assert [(chain.rowwise, len(chain.steps)) for chain in chains] == [(True, 1), (False, 4), (False, 8)]


def test_sums_that_float32_does_not_hold_are_exact() -> None:
    for chip_name in ("nano", "edge"):
        compare("long", LONG_PRODUCT, chip_name, 0)


def test_biases_beyond_what_float32_holds_are_exact() -> None:
    """Nearly every number of the right operand lies 255 steps from its zero point."""
    rng = np.random.default_rng(0)
    build = product_of((1, 3, 1001), (1, 1001, 5), (-127, 127))
    feeds = {
        "x0": rng.standard_normal((1, 3, 1001)).astype(np.float32),
        "x1": np.where(rng.integers(0, 90, (1, 1001, 5)) == 0, -0.03, -20).astype(np.float32),
    }
    for chip_name in ("nano", "edge"):
        compare("far", build, chip_name, 0, feeds)


def test_products_and_what_follows_them_are_one_layer() -> None:
    graph = import_graph(FUNCTIONS["feed forward"]())
    kinds = [layer.onnx_type for layer in compile_graph(graph, chip("edge")).layers]
    assert any(kind.startswith("MatMul+") and "Sigmoid" in kind for kind in kinds)
    assert any(kind.startswith("MatMul+") and "Tanh+Add" in kind for kind in kinds)


SHARED = {
    "one head": (1, 1, 60, 40),
    "heads apart": (6, 1, 12, 40),
    "heads share keys": (2, 3, 37, 41),
    "several heads a block": (3, 8, 7, 23),
    "rows that blocks do not divide": (1, 2, 61, 33),
}


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("name", SHARED)
def test_attention_in_blocks_of_rows(name: str, tied: bool) -> None:
    def build() -> ModelProto:
        return grouped_attention(*SHARED[name], tied=tied)

    graph, target = import_graph(build()), chip("odd many")
    split = split_rows(fuse_formulas(graph, target), target)
    blocks = [node for node in split.nodes if "[2/" in node.name]
    assert {node.operator for node in blocks} >= {Operator.MATMUL, Operator.FORMULA}
    compare("attention", build, "odd many", 2)
    compare("attention", build, "odd many", 2, mode="stepwise", trap=True, order="random:3")
    feeds = feeds_of(graph, 6)
    first, second = (run_reference(each, feeds, lanes=4) for each in (graph, split))
    for output in graph.outputs:
        assert np.array_equal(first[output].view(np.int32), second[output].view(np.int32))


def test_scores_of_a_long_attention_never_leave_the_chip() -> None:
    """Written to DRAM: the two results alone, of which the scores have 85 times as many bytes."""
    target = chip("edge")
    graph = import_graph(grouped_attention(4, 2, 512, 768, tied=True))
    program = compile_graph(graph, target)
    (stage,) = program.npu_stages
    results = sum(4 * graph.tensor(name).elements for name in graph.outputs)
    timing = simulate(stage.code, target)
    assert timing.dram_write_bytes == results
    assert results * 85 < 4 * (4 * 2 * 512 * 768)


def test_joined_formulas_give_the_bits_of_those_that_are_not() -> None:
    graph = import_graph(FUNCTIONS["attention"]())
    joined = fuse_formulas(graph, chip("edge"))
    apart = sum(node.operator is Operator.FORMULA for node in graph.nodes)
    assert sum(node.operator is Operator.FORMULA for node in joined.nodes) < apart
    feeds = feeds_of(graph, 4)
    first, second = (run_reference(each, feeds, lanes=4) for each in (graph, joined))
    for name in graph.outputs:
        assert np.array_equal(first[name].view(np.int32), second[name].view(np.int32))


def test_a_row_that_does_not_fit_is_refused_by_name() -> None:
    graph = import_graph(FUNCTIONS["Softmax"]())
    node = graph.nodes[0]
    wide = {name: replace(graph.tensor(name), shape=(2, 5, 4000)) for name in (*node.inputs, *node.outputs)}
    with pytest.raises(CompileError, match=r"Softmax 'Softmax:\w+' does not fit chip 'odd': "):
        compile_graph(replace(graph, tensors=graph.tensors | wide), chip("odd"))


def random_formula(seed: int) -> tuple[Formula, list[bool], int]:
    """Lines of every kind over a few inputs, one of which may have one value a row."""
    rng = np.random.default_rng(seed)
    f = Formula(int(rng.integers(1, 4)))
    rows = [bool(rng.integers(4) == 0) and number > 0 for number in range(f.inputs)]
    values = [f.input(number) for number in range(f.inputs)]
    whole = [not row for row in rows]
    table = rng.standard_normal(256).astype(np.float32)

    def pick() -> int:
        return int(rng.integers(max(0, len(values) - 6), len(values)))

    def operand(number: int):
        return float(np.float32(rng.standard_normal())) if rng.integers(4) == 0 else values[number]

    for _ in range(int(rng.integers(3, 25))):
        a, b, c = pick(), pick(), pick()
        kind = int(rng.integers(14))
        made = None
        if kind < 7:
            action = list(Action)[kind]
            made = (
                f.append(action, values[a], operand(b))
                if rng.integers(3)
                else f.append(action, operand(b), values[a])
            )
        elif kind == 7:
            made = f.fused(values[a], 0.7, values[c])
        elif kind == 8:
            made = f.round(values[a], -50, 60)
        elif kind == 9:
            made = f.lookup(values[a], table)
        elif kind == 10:
            made = f.select(values[a], operand(b), operand(c))
        elif kind == 11:
            made = f.bits(values[a])
        elif kind == 12:
            made = f.from_bits(f.mul(f.bits(values[a]), 0.5))
        elif whole[a]:
            made = f.fold(FOLDS[int(rng.integers(3))], values[a])
        if made is not None:
            values.append(made)
            whole.append(not ChainPacker(f, rows, [made.number]).rowwise[made.number])
    return f, rows, values[-1].number


@pytest.mark.parametrize("part", range(8))
def test_chains_make_every_line_once_and_read_what_is_there(part: int) -> None:
    for seed in range(50 * part, 50 * part + 50):
        f, rows, result = random_formula(seed)
        if result < f.inputs:
            continue
        chains = ChainPacker(f, rows, [result]).pack()
        there = set(range(f.inputs))
        for chain in chains:
            reads = {held.number for held in (chain.start, *chain.streams)}
            assert reads <= there, f"seed {seed}: reads {reads - there}"
            assert len(reads) == 1 + len(chain.streams), f"seed {seed}: two operands in one place"
            assert len(chain.steps) <= VECTOR_STEPS
            assert len(chain.streams) <= 2
            there.add(chain.result)
        assert result in there or f.lines[result - f.inputs].action is Action.BITS


@pytest.mark.parametrize("part", range(4))
def test_random_formulas_compile_to_their_values(part: int) -> None:
    model = FUNCTIONS["Softmax"]()
    base = import_graph(model)
    source = base.nodes[0]
    made = base.tensor(source.outputs[0])
    for seed in range(20 * part, 20 * part + 20):
        f, rows, result = random_formula(seed)
        if result < f.inputs or f.lines[result - f.inputs].action is Action.BITS:
            continue
        f_result = f.mul(Ref(result), 1.0).number
        names = [f"in{number}" for number in range(f.inputs)]
        shapes = [(3, 4, 1) if row else (3, 4, 13) for row in rows]
        rowwise = ChainPacker(f, rows, [f_result]).rowwise[f_result]
        tensors = {n: replace(made, name=n, shape=s) for n, s in zip(names, shapes, strict=True)}
        tensors["out"] = replace(made, name="out", shape=(3, 4, 1) if rowwise else (3, 4, 13))
        node = replace(
            source, inputs=tuple(names), outputs=("out",), attributes=FormulaAttributes(f, f_result, (2,))
        )
        graph = replace(base, tensors=tensors, nodes=(node,), inputs=tuple(names), outputs=("out",))
        feeds = feeds_of(graph, seed)
        reference = run_reference(graph, feeds, lanes=chip("edge").core.vector.lanes)["out"]
        found = run_program(compile_graph(graph, chip("edge")), feeds)["out"]
        same = (found.view(np.int32) == reference.view(np.int32)) | (np.isnan(found) & np.isnan(reference))
        assert same.all(), f"seed {seed}: {(~same).sum()} of {same.size}"
