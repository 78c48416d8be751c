"""The textbook implementation: the supernet, its step and its evaluation as written in an afternoon.

Plain PyTorch with its defaults: NCHW, one path after another, one update per parameter, every genome evaluated from
the first layer. It shares no module with `fairnas.nets`, so that whatever makes those faster does not reach it.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from fairnas.nets import Supernet
from fairnas.space import (
    Activation,
    Block,
    Genome,
    Identity,
    InvertedResidual,
    SearchSpace,
    Separable,
    ShuffleUnit,
    ShuffleXception,
)
from fairnas.space.space import Layer

Batches = Sequence[tuple[Tensor, Tensor]]


class MobileBlock(nn.Module):
    """1x1 expansion (none for `expansion = None`), depthwise convolution, 1x1 linear projection, shortcut."""

    def __init__(self, layer: Layer, kernel: int, expansion: int | None, activation: Activation) -> None:
        super().__init__()
        inputs, outputs, stride = layer.in_channels, layer.out_channels, layer.stride
        hidden = inputs * (expansion or 1)
        parts: list[nn.Module] = []
        if expansion is not None:
            parts += [nn.Conv2d(inputs, hidden, 1, bias=False), nn.BatchNorm2d(hidden), _activation(activation)]
        parts += [
            nn.Conv2d(hidden, hidden, kernel, stride, kernel // 2, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            _activation(activation),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        ]
        self.body = nn.Sequential(*parts)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H', W')."""
        if self.shortcut:
            return features + self.body(features)
        return self.body(features)


