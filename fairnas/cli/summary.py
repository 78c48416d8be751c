"""Results of a run as tables and lines for people."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fairnas.cli.output import column, interval, millions, percent, print_table, value
from fairnas.config import ACCURACY_WORDS, Measure, are_unequal

if TYPE_CHECKING:
    from fairnas.fairness import Audit
    from fairnas.pipeline.summary import RunSummary


def print_summary(result: "RunSummary") -> None:
    """Print the table at the end of a run, the verdicts, and the path of the report."""
    if result.selected:
        _print_selected(result)
        _print_exported(result)
    if result.search and result.search.operators:
        born = [
            f"{name} {tally.children:,} ({tally.survived / tally.children:.0%})"
            for name, tally in sorted(result.search.operators.items(), key=lambda item: -item[1].children)
        ]
        print(f"operators {', '.join(born)}: children, and how many of them lived on")
    if result.fairness:
        print(fairness_line(result.fairness))
    if result.ranking:
        study = result.ranking.study
        print(f"ranking   tau = {interval(study.tau)} (one-shot against stand-alone; 95 % interval)")
        if study.ceiling:
            print(f"ceiling   tau = {interval(study.ceiling)} (one training seed against another)")
        for name, found in study.predictors.items():
            if not math.isnan(found.tau):
                print(f"{name:9} tau = {interval(found)} (as predictor)")
        for sentence in study.advice:
            print(f"          {sentence}")
    if result.no_ranking:
        print(f"ranking   none: {result.no_ranking}")
    if result.report:
        print(f"report    {result.report}")


def _print_selected(result: "RunSummary") -> None:
    measure, units = result.config.measure, result.units
    words, other = ACCURACY_WORDS[measure], _other_measure(result)
    rows = [
        [each.candidate.text, *(millions(each.candidate.value(cost)) for cost in ("madds", "params"))]
        + [percent(each.candidate.get(measure))]
        + [value(each.candidate.get(name)) for name in units]
        + [percent(each.test.accuracy(shown) if each.test else None) for shown in (measure, other) if shown]
        for each in result.selected
    ]
    columns = ["genome", " MAdds", " params", f" one-shot {words} (validation)"]
    columns += [column(name, unit) for name, unit in units.items()]
    columns += [f" stand-alone {words} (test)", *([f" {ACCURACY_WORDS[other]} (test)"] if other else [])]
    print_table(columns, rows)


def _other_measure(result: "RunSummary") -> Measure | None:
    """Return the accuracy measure worth showing beside the run's: balanced accuracy if class sizes differ much."""
    if result.config.measure != "top1":
        return "top1"
    counts = next((each.test.class_images for each in result.selected if each.test), ())
    return "balanced_accuracy" if are_unequal(counts) else None


def _print_exported(result: "RunSummary") -> None:
    """Print the measurements of the exported files, and whether they keep the bounds."""
    found = result.selected
    if any(each.onnx_ms is not None for each in found):
        columns, rows = ["ONNX files", " float32 (ms)"], [[each.candidate.text, value(each.onnx_ms)] for each in found]
        if any(each.int8_ms is not None for each in found):
            columns += [" int8 (ms)", " int8 top-1 (test)"]
            for cells, each in zip(rows, found, strict=True):
                cells += [value(each.int8_ms), percent(each.int8_top1)]
        print_table(columns, rows)
    files = [(each.candidate.text, each.onnx_ms, each.int8_ms) for each in found]
    for line in bound_lines(result.latency_bound, files):
        print(line)


def bound_lines(bound: float | None, files: Sequence[tuple[str, float | None, float | None]]) -> list[str]:
    """Compare the latency of the exported networks with the bound; the search knew only predictions.

    Args:
        bound: upper bound in milliseconds; None for none.
        files: genome of each network, milliseconds of its ONNX file and of its int8 file, if measured.
    """
    measured = [(genome, onnx_ms, int8_ms) for genome, onnx_ms, int8_ms in files if onnx_ms is not None]
    if bound is None or not measured:
        return []
    times = [(genome, onnx_ms) for genome, onnx_ms, _ in measured]
    times += [(f"{genome} in 8 bits", int8_ms) for genome, _, int8_ms in measured if int8_ms is not None]
    over = [(name, taken) for name, taken in times if taken > bound]
    if not over:
        return [f"bound     every ONNX file takes at most {value(bound)} ms, as measured at its export"]
    return [
        f"bound     {name} takes {value(taken)} ms, {taken / bound - 1:.1%} more than the {value(bound)} ms asked for "
        "(median, as measured at its export)"
        for name, taken in over
    ]


def fairness_line(fairness: "Audit") -> str:
    """Return the fairness verdict as one line."""
    verdict = (
        "strictly fair"
        if fairness.strict_fair
        else "fair in expectation, not strictly"
        if fairness.expectation_fair
        else "NOT fair"
        if fairness.single_paths
        else "NOT fair, because it does not train single paths (definition 1)"
    )
    return (
        f"fairness  {verdict}: each choice block updated {fairness.updates_min:,} to {fairness.updates_max:,} "
        f"times in {fairness.steps:,} steps"
    )
