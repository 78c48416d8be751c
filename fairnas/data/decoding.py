"""From image files to squares of pixels: one value for training, evaluation and exported networks. No torch."""

from dataclasses import dataclass

from fairnas.config import Fit


@dataclass(frozen=True)
class Decoding:
    """From the pixels of a file to those of a square."""

    size: int
    """Side of the square in pixels."""
    channels: int
    """3 for colour, 1 for grey."""
    fit: Fit = "crop"
    """How an image that is not square becomes one (see `fitting`)."""
    value_range: tuple[float, float] | None = None
    """Values that become black and white, of images of more than 8 bits; None: 0 and 65,535, and no others."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one image's pixels: (S, S, C)."""
        return self.size, self.size, self.channels
