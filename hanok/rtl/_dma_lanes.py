"""Where a beat's bytes lie in slots: in each lane one byte, of one of two neighbouring words.

The words of a line are `lanes` bytes. A beat that goes on in the next slot does so in its first word, so the
memory of that word has a row of its own; if there is only one word, each of its lanes has.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Mux, Value
from amaranth.lib import data

from hanok.rtl._dma_shape import DmaShape


def columns(shape: DmaShape) -> list[tuple[int, int]]:
    """Return first byte and bytes of each part of a slot that has a row of its own in a beat."""
    if shape.words == 1:
        return [(lane, 1) for lane in range(shape.lanes)]
    return [(0, shape.lanes), (shape.lanes, shape.line_bytes - shape.lanes)]


def place_layout(shape: DmaShape) -> data.StructLayout:
    """Return the layout of a beat's place."""
    return data.StructLayout(
        {
            "rows": data.ArrayLayout(shape.ring_bits, len(columns(shape))),
            "wraps": data.ArrayLayout(1, shape.lanes),  # the lane's byte is in the next slot
            "words": data.ArrayLayout((shape.words - 1).bit_length(), shape.lanes),
        }
    )


def place_of(shape: DmaShape, slot: Value, offset: Value) -> Value:
    """Return the place of a beat that begins at `offset` of `slot`."""
    lane_bits = shape.lanes.bit_length() - 1
    turn, word = offset[:lane_bits], offset[lane_bits : shape.offset_bits]
    behind = [Value.cast(turn > lane) for lane in range(shape.lanes)]
    wraps = [behind[lane] & (word == shape.words - 1) for lane in range(shape.lanes)]
    rows = [
        Mux(wraps[first], slot + 1, slot)[: shape.ring_bits] if first < shape.lanes else slot
        for first, _ in columns(shape)
    ]
    words = [(word + one)[: len(word)] for one in behind]
    return Cat(*rows, *wraps, *words)
