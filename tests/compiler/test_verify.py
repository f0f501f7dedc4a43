"""Planted violations of every rule are found; legal programs pass."""

from __future__ import annotations

import numpy as np
import pytest
from verify_programs import (
    BANK,
    COLUMNS,
    DRAM_BYTES,
    LOAD,
    MATRIX,
    STORE,
    VECTOR,
    chain,
    conv,
    depthwise,
    dma,
    layer_program,
    small_chip,
)

from hanok.compiler.verify import RULES, verify_code
from hanok.errors import VerifyError
from hanok.isa import Opcode, Operand, Reduction, Region, RegionKind, Source, Step, encode
from hanok.machine import Chip

CHIP = small_chip()
SRAM = CHIP.core.sram.total_bytes


def verify(*code: bytes, dram_bytes: int = DRAM_BYTES, chip=CHIP, regions=None) -> None:
    verify_code(b"".join(code), chip, dram_bytes, regions=regions)


def steps(*pairs: tuple[Step, Operand], **fields):
    names = {"steps": len(pairs), "steps_before": len(pairs)} | fields
    pad = [0] * (8 - len(pairs))
    return names | {"step": [int(s) for s, _ in pairs] + pad, "operand": [int(o) for _, o in pairs] + pad}


def sram_chain(**fields):
    """A chain over 64 int8 elements of bank 0, to bank 1."""
    values = {
        "kind_0": Source.INT8,
        "address_0": 0,
        "outer_0": 8,
        "inner": 8,
        "pixel_pitch": 8,
        "x_limit": 8,
        "address_out": BANK,
    }
    return chain(**(values | fields))


def expand(**fields):
    """64 bytes to bank 0 from a table and one word."""
    return dma(Opcode.EXPAND, **({"packed_bytes": 132} | fields))


def unpack(**fields):
    """Two groups of four rows of 8 columns, 64 bytes in all, to bank 0."""
    return dma(Opcode.UNPACK, **({"packed_bytes": 64, "group_rows": 4} | fields))


TABLE = encode(Opcode.TABLE, {"address": 8 * BANK})
LOOKUP = steps((Step.LOOKUP, Operand.IMMEDIATE))

