"""Settings that turn an image file into a square of pixels, shared by training, evaluation and export. No torch."""

from dataclasses import dataclass

from fairnas.config import Fit


@dataclass(frozen=True)
class Decoding:
    """Settings that turn the pixels of a file into those of a square."""

    size: int
    """Side of the square in pixels."""
    channels: int
    """3 for colour, 1 for grey."""
    fit: Fit = "crop"
    """Method that makes an image square (see `fitting`)."""
    value_range: tuple[float, float] | None = None
    """Values that become black and white, for images of more than 8 bits; None: 0 and 65,535, and only those."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one image's pixels: (S, S, C)."""
        return self.size, self.size, self.channels
