"""Drawings of networks as in the paper's Figure 7: a row of blocks from stem to head, as SVG.

Height shows the expansion rate, colour the kernel size; all widths are equal. A thick grey line stands before every
block that shrinks the image; dashed lines separate stem and head from the layers with choices. Colours are style
classes, so that the page's style sheet can change them in dark mode.
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass

from fairnas.space import (
    Block,
    Genome,
    Identity,
    InvertedResidual,
    Layer,
    SearchSpace,
    Separable,
    ShuffleUnit,
    ShuffleXception,
    format_genome,
)

_WIDTH, _GAP, _LINE = 46, 5, 14
"""Width of a block, space between blocks, and extra space around a thick or dashed line; in SVG units."""
_TALLEST, _SHORTEST, _THIN = 84, 26, 5  # heights of blocks and of the identity, in SVG units
_ABOVE, _BELOW = 8, 24
"""Space above the tallest block, and below it for the numbers of channels and the sizes; in SVG units."""


@dataclass(frozen=True)
class Pieces:
    """Drawings of all networks of a space, in pieces: a choice has the same position in every network."""

    first: str
    """SVG of everything before the layers with choices."""
    choices: tuple[tuple[str, ...], ...]
    """SVG of each choice, per layer."""
    last: str
    width: float
    height: float

    @property
    def frame(self) -> str:
        """Attributes of the `svg` element around the pieces."""
        size = f"min-width:{0.8 * self.width:g}px;max-width:{self.width:g}px"
        return f'class="network" role="img" viewBox="0 0 {self.width:g} {self.height:g}" style="{size}"'


def pieces_of(space: SearchSpace) -> Pieces:
    """Draw the pieces from which `draw_network` and the page's script assemble any genome."""
    tallest = max((_expansion(block) for layer in space.layers for block in layer.choices), default=1)
    canvas = _Canvas(space.image_size)
    canvas.downsampling(space.stem_stride)
    canvas.note()
    canvas.box("stem", "stem", _TALLEST * 0.6, f"{space.stem_channels}")
    for layer in space.fixed:
        canvas.block(layer, layer.choices[0], tallest)
    canvas.dashed()
    first = canvas.taken()
    choices = []
    for layer in space.layers:
        began, drawn = (canvas.x, canvas.image_size), []
        for block in layer.choices:
            canvas.x, canvas.image_size = began
            canvas.block(layer, block, tallest)
            drawn.append(canvas.taken())
        choices.append(tuple(drawn))
    canvas.dashed()
    canvas.box("head", "head", _TALLEST * 0.6, f"{space.head_channels}")
    return Pieces(first, tuple(choices), canvas.taken(), canvas.x, _ABOVE + _TALLEST + _BELOW)


def draw_network(space: SearchSpace, genome: Genome) -> str:
    """Return one network as an SVG element, with width and height in pixels at its natural size.

    Raises:
        GenomeError: if the genome does not fit the space.
    """
    genome = space.validate(genome)
    pieces = pieces_of(space)
    chosen = [drawn[choice] for drawn, choice in zip(pieces.choices, genome, strict=True)]
    label, title = html.escape(describe_network(space, genome)), html.escape(format_genome(genome))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {pieces.frame} aria-label="{label}"><title>{title}</title>'
        f"{pieces.first}{''.join(chosen)}{pieces.last}</svg>"
    )


def block_words(space: SearchSpace) -> list[list[str]]:
    """Describe each choice of each layer, in the words of `describe_network`."""
    return [
        [(f"downsample {layer.stride}x, " if layer.stride > 1 else "") + block_label(block) for block in layer.choices]
        for layer in space.layers
    ]


def describe_network(space: SearchSpace, genome: Genome) -> str:
    """Describe the drawing in words, for readers who cannot see it."""
    parts = [words[choice] for words, choice in zip(block_words(space), genome, strict=True)]
    return f"Network {format_genome(genome)}, from stem to head: {', '.join(parts)}."


