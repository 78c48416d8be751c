"""Reinforced controller: a policy over genomes, trained by PPO on rewards (paper 3.2; Schulman et al. 2017).

A genome is an episode of L decisions. An LSTM takes the choice of the previous layer and the index of the current one,
and gives the probabilities of its choices. The paper only says "PPO"; sizes and rates are settings.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from fairnas.config import ControllerConfig
from fairnas.randomness import derived_seed
from fairnas.space import Genome


class Policy(nn.Module):
    """Probability distribution of genomes."""

    allowed: Tensor
    """(L, m): True if a layer has a choice."""

    def __init__(self, choices: Sequence[int], hidden: int, seed: int) -> None:
        """Args: `choices` per layer; `hidden` units of the LSTM; `seed` of the initial weights."""
        super().__init__()
        widest = max(choices)
        with torch.device("meta"):
            self.before = nn.Embedding(widest + 1, hidden)  # the last entry means that there is no previous layer
            self.layer = nn.Embedding(len(choices), hidden)
            self.memory = nn.LSTM(hidden, hidden, batch_first=True)
            self.logits = nn.Linear(hidden, widest)
        self.to_empty(device="cpu")
        rng = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-0.1, 0.1, generator=rng)
            self.logits.weight.zero_()  # a new policy is uniform
            self.logits.bias.zero_()
        self.register_buffer("allowed", torch.arange(widest) < torch.tensor(list(choices))[:, None])

    def forward(self, genomes: Tensor) -> Tensor:
        """Log-probabilities (B, L, m) of every choice, given the choices of the previous layers in (B, L) int64."""
        start = torch.full_like(genomes[:, :1], self.before.num_embeddings - 1)
        before = torch.cat([start, genomes[:, :-1]], dim=1)
        features, _ = self.memory(self.before(before) + self.layer.weight)
        return self._log_probabilities(self.logits(features), self.allowed)

    @staticmethod
    def _log_probabilities(logits: Tensor, allowed: Tensor) -> Tensor:
        return logits.masked_fill(~allowed, -torch.inf).log_softmax(dim=-1)

    def sample(self, genomes: np.ndarray, own: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw the layers marked by `own` (B, L), each given all previous layers; the other layers stay: (B, L)."""
        drawn = torch.from_numpy(genomes.copy())
        mine, state = torch.from_numpy(own), None
        token = torch.full((len(genomes), 1), self.before.num_embeddings - 1)
        with torch.inference_mode():
            for layer in range(genomes.shape[1]):
                given = self.before(token) + self.layer.weight[layer]
                features, state = self.memory(given, state)
                logs = self._log_probabilities(self.logits(features[:, 0]), self.allowed[layer])
                bounds = logs.double().exp().cumsum(dim=1).numpy()
                chosen = (bounds < rng.random((len(genomes), 1)) * bounds[:, -1:]).sum(axis=1)
                drawn[mine[:, layer], layer] = torch.from_numpy(chosen)[mine[:, layer]]
                token = drawn[:, layer : layer + 1]
        return drawn.numpy()


def log_probability(log_probabilities: Tensor, genomes: Tensor, own: Tensor | None = None) -> Tensor:
    """Log-probabilities (B,) of genomes, or of their layers marked by `own` (B, L), given the result of `Policy`."""
    each = log_probabilities.gather(2, genomes[:, :, None])[:, :, 0]
    return (each if own is None else each * own).sum(dim=1)


def ppo_loss(
    log_probabilities: Tensor, genomes: Tensor, old: Tensor, advantages: Tensor, config: ControllerConfig, own: Tensor
) -> Tensor:
    """Clipped PPO objective, negated for minimisation, minus the entropy bonus.

    Args:
        log_probabilities: (B, L, m), of the policy.
        genomes: (B, L) int64.
        old: (B,), log-probabilities of the genomes' own layers when they were drawn.
        advantages: (B,), rewards minus the baseline.
        config: `clip` and `entropy`.
        own: (B, L), 1 for layers drawn by the policy, 0 for given ones.
    """
    ratio = (log_probability(log_probabilities, genomes, own) - old).exp()
    clipped = ratio.clamp(1 - config.clip, 1 + config.clip)
    gain = torch.minimum(ratio * advantages, clipped * advantages).mean()
    logs = log_probabilities.clamp(min=-1e30)  # 0 times minus infinity is NaN
    entropy = -(logs.exp() * logs).sum(dim=2).sum(dim=1).mean()
    return -gain - config.entropy * entropy


class Controller:
    """Policy with its optimiser: draws genomes, and learns from rewards of genomes."""

    def __init__(self, choices: Sequence[int], config: ControllerConfig, seed: int) -> None:
        self.config = config
        self.policy = Policy(choices, config.hidden, derived_seed(seed, "controller weights"))
        self._optimizer = torch.optim.Adam(self.policy.parameters(), lr=config.lr)
        self._baseline: float | None = None

    def draw(self, genomes: np.ndarray, own: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Genomes (B, L) with the layers marked by `own` (B, L) drawn again."""
        return self.policy.sample(genomes, own, rng)

    def learn(
        self, genomes: Sequence[Genome], rewards: Sequence[float], own: Sequence[Sequence[bool]] | None = None
    ) -> None:
        """Make genomes with above-average rewards more likely, and others less likely.

        Args:
            genomes: scored genomes.
            rewards: more is better; the scale does not matter, because advantages are divided by their deviation.
            own: per genome, the layers that this policy chose; default: all.
        """
        if not genomes:
            return
        tokens, gains = torch.tensor([list(genome) for genome in genomes]), torch.tensor(rewards, dtype=torch.float32)
        mine = torch.ones(tokens.shape) if own is None else torch.tensor([list(row) for row in own]).float()
        if self._baseline is None:
            self._baseline = gains.mean().item()
        advantages = gains - self._baseline
        advantages = advantages / (advantages.square().mean().sqrt() + 1e-8)  # 1e-8: all may be 0
        with torch.no_grad():
            old = log_probability(self.policy(tokens), tokens, mine)
        for _ in range(self.config.epochs):
            self._optimizer.zero_grad(set_to_none=True)
            ppo_loss(self.policy(tokens), tokens, old, advantages, self.config, mine).backward()
            nn.utils.clip_grad_norm_(self.policy.parameters(), 1.0)
            self._optimizer.step()
        kept = self.config.baseline
        self._baseline = kept * self._baseline + (1 - kept) * gains.mean().item()
