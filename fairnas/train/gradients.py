"""Gradients of a supernet, block by block: presence, norms, and the treatment of idle blocks."""

import contextlib
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from fairnas.config import TrainConfig
from fairnas.fairness.ledger import Counts
from fairnas.nets import Supernet


class SupernetGradients:
    """Views of the gradients of one supernet. Blocks are numbered layer after layer, as in the ledger."""

    def __init__(self, supernet: Supernet) -> None:
        choices = supernet.space.choices
        blocks = [supernet.block(layer, choice) for layer, count in enumerate(choices) for choice in range(count)]
        self.blocks: list[list[nn.Parameter]] = [list(block.parameters()) for block in blocks]
        self.shared: list[nn.Parameter] = [*supernet.stem.parameters(), *supernet.head.parameters()]
        self.parameters: list[nn.Parameter] = list(supernet.parameters())

    def scale_shared(self, factor: float) -> None:
        """Scale the gradients of stem and head."""
        for parameter in self.shared:
            assert parameter.grad is not None
            parameter.grad *= factor

    def present(self, passes: Counts) -> Counts:
        """Indicator of blocks whose weights have a gradient: 1 or 0.

        Looks at the weights. A block without weights (an identity) counts as trained if it had a pass.
        """
        has = [any(p.grad is not None for p in parameters) if parameters else None for parameters in self.blocks]
        return np.array([passes[i] > 0 if there is None else there for i, there in enumerate(has)], dtype=np.int64)

    def norms(self) -> Tensor:
        """Norm of each block's gradient, 0 if it has none; (blocks,), on the device.

        Squares are summed in a fixed order, because processes that train together compare the sums bit for bit.
        """
        there = [p.grad for parameters in self.blocks for p in parameters if p.grad is not None]
        known = iter(_norms_of(there))
        absent = torch.zeros((), device=self.parameters[0].device)
        width = max(1, *map(len, self.blocks))  # all blocks of a space may be without weights
        rows = [[absent if p.grad is None else next(known) for p in parameters] for parameters in self.blocks]
        padded = [norm for row in rows for norm in (*row, *[absent] * (width - len(row)))]
        # assembled on the device, because sending a table of indices there would synchronise the GPU
        return torch.stack(padded).double().square().view(len(rows), width).sum(1).sqrt()

    @contextlib.contextmanager
    def idle_blocks_moved(self, config: TrainConfig, optimizer: torch.optim.Optimizer) -> Iterator[None]:
        """Apply `idle_blocks` during an update: its treatment of blocks that the update does not train.

        With `rest` they have no gradient, and SGD skips them. A gradient of zero lets `both` momentum and decay act;
        one that cancels the decay lets only `momentum` act.
        """
        idle = [p for parameters in self.blocks for p in parameters if p.grad is None]
        if config.idle_blocks in ("momentum", "both"):
            for parameter in idle:
                decay = config.weight_decay if config.idle_blocks == "momentum" else 0.0
                parameter.grad = parameter.detach() * -decay
        yield
        if config.idle_blocks == "decay" and idle:
            with torch.no_grad():
                for parameter in idle:
                    parameter *= 1 - optimizer.param_groups[0]["lr"] * config.weight_decay


def _norms_of(tensors: list[Tensor]) -> list[Tensor]:
    """Norms of many small tensors in one call, as in torch's clip_grad_norm_."""
    return list(torch._foreach_norm(tensors)) if tensors else []  # pyright: ignore[reportPrivateImportUsage]
