"""Images of one split, of one of two kinds: resident on the device, or streamed from files.

Resident images are one uint8 tensor, moved to the device once; batches are a few tensor operations. Streamed
ones are decoded by worker processes, a whole batch each, every time they are needed; they know the number of
processes, so that callers need not pass it. Both draw the same augmentation, which streamed images undergo before they
are reduced to squares.
"""

import dataclasses
import math
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import util
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader

from fairnas.data.augment import Draws, Rectangles, Views, augmented
from fairnas.data.class_folders import shown
from fairnas.data.decode import quiet_pillow, read_part, read_square
from fairnas.data.decoding import Decoding
from fairnas.data.fitting import Box, augmentation_frame, inside
from fairnas.data.formats import CorruptImageError
from fairnas.data.image_files import CORES, Files
from fairnas.errors import DataError

RESIDENT_BYTES = 2_000_000_000
"""Limit for decoded images, all splits together, to be held in memory; larger sets are streamed."""

_LONGEST_FOLDER = 85  # bytes: socket addresses have at most 103 on macOS, more on Linux; 18 are for the name itself

Task = tuple[int, np.ndarray]
"""Batch to make: its number in the epoch, and the positions of its images."""


def _require_room_for_sockets() -> None:
    """Raise an error if worker processes could not open their sockets, because they would be waited for forever."""
    folder = util.get_temp_dir()
    if len(os.fsencode(folder)) > _LONGEST_FOLDER:
        raise DataError(
            f"processes that decode images need sockets in {folder}, a name too long for one; "
            "set TMPDIR to a folder with a shorter name, or resources.loader_workers = 0"
        )


def fit_in_memory(count: int, decoding: Decoding) -> bool:
    """True if `count` decoded images take less than `RESIDENT_BYTES`."""
    return count * decoding.size**2 * decoding.channels < RESIDENT_BYTES


