"""Page of Table 1, measured: weight-sharing systems compared, with the paper's claims."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

from fairnas import __version__
from fairnas.analysis import RankAgreement
from fairnas.fairness import Audit
from fairnas.fairness.ledger import SIGNIFICANCE
from fairnas.fairness.theory import MethodClaims
from fairnas.report.format import UNKNOWN, counted, decimal, interval, is_known, millions, percent, whole
from fairnas.report.html import Section, folded, joined, listing, paragraphs, plot, table, tag
from fairnas.report.page import whole_page
from fairnas.report.plots import Figure, plain_layout, six_digits
from fairnas.report.reproduction_section import versions_table

SINGLE, TWO = 1.3, 2.6
"""Largest memory of a step, relative to a single path, that counts as one path, and as two."""
MemoryClass = Literal["SP", "TP", "SN"]
MEMORY_NAMES: dict[MemoryClass, str] = {"SP": "a single path", "TP": "two paths", "SN": "the whole supernet"}
_COLOURS = ("--arm-a", "--arm-b", "--arm-c", "--arm-d", "--arm-e")
_DASHES = ("solid", "dash", "dot")


@dataclass(frozen=True)
class SystemTraining:
    """One supernet and its results."""

    seed: int
    audit: Audit
    path_images: float
    """Images times passes of one path, including passes that trained the architecture."""
    backward_passes: int
    """Backward passes through the whole network, including those that trained the architecture."""
    unevenness: tuple[float, float]
    """Gini coefficients of updates and of gradient norms at the end."""
    curve: tuple[tuple[float, float, float], ...]
    """Points of the training: share of it that is done, and both Gini coefficients."""
    tau: RankAgreement
    """Agreement of one-shot accuracy with the truth."""
    preference_tau: RankAgreement | None
    """Agreement of the system's own preference with the truth; None if it has none."""
    one_shot: float
    """Mean one-shot top-1 of the networks of the truth."""
    derived: str
    """Genome of the derived network."""
    derived_by: str
    derived_top1: float | None
    """Stand-alone accuracy of the derived network; None if it diverged."""
    derived_madds: int
    cheapest_share: float
    """Share of layers of the derived network that use the cheapest choice of their layer, such as a skip."""


@dataclass(frozen=True)
class System:
    """Results of one system."""

    name: str
    claims: MethodClaims | None
    """Row of the system in the paper's table."""
    epochs: int
    seconds_per_path_image: float
    """Seconds in one run on one machine: only their ratios are meaningful."""
    peak: int
    """Peak of bytes in a step, beyond weights and gradients."""
    peak_of_two: int | None
    """Peak with two choices per layer."""
    trainings: tuple[SystemTraining, ...]
    diverged: tuple[str, ...]
    """Reasons of the trainings that diverged."""
    draws_alike: bool
    """True if its rule gives all blocks of a layer equal chances. If not, a test that finds nothing only lacks power.
    """


