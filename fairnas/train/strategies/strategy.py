"""What a weight-sharing system is to the rest of the house: who is trained at a step, and what comes of it."""

import abc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from torch import nn

from fairnas.config import TrainConfig
from fairnas.fairness.samplers import Fairness
from fairnas.nets import Supernet
from fairnas.space import Genome, SearchSpace
from fairnas.train.step import Batch, StepContext, StepResult

GenomeScorer = Callable[[Sequence[Genome]], Sequence[float]]
"""One-shot accuracy of each genome, on validation images."""


class Strategy(abc.ABC):
    """Trains a supernet, one step at a time.

    What it draws is a function of the step. What it learns beside the supernet's weights (the architecture's
    parameters, a controller, a hypernetwork) is made in `begin`, given out by `state` and taken back by `restore`.
    """

    fairness: Fairness = "none"
    """Which fairness it keeps; a strict one is checked against the ledger while it trains."""
    fairness_period: int = 1
    """Steps after which a strict strategy is level."""
    passes_per_step: int = 1
    """Backward passes of one supernet step that train weights."""
    passes_per_update: int = 1
    """Backward passes that one parameter update sums up: what several processes can share out."""
    passes_together: int = 1
    """Those of them on one mini-batch: what the lockstep executor runs side by side."""
    batches_per_step: int = 1
    """Mini-batches that one step takes from the training images."""
    architecture_share: float = 0.0
    """Share of the training images that teach the architecture, and not the weights
    (`StepContext.architecture_images`)."""
    architecture_period: int = 1
    """Steps until the architecture is taught again, where it is taught: what steps cost repeats with them."""
    warm_up: float = 0.0
    """Share of a training at whose beginning the architecture rests."""
    many_processes: bool = False
    """Whether several processes can share its steps."""
    has_own_networks: bool = False
    """Whether a genome's weights are made for it (`network`), rather than those of the supernet's blocks."""

    def unsupported_reason(self, space: SearchSpace) -> str | None:
        """Why it cannot train a space, in words that go on after its name; None if it can."""
        return None

    def begin(self, context: StepContext) -> None:  # noqa: B027 - most learn nothing more
        """Make what it learns beside the supernet's weights, on the supernet's device."""

    @abc.abstractmethod
    def step(self, context: StepContext, batches: Sequence[Batch], step: int, total: int) -> StepResult:
        """Do supernet step `step` of `total` on `batches_per_step` mini-batches."""

    def state(self) -> dict[str, Any]:
        """What it has learned beside the supernet's weights, for a checkpoint."""
        return {}

    def restore(self, content: dict[str, Any]) -> None:  # noqa: B027 - most learn nothing more
        """Take back what `state` gave, after `begin`."""

    def network(self, supernet: Supernet, genome: Genome) -> nn.Module:
        """The network of one genome with the weights that the system makes for it, where `has_own_networks`."""
        raise AssertionError("its networks are the supernet's paths")

    def preference(self, genome: Genome) -> float | None:
        """How much the system itself prefers a genome, such as its log-probability; None if it has no opinion."""
        return None

    def derive(self, scorer: GenomeScorer) -> Genome | None:
        """The architecture by the system's own rule; None if that is to search with the supernet's scores."""
        return None


def best_of(genomes: Sequence[Genome], scorer: GenomeScorer) -> Genome:
    """The genome that the scorer finds most accurate; the first of equals."""
    different = list(dict.fromkeys(genomes))
    scores = scorer(different)
    return max(zip(different, scores, strict=True), key=lambda pair: pair[1])[0]


@dataclass(frozen=True)
class StrategyFacts:
    """What a strategy of a configuration is like: the attributes of `Strategy`, which say what each means."""

    fairness: Fairness
    fairness_period: int
    passes_per_step: int
    passes_per_update: int
    passes_together: int
    batches_per_step: int
    architecture_share: float
    architecture_period: int
    warm_up: float
    many_processes: bool
    has_own_networks: bool

    @staticmethod
    def of(strategy: Strategy) -> "StrategyFacts":
        """Those of a strategy."""
        return StrategyFacts(**{field.name: getattr(strategy, field.name) for field in fields(StrategyFacts)})


@dataclass(frozen=True)
class StrategyEntry:
    """One line of `fairnas strategies`."""

    summary: str
    source: str
    make: Callable[[tuple[int, ...], TrainConfig, int], Strategy]
    """From choices per layer, configuration and seed."""
    options: tuple[str, ...] = ()
    """Settings of `train` that mean something to few strategies, this one among them."""
    statistics: Literal["running", "batch"] = "running"
    """The BN statistics that genomes are scored with unless the configuration says otherwise."""
    claims: str = ""
    """The row of the paper's Table 1 that it is (`fairness.TABLE_1`), or empty."""
