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
    due         for how many it is time to save, so that all look at what is saved

(On GPUs the last two go before the rest, between CPUs: see `GradientBuffer`.)

After it, all processes hold the same numbers, bit for bit, and do the same update. `require_agreement` checks that
every now and then, and before anything is saved. A process alone does none of this.
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
    """The processes that train together, and the place of this one among them."""

    rank: int = 0
    size: int = 1
    path_processes: int = 1
    """P, the processes that share out the paths; `size` is a multiple of it."""
    stop: Callable[[], bool] = lambda: False
    """Whether this process was asked to stop."""
    stopping: bool = field(default=False, init=False)
    """Whether any process was, as of the last step; a process alone asks `stop` itself."""
    due: Callable[[], bool] = lambda: False
    """Whether it is time for this process to save."""
    saving: bool = field(default=False, init=False)
    """Whether it was for any process, as of the last step; a process alone asks `due` itself."""
    _message: GradientBuffer | None = field(default=None, init=False, repr=False)

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
        """Raise `ProcessesDisagree` unless weights, statistics and ledger are the same in all processes.

        Args:
            network: what is trained.
            state: what is saved beside it, the ledger among it.
            step: for the message.
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


def digest_of(content: Any) -> str:
    """A checksum of plain data: of tensors their numbers, wherever they are, of all else what it prints."""
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
