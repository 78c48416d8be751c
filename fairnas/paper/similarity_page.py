"""Page of `fairnas similarity`."""

import math
from collections.abc import Sequence

import numpy as np

from fairnas import __version__
from fairnas.report.format import UNKNOWN, counted, interval, listed, whole
from fairnas.report.html import Html, Section, folded, joined, listing, paragraphs, plot, prose, table, tag
from fairnas.report.page import whole_page
from fairnas.report.plots import Figure, drawable, heat, matrix_figure, plain_axis, plain_layout
from fairnas.report.reproduction_section import versions_table
from fairnas.report.similarity import DrawnLayer, LayerStats, Similarity, cosine, findings, mean_of_known
from fairnas.versions import installed_versions

_MOST_PIXELS = 32
"""Largest side of a feature map on the page; larger ones are averaged down."""


def render_similarity(similarity: Similarity) -> str:
    """Render the page as HTML. Equal numbers give an equal page."""
    lead = (
        f"Space {similarity.space}, data {similarity.data}. {_looked_at(similarity)} "
        "1 is the same but for a scale, 0 unrelated, \u22121 opposite."
    )
    header = joined(
        [
            tag("p", "fairnas similarity: figures 2, 9, 12, 13, 14", classes="eyebrow"),
            tag("h1", f"How alike are the blocks of {similarity.run}?"),
            tag("p", lead, classes="lead"),
        ]
    )
    sections = [_outcome(similarity), _layers(similarity)]
    if similarity.growth:
        sections.append(_growth(similarity))
    sections += [_drawn(layer, similarity) for layer in similarity.drawn.values()]
    sections.append(_reproduction(similarity))
    footer = f"Written by fairnas {__version__}. Nothing here is from the paper."
    return whole_page(f"Similarity in {similarity.run}: fairnas", header, sections, footer)


def _looked_at(similarity: Similarity) -> str:
    seen = f"the image {similarity.image}" if similarity.image else counted(similarity.images, "validation image")
    return (
        f"Cosine similarity of the feature maps that the choice blocks of a layer give for the same input: {seen}, "
        f"after {counted(len(similarity.paths), 'path')} up to the layer. BN uses {similarity.statistics}."
    )


def _outcome(similarity: Similarity) -> Section:
    note = (
        "The paper looks at its first layer only, where every block sees the output of the stem, and finds the same "
        "channel mainly above 0.9 and different channels irrelevant. The supernet before training normalises by "
        "validation images."
    )
    return Section("outcome", "Outcome", joined([paragraphs(findings(similarity)), tag("p", note, classes="note")]))


_LINES = {
    "trained": ("after training", "var(--front)", "solid"),
    "untrained": ("before training", "var(--muted)", "solid"),
    "against": ("", "var(--chosen)", "solid"),
}


def _layers(similarity: Similarity) -> Section:
    caption = (
        "Lines: same channel, different blocks; bars reach from the lower to the upper quartile over pairs of blocks "
        "and channels. Dotted: different channels of one block, mean size. Hollow marks: without the shortcut."
    )
    described = "Line plot of the mean cosine per layer. The table below holds the values."
    body = [plot("layers", described, caption), layer_table(similarity)]
    return Section("layers", "Layer by layer", joined(body), (("layers", layer_figure(similarity)),))


def _name(similarity: Similarity, supernet: str) -> str:
    return similarity.against or "" if supernet == "against" else _LINES[supernet][0]


def layer_figure(similarity: Similarity) -> Figure:
    """Mean cosines over layers."""
    data: list[Figure] = []
    for place, (name, supernet) in enumerate(similarity.supernets.items()):
        _, colour, dash = _LINES[name]
        title = _name(similarity, name)
        x = [each.layer + 0.08 * place for each in supernet.layers]
        spreads = [each.whole.aligned for each in supernet.layers]
        common = {"type": "scatter", "legendgroup": name, "x": x}
        data.append(
            common
            | {
                "name": title,
                "mode": "lines+markers",
                "y": drawable([each.mean for each in spreads]),
                "error_y": {
                    "type": "data",
                    "symmetric": False,
                    "array": drawable([each.quartiles[2] - each.mean for each in spreads]),
                    "arrayminus": drawable([each.mean - each.quartiles[0] for each in spreads]),
                    "color": colour,
                    "thickness": 1,
                    "width": 3,
                },
                "line": {"color": colour, "width": 2, "dash": dash},
                "marker": {"size": 7},
                "hovertemplate": f"{title}<br>same channel %{{y:.3f}}<extra></extra>",
            }
        )
        data.append(
            common
            | {
                "name": f"{title}, different channels",
                "mode": "lines",
                "showlegend": False,
                "y": drawable([each.whole.cross_channel.mean_absolute for each in supernet.layers]),
                "line": {"color": colour, "width": 1.5, "dash": "dot"},
                "hovertemplate": f"{title}<br>different channels, mean size %{{y:.3f}}<extra></extra>",
            }
        )
        added = [(at, each.added.aligned.mean) for at, each in zip(x, supernet.layers, strict=True) if each.added]
        if added:
            data.append(
                common
                | {
                    "name": f"{title}, without shortcut",
                    "mode": "markers",
                    "showlegend": False,
                    "x": [at for at, _ in added],
                    "y": drawable([value for _, value in added]),
                    "marker": {"size": 8, "symbol": "circle-open", "color": colour, "line": {"width": 1.5}},
                    "hovertemplate": f"{title}<br>same channel, without shortcut %{{y:.3f}}<extra></extra>",
                }
            )
    layout = plain_layout("layer", "mean cosine", legend=True, hovermode="closest")
    layout["xaxis"] |= {"dtick": 1 if len(similarity.labels) <= 24 else 5}
    layout["yaxis"] |= {"range": [min(-0.05, *_lowest(data)) - 0.02, 1.03]}
    return {"data": data, "layout": layout}