def block_label(block: Block) -> str:
    """Return the name of a block as in the paper's figure, such as `E6-K5`."""
    match block:
        case InvertedResidual(kernel=kernel, expansion=expansion, groups=groups, squeeze=squeeze):
            return f"E{expansion}-K{kernel}{f'g{groups}' if groups > 1 else ''}{'s' if squeeze else ''}"
        case Separable(kernel=kernel):
            return f"K{kernel}"
        case ShuffleUnit(kernel=kernel):
            return f"S-K{kernel}"
        case ShuffleXception():
            return "X-K3"
        case Identity():
            return "identity"


def kernel_class(block: Block) -> str:
    """Return the style class that gives a block its colour: `k3`, `k5`, `k7`, `other` or `identity`."""
    match block:
        case Identity():
            return "identity"
        case ShuffleXception():
            return "k3"
        case InvertedResidual(kernel=kernel) | Separable(kernel=kernel) | ShuffleUnit(kernel=kernel):
            return f"k{kernel}" if kernel in (3, 5, 7) else "other"


def kernels(space: SearchSpace) -> Sequence[str]:
    """Return the style classes that occur in a space, in the order of a legend."""
    found = {kernel_class(block) for layer in (*space.fixed, *space.layers) for block in layer.choices}
    return [name for name in ("k3", "k5", "k7", "other", "identity") if name in found]


def _expansion(block: Block) -> int:
    return block.expansion if isinstance(block, InvertedResidual) else 1


def _height(block: Block, tallest: int) -> float:
    """Height in SVG units, proportional to the expansion rate, with room for the label at the smallest rate."""
    if isinstance(block, Identity):
        return _THIN
    return max(_SHORTEST, _TALLEST * _expansion(block) / max(tallest, 1))


class _Canvas:
    """A pen that moves from left to right and keeps track of the image size."""

    def __init__(self, image_size: int) -> None:
        self.parts: list[str] = []
        self.x = float(_GAP)
        self.image_size = image_size

    @property
    def middle(self) -> float:
        return _ABOVE + _TALLEST / 2

    def note(self) -> None:
        """Write the image size at the current position."""
        self.text(self.x, _ABOVE + _TALLEST + _BELOW - 6, f"{self.image_size} px", "size", "start")

    def text(self, x: float, y: float, text: str, style: str, anchor: str = "middle") -> None:
        self.parts.append(
            f'<text class="{style}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{html.escape(text)}</text>'
        )

    def line(self, style: str) -> None:
        x = self.x - _GAP / 2 + _LINE / 2
        self.parts.append(f'<line class="{style}" x1="{x:g}" x2="{x:g}" y1="2" y2="{_ABOVE + _TALLEST + 6:g}"/>')
        self.x += _LINE

    def downsampling(self, stride: int) -> None:
        """Draw a thick line if the next block shrinks the image."""
        if stride > 1:
            self.line("downsampling")
            self.image_size = -(-self.image_size // stride)

    def dashed(self) -> None:
        self.line("dashed")

    def box(self, style: str, label: str, height: float, channels: str) -> None:
        y = self.middle - height / 2
        title = f"<title>{html.escape(f'{label}, {channels} channels')}</title>" if channels else ""
        self.parts.append(
            f'<g class="block {style}">{title}'
            f'<rect x="{self.x:g}" y="{y:g}" width="{_WIDTH}" height="{height:g}" rx="3"/>'
        )
        inside = height >= _SHORTEST
        self.text(self.x + _WIDTH / 2, self.middle + 4 if inside else y - 5, label, "label")
        self.parts.append("</g>")
        self.x += _WIDTH + _GAP

    def block(self, layer: Layer, block: Block, tallest: int) -> None:
        self.downsampling(layer.stride)
        if layer.stride > 1:
            self.note()
        self.box(kernel_class(block), block_label(block), _height(block, tallest), f"{layer.out_channels}")

    def taken(self) -> str:
        """Return what was drawn since the last call."""
        drawn, self.parts = "".join(self.parts), []
        return drawn
