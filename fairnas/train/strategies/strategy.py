"""Interface of a weight-sharing system: the training of a step, and the resulting architecture."""

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
"""Function that gives the one-shot accuracy of each genome, on validation images."""


class Strategy(abc.ABC):
    """Training of a supernet, one step at a time.

    Random draws are a function of the step. State beside the supernet's weights (architecture parameters, a controller,
    a hypernetwork) is created in `begin`, returned by `state` and restored by `restore`.
    """

    fairness: Fairness = "none"
    """Guaranteed fairness; a strict strategy is checked against the ledger during training."""
    fairness_period: int = 1
    """Steps after which the counts of a strict strategy are equal."""
    passes_per_step: int = 1
    """Backward passes of one supernet step that train weights."""
    passes_per_update: int = 1
    """Backward passes that are summed for one parameter update: the work that several processes can share."""
    passes_together: int = 1
    """Backward passes on one mini-batch: those that the lockstep executor runs side by side."""
    batches_per_step: int = 1
    """Mini-batches that one step takes from the training images."""
    architecture_share: float = 0.0
    """Share of the training images that train the architecture, and not the weights
    (`StepContext.architecture_images`).
    """
    architecture_period: int = 1
    """Steps between updates of the architecture, if there are any: the cost of steps repeats with this period."""
    warm_up: float = 0.0
    """Share of the training before the first update of the architecture."""
    many_processes: bool = False
    """True if several processes can share its steps."""
    has_own_networks: bool = False
    """True if a genome's weights are generated for it (`network`), rather than taken from the supernet's blocks."""

    def unsupported_reason(self, space: SearchSpace) -> str | None:
        """Reason this strategy cannot train `space`, phrased to follow the strategy's name; None if it can."""
        return None

    def begin(self, context: StepContext) -> None:  # noqa: B027 - most learn nothing more
        """Create state beside the supernet's weights, on the supernet's device."""

    @abc.abstractmethod
    def step(self, context: StepContext, batches: Sequence[Batch], step: int, total: int) -> StepResult:
        """Do supernet step `step` of `total` on `batches_per_step` mini-batches."""

    def state(self) -> dict[str, Any]:
        """State learned beside the supernet's weights, for a checkpoint."""
        return {}

    def restore(self, content: dict[str, Any]) -> None:  # noqa: B027 - most learn nothing more
        """Restore the result of `state`, after `begin`."""

    def network(self, supernet: Supernet, genome: Genome) -> nn.Module:
        """Network of one genome with the weights that the system generates, if `has_own_networks`."""
        raise AssertionError("its networks are the supernet's paths")

    def preference(self, genome: Genome) -> float | None:
        """Score by which the system itself prefers a genome, such as its log-probability; None if it has none."""
        return None

    def derive(self, scorer: GenomeScorer) -> Genome | None:
        """Architecture by the system's own rule; None if it is found by a search with the supernet's scores."""
        return None


def best_of(genomes: Sequence[Genome], scorer: GenomeScorer) -> Genome:
    """Genome that the scorer finds most accurate; the first among equal ones."""
    different = list(dict.fromkeys(genomes))
    scores = scorer(different)
    return max(zip(different, scores, strict=True), key=lambda pair: pair[1])[0]


@dataclass(frozen=True)
class StrategyFacts:
    """Facts of a configured strategy: attributes of `Strategy`, which documents them."""

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
        """Take the facts of a strategy."""
        return StrategyFacts(**{field.name: getattr(strategy, field.name) for field in fields(StrategyFacts)})


@dataclass(frozen=True)
class StrategyEntry:
    """Line of `fairnas strategies`."""

    summary: str
    source: str
    make: Callable[[tuple[int, ...], TrainConfig, int], Strategy]
    """Factory, called with choices per layer, configuration and seed."""
    options: tuple[str, ...] = ()
    """Settings of `train` that only some strategies use, including this one."""
    statistics: Literal["running", "batch"] = "running"
    """BN statistics for scoring genomes, unless the configuration gives others."""
    claims: str = ""
    """Row of the paper's Table 1 that it implements (`fairness.TABLE_1`), or empty."""
