"""NASNet-A 4@1056, the mobile network of Zoph et al. (CVPR 2018), from the paper's Figure 4 and appendix.

A cell takes the outputs of the two previous cells, h0 and h1, brings both to its number of filters, and adds pairs of
operations on them. The first of the two stem cells has only the stem's convolution before it, and uses that as h0
unchanged.
"""

import torch
from torch import Tensor, nn

from fairnas.kernels.batch_norm import BatchNorm2d
from fairnas.zoo.cells import ClassifierHead, FactorisedReduction, average, maximum, pointwise, separable

_EPS = 1e-3  # as in the authors' TensorFlow code


class NasNetMobile(nn.Module):
    """Four normal cells in each of three stages, of 44, 88 and 176 filters; a reduction cell before each but the first.

    The stem has a convolution without padding and two reduction cells of 11 and 22 filters.
    """

    def __init__(self, num_classes: int = 1000, dropout: float = 0.0) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 32, 3, 2, bias=False), BatchNorm2d(32, _EPS))
        self.cells = nn.ModuleList([ReductionCell(None, 32, 11, False), ReductionCell(32, 44, 22, True)])
        # channels of the last two outputs; True if the last one is half as large
        before, current, reduced = 44, 88, True
        for stage, filters in enumerate((44, 88, 176)):
            if stage > 0:
                self.cells.append(ReductionCell(before, current, filters, reduced))
                before, current, reduced = current, 4 * filters, True
            for _ in range(4):
                self.cells.append(NormalCell(before, current, filters, reduced))
                before, current, reduced = current, 6 * filters, False
        self.head = ClassifierHead(current, num_classes, dropout)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, num_classes) for images (B, 3, S, S)."""
        before = current = self.stem(images)
        for cell in self.cells:
            before, current = current, cell(before, current)
        return self.head(current.relu())


class NormalCell(nn.Module):
    """Normal cell: keeps the size, outputs six times its filters."""

    def __init__(self, before: int, current: int, filters: int, reduced: bool) -> None:
        super().__init__()
        self.enter0 = _entrance(before, filters, reduced)
        self.enter1 = pointwise(current, filters, _EPS)
        self.left0, self.right0 = separable(filters, filters, 5, 1, _EPS), separable(filters, filters, 3, 1, _EPS)
        self.left1, self.right1 = separable(filters, filters, 5, 1, _EPS), separable(filters, filters, 3, 1, _EPS)
        self.left4 = separable(filters, filters, 3, 1, _EPS)
        self.average = average(1)

    def forward(self, before: Tensor, current: Tensor) -> Tensor:
        """Outputs of the two cells before this one to (B, 6 filters, H, W)."""
        h0, h1 = self.enter0(before), self.enter1(current)
        of_h0 = self.average(h0)
        parts = [
            h0,
            self.left0(h1) + self.right0(h0),
            self.left1(h0) + self.right1(h0),
            self.average(h1) + h0,
            of_h0 + of_h0,
            self.left4(h1) + h1,
        ]
        return torch.cat(parts, dim=1)


class ReductionCell(nn.Module):
    """Reduction cell: halves the size, outputs four times its filters."""

    def __init__(self, before: int | None, current: int, filters: int, reduced: bool) -> None:
        """`before` is None in the first cell, which uses its single input as h0 without a projection."""
        super().__init__()
        self.enter0 = nn.Identity() if before is None else _entrance(before, filters, reduced)
        self.enter1 = pointwise(current, filters, _EPS)
        width = current if before is None else filters
        self.left0, self.right0 = separable(filters, filters, 5, 2, _EPS), separable(width, filters, 7, 2, _EPS)
        self.right1 = separable(width, filters, 7, 2, _EPS)
        self.right2 = separable(width, filters, 5, 2, _EPS)
        self.left4 = separable(filters, filters, 3, 1, _EPS)
        self.maximum, self.average2, self.average1 = maximum(2), average(2), average(1)

    def forward(self, before: Tensor, current: Tensor) -> Tensor:
        """Outputs of the two cells before this one to (B, 4 filters, H/2, W/2), rounded up."""
        h0, h1 = self.enter0(before), self.enter1(current)
        largest = self.maximum(h1)
        n0 = self.left0(h1) + self.right0(h0)
        n1 = largest + self.right1(h0)
        n2 = self.average2(h1) + self.right2(h0)
        n3 = self.average1(n0) + n1
        n4 = self.left4(n0) + largest
        return torch.cat([n1, n2, n3, n4], dim=1)


def _entrance(inputs: int, filters: int, reduced: bool) -> nn.Module:
    """Projection of h0 to a cell's filters, and to the size of h1 if the cell between them reduced."""
    return FactorisedReduction(inputs, filters, _EPS) if reduced else pointwise(inputs, filters, _EPS)
