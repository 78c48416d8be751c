"""Several processes that train one supernet: data parallel, path parallel (Algorithm 2), or both.

Of N = D x P processes, P share out the paths of a step on the same images, and D such teams share out the images.
Every process draws the same paths, because samplers are functions of the step. After its backward passes a process
holds the gradients of its share; one all-reduce of one flat tensor makes them everybody's:

    gradients   summed over the paths, averaged over the images
    BN          running statistics r of a block that saw batches b_1 ... b_n in one process would be
                (1-a)^n r + sum_k a (1-a)^(n-k) b_k; each process adds the terms of its own batches,
                and those of different images are averaged
    loss        summed over the paths, averaged over the images
    stop        how many processes were asked to stop, so that all stop after the same step

After it, all processes hold the same numbers, bit for bit, and do the same update. `require_agreement` checks that.
A process alone does none of this.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from fairnas.errors import LostProcessError, ProcessesDisagree
from fairnas.fairness.ledger import Counts
from fairnas.nets import Supernet, batch_norms
from fairnas.space import Genome

if TYPE_CHECKING:
    from fairnas.train.gradients import Gradients


@dataclass(frozen=True, eq=False)
class Share:
    """What one path rank computes in a step."""

    passes: Counts
    """Per choice block, how often it runs."""
    runs: int
    """How often stem and head run."""


@dataclass
class Group:
    """The processes that train together, and the place of this one among them."""

    rank: int = 0
    size: int = 1
    path_processes: int = 1
    """P, the processes that share out the paths; `size` is a multiple of it."""
    stop: Callable[[], bool] = lambda: False
    """Whether this process was asked to stop."""
    stopping: bool = field(default=False, init=False)
    """Whether any process was, as of the last step; a process alone asks `stop` itself."""
    _layout: "_StatisticsLayout | None" = field(default=None, init=False, repr=False)

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and talks to people."""
        return self.rank == 0

    @property
    def path_rank(self) -> int:
        """Which share of the paths is this process's."""
        return self.rank % self.path_processes

    @property
    def image_processes(self) -> int:
        """D, the teams that share out the images."""
        return self.size // self.path_processes

    @property
    def image_rank(self) -> int:
        """Which share of the images is this process's."""
        return self.rank // self.path_processes

    def paths_of_each(self, work: Sequence[Sequence[Genome]]) -> list[list[tuple[Genome, ...]]]:
        """The paths of each path rank: (P, mini-batches). Shares are whole stretches, in order, as equal as can be."""
        total, taken = sum(map(len, work)), 0
        bounds = [total * rank // self.path_processes for rank in range(self.path_processes + 1)]
        shares: list[list[tuple[Genome, ...]]] = [[] for _ in range(self.path_processes)]
        for paths in work:
            for rank, share in enumerate(shares):
                low, high = (min(max(bound - taken, 0), len(paths)) for bound in bounds[rank : rank + 2])
                share.append(tuple(paths[low:high]))
            taken += len(paths)
        return shares

    def statistics(self, supernet: Supernet) -> Tensor | None:
        """All running BN statistics in a row, where several processes work; else None."""
        if self.size == 1:
            return None
        if self._layout is None:
            self._layout = _StatisticsLayout(supernet)
        return self._layout.read()

    def join(
        self,
        supernet: Supernet,
        gradients: "Gradients",
        loss: Tensor,
        before: Tensor | None,
        shares: Sequence[Share],
    ) -> Tensor:
        """Make gradients and BN statistics those of all processes' work; return the loss of all.

        Args:
            supernet: after the backward passes of this process.
            gradients: its gradients.
            loss: sum over the paths of this process, a scalar.
            before: `statistics` before the backward passes.
            shares: what each path rank computed.

        Raises:
            LostProcessError: if another process ended.
        """
        if self.size == 1:
            return loss
        assert before is not None
        assert self._layout is not None
        parameters = gradients.parameters
        flat = [parameter.new_zeros(()) if parameter.grad is None else parameter.grad for parameter in parameters]
        present = torch.tensor([float(parameter.grad is not None) for parameter in parameters], device=loss.device)
        pieces = [
            each.expand(parameter.shape).reshape(-1) if each.dim() == 0 else each.reshape(-1)
            for each, parameter in zip(flat, parameters, strict=True)
        ]
        own, after, total = self._layout.factors(shares, self.path_rank)
        ends = torch.stack([loss.float(), loss.new_tensor(float(self.stop()), dtype=torch.float32)])
        message = torch.cat([*pieces, present, after * (self._layout.read() - own * before), ends])
        self._all_reduce(message)
        sizes = [sum(piece.numel() for piece in pieces), len(present), len(before), 1, 1]
        summed, there, statistics, loss_sum, stops = message.split(sizes)
        self._take_gradients(gradients, summed / self.image_processes, there.tolist())
        self._layout.write(total * before + statistics / self.image_processes, shares, self.path_rank)
        self.stopping = bool(stops.item())
        return (loss_sum[0] / self.image_processes).to(loss.dtype)

    def _take_gradients(self, gradients: "Gradients", flat: Tensor, present: list[float]) -> None:
        pieces = flat.split([parameter.numel() for parameter in gradients.parameters])
        for parameter, piece, there in zip(gradients.parameters, pieces, present, strict=True):
            if not there:
                parameter.grad = None
                continue
            if parameter.grad is None:
                parameter.grad = torch.empty_like(parameter)
            parameter.grad.copy_(piece.view(parameter.shape))

    def _all_reduce(self, message: Tensor) -> None:
        import torch.distributed as dist

        try:
            dist.all_reduce(message)
        except RuntimeError as error:
            raise LostProcessError(str(error)) from error

    def require_agreement(self, supernet: Supernet, ledger: dict[str, Any], step: int) -> None:
        """Raise `ProcessesDisagree` unless weights, statistics and ledger are the same in all processes."""
        if self.size > 1:
            digest = hashlib.blake2b(repr(ledger).encode(), digest_size=16)
            for tensor in supernet.state_dict().values():
                digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
            digests = self.gather(digest.hexdigest())
            if len(set(digests)) > 1:
                odd = [rank for rank, each in enumerate(digests) if each != digests[0]]
                raise ProcessesDisagree(
                    f"after step {step} process {odd[0]} has other weights or another ledger than process 0; training "
                    "stops, and the checkpoint is from before: run the same command again, and look at that machine"
                )

    def gather(self, item: Any) -> list[Any]:
        """What each process gives, in order of their ranks."""
        import torch.distributed as dist

        items: list[Any] = [None] * self.size
        try:
            dist.all_gather_object(items, item)
        except RuntimeError as error:
            raise LostProcessError(str(error)) from error
        return items

    def from_first(self, item: Any) -> Any:
        """What the first process gives."""
        if self.size == 1:
            return item
        import torch.distributed as dist

        box = [item]
        try:
            dist.broadcast_object_list(box, src=0)
        except RuntimeError as error:
            raise LostProcessError(str(error)) from error
        return box[0]


class _StatisticsLayout:
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

    def factors(self, shares: Sequence[Share], rank: int) -> tuple[Tensor, Tensor, Tensor]:
        """Powers of 1 - a, per entry: for this rank's own runs, for those of later ranks, and for all."""
        runs = torch.stack([self._runs(share) for share in shares])
        exponents = (runs[rank], runs[rank + 1 :].sum(0), runs.sum(0))
        own, after, total = ((self.keep**exponent).float().to(self.owner.device)[self.owner] for exponent in exponents)
        return own, after, total

    def write(self, row: Tensor, shares: Sequence[Share], rank: int) -> None:
        """Set the statistics, and count the runs of the other ranks."""
        others = sum((self._runs(share) for number, share in enumerate(shares) if number != rank), self._no_runs)
        with torch.no_grad():
            for buffer, piece in zip(self.buffers, row.split([len(buffer) for buffer in self.buffers]), strict=True):
                buffer.copy_(piece)
            for norm, count in zip(self.norms, others.tolist(), strict=True):
                assert norm.num_batches_tracked is not None
                norm.num_batches_tracked += count

    def _runs(self, share: Share) -> Tensor:
        """Per BN, how often it runs."""
        return torch.from_numpy(np.append(share.passes, share.runs))[self.blocks]
