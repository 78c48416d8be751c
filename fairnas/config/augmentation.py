"""Augmentation of training images: a preset, with single settings over it. No torch."""

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from fairnas.config.checks import in_range, one_of

AugmentationPreset = Literal["none", "shift", "crop_flip", "inception"]
Crop = Literal["none", "shift", "padded", "resized"]
Flip = Literal["none", "horizontal", "vertical", "both"]
Rotation = Literal["none", "quarter"]
CropSetting = Literal["auto", "none", "shift", "padded", "resized"]
FlipSetting = Literal["auto", "none", "horizontal", "vertical", "both"]


@dataclass(frozen=True)
class Augmentation:
    """Changes to training images, in the order of the fields; each image gets random draws of its own."""

    crop: Crop = "none"
    """`shift`: by up to an eighth of the side, rounded up; `padded`: a crop after padding with an eighth on every side;
    `resized`: a random rectangle, resized to the full size (torchvision's RandomResizedCrop).
    """
    flip: Flip = "none"
    """Mirroring, half of the time: left to right, top to bottom, or each independently of the other."""
    rotate: Rotation = "none"
    """`quarter`: by 0, 90, 180 or 270 degrees."""
    colour: float = 0.0
    """Strength of colour changes: brightness, contrast and saturation are each multiplied by a factor from 1 - `colour`
    to 1 + `colour`.
    """

    def __post_init__(self) -> None:
        one_of("data.crop", self.crop, Crop)
        one_of("data.flip", self.flip, Flip)
        one_of("data.rotate", self.rotate, Rotation)
        in_range("data.colour", self.colour, 0, 1)

    @property
    def horizontal(self) -> bool:
        """True if images are mirrored left to right."""
        return self.flip in ("horizontal", "both")

    @property
    def vertical(self) -> bool:
        """True if images are mirrored top to bottom."""
        return self.flip in ("vertical", "both")

    def reach(self, size: int) -> int:
        """Largest shift, in pixels, of an image with a side of `size` pixels, in any direction."""
        return {"shift": math.ceil(size / 8), "padded": size // 8}.get(self.crop, 0)

    @staticmethod
    def least_area(size: int, padded: bool = False) -> float:
        """Smallest share of the image that a random rectangle covers.

        A smaller part of a small image shows nothing; a smaller part of an image between black bars (`padded`) may
        show only a bar.
        """
        return 0.35 if size < 64 or padded else 0.08

    def words(self, size: int, padded: bool = False) -> str:
        """Description, in words, of what is done to training images with a side of `size` pixels."""
        reach = f"{self.reach(size)} pixel{'' if self.reach(size) == 1 else 's'}"
        crops = {
            "none": "not cropped",
            "shift": f"shifted by up to {reach}",
            "padded": f"padded and cropped back, which shifts them by up to {reach}",
            "resized": f"a random rectangle of {self.least_area(size, padded):.0%} of the image or more, resized",
        }
        flips = {
            "none": "not flipped",
            "horizontal": "flipped left to right half of the time",
            "vertical": "flipped top to bottom half of the time",
            "both": "flipped left to right half of the time, and top to bottom half of the time",
        }
        parts = [crops[self.crop], flips[self.flip]]
        parts += ["turned by 0, 90, 180 or 270 degrees"] if self.rotate == "quarter" else []
        parts += [f"brightness, contrast and saturation changed by up to {self.colour:.0%}"] if self.colour else []
        return "; ".join(parts)

    def advice(self) -> str:
        """Settings to give if mirrored or turned images would, or would not, keep their class."""
        turned = self.rotate != "none"
        lines = []
        if self.flip != "none" or turned:
            across, down = self.horizontal or turned, self.vertical or turned
            what = " or ".join(
                name for name, changes in (("left and right (arrows, text)", across), ("up and down", down)) if changes
            )
            off = [f"--data.{name} none" for name, on in (("flip", self.flip != "none"), ("rotate", turned)) if on]
            lines.append(f"if {what} matter, give {' and '.join(off)}")
        # turned upside down and mirrored top to bottom is mirrored left to right
        if not self.horizontal and not (turned and self.vertical):
            lines.append("if mirrored images keep their class, give --data.flip horizontal")
        if not turned:
            on = ["--data.rotate quarter"] if self.flip == "both" else ["--data.flip both", "--data.rotate quarter"]
            lines.append(f"if any side may be up (microscopy, aerial images), give {' and '.join(on)}")
        return "; ".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {"crop": self.crop, "flip": self.flip, "rotate": self.rotate, "colour": self.colour}


PRESETS: dict[str, Augmentation] = {
    "none": Augmentation(),
    "shift": Augmentation("shift"),
    "crop_flip": Augmentation("padded", "horizontal"),
    "inception": Augmentation("resized", "horizontal"),
}
"""Augmentation of each preset."""
assert tuple(PRESETS) == get_args(AugmentationPreset)
