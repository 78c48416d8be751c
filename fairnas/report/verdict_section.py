"""The opening of the report: the three verdicts, and the selected networks as a table."""

import statistics
from collections.abc import Sequence
from urllib.parse import quote

from fairnas.config import are_unequal
from fairnas.report.format import UNKNOWN, counted, interval, listed, millions, percent, size, whole
from fairnas.report.html import Html, Section, command, folded, joined, missing, paragraphs, prose, table, tag
from fairnas.report.objectives import ObjectiveRecord, bounds_in_words, extra_objectives, quantity
from fairnas.report.ranking_section import no_study
from fairnas.report.run_data import Inputs
from fairnas.report.run_records import Exported, Scored, Trained
from fairnas.report.verdicts import (
    Verdict,
    accuracy_interval,
    fairness_verdict,
    networks_verdict,
    ranking_verdict,
    weakest_classes,
)

_SYMBOLS = {"good": "✓", "mixed": "≈", "bad": "✗", "open": "?"}
_UNKNOWN = "Not known yet"
_CLASSES = 50
"""Of more, the least accurate are shown."""


def verdicts(inputs: Inputs) -> Section:
    """The three questions, answered; then the selected networks as a table."""
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
    """The networks to take as a table; nothing if there are none yet."""
    networks = _offered(inputs)
    return joined([_network_table(inputs, networks), _class_table(inputs, networks)]) if networks else Html("")


def _offered(inputs: Inputs) -> tuple[Scored, ...]:
    """Networks to take: those selected from the front, then those that the user named."""
    return (*(inputs.search.selected if inputs.search else ()), *inputs.named)


def _fairness(inputs: Inputs) -> Verdict:
    if inputs.ledger is None:
        return Verdict("open", _UNKNOWN, (missing("ledger", "train", inputs.path),))
    return fairness_verdict(inputs.ledger.audit(), inputs.ledger.choices)


def _ranking(inputs: Inputs) -> Verdict:
    if inputs.ranking is None:
        return Verdict("open", _UNKNOWN, (no_study(inputs),))
    return ranking_verdict(inputs.ranking)


def _networks(inputs: Inputs) -> Verdict:
    offered = _offered(inputs)
    if inputs.search is None and not offered:
        return Verdict("open", _UNKNOWN, (missing("search result", "search", inputs.path),))
    tested = inputs.data.tested if inputs.data else ()
    verdict = networks_verdict(offered, inputs.trained, inputs.space.num_classes, tested)
    if inputs.trained or not offered:
        return verdict
    remedy = f"{command('retrain', inputs.path)} trains them from scratch and tests them."
    return Verdict(verdict.status, verdict.answer, (*verdict.sentences, remedy))


def answered(question: str, verdict: Verdict) -> Html:
    """A question with its verdict."""
    return tag("article", tag("h3", question), answer(verdict), classes=f"verdict {verdict.status}")


def answer(verdict: Verdict) -> Html:
    """A verdict in words, with a symbol for how good the news is."""
    symbol = tag("span", _SYMBOLS[verdict.status], classes="symbol", attributes='aria-hidden="true"')
    said = tag("p", symbol, verdict.answer, classes="answer")
    return tag("div", said, paragraphs(verdict.sentences))


def _network_table(inputs: Inputs, networks: Sequence[Scored]) -> Html:
    objectives, words = extra_objectives(inputs.search.objectives) if inputs.search else (), inputs.accuracy_words
    files = [inputs.exported[each.genome] for each in networks if each.genome in inputs.exported]
    devices = {each.device: None for each in files if each.onnx_ms is not None}
    measured = bool(devices)
    rows = [
        (
            str(number),
            tag("code", network.genome),
            millions(network.madds),
            millions(network.params),
            percent(network.accuracy),
            *(
                quantity(value, objective.unit)
                for value, objective in zip(_further(network, objectives), objectives, strict=True)
            ),
            _tested(inputs.trained.get(network.genome), inputs.data.tested if inputs.data else ()),
            *([_measured(inputs.exported.get(network.genome))] if measured else []),
            _file_links(inputs, network.genome),
        )
        for number, network in enumerate(networks, start=1)
    ]
    names = [
        f"{objective.words}, predicted" if objective.name == "latency" else objective.words for objective in objectives
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


def _class_table(inputs: Inputs, networks: Sequence[Scored]) -> Html:
    """Accuracy of each class, the weakest first; nothing if it was not counted."""
    tested = inputs.data.tested if inputs.data else ()
    results = {
        f"network {number}": inputs.trained[network.genome]
        for number, network in enumerate(networks, start=1)
        if network.genome in inputs.trained and len(inputs.trained[network.genome].class_hits) == len(tested) > 0
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


def _further(network: Scored, objectives: Sequence[ObjectiveRecord]) -> tuple[float | None, ...]:
    """Its values of the further objectives; a network that only the user named has none."""
    return network.further or (None,) * len(objectives)


def _measured(exported: Exported | None) -> Html:
    """Median latency of a network's ONNX file, and what its int8 file is like."""
    if exported is None or exported.onnx_ms is None:
        return Html(UNKNOWN)
    parts = [tag("strong", quantity(exported.onnx_ms, "ms"))]
    if exported.int8_ms is not None and exported.int8_top1 is not None:
        told = f"int8 {quantity(exported.int8_ms, 'ms')}, {percent(exported.int8_top1)} top-1 on the test images"
        parts += [Html("<br>"), tag("small", told)]
    return joined(parts)


def _tested(result: Trained | None, tested: Sequence[tuple[str, int]]) -> Html:
    if result is None:
        return Html(UNKNOWN)
    if result.test is None:
        return Html("diverged")
    images = result.test_images
    bounds = interval(*(percent(bound, images) for bound in accuracy_interval(result)))
    detail = f"{bounds}, {counted(images, 'image')}"
    if result.test_top1 is not None:
        detail += f"; top-1 {percent(result.test_top1, images)}"
    elif len(result.class_hits) == len(tested) and are_unequal([count for _, count in tested]):
        shares = [hits / count for hits, (_, count) in zip(result.class_hits, tested, strict=True) if count]
        detail += f"; balanced accuracy {percent(statistics.fmean(shares))}"
    return joined([tag("strong", percent(result.test, images)), Html("<br>"), tag("small", detail)])


def _file_links(inputs: Inputs, genome: str) -> Html:
    files = inputs.files.get(genome, ())
    if genome in inputs.trained and inputs.trained[genome].test is None:
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
