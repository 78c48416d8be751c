"""Plots for a paper: Figures 2, 9 and 13, 12 and 14 for a layer, and similarity over all layers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fairnas.paper.plot_style import BLUE, COLUMN, GREY, ORANGE, PAGE, TALLEST, paper_style, save_plots
from fairnas.paper.similarity_page import stretch
from fairnas.report.similarity import DrawnLayer, Similarity

_TILES_ACROSS = 8
_GAP = 0.07
"""Gap between small pictures, as a share of their size."""


def draw_layer(out: Path, layer: DrawnLayer, similarity: Similarity) -> list[Path]:
    """Draw four figures of one layer. Returns the files."""
    labels = similarity.labels[layer.layer]
    name = f"layer{layer.layer}"
    with paper_style() as plt:
        files = save_plots(_maps(plt, layer, labels), out, f"{name}_feature_maps")
        files += save_plots(_same_channel(plt, layer), out, f"{name}_same_channel")
        files += save_plots(_within(plt, layer, labels), out, f"{name}_channels_within_block")
        if layer.found.blocks > 1:
            files += save_plots(_between(plt, layer, labels), out, f"{name}_channels_between_blocks")
    return files


def draw_overview(out: Path, similarity: Similarity) -> list[Path]:
    """Draw mean cosines over layers: trained, untrained, and the other run. Returns the files."""
    with paper_style() as plt:
        figure, axes = plt.subplots(figsize=(COLUMN, 2.3), layout="constrained")
        styles = {"trained": (BLUE, "o", "trained"), "untrained": (GREY, "s", "untrained")}
        styles["against"] = (ORANGE, "^", "other run")
        if similarity.against:
            styles["trained"] = (BLUE, "o", similarity.run)
            styles["against"] = (ORANGE, "^", similarity.against)
        for name, supernet in similarity.supernets.items():
            colour, marker, title = styles[name]
            spreads = [each.whole.aligned for each in supernet.layers]
            at = [each.layer for each in supernet.layers]
            axes.plot(at, [each.mean for each in spreads], color=colour, marker=marker, label=title)
            low, high = ([each.quartiles[place] for each in spreads] for place in (0, 2))
            axes.fill_between(at, low, high, color=colour, alpha=0.13, linewidth=0)
            other = [each.whole.cross_channel.mean_absolute for each in supernet.layers]
            axes.plot(at, other, color=colour, linestyle=":", linewidth=1)
            own = [(each.layer, each.added.aligned.mean) for each in supernet.layers if each.added]
            if own:
                axes.plot(*zip(*own, strict=True), color=colour, marker=marker, markerfacecolor="white", linestyle="")
        axes.plot([], [], color="black", linestyle=":", linewidth=1, label="different channels, |cos|")
        if any(each.added for each in similarity.trained.layers):
            axes.plot([], [], color="black", marker="o", markerfacecolor="white", linestyle="", label="no shortcut")
        axes.set(xlabel="layer", ylabel="cosine, same channel", ylim=(min(0, axes.get_ylim()[0]), 1.02))
        axes.xaxis.get_major_locator().set_params(integer=True)
        figure.legend(loc="outside upper center", ncols=2, handlelength=1.8, columnspacing=1.2)
        return save_plots(figure, out, "layers")


def _maps(plt: Any, layer: DrawnLayer, labels: Sequence[str]) -> Any:
    """Figure 2: feature maps of every block, and the mean cosine between blocks on the same channel."""
    shown, blocks = layer.shown, len(labels)
    side = min(0.52, (PAGE * 0.56) / blocks, 4.6 / len(shown))
    left, height = 0.5 + side * blocks, side * len(shown)
    matrix = min(height, PAGE - left - 1.3)
    figure = plt.figure(figsize=(left + 0.7 + matrix + 0.6, height + 0.3))
    width, tall = figure.get_size_inches()
    bottom = 0.06
    for down, channel in enumerate(shown):
        for across in range(blocks):
            x, y = 0.5 + across * side, bottom + (len(shown) - 1 - down) * side
            box = (x / width, y / tall, side * (1 - _GAP) / width, side * (1 - _GAP) / tall)
            axes = figure.add_axes(box)
            axes.imshow(stretch(layer.maps[across, channel]), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            _bare(axes)
            if down == 0:
                axes.set_title(labels[across], pad=3)
            if across == 0:
                axes.set_ylabel(f"{channel}", rotation=0, ha="right", va="center", labelpad=3, fontsize=7)
    figure.text(0.16 / width, (bottom + side * len(shown) / 2) / tall, "channel", rotation=90, ha="center", va="center")
    x, y = left + 0.7, bottom + (side * len(shown) - matrix) / 2
    axes = figure.add_axes((x / width, y / tall, matrix / width, matrix / tall))
    drawn = _heat(axes, layer.found.across_blocks)
    _numbered(axes, layer.found.across_blocks)
    places = range(blocks)
    axes.set_xticks(places, labels, rotation=45 if max(map(len, labels)) > 5 else 0)
    axes.set_yticks(places, labels)
    axes.set_title("mean cosine, same channel", pad=4)
    bar = figure.add_axes(((x + matrix + 0.08) / width, y / tall, 0.08 / width, matrix / tall))
    _bar(figure, drawn, bar)
    return figure


def _same_channel(plt: Any, layer: DrawnLayer) -> Any:
    """Figures 9 and 13: blocks by blocks, for as many channels as fit on a page."""
    found = layer.found
    rows = -(-found.channels // _TILES_ACROSS)
    most = int((TALLEST - 0.6) / 0.95)
    channels = list(range(found.channels))
    if rows > most:
        channels = np.linspace(0, found.channels - 1, most * _TILES_ACROSS).round().astype(int).tolist()
    titles = [str(channel) for channel in channels]
    return _small_multiples(plt, [found.same_channel[channel] for channel in channels], titles, _TILES_ACROSS, "block")


def _within(plt: Any, layer: DrawnLayer, labels: Sequence[str]) -> Any:
    """Figure 12: channels by channels, in every block."""
    matrices = [layer.found.within(block) for block in range(layer.found.blocks)]
    return _small_multiples(plt, matrices, [f"block {n}: {label}" for n, label in enumerate(labels)], 3, "channel")


def _between(plt: Any, layer: DrawnLayer, labels: Sequence[str]) -> Any:
    """Figure 14: channels of block 0 against those of every other block."""
    matrices = [layer.found.between(0, block) for block in range(1, layer.found.blocks)]
    titles = [f"{labels[0]} (down), {label} (across)" for label in labels[1:]]
    return _small_multiples(plt, matrices, titles, 3, "channel")


def _small_multiples(plt: Any, matrices: Sequence[np.ndarray], titles: Sequence[str], across: int, what: str) -> Any:
    """Heat maps of equal shape in rows, with one colour bar."""
    across = min(across, len(matrices))
    down = -(-len(matrices) // across)
    side = min(2.0, (PAGE - 0.6) / across)
    figure, grid = plt.subplots(
        down, across, figsize=(side * across + 0.65, (0.93 * side + 0.2) * down), squeeze=False, layout="constrained"
    )
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.02, hspace=0.02)
    drawn = None
    for place, axes in enumerate(grid.flat):
        if place >= len(matrices):
            axes.set_visible(False)
            continue
        drawn = _heat(axes, matrices[place])
        axes.set_title(titles[place], fontsize=7, pad=2)
        if across <= 3:
            ticks = sorted({0, matrices[place].shape[0] // 2, matrices[place].shape[0] - 1})
            axes.set_xticks(ticks)
            axes.set_yticks(ticks)
        else:
            _bare(axes)
        if place % across == 0 and across <= 3:
            axes.set_ylabel(what)
    bar = figure.colorbar(drawn, ax=grid, fraction=0.03, pad=0.015, aspect=28 if down > 1 else 14)
    bar.outline.set_linewidth(0.6)
    bar.set_label("cosine")
    return figure


def _heat(axes: Any, values: np.ndarray) -> Any:
    axes.set_facecolor("#d9d9d9")  # undefined cosines, because a map is zero
    for spine in axes.spines.values():
        spine.set_visible(False)
    return axes.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")


def _numbered(axes: Any, values: np.ndarray) -> None:
    for (row, column), value in np.ndenumerate(values):
        if not np.isnan(value):
            colour = "white" if abs(value) > 0.6 else "black"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=5.5)


def _bar(figure: Any, drawn: Any, axes: Any) -> None:
    bar = figure.colorbar(drawn, cax=axes)
    bar.outline.set_linewidth(0.6)


def _bare(axes: Any) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