BROKEN = [
    ("mask", [dma(wait=LOAD)]),
    ("mask", [dma(post=16)]),
    ("count", [dma(run=0)]),
    ("count", [dma(count_2=0)]),
    ("count", [conv(out_height=0)]),
    ("count", [conv(last_columns=0)]),
    ("count", [chain(reduce_0=0)]),
    ("count", [depthwise(pixel_pitch=0)]),
    ("flags", [dma(flags=1)]),
    ("flags", [conv(flags=3)]),
    ("flags", [chain(flags=2)]),
    ("flags", [encode(Opcode.TABLE, {"flags": 1})]),
    ("code", [chain(kind_0=5)]),
    ("code", [chain(kind_0=0)]),
    ("code", [chain(kind_1=1)]),
    ("code", [chain(kind_out=1)]),
    ("code", [chain(reduction=4)]),
    ("code", [chain(**steps((Step.ADD, 4)))]),
    ("code", [chain(**(steps((Step.ADD, 0)) | {"step": [max(Step) + 1] + [0] * 7}))]),
    ("limit", [conv(x_limit=-1)]),
    ("limit", [chain(y_limit=-1)]),
    ("coordinate", [conv(x_start=(1 << 31) - 1, taps_x=2, x_tap=1)]),
    ("coordinate", [conv(x_start=(1 << 31) - 4, x_limit=4, tap_bytes=8)]),
    ("coordinate", [conv(y_start=-(1 << 31), out_height=2, y_stride=-1)]),
    ("coordinate", [chain(y_start=(1 << 31) - 1, outer_1=3, y_stride=1 << 30)]),
    ("coordinate", [chain(x_start=-(1 << 31), reduction=1, reduce_0=2, x_dilation=-1)]),
    ("ring", [conv(ring_rows=4, ring_start=4)]),
    ("ring", [conv(ring_rows=3)]),
    ("ring", [sram_chain(outer_1=4, y_stride=1, y_limit=4, ring_rows=3)]),
    ("flags", [depthwise(flags=4)]),
    ("array", [conv(last_columns=9)]),
    ("sram-bounds", [conv(flags=4, weight_pitch=4 * BANK)]),
    ("weight-port", [conv(flags=4, weights=0, activations=BANK, weight_pitch=BANK)]),
    ("window", [depthwise(tap_bytes=2)]),
    ("window", [depthwise(x_tap=-8)]),
    ("window", [depthwise(x_tap=12)]),
    ("window", [depthwise(x_stride=12)]),
    ("window", [depthwise(x_tap=32)]),
    ("window", [depthwise(x_tap=0)]),
    ("window", [depthwise(x_stride=0)]),
    ("reduction", [chain(reduce_0=2)]),
    ("reduction", [chain(flags=1)]),
    ("clamp", [chain(low_out=-129)]),
    ("clamp", [chain(high_out=128)]),
    ("clamp", [chain(low_out=1, high_out=0)]),
    ("clamp", [chain(round_low=1, round_high=0, **steps((Step.ROUND, Operand.IMMEDIATE)))]),
    ("alignment", [conv(flags=1, bias_address=3 * BANK + 2)]),
    ("alignment", [chain(kind_1=Source.FLOAT32, address_1=2)]),
    ("alignment", [sram_chain(kind_0=Source.INT32, pixel_pitch=6, stride_inner=4)]),
    ("alignment", [encode(Opcode.TABLE, {"address": 2})]),
    ("steps", [chain(steps=9)]),
    ("steps", [chain(steps_before=1)]),
    ("operand", [chain(**steps((Step.ADD, Operand.SOURCE_1)))]),
    ("operand", [chain(**steps((Step.MUL, Operand.SOURCE_2)), kind_1=Source.INT8)]),
    ("operand", [chain(**steps((Step.FUSED_ADD, Operand.IMMEDIATE)))]),
    ("saved", [chain(**steps((Step.FUSED_ADD, Operand.SAVED)))]),
    ("saved", [chain(**steps((Step.ADD, Operand.SAVED)))]),
    ("saved", [chain(**steps((Step.SELECT, Operand.IMMEDIATE), (Step.SAVE, Operand.IMMEDIATE)))]),
    (
        "saved",
        [
            chain(
                **steps((Step.SAVE, Operand.IMMEDIATE), (Step.ADD, Operand.SAVED), steps_before=1),
                reduction=Reduction.SUM,
            )
        ],
    ),
    ("table", [chain(**LOOKUP)]),
    ("table", [chain(**LOOKUP), TABLE]),
    ("sram-bounds", [dma(sram=SRAM - 63)]),
    ("sram-bounds", [dma(sram=64, count_1=2, sram_stride_1=-128)]),
    ("sram-bounds", [dma(sram=0, count_3=1 << 31, sram_stride_3=1 << 30)]),
    (
        "sram-bounds",
        [
            dma(
                count_3=(1 << 32) - 1,
                count_2=(1 << 32) - 1,
                sram_stride_3=-(1 << 31),
                sram_stride_2=-(1 << 31),
            )
        ],
    ),
    ("sram-bounds", [conv(activations=SRAM - 127)]),
    ("sram-bounds", [conv(y_start=1, y_limit=5, activations=SRAM - 128)]),
    ("sram-bounds", [conv(weights=SRAM - 63)]),
    ("sram-bounds", [conv(taps_y=65535, taps_x=65535, tap_bytes=(1 << 31) - 99, blocks=65535, y_limit=0)]),
    ("sram-bounds", [conv(flags=1, bias_address=SRAM - 28)]),
    ("sram-bounds", [depthwise(activation_address=SRAM - 127)]),
    ("sram-bounds", [chain(out=SRAM - 127)]),
    ("sram-bounds", [chain(strides_out=[0, 0, -8, 1], out=119)]),
    ("sram-bounds", [sram_chain(address_0=SRAM - 63)]),
    ("sram-bounds", [chain(kind_1=Source.FLOAT32, address_1=SRAM - 28, strides_1=[0, 0, 0, 4])]),
    ("sram-bounds", [encode(Opcode.TABLE, {"address": SRAM - 1020})]),
    ("accumulator-bounds", [conv(row=113)]),
    ("accumulator-bounds", [chain(element=128 * COLUMNS - 127)]),
    ("dram-bounds", [dma(dram=DRAM_BYTES - 63)]),
    ("dram-bounds", [dma(Opcode.STORE, dram=127, count_1=3, dram_stride_1=-64)]),
    ("dram-bounds", [dma(dram=(1 << 64) - 64)]),
    ("read-port", [sram_chain(kind_1=Source.INT8, address_1=BANK - 64, strides_1=[0, 0, 8, 1])]),
    ("read-port", [chain(kind_1=Source.INT8, address_1=0, kind_2=Source.INT8, address_2=8)]),
    ("overlap", [sram_chain(address_out=1, strides_out=[0, 0, 8, 1])]),
    ("overlap", [sram_chain(address_out=0, strides_out=[0, 0, 9, 1])]),
    ("overlap", [sram_chain(address_out=0, pixel_pitch=0, strides_out=[0, 0, 0, 1])]),
    ("overlap", [sram_chain(address_out=0, reduction=Reduction.SUM)]),
    ("overlap", [sram_chain(address_out=0, kind_out=Source.FLOAT32, strides_out=[0, 0, 8, 4])]),
    ("overlap", [sram_chain(address_out=0, ring_rows=1)]),
    ("overlap", [chain(kind_1=Source.INT8, address_1=4 * BANK, strides_1=[0, 0, 0, 1])]),
    ("weight-port", [conv(weights=512)]),
    ("weight-port", [conv(flags=1, bias_address=128)]),
    ("next-weight-port", [conv(), conv(2 * BANK, 0)]),
    ("expand", [expand(packed_bytes=128)]),
    ("expand", [expand(packed_bytes=133)]),
    ("expand", [expand(count_1=2)]),
    ("expand", [expand(flags=1)]),
    ("flags", [expand(flags=2)]),
    ("sram-bounds", [expand(sram=SRAM - 63)]),
    ("dram-bounds", [expand(dram=DRAM_BYTES - 131)]),
    ("dram-order", [dma(Opcode.STORE, sram=BANK, dram=131), expand()]),
    ("unpack", [unpack(group_rows=0)]),
    ("unpack", [unpack(group_rows=1)]),
    ("unpack", [unpack(group_rows=8)]),
    ("unpack", [unpack(packed_bytes=0)]),
    ("unpack", [unpack(packed_bytes=60)]),
    ("unpack", [unpack(packed_bytes=72)]),
    ("unpack", [unpack(run=72, packed_bytes=64 + 16 + 4)]),
    ("unpack", [unpack(dram=4)]),
    ("unpack", [unpack(count_1=2)]),
    ("flags", [unpack(flags=1)]),
    ("sram-bounds", [unpack(sram=SRAM - 63)]),
    ("dram-bounds", [unpack(run=128, packed_bytes=128, dram=DRAM_BYTES - 64)]),
    ("dram-order", [dma(Opcode.STORE, sram=BANK, dram=127), unpack(run=128, packed_bytes=128)]),
    ("balance", [dma(post=MATRIX)]),
    ("balance", [dma(post=MATRIX), conv(wait=LOAD, post=VECTOR)]),
    ("deadlock", [conv(wait=LOAD)]),
    ("deadlock", [conv(wait=VECTOR, post=VECTOR), chain(wait=MATRIX, post=MATRIX)]),
    ("bank-owner", [dma(run=128), conv()]),
    ("bank-owner", [conv(), chain()]),
    ("bank-owner", [dma(Opcode.FILL, sram=5 * BANK), dma(Opcode.STORE, sram=5 * BANK + 512)]),
    ("dram-order", [dma(Opcode.STORE, sram=BANK, dram=64), dma(dram=0, run=65)]),
]


