"""SMASH (Brock, Lim, Ritchie, Weston, 2018): a hypernetwork makes the weights of whatever network is drawn."""

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

LR = 1e-3  # of Adam, as published; it decays to zero by a cosine
LEAK = 0.02  # of the activations between the hypernetwork's layers, as published
WIDTH, NOISE, LARGEST_RANK = 32, 8, 64  # ours: with them the hypernetwork is smaller than the supernet
SPREAD = 0.3
"""How far, at first, the coefficients of different genomes lie apart; their mean is 1."""


class HyperNetwork(nn.Module):
    """From a genome to the weights of its 1x1 and depthwise convolutions.

    Two linear layers read the genome's encoding (per choice block 1 if it is chosen, else -1) and noise. From them
    come coefficients g for every 1x1 convolution, whose weight (outputs, inputs) is `rows @ diag(g) @ columns`: the
    outer two are learned for its place in the layer, and smaller weights are their first rows and columns. So weights
    have full rank (up to 64), and all of them depend on the whole genome. Depthwise weights do not: they are cut out of
    one bank for their place in the layer, the first channels and the centre of its kernels.
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
        """Per layer and choice: name, place and shape of the weights that are made."""
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
        """Per layer, the weights of the chosen block by their names in it; `noise` is (8,)."""
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
        return weight.reshape(shape) * math.sqrt(2 / (outputs * self.ranks[place]))  # the variance of usual ones


def convolutions(block: nn.Module) -> Iterator[tuple[str, str, nn.Conv2d]]:
    """The convolutions of a block whose weights are made: name of the weight, place in the layer, module.

    The n-th 1x1 convolutions of a layer's blocks share their place, and so do the n-th depthwise ones. Grouped 1x1
    convolutions have weights of their own, as everything else has.
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
    """One uniform path per step, on which the hypernetwork learns together with all weights that it does not make.

    Made weights are written into the blocks of the path; the gradients that they get there go on to the hypernetwork
    and its bank, which Adam moves, while `train.lr` and SGD move the rest (the paper: Adam for everything). What SGD
    does to the made weights is written over when their block is next drawn. Noise is new at each step; where genomes
    are scored it is zero, its mean. A block's weights differ from network to network, so genomes are scored with the
    statistics of each batch. The architecture is found by search, as in the paper.

    Adapted to a chain: the paper samples wirings of memory banks, and anneals what it samples; its hypernetwork is
    convolutional. The paper calls SMASH unfair (Table 1). Blocks are drawn uniformly here, and what they learn is
    mostly shared.
    """

    many_processes = True
    has_own_networks = True

    def __init__(self, choices: tuple[int, ...], seed: int) -> None:
        self.sampler, self.seed = UniformSampler(choices, seed), seed
        self.fairness = self.sampler.fairness

    def begin(self, context: StepContext) -> None:
        """A hypernetwork with new weights."""
        self.hypernetwork = HyperNetwork(context.supernet, self.seed).to(next(context.supernet.parameters()))
        self.optimizer = torch.optim.Adam(self.hypernetwork.parameters(), lr=LR)

    def step(self, context: StepContext, batches: Sequence[Batch], step: int, total: int) -> StepResult:
        """Make the weights of a path, train it, and hand its gradients on."""
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
        """That of a step, (8,), the same in all processes."""
        source = torch.Generator().manual_seed(derived_seed(self.seed, "noise of the hypernetwork", step))
        return torch.randn(NOISE, generator=source).to(self.hypernetwork.mix)

    def write(
        self, blocks: Sequence[nn.Module], genome: Genome, noise: Tensor
    ) -> tuple[list[Tensor], list[nn.Parameter]]:
        """Give the blocks of a genome, one per layer, the weights that are made for it.

        Returns:
            Those weights, with what autograd knows of them, and the parameters that they were written into.
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
        """The supernet's path with the weights that are made without noise."""
        network = build(supernet.space, genome, inherit=supernet).to(self.hypernetwork.mix)
        self.write(list(network.layers), genome, torch.zeros_like(self.noise(0)))
        return network.eval()

    def state(self) -> dict[str, Any]:
        """The hypernetwork."""
        return {"hypernetwork": self.hypernetwork.state_dict(), "optimizer": self.optimizer.state_dict()}

    def restore(self, content: dict[str, Any]) -> None:
        """Take it back."""
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
