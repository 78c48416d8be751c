"""Settings of networks trained from scratch by themselves, for the ranking study and for use."""

from dataclasses import dataclass
from typing import Literal

from fairnas.config.checks import above_zero, as_text, at_least, one_of
from fairnas.config.settings import Advanced, Common
from fairnas.errors import ConfigError


@dataclass(frozen=True)
class StandAloneConfig:
    """Training of single networks from scratch: the selected ones, and those of the ranking study."""

    epochs: Common[int | None] = None
    """Passes over the training images; default: those of the supernet (paper B.2)."""
    lr: Advanced[float | None] = None
    """Initial learning rate; default: the supernet's (paper B.2)."""
    genomes: Advanced[tuple[str, ...]] = ()
    """Networks to retrain and export in addition to the selected ones, as genomes in text form."""
    models: Common[int] = 13
    """Networks of the ranking study (paper 4.4: 13); 0: no study."""
    seeds: Common[int] = 2
    """Trainings per network of the ranking study; two or more are needed to estimate the noise ceiling."""
    choose: Advanced[Literal["front", "stratified", "random"]] = "front"
    """Choice of the networks of the study: from the front at equal distances in MAdds, stratified by one-shot accuracy,
    or at random.
    """
    study: Advanced[tuple[str, ...]] = ()
    """Networks of the study as genomes in text form, instead of choosing `models` of them."""
    against: Advanced[str | None] = None
    """Directory of another run whose supernet also scores the networks of the study."""

    def __post_init__(self) -> None:
        at_least("stand_alone.epochs", self.epochs, 1)
        above_zero("stand_alone.lr", self.lr)
        if self.models < 3 and self.models != 0:
            raise ConfigError(
                f"stand_alone.models is {as_text(self.models)}; give 3 or more, or 0 for no ranking study"
            )
        at_least("stand_alone.models", self.models, 0)
        at_least("stand_alone.seeds", self.seeds, 1)
        one_of("stand_alone.choose", self.choose, Literal["front", "stratified", "random"])
        if self.study and len(self.study) < 3:
            raise ConfigError(f"stand_alone.study names {len(self.study)} of at least 3 networks; name more, or none")
