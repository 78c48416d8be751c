"""Images decoded once and shared by several training processes through memory."""

import contextlib
import dataclasses
import math
import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import reduction
from typing import Any

import numpy as np
import torch

from fairnas.atomic_files import temporary_folder
from fairnas.data.dataset import Dataset
from fairnas.data.images import Images, ResidentImages, StreamedImages


@dataclass(frozen=True, eq=False)
class _SharedImages(ResidentImages):
    """Images whose pixels are also in a file. Can be sent to processes that are being started."""

    file: int = -1
    """File descriptor, open in this process."""

    def __reduce__(self) -> tuple[Any, ...]:
        handle = reduction.DupFd(self.file)
        return _received, (handle, tuple(self.pixels.shape), self.labels.numpy(), self.size)


def _received(handle: Any, shape: tuple[int, ...], labels: np.ndarray, size: int) -> ResidentImages:
    """Images, in a process that was started with them."""
    file = handle.detach()
    try:
        memory = mmap.mmap(file, math.prod(shape), access=mmap.ACCESS_COPY)  # copy on write, page by page
    finally:
        os.close(file)
    pixels = np.frombuffer(memory, np.uint8).reshape(shape)
    return ResidentImages(torch.from_numpy(pixels), torch.from_numpy(labels), size)


def shared_size(dataset: Dataset) -> int:
    """Bytes of memory that `shared_dataset` takes."""
    parts = (dataset.train, dataset.validation, dataset.test)
    return sum(part.pixels.nbytes for part in parts if isinstance(part, ResidentImages))


@contextlib.contextmanager
def shared_dataset(dataset: Dataset) -> Iterator[Dataset]:
    """Data set that can be sent to new processes while this lasts; they read streamed images themselves.

    It does not use torch's shared memory, which is small in containers.
    """
    with contextlib.ExitStack() as held:
        parts: dict[str, Images] = {
            part: _shared_images(getattr(dataset, part), held) for part in ("train", "validation", "test")
        }
        yield dataclasses.replace(dataset, **parts)


def _shared_images(images: Images, held: contextlib.ExitStack) -> Images:
    if isinstance(images, StreamedImages):
        return dataclasses.replace(images)  # without pixels that this process has cached
    if not isinstance(images, ResidentImages) or not len(images):
        return images
    if hasattr(os, "memfd_create"):
        file = held.enter_context(os.fdopen(os.memfd_create("images"), "wb"))
    else:
        folder = held.enter_context(temporary_folder("fairnas-images-", images.pixels.nbytes))
        file = held.enter_context((folder / "images").open("w+b"))
    file.write(images.pixels.contiguous().numpy().data)
    file.flush()
    return _SharedImages(images.pixels, images.labels, images.size, file.fileno())
