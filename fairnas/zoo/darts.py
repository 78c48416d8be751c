"""ImageNet network of DARTS (Liu et al., ICLR 2019): second-order cells, 14 of them, 48 channels.

The auxiliary classifier, which is used only in training, is left out.
"""

import torch
from torch import Tensor, nn

from fairnas.kernels.batch_norm import BatchNorm2d
from fairnas.zoo.cells import ClassifierHead, FactorisedReduction, average, dilated, maximum, pointwise, separable

Genotype = tuple[tuple[str, int], ...]
"""Two edges for each of four nodes: an operation and the state it takes; states are the two inputs, then the nodes."""

NORMAL: Genotype = (
    *(("sep3", 0), ("sep3", 1)),
    *(("sep3", 0), ("sep3", 1)),
    *(("sep3", 1), ("skip", 0)),
    *(("skip", 0), ("dil3", 2)),
)
REDUCTION: Genotype = (
    *(("max3", 0), ("max3", 1)),
    *(("skip", 2), ("max3", 1)),
    *(("max3", 0), ("skip", 2)),
    *(("skip", 2), ("max3", 1)),
)

_EPS = 1e-5  # PyTorch's default, with which the authors trained


class DartsImageNet(nn.Module):
    """Cells behind a stem that shrinks images eight times; cells 4 and 9 reduce and double the channels."""

    def __init__(self, num_classes: int = 1000, dropout: float = 0.0, channels: int = 48, depth: int = 14) -> None:
        super().__init__()
        half = channels // 2
        self.stem0 = nn.Sequential(
            *(nn.Conv2d(3, half, 3, 2, 1, bias=False), BatchNorm2d(half, _EPS), nn.ReLU()),
            *(nn.Conv2d(half, channels, 3, 2, 1, bias=False), BatchNorm2d(channels, _EPS)),
        )
        self.stem1 = nn.Sequential(
            nn.ReLU(), nn.Conv2d(channels, channels, 3, 2, 1, bias=False), BatchNorm2d(channels, _EPS)
        )
        self.cells = nn.ModuleList()
        before = current = channels
        reduced = True  # the stem's second output is half as large as its first
        for number in range(depth):
            reduces = number in (depth // 3, 2 * depth // 3)
            channels *= 2 if reduces else 1
            self.cells.append(Cell(REDUCTION if reduces else NORMAL, before, current, channels, reduced, reduces))
            before, current, reduced = current, 4 * channels, reduces
        self.head = ClassifierHead(current, num_classes, dropout)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, num_classes) for images (B, 3, S, S)."""
        before = self.stem0(images)
        current = self.stem1(before)
        for cell in self.cells:
            before, current = current, cell(before, current)
        return self.head(current)


class Cell(nn.Module):
    """Four nodes, each the sum of two edges; the output is all four side by side."""

    def __init__(
        self, genotype: Genotype, before: int, current: int, channels: int, reduced: bool, reduces: bool
    ) -> None:
        """`reduced`: the previous cell reduced; `reduces`: this one does, at the edges from its inputs."""
        super().__init__()
        enter = FactorisedReduction if reduced else pointwise
        self.enter0 = enter(before, channels, _EPS)
        self.enter1 = pointwise(current, channels, _EPS)
        self.states = [state for _, state in genotype]
        self.edges = nn.ModuleList(
            _operation(name, channels, 2 if reduces and state < 2 else 1) for name, state in genotype
        )

    def forward(self, before: Tensor, current: Tensor) -> Tensor:
        """Outputs of the two cells before this one to (B, 4 channels, H, W)."""
        known = [self.enter0(before), self.enter1(current)]
        edges = list(zip(self.edges, self.states, strict=True))
        for (left, of_left), (right, of_right) in zip(edges[::2], edges[1::2], strict=True):
            known.append(left(known[of_left]) + right(known[of_right]))
        return torch.cat(known[2:], dim=1)


def _operation(name: str, channels: int, stride: int) -> nn.Module:
    match name:
        case "sep3":
            return separable(channels, channels, 3, stride, _EPS)
        case "dil3":
            return dilated(channels, 3, stride, _EPS)
        case "max3":
            return maximum(stride)
        case "avg3":
            return average(stride)
        case "skip":
            return nn.Identity() if stride == 1 else FactorisedReduction(channels, channels, _EPS)
        case _:
            raise AssertionError(name)
