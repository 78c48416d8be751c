"""ProxylessNAS (Cai, Zhu, Han, 2019), 3.3.2: the architecture learns by REINFORCE from the rewards of single paths."""

from collections.abc import Sequence
from typing import Any

import torch

from fairnas.randomness import generator
from fairnas.space import Genome
from fairnas.train.step import Batch, StepContext
from fairnas.train.strategies.proxyless import OPTIONS, Proxyless
from fairnas.train.strategies.reward import accuracy
from fairnas.train.strategies.strategy import StrategyEntry

EVERY = 16
"""Steps of the weights per step of the architecture: 300 of these in an epoch of ImageNet, which has about 4,800."""
SAMPLES, BASELINE_KEPT, COST_WEIGHT = 10, 0.99, 0.1  # as in the published code


class Reinforce(Proxyless):
    """Architecture trained on ten paths per update, with reward accuracy * (cost of the average network / cost)^w.

    All paths use one mini-batch, normalised by its own statistics. The baseline is a mean of the rewards so far in
    which the latest ten weigh 1 %; in the published code they weigh 99 %, which leaves almost nothing of the past.
    """

    every, default_cost_weight = EVERY, COST_WEIGHT
    baseline: float | None = None

    def teach(self, context: StepContext, batch: Batch, number: int) -> tuple[int, int]:
        """Make an update with forward passes only."""
        rng = generator(self.seed, "rewarded paths", number)
        paths = [self.alphas.sample(rng) for _ in range(SAMPLES)]
        self.learn(paths, [self._reward(path, accuracy(context, path, batch)) for path in paths])
        return 0, SAMPLES * len(self.choices)

    def _reward(self, path: Genome, found: float) -> float:
        assert self.costs is not None
        return found * (self.costs.average / self.costs(path)) ** self.cost_weight

    def learn(self, paths: Sequence[Genome], rewards: Sequence[float]) -> None:
        """REINFORCE: paths above the baseline become more likely, others less likely."""
        mean = sum(rewards) / len(rewards)
        baseline = mean if self.baseline is None else self.baseline
        logs = [torch.log_softmax(layer, 0) for layer in self.alphas.layers]
        of_paths = [torch.stack([row[choice] for row, choice in zip(logs, path, strict=True)]).sum() for path in paths]
        gains = torch.tensor([reward - baseline for reward in rewards]).to(of_paths[0])
        self.alphas.update(torch.autograd.grad(-(torch.stack(of_paths) * gains).mean(), self.alphas.layers))
        self.baseline = baseline + (1 - BASELINE_KEPT) * (mean - baseline)

    def state(self) -> dict[str, Any]:
        """Architecture parameters and baseline."""
        return {**super().state(), "baseline": self.baseline}

    def restore(self, content: dict[str, Any]) -> None:
        """Restore architecture parameters and baseline."""
        super().restore(content)
        self.baseline = content["baseline"]


ENTRIES = {
    "proxyless_reinforce": StrategyEntry(
        "as proxyless, but the architecture learns from the rewards of single paths",
        "ProxylessNAS, Cai et al. 2019, 3.3.2 (REINFORCE)",
        Reinforce,
        OPTIONS,
        claims="ProxylessNAS",
    ),
}
