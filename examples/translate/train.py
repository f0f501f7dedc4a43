"""Trains the network on the pairs that `make_data.py` wrote, for a number of minutes of one core.

`python examples/translate/train.py FOLDER --minutes 50` writes FOLDER/network.npz. The learning rate falls
linearly with the time that is used up, so that the training is whole whenever it ends.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import data
import numpy as np
import torch
from model import Network, Shape
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional
from vocabulary import END, PAD, START

LONGEST = 32
"""Tokens of a source, and of a translation, that is trained on."""
BATCH_TOKENS = 4000
"""Tokens of a batch, both languages together, with what is padded."""
SMOOTHING = 0.1
WARM_UP_STEPS = 100
MATRIX_RATE, OTHER_RATE = 0.02, 2e-3
AVERAGE = 0.995
"""What is kept of the averaged weights in each step."""
LOWER_CASE, NO_STOP = 0.12, 0.1
"""How often a source is in lower case, and both texts are without their last full stop."""
Example = tuple[list[int], list[int]]


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="with train.jsonl, validation.jsonl and tokenizer.json")
    parser.add_argument("--minutes", type=float, default=50, help="CPU time of one core")
    parser.add_argument("--wall-minutes", type=float, default=600, help="end after this time in any case")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    tokenizer = Tokenizer.from_file(str(arguments.folder / "tokenizer.json"))
    Training(tokenizer, arguments).run()


class Training:
    """The network, its optimisers, and the clock."""

    def __init__(self, tokenizer: Tokenizer, arguments: argparse.Namespace) -> None:
        self.folder: Path = arguments.folder
        self.limits = (60 * arguments.minutes, 60 * arguments.wall_minutes)
        self.random = random.Random(arguments.seed)
        self.tokenizer = tokenizer
        self.pairs = [(m.source, m.target) for m in data.read(self.folder, "train")]
        self.validation = [self._example(m.source, m.target) for m in data.read(self.folder, "validation")]
        self.network = Network(Shape(vocabulary=tokenizer.get_vocab_size()))
        self.average = {name: value.clone() for name, value in self.network.state_dict().items()}
        hidden = [p for n, p in self.network.named_parameters() if p.dim() == 2 and "embedding" not in n]
        others = [p for n, p in self.network.named_parameters() if p.dim() != 2 or "embedding" in n]
        self.optimisers = [
            (torch.optim.Muon(hidden, weight_decay=0.02, momentum=0.95), MATRIX_RATE),
            (torch.optim.AdamW(others, betas=(0.9, 0.98), weight_decay=0.0, fused=True), OTHER_RATE),
        ]

    def run(self) -> None:
        """Epochs until the time is used up; the averaged weights are kept in network.npz."""
        steps, epoch, losses = 0, 0, 0.0
        began, first = time.process_time(), time.monotonic()
        while True:
            for source, target in batches(self._epoch(), self.random):
                used = (time.process_time() - began) / self.limits[0]
                done = max(used, (time.monotonic() - first) / self.limits[1])
                if done >= 1:
                    self._save(steps, epoch)
                    return
                rate = min(1.0, (steps + 1) / WARM_UP_STEPS) * max(0.01, 1 - done)
                losses += self._step(source, target, rate)
                steps += 1
                if steps % 100 == 0:
                    minutes = (time.process_time() - began) / 60
                    print(
                        f"{epoch=} {steps=} {minutes:.1f} min done={done:.3f} loss={losses / 100:.3f} "
                        f"validation={self._validate():.3f}",
                        flush=True,
                    )
                    losses = 0.0
                    self._save(steps, epoch)
            epoch += 1

    def _step(self, source: Tensor, target: Tensor, rate: float) -> float:
        self.network.train()
        loss = loss_of(self.network, source, target, SMOOTHING)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        for optimiser, most in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = most * rate
            optimiser.step()
            optimiser.zero_grad()
        for name, value in self.network.state_dict().items():
            self.average[name].lerp_(value, 1 - AVERAGE)
        return loss.item()

    def _validate(self) -> float:
        """Loss of a token without smoothing, by the averaged weights."""
        network = Network(self.network.shape)
        network.load_state_dict(self.average)
        network.eval()
        total, count = 0.0, 0
        with torch.no_grad():
            for source, target in batches(self.validation, random.Random(0)):
                tokens = int((target[:, 1:] != PAD).sum())
                total += float(loss_of(network, source, target, 0.0)) * tokens
                count += tokens
        return total / count

    def _save(self, steps: int, epoch: int) -> None:
        about = json.dumps({"shape": asdict(self.network.shape), "steps": steps, "epoch": epoch})
        weights = {name: value.numpy() for name, value in self.average.items()}
        np.savez(self.folder / "network.npz", about=np.array(about), **weights)

    def _epoch(self) -> list[Example]:
        examples = []
        for source, target in self.pairs:
            if self.random.random() < LOWER_CASE:
                source = source.lower()
            if self.random.random() < NO_STOP and source.endswith(".") and target.endswith("."):
                source, target = source[:-1], target[:-1]
            examples.append((source, target))
        sources = self.tokenizer.encode_batch_fast([source for source, _ in examples])
        targets = self.tokenizer.encode_batch_fast([target for _, target in examples])
        both = [([*a.ids, END], [START, *b.ids, END]) for a, b in zip(sources, targets, strict=True)]
        return [(a, b) for a, b in both if len(a) <= LONGEST and len(b) <= LONGEST + 1]

    def _example(self, source: str, target: str) -> Example:
        return (
            [*self.tokenizer.encode(source).ids, END][:LONGEST],
            [START, *self.tokenizer.encode(target).ids, END][: LONGEST + 1],
        )


def loss_of(network: Network, source: Tensor, target: Tensor, smoothing: float) -> Tensor:
    """Cross-entropy of the next tokens."""
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(source, source != PAD, target[:, :-1])
    wanted = target[:, 1:].reshape(-1)
    return functional.cross_entropy(
        logits.float().flatten(0, 1), wanted, ignore_index=PAD, label_smoothing=smoothing
    )


def batches(examples: list[Example], order: random.Random) -> Iterator[tuple[Tensor, Tensor]]:
    """Examples of about the same length together, in random order, padded."""
    ranked = sorted(examples, key=lambda pair: max(map(len, pair)) + len(pair[1]) / 50 + 2 * order.random())
    groups: list[list[Example]] = [[]]
    longest = 0
    for pair in ranked:
        longest = max(longest, *map(len, pair))
        if groups[-1] and 2 * longest * (len(groups[-1]) + 1) > BATCH_TOKENS:
            groups.append([])
            longest = max(map(len, pair))
        groups[-1].append(pair)
    order.shuffle(groups)
    for group in groups:
        yield padded([source for source, _ in group]), padded([target for _, target in group])


def padded(rows: list[list[int]]) -> Tensor:
    """Token ids as one array, with PAD behind the shorter ones."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[PAD] * (longest - len(row))] for row in rows])


if __name__ == "__main__":
    main()
