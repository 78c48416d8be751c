"""Content of the all-reduce after a step of several processes: one flat tensor, to be summed.

gradients    of every parameter, zero where this process has none
statistics   this process's terms of the running BN statistics (see `RunningStatistics.factors`)
loss         summed over the paths
presence     per parameter 1 if it has a gradient, so that blocks that no process trained keep `None`
stop, due    1 if this process was asked to stop; 1 if it is due to save by its clock

The last three control the processes. If the rest is on GPUs, they are sent first and separately, between CPUs: then no
process has to wait for its GPU to read them, and a lost process is noticed before the others start GPU work that would
wait for it.
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
    """Work of one path rank in a step."""

    passes: Counts
    """Number of runs of each choice block."""
    runs: int
    """Number of runs of stem and head."""


class GradientBuffer:
    """Flat tensor and views of its parts. It is reused at every step, because allocating its size is slow."""

    def __init__(self, supernet: Supernet, *, apart: bool | None = None) -> None:
        """Allocate the tensor.

        Args:
            supernet: source of gradients and statistics.
            apart: True if flags are a separate tensor on the CPU; default: True if the supernet is on a GPU.
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
        # in the parameters' own memory order, so that copies are contiguous and the optimiser can use them directly
        self._gradients = [
            piece.as_strided(parameter.shape, parameter.stride(), piece.storage_offset())
            for piece, parameter in zip(pieces, parameters, strict=True)
        ]

    def divide(self, teams: int) -> None:
        """Average the results of teams on different images, after the sum."""
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
        """Write the results of this process, of path rank `rank`, for its share of the step; `before` as in `take`."""
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
        """Set gradients and BN statistics to the sums; `before` are the BN statistics before the step."""
        for parameter, place, there in zip(parameters, self._gradients, self._presence.tolist(), strict=True):
            parameter.grad = place if there else None
        _, _, total = self.statistics.factors(shares, rank)
        self.statistics.write(total * before + self._terms, shares, rank)

    @property
    def loss(self) -> Tensor:
        """Loss, a scalar."""
        return self._loss[0].clone()

    @property
    def stopping(self) -> bool:
        """True if any process was asked to stop."""
        return bool(self._stop.item())

    @property
    def saving(self) -> bool:
        """True if any process is due to save."""
        return bool(self._due.item())


class RunningStatistics:
    """Running BN statistics of a supernet as one row, and the factors that combine those of several processes."""

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
        self.owner = torch.repeat_interleave(torch.tensor(sizes)).to(device)  # index of the BN that an entry belongs to
        self.keep = torch.tensor(keep, dtype=torch.float64)

    def read(self) -> Tensor:
        """Current statistics."""
        return torch.cat(self.buffers)

    def factors(self, shares: Sequence[PathShare], rank: int) -> tuple[Tensor, Tensor, Tensor]:
        """Powers of 1 - a, per entry: for this rank's own runs, for those of later ranks, and for all."""
        runs = torch.stack([self._runs(share) for share in shares])
        exponents = (runs[rank], runs[rank + 1 :].sum(0), runs.sum(0))
        own, after, total = ((self.keep**exponent).float().to(self.owner.device)[self.owner] for exponent in exponents)
        return own, after, total

    def write(self, row: Tensor, shares: Sequence[PathShare], rank: int) -> None:
        """Set the statistics, and add the runs of the other ranks to the counters."""
        others = sum((self._runs(share) for number, share in enumerate(shares) if number != rank), self._no_runs)
        with torch.no_grad():
            for buffer, piece in zip(self.buffers, row.split([len(buffer) for buffer in self.buffers]), strict=True):
                buffer.copy_(piece)
            for norm, count in zip(self.norms, others.tolist(), strict=True):
                assert norm.num_batches_tracked is not None
                norm.num_batches_tracked += count

    def _runs(self, share: PathShare) -> Tensor:
        """Number of runs of each BN."""
        return torch.from_numpy(np.append(share.passes, share.runs))[self.blocks]
