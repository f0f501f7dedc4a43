"""Let layers write straight into a concatenation, so that the copies into it disappear."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hanok.compiler.formula_layer import FormulaLayer
from hanok.compiler.layers import (
    CopyLayer,
    ElementLayer,
    Layer,
    MatrixLayer,
    ProductLayer,
    ResizeLayer,
    WindowLayer,
)
from hanok.compiler.view import Storage, View
from hanok.machine import Chip

Rename = Callable[[View], View]


def elide_copies(layers: list[Layer], kept: set[Storage], chip: Chip) -> list[Layer]:
    """Remove each copy whose source could have been written where the copy puts it.

    Requires: storages in `kept` are needed where they are (by the host, the user or another stage).
    Guarantees: every view that is left shows the same elements as before.
    """
    result = list(layers)
    for copy in [layer for layer in layers if isinstance(layer, CopyLayer) and layer.fill is None]:
        if copy.source.storage not in kept and _can_move(copy, result, chip):
            result.remove(copy)
            result = [_renamed(layer, copy, _moved_to(copy)) for layer in result]
        elif copy.source.storage not in kept and _can_shift(copy, result):
            result.remove(copy)
            result = [_renamed(layer, copy, _shifted_to(copy)) for layer in result]
    return result


def _can_move(copy: CopyLayer, layers: list[Layer], chip: Chip) -> bool:
    """Whether all that touch the copy's source can work on the strided view in the copy's output."""
    source, target = copy.source, copy.output
    if copy not in layers or source.storage is target.storage or source.storage.content:
        return False
    if not source.is_dense or source.offset or source.bytes != source.storage.size_bytes:
        return False
    first_write = min(
        (i for i, layer in enumerate(layers) if layer.output.storage is source.storage), default=-1
    )
    filled = [
        i
        for i, layer in enumerate(layers)
        if isinstance(layer, CopyLayer) and layer.fill is not None and layer.output.storage is target.storage
    ]
    if first_write < 0 or any(index > first_write for index in filled):
        return False
    return all(_can_use(layer, copy, chip) for layer in layers if layer is not copy)


def _can_shift(copy: CopyLayer, layers: list[Layer]) -> bool:
    """Whether all that write the copy's source, which nothing else reads, can write its place in the output.

    Both lie without gaps, so every view of the source is one of the output with another offset.
    """
    source, target = copy.source, copy.output
    if copy not in layers or source.storage is target.storage or source.storage.content:
        return False
    if (
        not (source.is_dense and target.is_dense)
        or source.offset
        or source.bytes != source.storage.size_bytes
    ):
        return False
    writers = [layer for layer in layers if layer.output.storage is source.storage]
    if any(source.storage is view.storage for layer in layers if layer is not copy for view in layer.views):
        return False
    return all(
        isinstance(layer, FormulaLayer | ProductLayer)
        and all(view.storage is not target.storage for view in layer.views)
        for layer in writers
    )


def _can_use(layer: Layer, copy: CopyLayer, chip: Chip) -> bool:
    storage = copy.source.storage
    reads = [view for view in layer.views if view.storage is storage]
    writes = [layer.output] if layer.output.storage is storage else []
    if not reads and not writes:
        return True
    if any(_in_bytes(view) != _in_bytes(copy.source) or not view.is_dense for view in (*reads, *writes)):
        return False
    if isinstance(layer, FormulaLayer):
        return not reads
    if isinstance(layer, MatrixLayer):
        if layer.tail is not None and layer.source.storage is not storage:
            return not reads
        whole_rows = layer.source.shape[3] % chip.core.matrix.rows == 0
        return layer.source.storage is not storage or whole_rows
    return isinstance(layer, (ElementLayer, WindowLayer, ResizeLayer, CopyLayer))


def _in_bytes(view: View) -> tuple[int, int, int, int]:
    """The view's shape with its channels in bytes, as copies of float32 count them."""
    images, rows, columns, channels = view.shape
    return images, rows, columns, channels * view.element_bytes


def _moved_to(copy: CopyLayer) -> Rename:
    def rename(view: View) -> View:
        if view.storage is not copy.source.storage:
            return view
        target = copy.output
        return View(
            target.storage,
            view.shape,
            target.offset,
            target.image_pitch,
            target.row_pitch,
            target.pixel_pitch,
            view.element_bytes,
        )

    return rename


def _shifted_to(copy: CopyLayer) -> Rename:
    def rename(view: View) -> View:
        if view.storage is not copy.source.storage:
            return view
        return replace(view, storage=copy.output.storage, offset=view.offset + copy.output.offset)

    return rename


def _formula(layer: FormulaLayer, rename: Rename) -> FormulaLayer:
    inputs = tuple(replace(operand, view=rename(operand.view)) for operand in layer.operands)
    return replace(layer, operands=inputs, output=rename(layer.output))


def _renamed(layer: Layer, copy: CopyLayer, rename: Rename) -> Layer:
    """The layer with the views of the copy's source renamed; itself where it has none."""
    if all(view.storage is not copy.source.storage for view in (*layer.views, layer.output)):
        return layer
    output = rename(layer.output)
    if isinstance(layer, MatrixLayer):
        epilogue, residual = layer.epilogue, layer.epilogue.residual
        if residual is not None:
            epilogue = replace(epilogue, residual=replace(residual, view=rename(residual.view)))
        tail = None if layer.tail is None else replace(layer.tail, layer=_formula(layer.tail.layer, rename))
        return replace(layer, source=rename(layer.source), output=output, epilogue=epilogue, tail=tail)
    if isinstance(layer, ElementLayer):
        operands = tuple(
            operand if operand.constant is not None else replace(operand, view=rename(operand.view))
            for operand in layer.operands
        )
        return replace(layer, operands=operands, output=output)
    if isinstance(layer, FormulaLayer):
        return _formula(layer, rename)
    if isinstance(layer, ProductLayer):
        return replace(layer, left=rename(layer.left), right=rename(layer.right), output=output)
    return replace(layer, source=rename(layer.source), output=output)
