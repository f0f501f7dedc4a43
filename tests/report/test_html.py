"""The HTML report: self-contained, escaped, complete, deterministic."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from hanok.flows.results import LayerResult, RunRecord, RunTraces
from hanok.report import html as html_module
from hanok.report.html import MAX_SLICES, to_html


class _Page(HTMLParser):
    """Collects elements, attributes, and the text of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text: list[str] = []
        self.inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside == "script":
            self.scripts[-1] += data
        elif self.inside != "style":
            self.text.append(data)


@pytest.fixture(scope="module")
def page(run: tuple[RunRecord, RunTraces]) -> _Page:
    return _Page(to_html(*run))


def _data(page: _Page) -> dict:
    content: dict = json.loads(page.scripts[0])
    return content


def test_the_page_loads_nothing(run: tuple[RunRecord, RunTraces], page: _Page) -> None:
    text = to_html(*run)
    assert not re.search(r"https?://|//[a-z]+\.|@import|url\(", text)
    for tag, attributes in page.elements:
        assert tag not in ("iframe", "object", "embed", "img", "base")
        assert "src" not in attributes
        assert attributes.get("href", "data:,") == "data:,"


def test_names_cannot_become_markup(page: _Page, hostile_name: str) -> None:
    assert len(page.scripts) == 2
    assert not any("alert(" in script for script in page.scripts[1:])
    assert any(hostile_name in text for text in page.text)
    assert _data(page)["layers"][3]["name"] == hostile_name
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)


def test_hostile_model_chip_and_causes(run: tuple[RunRecord, RunTraces]) -> None:
    record, traces = run
    bad = '"><script>alert(1)</script>\x1b[31m\u202e'
    units = tuple(replace(unit, causes=((bad, 5), *unit.causes)) for unit in record.units)
    regions = tuple(replace(region, name=bad, kind=bad) for region in record.regions)
    outputs = tuple(replace(output, name=bad) for output in record.outputs)
    hostile = replace(
        record, model=bad, units=units, regions=regions, outputs=outputs, warnings=(bad,), verdict=bad
    )
    text = to_html(hostile, traces)
    assert len(_Page(text).scripts) == 2
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_figures_are_those_of_the_record(run: tuple[RunRecord, RunTraces], page: _Page) -> None:
    record, traces = run
    data = _data(page)
    assert data["cycles"] == record.cycles
    assert sum(len(unit["gap"]) for unit in data["units"]) == record.instructions
    for number, unit in enumerate(data["units"]):
        active = (traces.timeline.end - traces.timeline.start)[traces.timeline.unit == number].sum()
        assert sum(unit["length"]) == active
        assert sum(unit["gap"]) + active <= record.cycles
    rows = [attributes for tag, attributes in page.elements if tag == "tr" and "data-layer" in attributes]
    assert len(rows) == len(record.layers)
    text = " ".join(page.text)
    assert record.verdict in text
    assert f"{record.cycles:,}" in text
    for figure in record.chip.figures:
        assert figure.source in text


def test_the_same_run_gives_the_same_page(run: tuple[RunRecord, RunTraces]) -> None:
    assert to_html(*run) == to_html(*run)


def test_long_timelines_are_thinned(
    run: tuple[RunRecord, RunTraces], monkeypatch: pytest.MonkeyPatch
) -> None:
    record, traces = run
    monkeypatch.setattr(html_module, "MAX_SLICES", 80)
    data = _data(_Page(to_html(record, traces)))
    for number, unit in enumerate(data["units"]):
        assert len(unit["gap"]) <= 20
        members = traces.timeline.unit == number
        assert sum(unit["count"]) == members.sum()
        assert sum(unit["busy"]) == (traces.timeline.end - traces.timeline.start)[members].sum()
    assert MAX_SLICES == 20_000


def test_a_run_without_layers_or_sram_map_still_renders(run: tuple[RunRecord, RunTraces]) -> None:
    record, traces = run
    nothing = np.zeros(0, np.int64)
    timeline = replace(
        traces.timeline,
        start=nothing,
        end=nothing,
        unit=nothing.astype(np.int8),
        opcode=nothing.astype(np.uint8),
        layer=nothing.astype(np.int32),
        dram_read_bytes=nothing,
        dram_write_bytes=nothing,
    )
    bandwidth = replace(traces.bandwidth, slice_cycles=1, read_bytes=nothing, write_bytes=nothing)
    empty = replace(
        record,
        cycles=0,
        latency_ms=0.0,
        energy_mj=0.0,
        macs=0,
        utilisation=0.0,
        compulsory_bytes=0,
        instructions=0,
        layers=(),
        units=(),
        energy=(),
        regions=(),
        host_operators=(),
        checked=False,
        outputs=(),
    )
    page = _Page(to_html(empty, replace(traces, timeline=timeline, bandwidth=bandwidth, sram=None)))
    assert any("not checked" in text for text in page.text)
    assert not any(attributes.get("id") == "sram" for _, attributes in page.elements)


def test_layers_without_cycles_or_bytes(run: tuple[RunRecord, RunTraces]) -> None:
    record, traces = run

    def emptied(layer: LayerResult) -> LayerResult:
        return replace(
            layer, cycles=0, utilisation=0.0, dram_read_bytes=0, dram_write_bytes=0, compulsory_bytes=0
        )

    to_html(replace(record, layers=tuple(emptied(layer) for layer in record.layers)), traces)
