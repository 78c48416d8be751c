"""Single-Path NAS (Stamoulis et al., 2019): all blocks of a layer are parts of one, and thresholds select the part."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fairnas.config import TrainConfig
from fairnas.fairness.ledger import Counts
from fairnas.nets import StandAlone, Supernet, build
from fairnas.randomness import generator
from fairnas.space import Genome, SearchSpace
from fairnas.train.all_reduce import PathShare
from fairnas.train.executors import arithmetic, loss_of
from fairnas.train.step import Batch, StepContext, StepResult, finish_step
from fairnas.train.strategies.costs import BlockCosts
from fairnas.train.strategies.slices import inner
from fairnas.train.strategies.strategy import GenomeScorer, Strategy, StrategyEntry
from fairnas.train.strategies.superkernel import DEPTHWISE, Decision, Grid

COST_WEIGHT = 20.0  # the example in the published code: 0.020, multiplied there by 1,000
WARM_UP = 6255 / 10008  # in steps, as published
KEPT_IN_WARM_UP = 0.6
"""Probability that an indicator follows its threshold during the warm-up of weights; else it is 0."""


class SinglePathNas(Strategy):
    """Layers consist of one block, the largest; thresholds on norms select how much of its depthwise kernel is used.

    Weights and thresholds learn together, on the same images: from cross-entropy alone during the warm-up, when
    indicators are dropped at random, then from cross-entropy + lambda * log(cost). Cost is in multiply-adds
    (milliseconds in the paper), includes stem and head, and is divided by that of the largest network, so that it is
    between 0 and 1 in any space. The final thresholds give the architecture. Any other genome can be cut out of the
    superkernels; it is scored with the statistics of each batch, because running statistics mix those of many parts.

    The result depends on lambda and on how long it acts, so the authors search with several values.

    Adapted to any grid of kernels and expansions, each nested in the next. Channels are closed at the projection and a
    layer at its output; the paper sets the kernel to zero, which BN would turn into constants. SGD updates weights and
    thresholds, both with `train.lr`.

    The paper's Table 1 calls it fair in expectation. It is not: nothing is sampled, because thresholds decide, and
    inner weights are updated whatever they decide. So `passes` of the ledger count the selected choices, and `updates`
    count all blocks, because their weights are parts of weights that got a gradient.
    """

    has_own_networks = True

    def __init__(self, choices: tuple[int, ...], config: TrainConfig, seed: int) -> None:
        ours = config.architecture
        self.choices, self.momentum, self.seed = choices, config.momentum, seed
        self.warm_up = WARM_UP if ours.warm_up is None else ours.warm_up
        self.cost_weight = COST_WEIGHT if ours.cost_weight is None else ours.cost_weight

    def unsupported_reason(self, space: SearchSpace) -> str | None:
        """See `Strategy`."""
        for number, layer in enumerate(space.layers):
            if Grid.of(layer) is None:
                offered = ", ".join(block.label for block in layer.choices)
                return (
                    f"layer {number} offers {offered}; one superkernel holds inverted residuals of every kernel with "
                    "every expansion, and at most an identity that keeps the shape"
                )
        return None

    def begin(self, context: StepContext) -> None:
        """Set all thresholds to 0, so that everything is open."""
        self.supernet = context.supernet
        found = [Grid.of(layer) for layer in self.supernet.space.layers]
        self.grids = [grid for grid in found if grid is not None]
        assert len(self.grids) == len(found), self.unsupported_reason(self.supernet.space)
        self.counts = [grid.indicators for grid in self.grids]
        self.thresholds = next(self.supernet.parameters()).new_zeros(sum(self.counts)).requires_grad_()
        self.optimizer = torch.optim.SGD([self.thresholds], lr=0.0, momentum=self.momentum)
        self.costs = BlockCosts.of_madds(self.supernet.space)
        self.largest = self.costs(tuple(grid.largest for grid in self.grids))

    def step(self, context: StepContext, batches: Sequence[Batch], step: int, total: int) -> StepResult:
        """Train weights and thresholds by one forward and one backward pass."""
        (images, labels), warming = batches[0], step < self.warm_up * total
        for optimizer in (context.optimizer, self.optimizer):
            optimizer.zero_grad(set_to_none=True)
        decisions = self.decisions(self._kept(step) if warming else torch.ones_like(self.thresholds))
        with arithmetic(context.config.precision, images.device):
            loss = loss_of(self.logits(images, decisions), labels, context.class_weights)
        cost = self.costs.expected([decision.shares for decision in decisions]) / self.largest
        (loss if warming else loss + self.cost_weight * cost.log()).backward()
        norms = self._gradient_norms()
        passes = torch.cat([decision.shares for decision in decisions]).detach().round().long().cpu().numpy()
        result = finish_step(context, loss.detach().double(), None, [PathShare(passes, 1)])
        self.optimizer.param_groups[0]["lr"] = context.optimizer.param_groups[0]["lr"]
        self.optimizer.step()
        return dataclasses.replace(result, updates=self._of_all_parts(result.updates), gradient_norms=norms)

    def decisions(self, kept: Tensor) -> list[Decision]:
        """Decisions of the thresholds for the current weights, per layer; see `Grid.decide`."""
        rows = zip(self.grids, self.thresholds.split(self.counts), kept.split(self.counts), strict=True)
        return [
            grid.decide(self._superkernel(number).get_parameter(DEPTHWISE), thresholds, may)
            for number, (grid, thresholds, may) in enumerate(rows)
        ]

    def logits(self, images: Tensor, decisions: Sequence[Decision]) -> Tensor:
        """Logits of a batch (B, C, S, S), with the selected parts of the superkernels."""
        features = self.supernet.stem(images)
        for number, decision in enumerate(decisions):
            features = decision.run(self._superkernel(number), features)
        return self.supernet.head(features)

    def _superkernel(self, layer: int) -> nn.Module:
        return self.supernet.block(layer, self.grids[layer].largest)

    def _kept(self, step: int) -> Tensor:
        drawn = generator(self.seed, "indicators that stay", step).random(len(self.thresholds)) < KEPT_IN_WARM_UP
        return torch.from_numpy(drawn).to(self.thresholds)

    def _gradient_norms(self) -> Tensor:
        """Norm of the gradient of each choice block's part of the superkernel; (blocks,)."""
        squares = self.thresholds.new_zeros(sum(self.choices), dtype=torch.float64)
        numbers, parts = [], []
        for number, (layer, choice) in enumerate(
            (la, c) for la, count in enumerate(self.choices) for c in range(count)
        ):
            whole = dict(self._superkernel(layer).named_parameters())
            for name, weight in self.supernet.block(layer, choice).named_parameters():
                gradient = whole[name].grad
                assert gradient is not None
                numbers.append(number)
                parts.append(inner(gradient, weight.shape))
        norms = torch.stack(torch._foreach_norm(parts)).double()  # pyright: ignore[reportPrivateImportUsage]
        return squares.index_add_(0, torch.tensor(numbers, device=squares.device), norms.square()).sqrt()

    def _of_all_parts(self, updates: Counts) -> Counts:
        """Updates of all parts of the superkernels: equal to those of the whole; an identity keeps its own."""
        rows = np.split(updates, np.cumsum(self.choices)[:-1])
        for row, grid in zip(rows, self.grids, strict=True):
            row[list(grid.places.values())] = row[grid.largest]
        return np.concatenate(rows)

    def network(self, supernet: Supernet, genome: Genome) -> StandAlone:
        """Network made of the parts of the superkernels that a genome selects."""
        network = build(supernet.space, genome, inherit=supernet).to(self.thresholds)
        for number, (block, grid) in enumerate(zip(network.layers, self.grids, strict=True)):
            whole = supernet.block(number, grid.largest).state_dict()
            own = {name: tensor for name, tensor in block.state_dict().items() if name in whole}
            block.load_state_dict(
                {name: inner(whole[name], tensor.shape) for name, tensor in own.items()}, strict=False
            )
        return network.eval()

    def derive(self, scorer: GenomeScorer) -> Genome:
        """Architecture that the thresholds select."""
        decisions = self.decisions(torch.ones_like(self.thresholds))
        return tuple(int(decision.shares.argmax()) for decision in decisions)

    def state(self) -> dict[str, Any]:
        """Thresholds."""
        return {"thresholds": self.thresholds.detach().clone(), "optimizer": self.optimizer.state_dict()}

    def restore(self, content: dict[str, Any]) -> None:
        """Restore the thresholds."""
        with torch.no_grad():
            self.thresholds.copy_(content["thresholds"])
        self.optimizer.load_state_dict(content["optimizer"])


ENTRIES = {
    "single_path_nas": StrategyEntry(
        "one superkernel per layer; learned thresholds say how much of it is used, by accuracy and cost",
        "Single-Path NAS, Stamoulis et al. 2019",
        SinglePathNas,
        ("architecture.warm_up", "architecture.cost_weight"),
        statistics="batch",
        claims="Single-Path NAS",
    ),
}
