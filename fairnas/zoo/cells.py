"""Operations of the cells of NASNet-A and DARTS. Each begins with its activation and ends with its BN.

No ReLU here works in place, because other operations share its input.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from fairnas.kernels.batch_norm import BatchNorm2d
from fairnas.kernels.depthwise import DepthwiseConv2d


class ClassifierHead(nn.Module):
    """Average over the image, dropout, linear."""

    def __init__(self, channels: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) to logits (B, num_classes)."""
        return self.classifier(self.dropout(features.mean(dim=(2, 3))))


class FactorisedReduction(nn.Module):
    """Halve the size: two 1x1 convolutions of stride 2, the second on the image shifted by one pixel."""

    def __init__(self, inputs: int, outputs: int, eps: float) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs // 2, 1, 2, bias=False)
        self.second = nn.Conv2d(inputs, outputs - outputs // 2, 1, 2, bias=False)
        self.norm = BatchNorm2d(outputs, eps)

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H/2, W/2), rounded up."""
        input = input.relu()
        moved = functional.pad(input, (-1, 1, -1, 1))
        return self.norm(torch.cat([self.first(input), self.second(moved)], dim=1))


def pointwise(inputs: int, outputs: int, eps: float) -> nn.Sequential:
    """ReLU, 1x1 convolution, BN."""
    return nn.Sequential(nn.ReLU(), nn.Conv2d(inputs, outputs, 1, bias=False), BatchNorm2d(outputs, eps))


def separable(inputs: int, outputs: int, kernel: int, stride: int, eps: float) -> nn.Sequential:
    """ReLU, depthwise, 1x1, BN; and the same again with stride 1."""
    return nn.Sequential(
        *_separated(inputs, outputs, kernel, stride, eps), *_separated(outputs, outputs, kernel, 1, eps)
    )


def dilated(channels: int, kernel: int, stride: int, eps: float) -> nn.Sequential:
    """ReLU, depthwise convolution with dilation 2, 1x1, BN."""
    spread = nn.Conv2d(channels, channels, kernel, stride, kernel - 1, dilation=2, groups=channels, bias=False)
    return nn.Sequential(nn.ReLU(), spread, nn.Conv2d(channels, channels, 1, bias=False), BatchNorm2d(channels, eps))


def average(stride: int) -> nn.Module:
    """3x3 average pooling that ignores the padding."""
    return nn.AvgPool2d(3, stride, 1, count_include_pad=False)


def maximum(stride: int) -> nn.Module:
    """3x3 max pooling."""
    return nn.MaxPool2d(3, stride, 1)


def _separated(inputs: int, outputs: int, kernel: int, stride: int, eps: float) -> list[nn.Module]:
    return [
        nn.ReLU(),
        DepthwiseConv2d(inputs, inputs, kernel, stride, kernel // 2, groups=inputs, bias=False),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        BatchNorm2d(outputs, eps),
    ]