def _lowest(data: Sequence[Figure]) -> list[float]:
    return [min((value for value in trace["y"] if value is not None), default=0.0) for trace in data] or [0.0]


def layer_table(similarity: Similarity) -> Html:
    """Table with one row per layer."""
    others = [name for name in similarity.supernets if name != "trained"]
    head = ["layer", "blocks", "same channel", "quartiles", "no shortcut", "other channel", "both differ"]
    for name in others:
        head += [f"same channel, {_name(similarity, name)}", f"no shortcut, {_name(similarity, name)}"]
    if "against" in others:
        head.append("difference")
    head += ["n", "zero maps"]
    rows = []
    for number, each in enumerate(similarity.trained.layers):
        ours = each.whole.aligned
        cells = [
            str(number),
            whole(len(similarity.labels[number])),
            cosine(ours.mean, 3),
            interval(cosine(ours.quartiles[0]), cosine(ours.quartiles[2])),
            _own(each),
            f"{cosine(each.whole.cross_channel.mean)} ({cosine(each.whole.cross_channel.mean_absolute)})",
            f"{cosine(each.whole.cross_both.mean)} ({cosine(each.whole.cross_both.mean_absolute)})",
        ]
        for name in others:
            theirs = similarity.supernets[name].layers[number]
            cells += [cosine(theirs.whole.aligned.mean, 3), _own(theirs)]
        if "against" in others:
            theirs = similarity.supernets["against"].layers[number]
            cells.append(_signed(ours.mean - theirs.whole.aligned.mean))
        rows.append((*cells, whole(len(each.whole.samples)), f"{whole(each.whole.dead)} of {whole(each.whole.maps)}"))
    caption = (
        "Mean cosines. Same channel: of different blocks. Other channel: of the same block; both differ: channel and "
        "block; in brackets the mean size. A dash: the layer has no shortcut. n: inputs (images times paths up to it)."
    )
    return table(caption, head, rows)


def _own(each: LayerStats) -> str:
    return cosine(each.added.aligned.mean, 3) if each.added else UNKNOWN


def _signed(value: float) -> str:
    if math.isnan(value):
        return UNKNOWN
    return cosine(value, 3) if value < 0 else f"+{value:.3f}"


def _growth(similarity: Similarity) -> Section:
    epochs = [each.epoch for each in similarity.growth]
    faint = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": f"layer {layer}",
            "showlegend": False,
            "x": epochs,
            "y": drawable([each.layers[layer] for each in similarity.growth]),
            "line": {"color": "var(--bars)", "width": 1},
            "hovertemplate": f"layer {layer}, epoch %{{x}}<br>%{{y:.3f}}<extra></extra>",
        }
        for layer in range(len(similarity.growth[0].layers))
    ]
    mean = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": "mean of layers",
        "x": epochs,
        "y": drawable([mean_of_known(each.layers) for each in similarity.growth]),
        "line": {"color": "var(--front)", "width": 3},
        "hovertemplate": "mean, epoch %{x}<br>%{y:.3f}<extra></extra>",
    }
    layout = plain_layout("epoch", "mean cosine", hovermode="closest")
    layout["xaxis"] |= {"type": "log", "dtick": "D2"}
    layout["yaxis"] |= {"range": [min(-0.05, *_lowest(faint)) - 0.02, 1.03]}
    figure = {"data": [*faint, mean], "layout": layout}
    caption = (
        "Same channel, different blocks, while the supernet trained, on four validation images after one path "
        "(not those of the numbers above). Thin lines: the layers; thick: their mean."
    )
    body = plot("growth", "Line plot of the mean cosine per layer over epochs.", caption)
    return Section("growth", "While it trained", body, (("growth", figure),))


