"""The three networks in PyTorch: plain 3x3 convolutions and ReLU, shaped for an int8 array of multipliers."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

DENOISE_DILATIONS = (1, 1, 2, 2, 2, 2, 1, 1)
FIRST_STEP = 0.1
"""Share of its usual size that a last layer starts with, so that training begins near "leave it as it is"."""


class Convolution(nn.Conv2d):
    """A convolution that can compute with its weights rounded as int8 will have them."""

    rounding = False

    def forward(self, features: Tensor) -> Tensor:
        """As nn.Conv2d; the gradient passes through the rounding as if it were not there."""
        weight = self.weight
        if self.rounding:
            weight = weight + (self.rounded() - weight).detach()
        return functional.conv2d(features, weight, self.bias, self.stride, self.padding, self.dilation)

    @torch.no_grad()
    def rounded(self) -> Tensor:
        """The weights on int8's steps, which each output channel has for itself."""
        step = self.weight.abs().amax((1, 2, 3), keepdim=True) / 127
        return torch.round(self.weight / step) * step


def convolution(inputs: int, outputs: int, *, dilation: int = 1, stride: int = 1) -> nn.Conv2d:
    """A 3x3 convolution that keeps the size (or halves it, with stride 2)."""
    return Convolution(inputs, outputs, 3, stride=stride, padding=dilation, dilation=dilation)


class Denoiser(nn.Module):
    """Noisy [N, 3, H, W] in 0..1 -> clean, after FFDNet: the noise of 2x2 blocks of pixels is said."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        ends = [12] + [width] * (len(DENOISE_DILATIONS) - 1) + [12]
        self.layers = nn.ModuleList(
            convolution(inputs, outputs, dilation=dilation)
            for (inputs, outputs), dilation in zip(pairwise(ends), DENOISE_DILATIONS, strict=True)
        )
        self._begin_as_a_mean()

    @torch.no_grad()
    def _begin_as_a_mean(self) -> None:
        """Start as a denoiser already: what a pixel differs by from its neighbourhood is a third noise.

        From random weights brightness drowns the noise, and training stands still for a thousand steps.
        """
        first, *middle, last = self.layers
        first.weight.normal_(0.0, 0.1)
        first.weight[24:40] -= first.weight[24:40].mean((1, 2, 3), keepdim=True)
        for channel in range(12):
            colour = channel // 4 * 4
            difference = torch.zeros(12, 3, 3)
            difference[colour : colour + 4] = -1 / 36
            difference[channel, 1, 1] += 1
            first.weight[channel], first.weight[12 + channel] = 2 * difference, -2 * difference
        first.bias.copy_(-0.5 * first.weight.sum((1, 2, 3)))
        for layer in middle:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            layer.weight *= 0.2
            layer.weight += nn.init.dirac_(torch.empty_like(layer.weight))
            layer.bias.zero_()
        last.weight *= FIRST_STEP
        for channel in range(12):
            last.weight[channel, channel, 1, 1] -= 0.35
            last.weight[channel, 12 + channel, 1, 1] += 0.35

    def forward(self, noisy: Tensor) -> Tensor:
        """[N, 3, H, W] -> [N, 3, H, W], clamped to 0..1 where it is exported."""
        blocks = functional.pixel_unshuffle(noisy, 2)
        features = blocks
        for layer in self.layers[:-1]:
            features = functional.relu(layer(features))
        return functional.pixel_shuffle(blocks + self.layers[-1](features), 2)


class Upscaler(nn.Module):
    """Small [N, 3, H, W] in 0..1 -> [N, 3, 2H, 2W], after ABPN: details are added to repeated pixels."""

    def __init__(self, width: int = 32, depth: int = 4) -> None:
        super().__init__()
        self.first = convolution(3, width)
        self.middle = nn.ModuleList(convolution(width, width) for _ in range(depth))
        self.last = convolution(width, 12)
        self.last.weight.data *= FIRST_STEP

    def forward(self, small: Tensor) -> Tensor:
        """[N, 3, H, W] -> [N, 3, 2H, 2W], clamped to 0..1 where it is exported."""
        features = functional.relu(self.first(small))
        for layer in self.middle:
            features = functional.relu(layer(features))
        anchor = small.repeat_interleave(4, dim=1)
        return functional.pixel_shuffle(anchor + self.last(features), 2)


class Block(nn.Module):
    """Convolution, batch normalisation (folded away at export), ReLU."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1) -> None:
        super().__init__()
        self.convolution = convolution(inputs, outputs, stride=stride)
        self.normalise = nn.BatchNorm2d(outputs)

    def forward(self, features: Tensor) -> Tensor:
        """[N, inputs, H, W] -> [N, outputs, H / stride, W / stride]."""
        return functional.relu(self.normalise(self.convolution(features)))


class Cutter(nn.Module):
    """A whole picture [N, 3, S, S] in 0..1 -> logits of its subject [N, 1, S, S]; a U-Net whose skips add."""

    WIDTHS = (16, 32, 64, 96, 128)

    def __init__(self) -> None:
        super().__init__()
        first, second, third, fourth, fifth = self.WIDTHS
        self.stem = nn.Sequential(Block(12, first), Block(first, second, stride=2))
        self.quarter = Block(second, second)
        self.eighth = nn.Sequential(Block(second, third, stride=2), Block(third, third))
        self.sixteenth = nn.Sequential(Block(third, fourth, stride=2), Block(fourth, fourth))
        self.deepest = nn.Sequential(
            Block(fourth, fifth, stride=2), Block(fifth, fifth), Block(fifth, fifth), Block(fifth, fifth)
        )
        self.narrow = nn.ModuleList(
            nn.Conv2d(inputs, outputs, 1)
            for inputs, outputs in ((fifth, fourth), (fourth, third), (third, second))
        )
        self.join = nn.ModuleList(Block(width, width) for width in (fourth, third, second))
        self.last = convolution(second, 16)

    def forward(self, picture: Tensor) -> Tensor:
        """[N, 3, S, S] -> logits [N, 1, S, S]; S is a multiple of 32."""
        quarter = self.quarter(self.stem(functional.pixel_unshuffle(picture, 2)))
        eighth = self.eighth(quarter)
        sixteenth = self.sixteenth(eighth)
        features = self.deepest(sixteenth)
        for narrow, join, skip in zip(self.narrow, self.join, (sixteenth, eighth, quarter), strict=True):
            larger = functional.interpolate(narrow(features), scale_factor=2, mode="nearest")
            features = join(larger + skip)
        return functional.pixel_shuffle(self.last(features), 4)


class Clamped(nn.Module):
    """What is exported: a network whose output ends in 0..1."""

    def __init__(self, network: nn.Module, *, logits: bool = False) -> None:
        super().__init__()
        self.network = network
        self.logits = logits

    def forward(self, picture: Tensor) -> Tensor:
        """The network's picture clamped to 0..1, or the probability of its logits."""
        result = self.network(picture)
        return torch.sigmoid(result) if self.logits else torch.clamp(result, 0.0, 1.0)