class Images(Protocol):
    """Images of one split and their labels."""

    @property
    def labels(self) -> Tensor:
        """(N,) int64, on the CPU."""
        ...

    def __len__(self) -> int: ...

    def batches(
        self, tasks: Sequence[Task], views: Views | None, device: torch.device
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Pixels (B, S, S, C), uint8 or float32 in 0 to 255, and labels (B,), on the device, task by task.

        Without `views` the images are not augmented. Raises `DataError` if a file can no longer be used.
        """
        ...


@dataclass(frozen=True, eq=False)
class ResidentImages:
    """Images in memory: (N, s, s, C) uint8. If their side s differs from `size`, batches are resized."""

    pixels: Tensor
    labels: Tensor
    size: int
    _on_device: dict[torch.device, tuple[Tensor, Tensor]] = field(default_factory=dict, init=False, repr=False)

    def __len__(self) -> int:
        return len(self.labels)

    def batches(
        self, tasks: Sequence[Task], views: Views | None, device: torch.device
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Images`."""
        if device not in self._on_device:
            self._on_device[device] = (self.pixels.to(device), self.labels.to(device))
        pixels, labels = self._on_device[device]
        for number, places in tasks:
            index = torch.from_numpy(places).to(device, non_blocking=True)
            chosen = _resized(pixels[index], self.size)
            yield augmented(chosen, views.draw(number, len(places))) if views else chosen, labels[index]


@dataclass(frozen=True, eq=False)
class StreamedImages:
    """Images in files, decoded when they are needed.

    If the split alone fits into memory, the squares for evaluation are kept after their first use: BN may be
    recalibrated for thousands of networks.
    """

    files: Files
    decoding: Decoding
    labels: Tensor
    workers: int = 0
    """Number of processes that decode; 0: this one."""
    _kept: list[ResidentImages] = field(default_factory=list, init=False, repr=False)

    def __len__(self) -> int:
        return len(self.files)

    def batches(
        self, tasks: Sequence[Task], views: Views | None, device: torch.device
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Images`."""
        if views is not None or not fit_in_memory(len(self), self.decoding):
            yield from self._streamed(tasks, views, device)
            return
        if not self._kept:
            self._kept.append(self._resident())
        yield from self._kept[0].batches(tasks, None, device)

    def _resident(self) -> ResidentImages:
        pixels = torch.empty((len(self), *self.decoding.shape), dtype=torch.uint8)
        tasks = list(enumerate(np.array_split(np.arange(len(self)), math.ceil(len(self) / 64))))
        batches = self._streamed(tasks, None, torch.device("cpu"))
        for (_, places), (some, _) in zip(tasks, batches, strict=True):
            pixels[places[0] : places[-1] + 1] = some
        return ResidentImages(pixels, self.labels, self.decoding.size)

    def _streamed(
        self, tasks: Sequence[Task], views: Views | None, device: torch.device
    ) -> Iterator[tuple[Tensor, Tensor]]:
        workers = self._processes()
        if workers > 0:
            _require_room_for_sockets()
        loader = DataLoader(
            # a copy without cached pixels, which need not be sent; any object with __getitem__ works
            _Batches(dataclasses.replace(self), views),  # pyright: ignore[reportArgumentType]
            batch_size=None,  # each item is a whole batch
            sampler=tasks,
            num_workers=workers,
            pin_memory=device.type == "cuda",
            generator=torch.Generator(),  # otherwise the loader would draw from the global generator
        )
        made = iter(loader)
        while True:
            try:
                batch = next(made, None)
            except RuntimeError as error:
                if "DataLoader worker" not in str(error):
                    raise
                raise DataError(
                    f"a process that decodes images died ({str(error).splitlines()[0]}); give a smaller "
                    "resources.loader_workers, or more memory (in a container: more shared memory, /dev/shm)"
                ) from error
            if batch is None:
                return
            if isinstance(batch, str):
                raise DataError(batch)
            pixels, labels = batch
            yield pixels.to(device, non_blocking=True), labels.to(device, non_blocking=True)

    def _processes(self) -> int:
        """Number of processes that decode: at most one per core, none in a daemon, which may not start any."""
        return 0 if multiprocessing.current_process().daemon else min(self.workers, CORES)

    def read(self, places: np.ndarray, draws: Draws | None) -> Tensor:
        """Decode and augment some images: (B, S, S, C) uint8. Raises `DataError` naming a bad file."""
        pixels = np.empty((len(places), *self.decoding.shape), np.uint8)
        rectangles = draws.rectangles if draws else None
        with quiet_pillow():
            for row, place in enumerate(places.tolist()):
                path = self.files.path(place)
                try:
                    pixels[row] = self._decoded(path, rectangles.one(row) if rectangles else None)
                except CorruptImageError as error:
                    raise DataError(
                        f"{shown(path)} cannot be decoded: {error}; "
                        "put the original back and run the same command again, or remove it and begin a new run"
                    ) from None
        images = torch.from_numpy(pixels)
        return augmented(images, draws.after_crop()) if draws else images

    def _decoded(self, path: str, rectangle: Rectangles | None) -> np.ndarray:
        if rectangle is None:
            return read_square(path, self.decoding)[0]

        def part(width: int, height: int) -> Box:
            frame, proportions = augmentation_frame(self.decoding.fit, width, height)
            left, top, across, down = rectangle.fitted(np.array([proportions]))[0].tolist()
            return inside(frame, (left, top, left + across, top + down))

        return read_part(path, self.decoding, part)[0]


@dataclass(frozen=True, eq=False)
class _Batches:
    """Work of a worker process: makes one batch, or returns an error message."""

    images: StreamedImages
    views: Views | None

    def __getitem__(self, task: Task) -> tuple[Tensor, Tensor] | str:
        number, places = task
        try:
            pixels = self.images.read(places, self.views.draw(number, len(places)) if self.views else None)
        except DataError as error:
            return str(error)  # an exception would arrive with the worker's traceback as its message
        return pixels, self.images.labels[torch.from_numpy(places)]


def _resized(pixels: Tensor, size: int) -> Tensor:
    """(B, s, s, C) uint8 to (B, size, size, C) uint8, bilinear, antialiased."""
    if pixels.shape[1] == size:
        return pixels
    images = pixels.permute(0, 3, 1, 2).float()
    larger = F.interpolate(images, (size, size), mode="bilinear", antialias=True, align_corners=False)
    return larger.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
