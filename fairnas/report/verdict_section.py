"""First section of the report: the three verdicts, and a table of the selected networks."""

import statistics
from collections.abc import Sequence
from urllib.parse import quote

from fairnas.config import are_unequal
from fairnas.export.facts import INT8, ONNX, ModelFacts
from fairnas.report.format import UNKNOWN, counted, interval, listed, millions, percent, size, whole
from fairnas.report.html import Html, Section, command, folded, joined, missing, paragraphs, prose, table, tag
from fairnas.report.objectives import bounds_in_words, extra_objectives, in_words, quantity
from fairnas.report.ranking_section import no_study
from fairnas.report.run_data import Inputs
from fairnas.report.verdicts import (
    Verdict,
    accuracy_interval,
    fairness_verdict,
    networks_verdict,
    ranking_verdict,
    weakest_classes,
)
from fairnas.scores import TrainingResult
from fairnas.search.candidate import Candidate

_SYMBOLS = {"good": "✓", "mixed": "≈", "bad": "✗", "open": "?"}
_UNKNOWN = "Not known yet"
_CLASSES = 50
"""Most classes shown; of more, the least accurate are shown."""


def verdicts(inputs: Inputs) -> Section:
    """Build the section: three questions with answers, then the selected networks."""
    articles = [answered(question, verdict) for question, verdict in answers(inputs)]
    return Section("verdicts", "Verdicts", joined([*articles, offered_table(inputs)]))


def answers(inputs: Inputs) -> tuple[tuple[str, Verdict], ...]:
    """The three questions with their verdicts."""
    return (
        ("Is this supernet fair?", _fairness(inputs)),
        ("Can its ranking be believed?", _ranking(inputs)),
        ("Which networks to take?", _networks(inputs)),
    )


def offered_table(inputs: Inputs) -> Html:
    """Table of the networks to take; empty if there are none yet."""
    networks = _offered(inputs)
    return joined([_network_table(inputs, networks), _class_table(inputs, networks)]) if networks else Html("")


def _offered(inputs: Inputs) -> tuple[Candidate, ...]:
    """Networks to take: the selected ones, then those named by the user."""
    return (*(inputs.search.selected if inputs.search else ()), *inputs.named)


def _fairness(inputs: Inputs) -> Verdict:
    if inputs.ledger is None:
        return Verdict("open", _UNKNOWN, (missing("ledger", "train", inputs.path),))
    return fairness_verdict(inputs.ledger.audit(), inputs.ledger.choices)


def _ranking(inputs: Inputs) -> Verdict:
    if inputs.ranking is None:
        return Verdict("open", _UNKNOWN, (no_study(inputs),))
    return ranking_verdict(inputs.ranking.study)


def _networks(inputs: Inputs) -> Verdict:
    offered = _offered(inputs)
    if inputs.search is None and not offered:
        return Verdict("open", _UNKNOWN, (missing("search result", "search", inputs.path),))
    tested = inputs.data.tested if inputs.data else ()
    verdict = networks_verdict(offered, inputs.trained, inputs.space.num_classes, tested, inputs.config.measure)
    if inputs.trained or not offered:
        return verdict
    remedy = f"{command('retrain', inputs.path)} trains them from scratch and tests them."
    return Verdict(verdict.status, verdict.answer, (*verdict.sentences, remedy))


def answered(question: str, verdict: Verdict) -> Html:
    """A question with its verdict."""
    return tag("article", tag("h3", question), answer(verdict), classes=f"verdict {verdict.status}")


def answer(verdict: Verdict) -> Html:
    """A verdict in words, with a symbol for good or bad news."""
    symbol = tag("span", _SYMBOLS[verdict.status], classes="symbol", attributes='aria-hidden="true"')
    said = tag("p", symbol, verdict.answer, classes="answer")
    return tag("div", said, paragraphs(verdict.sentences))


