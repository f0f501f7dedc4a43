"""The last line of a report: what bounds the model, its evidence, and what would help."""

import pytest

from hanok.flows._diagnosis import bound_of, verdict
from hanok.flows.results import ChipSummary, HostOperator, LayerResult, UnitCycles

CHIP = ChipSummary("c", "", 1000, 64, 0.128, 1 << 20, "FLAT:1000", 1e9)
CYCLES = 1000
UNITS = tuple(
    UnitCycles(name, (("busy", busy),)) for name, busy in (("load DMA", 500), ("matrix", 800), ("vector", 90))
)


def _layer(bound_by: str, cycles: int, moved: int = 100, needed: int = 100) -> LayerResult:
    return LayerResult(
        f"layer-{bound_by}",
        "Conv",
        (),
        "",
        1,
        (1,),
        1,
        0,
        cycles,
        cycles,
        (),
        0.5,
        moved,
        0,
        needed,
        bound_by,
    )


def _verdict(layers: tuple[LayerResult, ...], utilisation: float = 0.7, moved: int = 100) -> str:
    return verdict(layers, UNITS, CHIP, CYCLES, utilisation, moved)


@pytest.mark.parametrize(
    ("bound", "moved", "words"),
    [
        ("DRAM read", 900, ("Reading DRAM bounds", "90 % of its peak", "more bandwidth would help")),
        ("DRAM write", 100, ("Writing DRAM bounds", "10 % of its peak", "more bursts in flight")),
        ("matrix", 100, ("The matrix array bounds", "70 % of its multipliers", "a larger array")),
        ("vector", 100, ("The vector unit bounds", "more lanes", "'layer-vector'")),
        ("latency", 100, ("Waiting bounds", "matrix, the busiest, works 80 %", "smaller chip")),
    ],
)
def test_each_bound_has_its_sentence(bound: str, moved: int, words: tuple[str, ...]) -> None:
    layers = (_layer(bound, 600), _layer("matrix" if bound != "matrix" else "vector", 100))
    text = _verdict(layers, moved=moved)
    for word in words:
        assert word in text
    assert text.endswith(".")
    assert bound_of(layers) == bound


def test_a_close_second_is_named() -> None:
    assert "(next: vector, 40 %)" in _verdict((_layer("matrix", 600), _layer("vector", 400)))
    assert "next" not in _verdict((_layer("matrix", 900), _layer("vector", 100)))


def test_more_bytes_than_needed_call_for_sram() -> None:
    assert "3.0 times the compulsory bytes" in _verdict((_layer("DRAM read", 1000, 300, 100),))


def test_a_badly_filled_array_is_not_made_larger() -> None:
    assert "fits the layers badly" in _verdict((_layer("matrix", 1000),), utilisation=0.1)


def test_the_host_is_blamed_where_it_takes_longer() -> None:
    operators = (HostOperator("a", "Softmax", 1, "", 5.0), HostOperator("b", "Exp", 1, "", 5.0))
    layers = (_layer("matrix", 1000),)
    text = verdict(layers, UNITS, CHIP, CYCLES, 0.5, 100, operators)
    assert text.startswith("The host bounds this model: 2 operators take 5 ms")
    short = (HostOperator("a", "Softmax", 1, "", 1e-5),)
    assert verdict(layers, UNITS, CHIP, CYCLES, 0.5, 100, short).startswith("The matrix")


def test_nothing_on_the_npu() -> None:
    assert "the NPU had nothing to do" in verdict((), (), CHIP, 0, 0.0, 0)
    assert bound_of(()) == ""
