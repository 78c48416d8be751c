"""Groups of processes that train one supernet: data parallel, path parallel (Algorithm 2), or both.

Of N = D x P processes, P share the paths of a step on the same images, and D such teams share the images. Every process
draws the same paths, because samplers are functions of the step. After its backward passes a process holds the
gradients of its share; one all-reduce of one flat tensor combines them:

    gradients   summed over the paths, averaged over the images
    BN          running statistics r of a block that saw batches b_1 ... b_n in one process would be
                (1-a)^n r + sum_k a (1-a)^(n-k) b_k; each process adds the terms of its own batches,
                and those of different images are averaged
    loss        summed over the paths, averaged over the images
    stop        number of processes that were asked to stop, so that all stop after the same step
    due         number of processes that are due to save, so that all check the state that is saved

(With GPUs the last two are sent before the rest, between CPUs: see `GradientBuffer`.)

Then all processes hold the same numbers, bit for bit, and make the same update. `require_agreement` checks this
regularly, and before anything is saved. A single process does none of this.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from fairnas.errors import LostProcessError, ProcessesDisagree
from fairnas.nets import Supernet
from fairnas.space import Genome
from fairnas.train.all_reduce import GradientBuffer, PathShare

if TYPE_CHECKING:
    from fairnas.train.gradients import SupernetGradients


@dataclass
class Group:
    """Processes that train together, and the rank of this one."""

    rank: int = 0
    size: int = 1
    path_processes: int = 1
    """P, the number of processes that share the paths; `size` is a multiple of it."""
    stop: Callable[[], bool] = lambda: False
    """Returns True if this process was asked to stop."""
    stopping: bool = field(default=False, init=False)
    """True if any process was asked to stop, as of the last step; a single process calls `stop` itself."""
    due: Callable[[], bool] = lambda: False
    """Returns True if this process is due to save."""
    saving: bool = field(default=False, init=False)
    """True if any process was due to save, as of the last step; a single process calls `due` itself."""
    _message: GradientBuffer | None = field(default=None, init=False, repr=False)

    @property
    def is_first(self) -> bool:
        """True for the process that writes files and prints messages."""
        return self.rank == 0

    @property
    def path_rank(self) -> int:
        """Index of this process's share of the paths."""
        return self.rank % self.path_processes

    @property
    def image_processes(self) -> int:
        """D, the number of teams that share the images."""
        return self.size // self.path_processes

    @property
    def image_rank(self) -> int:
        """Index of this process's share of the images."""
        return self.rank // self.path_processes

    def paths_of_each(self, work: Sequence[Sequence[Genome]]) -> list[list[tuple[Genome, ...]]]:
        """Paths of each path rank: (P, mini-batches). Shares are contiguous, in order, and as equal as possible."""
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
        """All running BN statistics in a row if there are several processes; else None."""
        if self.size == 1:
            return None
        return self._message_of(supernet).statistics.read()

    def _message_of(self, supernet: Supernet) -> GradientBuffer:
        if self._message is None:
            self._message = GradientBuffer(supernet)
        return self._message

    def join(
        self,
        supernet: Supernet,
        gradients: "SupernetGradients",
        loss: Tensor,
        before: Tensor | None,
        shares: Sequence[PathShare],
    ) -> Tensor:
        """Combine gradients and BN statistics of all processes; return the loss of all.

        Args:
            supernet: after the backward passes of this process.
            gradients: its gradients.
            loss: sum over the paths of this process, a scalar.
            before: `statistics` before the backward passes.
            shares: the work of each path rank.

        Raises:
            LostProcessError: if another process ended.
        """
        if self.size == 1:
            return loss
        assert before is not None
        message = self._message_of(supernet)
        message.fill(gradients.parameters, before, shares, self.path_rank, loss, self.stop(), self.due())
        for tensor in message.tensors:
            self._all_reduce(tensor)
        message.divide(self.image_processes)
        message.take(gradients.parameters, before, shares, self.path_rank)
        self.stopping, self.saving = message.stopping, message.saving
        return message.loss.to(loss.dtype)

    def _all_reduce(self, message: Tensor) -> None:
        import torch.distributed as dist

        try:
            dist.all_reduce(message)
        except RuntimeError as error:
            raise LostProcessError(str(error)) from error

    def require_agreement(self, network: nn.Module, state: dict[str, Any], step: int) -> None:
        """Raise `ProcessesDisagree` unless weights, statistics and ledger are equal in all processes.

        Args:
            network: the trained network.
            state: state that is saved beside it, including the ledger.
            step: step number for the message.
        """
        if self.size > 1:
            digests = self.gather(digest_of([network.state_dict(), state]))
            if len(set(digests)) > 1:
                odd = [rank for rank, each in enumerate(digests) if each != digests[0]]
                raise ProcessesDisagree(
                    f"after step {step} process {odd[0]} has other weights or another ledger than process 0; training "
                    "stops, and the checkpoint is from before: run the same command again, and look at that machine"
                )

    def gather(self, item: Any) -> list[Any]:
        """Items of all processes, in order of their ranks."""
        import torch.distributed as dist

        items: list[Any] = [None] * self.size
        try:
            dist.all_gather_object(items, item)
        except RuntimeError as error:
            raise LostProcessError(str(error)) from error
        return items

    def from_first(self, item: Any) -> Any:
        """Item of the first process."""
        if self.size == 1:
            return item
        import torch.distributed as dist

        box = [item]
        try:
            dist.broadcast_object_list(box, src=0)
        except RuntimeError as error:
            raise LostProcessError(str(error)) from error
        return box[0]


def digest_of(content: Any) -> str:
    """Checksum of plain data: of tensors by their numbers, on any device; of everything else by its repr."""
    digest = hashlib.blake2b(digest_size=16)

    def take(part: Any) -> None:
        if isinstance(part, Tensor):
            flat = part.detach().cpu().contiguous().reshape(-1)
            digest.update(f"{part.dtype}{tuple(part.shape)}".encode())
            digest.update(flat.view(torch.uint8).numpy().tobytes())
        elif isinstance(part, Mapping):
            for key, value in part.items():
                digest.update(repr(key).encode())
                take(value)
        elif isinstance(part, list | tuple):
            digest.update(f"{len(part)}".encode())
            for each in part:
                take(each)
        else:
            digest.update(repr(part).encode())

    take(content)
    return digest.hexdigest()