class ShuffleNetUnit(nn.Module):
    """A unit of ShuffleNetV2: at stride 1 every other channel passes, else a second branch shrinks all of them.

    `steps` are the convolutions of the main branch: kernel, and whether it is depthwise.
    """

    def __init__(self, layer: Layer, steps: Sequence[tuple[int, bool]], kernel: int, activation: Activation) -> None:
        super().__init__()
        inputs, outputs, stride = layer.in_channels, layer.out_channels, layer.stride
        self.halves = stride == 1
        channels, width = (inputs // 2 if self.halves else inputs), outputs // 2
        passing, taken = channels, channels
        parts: list[nn.Module] = []
        for number, (size, depthwise) in enumerate(steps):
            shrinks = stride if depthwise and not any(earlier for _, earlier in steps[:number]) else 1
            if depthwise:
                conv = nn.Conv2d(channels, channels, size, shrinks, size // 2, groups=channels, bias=False)
                parts += [conv, nn.BatchNorm2d(channels)]
            else:
                after = outputs - passing if number == len(steps) - 1 else width
                parts += [nn.Conv2d(channels, after, 1, bias=False), nn.BatchNorm2d(after), _activation(activation)]
                channels = after
        self.main = nn.Sequential(*parts)
        if not self.halves:
            self.second = nn.Sequential(
                nn.Conv2d(taken, taken, kernel, stride, kernel // 2, groups=taken, bias=False),
                nn.BatchNorm2d(taken),
                nn.Conv2d(taken, taken, 1, bias=False),
                nn.BatchNorm2d(taken),
                _activation(activation),
            )

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H', W')."""
        if self.halves:
            batch, channels, height, width = features.shape
            pairs = features.view(batch, channels // 2, 2, height, width)
            return torch.cat([pairs[:, :, 0], self.main(pairs[:, :, 1])], dim=1)
        return torch.cat([self.second(features), self.main(features)], dim=1)


class TextbookSupernet(nn.Module):
    """All choice blocks of a space; `supernet(images, genome)` runs one path."""

    def __init__(self, space: SearchSpace) -> None:
        super().__init__()
        self.space = space
        self.stem = nn.Sequential(
            nn.Conv2d(space.image_channels, space.stem_channels, 3, space.stem_stride, 1, bias=False),
            nn.BatchNorm2d(space.stem_channels),
            _activation(space.activation),
        )
        self.fixed = nn.Sequential(*(_block(layer.choices[0], layer, space.activation) for layer in space.fixed))
        self.layers = nn.ModuleList(
            nn.ModuleList(_block(block, layer, space.activation) for block in layer.choices) for layer in space.layers
        )
        self.head = nn.Sequential(
            nn.Conv2d(space.layers[-1].out_channels, space.head_channels, 1, bias=False),
            nn.BatchNorm2d(space.head_channels),
            _activation(space.activation),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.classifier = nn.Linear(space.head_channels, space.num_classes, bias=space.classifier_bias)
        for part in self.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.eps = space.bn_eps

    def forward(self, images: Tensor, genome: Genome) -> Tensor:
        """Logits (B, num_classes) of one path."""
        features = self.fixed(self.stem(images))
        for layer, choice in zip(self.layers, genome, strict=True):
            features = layer[choice](features)  # pyright: ignore[reportIndexIssue]
        return self.classifier(self.head(features))


def textbook_of(supernet: Supernet) -> TextbookSupernet:
    """A textbook supernet with the weights and BN statistics of ours, of the same precision, as NCHW."""
    textbook = TextbookSupernet(supernet.space).to(next(supernet.parameters()).dtype)
    theirs, ours = textbook.state_dict(), supernet.state_dict()
    for mine, other in zip(theirs.values(), ours.values(), strict=True):  # both list their parts in order of depth
        assert mine.shape == other.shape, "the textbook's supernet and ours have different parts"
        mine.copy_(other)
    return textbook


def textbook_optimizer(supernet: nn.Module, lr: float, momentum: float, weight_decay: float) -> torch.optim.Optimizer:
    """SGD that updates one parameter after another."""
    return torch.optim.SGD(
        supernet.parameters(), lr=lr, momentum=momentum, weight_decay=weight_decay, foreach=False, fused=False
    )


def textbook_step(
    supernet: TextbookSupernet,
    images: Tensor,
    labels: Tensor,
    paths: Sequence[Genome],
    optimizer: torch.optim.Optimizer,
) -> float:
    """Algorithm 1 on one mini-batch: a backward pass per path, one update. Returns the mean loss."""
    supernet.train()
    optimizer.zero_grad()
    total = 0.0
    for genome in paths:
        loss = functional.cross_entropy(supernet(images, genome), labels)
        loss.backward()
        total += loss.item()
    optimizer.step()
    return total / len(paths)


def textbook_top1(supernet: TextbookSupernet, genomes: Sequence[Genome], batches: Batches) -> list[float]:
    """One-shot accuracy, a fraction, of one genome after another."""
    supernet.eval()
    accuracies = []
    with torch.no_grad():
        for genome in genomes:
            hits = images_seen = 0
            for images, labels in batches:
                hits += (supernet(images, genome).argmax(dim=1) == labels).sum().item()
                images_seen += len(labels)
            accuracies.append(hits / images_seen)
    return accuracies


def textbook_recalibrated_top1(
    supernet: TextbookSupernet, genomes: Sequence[Genome], calibration: Tensor, batches: Batches
) -> list[float]:
    """The protocol of Single Path One-Shot: before each genome is scored, its BN statistics are taken anew.

    Args:
        supernet: is left with the statistics of the last genome.
        genomes: to score.
        calibration: (n, C, S, S), run in training mode, all at once.
        batches: to score on.
    """
    norms = [part for part in supernet.modules() if isinstance(part, nn.BatchNorm2d)]
    accuracies = []
    for genome in genomes:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the plain mean
        supernet.train()
        with torch.no_grad():
            supernet(calibration, genome)
        accuracies += textbook_top1(supernet, [genome], batches)
    return accuracies


def _activation(name: Activation) -> nn.Module:
    return nn.ReLU6(inplace=True) if name == "relu6" else nn.ReLU(inplace=True)


def _block(block: Block, layer: Layer, activation: Activation) -> nn.Module:
    match block:
        case InvertedResidual(kernel, expansion, groups=1, squeeze=0, activation=None):
            return MobileBlock(layer, kernel, expansion, activation)
        case Separable(kernel):
            return MobileBlock(layer, kernel, None, activation)
        case ShuffleUnit(kernel):
            return ShuffleNetUnit(layer, [(1, False), (kernel, True), (1, False)], kernel, activation)
        case ShuffleXception():
            return ShuffleNetUnit(layer, [(3, True), (1, False)] * 3, 3, activation)
        case Identity():
            if layer.keeps_shape:
                return nn.Identity()
            return nn.Sequential(
                nn.Conv2d(layer.in_channels, layer.out_channels, 1, layer.stride, bias=False),
                nn.BatchNorm2d(layer.out_channels),
            )
        case _:
            raise NotImplementedError(f"the textbook has no block '{block.label}'")
