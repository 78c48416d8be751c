"""SMASH (Brock, Lim, Ritchie, Weston, 2018): a hypernetwork generates the weights of each network."""

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from fairnas.fairness.samplers import UniformSampler
from fairnas.nets import StandAlone, Supernet, build
from fairnas.randomness import derived_seed
from fairnas.space import Genome
from fairnas.train.step import Batch, StepContext, StepResult, supernet_step
from fairnas.train.strategies.slices import inner
from fairnas.train.strategies.strategy import Strategy, StrategyEntry

LR = 1e-3  # of Adam, as published; decays to zero by a cosine
LEAK = 0.02  # slope of the activations between the hypernetwork's layers, as published
WIDTH, NOISE, LARGEST_RANK = 32, 8, 64  # ours: the hypernetwork is then smaller than the supernet
SPREAD = 0.3
"""Initial spread of the coefficients of different genomes around their mean, 1."""


class HyperNetwork(nn.Module):
    """Function from a genome to the weights of its 1x1 and depthwise convolutions.

    Two linear layers take the genome's encoding (per choice block 1 if it is chosen, else -1) and noise. They give
    coefficients g for every 1x1 convolution, whose weight (outputs, inputs) is `rows @ diag(g) @ columns`: rows and
    columns are learned for its place in the layer, and smaller weights use the first of them. So weights have full rank
    (up to 64), and all of them depend on the whole genome. Depthwise weights do not: they are cut out of one bank for
    their place in the layer, the first channels and the centre of its kernels.
    """

    def __init__(self, supernet: Supernet, seed: int) -> None:
        super().__init__()
        source = torch.Generator().manual_seed(derived_seed(seed, "hypernetwork"))
        choices = supernet.space.choices
        self.starts = [sum(choices[:layer]) for layer in range(len(choices))]
        self.inputs = sum(choices)
        self.made = [
            [
                [(name, f"{layer}_{place}", conv.weight.shape) for name, place, conv in convolutions(block)]
                for block in (supernet.block(layer, choice) for choice in range(count))
            ]
            for layer, count in enumerate(choices)
        ]
        """Name, place and shape of the generated weights, per layer and choice."""
        shapes: dict[str, torch.Size] = {}
        for _, place, shape in (weight for row in self.made for block in row for weight in block):
            shapes[place] = torch.Size(map(max, shape, shapes.get(place, shape)))
        self.bank, self.rows, self.columns = (nn.ParameterDict() for _ in range(3))
        self.ranks: dict[str, int] = {}

        def normal(*size: int, variance: float = 1.0) -> nn.Parameter:
            return nn.Parameter(math.sqrt(variance) * torch.randn(size, generator=source))

        for place, (outputs, inputs, kernel, _) in shapes.items():
            if "depthwise" in place:
                self.bank[place] = normal(outputs, 1, kernel, kernel, variance=2 / (kernel**2 * outputs))
            else:
                rank = self.ranks[place] = min(outputs, inputs, LARGEST_RANK)
                self.rows[place], self.columns[place] = normal(outputs, rank), normal(rank, inputs)
        sizes = (self.inputs + NOISE, WIDTH, WIDTH)
        self.trunk = nn.ParameterList(normal(b, a, variance=2 / a) for a, b in itertools.pairwise(sizes))
        self.mix = normal(sum(self.ranks.values()), WIDTH, variance=SPREAD**2 / WIDTH)

    def forward(self, genome: Genome, noise: Tensor) -> list[dict[str, Tensor]]:
        """Weights of the chosen blocks, per layer, by their names in the block; `noise` is (8,)."""
        code = noise.new_full((self.inputs,), -1.0)
        code[[start + choice for start, choice in zip(self.starts, genome, strict=True)]] = 1.0
        hidden = torch.cat([code, noise])
        for weight in self.trunk:
            hidden = functional.leaky_relu(weight @ hidden, LEAK)
        coefficients = (1 + self.mix @ hidden).split(list(self.ranks.values()))
        of_place = dict(zip(self.ranks, coefficients, strict=True))
        return [
            {name: self._weight(place, shape, of_place) for name, place, shape in row[choice]}
            for row, choice in zip(self.made, genome, strict=True)
        ]

    def _weight(self, place: str, shape: torch.Size, coefficients: dict[str, Tensor]) -> Tensor:
        if place in self.bank:
            return inner(self.bank[place], shape)
        outputs, inputs = shape[:2]
        weight = (self.rows[place][:outputs] * coefficients[place]) @ self.columns[place][:, :inputs]
        # the usual variance of initial weights
        return weight.reshape(shape) * math.sqrt(2 / (outputs * self.ranks[place]))