def _drawn(layer: DrawnLayer, similarity: Similarity) -> Section:
    number, found = layer.layer, layer.found
    labels = similarity.labels[number]
    names = listed([f"{place} {label}" for place, label in enumerate(labels)])
    captions = {
        "maps": "Feature maps of the first input: a row per channel, a column per block, each map from its own darkest "
        f"to its own lightest value. Channels {listed([str(each) for each in layer.shown])}.",
        "blocks": "Across blocks on the same channel, mean over channels.",
        "channels": f"Across blocks on the same channel, for each of {counted(found.channels, 'channel')}: "
        "a square of blocks by blocks per channel.",
        "within": "Across channels in each block, channels by channels.",
        "between": "Channels of block 0 (rows) against those of the other blocks.",
    }
    titles = [f"block {place}" for place in range(found.blocks)]
    figures = {
        "maps": _tiled_maps(layer, [str(place) for place in range(found.blocks)]),
        "blocks": matrix_figure(found.across_blocks, labels),
        "channels": _tiles(_in_rows(list(found.same_channel), math.ceil(math.sqrt(1.6 * found.channels))), ()),
        "within": _tiles([[found.within(block) for block in range(found.blocks)]], titles),
    }
    if found.blocks > 1:
        figures["between"] = _tiles([[found.between(0, block) for block in range(1, found.blocks)]], titles[1:])
    if number in similarity.drawn_against:
        theirs = similarity.drawn_against[number].found
        figures["against"] = matrix_figure(theirs.across_blocks, labels)
        captions["against"] = f"Across blocks on the same channel in {similarity.against}, mean over channels."
    places = {name: plot(f"{name}-{number}", f"Heat map, layer {number}.", captions[name]) for name in figures}
    beside = [name for name in ("against", "channels") if name in places]
    body = [
        paragraphs([f"Blocks: {names}."]),
        tag("div", places["maps"], places["blocks"], classes="pair"),
        tag("div", *(places[name] for name in beside), classes="pair" if len(beside) == 2 else ""),
        *(places[name] for name in ("within", "between") if name in places),
    ]
    plots = tuple((f"{name}-{number}", figure) for name, figure in figures.items())
    return Section(f"layer-{number}", f"Layer {number}", joined(body), plots)


def _in_rows(items: Sequence[np.ndarray], width: int) -> list[list[np.ndarray]]:
    """Items in rows of a given width, with the last row filled up by empty items."""
    rows = [list(items[start : start + width]) for start in range(0, len(items), width)]
    if len(rows) > 1:
        rows[-1] += [np.full_like(items[0], np.nan)] * (width - len(rows[-1]))
    return rows


def _tiled(rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Matrices of equal shape in a grid, with gaps between them."""
    height, width = rows[0][0].shape
    gap = max(1, width // 12)
    most = max(map(len, rows))
    canvas = np.full((len(rows) * (height + gap) - gap, most * (width + gap) - gap), np.nan)
    for down, row in enumerate(rows):
        for across, tile in enumerate(row):
            top, left = down * (height + gap), across * (width + gap)
            canvas[top : top + height, left : left + width] = tile
    return canvas


def _tiles(rows: Sequence[Sequence[np.ndarray]], titles: Sequence[str]) -> Figure:
    return _tile_figure(heat(_tiled(rows)), rows, titles)


def _tile_figure(trace: Figure, rows: Sequence[Sequence[np.ndarray]], titles: Sequence[str]) -> Figure:
    width = rows[0][0].shape[1]
    gap = max(1, width // 12)
    layout = plain_layout("", "", hovermode="closest")
    plain: Figure = plain_axis("") | {"showgrid": False, "ticks": "", "linecolor": "rgba(0,0,0,0)"}
    centres = [place * (width + gap) + (width - 1) / 2 for place in range(len(titles))]
    layout["xaxis"] = plain | {"tickvals": centres, "ticktext": list(titles), "side": "top", "constrain": "domain"}
    layout["yaxis"] = plain | {"showticklabels": False, "autorange": "reversed", "scaleanchor": "x"}
    return {"data": [trace], "layout": layout}


def _tiled_maps(layer: DrawnLayer, titles: Sequence[str]) -> Figure:
    rows = [[shrunk(layer.maps[block, channel]) for block in range(len(layer.maps))] for channel in layer.shown]
    stretched = [[stretch(tile) for tile in row] for row in rows]
    trace = heat(_tiled(stretched)) | {"zmin": 0, "showscale": False, "hoverinfo": "skip"}
    trace["colorscale"] = [[0, "var(--ink)"], [1, "var(--surface)"]]
    del trace["hovertemplate"]
    return _tile_figure(trace, stretched, titles)


def shrunk(pixels: np.ndarray) -> np.ndarray:
    """Feature map (H, W) averaged down to a size that fits on a page."""
    step = -(-max(pixels.shape) // _MOST_PIXELS)
    height, width = (side // step * step for side in pixels.shape)
    parts = pixels[:height, :width].reshape(height // step, step, width // step, step)
    return parts.mean(axis=(1, 3))


def stretch(pixels: np.ndarray) -> np.ndarray:
    """Feature map scaled from 0, its lowest value, to 1, its highest; a constant one is 0.5."""
    low, high = float(pixels.min()), float(pixels.max())
    return (pixels - low) / (high - low) if high > low else np.full(pixels.shape, 0.5)


def _reproduction(similarity: Similarity) -> Section:
    paths = f"Paths up to the layers: {listed([f'`{path}`' for path in similarity.paths])}."
    body = [
        listing("The command that makes this page", similarity.command),
        tag("p", prose(paths)),
        folded("Versions that wrote this page", versions_table(installed_versions())),
    ]
    return Section("reproduce", "How to reproduce this", joined(body))
