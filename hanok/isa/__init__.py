"""The instruction set: one table and its views, closed timing formulas, and the compiled program."""

from hanok.isa.assembly import assemble, disassemble
from hanok.isa.encoding import Decoded, decode, encode
from hanok.isa.file import load_program, save_program
from hanok.isa.program import (
    Binding,
    ConstantTensor,
    HostStage,
    Layer,
    NpuStage,
    Program,
    Region,
    RegionKind,
    Stage,
    ValueInfo,
)
from hanok.isa.stream import encode_stream
from hanok.isa.table import (
    INSTRUCTIONS,
    TABLE_ENTRIES,
    UNIT_OF,
    VECTOR_STEPS,
    WORD_BYTES,
    Destination,
    Opcode,
    Operand,
    Reduction,
    Source,
    Step,
    Unit,
)

__all__ = [
    "INSTRUCTIONS",
    "TABLE_ENTRIES",
    "UNIT_OF",
    "VECTOR_STEPS",
    "WORD_BYTES",
    "Binding",
    "ConstantTensor",
    "Decoded",
    "Destination",
    "HostStage",
    "Layer",
    "NpuStage",
    "Opcode",
    "Operand",
    "Program",
    "Reduction",
    "Region",
    "RegionKind",
    "Source",
    "Stage",
    "Step",
    "Unit",
    "ValueInfo",
    "assemble",
    "decode",
    "disassemble",
    "encode",
    "encode_stream",
    "load_program",
    "save_program",
]
