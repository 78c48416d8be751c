"""Lines about reductions for lack of time, about poor results to expect, and about the gain of more time."""

from collections.abc import Iterator
from typing import NamedTuple

from fairnas.config import RunConfig
from fairnas.pipeline.prepare import Prepared
from fairnas.pipeline.retrain_stage import retraining_length
from fairnas.planning.allocation import Allocation
from fairnas.planning.plan import counted

POOR_STEPS = 200
"""Number of steps of a training from scratch below which a network has hardly begun to learn."""


class Gain(NamedTuple):
    """Properties of a longer run."""

    minutes: float
    choice: Allocation


def given_up(recipe: RunConfig, before: Prepared, after: Prepared, steps: int) -> tuple[str, ...]:
    """Reductions of a run compared with its recipe, one line each.

    Args:
        recipe: recipe with explicit defaults.
        before: the recipe, with its images counted.
        after: the chosen run.
        steps: number of its supernet steps.
    """
    return tuple(_given_up(recipe, before, after, steps))


def _given_up(recipe: RunConfig, before: Prepared, after: Prepared, steps: int) -> Iterator[str]:
    ours = after.config
    if (had := len(before.dataset.train)) > len(after.dataset.train) and (most := ours.data.train_per_class):
        yield f"images: {len(after.dataset.train):,} of {had:,} training images, at most {most:,} of each class"
    had, left = (len(each.dataset.validation) + len(each.dataset.test) for each in (before, after))
    if had > left and ours.data.held_out_per_class:
        yield f"images: {left:,} of {had:,} for validation and test, so accuracies are known less precisely"
    if (size := after.dataset.image_size) < before.dataset.image_size:
        yield f"pixels: images of {size} x {size} instead of {before.dataset.image_size} x {before.dataset.image_size}"
    if ours.width < recipe.width:
        yield f"channels: {ours.width:g} times the space's instead of {recipe.width:g}"
    if steps < before.steps:
        yield f"supernet: {counted(steps, 'step')} of training instead of {before.steps:,}"
    search = (ours.search.population * ours.search.generations, recipe.search.population * recipe.search.generations)
    if search[0] < search[1]:
        yield f"search: {search[0]:,} networks looked at instead of {search[1]:,}"
    if ours.search.select < recipe.search.select:
        yield f"result: {counted(ours.search.select, 'network')} trained and exported instead of {recipe.search.select}"
    epochs = ours.stand_alone.epochs or ours.train.epochs
    if epochs < (recipe.stand_alone.epochs or recipe.train.epochs):
        yield f"training: {counted(epochs, 'epoch')} for each network instead of {recipe.stand_alone.epochs}"
    study = (ours.stand_alone.models * ours.stand_alone.seeds, recipe.stand_alone.models * recipe.stand_alone.seeds)
    if not ours.stand_alone.models and recipe.stand_alone.models and not ours.stand_alone.study:
        yield "ranking study: none, so nothing says how far the supernet's order of networks can be believed"
    elif study[0] < study[1]:
        yield f"ranking study: {counted(study[0], 'training')} instead of {study[1]}"


def what_is_poor(choice: Allocation, prepared: Prepared) -> tuple[str, ...]:
    """Expected weaknesses of the result, one line each.

    Args:
        choice: chosen configuration.
        prepared: the same, with its images at least counted.
    """
    found, steps = [], choice.estimate.steps
    if not choice.eligible:
        found.append(
            f"{counted(steps, 'supernet step')} are fewer than {choice.point.least_steps}, from which scores begin to "
            "tell networks apart: take the networks that are selected for little better than random ones"
        )
    alone = retraining_length(choice.config, prepared.dataset).steps
    if alone < POOR_STEPS:
        found.append(
            f"the exported networks are trained for {counted(alone, 'step')} only, so their accuracies will be poor; "
            "`fairnas retrain --recipe product --epochs 30` trains them longer, whenever there is time"
        )
    return tuple(found)


def what_more_brings(gain: Gain) -> str:
    """Line about a longer run."""
    config, steps = gain.choice.config, gain.choice.estimate.steps
    size = gain.choice.point.image_size
    study = f"a ranking study of {config.stand_alone.models} networks" if config.stand_alone.models else "no study"
    return (
        f"with --minutes {_round(gain.minutes)} there would be {counted(steps, 'supernet step')} on images of "
        f"{size} x {size}, {counted(config.stand_alone.epochs or config.train.epochs, 'epoch')} for each network, and "
        f"{study}"
    )


def _round(minutes: float) -> str:
    return f"{float(f'{minutes:.2g}'):g}"