@dataclass(frozen=True)
class TableOne:
    """Content of the page."""

    systems: tuple[System, ...]
    single_path: System
    """Reference for memory and time: uniform sampling. Without trainings if it was not requested."""
    space: str
    choices: int
    """Largest number of choices of a layer, m."""
    whole_supernet: float
    """Activations of all blocks, relative to the largest path."""
    data: str
    validation_images: int
    truth: str
    networks: int
    command: str
    versions: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON; unknown numbers are null."""
        plain = {
            "table": 1,
            "space": self.space,
            "data": self.data,
            "validation_images": self.validation_images,
            "truth": self.truth,
            "networks": self.networks,
            "systems": {
                system.name: {
                    "memory_in_paths": self.memory(system),
                    "memory_in_paths_with_two_choices": self.memory(system, two=True),
                    "time_per_path_image_in_uniform": system.seconds_per_path_image
                    / self.single_path.seconds_per_path_image,
                    **{key: value for key, value in dataclasses.asdict(system).items() if key != "name"},
                    "verdicts": {verdict.claim: dataclasses.asdict(verdict) for verdict in self.verdicts(system)},
                }
                for system in self.systems
            },
            "columns": list(COLUMNS),
            "rows": rows_of(self),
            "command": self.command,
            "versions": dict(self.versions),
        }
        return _finite(plain)

    def memory(self, system: System, *, two: bool = False) -> float | None:
        """Memory of a step relative to a single path, with all choices or with two per layer."""
        own = system.peak_of_two if two else system.peak
        whole_path = self.single_path.peak_of_two if two else self.single_path.peak
        return own / whole_path if own and whole_path else None

    def verdicts(self, system: System) -> tuple["ClaimVerdict", ...]:
        """Verdicts on the paper's claims about a system."""
        if system.claims is None:
            return ()
        ratio = self.memory(system)
        assert ratio is not None, "all choices can be trained"
        rows = [memory_verdict(system.claims.memory, ratio, self.whole_supernet)]  # pyright: ignore[reportArgumentType]
        if not system.trainings:
            why = "every training diverged" if system.diverged else "not trained here"
            return (*rows, *(ClaimVerdict(f"{kind} fairness", "", "not measurable", why) for kind in ("EF", "SF")))
        audits = [training.audit for training in system.trainings]
        gradients = f"Gini of its gradient norms {fmean(t.unevenness[1] for t in system.trainings):.2f}"
        rows.append(_expectation(system, gradients))
        strict = all(audit.strict_fair for audit in audits)
        low, high = min(a.updates_min for a in audits), max(a.updates_max for a in audits)
        rows.append(
            _fairness("SF", system.claims.strict_fair, strict, f"updates per block {low:,} to {high:,}; {gradients}")
        )
        return tuple(rows)


@dataclass(frozen=True)
class ClaimVerdict:
    """Claim of the paper's Table 1, and the measurement."""

    claim: str
    claimed: str
    verdict: Literal["confirmed", "contradicted", "not measurable"]
    measured: str


def _expectation(system: System, gradients: str) -> ClaimVerdict:
    """Verdict on the claim about expectation fairness."""
    assert system.claims is not None, "somebody claims it"
    audits = [training.audit for training in system.trainings]
    claimed, fair = system.claims.expectation_fair, all(audit.expectation_fair for audit in audits)
    if not all(audit.single_paths for audit in audits):
        return _fairness("EF", claimed, False, f"several blocks of a layer at once (definition 1); {gradients}")
    measured = f"smallest p of {len(audits)}: {min(audit.p_value for audit in audits):.2g}; {gradients}"
    if fair and not claimed and not system.draws_alike:
        why = f"blocks have unequal chances by its rule, which the test did not see; {measured}"
        return ClaimVerdict(_NAMES["EF"], "no", "not measurable", why)
    return _fairness("EF", claimed, fair, measured)


_NAMES = {"EF": "expectation fairness", "SF": "strict fairness"}


def _fairness(kind: str, claimed: bool, found: bool, measured: str) -> ClaimVerdict:
    verdict = "confirmed" if claimed == found else "contradicted"
    return ClaimVerdict(_NAMES[kind], "yes" if claimed else "no", verdict, f"{'yes' if found else 'no'}: {measured}")


def memory_verdict(claimed: MemoryClass, ratio: float, whole_supernet: float) -> ClaimVerdict:
    """Verdict on a claim about memory.

    Args:
        claimed: a single path, two, or all.
        ratio: memory of a step, relative to a single path.
        whole_supernet: memory of all blocks of the space; with few or small choices it is hardly more than two paths.
    """
    found = memory_class(ratio)
    measured = f"{ratio:.1f} times that of a single path"
    if found != "SP" and claimed != "SP" and whole_supernet < TWO:
        why = f"all blocks of this space take {whole_supernet:.1f}, so two paths and all cannot be told apart"
        return ClaimVerdict("memory", MEMORY_NAMES[claimed], "not measurable", f"{measured}; {why}")
    verdict = "confirmed" if claimed == found else "contradicted"
    told = MEMORY_NAMES[found] if found == "SP" or whole_supernet >= TWO else "more than a single path"
    return ClaimVerdict("memory", MEMORY_NAMES[claimed], verdict, f"{measured}: {told}")


