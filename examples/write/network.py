"""A small decoder of the Llama kind in PyTorch, and its step towards the weights that chips keep in int8."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Shape:
    """What config.json says of it."""

    vocabulary: int = 4096
    width: int = 256
    layers: int = 4
    heads: int = 8
    key_heads: int = 2
    inner: int = 640
    context: int = 256
    theta: float = 10000.0
    epsilon: float = 1e-5

    @property
    def head_size(self) -> int:
        """Elements of a head."""
        return self.width // self.heads


class Layer(nn.Module):
    """Attention with grouped queries, then a gated feed-forward part."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        keys = shape.key_heads * shape.head_size
        self.input_norm = nn.RMSNorm(shape.width, eps=shape.epsilon)
        self.query = nn.Linear(shape.width, shape.width, bias=False)
        self.key = nn.Linear(shape.width, keys, bias=False)
        self.value = nn.Linear(shape.width, keys, bias=False)
        self.output = nn.Linear(shape.width, shape.width, bias=False)
        self.inner_norm = nn.RMSNorm(shape.width, eps=shape.epsilon)
        self.gate = nn.Linear(shape.width, shape.inner, bias=False)
        self.up = nn.Linear(shape.width, shape.inner, bias=False)
        self.down = nn.Linear(shape.inner, shape.width, bias=False)

    def forward(self, hidden: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        """[batch, tokens, width] to the same."""
        normed = self.input_norm(hidden)
        query = _turned(self._heads(self.query(normed)), cosine, sine)
        key = _turned(self._heads(self.key(normed)), cosine, sine)
        value = self._heads(self.value(normed)).float()
        seen = functional.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
        hidden = hidden + self.output(seen.transpose(1, 2).flatten(2))
        normed = self.inner_norm(hidden)
        return hidden + self.down(functional.silu(self.gate(normed)) * self.up(normed))

    def _heads(self, values: Tensor) -> Tensor:
        return values.unflatten(2, (-1, self.shape.head_size)).transpose(1, 2)


def _turned(values: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotary pairs turned, in float32: attention in bfloat16 is far slower on processors."""
    first, second = values.float().chunk(2, -1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], -1)


class Writer(nn.Module):
    """Tokens in, logits of the next ones out; the head is the embedding.

    The embedding is multiplied by the root of the width on its way in, so that both uses learn at one rate.
    Norms take the factor out again: `export.py` puts it into the embedding, and its inverse into the last
    norm.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.final_norm = nn.RMSNorm(shape.width, eps=shape.epsilon)
        rates = shape.theta ** (-torch.arange(0, shape.head_size, 2) / shape.head_size)
        angles = torch.outer(torch.arange(shape.context), rates)
        self.register_buffer("cosine", angles.cos(), persistent=False)
        self.register_buffer("sine", angles.sin(), persistent=False)
        for name, matrix in self.named_parameters():
            if matrix.ndim == 2:
                nn.init.normal_(matrix, std=0.02 if "embedding" in name else matrix.shape[1] ** -0.5)
            if name.endswith(("output.weight", "down.weight")):
                nn.init.zeros_(matrix)

    def forward(self, tokens: Tensor) -> Tensor:
        """[batch, tokens] to [batch, tokens, vocabulary]."""
        length = tokens.shape[1]
        cosine, sine = self.cosine[:length], self.sine[:length]
        hidden = self.embedding(tokens) * self.shape.width**0.5
        for layer in self.layers:
            hidden = layer(hidden, cosine, sine)
        return functional.linear(self.final_norm(hidden), self.embedding.weight)

    def loss(self, tokens: Tensor) -> Tensor:
        """Mean loss of each token after the ones before it; padding (-1) does not count."""
        logits = self(tokens[:, :-1].clamp(min=0))
        return functional.cross_entropy(
            logits.flatten(0, 1).float(), tokens[:, 1:].flatten(), ignore_index=-1
        )


class Muon(torch.optim.Optimizer):
    """Momentum whose step is made nearly orthogonal (Jordan et al. 2024), for the matrices of layers."""

    def __init__(self, matrices: list[nn.Parameter], momentum: float = 0.95) -> None:
        super().__init__(matrices, {"lr": 0.0})
        self.momentum = momentum

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move every matrix."""
        for group in self.param_groups:
            for matrix in group["params"]:
                average = self.state[matrix].setdefault("average", torch.zeros_like(matrix))
                average.lerp_(matrix.grad, 1 - self.momentum)
                direction = _orthogonal(matrix.grad.lerp(average, self.momentum))
                rows, columns = matrix.shape
                matrix.mul_(1 - 0.01 * group["lr"])
                matrix.add_(direction, alpha=-group["lr"] * max(1.0, rows / columns) ** 0.5)


def _orthogonal(matrix: Tensor) -> Tensor:
    """The nearest matrix with equal singular values, by five steps of Newton and Schulz."""
    turned = matrix.shape[0] > matrix.shape[1]
    value = (matrix.T if turned else matrix).bfloat16()
    value = value / (value.norm() + 1e-7)
    for _ in range(5):
        square = value @ value.T
        value = 3.4445 * value + (-4.7750 * square + 2.0315 * square @ square) @ value
    return (value.T if turned else value).float()
