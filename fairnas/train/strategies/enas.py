"""ENAS (Pham et al., 2018): one path per step, drawn by a controller that learns from the accuracies of paths."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fairnas.config import TrainConfig
from fairnas.randomness import derived_seed, generator
from fairnas.space import Genome
from fairnas.train.step import Batch, StepContext, StepResult, supernet_step
from fairnas.train.strategies.reward import accuracy
from fairnas.train.strategies.strategy import GenomeScorer, Strategy, StrategyEntry, best_of

SHARE = 0.1  # 5,000 of the 50,000 images of CIFAR-10
LR, BETAS, EPSILON = 1e-3, (0.0, 0.999), 1e-3  # of the controller's Adam, as in the published code
UNITS, INITIAL_RANGE, TANH = 64, 0.1, 1.5  # of the controller's LSTM, as in the published code
SAMPLES, BASELINE_KEPT, ENTROPY_WEIGHT = 20, 0.99, 1e-4  # of its REINFORCE steps, likewise
EVERY = 7
"""Steps of the weights per step of the controller: the published 50 after an epoch of 352, spread over the epoch."""
DERIVED = 10
"""Number of networks drawn at the end, of which the best is taken; the paper says "several"."""


class EnasController(nn.Module):
    """LSTM that chooses the block of one layer after another, given the previous choices."""

    allowed: Tensor
    """(L, m): True if a layer has a choice."""

    def __init__(self, choices: Sequence[int], seed: int) -> None:
        """Args: `choices` per layer; `seed` of the initial weights."""
        super().__init__()
        widest = max(choices)
        with torch.device("meta"):
            self.before = nn.Embedding(widest + 1, UNITS)  # the last entry means that there is no previous layer
            self.memory = nn.LSTMCell(UNITS, UNITS, bias=False)
            self.logits = nn.Linear(UNITS, widest, bias=False)
        self.to_empty(device="cpu")
        rng = torch.Generator().manual_seed(derived_seed(seed, "controller weights"))
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-INITIAL_RANGE, INITIAL_RANGE, generator=rng)
        allowed = torch.arange(widest) < torch.tensor(list(choices))[:, None]
        self.register_buffer("allowed", allowed, persistent=False)

    def forward(self, genomes: Tensor) -> Tensor:
        """Log-probabilities (B, L, m) of every choice, given the choices before in (B, L) int64."""
        return self._walk(len(genomes), lambda layer, _: genomes[:, layer])[1]

    @torch.no_grad()
    def sample(self, count: int, rng: np.random.Generator) -> list[Genome]:
        """Draw `count` genomes."""

        def draw(_: int, logs: Tensor) -> Tensor:
            return (logs + torch.from_numpy(rng.gumbel(size=tuple(logs.shape)))).argmax(1)

        return [tuple(row) for row in self._walk(count, draw)[0].tolist()]

    def _walk(self, count: int, pick: Callable[[int, Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        token, state = torch.full((count,), self.before.num_embeddings - 1), None
        picked, rows = [], []
        for layer, allowed in enumerate(self.allowed):
            state = self.memory(self.before(token), state)
            logits = TANH * self.logits(state[0]).tanh()
            rows.append(logits.masked_fill(~allowed, -torch.inf).log_softmax(1))
            token = pick(layer, rows[-1])
            picked.append(token)
        return torch.stack(picked, 1), torch.stack(rows, 1)


class Enas(Strategy):
    """Weights learn on paths that a controller draws; the controller learns in turn with them, by REINFORCE.

    An update uses 20 paths, each scored with running statistics on its own mini-batch of images that are never used for
    weights. The reward is accuracy plus a small multiple of the entropy of the layers' choices. On a chain the
    controller chooses a block per layer; the paper's controller also chooses connections between layers, and has a
    penalty for them. It learns after every 7 steps rather than at the end of an epoch. Its baseline begins as the mean
    of the first rewards, not as 0. Weights use `train.lr`, as in all strategies.
    """

    architecture_period = EVERY
    baseline: float | None = None

    def __init__(self, choices: tuple[int, ...], config: TrainConfig, seed: int) -> None:
        ours = config.architecture
        self.choices, self.seed = choices, seed
        self.architecture_share = SHARE if ours.share is None else ours.share
        self.lr, self.warm_up = LR if ours.lr is None else ours.lr, ours.warm_up or 0.0

    def begin(self, context: StepContext) -> None:
        """Create the controller on the CPU: it is tiny, and its layers run one after another."""
        self.controller = EnasController(self.choices, self.seed)
        self.optimizer = torch.optim.Adam(self.controller.parameters(), lr=self.lr, betas=BETAS, eps=EPSILON)

    def step(self, context: StepContext, batches: Sequence[Batch], step: int, total: int) -> StepResult:
        """Train the weights on one path; in some steps train the controller afterwards."""
        path = self.controller.sample(1, generator(self.seed, "paths", step))
        result = supernet_step(context, [(batches[0], path)])
        if step < self.warm_up * total or (step + 1) % self.architecture_period:
            return result
        assert context.architecture_images is not None
        number = step // self.architecture_period
        paths = self.controller.sample(SAMPLES, generator(self.seed, "rewarded paths", number))
        context.supernet.eval()
        self.learn(
            paths,
            [
                accuracy(context, path, context.architecture_images(number * SAMPLES + place))
                for place, path in enumerate(paths)
            ],
        )
        context.supernet.train()
        return result.with_architecture(0, SAMPLES * len(self.choices))

    def learn(self, paths: Sequence[Genome], accuracies: Sequence[float]) -> None:
        """REINFORCE: paths above the baseline become more likely, others less likely."""
        genomes = torch.tensor(paths)
        logs = self.controller(genomes)
        of_paths = logs.gather(2, genomes[:, :, None]).sum((1, 2))
        finite = logs.detach().clamp(min=-1e30)  # 0 times minus infinity is NaN
        entropies = -(finite.exp() * finite).sum((1, 2))
        rewards = [found + ENTROPY_WEIGHT * e for found, e in zip(accuracies, entropies.tolist(), strict=True)]
        expected = sum(rewards) / len(rewards) if self.baseline is None else self.baseline
        gains = []
        for reward in rewards:
            expected -= (1 - BASELINE_KEPT) * (expected - reward)
            gains.append(reward - expected)
        self.baseline = expected
        self.optimizer.zero_grad(set_to_none=True)
        (-(of_paths * torch.tensor(gains)).mean()).backward()
        self.optimizer.step()

    def state(self) -> dict[str, Any]:
        """Controller, its optimiser, and its baseline."""
        weights = {name: value.clone() for name, value in self.controller.state_dict().items()}
        return {"controller": weights, "optimizer": self.optimizer.state_dict(), "baseline": self.baseline}

    def restore(self, content: dict[str, Any]) -> None:
        """Restore controller, optimiser and baseline."""
        self.controller.load_state_dict(content["controller"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.baseline = content["baseline"]

    @torch.no_grad()
    def preference(self, genome: Genome) -> float:
        """Log-probability of a genome."""
        tokens = torch.tensor([genome])
        return float(self.controller(tokens).double().gather(2, tokens[:, :, None]).sum())

    def derive(self, scorer: GenomeScorer) -> Genome:
        """Most accurate of a few genomes that the controller draws."""
        return best_of(self.controller.sample(DERIVED, generator(self.seed, "derived architectures")), scorer)


ENTRIES = {
    "enas": StrategyEntry(
        "one path per step, drawn by an LSTM controller that learns by REINFORCE from accuracies on other images",
        "ENAS, Pham et al. 2018 (macro search space)",
        Enas,
        ("architecture.share", "architecture.lr", "architecture.warm_up"),
    ),
}
