"""FBNet (Wu et al., 2019): Gumbel-softmax mixture of all blocks that cools down, and a loss that includes cost."""

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

SHARE, LR, BETAS, DECAY = 0.2, 0.01, (0.9, 0.999), 5e-4  # settings of theta, as published
WARM_UP = 10 / 90
"""Share of the training during which theta does not change: 10 of 90 epochs."""
HOTTEST, COOLING = 5.0, 0.045 * 90
"""Temperature: it begins at 5 and is multiplied by exp(-0.045) per epoch, over 90 epochs."""
ALPHA, BETA = 0.2, 0.6  # of the cost in the loss, alpha * log(cost)^beta, as published
LOG_OF_LIGHTEST = 10.0
"""Logarithm of the cost of the lightest network: FBNet's networks take about 22,000 microseconds on its phone."""
SAMPLES = 6
"""Number of networks drawn at the end, of which the best is taken; the number is ours."""


class FBNet(LearnsAlphas):
    """Layers are sums of all their blocks, weighted by softmax((theta + Gumbel noise) / temperature).

    Weights are trained on 80 % of the images by cross-entropy, theta on the others by

        cross-entropy * alpha * log(cost)^beta,    cost = sum over layers and blocks of weight * cost of the block.

    The paper alternates by epochs; here a step of theta follows every 4 steps of the weights, so that both use their
    images equally often. Its schedules over 90 epochs are stretched over the training. The cost factor on the weights'
    loss is left out: it only scales their gradients.

    The paper's cost is latency in microseconds. Here the unit is chosen so that the lightest network of the space has
    the logarithm 10, as FBNet's networks have: log(cost) = 10 + log(cost / cost of the lightest). So alpha and beta
    keep their meaning in any space and for any unit of `costs` (default: multiply-adds). Weights and theta use
    different noise at every step, the same for all images. The architecture is the best on validation images among some
    that are drawn by softmax(theta); the paper draws several and trains them.
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
        """Create theta; all choices start equal."""
        device = next(context.supernet.parameters()).device
        self.alphas = Alphas(self.choices, self.seed, device, lr=self.lr, betas=BETAS, weight_decay=DECAY, scale=0.0)
        self.costs = self.costs or BlockCosts.of_madds(context.supernet.space)

    def step(self, context: StepContext, batches: Sequence[Batch], step: int, total: int) -> StepResult:
        """Train the weights; in some steps train theta afterwards."""
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
        """Weights of each layer's blocks at a step, (m,) per layer, with gradients to theta."""
        rng = generator(self.seed, purpose, step)
        noise = [torch.from_numpy(rng.gumbel(size=count)) for count in self.choices]
        return [
            torch.softmax((theta + each.to(theta)) / temperature, 0)
            for theta, each in zip(self.alphas.layers, noise, strict=True)
        ]

    def cost_factor(self, mixture: Sequence[Tensor]) -> Tensor:
        """Factor of the cross-entropy."""
        assert self.costs is not None
        ratio = self.costs.expected(mixture) / self.costs.lightest
        return ALPHA * (LOG_OF_LIGHTEST + ratio.log()) ** self.beta

    def derive(self, scorer: GenomeScorer) -> Genome:
        """Most accurate of a few genomes that are drawn."""
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
