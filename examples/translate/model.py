"""The translation network: a small encoder-decoder transformer with one embedding for both languages."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

HIDDEN_SCORE = -1e4


@dataclass(frozen=True)
class Shape:
    """Sizes of the network; `places` is the longest source and the longest translation in tokens."""

    vocabulary: int = 4096
    width: int = 160
    heads: int = 5
    hidden: int = 640
    encoder_layers: int = 4
    decoder_layers: int = 2
    places: int = 48
    dropout: float = 0.1


def positions(places: int, width: int) -> Tensor:
    """Sines and cosines of each position, [places, width]."""
    rate = torch.exp(torch.arange(0, width, 2, dtype=torch.float64) * (-math.log(10000.0) / width))
    angle = torch.arange(places, dtype=torch.float64)[:, None] * rate
    return torch.stack([angle.sin(), angle.cos()], 2).reshape(places, width).float()


class Dropout(nn.Module):
    """Dropout whose random factors are a slice, begun anywhere, of a pool: drawing them all costs more."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.pool = torch.empty(0)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        if len(self.pool) < 2 * x.numel():
            kept = torch.rand(4 * x.numel()) >= self.rate
            self.pool = kept.to(torch.bfloat16) / (1 - self.rate)
        start = int(torch.randint(len(self.pool) - x.numel(), ()))
        return x * self.pool[start : start + x.numel()].view(x.shape)


class Attention(nn.Module):
    """Attention of several heads; keys and values come from `memory`."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.query = nn.Linear(shape.width, shape.width)
        self.key_value = nn.Linear(shape.width, 2 * shape.width)
        self.output = nn.Linear(shape.width, shape.width)

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        """`mask` is added to the scores, [batch or 1, 1, tokens or 1, memory tokens]."""
        query = self._split(self.query(x))
        key, value = (self._split(part) for part in self.key_value(memory).chunk(2, -1))
        scores = (query @ key.transpose(2, 3)) * query.shape[-1] ** -0.5 + mask
        mixed = scores.softmax(-1).to(value.dtype) @ value
        return self.output(mixed.transpose(1, 2).reshape(x.shape))

    def _split(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2)


class Feed(nn.Module):
    """Two products with a ReLU between them."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.first = nn.Linear(shape.width, shape.hidden)
        self.second = nn.Linear(shape.hidden, shape.width)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(functional.relu(self.first(x)))


class Layer(nn.Module):
    """A layer of the encoder, or of the decoder if it is `crossed` with the source."""

    def __init__(self, shape: Shape, crossed: bool) -> None:
        super().__init__()
        self.self_norm = nn.LayerNorm(shape.width)
        self.self_attention = Attention(shape)
        if crossed:
            self.cross_norm = nn.LayerNorm(shape.width)
            self.cross_attention = Attention(shape)
        self.feed_norm = nn.LayerNorm(shape.width)
        self.feed = Feed(shape)
        self.drop = Dropout(shape.dropout)

    def forward(
        self, x: Tensor, mask: Tensor, memory: Tensor | None = None, memory_mask: Tensor | None = None
    ) -> Tensor:
        normed = self.self_norm(x)
        x = x + self.drop(self.self_attention(normed, normed, mask))
        if memory is not None:
            x = x + self.drop(self.cross_attention(self.cross_norm(x), memory, memory_mask))
        return x + self.drop(self.feed(self.feed_norm(x)))


class Network(nn.Module):
    """Source and target ids in, logits of each next target token out."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.encoder = nn.ModuleList(Layer(shape, crossed=False) for _ in range(shape.encoder_layers))
        self.encoder_norm = nn.LayerNorm(shape.width)
        self.decoder = nn.ModuleList(Layer(shape, crossed=True) for _ in range(shape.decoder_layers))
        self.decoder_norm = nn.LayerNorm(shape.width)
        self.drop = Dropout(shape.dropout)
        self.register_buffer("positions", positions(shape.places, shape.width), persistent=False)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        nn.init.normal_(self.embedding.weight, std=shape.width**-0.5)

    def rows(self, ids: Tensor) -> Tensor:
        """Embeddings with positions, [batch, tokens, width]."""
        scaled = self.embedding(ids) * math.sqrt(self.shape.width)
        return scaled + self.positions[: ids.shape[1]]

    def encode(self, source: Tensor, seen: Tensor) -> Tensor:
        """What the decoder attends to; `seen` is False at padding."""
        x = self.drop(self.rows(source))
        mask = _hidden(seen)[:, None, None, :]
        for layer in self.encoder:
            x = layer(x, mask)
        return self.encoder_norm(x)

    def forward(self, source: Tensor, seen: Tensor, target: Tensor) -> Tensor:
        memory = self.encode(source, seen)
        x = self.drop(self.rows(target))
        past = _hidden(torch.ones(target.shape[1], target.shape[1], dtype=torch.bool).tril())[None, None]
        mask = _hidden(seen)[:, None, None, :]
        for layer in self.decoder:
            x = layer(x, past, memory, mask)
        return functional.linear(self.decoder_norm(x), self.embedding.weight)


def _hidden(seen: Tensor) -> Tensor:
    """What is added to scores: 0 where a token is seen, -1e4 elsewhere."""
    return torch.where(seen, 0.0, HIDDEN_SCORE)
