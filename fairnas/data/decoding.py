"""From image files to squares of pixels: one value for training, evaluation and exported networks. No torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Decoding:
    """From the pixels of a file to those of a square."""

    size: int
    """Side of the square in pixels."""
    channels: int
    """3 for colour, 1 for grey."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one image's pixels: (S, S, C)."""
        return self.size, self.size, self.channels