@pytest.mark.parametrize(("rule", "code"), BROKEN, ids=[f"{n}-{rule}" for n, (rule, _) in enumerate(BROKEN)])
def test_a_planted_violation_is_found(rule, code):
    with pytest.raises(VerifyError, match=rf"^instruction \d+ at byte \d+, `.*`: {rule}: "):
        verify(*code)


def test_every_rule_has_a_planted_violation():
    elsewhere = {"constant", "semaphore-limit"}
    assert {rule for rule, _ in BROKEN} | elsewhere == set(RULES)


def test_weights_may_take_the_place_of_activations_that_have_been_read():
    """Where semaphores end the matrix instruction before; dispatching another unit in between is no end."""
    written = {"address_0": 5 * BANK, "address_out": 0}
    after = sram_chain(**written, wait=MATRIX, post=MATRIX)
    verify(conv(post=VECTOR), after, conv(2 * BANK, 0, wait=VECTOR))
    before = sram_chain(**written, post=MATRIX)
    with pytest.raises(VerifyError, match="next-weight-port: SRAM bank 0"):
        verify(conv(wait=VECTOR), before, conv(2 * BANK, 0))


def test_the_message_names_instruction_line_found_and_rule():
    with pytest.raises(VerifyError) as caught:
        verify(dma(), dma(sram=SRAM - 63))
    line = "load run_bytes=64 sram_address=16321 count_3=1 count_2=1 count_1=1"
    assert str(caught.value) == (
        f"instruction 1 at byte {len(dma())}, `{line}`: sram-bounds: bytes 16321 .. 16385; "
        "allowed: 0 .. 16384 (every access lies in the SRAM)"
    )


def test_the_first_broken_instruction_is_named():
    with pytest.raises(VerifyError, match=r"^instruction 1 "):
        verify(dma(), conv(out_height=0), dma(run=0))


