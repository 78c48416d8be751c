"""Depthwise convolution and the gradient of its input, on a GPU, in Triton.

Both compute weighted sums over a window of one channel. At stride 1 the gradient is the convolution with the flipped
kernel. At stride 2 its pixels are of four kinds, by the parity of row and column, and each kind is a convolution with
every second row and column of the kernel. A `Walk` describes one such convolution.

Tensors are in channels_last format. A program computes two rows of a result, twice COLUMNS pixels and WIDTH channels
wide: each input that it reads is used for both rows, and each weight for both halves. Sums are in float32, in an order
that depends only on the kernel. Weights are first copied into the order in which the program reads them.
"""

# pyright: reportArgumentType=false, reportGeneralTypeIssues=false
# a `constexpr` parameter of a kernel takes a plain value, and `tl.static_range` is no iterator

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

_WIDTHS = (
    64,
    32,
    16,
)  # channels of a program: at most half as many as its threads, or weights go astray through shared memory
_TILE = 1024  # pixels by channels, at most: one read of sixteen bytes for each thread
_FEWEST_COLUMNS = 4
_WASTE = 1.2  # accept a tile size if padded work is at most this multiple of real work


@dataclass(frozen=True)
class Walk:
    """Addresses of the pixels of a result, or of every second one. Pairs are (rows, columns)."""

    size: tuple[int, int]
    """Number of pixels that are computed."""
    at: tuple[int, int]
    """Position of the first of them in the result."""
    spacing: int
    """Distance between neighbouring ones in the result."""
    stride: int
    """Distance between their windows in the input."""
    corner: tuple[int, int]
    """Position in the input where the window of the first pixel begins; may be outside, where zeros are read."""
    window: tuple[int, int]
    """Rows and columns of the window."""
    first: int
    """Index of the weight for the window's first pixel: row * k + column."""
    steps: tuple[int, int]
    """Increments of this index from row to row and from column to column."""


