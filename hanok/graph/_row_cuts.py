"""Activations that are cut into blocks of rows, which may overlap."""

from __future__ import annotations

import math

from hanok.graph._working import Operation, WorkingGraph


def row_cuts(working: WorkingGraph) -> dict[str, list[Operation]]:
    """Activations that Slices take whole at least, with these: keys and queries of blocks of an attention.

    Slices of other axes than the last but one are none of them: they may tell queries from keys, which have
    ranges of their own.
    """
    found: dict[str, list[Operation]] = {}
    for operation in working.operations:
        if operation.op_type == "Slice" and not operation.domain:
            before, after = (working.shape(name) for name in (operation.inputs[0], operation.outputs[0]))
            if before[-1:] == after[-1:] and before[:-2] == after[:-2]:
                found.setdefault(operation.inputs[0], []).append(operation)
    return {
        source: cuts
        for source, cuts in found.items()
        if len(cuts) > 1
        and sum(math.prod(working.shape(cut.outputs[0])) for cut in cuts) >= math.prod(working.shape(source))
    }