def test_bytes_that_are_no_code_are_refused():
    with pytest.raises(VerifyError, match="illegal opcode 0xff"):
        verify(b"\xff" * 64)


def test_packed_weights_are_legal_where_there_is_a_decoder():
    verify(expand(), expand(flags=1, packed_bytes=4), expand(dram=DRAM_BYTES - 132))
    plain = CHIP.model_copy(
        update={"core": CHIP.core.model_copy(update={"dma": Chip.load("hbm2-128").core.dma})}
    )
    with pytest.raises(
        VerifyError, match=r"expand: allowed: core\.dma\.expand_lanes of the chip is at least 1"
    ):
        verify(expand(), chip=plain)


def test_weights_of_four_bits_are_legal_where_there_is_an_unpacker():
    verify(unpack(), unpack(group_rows=8, packed_bytes=48), unpack(dram=DRAM_BYTES - 64))
    dma_without = CHIP.core.dma.model_copy(update={"int4": False})
    plain = CHIP.model_copy(update={"core": CHIP.core.model_copy(update={"dma": dma_without})})
    with pytest.raises(VerifyError, match=r"unpack: allowed: core\.dma\.int4 of the chip is true"):
        verify(unpack(), chip=plain)


def test_depthwise_without_neighbours_may_stand_still():
    """Where there is one tap or one column, its step is not made."""
    verify(depthwise(taps_x=1, x_tap=0))
    verify(depthwise(out_width=1, x_stride=0))


def test_a_result_may_take_the_place_of_its_operand():
    verify(sram_chain(address_out=0))
    verify(chain(kind_1=Source.INT8, address_1=4 * BANK, strides_1=[0, 0, 8, 1]))
    verify(sram_chain(address_out=64))


def test_empty_code_is_legal():
    verify()


@pytest.mark.parametrize("tiles", [1, 2, 3, 8, 40])
@pytest.mark.parametrize("depth", [2, 16])
def test_a_double_buffered_layer_is_legal(tiles, depth):
    verify(*layer_program(tiles), chip=small_chip(queue_depth=depth))


def test_each_semaphore_of_the_layer_is_needed():
    """Whichever wait and its post are taken away together, something is no longer ordered."""
    code = layer_program(4)
    for index in range(len(code)):
        for unit in range(4):
            if not code[index][1] >> unit & 1:
                continue
            broken = [bytearray(line) for line in code]
            broken[index][1] &= ~(1 << unit)
            poster = _poster(code, index, unit)
            broken[poster][2] &= ~(1 << _unit(code[index]))
            with pytest.raises(VerifyError, match=r"bank-owner|dram-order"):
                verify(*map(bytes, broken))


def _unit(line: bytes) -> int:
    return {0x01: 0, 0x02: 0, 0x10: 1, 0x20: 2, 0x21: 2, 0x30: 3, 0x31: 3}[line[0]]


def _poster(code: list[bytes], index: int, source: int) -> int:
    """The instruction of unit `source` that posts what `index` waits for: k-th post, k-th wait."""
    target = _unit(code[index])
    before = sum(_unit(line) == target and line[1] >> source & 1 for line in code[:index])
    posters = [n for n, line in enumerate(code) if _unit(line) == source and line[2] >> target & 1]
    return posters[before]


def test_padding_outside_the_limits_is_no_access():
    verify(depthwise())
    verify(conv(activations=0, y_start=-4, x_start=-32, y_limit=4))
    verify(conv(activations=SRAM - 32, y_start=0, y_limit=1))
    verify(conv(activations=SRAM - 1, y_limit=0))
    verify(sram_chain(address_0=SRAM - 8, x_limit=1))


def test_a_dilated_row_that_padding_skips_is_no_access():
    """Rows -1, 1 and 3 are read: row 0 lies before the SRAM's start and does not matter, nor do 2 and 4."""
    verify(
        conv(y_start=-1, y_stride=2, out_height=3, row_pitch=BANK, activations=0, weights=4 * BANK, y_limit=4)
    )
    code = [
        dma(sram=0, dram=0),
        dma(sram=2 * BANK, dram=0),
        conv(
            y_start=-1, y_stride=2, out_height=3, row_pitch=BANK, activations=0, weights=4 * BANK, y_limit=4
        ),
    ]
    verify(*code)
    with pytest.raises(VerifyError, match="bank-owner: SRAM bank 1,"):
        verify(dma(sram=BANK), *code)


