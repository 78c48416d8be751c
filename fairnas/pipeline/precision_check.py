"""Check before a search in bfloat16: does it rank genomes as float32 does?"""

from collections.abc import Mapping
from typing import Any

from fairnas.analysis import rank_agreement
from fairnas.config import ACCURACY_WORDS
from fairnas.errors import ConfigError
from fairnas.evaluate import score_genomes
from fairnas.pipeline.experiment import Experiment
from fairnas.pipeline.scoring import evaluation_setting, validation_batches
from fairnas.randomness import generator
from fairnas.space import Genome

FILE = "precision.json"
GENOMES = 32
"""Number of random genomes scored in both precisions, which make 496 pairs."""
FEWEST = 3
"""Smallest number of genomes for a tau."""
LEAST_TAU = 0.9
"""Kendall's tau between the precisions below which a search is refused.

It is a convention, not a result. With 32 genomes and no ties it lets one pair in twenty change places, which is less
than the validation images leave open by themselves: on `digits`, two halves of 300 images agree by 0.78, and the
precisions by 0.98. The tau found is itself uncertain by some hundredths, and random genomes lie further apart than
those of a late generation, so a value above the threshold does not prove that bfloat16 tells the best networks from
each other. Top-1 accuracies on few images tie: tau-b leaves out pairs that tie in both precisions, and those in one
lower it, as if they were half a disagreement each.
"""


def require_ranks_of_float32(experiment: Experiment) -> None:
    """Compare the ranks of random genomes on all validation images in both precisions; write and print the result.

    Does nothing if genomes are scored in float32. An earlier comparison for the same supernet, images and settings is
    not repeated.

    Raises:
        ConfigError: if the ranks differ too much.
    """
    evaluate, run = experiment.config.evaluate, experiment.run
    if evaluate.precision == "float32":
        return
    setting = evaluation_setting(experiment)
    known = run.read_json(FILE) if (run.path / FILE).exists() else {}
    if known.get("setting") != setting or known.get("measure") != experiment.config.measure:
        known = {"setting": setting, **compared(experiment), "least_tau": LEAST_TAU}
        run.write_json(FILE, known)
        experiment.narrator.say(
            f"{evaluate.precision} ranks {known['n']} random networks as float32 does: {described(known)}"
        )
    if not known["tau"] >= LEAST_TAU:
        raise ConfigError(
            f"{evaluate.precision} does not rank networks as float32 does: {described(known)}, where {LEAST_TAU} is "
            "asked for; give evaluate.precision 'float32'"
        )


def compared(experiment: Experiment) -> dict[str, Any]:
    """Kendall's tau with interval and n between accuracies in both precisions, and their largest difference.

    If all networks are equally good in one precision, or there are fewer than 3, tau is undefined; it is then set to 1
    if all accuracies are equal in both, else to 0.
    """
    genomes, measure = random_genomes(experiment), experiment.config.measure
    scorers = (experiment.scorer, experiment.make_scorer(experiment.supernet, "float32"))
    wanted, exact = (
        [getattr(each, measure) for each in score_genomes(scorer, genomes, validation_batches(experiment))]
        for scorer in scorers
    )
    tau, interval = float(wanted == exact), None
    if len(set(wanted)) > 1 and len(set(exact)) > 1 and len(genomes) >= FEWEST:
        agreement = rank_agreement(wanted, exact, seed=experiment.config.seed)
        tau, interval = agreement.tau, list(agreement.interval)
    return {
        "precision": experiment.config.evaluate.precision,
        "measure": measure,
        "tau": tau,
        "interval": interval,
        "n": len(genomes),
        "images": len(experiment.dataset.validation),
        "largest_difference": max(abs(a - b) for a, b in zip(wanted, exact, strict=True)),
        "distinct": len(set(exact)),
    }


def random_genomes(experiment: Experiment) -> list[Genome]:
    """Different networks, at most `GENOMES`; fewer if the space has hardly more."""
    space, rng = experiment.space, generator(experiment.config.seed, "precision")
    drawn = (space.canonical(space.sample(rng)) for _ in range(4 * GENOMES))
    return list(dict.fromkeys(drawn))[:GENOMES]


def described(known: Mapping[str, Any]) -> str:
    """Comparison in a few words."""
    interval = known["interval"]
    between = "" if interval is None else f" [{interval[0]:.3f}, {interval[1]:.3f}]"
    apart = f"{ACCURACY_WORDS[known['measure']]} at most {known['largest_difference']:.2%} apart"
    return f"tau {known['tau']:.3f}{between}, n = {known['n']}, {apart} on {known['images']:,} images"
