"""Opening of the files of a split: the usable ones, with their pixels, thumbnails or neither."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from fairnas.data.class_folders import shown
from fairnas.data.decoding import Decoding
from fairnas.data.finding import Finding
from fairnas.data.fitting import evaluation_box, placed
from fairnas.data.image_files import Files, Outcome, check_all, corrupt_finding, decode_all, try_all, usable
from fairnas.data.images import Images, ResidentImages, StreamedImages, fit_in_memory
from fairnas.data.likeness import SIDE, thumbnails
from fairnas.data.progress import Progress
from fairnas.errors import DataError

_MEASURED = 2048  # streamed training images that are used to measure mean and deviation


@dataclass(frozen=True, eq=False)
class Opened:
    """Usable files, with their pixels if they are to be held in memory."""

    files: Files
    pixels: np.ndarray | None
    findings: tuple[Finding, ...]
    outcome: Outcome
    """Outcome of opening them; empty for a subset."""
    kept: np.ndarray
    """Positions of the usable files among those that were opened."""
    small: np.ndarray | None = None
    """Thumbnails (N, 16, 16, C) uint8, if near copies are searched."""

    def take(self, places: np.ndarray) -> "Opened":
        """Some of the files, in the given order, without an outcome."""
        pixels = None if self.pixels is None else self.pixels[places]
        small = None if self.small is None else self.small[places]
        return Opened(self.files.take(places), pixels, (), Outcome({}), self.kept[places], small)

    def images(self, decoding: Decoding) -> Images:
        """Images, in memory if there are pixels, else streamed."""
        if self.pixels is not None:
            return resident(self.pixels, self.files.labels, decoding.size)
        return StreamedImages(self.files, decoding, torch.from_numpy(self.files.labels))

    def sample_pixels(self, decoding: Decoding) -> np.ndarray:
        """Pixels to measure: all that are in memory, else of up to 2,048 files."""
        if self.pixels is not None:
            return self.pixels
        # the order mixes the classes, so the first files are a fair sample
        some = self.files.take(np.arange(min(len(self.files), _MEASURED)))
        pixels, outcome = decode_all(some, decoding)
        for place, reason in outcome.corrupt.items():
            raise DataError(f"{shown(some.path(place))} cannot be decoded: {reason}; replace or remove it")
        return pixels


def decoded(
    files: Files, among: Files, classes: Sequence[str], decoding: Decoding, near: bool, progress: Progress
) -> Opened:
    """Open the files that can be decoded; pixels are kept if they fit into memory."""
    if fit_in_memory(len(files), decoding):
        sides = np.ones((len(files), 2), np.int64)
        pixels, outcome = decode_all(files, decoding, progress, sides)
        small = thumbnails(pixels, _without_bars(sides, decoding)) if near else None
        return _usable(files, among, classes, pixels, outcome, small)
    if near:
        return glanced_at(files, among, classes, decoding, progress)
    return _usable(files, among, classes, None, try_all(files, decoding, progress))


def glanced_at(files: Files, among: Files, classes: Sequence[str], decoding: Decoding, progress: Progress) -> Opened:
    """Open the files that can be decoded, as thumbnails: this is faster, and finds the same damage."""
    fit = "squash" if decoding.fit == "pad" else decoding.fit  # bars would make all images of one shape look alike
    small, outcome = decode_all(files, dataclasses.replace(decoding, size=SIDE, fit=fit), progress)
    return _usable(files, among, classes, None, outcome, small)


def _without_bars(sides: np.ndarray, decoding: Decoding) -> np.ndarray | None:
    """Areas of the images in their squares (N, 4), left, top, width and height in pixels; None if they fill them."""
    if decoding.fit != "pad":
        return None
    shapes, own = np.unique(sides, axis=0, return_inverse=True)
    found = []
    for width, height in shapes.tolist():
        where = placed(evaluation_box("pad", width, height), width, height, decoding.size)
        assert where is not None
        found.append((where.left, where.top, where.width, where.height))
    return np.array(found, np.int64).reshape(-1, 4)[own.reshape(-1)]


def checked(files: Files, among: Files, classes: Sequence[str], progress: Progress) -> Opened:
    """Open the files whose header and end are sound."""
    return _usable(files, among, classes, None, check_all(files, progress))


def _usable(
    files: Files,
    among: Files,
    classes: Sequence[str],
    pixels: np.ndarray | None,
    outcome: Outcome,
    small: np.ndarray | None = None,
) -> Opened:
    kept = usable(files, outcome, classes, among)
    whole = Opened(files, pixels, (), outcome, np.arange(len(files)), small)
    part = whole if len(kept) == len(files) else whole.take(kept)
    return dataclasses.replace(part, findings=corrupt_finding(files, outcome), outcome=outcome)


def resident(pixels: np.ndarray, labels: np.ndarray, size: int) -> ResidentImages:
    """Images in memory, from pixels (N, s, s, C) and labels (N,)."""
    return ResidentImages(torch.from_numpy(pixels), torch.from_numpy(labels), size)