def _network_table(inputs: Inputs, networks: Sequence[Candidate]) -> Html:
    objectives, words = extra_objectives(inputs.search.objectives) if inputs.search else (), inputs.accuracy_words
    files = [inputs.exported[each.text] for each in networks if each.text in inputs.exported]
    devices = {each.latency.device: None for each in files if each.latency.of(ONNX) is not None}
    measured = bool(devices)
    rows = [
        (
            str(number),
            tag("code", network.text),
            millions(network.value("madds")),
            millions(network.value("params")),
            percent(network.value(inputs.config.measure)),
            *(quantity(network.get(objective.name), objective.unit) for objective in objectives),
            _tested(inputs, inputs.trained.get(network.genome)),
            *([_measured(inputs.exported.get(network.text))] if measured else []),
            _file_links(inputs, network),
        )
        for number, network in enumerate(networks, start=1)
    ]
    names = [
        f"{in_words(objective)}, predicted" if objective.name == "latency" else in_words(objective)
        for objective in objectives
    ]
    head = ("network", "genome", "MAdds", "parameters", f"one-shot {words}, validation", *names)
    head = (*head, f"stand-alone {words}, test", *(["ONNX for one image, measured"] if measured else []), "files")
    begun = "from scratch" if inputs.config.retrain.initial == "scratch" else "from the supernet's weights"
    bounds = bounds_in_words(inputs.search.objectives) if inputs.search else []
    caption = (
        f"Selected networks{f' with {listed(bounds)}' if bounds else ''}, each trained {begun} once by the recipe "
        f"'{inputs.config.retrain.recipe}'; 95\u00a0% intervals from the number of test images"
        f"{f'; measured on {listed(list(devices))}' if measured else ''}"
    )
    return table(caption, head, rows, classes="networks", stacked=True)


def _class_table(inputs: Inputs, networks: Sequence[Candidate]) -> Html:
    """Accuracy of each class, weakest first; empty if it was not counted."""
    tested = inputs.data.tested if inputs.data else ()
    trained = [inputs.trained.get(network.genome) for network in networks]
    results = {
        f"network {number}": result.test
        for number, result in enumerate(trained, start=1)
        if result is not None and result.test is not None and len(result.test.class_hits) == len(tested) > 0
    }
    if not results:
        return Html("")
    places = weakest_classes(tested, list(results.values()))
    rows = [
        (name, whole(images), *(percent(each.class_hits[place] / images) for each in results.values()))
        for place, _ in places[:_CLASSES]
        for name, images in [tested[place]]
    ]
    few = f"{whole(_CLASSES)} of {counted(len(places), 'class', 'classes')}" if len(places) > _CLASSES else "Classes"
    caption = f"{few}, the weakest first: share of their test images that a network gets right"
    return folded("Accuracy class by class", table(caption, ("class", "test images", *results), rows))


def _measured(exported: ModelFacts | None) -> Html:
    """Median latency of a network's ONNX file, and latency and accuracy of its int8 file."""
    onnx_ms = exported.latency.of(ONNX) if exported else None
    if exported is None or onnx_ms is None:
        return Html(UNKNOWN)
    parts, int8_ms = [tag("strong", quantity(onnx_ms, "ms"))], exported.latency.of(INT8)
    if int8_ms is not None and exported.int8_top1 is not None:
        told = f"int8 {quantity(int8_ms, 'ms')}, {percent(exported.int8_top1)} top-1 on the test images"
        parts += [Html("<br>"), tag("small", told)]
    return joined(parts)


def _tested(inputs: Inputs, result: TrainingResult | None) -> Html:
    """Test accuracy of a network with its interval, and the other measure if classes are of unequal sizes."""
    if result is None:
        return Html(UNKNOWN)
    if result.test is None:
        return Html("diverged")
    measure, test, tested = inputs.config.measure, result.test, inputs.data.tested if inputs.data else ()
    images = test.images
    bounds = interval(*(percent(bound, images) for bound in accuracy_interval(test, measure)))
    detail = f"{bounds}, {counted(images, 'image')}"
    if measure == "balanced_accuracy":
        detail += f"; top-1 {percent(test.top1, images)}"
    elif len(test.class_hits) == len(tested) and are_unequal([count for _, count in tested]):
        shares = [hits / count for hits, (_, count) in zip(test.class_hits, tested, strict=True) if count]
        detail += f"; balanced accuracy {percent(statistics.fmean(shares))}"
    return joined([tag("strong", percent(test.accuracy(measure), images)), Html("<br>"), tag("small", detail)])


def _file_links(inputs: Inputs, network: Candidate) -> Html:
    genome, files = network.text, inputs.files.get(network.text, ())
    if network.genome in inputs.trained and inputs.trained[network.genome].test is None:
        return Html("none, it diverged")
    if not files:
        return tag("span", "not exported: ", prose(command("export", inputs.path)))
    links = [
        joined([_link(f"models/{genome}/{name}", name) if inputs.linked else name, f" {size(octets)}"])
        for name, octets in files
    ]
    return joined([tag("code", f"models/{genome}/"), Html("<br>"), joined(links, ", ")])


def _link(path: str, text: str) -> Html:
    return tag("a", text, attributes=f'href="{quote(path)}"')
