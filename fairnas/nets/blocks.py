"""Blocks as modules: the computation of what `space.blocks` describes.

Tensors are (B, C, H, W). Modules are made on the meta device, without weights; `materialise` gives them memory
and initial values from a generator, so nothing here touches torch's global seed.
"""

import math

import torch
from torch import Tensor, nn

from fairnas.kernels.batch_norm import BatchNorm2d
from fairnas.kernels.depthwise import DepthwiseConv2d
from fairnas.space.blocks import (
    Activation,
    Block,
    Identity,
    InvertedResidual,
    Separable,
    ShuffleUnit,
    ShuffleXception,
)
from fairnas.space.space import Layer, SearchSpace

_ACTIVATIONS: dict[Activation, type[nn.Module]] = {"relu6": nn.ReLU6, "relu": nn.ReLU, "swish": nn.SiLU}


class ConvBN(nn.Sequential):
    """Convolution without bias, BN, and an activation unless the convolution is linear."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        act: Activation | None = None,
    ) -> None:
        kind = DepthwiseConv2d if groups == inputs == outputs and groups > 1 else nn.Conv2d
        layers: list[nn.Module] = [
            kind(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
            BatchNorm2d(outputs),
        ]
        if act is not None:
            layers.append(_ACTIVATIONS[act](inplace=True))
        super().__init__(*layers)

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', P, Q)."""
        if self.training and len(self) == 3:
            conv, norm, act = self
            if isinstance(norm, BatchNorm2d):
                return norm.followed_by(act, conv(input))
        return super().forward(input)


class Chain(nn.Sequential):
    """Convolutions in a row, with a shortcut around them if the shape stays and the block has one."""

    def __init__(self, *convolutions: nn.Module, shortcut: bool) -> None:
        super().__init__(*convolutions)
        self.shortcut = shortcut

    def forward(self, input: Tensor, with_shortcut: bool = True) -> Tensor:
        """(B, C, H, W) to (B, C', H', W'). `with_shortcut=False` is for parallel blocks that share one shortcut."""
        output = super().forward(input)
        return output + input if self.shortcut and with_shortcut else output


class SqueezeExcite(nn.Module):
    """Squeeze-excite: average pooling, two 1x1 convolutions and a sigmoid give a weight for each channel."""

    def __init__(self, channels: int, width: int, act: Activation) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, width, 1)
        self.act = _ACTIVATIONS[act](inplace=True)
        self.expand = nn.Conv2d(width, channels, 1)

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H, W)."""
        pooled = input.mean(dim=(2, 3), keepdim=True)
        return input * self.expand(self.act(self.reduce(pooled))).sigmoid()


class GroupShuffle(nn.Module):
    """Channel shuffle: each of the next groups gets channels of all g groups."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H, W)."""
        return input.unflatten(1, (self.groups, -1)).transpose(1, 2).flatten(1, 2)


class ShuffleBlock(nn.Module):
    """Unit of ShuffleNetV2: passed-on channels, concatenated with the output of the main branch.

    At stride 1 even channels are passed on and odd ones are convolved; else both branches see all channels.
    """

    def __init__(self, main: nn.Module, passing: nn.Module | None) -> None:
        super().__init__()
        self.main = main
        self.passing = passing

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H', W')."""
        if self.passing is None:
            return _joined(input[:, ::2], self.main(input[:, 1::2]))
        return _joined(self.passing(input), self.main(input))


def _joined(left: Tensor, right: Tensor) -> Tensor:
    """Concatenate channels; at inference by copies, which in channels_last take a third of the time of `cat`."""
    if not torch.is_inference_mode_enabled() or not right.is_contiguous(memory_format=torch.channels_last):
        return torch.cat([left, right], dim=1)
    first, shape = left.shape[1], right.shape
    output = torch.empty(
        (shape[0], first + shape[1], *shape[2:]),
        dtype=right.dtype,
        device=right.device,
        memory_format=torch.channels_last,
    )
    output[:, :first], output[:, first:] = left, right
    return output


class Head(nn.Module):
    """1x1 convolution, global average pooling, dropout (0 during search), classifier."""

    def __init__(self, space: SearchSpace, dropout: float = 0.0) -> None:
        super().__init__()
        self.expand = ConvBN(space.layers[-1].out_channels, space.head_channels, 1, act=space.activation)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(space.head_channels, space.num_classes, bias=space.classifier_bias)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) to logits (B, num_classes)."""
        return self.classifier(self.dropout(self.expand(features).mean(dim=(2, 3))))