def memory_class(ratio: float) -> MemoryClass:
    """Class of the memory of a step, given in single paths."""
    return "SP" if ratio < SINGLE else "TP" if ratio < TWO else "SN"


def over_seeds(system: System, value: Callable[[SystemTraining], float | None], shown: Callable[[float], str]) -> str:
    """Mean over the seeds, with the smallest and largest value."""
    known = [found for training in system.trainings if (found := value(training)) is not None and is_known(found)]
    if not known:
        return UNKNOWN
    if len(known) == 1:
        return shown(known[0])
    return f"{shown(fmean(known))} ({interval(shown(min(known)), shown(max(known)))})"


COLUMNS = ("system", "memory", "time", "compute", "updates", "EF", "SF", "gradients", "tau", "own tau", "derived")


def rows_of(given: TableOne) -> list[list[str]]:
    """Table as text, one row per system, in the order of `COLUMNS`."""
    rows = []
    for system in given.systems:
        memory, small = given.memory(system), given.memory(system, two=True)
        base = given.single_path.seconds_per_path_image
        audits = [training.audit for training in system.trainings]
        low, high = (
            (min(a.updates_min for a in audits), max(a.updates_max for a in audits)) if audits else (math.nan, math.nan)
        )
        p = min((a.p_value for a in audits), default=math.nan)
        rows.append(
            [
                system.name,
                f"{decimal(memory, 1)} ({decimal(small, 1)})",
                decimal(system.seconds_per_path_image / base, 2),
                over_seeds(system, lambda t: t.path_images, millions),
                f"{whole(low)} to {whole(high)}" if audits else UNKNOWN,
                _expected(system, p) if audits else UNKNOWN,
                UNKNOWN if not audits else "yes" if all(a.strict_fair for a in audits) else "no",
                over_seeds(system, lambda t: t.unevenness[1], decimal),
                over_seeds(system, lambda t: t.tau.tau, decimal),
                over_seeds(system, lambda t: t.preference_tau and t.preference_tau.tau, decimal),
                over_seeds(system, lambda t: t.derived_top1, percent),
            ]
        )
    return rows


def _expected(system: System, p: float) -> str:
    """Verdict on expectation fairness for a cell, with the smallest p of all seeds."""
    if not all(training.audit.single_paths for training in system.trainings):
        return "no, several paths at once"
    if p < SIGNIFICANCE:
        return f"no, p {p:.2g}"
    return f"{'yes' if system.draws_alike else 'not seen'}, p {p:.2g}"


def render_table_1(given: TableOne) -> str:
    """Render the page as HTML. Equal numbers give an equal page."""
    seeds = max((len(system.trainings) for system in given.systems), default=0)
    lead = (
        f"Space {given.space}, data {given.data}. {counted(len(given.systems), 'system')} at equal compute, "
        f"{counted(seeds, 'seed')} each; {given.networks:,} networks of known stand-alone accuracy ({given.truth})."
    )
    header = joined(
        [
            tag("p", "fairnas compare", classes="eyebrow"),
            tag("h1", "Table 1, measured"),
            tag("p", lead, classes="lead"),
        ]
    )
    sections = [_table(given), _claims(given), _curves(given), _derived(given), _reproduction(given)]
    footer = f"Written by fairnas {__version__}. Claims are the paper's; every other number was measured here."
    return whole_page("Table 1, measured: fairnas", header, sections, footer)


