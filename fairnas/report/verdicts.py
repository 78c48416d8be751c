"""The three verdicts at the top of the report, in words: pure functions from numbers to sentences.

A verdict claims no more than its numbers support: intervals are compared before values, and if repeated trainings of
the same networks disagree among themselves, the verdict is that tau means little, whatever its value.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from fairnas.analysis.ranking import Agreement
from fairnas.analysis.study import LOW_CEILING, RankingStudy
from fairnas.config import Measure
from fairnas.fairness import Audit, equal_count_probability
from fairnas.report.format import (
    PREDICTOR_NAMES,
    balanced_interval,
    counted,
    decimal,
    interval,
    is_known,
    listed,
    millions,
    p_value,
    percent,
    whole,
    wilson_interval,
)
from fairnas.scores import NetworkScore, TrainingResult
from fairnas.search.candidate import Candidate
from fairnas.space import Genome

Status = Literal["good", "mixed", "bad", "open"]


@dataclass(frozen=True)
class Verdict:
    """An answer: its status, the answer in a few words, and the evidence in sentences."""

    status: Status
    answer: str
    sentences: tuple[str, ...]


def fairness_verdict(audit: Audit, choices: Sequence[int]) -> Verdict:
    """Answer: is this supernet fair (paper, definitions 1 to 3)?

    Args:
        audit: audit of the ledger.
        choices: choice blocks per layer.
    """
    if audit.steps == 0:
        return Verdict("open", "Not trained yet", ("The ledger is empty: no supernet step was made.",))
    trained = (
        f"Strategy {audit.strategy} made {counted(audit.steps, 'supernet step')} "
        f"with {counted(audit.backward_passes, 'backward pass', 'backward passes')}."
    )
    low, high = audit.updates_min, audit.updates_max
    if not audit.single_paths:
        why = (
            "Its passes went through several blocks of a layer at once. Fairness is defined for training single paths, "
            "because those are the networks taken from the supernet (definition 1); counts alone say nothing."
        )
        return Verdict("bad", "No, it does not train single paths", (f"{trained} {_counts(low, high)}", why))
    if audit.strict_fair:
        blocks = counted(sum(choices), "choice block")
        level = f"In the end each of the {blocks} was updated exactly {whole(low)} times."
        if low != high:
            level = (
                "In the end all choice blocks of a layer were updated equally often: "
                f"{whole(low)} to {whole(high)} times, depending on how many a layer has."
            )
        if audit.level_every > 1:
            level = (
                f"Layers differ in their number of choices, so counts are equal after every {audit.level_every} steps: "
                f"last after step {whole(audit.level_at)}."
            )
        return Verdict("good", "Yes, strictly fair", (f"{trained} {level}", *_chance(audit, choices)))
    uneven = f"{trained} {_counts(low, high)}"
    if audit.level_every > audit.steps:
        cycle = f"Layers differ in their number of choices, so counts are equal only after {audit.level_every} steps."
        return Verdict("open", "Not level yet", (uneven, cycle))
    test = f"chi-square test over all layers: p {p_value(audit.p_value)}"
    if audit.expectation_fair:
        why = f"The counts are consistent with equal chances ({test}), but they are not equal."
        return Verdict("mixed", "In expectation only, not strictly", (uneven, why))
    why = f"Equal chances do not explain these counts ({test}). Blocks that were trained more often look better."
    return Verdict("bad", "No, not fair", (uneven, why))


def _counts(low: int, high: int) -> str:
    """State the updates of the most and the least trained block in a sentence."""
    if low == high:
        return f"Every choice block was updated {whole(low)} times."
    behind = f", {percent(1 - low / high)} less" if high else ""
    return (
        f"The most trained choice block was updated {whole(high)} times, the least trained {whole(low)} times{behind}."
    )


def _chance(audit: Audit, choices: Sequence[int]) -> tuple[str, ...]:
    """State the chance that uniform sampling of the same number of paths would end level, where lemma 1 applies."""
    m, n = max(choices), audit.backward_passes
    if m < 2 or n % m:
        return ()
    chance = equal_count_probability(m, n)
    shown = "less than one in a million" if chance < 1e-6 else f"about one in {float(f'{1 / chance:.2g}'):,.0f}"
    return (
        f"Had {whole(n)} paths been drawn uniformly instead, the chance that the {m} blocks of a layer end "
        f"level would be {shown} (lemma 1).",
    )


def ranking_verdict(ranking: RankingStudy) -> Verdict:
    """Can the supernet's order of networks be believed (paper 4.4)? The study's own advice says what to do."""
    sentences = [_tau_sentence(ranking.tau)]
    if ranking.ceiling:
        agreement = agreement_text(ranking.ceiling)
        sentences.append(f"Noise ceiling: trainings that differ only in the seed agree with tau = {agreement}.")
    if ranking.predictors:
        sentences.append(_predictor_sentence(ranking))
    status, answer = _believed(ranking)
    return Verdict(status, answer, (*sentences, *ranking.advice))


def is_low(ceiling: Agreement | None) -> bool:
    """True if even repeated trainings order the networks so differently that tau means little."""
    return ceiling is not None and not ceiling.tau >= LOW_CEILING


def best_trivial(ranking: RankingStudy) -> float:
    """Largest absolute tau among the trivial predictors; 0 if none is defined."""
    return max((abs(value.tau) for value in ranking.predictors.values() if is_known(value.tau)), default=0.0)


def agreement_text(value: Agreement) -> str:
    """Format tau with its interval and n: `0.87 (95 % interval 0.60 to 0.97, n = 13)`."""
    low, high = value.interval
    known = is_known(low) and is_known(high)
    limits = f"95\u00a0% interval {decimal(low)} to {decimal(high)}" if known else "no interval"
    return f"{decimal(value.tau)} ({limits}, n\u00a0=\u00a0{value.n})"


def _believed(ranking: RankingStudy) -> tuple[Status, str]:
    tau, (low, high) = ranking.tau, ranking.tau.interval
    if not is_known(tau.tau):
        return "open", "This cannot be said"
    if is_low(ranking.ceiling):
        return "open", "This study cannot tell: tau means little here"
    if low > 0 and tau.tau <= best_trivial(ranking):
        return "mixed", "It orders well, but so does counting"
    # the interval of a constant predictor is NaN, and does not count
    if low > 0 and any(lead.interval[0] <= 0 for lead in ranking.differences.values()):
        return "mixed", "It orders well, but perhaps no better than counting"
    if low > 0:
        return "good", "Yes, as far as this study sees"
    if high < 0:
        return "bad", "No, it is upside down"
    return "bad", "Not on this evidence"


def _tau_sentence(tau: Agreement) -> str:
    if not is_known(tau.tau):
        return (
            f"Kendall's tau over {counted(tau.n, 'network')} is not defined: "
            "one of the two lists of accuracies is constant."
        )
    return (
        f"One-shot and stand-alone accuracy order the networks with Kendall's tau = {agreement_text(tau)}; "
        "1 is the same order, 0 no relation."
    )


def _predictor_sentence(ranking: RankingStudy) -> str:
    known = [
        (PREDICTOR_NAMES.get(name, name), found) for name, found in ranking.predictors.items() if is_known(found.tau)
    ]
    if not known:
        return "No trivial predictor tells these networks apart: they are all of one size."
    return f"Without any supernet, {listed([f'counting {name} gives {agreement_text(t)}' for name, t in known])}."


def networks_verdict(
    networks: Sequence[Candidate],
    trained: Mapping[Genome, TrainingResult],
    classes: int,
    tested: Sequence[tuple[str, int]] = (),
    measure: Measure = "top1",
) -> Verdict:
    """Answer: which networks to take (paper 4.2)?

    Args:
        networks: networks selected from the front, and those named by the user.
        trained: their trainings from scratch by genome; untrained ones are absent.
        classes: number of classes of the data; an accuracy of 1/classes is guessing.
        tested: every class with its number of test images, in order; empty if unknown.
        measure: measure of accuracy.
    """
    if not networks:
        why = "No network was selected, because the front is empty. Widen the bounds and search again."
        return Verdict("bad", "None", (why,))
    results = [(network, trained[network.genome]) for network in networks if network.genome in trained]
    done = [(network, result) for network, result in results if result.test is not None]
    if not done:
        best = max(networks, key=lambda network: _known_or_0(network.value(measure)))
        why = (
            f"By one-shot accuracy on validation images the best of them is {best.text} "
            f"({percent(best.value(measure))}, {millions(best.value('madds'))} multiply-adds)."
        )
        diverged = f"{counted(len(results), 'network')} diverged when trained from scratch"
        answer = f"{counted(len(networks), 'network')}, not trained from scratch yet"
        return Verdict("bad", diverged, (why,)) if results else Verdict("open", answer, (why,))
    # chosen on validation images, because choosing on test images would bias the test
    best, result = max(done, key=lambda pair: pair[1].validation.accuracy(measure) if pair[1].validation else 0.0)
    light, light_result = min(done, key=lambda pair: pair[0].value("madds"))
    test, light_test = result.test, light_result.test
    assert test is not None, "it is done"
    assert light_test is not None, "it is done"
    sentences = [f"Most accurate, as chosen on validation images: {_described(best, test, measure)}."]
    if light.genome != best.genome:
        sentences.append(f"Least compute: {_described(light, light_test, measure)}.")
        if _overlap(accuracy_interval(test, measure), accuracy_interval(light_test, measure)):
            sentences.append("Their intervals overlap: on this test the lightest may be as good as the best.")
    missing = len(networks) - len(done)
    if missing:
        sentences.append(f"{counted(missing, 'network')} diverged or was not trained from scratch.")
    lowest = accuracy_interval(test, measure)[0]
    if lowest <= 1 / classes:
        sentences.append(f"Guessing among {counted(classes, 'class', 'classes')} reaches {percent(1 / classes)}.")
        return Verdict("bad", "None, no better than guessing", tuple(sentences))
    if tested and measure == "top1":  # one answer for all images is guessing too, if one class is large
        name, most = max(tested, key=lambda each: each[1])
        share = most / sum(count for _, count in tested)
        if lowest <= share:
            always = f"Always answering '{name}', the largest class of the test images, reaches {percent(share)}."
            return Verdict("bad", "None, no better than one answer for all", (*sentences, always))
    if weakest := weakest_classes(tested, [test]):
        place, right = weakest[0]
        name, images = tested[place]
        of_images = f"{percent(right)} of {counted(images, 'test image')}"
        sentences.append(f"The weakest class of {best.text} is '{name}': {of_images}.")
    return Verdict("good", f"Take {best.text}", tuple(sentences))


def _known_or_0(accuracy: float) -> float:
    return accuracy if is_known(accuracy) else 0.0


def weakest_classes(tested: Sequence[tuple[str, int]], results: Sequence[NetworkScore]) -> list[tuple[int, float]]:
    """Indices of the classes that have test images, least accurate first, with their mean accuracy.

    Args:
        tested: as for `networks_verdict`.
        results: scores on the test images.
    """
    known = [result.class_hits for result in results if len(result.class_hits) == len(tested)]
    shares = [
        (place, sum(hits[place] for hits in known) / (len(known) * images))
        for place, (_, images) in enumerate(tested)
        if known and images
    ]
    return sorted(shares, key=lambda each: each[1])


def accuracy_interval(score: NetworkScore, measure: Measure) -> tuple[float, float]:
    """Return the 95 % interval of an accuracy, given the numbers of images."""
    if measure == "balanced_accuracy":
        return balanced_interval(score.class_hits, score.class_images)
    return wilson_interval(score.top1, score.images)


def _described(network: Candidate, test: NetworkScore, measure: Measure) -> str:
    images = test.images
    limits = interval(*(percent(bound, images) for bound in accuracy_interval(test, measure)))
    kind = " balanced accuracy" if measure == "balanced_accuracy" else ""
    return (
        f"{network.text} at {millions(network.value('madds'))} multiply-adds, "
        f"{percent(test.accuracy(measure), images)}{kind} on test "
        f"(95\u00a0% interval {limits}, {counted(images, 'image')})"
    )


def _overlap(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return a[0] <= b[1] and b[0] <= a[1]
