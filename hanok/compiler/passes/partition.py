"""Cut the graph into stages: runs of nodes for the NPU, and runs of nodes for the host between them."""

from __future__ import annotations

from dataclasses import dataclass

from hanok.compiler.supported import reason_for_host
from hanok.graph import DType, Graph, Node, Operator


@dataclass(frozen=True)
class NodeStage:
    """Nodes in topological order that run in one place; `reason` says why on the host."""

    on_npu: bool
    nodes: tuple[Node, ...]
    reason: str = ""


def partition(graph: Graph) -> list[NodeStage]:
    """Stages in order. Borders (QUANTIZE after the host, DEQUANTIZE before it) belong to no stage.

    Nodes of one kind are run as long as any is ready, so that the place changes as seldom as a greedy order
    can make it.
    """
    producers = graph.producers()
    reasons = {node.outputs[0]: _reason(graph, node, producers) for node in graph.nodes}
    available = {
        name for name, tensor in graph.tensors.items() if name not in producers or tensor.data is not None
    }
    waiting = list(graph.nodes)
    stages: list[NodeStage] = []
    on_npu = True
    while waiting:
        taken, rest = _take_ready(waiting, available, reasons, on_npu)
        members = tuple(node for node in taken if reasons[node.outputs[0]] != BORDER)
        if members:
            named = [reasons[node.outputs[0]] for node in members]
            stages.append(NodeStage(on_npu, members, "; ".join(dict.fromkeys(filter(None, named)))))
        assert taken or len(rest) == len(waiting), "nodes were lost"
        waiting, on_npu = rest, not on_npu
    return stages


BORDER = "border"
ROUNDED = "a value that the host makes and reads back rounded"


def _reason(graph: Graph, node: Node, producers: dict[str, Node]) -> str:
    if node.operator is Operator.DEQUANTIZE and graph.tensor(node.inputs[0]).dtype is DType.INT8:
        return BORDER if graph.tensor(node.inputs[0]).data is None else "a constant that the host reads"
    if node.operator is Operator.QUANTIZE:
        maker = producers.get(node.inputs[0])
        repeated = maker is not None and maker.operator is Operator.DEQUANTIZE
        scale = graph.tensor(node.outputs[0]).quantization
        if repeated or scale is None or not scale.per_tensor:
            return "a second quantisation of a dequantised value"
        return BORDER
    return reason_for_host(graph, node) or ""


def _take_ready(
    waiting: list[Node], available: set[str], reasons: dict[str, str], on_npu: bool
) -> tuple[list[Node], list[Node]]:
    """Take what can run now. A host value that the host itself reads back rounded is rounded in its stage."""
    taken, rest = [], []
    fresh: dict[str, Node] = {}
    for node in waiting:
        reason = reasons[node.outputs[0]]
        fits = reason == BORDER or (reason == "") == on_npu
        if not fits or not all(name in available for name in node.inputs if name):
            rest.append(node)
            continue
        if not on_npu and reason == BORDER and node.inputs[0] in fresh:
            fresh[node.outputs[0]] = node
        elif not on_npu and reason != BORDER:
            for name in node.inputs:
                _round_inside(name, fresh, reasons)
            fresh.update(dict.fromkeys(node.outputs, node))
        taken.append(node)
        available.update(node.outputs)
    return taken, rest


def _round_inside(name: str, fresh: dict[str, Node], reasons: dict[str, str]) -> None:
    """Make the borders between a value of this host stage and `name` members of the stage."""
    node = fresh.get(name)
    while node is not None and reasons[node.outputs[0]] == BORDER:
        reasons[node.outputs[0]] = ROUNDED
        node = fresh.get(node.inputs[0])