def _table(given: TableOne) -> Section:
    notes = (
        "Memory is the peak of a step beyond weights and gradients, in those of a single path with all "
        f"{given.choices} choices (in brackets: with two choices per layer). Time is per path-image, in that of "
        "uniform sampling. Compute is in path-images: a pass through all blocks of a layer counts as a path per block.",
        f"EF is the test of definition 2 at {SIGNIFICANCE}, the smallest p of all seeds; SF is definition 3, exactly. "
        "Both are on the basis of definition 1: passes that go through several blocks of a layer at once are neither. "
        "Not seen: the system's rule gives blocks unequal chances, and the test did not see it. "
        "Gradients: Gini coefficient of the gradient norms that the blocks of a layer got, 0 if all got alike.",
        "Tau is that of one-shot accuracy with the truth; own tau that of what the system itself prefers, such as its "
        "architecture's log-probability. Derived: stand-alone top-1 of the architecture it arrives at. Means "
        "over seeds, with the range in brackets.",
    )
    body = joined([table("Systems, measured", COLUMNS, rows_of(given)), paragraphs(notes)])
    diverged = [f"{system.name}: {reason}" for system in given.systems for reason in system.diverged]
    if diverged:
        body = joined([body, paragraphs(["Trainings that diverged, and are in no number:", *diverged])])
    return Section("systems", "Systems", body)


def _claims(given: TableOne) -> Section:
    rows = [
        [system.name, verdict.claim, verdict.claimed, verdict.verdict, verdict.measured]
        for system in given.systems
        for verdict in given.verdicts(system)
    ]
    said = "GPU days of training and search are claims about other machines and data sets, and not measurable here."
    head = ("system", "claim", "paper", "verdict", "measured")
    return Section("claims", "The paper's claims", joined([table("Claims of Table 1", head, rows), paragraphs([said])]))


def curve_figure(given: TableOne, place: Literal[1, 2]) -> Figure:
    """Unevenness between blocks over a training: of the updates (1), or of the gradient norms (2)."""
    traces = []
    for number, system in enumerate(each for each in given.systems if each.trainings):
        training = system.trainings[0]
        style = {"color": f"var({_COLOURS[number % len(_COLOURS)]})", "width": 2}
        style |= {"dash": _DASHES[number // len(_COLOURS) % len(_DASHES)]}
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": system.name,
                "x": [six_digits(100 * point[0]) for point in training.curve],
                "y": [six_digits(point[place]) for point in training.curve],
                "line": style,
                "hovertemplate": f"{system.name}<br>%{{x:.0f}} % of the training<br>Gini %{{y:.3f}}<extra></extra>",
            }
        )
    what = ("updates", "gradient norms")[place - 1]
    layout = plain_layout("training done (%)", f"Gini of {what}", legend=True, hovermode="closest")
    layout["yaxis"]["rangemode"] = "tozero"
    return {"data": traces, "layout": layout}


def _curves(given: TableOne) -> Section:
    plots = (("gini-updates", curve_figure(given, 1)), ("gini-gradients", curve_figure(given, 2)))
    body = joined(
        [
            paragraphs(["Do the rich get richer? How unequally the blocks of a layer were treated, first seed."]),
            plot("gini-updates", "Lines: Gini coefficient over the training, a line per system.", "Updates per block."),
            plot("gini-gradients", "The same of gradient norms.", "Gradient norms per block."),
        ]
    )
    return Section("unevenness", "Rich get richer", body, plots)


def _derived(given: TableOne) -> Section:
    rows = [
        [
            f"{system.name}, seed {training.seed}",
            training.derived,
            training.derived_by,
            millions(training.derived_madds),
            percent(training.cheapest_share),
            percent(training.derived_top1),
        ]
        for system in given.systems
        for training in system.trainings
    ]
    head = ("training", "architecture", "derived by", "multiply-adds", "layers of the cheapest choice", "top-1")
    return Section("derived", "Architectures", table("What each training arrived at", head, rows))


def _reproduction(given: TableOne) -> Section:
    body = joined(
        [
            listing("The command that makes this table", given.command),
            folded("Versions that wrote this page", versions_table(given.versions)),
        ]
    )
    return Section("reproduce", "How to reproduce this", body)


def _finite(value: Any) -> Any:
    """Replace NaN, which JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_finite(item) for item in value]
    return value