def convolutions(block: nn.Module) -> Iterator[tuple[str, str, nn.Conv2d]]:
    """Convolutions of a block with generated weights: name of the weight, place in the layer, module.

    The n-th 1x1 convolutions of a layer's blocks share a place, and so do the n-th depthwise ones. Grouped 1x1
    convolutions, and everything else, have ordinary weights.
    """
    seen: Counter[str] = Counter()
    for name, conv in block.named_modules():
        if isinstance(conv, nn.Conv2d):
            pointwise = conv.kernel_size == (1, 1) and conv.groups == 1
            if pointwise or conv.groups == conv.in_channels == conv.out_channels:
                kind = "pointwise" if pointwise else "depthwise"
                yield f"{name}.weight", f"{kind}_{seen[kind]}", conv
                seen[kind] += 1


class Smash(Strategy):
    """One uniform path per step, which trains the hypernetwork together with all weights that it does not generate.

    Generated weights are written into the blocks of the path; their gradients are propagated to the hypernetwork and
    its bank, which Adam updates, while SGD with `train.lr` updates the rest (the paper: Adam for everything). Changes
    of the generated weights by SGD are overwritten when their block is next drawn. Noise is new at each step; for
    scoring it is zero, its mean. A block's weights differ from network to network, so genomes are scored with the
    statistics of each batch. The architecture is found by search, as in the paper.

    Adapted to a chain: the original samples wirings of memory banks with annealing, and its hypernetwork is
    convolutional. FairNAS calls SMASH unfair (Table 1). Here blocks are drawn uniformly, and most of what they learn is
    shared.
    """

    many_processes = True
    has_own_networks = True

    def __init__(self, choices: tuple[int, ...], seed: int) -> None:
        self.sampler, self.seed = UniformSampler(choices, seed), seed
        self.fairness = self.sampler.fairness

    def begin(self, context: StepContext) -> None:
        """Create a hypernetwork with new weights."""
        self.hypernetwork = HyperNetwork(context.supernet, self.seed).to(next(context.supernet.parameters()))
        self.optimizer = torch.optim.Adam(self.hypernetwork.parameters(), lr=LR)

    def step(self, context: StepContext, batches: Sequence[Batch], step: int, total: int) -> StepResult:
        """Generate the weights of a path, train it, and propagate its gradients."""
        supernet, (path,) = context.supernet, self.sampler.paths(step)
        made, places = self.write([supernet.block(*place) for place in enumerate(path)], path, self.noise(step))
        result = supernet_step(context, [(batches[0], [path])])
        self.optimizer.zero_grad(set_to_none=True)
        if made:
            torch.autograd.backward(made, [place.grad for place in places])
        self.optimizer.param_groups[0]["lr"] = LR * 0.5 * (1 + math.cos(math.pi * step / total))
        self.optimizer.step()
        return result

    def noise(self, step: int) -> Tensor:
        """Noise of a step, (8,), equal in all processes."""
        source = torch.Generator().manual_seed(derived_seed(self.seed, "noise of the hypernetwork", step))
        return torch.randn(NOISE, generator=source).to(self.hypernetwork.mix)

    def write(
        self, blocks: Sequence[nn.Module], genome: Genome, noise: Tensor
    ) -> tuple[list[Tensor], list[nn.Parameter]]:
        """Write the generated weights into the blocks of a genome, one per layer.

        Returns:
            The weights with their autograd graph, and the parameters that they were written into.
        """
        made, places = [], []
        for block, weights in zip(blocks, self.hypernetwork(genome, noise), strict=True):
            made += weights.values()
            places += map(block.get_parameter, weights)
        with torch.no_grad():
            for place, weight in zip(places, made, strict=True):
                place.copy_(weight)
        return made, places

    def network(self, supernet: Supernet, genome: Genome) -> StandAlone:
        """Path of the supernet with weights generated without noise."""
        network = build(supernet.space, genome, inherit=supernet).to(self.hypernetwork.mix)
        self.write(list(network.layers), genome, torch.zeros_like(self.noise(0)))
        return network.eval()

    def state(self) -> dict[str, Any]:
        """Hypernetwork and its optimiser."""
        return {"hypernetwork": self.hypernetwork.state_dict(), "optimizer": self.optimizer.state_dict()}

    def restore(self, content: dict[str, Any]) -> None:
        """Restore the hypernetwork and its optimiser."""
        self.hypernetwork.load_state_dict(content["hypernetwork"])
        self.optimizer.load_state_dict(content["optimizer"])


ENTRIES = {
    "smash": StrategyEntry(
        "one uniform path per step, whose 1x1 and depthwise weights a hypernetwork makes from the genome",
        "SMASH, Brock et al. 2018",
        lambda choices, config, seed: Smash(choices, seed),
        statistics="batch",
        claims="SMASH",
    ),
}
