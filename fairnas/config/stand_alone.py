"""Networks trained by themselves: those of the ranking study, and those for use."""

from dataclasses import dataclass
from typing import Literal

from fairnas.config.checks import above_zero, as_text, at_least, one_of
from fairnas.config.settings import Advanced, Common
from fairnas.errors import ConfigError


@dataclass(frozen=True)
class StandAloneConfig:
    """Training of single networks from scratch: the selected ones, and those of the ranking study."""

    epochs: Common[int | None] = None
    """Passes over the training images; default: as many as the supernet had (paper B.2)."""
    lr: Advanced[float | None] = None
    """Initial learning rate; default: the supernet's (paper B.2)."""
    genomes: Advanced[tuple[str, ...]] = ()
    """Networks to retrain and export beside the selected ones, in text form."""
    models: Common[int] = 13
    """Networks of the ranking study (paper 4.4: 13); 0: no study."""
    seeds: Common[int] = 2
    """Trainings per network of the ranking study; two or more show the noise ceiling."""
    choose: Advanced[Literal["front", "stratified", "random"]] = "front"
    """Networks of the study: from the front at equal distances in MAdds, stratified over one-shot accuracy, random."""
    study: Advanced[tuple[str, ...]] = ()
    """Networks of the study in text form, instead of `models` that are chosen."""
    against: Advanced[str | None] = None
    """Directory of another run whose supernet judges the networks of the study, too."""

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