def convolution_walk(size: tuple[int, int], kernel: int, stride: int) -> Walk:
    """Walk of a convolution with padding kernel // 2 and output of `size`."""
    corner = (-(kernel // 2),) * 2
    return Walk(size, (0, 0), 1, stride, corner, (kernel, kernel), 0, (kernel, 1))


def gradient_walks(size: tuple[int, int], kernel: int, stride: int) -> Iterator[Walk]:
    """Walks of the gradient of an input of `size`: one for each kind of pixel."""
    for row in range(min(stride, size[0])):
        for column in range(min(stride, size[1])):
            # an input pixel p is multiplied by weight i for output pixel q if p = stride * q + i - kernel // 2
            least = [(place + kernel // 2) % stride for place in (row, column)]
            taps = [-(-(kernel - i) // stride) for i in least]
            last = [i + stride * (count - 1) for i, count in zip(least, taps, strict=True)]
            corner = [(place + kernel // 2 - i) // stride for place, i in zip((row, column), last, strict=True)]
            yield Walk(
                size=(-(-(size[0] - row) // stride), -(-(size[1] - column) // stride)),
                at=(row, column),
                spacing=stride,
                stride=1,
                corner=(corner[0], corner[1]),
                window=(taps[0], taps[1]),
                first=last[0] * kernel + last[1],
                steps=(-stride * kernel, -stride),
            )


_COUNTS = [
    *("height", "width", "rows", "columns", "octets", "start", "result_row", "result_column", "result_image"),
    *("top", "left", "taps", "first", "row_step", "column_step", "numbers"),
]
"""Arguments for which no specialised code is compiled. Octets are channels divided by 8, as in `batch_norm_gpu`."""


@triton.jit(do_not_specialize=_COUNTS)
def _arrange(
    weight, table, octets, taps, first, row_step, column_step, numbers,
    TAPS: tl.constexpr, STRIDE: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Copy `weight`, (C, k * k), in the order of `Walk` into a table (blocks, STRIDE + taps + STRIDE, TAPS, WIDTH)."""
    rows = taps + 2 * STRIDE
    block = tl.program_id(0) // rows
    row = tl.program_id(0) % rows - STRIDE  # row of the window; zeros above and below it
    lane = tl.arange(0, WIDTH)
    channel = block * WIDTH + lane
    known = (channel < octets * 8) & (row >= 0) & (row < taps)
    for j in tl.static_range(TAPS):
        place = channel * numbers + first + row * row_step + j * column_step
        value = tl.load(weight + place, mask=known, other=0.0).to(tl.float32)
        tl.store(table + (tl.program_id(0) * TAPS + j) * WIDTH + lane, value)


@triton.jit(do_not_specialize=_COUNTS)
def _walk(
    x, table, result, height, width, rows, columns, octets, start, result_row, result_column, result_image,
    top, left, taps, TAPS: tl.constexpr, STRIDE: tl.constexpr, COLUMNS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Compute the pixels of a walk. Places in the result are pixels from `start` on; the window is (taps, TAPS)."""
    channels = octets * 8
    blocks, strips, pairs = tl.cdiv(channels, WIDTH), tl.cdiv(columns, 2 * COLUMNS), tl.cdiv(rows, 2)
    block = tl.program_id(0) % blocks
    strip = tl.program_id(0) // blocks % strips
    row = tl.program_id(0) // (blocks * strips) % pairs * 2
    image = tl.program_id(0) // (blocks * strips * pairs)
    lane = tl.arange(0, WIDTH)
    channel = (block * WIDTH + lane)[None, :]
    known = channel < channels
    column = (strip * 2 * COLUMNS + tl.arange(0, COLUMNS))[:, None]
    corner = column * STRIDE + left
    weights = table + block * (taps + 2 * STRIDE) * TAPS * WIDTH + lane
    upper_left = tl.zeros([COLUMNS, WIDTH], tl.float32)
    upper_right = tl.zeros([COLUMNS, WIDTH], tl.float32)
    lower_left = tl.zeros([COLUMNS, WIDTH], tl.float32)
    lower_right = tl.zeros([COLUMNS, WIDTH], tl.float32)
    for i in range(0, taps + STRIDE):  # rows of the input that at least one of the two result rows uses
        y = row * STRIDE + top + i
        there = known & (y >= 0) & (y < height)
        line = x + tl.cast(image * height + y, tl.int64) * width * channels + (corner * channels + channel)
        for j in tl.static_range(TAPS):
            seen = ((corner + j).to(tl.uint32) < width) & there  # a negative index becomes large when read as unsigned
            left_value = tl.load(line + j * channels, mask=seen, other=0.0).to(tl.float32)
            seen = ((corner + (COLUMNS * STRIDE + j)).to(tl.uint32) < width) & there
            right_value = tl.load(line + (COLUMNS * STRIDE + j) * channels, mask=seen, other=0.0).to(tl.float32)
            above = tl.load(weights + ((i + STRIDE) * TAPS + j) * WIDTH)[None, :]
            below = tl.load(weights + (i * TAPS + j) * WIDTH)[None, :]
            upper_left += left_value * above
            upper_right += right_value * above
            lower_left += left_value * below
            lower_right += right_value * below
    target = result + (tl.cast(image, tl.int64) * result_image + start + row * result_row) * channels
    target += column * result_column * channels + channel
    right, below = COLUMNS * result_column * channels, result_row * channels
    second = row + 1 < rows
    kind = result.dtype.element_ty  # in a variable of its own: a tuple cannot hold a type
    inside = (column < columns) & known
    tl.store(target, upper_left.to(kind), mask=inside)
    tl.store(target + below, lower_left.to(kind), mask=inside & second)
    inside = (column + COLUMNS < columns) & known
    tl.store(target + right, upper_right.to(kind), mask=inside)
    tl.store(target + right + below, lower_right.to(kind), mask=inside & second)


def convolution(input: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Depthwise convolution with padding k // 2.

    Args:
        input: (B, C, H, W) in channels_last format; C is a multiple of 8.
        weight: (C, 1, k, k), k odd.
        stride: along both axes.

    Returns:
        (B, C, P, Q), like the input.
    """
    size = [-(-length // stride) for length in input.shape[2:]]
    shape, place = (*input.shape[:2], *size), {"dtype": input.dtype, "device": input.device}
    result = torch.empty(shape, **place, memory_format=torch.channels_last)
    _take(convolution_walk((size[0], size[1]), weight.shape[-1], stride), input, weight, result)
    return result


def input_gradient(input: Tensor, weight: Tensor, grad: Tensor, stride: int) -> Tensor:
    """See `depthwise.DepthwiseGradients`."""
    result = torch.empty_like(input)
    for walk in gradient_walks((input.shape[2], input.shape[3]), weight.shape[-1], stride):
        _take(walk, grad, weight, result)
    return result


def weight_gradient(input: Tensor, grad: Tensor, kernel: int, stride: int) -> Tensor:
    """See `depthwise.DepthwiseGradients`; computed by torch."""
    channels = input.shape[1]
    weight = input.new_empty(channels, 1, kernel, kernel)  # only its shape is used
    gradients = torch.ops.aten.convolution_backward(
        *(grad, input, weight, None, [stride] * 2, [kernel // 2] * 2, [1, 1], False, [0, 0], channels),
        [False, True, False],
    )
    return gradients[1]


def _take(walk: Walk, input: Tensor, weight: Tensor, result: Tensor) -> None:
    """Compute the pixels of a walk from an input and a weight."""
    images, channels, height, width = input.shape
    (rows, columns), (taps, across), size = walk.size, walk.window, result.shape[2:]
    block = _good(_WIDTHS, channels)
    strip = _good([2 * count for count in _columns(block)], columns)
    blocks, strips = triton.cdiv(channels, block), triton.cdiv(columns, strip)
    table = torch.empty(blocks, taps + 2 * walk.stride, across, block, dtype=torch.float32, device=input.device)
    weight = weight.detach().contiguous()
    octets, code = channels // 8, (across, walk.stride)
    places = walk.at[0] * size[1] + walk.at[1], walk.spacing * size[1], walk.spacing, size[0] * size[1]
    with torch.cuda.device_of(input):
        _arrange[blocks * table.shape[1],](
            *(weight, table, octets, taps, walk.first, *walk.steps, weight.shape[-1] ** 2, *code, block)
        )
        _walk[images * triton.cdiv(rows, 2) * strips * blocks,](
            *(input, table, result, height, width, rows, columns, octets, *places, *walk.corner, taps),
            *(*code, strip // 2, block),
        )


def _columns(width: int) -> list[int]:
    """Possible numbers of columns of a tile, largest first."""
    most = _TILE // width
    return [most >> halvings for halvings in range(most.bit_length()) if most >> halvings >= _FEWEST_COLUMNS]


def _good(sizes: Sequence[int], length: int) -> int:
    """First size whose tiles cover a length with little waste, else the size with the least waste."""
    covered = {size: triton.cdiv(length, size) * size for size in sizes}
    good = [size for size in sizes if covered[size] <= _WASTE * length]
    return good[0] if good else min(sizes, key=covered.__getitem__)
