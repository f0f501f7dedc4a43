"""Packed streams in plain Python: random codes, and what a stream of bits decodes to."""

from __future__ import annotations

import random
from dataclasses import dataclass

from hanok.machine import Dma

TABLE_BYTES = 128


def random_lengths(rng: random.Random, symbols: int, longest: int) -> dict[int, int]:
    """Code lengths of a complete prefix code: leaves of a tree that is split at random."""
    leaves = [0]
    while len(leaves) < symbols:
        open_leaves = [at for at, depth in enumerate(leaves) if depth < longest]
        at = rng.choice(open_leaves) if rng.random() < 0.7 else open_leaves[-1]
        leaves[at : at + 1] = [leaves[at] + 1] * 2
    return dict(zip(rng.sample(range(256), symbols), [max(1, depth) for depth in leaves], strict=True))


def canonical(lengths: dict[int, int]) -> dict[int, str]:
    """Each symbol's code as a string of 0 and 1: shorter ones first, then by symbol."""
    codes, code, before = {}, 0, 0
    for length, symbol in sorted((length, symbol) for symbol, length in lengths.items()):
        code <<= length - before
        codes[symbol] = f"{code:0{length}b}"
        code, before = code + 1, length
    return codes


def table_of(lengths: dict[int, int]) -> bytes:
    return bytes(lengths.get(2 * i, 0) | lengths.get(2 * i + 1, 0) << 4 for i in range(TABLE_BYTES))


@dataclass
class Decoded:
    """What a stream is: its bytes, the words gone after each group of lanes, and whether it is one."""

    content: bytes
    taken: list[int]
    is_good: bool


def decode_words(words: list[int], lengths: dict[int, int], dma: Dma, count: int) -> Decoded:
    """Decode by the text of docs/isa.md, a bit at a time."""
    streams = ["" for _ in range(dma.expand_streams)]
    symbol_of = {code: symbol for symbol, code in canonical(lengths).items()}
    next_word, content, taken = 0, bytearray(), []
    for position in range(count):
        number = position % len(streams)
        if len(streams[number]) < 16 and next_word < len(words):
            streams[number] += f"{words[next_word]:016b}"
            next_word += 1
        for length in range(1, 16):
            head = streams[number][:length]
            if len(head) == length and head in symbol_of:
                content.append(symbol_of[head])
                streams[number] = streams[number][length:]
                break
        else:
            return Decoded(bytes(content), taken, False)
        if position % dma.expand_lanes == dma.expand_lanes - 1 or position == count - 1:
            taken.append(next_word)
    return Decoded(bytes(content), taken, next_word == len(words))


def encode_words(content: bytes, lengths: dict[int, int], dma: Dma) -> list[int]:
    """Pack: each stream's bits are cut into words, which come in the order in which `decode_words` asks."""
    codes, count = canonical(lengths), dma.expand_streams
    bits = ["".join(codes[symbol] for symbol in content[number::count]) for number in range(count)]
    held, words = [0] * count, []
    for position, symbol in enumerate(content):
        number = position % count
        if held[number] < 16:
            words.append(int(bits[number][:16].ljust(16, "0"), 2))
            bits[number] = bits[number][16:]
            held[number] += 16
        held[number] -= len(codes[symbol])
    while words and words[-1] == 0:
        shorter = decode_words(words[:-1], lengths, dma, len(content))
        if not (shorter.is_good and shorter.content == content):
            break
        words.pop()
    return words
