"""The compiler on one page: from the typed graph to a verified program, pass by pass."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from hanok.compiler.emit import ConstantPool, StageEmitter
from hanok.compiler.encode import encode_operations
from hanok.compiler.layers import Layer
from hanok.compiler.passes.elide_copies import elide_copies
from hanok.compiler.passes.fuse_formulas import fuse_formulas
from hanok.compiler.passes.hoist_copies import hoist_copies
from hanok.compiler.passes.lower import Lowering
from hanok.compiler.passes.partition import NodeStage, partition
from hanok.compiler.passes.place import (
    binding,
    crossing,
    place_activations,
    storages_of,
    weights_in_dram,
)
from hanok.compiler.passes.sink_concats import sink_concats
from hanok.compiler.passes.split_columns import split_columns
from hanok.compiler.passes.split_rows import split_rows
from hanok.compiler.plan_matrix import Planner
from hanok.compiler.reorder import Measure, reorder
from hanok.compiler.report_layer import describe_layer
from hanok.compiler.residency import CrowdedError, Life, choose_residents, resident
from hanok.compiler.schedule import Operation
from hanok.compiler.verify import verify_code
from hanok.compiler.view import Storage
from hanok.dram import get_standard
from hanok.errors import CompileError, UnsupportedError
from hanok.graph import DType, Graph, Operator, host_model
from hanok.isa import (
    Binding,
    ConstantTensor,
    HostStage,
    NpuStage,
    Program,
    Region,
    RegionKind,
    Stage,
    ValueInfo,
)
from hanok.isa import Layer as LayerRecord
from hanok.machine import Chip
from hanok.units import align_up

ALIGNMENT = 64
DRAM_EFFICIENCY = 0.9
"""Share of the peak that streams reach, for the cost model; the engine knows the true one."""


def compile_graph(
    graph: Graph,
    chip: Chip,
    *,
    no_host: bool = False,
    measure: Measure | None = None,
    source_model: bytes = b"",
    warnings: tuple[str, ...] = (),
) -> Program:
    """Compile a typed graph for a chip.

    `measure` times a code on the chip (the cycle engine does); with it the best plans of each matrix layer
    and several orders of the instructions are tried on the machine, without it the closed formulas decide
    alone.
    Raises UnsupportedError if operators would need the host and `no_host` forbids it, CompileError if a
    layer does not fit the chip. The same graph and chip give the same bytes.
    """
    graph = sink_concats(fuse_formulas(graph, chip), chip)
    graph = split_rows(split_columns(graph, chip), chip)
    node_stages = partition(graph)
    if no_host:
        _refuse_host(node_stages)
    lowering = Lowering(graph, chip.core.sram)
    lowered = [lowering.stage(stage.nodes) if stage.on_npu else [] for stage in node_stages]
    bound = _bound_tensors(graph, node_stages)
    lowered = _gather_bound(lowering, bound, node_stages, lowered)
    constants_of_graph = {name for name in bound if graph.tensor(name).data is not None}
    layouts = {name: lowering.bound(name) for name in bound if name not in constants_of_graph}
    storages = [layout.storage for layout in layouts.values()]
    planner = Planner(chip, dram_bytes_per_cycle(chip))
    stored = crossing(lowered) | set(storages) | weights_in_dram(lowered)
    lowered = [hoist_copies(elide_copies(layers, stored, chip), chip) for layers in lowered]
    stored |= weights_in_dram(lowered)
    residents = [choose_residents(layers, chip, planner, stored) for layers in lowered]
    pool, regions, emitted, records = _emit_with_fitting(lowered, storages, residents, planner, measure)
    if measure is not None:
        emitted = [reorder(operations, chip, measure) for operations in emitted]
    image = pool.image
    regions.append(Region("constants", RegionKind.CONSTANT, pool.address, max(len(image), 1)))
    address = align_up(pool.address + len(image), ALIGNMENT)
    stages, code_regions, end = _finish_stages(graph, node_stages, emitted, chip, address)
    _refuse_large(graph, chip, end)
    program = Program(
        graph.name,
        chip,
        tuple(stages),
        image,
        pool.address,
        end,
        (*regions, *code_regions),
        _bindings(graph, lowering, layouts),
        tuple(records),
        tuple(_value_info(graph, name) for name in graph.inputs),
        tuple(_value_info(graph, name) for name in graph.outputs),
        _constant_outputs(graph),
        source_model,
        warnings,
    )
    for stage in program.npu_stages:
        verify_code(stage.code, chip, end, regions=program.regions)
    return program


Emitted = tuple[ConstantPool, list[Region], list[list[Operation]], list[LayerRecord]]


def _emit_with_fitting(
    lowered: list[list[Layer]],
    bound: list[Storage],
    residents: list[list[Life]],
    planner: Planner,
    measure: Measure | None,
) -> Emitted:
    """Emit every stage; a resident beside which a layer finds no room goes to DRAM, and all begins anew."""
    while True:
        try:
            return _emit(lowered, bound, residents, planner, measure)
        except CrowdedError as error:
            residents = [[life for life in lives if life is not error.life] for lives in residents]
            for storage in (*bound, *storages_of(lowered)):
                storage.dram_address = -1


def _emit(
    lowered: list[list[Layer]],
    bound: list[Storage],
    residents: list[list[Life]],
    planner: Planner,
    measure: Measure | None,
) -> Emitted:
    """Place tensors and emit every stage: constants, activations, instructions, records of layers."""
    kept = {life.storage for lives in residents for life in lives}
    constants_address, regions = place_activations(lowered, bound, kept, 0)
    pool = ConstantPool(constants_address, planner.chip)
    _place_constant_storages(lowered, pool)
    emitted: list[list[Operation]] = []
    records: list[LayerRecord] = []
    for layers, lives in zip(lowered, residents, strict=True):
        emitter = StageEmitter(planner.chip, planner, pool, lives, measure)
        with resident(lives):
            for index, layer in enumerate(layers):
                emitter.emit(layer, index, len(records))
                records.append(describe_layer(layer, emitter.mappings[-1], emitter.packings[-1]))
        emitted.append(emitter.schedule.operations)
    return pool, regions, emitted, records


def dram_bytes_per_cycle(chip: Chip) -> float:
    """DRAM bytes that arrive in a core cycle on a stream."""
    peak = get_standard(chip.memory.standard).peak_bytes_per_second * chip.memory.channels
    return DRAM_EFFICIENCY * peak / (chip.clock_mhz * 1e6)


def _refuse_host(stages: list[NodeStage]) -> None:
    for stage in stages:
        if not stage.on_npu:
            named = ", ".join(f"{node.onnx_type} '{node.name}'" for node in stage.nodes[:5])
            more = f" and {len(stage.nodes) - 5} more" if len(stage.nodes) > 5 else ""
            raise UnsupportedError(
                f"these operators need the host: {named}{more} ({stage.reason[:300]}); run without "
                "--no-host, or rewrite them with the operators of docs/operators.md"
            )


def _refuse_large(graph: Graph, chip: Chip, dram_bytes: int) -> None:
    capacity = chip.memory.capacity_mib << 20
    if dram_bytes > capacity:
        raise CompileError(
            f"{graph.name}: tensors, weights and code need {dram_bytes} bytes of DRAM; chip '{chip.name}' "
            f"has {capacity} (memory.capacity_mib = {chip.memory.capacity_mib}); choose a larger memory or a "
            "smaller model"
        )


def _bound_tensors(graph: Graph, stages: list[NodeStage]) -> list[str]:
    """Tensors of the NPU that the host or the user writes or reads, in order of appearance."""
    ours = {name for name, tensor in graph.tensors.items() if tensor.dtype is DType.INT8}
    ours |= _float_tensors(graph, stages)
    found = [name for name in graph.inputs if name in ours]
    for node in graph.nodes:
        if node.operator is Operator.QUANTIZE:
            found.append(node.outputs[0])
        elif node.operator is Operator.DEQUANTIZE:
            found.append(node.inputs[0])
    made_on_npu = {name for stage in stages if stage.on_npu for node in stage.nodes for name in node.outputs}
    for stage in stages:
        if not stage.on_npu:
            for node in stage.nodes:
                found += [name for name in node.inputs if name in made_on_npu]
                found += [name for name in node.outputs if name in ours]
    found += [name for name in graph.outputs if name in ours]
    return [name for name in dict.fromkeys(found) if name in ours]


def _float_tensors(graph: Graph, stages: list[NodeStage]) -> set[str]:
    """float32 activations that the NPU reads or writes."""
    touched = {
        name
        for stage in stages
        if stage.on_npu
        for node in stage.nodes
        for name in (*node.inputs, *node.outputs)
        if name
    }
    tensors = [graph.tensor(name) for name in touched]
    return {t.name for t in tensors if t.dtype is DType.FLOAT32 and t.data is None}


def _gather_bound(
    lowering: Lowering, bound: list[str], stages: list[NodeStage], lowered: list[list[Layer]]
) -> list[list[Layer]]:
    """Append, to the stage that makes a bound tensor, the gather that gives it a dense layout."""
    result = list(lowered)
    for index, stage in enumerate(stages):
        if not stage.on_npu:
            continue
        lowering.layers = result[index]
        for node in stage.nodes:
            for name in node.outputs:
                if name in bound:
                    lowering.bound(name)
    return result


def _place_constant_storages(stages: list[list[Layer]], pool: ConstantPool) -> None:
    for layers in stages:
        for layer in layers:
            for view in layer.views:
                storage = view.storage
                if storage.content and storage.dram_address < 0:
                    storage.dram_address = pool.place(storage.content)


def _finish_stages(
    graph: Graph, node_stages: list[NodeStage], emitted: list[list[Operation]], chip: Chip, address: int
) -> tuple[list[Stage], list[Region], int]:
    stages: list[Stage] = []
    regions = []
    for number, (node_stage, operations) in enumerate(zip(node_stages, emitted, strict=True)):
        if not node_stage.on_npu:
            stages.append(_host_stage(graph, node_stage))
            continue
        if not operations:
            continue
        code = encode_operations(operations, chip)
        layer_of = np.array([operation.layer for operation in operations], np.int32)
        stages.append(NpuStage(code, address, layer_of))
        regions.append(Region(f"code {number}", RegionKind.CODE, address, len(code)))
        address = align_up(address + len(code), ALIGNMENT)
    return stages, regions, max(address, ALIGNMENT)


def _host_stage(graph: Graph, stage: NodeStage) -> HostStage:
    nodes = stage.nodes
    made = {name for node in nodes for name in node.outputs}
    reads = dict.fromkeys(name for node in nodes for name in node.inputs if name and name not in made)
    inputs = tuple(name for name in reads if graph.tensor(name).data is None)
    chosen = {id(node) for node in nodes}
    outside = {name for node in graph.nodes if id(node) not in chosen for name in node.inputs} | set(
        graph.outputs
    )
    outputs = tuple(name for node in nodes for name in node.outputs if name in outside)
    operators = tuple((node.name, node.onnx_type or node.operator.value) for node in nodes)
    return HostStage(host_model(graph, nodes), inputs, outputs, operators, stage.reason)


def _bindings(graph: Graph, lowering: Lowering, layouts: Iterable[str]) -> tuple[Binding, ...]:
    result = []
    for name in layouts:
        tensor, layout = graph.tensor(name), lowering.bound(name)
        result.append(binding(name, tensor, layout))
        for node in graph.nodes:
            if node.operator is Operator.QUANTIZE and node.outputs[0] == name:
                result.append(binding(node.inputs[0], tensor, layout))
            elif node.operator is Operator.DEQUANTIZE and node.inputs[0] == name:
                result.append(binding(node.outputs[0], tensor, layout))
    return tuple(result)


def _value_info(graph: Graph, name: str) -> ValueInfo:
    tensor = graph.tensor(name)
    kind = "uint8" if tensor.unsigned else (tensor.element_type.lower() or tensor.dtype.value)
    return ValueInfo(name, kind, tensor.shape)


def _constant_outputs(graph: Graph) -> tuple[ConstantTensor, ...]:
    found = []
    for name in graph.outputs:
        data = graph.tensor(name).data
        if data is not None:
            found.append(ConstantTensor(name, data))
    return tuple(found)
