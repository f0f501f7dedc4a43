"""A compiled program: stages in order, code, DRAM map, tensor bindings and the origin of each instruction."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

import numpy as np
import numpy.typing as npt

from hanok.machine import Chip


class RegionKind(Enum):
    """What a DRAM region holds."""

    CODE = "code"
    CONSTANT = "constant"
    ACTIVATION = "activation"


@dataclass(frozen=True)
class Region:
    """A range of DRAM: [address, address + size_bytes)."""

    name: str
    kind: RegionKind
    address: int
    size_bytes: int


@dataclass(frozen=True)
class Binding:
    """Where a tensor that host stages or the user touch lies in DRAM, and how to read it.

    DRAM holds the tensor transposed by `permutation` (stored axis i is logical axis permutation[i]), dense,
    at `address`: int8 with real = (stored - zero_point) * scale, or, with `element_bytes` 4, float32.
    """

    name: str
    shape: tuple[int, ...]
    permutation: tuple[int, ...]
    address: int
    scale: float
    zero_point: int
    unsigned: bool = False
    element_bytes: int = 1

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """The shape in DRAM order."""
        return tuple(self.shape[axis] for axis in self.permutation)


@dataclass(frozen=True)
class ConstantTensor:
    """A value known at compile time that a host stage or the user reads."""

    name: str
    value: npt.NDArray[np.generic]


@dataclass(frozen=True)
class HostStage:
    """A float ONNX model that the host runs through ONNX Runtime between NPU stages.

    `inputs` and `outputs` are value names; those that are bound are dequantised or quantised on the way.
    """

    model: bytes
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    operators: tuple[tuple[str, str], ...]
    """(node name, ONNX operator type) of each ONNX node in the stage."""
    reason: str


@dataclass(frozen=True)
class NpuStage:
    """A run of instructions; ends when every unit is idle."""

    code: bytes
    code_address: int
    layer_of: npt.NDArray[np.int32]
    """Row in Program.layers of each instruction, in dispatch order."""


Stage = HostStage | NpuStage


@dataclass(frozen=True)
class Layer:
    """What an instruction belongs to: one fused group of ONNX nodes on the NPU."""

    name: str
    onnx_type: str
    onnx_nodes: tuple[str, ...]
    macs: int
    output_shape: tuple[int, ...]
    compulsory_bytes: int
    """Weights once, inputs once, outputs once, without what fusion keeps on the chip."""
    mapping: str = ""
    """How the compiler mapped it: tiles, order, residency; for people."""


@dataclass(frozen=True)
class ValueInfo:
    """A graph input or output as the user sees it: ONNX name, type and shape."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Program:
    """Everything needed to run a model on one chip."""

    name: str
    chip: Chip
    stages: tuple[Stage, ...]
    constants: bytes
    """DRAM image of the constants, placed at constants_address."""
    constants_address: int
    dram_bytes: int
    regions: tuple[Region, ...]
    bindings: tuple[Binding, ...]
    layers: tuple[Layer, ...]
    inputs: tuple[ValueInfo, ...]
    outputs: tuple[ValueInfo, ...]
    constant_outputs: tuple[ConstantTensor, ...] = ()
    source_model: bytes = b""
    """The quantised ONNX model that the program was compiled from, for the check against ONNX Runtime."""
    warnings: tuple[str, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)

    def binding(self, name: str) -> Binding | None:
        """The binding of value `name`, or None where it lives on the host alone."""
        return self._bindings_by_name().get(name)

    def _bindings_by_name(self) -> dict[str, Binding]:
        return {binding.name: binding for binding in self.bindings}

    @property
    def npu_stages(self) -> tuple[NpuStage, ...]:
        """The stages that run on the NPU, in order."""
        return tuple(stage for stage in self.stages if isinstance(stage, NpuStage))

    @property
    def host_operators(self) -> tuple[tuple[str, str], ...]:
        """(node name, ONNX type) of every operator that runs on the host."""
        return tuple(
            pair for stage in self.stages if isinstance(stage, HostStage) for pair in stage.operators
        )
