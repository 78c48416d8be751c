"""A training strategy of your own: every layer takes the same choice number, in turn (docs/strategies.md)."""

from fairnas.train.strategies import PathStrategy, StrategyEntry


class InTurn:
    """Draws one path a step: choice number `step` modulo the number of choices, in every layer."""

    fairness = "none"
    fairness_period = 1
    paths_per_step = 1

    def __init__(self, choices):
        self.choices = choices

    def paths(self, step):
        """The path of one step, as a tuple of one genome."""
        return (tuple(step % count for count in self.choices),)


entry = StrategyEntry(
    "the same choice in every layer, in turn",
    "examples/own_strategy.py",
    lambda choices, config, seed: PathStrategy(InTurn(choices)),
)
