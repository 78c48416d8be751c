"""Architecture parameters: one number per choice block, with a softmax per layer."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fairnas.randomness import derived_seed
from fairnas.space import Genome
from fairnas.train.strategies.strategy import GenomeScorer, Strategy

INITIAL_SCALE = 1e-3
"""Standard deviation of the initial numbers, as in the code of DARTS and ProxylessNAS: choices start nearly equal."""


class LearnsAlphas(Strategy):
    """Strategy that learns only `alphas` beside the weights; its `begin` creates them."""

    alphas: "Alphas"

    def state(self) -> dict[str, Any]:
        """Architecture parameters."""
        return self.alphas.state()

    def restore(self, content: dict[str, Any]) -> None:
        """Restore the architecture parameters."""
        self.alphas.restore(content)

    def preference(self, genome: Genome) -> float:
        """Log-probability of a genome."""
        return self.alphas.log_probability(genome)

    def derive(self, scorer: GenomeScorer) -> Genome:
        """Choice with the largest parameter in every layer."""
        return self.alphas.most_likely()


class Alphas:
    """Architecture parameters and their Adam optimiser."""

    def __init__(
        self,
        choices: Sequence[int],
        seed: int,
        device: torch.device,
        *,
        lr: float,
        betas: tuple[float, float],
        weight_decay: float,
        scale: float = INITIAL_SCALE,
    ) -> None:
        """Args: `choices` per layer; `seed` and `scale` of the initial numbers; the rest is Adam's."""
        source = torch.Generator().manual_seed(derived_seed(seed, "architecture parameters"))
        self.layers = [(scale * torch.randn(count, generator=source)).to(device).requires_grad_() for count in choices]
        """Parameters per layer, (m,)."""
        self.optimizer = torch.optim.Adam(self.layers, lr=lr, betas=betas, weight_decay=weight_decay)

    def probabilities(self) -> list[Tensor]:
        """Probabilities per layer, (m,), summing to one, with gradients to the parameters."""
        return [torch.softmax(layer, 0) for layer in self.layers]

    def update(self, gradients: Sequence[Tensor]) -> None:
        """One step of Adam."""
        for layer, gradient in zip(self.layers, gradients, strict=True):
            layer.grad = gradient
        self.optimizer.step()

    def rows(self) -> list[np.ndarray]:
        """Parameters per layer, (m,), on the CPU in one copy."""
        flat = torch.cat([layer.detach() for layer in self.layers]).double().cpu().numpy()
        return np.split(flat, np.cumsum([len(layer) for layer in self.layers])[:-1])

    def sample(self, rng: np.random.Generator) -> Genome:
        """Draw a genome, each layer by its softmax, as the largest number after adding Gumbel noise."""
        return tuple(int((row + rng.gumbel(size=len(row))).argmax()) for row in self.rows())

    def log_probability(self, genome: Genome) -> float:
        """Log-probability of a genome if each layer draws by its softmax."""
        rows = [torch.log_softmax(layer.detach().double(), 0) for layer in self.layers]
        return sum(float(row[choice]) for row, choice in zip(rows, genome, strict=True))

    def most_likely(self) -> Genome:
        """Choice with the largest number in every layer; the first among equal ones."""
        return tuple(int(layer.argmax()) for layer in self.layers)

    def state(self) -> dict[str, Any]:
        """State for a checkpoint."""
        return {"layers": [layer.detach().clone() for layer in self.layers], "optimizer": self.optimizer.state_dict()}

    def restore(self, content: dict[str, Any]) -> None:
        """Restore the result of `state`."""
        with torch.no_grad():
            for layer, stored in zip(self.layers, content["layers"], strict=True):
                layer.copy_(stored)
        self.optimizer.load_state_dict(content["optimizer"])
