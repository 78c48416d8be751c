"""Sections with plots: accuracies, training, curves, similarity, drawings."""

import statistics

from fairnas.report import plots
from fairnas.report.drawing import draw_network, kernels
from fairnas.report.format import counted, decimal, interval, millions, percent
from fairnas.report.html import Html, Section, joined, missing, paragraphs, plot, scrollable, tag
from fairnas.report.run_data import Inputs
from fairnas.report.similarity_section import summary_section
from fairnas.report.training_curves import curves_section

_KERNELS = {"k3": "3x3 kernel", "k5": "5x5 kernel", "k7": "7x7 kernel", "other": "other kernel"}
_KERNELS |= {"identity": "identity"}


def accuracies(inputs: Inputs) -> Section:
    """Build the section with the histogram of one-shot accuracies and the supernet accuracy gap."""
    name, title = "accuracies", "One-shot accuracies"
    if not inputs.candidates:
        return Section(name, title, paragraphs([missing("archive of candidates", "search", inputs.path)]))
    values = [each.value(inputs.config.measure) for each in inputs.candidates]
    caption = (
        f"{counted(len(values), 'candidate')}: lowest {percent(min(values))}, "
        f"median {percent(statistics.median(values))}, highest {percent(max(values))}. "
        "A search prefers good networks, so this is no random sample of the space."
    )
    if inputs.ranking:
        study, gap = inputs.ranking.study, inputs.ranking.study.gap
        spans = [decimal(high - low, 3) for low, high in (gap.one_shot, gap.stand_alone)]
        caption += (
            f" Supernet accuracy gap over the {counted(study.tau.n, 'network')} of the ranking study: "
            f"λ = |{spans[0]} \u2212 {spans[1]}| = {decimal(gap.gap, 3)}, with one-shot accuracies from "
            f"{interval(*map(percent, gap.one_shot))} and stand-alone ones from "
            f"{interval(*map(percent, gap.stand_alone))}."
        )
    place = plot(name, "Histogram of one-shot accuracies, described below.", caption)
    return Section(name, title, place, ((name, plots.histogram_figure(values, inputs.accuracy_words)),))


def training(inputs: Inputs) -> Section:
    """Build the section with the training curve of the supernet."""
    name, title = "training", "Supernet training"
    if not inputs.epochs:
        return Section(name, title, paragraphs([missing("training curve", "train", inputs.path)]))
    last = inputs.epochs[-1]
    caption = f"Supernet training over {counted(len(inputs.epochs), 'epoch')}: loss at the end {last.loss:.3f}"
    if last.accuracy_mean is not None:
        caption += (
            f", mean one-shot {inputs.accuracy_words} {percent(last.accuracy_mean)}. The shade is one standard "
            "deviation over a fixed handful of random networks, on validation images"
        )
    place = plot(name, "Training curve, described below.", caption + ".")
    return Section(name, title, place, ((name, plots.training_figure(inputs.epochs, inputs.accuracy_words)),))


def curves(inputs: Inputs) -> Section:
    """Build the section with training curves of the ranking study; omitted if its trainings kept none."""
    return curves_section(inputs.curves)


def similarity(inputs: Inputs) -> Section:
    """Build the section on the similarity of choice blocks; omitted unless `fairnas similarity` was run."""
    assert inputs.similarity is not None
    return summary_section(inputs.similarity)


def drawings(inputs: Inputs) -> Section:
    """Build the section with drawings of the selected networks."""
    title = "Selected networks, drawn"
    if not inputs.search or not inputs.search.selected:
        return Section("drawings", title, paragraphs([missing("selection", "search", inputs.path)]))
    legend = [
        tag("li", tag("span", classes=f"swatch {name}", attributes='aria-hidden="true"'), _KERNELS[name])
        for name in kernels(inputs.space)
    ]
    intro = (
        "From stem to head. Height is the expansion rate, colour the kernel; all widths are equal. A thick "
        "grey line is a downsampling point, followed by the image's side in pixels; dashed lines separate stem "
        "and head from the layers with choices."
    )
    body = [paragraphs([intro]), tag("ul", *legend, classes="legend")]
    for number, network in enumerate(inputs.search.selected, start=1):
        svg = Html(draw_network(inputs.space, network.genome))
        facts = f" {millions(network.value('madds'))} multiply-adds, {millions(network.value('params'))} parameters"
        caption = tag("figcaption", tag("strong", str(number)), " ", tag("code", network.text), facts)
        frame = scrollable(f"Drawing of network {number}", svg)
        body.append(tag("figure", caption, frame, classes="drawing"))
    return Section("drawings", title, joined(body))
