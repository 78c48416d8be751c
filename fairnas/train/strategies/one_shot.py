"""One-Shot (Bender et al., 2018): all blocks of a layer in the graph, some of them dropped."""

from collections.abc import Sequence

import numpy as np

from fairnas.config import TrainConfig
from fairnas.fairness.samplers import PathDropout
from fairnas.train.all_reduce import PathShare
from fairnas.train.executors import arithmetic, loss_of
from fairnas.train.step import Batch, StepContext, StepResult, finish_step
from fairnas.train.strategies.strategy import Strategy, StrategyEntry


class OneShot(Strategy):
    """Layers are sums of all their blocks, of which some are dropped.

    The probability that a layer would lose all its blocks grows linearly from 0 to `chance` over the training. A
    shortcut is added once per layer (see `Supernet.mixture`). Sums of several blocks have other statistics than the
    single block of a genome, so genomes are scored with the statistics of each batch. The original divides a mini-batch
    into ghost batches that drop different blocks; here they are the same for the whole mini-batch.
    """

    fairness = "expectation"
    many_processes = True

    def __init__(self, dropout: PathDropout, chance: float) -> None:
        """Args: `dropout` draws the blocks that are kept; `chance` is r at the end."""
        self.dropout, self.chance = dropout, chance

    def step(self, context: StepContext, batches: Sequence[Batch], step: int, total: int) -> StepResult:
        """Make one forward pass through all kept blocks, one backward pass, one update."""
        (images, labels), supernet = batches[0], context.supernet
        active = self.dropout.active(step, self.chance * step / total)
        context.optimizer.zero_grad(set_to_none=True)
        before = context.group.statistics(supernet)
        with arithmetic(context.config.precision, images.device):
            loss = loss_of(supernet.mixture(images, active), labels, context.class_weights)
        loss.backward()
        passes = np.concatenate(
            [np.isin(np.arange(m), kept) for m, kept in zip(supernet.space.choices, active, strict=True)]
        )
        return finish_step(context, loss.detach().double(), before, [PathShare(passes.astype(np.int64), 1)])


def _make(choices: tuple[int, ...], config: TrainConfig, seed: int) -> OneShot:
    return OneShot(PathDropout(choices, seed), 0.05 if config.path_dropout is None else config.path_dropout)


ENTRIES = {
    "one_shot": StrategyEntry(
        "all blocks of a layer at once, added up, some dropped; scored with the BN statistics of each batch",
        "One-Shot, Bender et al. 2018 (path dropout)",
        _make,
        ("path_dropout",),
        statistics="batch",
        claims="One-Shot",
    ),
}
