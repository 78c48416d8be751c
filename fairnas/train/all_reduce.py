"""What processes that train one supernet tell each other after a step: one flat tensor, to be summed.

gradients    of every parameter, zero where this process has none
statistics   this process's terms of the running BN statistics (see `RunningStatistics.factors`)
loss         summed over the paths
presence     per parameter 1 if it has a gradient, so that blocks that nobody trained keep `None`
stop, due    1 if this process was asked to stop; 1 if its clock says that it is time to save

The last three are for the processes themselves. Where the rest is on GPUs they travel apart and first, between CPUs:
no process then waits for its GPU to read them, and one that is gone is missed before the others give their GPUs work
that would wait for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from fairnas.fairness.ledger import Counts
from fairnas.nets import Supernet, batch_norms


@dataclass(frozen=True, eq=False)
class PathShare:
    """What one path rank computes in a step."""

    passes: Counts
    """Per choice block, how often it runs."""
    runs: int
    """How often stem and head run."""


class GradientBuffer:
    """The flat tensor and its parts. It is kept from step to step: new memory of its size is costly."""

    def __init__(self, supernet: Supernet, *, apart: bool | None = None) -> None:
        """Make room.

        Args:
            supernet: whose gradients and statistics are told.
            apart: whether flags are a tensor of their own, on the CPU; default: where the supernet is on a GPU.
        """
        parameters = list(supernet.parameters())
        self.statistics = RunningStatistics(supernet)
        apart = parameters[0].is_cuda if apart is None else apart
        numbers, flags = [sum(p.numel() for p in parameters), len(self.statistics.read()), 1], [len(parameters), 1, 1]
        row = parameters[0].new_zeros(sum(numbers) + (0 if apart else sum(flags)))
        told = torch.zeros(sum(flags)) if apart else row[sum(numbers) :]
        self.tensors = (told, row) if apart else (row,)
        gradients, self._terms, self._loss = row[: sum(numbers)].split(numbers)
        self._presence, self._stop, self._due = told.split(flags)
        pieces = gradients.split([parameter.numel() for parameter in parameters])
        # in the parameters' own memory order, so that copies are straight and the optimiser may use them as they are
        self._gradients = [
            piece.as_strided(parameter.shape, parameter.stride(), piece.storage_offset())
            for piece, parameter in zip(pieces, parameters, strict=True)
        ]

    def divide(self, teams: int) -> None:
        """After the sum: average what teams found on different images."""
        for tensor in self.tensors:
            tensor /= teams

    def fill(
        self,
        parameters: Sequence[nn.Parameter],
        before: Tensor,
        shares: Sequence[PathShare],
        rank: int,
        loss: Tensor,
        stop: bool,
        due: bool,
    ) -> None:
        """Write what this process, of path rank `rank`, found in its share of the step; `before` as in `take`."""
        with torch.no_grad():
            for parameter, place in zip(parameters, self._gradients, strict=True):
                place.zero_() if parameter.grad is None else place.copy_(parameter.grad)
            self._presence.copy_(torch.tensor([float(parameter.grad is not None) for parameter in parameters]))
            own, after, _ = self.statistics.factors(shares, rank)
            self._terms.copy_(after * (self.statistics.read() - own * before))
            self._loss.copy_(loss)
            self._stop.fill_(float(stop))
            self._due.fill_(float(due))

    def take(self, parameters: Sequence[nn.Parameter], before: Tensor, shares: Sequence[PathShare], rank: int) -> None:
        """Give parameters and BN what the sum says; `before` are the BN statistics before the step."""
        for parameter, place, there in zip(parameters, self._gradients, self._presence.tolist(), strict=True):
            parameter.grad = place if there else None
        _, _, total = self.statistics.factors(shares, rank)
        self.statistics.write(total * before + self._terms, shares, rank)

    @property
    def loss(self) -> Tensor:
        """A scalar."""
        return self._loss[0].clone()

    @property
    def stopping(self) -> bool:
        """Whether any process was asked to stop."""
        return bool(self._stop.item())

    @property
    def saving(self) -> bool:
        """Whether it is time to save for any process."""
        return bool(self._due.item())


class RunningStatistics:
    """The running BN statistics of a supernet as one row, and the factors that join those of processes."""

    def __init__(self, supernet: Supernet) -> None:
        choices = supernet.space.choices
        blocks = [supernet.block(layer, choice) for layer, count in enumerate(choices) for choice in range(count)]
        norms = [(norm, number) for number, block in enumerate(blocks) for norm in batch_norms(block)]
        norms += [(norm, len(blocks)) for part in (supernet.stem, supernet.head) for norm in batch_norms(part)]
        self.buffers: list[Tensor] = []
        self.norms = [norm for norm, _ in norms]
        self.blocks = torch.tensor([number for _, number in norms])  # the last number stands for stem and head
        sizes, keep = [], []
        for norm in self.norms:
            assert norm.running_mean is not None
            assert norm.running_var is not None
            assert norm.momentum is not None
            self.buffers += [norm.running_mean, norm.running_var]
            sizes.append(2 * norm.num_features)
            keep.append(1 - norm.momentum)
        device = self.buffers[0].device
        self._no_runs = torch.zeros(len(self.norms), dtype=torch.int64)
        self.owner = torch.repeat_interleave(torch.tensor(sizes)).to(device)  # which BN an entry belongs to
        self.keep = torch.tensor(keep, dtype=torch.float64)

    def read(self) -> Tensor:
        """The statistics now."""
        return torch.cat(self.buffers)

    def factors(self, shares: Sequence[PathShare], rank: int) -> tuple[Tensor, Tensor, Tensor]:
        """Powers of 1 - a, per entry: for this rank's own runs, for those of later ranks, and for all."""
        runs = torch.stack([self._runs(share) for share in shares])
        exponents = (runs[rank], runs[rank + 1 :].sum(0), runs.sum(0))
        own, after, total = ((self.keep**exponent).float().to(self.owner.device)[self.owner] for exponent in exponents)
        return own, after, total

    def write(self, row: Tensor, shares: Sequence[PathShare], rank: int) -> None:
        """Set the statistics, and count the runs of the other ranks."""
        others = sum((self._runs(share) for number, share in enumerate(shares) if number != rank), self._no_runs)
        with torch.no_grad():
            for buffer, piece in zip(self.buffers, row.split([len(buffer) for buffer in self.buffers]), strict=True):
                buffer.copy_(piece)
            for norm, count in zip(self.norms, others.tolist(), strict=True):
                assert norm.num_batches_tracked is not None
                norm.num_batches_tracked += count

    def _runs(self, share: PathShare) -> Tensor:
        """Per BN, how often it runs."""
        return torch.from_numpy(np.append(share.passes, share.runs))[self.blocks]