def test_strided_accesses_own_only_their_banks():
    """Runs of 64 bytes in every second bank leave the banks between to others."""
    every_second = {"count_1": 4, "sram_stride_1": 2 * BANK, "dram_stride_1": 64}
    verify(dma(sram=0, **every_second), dma(Opcode.STORE, dram=4096, sram=BANK, **every_second))
    with pytest.raises(VerifyError, match="bank-owner"):
        verify(dma(sram=0, **every_second), dma(Opcode.STORE, dram=4096, sram=2 * BANK))


def test_interleaved_dram_columns_are_no_race():
    """A LOAD and a STORE of alternate 32-byte columns never touch one byte; shifted by one byte they do."""
    columns = {"run": 32, "count_1": 8, "dram_stride_1": 64, "sram_stride_1": 32}
    verify(dma(dram=0, sram=0, **columns), dma(Opcode.STORE, dram=32, sram=BANK, **columns))
    with pytest.raises(VerifyError, match="dram-order"):
        verify(dma(dram=0, sram=0, **columns), dma(Opcode.STORE, dram=31, sram=BANK, **columns))


def test_a_store_that_is_ordered_before_a_load_is_no_race():
    through_vector = [
        dma(Opcode.STORE, dram=0, sram=BANK, post=VECTOR),
        chain(wait=STORE, post=LOAD),
        dma(dram=0, sram=0, wait=VECTOR),
    ]
    verify(*through_vector)
    with pytest.raises(VerifyError, match="dram-order"):
        verify(through_vector[0], chain(wait=STORE), dma(dram=0, sram=0))


def test_store_writes_neither_code_nor_constants():
    regions = [
        Region("weights", RegionKind.CONSTANT, 4096, 4096),
        Region("code", RegionKind.CODE, 8192, 64),
        Region("image", RegionKind.ACTIVATION, 0, 4096),
    ]
    verify(dma(Opcode.STORE, dram=4032), dma(dram=8190, sram=BANK), regions=regions)
    for address, name in ((4033, "weights"), (8255, "code")):
        with pytest.raises(VerifyError, match=f"constant: region '{name}'"):
            verify(dma(Opcode.STORE, dram=address), regions=regions)
    around = {"count_1": 2, "dram_stride_1": 8192 + 64 - 4032}
    verify(dma(Opcode.STORE, dram=4032, **around), regions=regions)


def test_semaphores_stay_within_their_limit_for_any_timing():
    """Nothing keeps a LOAD from posting 5 times before the first wait: limit 4 is too small, 5 is enough."""
    ahead = [dma(Opcode.FILL, post=MATRIX)] * 5 + [conv(2 * BANK, 4 * BANK, wait=LOAD)] * 5
    verify(*ahead, chip=small_chip(queue_depth=4, semaphore_limit=5))
    with pytest.raises(VerifyError, match="semaphore-limit: the semaphore to MATRIX may reach 5; allowed: 4"):
        verify(*ahead, chip=small_chip(queue_depth=3, semaphore_limit=4))


def test_queues_in_dispatch_order_bound_semaphores():
    """In turn, at most the queue's waits are outstanding, and one more in dispatch."""
    in_turn = [dma(Opcode.FILL, post=MATRIX), conv(2 * BANK, 4 * BANK, wait=LOAD)] * 30
    verify(*in_turn, chip=small_chip(queue_depth=3, semaphore_limit=4))


def test_a_full_queue_can_deadlock():
    """The LOAD that the CONVs wait for is behind more CONVs than the queue holds."""
    code = [conv(2 * BANK, 4 * BANK, wait=LOAD)] * 3 + [dma(Opcode.FILL, post=MATRIX)] * 3
    verify(*code, chip=small_chip(queue_depth=3))
    with pytest.raises(VerifyError, match="deadlock: 6 instructions never start; this one waits for LOAD"):
        verify(*code, chip=small_chip(queue_depth=2))


def test_accumulator_banks_have_one_owner():
    turn = [conv(row=0, post=VECTOR), conv(row=64), chain(element=0, wait=MATRIX)]
    verify(*turn)
    with pytest.raises(VerifyError, match="bank-owner: accumulator bank 0,"):
        verify(conv(row=0, post=VECTOR), conv(row=49), chain(element=0, wait=MATRIX))


def test_hostile_counts_end_quickly():
    """Random bytes behind a legal opcode are judged without walking their loops."""
    generator = np.random.default_rng(7)
    for opcode, words in ((1, 1), (0x10, 1), (0x20, 2), (0x21, 2), (0x30, 4), (0x31, 1)):
        for _ in range(200):
            line = bytearray(generator.bytes(64 * words))
            line[0:4] = bytes([opcode, 0, 0, 0])
            with pytest.raises(VerifyError):
                verify(bytes(line))
