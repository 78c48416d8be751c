"""BN with activation in training, on a GPU, in Triton; the same passes as in `batch_norm_llvm`.

A tensor in channels_last format is a table in memory, with a row per pixel and a column per channel. A program of the
GPU takes one tile of it or, for sums, all tiles of its share of the rows, one after another:

    _moments            for each share of rows: mean, and sum of squared deviations from it
    _constants          per channel: mean, scale, shift, inverse deviation; updates running statistics
    _normalise          y = clamp((x - mean) * scale + shift)

    _gradient_sums      for each share: sums of g and g * (x - mean); g is the gradient of y, and 0 where y was clamped
    _coefficients       per channel: gradients of weight and bias; slope, offset
    _gradient           gradient of x = g * scale + (x - mean) * slope + offset

Tensors are float32, bfloat16 or float16; all arithmetic is float32. Each share sums x minus the mean of its first tile,
so that a mean much larger than the deviation costs no precision; shares are combined by their deviations from the
overall mean. The order of summation depends only on the shape, so equal inputs give equal bits.

For BN with ReLU6, torch reads or writes tensors of this size thirteen times, and these kernels eight times.
"""

# pyright: reportArgumentType=false
# a `constexpr` parameter of a kernel takes a plain value

import torch
import triton
import triton.language as tl
from torch import Tensor

from fairnas.kernels.running_statistics import RunningMoments

_WIDTHS = (64, 32, 16)  # of a tile, in channels: each row of a tile is then read in whole sectors of 32 bytes
_WASTE = 1.125  # accept a width if tiles cover at most this multiple of the real channels
_TILE, _TILE_OF_TWO = 4096, 2048  # numbers per tile; the second for kernels that read both x and its gradient
_MOST_SHARES = 512  # a power of two
_TILES_OF_A_SHARE = 4  # at least
_WIDTH_OF_SUMS = 8  # channels for which one program combines all shares


_COUNTS = ["rows", "octets", "rows_of_share", "shares"]
"""Arguments for which no specialised code is compiled. Octets are channels divided by 8: this tells the compiler that
rows begin at multiples of eight numbers, so that it can read sixteen bytes at once.
"""