def make_block(block: Block, layer: Layer, act: Activation) -> nn.Module:
    """The module for one choice block at one layer."""
    inputs, outputs, stride = layer.in_channels, layer.out_channels, layer.stride
    match block:
        case InvertedResidual(kernel, expansion, groups, squeeze, own_act):
            act = own_act or act
            hidden = inputs * expansion
            parts: list[nn.Module] = [
                ConvBN(inputs, hidden, 1, groups=groups, act=act),
                ConvBN(hidden, hidden, kernel, stride, groups=hidden, act=act),
                ConvBN(hidden, outputs, 1, groups=groups),
            ]
            if groups > 1:
                parts.insert(1, GroupShuffle(groups))
            if squeeze:
                parts.insert(-1, SqueezeExcite(hidden, max(1, int(inputs * squeeze)), act))
            return Chain(*parts, shortcut=layer.keeps_shape)
        case Separable(kernel):
            return Chain(
                ConvBN(inputs, inputs, kernel, stride, groups=inputs, act=act),
                ConvBN(inputs, outputs, 1),
                shortcut=layer.keeps_shape,
            )
        case ShuffleUnit(kernel):
            taken, width = _shuffled(layer)
            main = nn.Sequential(
                ConvBN(taken, width, 1, act=act),
                ConvBN(width, width, kernel, stride, groups=width),
                ConvBN(width, outputs - taken, 1, act=act),
            )
            return ShuffleBlock(main, _passing(taken, kernel, stride, act))
        case ShuffleXception():
            taken, width = _shuffled(layer)
            main = nn.Sequential(
                ConvBN(taken, taken, 3, stride, groups=taken),
                ConvBN(taken, width, 1, act=act),
                ConvBN(width, width, 3, groups=width),
                ConvBN(width, width, 1, act=act),
                ConvBN(width, width, 3, groups=width),
                ConvBN(width, outputs - taken, 1, act=act),
            )
            return ShuffleBlock(main, _passing(taken, 3, stride, act))
        case Identity():
            return nn.Identity() if layer.keeps_shape else ConvBN(inputs, outputs, 1, stride)


def _shuffled(layer: Layer) -> tuple[int, int]:
    """Number of channels that the main branch of a shuffle unit takes, and its inner width."""
    taken = layer.in_channels // 2 if layer.stride == 1 else layer.in_channels
    return taken, layer.out_channels // 2


def _passing(channels: int, kernel: int, stride: int, act: Activation) -> nn.Module | None:
    """Second branch of a shuffle unit that shrinks; None at stride 1."""
    if stride == 1:
        return None
    return nn.Sequential(
        ConvBN(channels, channels, kernel, stride, groups=channels), ConvBN(channels, channels, 1, act=act)
    )


def make_stem(space: SearchSpace) -> nn.Sequential:
    """First convolution, then the fixed blocks."""
    first = ConvBN(space.image_channels, space.stem_channels, 3, space.stem_stride, act=space.activation)
    return nn.Sequential(first, *(make_block(layer.choices[0], layer, space.activation) for layer in space.fixed))


def materialise(module: nn.Module, generator: torch.Generator) -> None:
    """Give a module made on the meta device memory and initial values, in channels_last format on the CPU.

    Convolutions: normal with variance 2 / (kernel^2 * outputs); classifier: uniform within 1 / sqrt(outputs);
    biases: zero; as in the networks that the authors released. BN starts as the identity.
    """
    module.to_empty(device="cpu")
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, nn.Conv2d):
                fan_out = part.kernel_size[0] * part.kernel_size[1] * part.out_channels
                part.weight.normal_(0, math.sqrt(2 / fan_out), generator=generator)
                if part.bias is not None:
                    part.bias.zero_()
            elif isinstance(part, nn.BatchNorm2d):
                part.reset_parameters()  # sets constants, uses no random numbers
            elif isinstance(part, nn.Linear):
                bound = 1 / math.sqrt(part.out_features)
                part.weight.uniform_(-bound, bound, generator=generator)
                if part.bias is not None:
                    part.bias.zero_()
    module.to(memory_format=torch.channels_last)
