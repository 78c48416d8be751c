"""Search space as pure data: stem, L choice layers, head (paper 2.2 and 4.1)."""

import dataclasses
import functools
import itertools
import math
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np

from fairnas.errors import GenomeError, SpaceError
from fairnas.space.blocks import MOST, Activation, Block, Identity, InvertedResidual, require_count
from fairnas.space.genome import ALPHABET, Genome, format_genome, parse_genome

MOST_LAYERS = 1000
# Bounds of what a file may ask for, beyond any network of use and within what 64 bits can count.
_MOST = {
    **{"image_size": 16_384, "image_channels": MOST, "num_classes": 1_000_000},
    **{"stem_channels": MOST, "stem_stride": MOST, "head_channels": MOST},
}


@dataclass(frozen=True)
class Layer:
    """One choice layer: its shape and its choice blocks. A layer of one choice is fixed."""

    in_channels: int
    out_channels: int
    stride: int
    choices: tuple[Block, ...]

    @property
    def keeps_shape(self) -> bool:
        """True if output and input have the same shape, so that a shortcut or an identity is possible."""
        return self.stride == 1 and self.in_channels == self.out_channels


@dataclass(frozen=True)
class SearchSpace:
    """Chain of choice layers between a fixed stem and a fixed head.

    `fixed` are blocks between stem and first choice layer that are not searched (MobileNetV2's first block).
    `image_size` (pixels), `image_channels` and `num_classes` are the defaults of `Supernet`, `build` and `cost`;
    `for_data` returns the same space with other values.
    """

    name: str
    image_size: int
    image_channels: int
    num_classes: int
    stem_channels: int
    stem_stride: int
    fixed: tuple[Layer, ...]
    layers: tuple[Layer, ...]
    head_channels: int
    activation: Activation = "relu6"
    source: str = ""
    classifier_bias: bool = True
    bn_eps: float = 1e-5
    """Constant added to the variances in BN."""

    def __post_init__(self) -> None:
        for name in ("name", "source"):
            if not isinstance(getattr(self, name), str):
                raise SpaceError(f"{name} of a space is {getattr(self, name)!r}; give text")
        if not self.name.strip():
            raise SpaceError(f"name of a space is {self.name!r}; give a word")
        for name, most in _MOST.items():
            require_count(f"{name} of space '{self.name}'", getattr(self, name), most)
        if self.activation not in get_args(Activation):
            raise SpaceError(
                f"activation of space '{self.name}' is {self.activation!r}; give {' or '.join(get_args(Activation))}"
            )
        if not isinstance(self.classifier_bias, bool):
            raise SpaceError(f"classifier_bias of space '{self.name}' is {self.classifier_bias!r}; give true or false")
        if not isinstance(self.bn_eps, float) or not 0 < self.bn_eps < 1:
            raise SpaceError(f"bn_eps of space '{self.name}' is {self.bn_eps!r}; give a number between 0 and 1")
        if not self.layers:
            raise SpaceError(f"space '{self.name}' has no choice layers; give at least one")
        if len(self.layers) + len(self.fixed) > MOST_LAYERS:
            count = len(self.layers) + len(self.fixed)
            raise SpaceError(f"space '{self.name}' has {count:,} layers; give at most {MOST_LAYERS:,}")
        for layer in self.fixed:
            self._check_layer(f"a fixed layer of space '{self.name}'", layer)
        for number, layer in enumerate(self.layers):
            self._check_layer(f"layer {number} of space '{self.name}'", layer)
        width = self.stem_channels
        for layer in (*self.fixed, *self.layers):
            if layer.in_channels != width:
                raise SpaceError(
                    f"space '{self.name}': a layer takes {layer.in_channels} channels where {width} arrive"
                )
            width = layer.out_channels

    def _check_layer(self, what: str, layer: Layer) -> None:
        if not 1 <= len(layer.choices) <= len(ALPHABET):
            raise SpaceError(f"{what} has {len(layer.choices)} choices; give 1 to {len(ALPHABET)}")
        for choice in layer.choices:
            if not isinstance(choice, Block):
                raise SpaceError(f"{what} offers {choice!r}; give blocks, such as InvertedResidual(3, 6)")
        self._check_twins(what, layer)
        for name in ("in_channels", "out_channels", "stride"):
            require_count(f"{name} of {what}", getattr(layer, name))
        for choice in layer.choices:
            reason = choice.unsupported_reason(layer.in_channels, layer.out_channels, layer.stride)
            if reason:
                raise SpaceError(f"{what} takes {layer.in_channels} and gives {layer.out_channels} channels: {reason}")

    def _check_twins(self, what: str, layer: Layer) -> None:
        """Raise `SpaceError` if two choices are equal: one network would have two names and two sets of weights."""
        seen: dict[Block, str] = {}
        for choice in layer.choices:
            if isinstance(choice, InvertedResidual) and choice.activation is None:
                block = dataclasses.replace(choice, activation=self.activation)
            else:
                block = choice
            if block in seen:
                twice = f"{choice.label} twice" if seen[block] == choice.label else f"{seen[block]} and {choice.label}"
                raise SpaceError(f"{what} offers {twice}, which is one choice; give each choice once")
            seen[block] = choice.label

    @property
    def depth(self) -> int:
        """Number of choice layers, L."""
        return len(self.layers)

    @functools.cached_property
    def choices(self) -> tuple[int, ...]:
        """Numbers of choice blocks per layer, m."""
        return tuple(len(layer.choices) for layer in self.layers)

    @property
    def size(self) -> int:
        """Exact number of genomes."""
        return math.prod(self.choices)

    @property
    def reduction(self) -> int:
        """Factor by which the network shrinks the image's side."""
        return self.stem_stride * math.prod(layer.stride for layer in (*self.fixed, *self.layers))

    def parse(self, text: str) -> Genome:
        """Parse and check the text form of a genome of this space. Raises `GenomeError`."""
        return self.validate(parse_genome(text))

    def validate(self, genome: Sequence[int]) -> Genome:
        """Return the genome as a tuple. Raises `GenomeError` that names the wrong layer and the allowed choices."""
        try:
            genome = tuple(operator.index(choice) for choice in genome)
        except TypeError:
            raise GenomeError(
                f"genome {genome!r} holds something that is no index; give one whole number per layer"
            ) from None
        if len(genome) != self.depth:
            raise GenomeError(
                f"genome {_shown(genome)} has {len(genome)} choices; space '{self.name}' has {self.depth} layers"
            )
        for number, (choice, count) in enumerate(zip(genome, self.choices, strict=True)):
            if not 0 <= choice < count:
                raise GenomeError(
                    f"genome {_shown(genome)} takes choice {choice} in layer {number}; "
                    f"space '{self.name}' allows 0 to {count - 1} there"
                )
        return genome

    def require_distinct(self, genomes: Sequence[Genome]) -> None:
        """Raise `GenomeError` if two genomes of this space are the same network."""
        seen: dict[Genome, Genome] = {}
        for genome in genomes:
            canonical = self.canonical(genome)
            if canonical in seen:
                raise GenomeError(
                    f"{format_genome(genome)} and {format_genome(seen[canonical])} are the same network; "
                    "give each network of the study once"
                )
            seen[canonical] = genome

    def sample(self, rng: np.random.Generator) -> Genome:
        """Draw one genome uniformly."""
        return tuple(int(choice) for choice in rng.integers(self.choices))

    def enumerate(self) -> Iterator[Genome]:
        """Iterate over all genomes, in the order of their text forms."""
        return itertools.product(*(range(count) for count in self.choices))

    def network_depth(self, genome: Genome) -> int:
        """Number of layers of a network that are not skips.

        A skip that changes the shape is a projection, which does not count either: without projections, depth orders
        the networks of NAS-Bench-Macro with tau 0.68, with them with 0.34.
        """
        return sum(not isinstance(self.block(number, choice), Identity) for number, choice in enumerate(genome))

    def canonical(self, genome: Genome) -> Genome:
        """Representative of all genomes that compute the same network.

        An identity that keeps the shape commutes with neighbouring blocks that keep it, so within such a stretch
        identities are moved behind the other blocks. In spaces without identity every genome is canonical.
        """
        result: list[int] = []
        waiting: list[int] = []  # identities of the stretch, which go to its end
        for number, layer in enumerate(self.layers):
            stretch_ends = not layer.keeps_shape or (number > 0 and layer.choices != self.layers[number - 1].choices)
            if stretch_ends:
                result += waiting
                waiting = []
            is_identity = layer.keeps_shape and isinstance(layer.choices[genome[number]], Identity)
            (waiting if is_identity else result).append(genome[number])
        return tuple(result + waiting)

    def block(self, layer: int, choice: int) -> Block:
        """Choice block of a layer."""
        return self.layers[layer].choices[choice]

    def labels(self, genome: Genome) -> tuple[str, ...]:
        """Short names of the chosen blocks, such as `("k3e3", "k7e6", ...)`."""
        return tuple(self.block(number, choice).label for number, choice in enumerate(genome))

    def for_data(
        self,
        *,
        image_size: int | None = None,
        image_channels: int | None = None,
        num_classes: int | None = None,
    ) -> "SearchSpace":
        """Same space for other images or classes. Raises `SpaceError` if the images are too small for it."""
        space = dataclasses.replace(
            self,
            image_size=self.image_size if image_size is None else image_size,
            image_channels=self.image_channels if image_channels is None else image_channels,
            num_classes=self.num_classes if num_classes is None else num_classes,
        )
        if space.image_size < space.reduction:
            raise SpaceError(
                f"space '{self.name}' shrinks images {space.reduction} times; "
                f"{space.image_size} pixels are too few, give {space.reduction} or more"
            )
        return space


def _shown(genome: Genome) -> str:
    fits = all(0 <= choice < len(ALPHABET) for choice in genome)
    return f"'{format_genome(genome)}'" if fits else str(list(genome))
