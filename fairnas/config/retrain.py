"""How the selected networks are trained for use (paper 4.1 b)."""

from dataclasses import dataclass
from typing import Literal

from fairnas.config.checks import one_of

RetrainRecipe = Literal["supernet", "product"]


@dataclass(frozen=True)
class RetrainConfig:
    """Training of the selected networks for use, rather than for their ranking."""

    recipe: RetrainRecipe = "supernet"
    """`supernet`: as the networks of the ranking study, with the supernet's hyper-parameters (B.2); `product`: with the
    tricks of MnasNet (4.1 b), which the settings below are for."""

    def __post_init__(self) -> None:
        one_of("retrain.recipe", self.recipe, RetrainRecipe)
