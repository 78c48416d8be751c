"""Augmentation: what training images go through, as a preset and as single settings over it. No torch."""

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
    """What training images go through, in this order; each image has random draws of its own."""

    crop: Crop = "none"
    """`shift`: by up to an eighth of the side, rounded up; `padded`: a crop after padding with an eighth on every side;
    `resized`: a random rectangle, resized to the whole (torchvision's RandomResizedCrop)."""
    flip: Flip = "none"
    """Mirrored half of the time: left to right, top to bottom, or each independently of the other."""
    rotate: Rotation = "none"
    """`quarter`: by 0, 90, 180 or 270 degrees."""
    colour: float = 0.0
    """Brightness, contrast and saturation are each multiplied by a factor from 1 - `colour` to 1 + `colour`."""

    def __post_init__(self) -> None:
        one_of("data.crop", self.crop, Crop)
        one_of("data.flip", self.flip, Flip)
        one_of("data.rotate", self.rotate, Rotation)
        in_range("data.colour", self.colour, 0, 1)

    @property
    def horizontal(self) -> bool:
        """Whether images are mirrored left to right."""
        return self.flip in ("horizontal", "both")

    @property
    def vertical(self) -> bool:
        """Whether images are mirrored top to bottom."""
        return self.flip in ("vertical", "both")

    def reach(self, size: int) -> int:
        """Pixels by which an image with a side of `size` pixels is shifted at most, in any direction."""
        return {"shift": math.ceil(size / 8), "padded": size // 8}.get(self.crop, 0)

    @staticmethod
    def least_area(size: int, padded: bool = False) -> float:
        """Share of the image that a random rectangle has at least.

        Less of a small image shows nothing, and less of an image between black bars (`padded`) may show a bar only.
        """
        return 0.35 if size < 64 or padded else 0.08

    def words(self, size: int, padded: bool = False) -> str:
        """What is done to training images with a side of `size` pixels, in plain words."""
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
        """What to give for images to which something else should be done."""
        turned = self.rotate != "none"
        lines = []
        if self.flip != "none" or turned:
            across, down = self.horizontal or turned, self.vertical or turned
            what = " or ".join(
                name for name, told in (("left and right (arrows, text)", across), ("up and down", down)) if told
            )
            off = [f"--data.{name} none" for name, on in (("flip", self.flip != "none"), ("rotate", turned)) if on]
            lines.append(f"if {what} matter, give {' and '.join(off)}")
        if not self.horizontal and not (turned and self.vertical):  # turned upside down, that is mirrored
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
"""What each preset stands for."""
assert tuple(PRESETS) == get_args(AugmentationPreset)
