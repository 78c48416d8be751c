"""FBNet (Wu et al., 2019): a mixture of all blocks by Gumbel-softmax, which cools down, and a loss that knows cost."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from fairnas.config import TrainConfig
from fairnas.randomness import generator
from fairnas.space import Genome
from fairnas.train.all_reduce import PathShare
from fairnas.train.executors import arithmetic, loss_of
from fairnas.train.step import Batch, StepContext, StepResult, finish_step
from fairnas.train.strategies.alphas import Alphas, LearnsAlphas
from fairnas.train.strategies.costs import BlockCosts
from fairnas.train.strategies.strategy import GenomeScorer, StrategyEntry, best_of

SHARE, LR, BETAS, DECAY = 0.2, 0.01, (0.9, 0.999), 5e-4  # of theta, as published
WARM_UP = 10 / 90
"""Theta rests for 10 of 90 epochs."""
HOTTEST, COOLING = 5.0, 0.045 * 90
"""The temperature begins at 5 and falls by exp(-0.045) an epoch, over 90 epochs."""
ALPHA, BETA = 0.2, 0.6
LOG_OF_LIGHTEST = 10.0
"""FBNet's networks take some 22,000 microseconds on its telephone, whose logarithm is 10."""
SAMPLES = 6
"""Networks drawn in the end, of which the best is taken; the number is ours."""


class FBNet(LearnsAlphas):
    """A layer is the sum of its blocks, weighted by softmax((theta + Gumbel noise) / temperature).

    Weights learn from 80 % of the images by cross-entropy, theta from the others by

        cross-entropy * alpha * log(cost)^beta,    cost = sum over layers and blocks of weight * cost of the block.

    The paper takes turns by the epoch; here a step of theta follows so many steps of the weights (4 of them) that both
    go through their images equally often. Its schedules over 90 epochs are stretched over the training. The factor
    on the weights' loss is left out: it only scales their gradients.

    The paper's cost is latency in microseconds. Here the unit is such that the lightest network of the space has the
    logarithm 10, which FBNet's networks have: log(cost) = 10 + log(cost / cost of the lightest). So alpha and beta mean
    what they meant, in any space, and in any unit of `costs` (multiply-adds, unless they are given). Weights and theta
    each have noise of their own at every step, the same for all images. The architecture is the best on validation of
    some that are drawn by softmax(theta), as the paper draws several and trains them.
    """

    def __init__(
        self, choices: tuple[int, ...], config: TrainConfig, seed: int, costs: BlockCosts | None = None
    ) -> None:
        ours = config.architecture
        self.choices, self.seed, self.costs = choices, seed, costs
        self.architecture_share = SHARE if ours.share is None else ours.share
        self.architecture_period = max(1, round((1 - self.architecture_share) / self.architecture_share))
        self.lr = LR if ours.lr is None else ours.lr
        self.warm_up = WARM_UP if ours.warm_up is None else ours.warm_up
        self.beta = BETA if ours.cost_weight is None else ours.cost_weight

    def begin(self, context: StepContext) -> None:
        """All choices start alike."""
        device = next(context.supernet.parameters()).device
        self.alphas = Alphas(self.choices, self.seed, device, lr=self.lr, betas=BETAS, weight_decay=DECAY, scale=0.0)
        self.costs = self.costs or BlockCosts.of_madds(context.supernet.space)

    def step(self, context: StepContext, batches: Sequence[Batch], step: int, total: int) -> StepResult:
        """The weights learn, and in some steps theta after them."""
        context.optimizer.zero_grad(set_to_none=True)
        temperature = HOTTEST * math.exp(-COOLING * step / total)
        mixture = self.mixture("noise of the weights", step, temperature)
        loss = _loss(context, batches[0], [row.detach() for row in mixture])
        loss.backward()
        every_block = np.ones(sum(self.choices), dtype=np.int64)
        result = finish_step(context, loss.detach().double(), None, [PathShare(every_block, 1)])
        if step < self.warm_up * total or (step + 1) % self.architecture_period:
            return result
        assert context.architecture_images is not None
        mixture = self.mixture("noise of the architecture", step, temperature)
        loss = _loss(
            context, context.architecture_images(step // self.architecture_period), mixture
        ) * self.cost_factor(mixture)
        self.alphas.update(torch.autograd.grad(loss, self.alphas.layers))
        return result.with_architecture(1, len(every_block))

    def mixture(self, purpose: str, step: int, temperature: float) -> list[Tensor]:
        """Per layer (m,), how much it has of each block at a step; gradients reach theta."""
        rng = generator(self.seed, purpose, step)
        noise = [torch.from_numpy(rng.gumbel(size=count)) for count in self.choices]
        return [
            torch.softmax((theta + each.to(theta)) / temperature, 0)
            for theta, each in zip(self.alphas.layers, noise, strict=True)
        ]

    def cost_factor(self, mixture: Sequence[Tensor]) -> Tensor:
        """What the cross-entropy is multiplied by."""
        assert self.costs is not None
        ratio = self.costs.expected(mixture) / self.costs.lightest
        return ALPHA * (LOG_OF_LIGHTEST + ratio.log()) ** self.beta

    def derive(self, scorer: GenomeScorer) -> Genome:
        """The most accurate of a few that are drawn."""
        rng = generator(self.seed, "derived architectures")
        return best_of([self.alphas.sample(rng) for _ in range(SAMPLES)], scorer)


def _loss(context: StepContext, batch: Batch, mixture: Sequence[Tensor]) -> Tensor:
    images, labels = batch
    with arithmetic(context.config.precision, images.device):
        logits = context.supernet.weighted(images, [dict(enumerate(row)) for row in mixture])
        return loss_of(logits, labels, context.class_weights)


ENTRIES = {
    "fbnet": StrategyEntry(
        "mixture of all blocks by Gumbel-softmax that cools down; the architecture learns from accuracy and cost",
        "FBNet, Wu et al. 2019",
        FBNet,
        ("architecture.share", "architecture.lr", "architecture.warm_up", "architecture.cost_weight"),
        statistics="batch",
        claims="FBNet",
    ),
}
