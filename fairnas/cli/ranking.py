"""The ranking study as tables for people."""

from collections.abc import Mapping, Sequence
from typing import Any

from fairnas.cli.output import bracketed, interval, millions, percent, print_table
from fairnas.config import ACCURACY_WORDS, Measure

_PREDICTORS = {"madds": "multiply-adds", "params": "parameters", "depth": "layers that are no skips"}


def print_study(study: Mapping[str, Any]) -> None:
    """Print what `ranking.json` holds; a study of an earlier version has fewer numbers."""
    _print_models(study)
    against = study.get("against")
    others = [(f"one-shot, BN statistics: {each['name']}", each) for each in study.get("statistics", ())]
    others += [(f"supernet of {against['name']}", against)] if against else []
    scored_by = study.get("scored_by")
    own = f"one-shot, BN statistics: {scored_by}" if scored_by else "one-shot accuracy"
    rows = [[own, _tau(study["tau"]), ""]]
    rows += [
        [f"{_PREDICTORS.get(name, name)} alone", _tau(found), _lead(study.get("differences", {}).get(name))]
        for name, found in study["predictors"].items()
    ]
    by_loss, corrected = study.get("by_loss"), study.get("corrected")
    if corrected and "cost" not in corrected:
        corrected = None
    losses = [("one-shot cross-entropy", by_loss)] if by_loss else []
    rows += [[name, _tau(each["tau"]), _lead(each["difference"])] for name, each in losses]
    if corrected:
        rows.append([_summed(corrected), _tau(corrected), _lead(corrected["difference"])])
    rows += [[name, _tau(each["tau"]), _lead(each["difference"])] for name, each in others]
    head = ["order by", " tau-b [95 % interval]", " first row ahead by"]
    print_table(head, [*rows, *_ceiling_rows(study["ceiling"])], "Who predicts the stand-alone order?")
    if "best" in study:
        _print_choosing([(own, study), *losses, *others])
    _print_gaps(study["gap"], [(own, study), *others])
    if study.get("second_choice") and corrected:
        _print_second_choice(study["second_choice"], corrected, study.get("measure", "top1"))


def _summed(corrected: Mapping[str, Any]) -> str:
    return f"cross-entropy and {_PREDICTORS[corrected['cost']]}, fitted to the others"


def _print_second_choice(found: Mapping[str, Any], corrected: Mapping[str, Any], measure: str) -> None:
    rows = [
        [
            row["genome"],
            percent(row["foreseen"]),
            percent(row[measure]),
            millions(row["madds"]),
            millions(row["params"]),
            "yes" if row["selected"] else "no",
        ]
        for row in found["networks"]
    ]
    summed = f"cross-entropy and {_PREDICTORS[corrected['cost']]}"
    title = f"Second choice: of {found['looked_at']:,} networks that the search scored, by the fitted sum of {summed}"
    head = ["genome", " foreseen (test)", " one-shot (validation)", " MAdds", " params", " was selected"]
    print_table(head, rows, title)


def _tau(found: Mapping[str, Any]) -> str:
    return interval(dict(found)) if found["tau"] is not None else f"constant, n = {found['n']}"


def _lead(found: Mapping[str, Any] | None) -> str:
    if not found or found["difference"] is None:
        return ""
    return f"{bracketed(found['difference'], found['interval'])}, n = {found['n']}"


def _ceiling_rows(ceiling: Mapping[str, Any] | None) -> list[list[str]]:
    if not ceiling:
        return []
    pairs = ceiling.get("pairs", 1)
    name = "another seed: noise ceiling" + (f", mean of {pairs} pairs" if pairs > 1 else "")
    rows = [[name, _tau(ceiling), ""]]
    if ceiling.get("reachable") is not None:
        reach = f"{ceiling['reachable']:.2f}, n = {ceiling['n']}"
        rows.append([f"without error, for the mean of {ceiling['seeds']} seeds (estimate)", reach, ""])
    return rows


def _print_choosing(judges: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """Further measures per judge."""
    counts = " / ".join(judges[0][1]["best"]["regret"])
    rows = [
        [
            name,
            str(each["tau"]["n"]),
            _number(each["tau"]["spearman"]),
            _number(each["best"]["pearson"]),
            f"{_number(each['best']['best_tau'])}, n = {each['best']['best_n']}",
            " / ".join(f"{100 * lost:.1f}" for lost in each["best"]["regret"].values()),
        ]
        for name, each in judges
    ]
    head = ["order by", " n", " Spearman", " Pearson", " tau among the best tenth (at least 3)"]
    print_table([*head, f" points lost by the top {counts}"], rows, "Choosing by an order")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _print_models(study: Mapping[str, Any]) -> None:
    against = study.get("against")
    columns = ["genome", " one-shot (validation)"]
    columns += [f" by {against['name']}"] if against else []
    columns += [" stand-alone (test)", " per seed", " MAdds", " params"]
    others: Sequence[float | None] = against["scores"] if against else [None] * len(study["models"])
    rows = [
        [model["genome"], percent(model["one_shot"])]
        + ([percent(other)] if against else [])
        + [
            percent(model["mean"]) if model["mean"] is not None else "diverged",
            " ".join("diverged" if value is None else percent(value) for value in model["stand_alone"]),
            millions(model["madds"]),
            millions(model["params"]),
        ]
        for model, other in sorted(
            zip(study["models"], others, strict=True), key=lambda pair: (-pair[0]["one_shot"], pair[0]["genome"])
        )
    ]
    lost = f", {study['diverged']} of them left out because a training diverged" if study["diverged"] else ""
    measure: Measure = study.get("measure", "top1")
    accuracy = "" if measure == "top1" else f"; accuracy is {ACCURACY_WORDS[measure]}"
    print_table(columns, rows, f"{len(rows)} networks ({study['choose']}){lost}{accuracy}")


def _print_gaps(gap: Mapping[str, Any], judges: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    rows = [
        [
            name,
            *(f"{percent(low)} to {percent(high)}" for low, high in (each["gap"]["one_shot"], gap["stand_alone"])),
            f"{each['gap']['gap']:.3f}",
            str(each["gap"]["n"]),
        ]
        for name, each in judges
    ]
    print_table(["scored by", " one-shot", " stand-alone", " lambda", " n"], rows, "Supernet accuracy gap")
