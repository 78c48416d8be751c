"""Figures for a paper, as PNG and SVG files: one style, sizes in inches, equal bytes for equal numbers.

Import it inside a function, because matplotlib takes half a second to import:

    with paper_style() as plt:
        figure, axes = plt.subplots(figsize=(COLUMN, 2.2), layout="constrained")
        ...
        files = save_plots(figure, out, "figure8")
"""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairnas.atomic_files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMN, PAGE = 3.35, 6.95
"""Widths in inches: one column of a two-column page, and the whole page."""
TALLEST = 9.0
"""Largest height in inches that fits on a page."""
BLUE, ORANGE, TEAL, VIOLET, GREEN, PINK = "#0b66c2", "#c2410c", "#1491a8", "#8a4fc4", "#2f7d32", "#b0347c"
"""Colours of the pages (`page.css`), in the order of their arms."""
GREY = "#566372"
DPI = 300  # resolution that journals commonly ask for

_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # included in matplotlib, so every machine draws the same
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": "black",
    "ytick.labelcolor": "black",
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.5,
    "savefig.dpi": DPI,
    "svg.hashsalt": "fairnas",  # otherwise names inside an SVG file are random
    "svg.fonttype": "none",  # keeps text searchable and editable
}


@contextlib.contextmanager
def paper_style() -> Iterator[Any]:
    """`matplotlib.pyplot` in our style, drawing into files only; figures are closed at the end."""
    import matplotlib
    from matplotlib import pyplot, style

    before = set(pyplot.get_fignums())
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a user's own style must not change ours
        pyplot.switch_backend("agg")
        style.use(_STYLE)
        try:
            yield pyplot
        finally:
            for number in set(pyplot.get_fignums()) - before:
                pyplot.close(number)


def save_plots(figure: "Figure", folder: Path, name: str) -> list[Path]:
    """Write `name.png` and `name.svg` atomically, without dates. Returns their paths."""
    paths = []
    for suffix, metadata in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
        content = io.BytesIO()
        figure.savefig(content, format=suffix, metadata=metadata)
        paths.append(folder / f"{name}.{suffix}")
        write_atomically(paths[-1], content.getvalue())
    return paths