@triton.jit
def _tile(octets, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    """Tile of this program: its number among those of the same channels, its channels, their mask, and offsets."""
    channels = octets * 8
    blocks = tl.cdiv(channels, WIDTH)
    channel = tl.program_id(0) % blocks * WIDTH + tl.arange(0, WIDTH)
    place = tl.arange(0, ROWS)[:, None] * channels + channel[None, :]
    return tl.program_id(0) // blocks, channel, channel < channels, place


@triton.jit
def _inside(row, last, known, ROWS: tl.constexpr):
    return (row + tl.arange(0, ROWS) < last)[:, None] & known[None, :]


@triton.jit
def _start(row, octets):
    return tl.cast(row, tl.int64) * (octets * 8)


@triton.jit
def _entry(table, number, octets, channel, known):
    """Row of a table of constants or coefficients, as (1, WIDTH)."""
    return tl.load(table + number * octets * 8 + channel, mask=known, other=0.0)[None, :]


@triton.jit
def _passed(gradient, centred, scale, shift, ceiling, CLAMPED: tl.constexpr):
    """Gradient of a normalised value, given that of its activation: 0 if the value was clamped."""
    if CLAMPED:
        value = centred * scale + shift
        gradient = tl.where((value <= 0.0) | (value >= ceiling), 0.0, gradient)
    return gradient


@triton.jit(do_not_specialize=_COUNTS)
def _moments(x, moments, rows, octets, rows_of_share, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    """Write the moments, (2, shares, C): means, and sums of squared deviations from them."""
    share, channel, known, place = _tile(octets, ROWS, WIDTH)
    first = share * rows_of_share
    last = tl.minimum(first + rows_of_share, rows)
    inside = _inside(first, last, known, ROWS)
    tile = tl.load(x + _start(first, octets) + place, mask=inside, other=0.0).to(tl.float32)
    origin = tl.sum(tile, axis=0) / tl.minimum(last - first, ROWS)
    sums = tl.zeros([ROWS, WIDTH], tl.float32)
    squares = tl.zeros([ROWS, WIDTH], tl.float32)
    for row in range(first, last, ROWS):
        inside = _inside(row, last, known, ROWS)
        value = tl.load(x + _start(row, octets) + place, mask=inside, other=0.0).to(tl.float32)
        value = tl.where(inside, value - origin[None, :], 0.0)
        sums += value
        squares += value * value
    total = tl.sum(sums, axis=0)
    mean = total / (last - first)
    target = moments + share * octets * 8 + channel
    tl.store(target, origin + mean, mask=known)
    tl.store(target + tl.cdiv(rows, rows_of_share) * octets * 8, tl.sum(squares, axis=0) - total * mean, mask=known)


@triton.jit(do_not_specialize=_COUNTS)
def _constants(
    moments, weight, bias, constants, running_mean, running_var, rows, octets, rows_of_share, epsilon, speed,
    TRACKED: tl.constexpr, SHARES: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Write the constants, (4, C): mean, scale, shift, inverse deviation. SHARES is at least the number of shares."""
    _, channel, known, place = _tile(octets, SHARES, WIDTH)
    share, shares = tl.arange(0, SHARES), tl.cdiv(rows, rows_of_share)
    there = _inside(0, shares, known, SHARES)
    means = tl.load(moments + place, mask=there, other=0.0)
    squares = tl.load(moments + shares * octets * 8 + place, mask=there, other=0.0)
    count = tl.minimum(tl.maximum(rows - share * rows_of_share, 0), rows_of_share).to(tl.float32)[:, None]
    origin = tl.load(moments + channel, mask=known, other=0.0)  # mean of the first share
    mean = origin + tl.sum(tl.where(there, means - origin[None, :], 0.0) * count, axis=0) / rows
    deviation = tl.where(there, means - mean[None, :], 0.0)
    variance = tl.sum(squares + count * deviation * deviation, axis=0) / rows
    inverse = 1 / tl.sqrt_rn(variance + epsilon)
    target, channels = constants + channel, octets * 8
    tl.store(target, mean, mask=known)
    tl.store(target + channels, tl.load(weight + channel, mask=known) * inverse, mask=known)
    tl.store(target + 2 * channels, tl.load(bias + channel, mask=known), mask=known)
    tl.store(target + 3 * channels, inverse, mask=known)
    if TRACKED:
        before = tl.load(running_mean + channel, mask=known)
        tl.store(running_mean + channel, before + speed * (mean - before), mask=known)
        before = tl.load(running_var + channel, mask=known)
        tl.store(running_var + channel, before + speed * (variance * rows / (rows - 1) - before), mask=known)


@triton.jit(do_not_specialize=_COUNTS)
def _normalise(x, constants, y, rows, octets, ceiling, CLAMPED: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    tile, channel, known, place = _tile(octets, ROWS, WIDTH)
    row = tile * ROWS
    inside, place = _inside(row, rows, known, ROWS), _start(row, octets) + place
    mean = _entry(constants, 0, octets, channel, known)
    scale = _entry(constants, 1, octets, channel, known)
    shift = _entry(constants, 2, octets, channel, known)
    value = (tl.load(x + place, mask=inside, other=0.0).to(tl.float32) - mean) * scale + shift
    if CLAMPED:
        value = tl.where(value < 0.0, 0.0, tl.where(value > ceiling, ceiling, value))  # keeps NaN
    tl.store(y + place, value.to(y.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=_COUNTS)
def _gradient_sums(
    x, grad, constants, totals, rows, octets, rows_of_share, ceiling,
    CLAMPED: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Write the totals, (2, shares, C): sums of g, and of g * (x - mean)."""
    share, channel, known, place = _tile(octets, ROWS, WIDTH)
    first = share * rows_of_share
    last = tl.minimum(first + rows_of_share, rows)
    mean = _entry(constants, 0, octets, channel, known)
    scale = _entry(constants, 1, octets, channel, known)
    shift = _entry(constants, 2, octets, channel, known)
    sums = tl.zeros([ROWS, WIDTH], tl.float32)
    products = tl.zeros([ROWS, WIDTH], tl.float32)
    for row in range(first, last, ROWS):
        inside, start = _inside(row, last, known, ROWS), _start(row, octets)
        centred = tl.load(x + start + place, mask=inside, other=0.0).to(tl.float32) - mean
        given = tl.load(grad + start + place, mask=inside, other=0.0).to(tl.float32)  # outside the tensor: adds nothing
        passed = _passed(given, centred, scale, shift, ceiling, CLAMPED)
        sums += passed
        products += passed * centred
    target = totals + share * octets * 8 + channel
    tl.store(target, tl.sum(sums, axis=0), mask=known)
    tl.store(target + tl.cdiv(rows, rows_of_share) * octets * 8, tl.sum(products, axis=0), mask=known)


@triton.jit(do_not_specialize=_COUNTS)
def _coefficients(
    totals, constants, coefficients, rows, octets, shares, SHARES: tl.constexpr, WIDTH: tl.constexpr
):  # fmt: skip
    """Write the coefficients, (4, C): gradients of weight and bias, slope, offset."""
    _, channel, known, place = _tile(octets, SHARES, WIDTH)
    there = _inside(0, shares, known, SHARES)
    total = tl.sum(tl.load(totals + place, mask=there, other=0.0), axis=0)
    product = tl.sum(tl.load(totals + shares * octets * 8 + place, mask=there, other=0.0), axis=0)
    target, channels = coefficients + channel, octets * 8
    scale = tl.load(constants + channels + channel, mask=known)
    inverse = tl.load(constants + 3 * channels + channel, mask=known)
    tl.store(target, product * inverse, mask=known)
    tl.store(target + channels, total, mask=known)
    tl.store(target + 2 * channels, -scale * inverse * inverse * product / rows, mask=known)
    tl.store(target + 3 * channels, -scale * total / rows, mask=known)


@triton.jit(do_not_specialize=_COUNTS)
def _gradient(
    x, grad, constants, coefficients, result, rows, octets, ceiling,
    CLAMPED: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    tile, channel, known, place = _tile(octets, ROWS, WIDTH)
    row = tile * ROWS
    inside, place = _inside(row, rows, known, ROWS), _start(row, octets) + place
    mean = _entry(constants, 0, octets, channel, known)
    scale = _entry(constants, 1, octets, channel, known)
    shift = _entry(constants, 2, octets, channel, known)
    slope = _entry(coefficients, 2, octets, channel, known)
    offset = _entry(coefficients, 3, octets, channel, known)
    centred = tl.load(x + place, mask=inside, other=0.0).to(tl.float32) - mean
    given = tl.load(grad + place, mask=inside, other=0.0).to(tl.float32)
    value = _passed(given, centred, scale, shift, ceiling, CLAMPED) * scale + centred * slope + offset
    tl.store(result + place, value.to(result.dtype.element_ty), mask=inside)


def batch_constants(
    input: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, running: RunningMoments | None
) -> Tensor:
    """See `batch_norm.Passes`; the table is that of `_constants`."""
    rows, channels = _table(input)
    tile = _shape(channels, _TILE)
    rows_of_share, shares = _shares(rows, tile)
    moments = torch.empty(2, shares, channels, dtype=torch.float32, device=input.device)
    constants = torch.empty(4, channels, dtype=torch.float32, device=input.device)
    weight = torch.ones_like(constants[0]) if weight is None else weight.detach().contiguous()
    bias = torch.zeros_like(constants[0]) if bias is None else bias.detach().contiguous()
    mean, variance, speed = (constants, constants, 0.0) if running is None else running
    sizes = rows, channels // 8, rows_of_share
    with torch.cuda.device_of(input):
        _moments[shares * _blocks(channels, tile),](input, moments, *sizes, *tile)
        _constants[triton.cdiv(channels, _WIDTH_OF_SUMS),](
            *(moments, weight, bias, constants, mean, variance, *sizes, eps, speed),
            *(running is not None, _MOST_SHARES, _WIDTH_OF_SUMS),
        )
    return constants


def normalise(input: Tensor, constants: Tensor, ceiling: float | None) -> Tensor:
    """See `batch_norm.Passes`."""
    rows, channels = _table(input)
    tile = _shape(channels, _TILE)
    output = torch.empty_like(input)
    with torch.cuda.device_of(input):
        _normalise[_tiles(rows, channels, tile),](
            input, constants, output, rows, channels // 8, *_bound(ceiling), *tile
        )
    return output


def normalise_in_place(input: Tensor, constants: Tensor, ceiling: float | None) -> Tensor:
    """See `batch_norm.Passes`."""
    return normalise(input, constants, ceiling)


def gradient_coefficients(input: Tensor, grad: Tensor, constants: Tensor, ceiling: float | None) -> Tensor:
    """See `batch_norm.Passes`; the table is that of `_coefficients`."""
    rows, channels = _table(input)
    tile = _shape(channels, _TILE_OF_TWO)
    rows_of_share, shares = _shares(rows, tile)
    totals, coefficients = constants.new_empty(2, shares, channels), constants.new_empty(4, channels)
    with torch.cuda.device_of(input):
        _gradient_sums[shares * _blocks(channels, tile),](
            input, grad, constants, totals, rows, channels // 8, rows_of_share, *_bound(ceiling), *tile
        )
        _coefficients[triton.cdiv(channels, _WIDTH_OF_SUMS),](
            *(totals, constants, coefficients, rows, channels // 8, shares),
            *(_MOST_SHARES, _WIDTH_OF_SUMS),
        )
    return coefficients


def input_gradient(
    input: Tensor, grad: Tensor, constants: Tensor, coefficients: Tensor, ceiling: float | None
) -> Tensor:
    """See `batch_norm.Passes`."""
    rows, channels = _table(input)
    tile = _shape(channels, _TILE_OF_TWO)
    result = torch.empty_like(input)
    with torch.cuda.device_of(input):
        _gradient[_tiles(rows, channels, tile),](
            input, grad, constants, coefficients, result, rows, channels // 8, *_bound(ceiling), *tile
        )
    return result


def _table(input: Tensor) -> tuple[int, int]:
    """Numbers of rows (pixels of all images) and of channels."""
    channels = input.shape[1]
    return input.numel() // channels, channels


def _shape(channels: int, numbers: int) -> tuple[int, int]:
    """Rows and width of a tile: the widest tile that wastes little, else the one that wastes least."""
    padded = {width: triton.cdiv(channels, width) * width for width in _WIDTHS}
    good = [width for width in _WIDTHS if padded[width] <= _WASTE * channels]
    width = good[0] if good else min(_WIDTHS, key=padded.__getitem__)
    return numbers // width, width


def _blocks(channels: int, tile: tuple[int, int]) -> int:
    return triton.cdiv(channels, tile[1])


def _tiles(rows: int, channels: int, tile: tuple[int, int]) -> int:
    return triton.cdiv(rows, tile[0]) * _blocks(channels, tile)


def _shares(rows: int, tile: tuple[int, int]) -> tuple[int, int]:
    """Number of rows that one program sums, and number of programs per block of channels."""
    tiles = max(_TILES_OF_A_SHARE, triton.cdiv(triton.cdiv(rows, tile[0]), _MOST_SHARES))
    return tiles * tile[0], triton.cdiv(rows, tiles * tile[0])


def _bound(ceiling: float | None) -> tuple[float, bool]:
    """Ceiling of the activation, and True if there is an activation."""
    return (0.0, False) if ceiling is None else (ceiling, True)
