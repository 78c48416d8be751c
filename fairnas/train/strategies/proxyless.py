"""ProxylessNAS (Cai, Zhu, Han, 2019): one path per step; the gates of two blocks per layer train the architecture."""

import abc
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from fairnas.config import TrainConfig
from fairnas.nets import Supernet
from fairnas.randomness import generator
from fairnas.train.executors import arithmetic, loss_of, statistics_at_rest
from fairnas.train.step import Batch, StepContext, StepResult, supernet_step
from fairnas.train.strategies.alphas import Alphas, LearnsAlphas
from fairnas.train.strategies.costs import BlockCosts
from fairnas.train.strategies.strategy import StrategyEntry

# settings of the architecture, as published; the share as for CIFAR-10
SHARE, LR, BETAS, DECAY = 0.1, 1e-3, (0.0, 0.999), 0.0
WARM_UP = 40 / (40 + 120)
"""Share of the training for weights alone: 40 epochs before 120 epochs of both."""
GATES_EVERY, GATES_COST_WEIGHT = 5, 0.1  # as in the published code
OPTIONS = ("architecture.share", "architecture.lr", "architecture.warm_up", "architecture.cost_weight")
"""Settings of this family of strategies."""


class Proxyless(LearnsAlphas):
    """Weights learn on one path, drawn by the softmax of architecture parameters, which are updated in some steps.

    The architecture is the largest parameter of every layer. Cost is relative to that of the average network of the
    space; in the published code it is relative to a target latency. Unlike in the published code, mini-batches for the
    architecture do not change the running statistics of BN. Weights use `train.lr` throughout.
    """

    default_cost_weight: float

    def __init__(
        self, choices: tuple[int, ...], config: TrainConfig, seed: int, costs: BlockCosts | None = None
    ) -> None:
        ours = config.architecture
        self.choices, self.seed, self.costs = choices, seed, costs
        self.architecture_share = SHARE if ours.share is None else ours.share
        self.lr = LR if ours.lr is None else ours.lr
        self.warm_up = WARM_UP if ours.warm_up is None else ours.warm_up
        self.cost_weight = self.default_cost_weight if ours.cost_weight is None else ours.cost_weight

    def begin(self, context: StepContext) -> None:
        """Create the architecture parameters; choices start nearly equal."""
        device = next(context.supernet.parameters()).device
        self.alphas = Alphas(self.choices, self.seed, device, lr=self.lr, betas=BETAS, weight_decay=DECAY)
        self.costs = self.costs or BlockCosts.of_madds(context.supernet.space)

    def step(self, context: StepContext, batches: Sequence[Batch], step: int, total: int) -> StepResult:
        """Train the weights on one path; in some steps train the architecture afterwards."""
        path = self.alphas.sample(generator(self.seed, "paths", step))
        result = supernet_step(context, [(batches[0], [path])])
        if step < self.warm_up * total or (step + 1) % self.architecture_period:
            return result
        assert context.architecture_images is not None
        number = step // self.architecture_period
        with statistics_at_rest(context.supernet):
            passes, runs = self.teach(context, context.architecture_images(number), number)
        return result.with_architecture(passes, runs)

    @abc.abstractmethod
    def teach(self, context: StepContext, batch: Batch, number: int) -> tuple[int, int]:
        """Make update `number` of the architecture; return the numbers of backward passes and of block runs."""


class BinaryGates(Proxyless):
    """Architecture trained by the gates of two blocks per layer, of which one is open.

    The loss is the paper's, cross-entropy + lambda * expected cost (`add#linear` in the published code, which also has
    a product, `mul#log`). After the update both parameters of a pair are shifted so that the sum of their exponentials
    stays the same: an update of two blocks must not change the probability of the others. Of a closed block only the
    output is kept, as in the published code, so an update needs little more memory than one path (the paper says two).
    """

    every, default_cost_weight = GATES_EVERY, GATES_COST_WEIGHT

    def teach(self, context: StepContext, batch: Batch, number: int) -> tuple[int, int]:
        """Make one backward pass through two blocks per layer."""
        (images, labels), layers = batch, self.alphas.layers
        rng = generator(self.seed, "pairs of blocks", number)
        pairs = [draw_pair(row, rng) for row in self.alphas.rows()]
        gates = [torch.tensor([1.0, 0.0][: len(pair)], device=images.device).requires_grad_() for pair in pairs]
        with arithmetic(context.config.precision, images.device):
            loss = loss_of(gated(context.supernet, images, pairs, gates), labels, context.class_weights)
        gate_gradients = torch.autograd.grad(loss, gates)
        assert self.costs is not None
        cost = self.cost_weight * self.costs.expected(self.alphas.probabilities()) / self.costs.average
        gradients = torch.autograd.grad(cost, layers)
        before = [layer.detach()[pair] for layer, pair in zip(layers, pairs, strict=True)]
        for gradient, pair, logits, of_gates in zip(gradients, pairs, before, gate_gradients, strict=True):
            gradient[pair] += through_softmax(of_gates, logits)
        self.alphas.update(gradients)
        with torch.no_grad():
            for layer, pair, logits in zip(layers, pairs, before, strict=True):
                layer[pair] -= layer[pair].logsumexp(0) - logits.logsumexp(0)
        return 1, sum(map(len, pairs))


def draw_pair(logits: np.ndarray, rng: np.random.Generator) -> list[int]:
    """Draw the open and the closed block of a layer: two different ones by the softmax, then the open one by theirs.

    A layer of one choice has no closed block.
    """
    drawn = np.argsort(-(logits + rng.gumbel(size=len(logits))))[:2]
    opened = int((logits[drawn] + rng.gumbel(size=len(drawn))).argmax())
    return [int(drawn[opened]), *(int(choice) for place, choice in enumerate(drawn) if place != opened)]


def gated(supernet: Supernet, images: Tensor, pairs: Sequence[Sequence[int]], gates: Sequence[Tensor]) -> Tensor:
    """Logits if layers are sums of gate times block; of closed blocks only the output is kept in memory."""
    features = supernet.stem(images)
    for number, (pair, gate) in enumerate(zip(pairs, gates, strict=True)):
        opened, *closed = pair
        parts = [gate[0] * supernet.block(number, opened)(features)]
        for place, choice in enumerate(closed, start=1):
            with torch.no_grad():
                output = supernet.block(number, choice)(features)
            parts.append(gate[place] * output.detach())  # an identity returns its input, which carries a gradient
        features = sum(parts[1:], parts[0])
    return supernet.head(features)


def through_softmax(gate_gradients: Tensor, logits: Tensor) -> Tensor:
    """Gradients of the parameters of a pair: sum_j dL/dg_j * p_j * (1 if i = j else 0, less p_i), p of the pair."""
    p = torch.softmax(logits, 0)
    return p * (gate_gradients - (p * gate_gradients).sum())


ENTRIES = {
    "proxyless": StrategyEntry(
        "one path per step, drawn by the architecture, which learns by the gates of two blocks a layer and from cost",
        "ProxylessNAS, Cai et al. 2019 (gradient-based)",
        BinaryGates,
        OPTIONS,
        claims="ProxylessNAS",
    ),
}
