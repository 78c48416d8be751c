"""Machine code for BN with activation in training, on the CPU, compiled at first use.

A tensor in channels_last format is a table in memory: a row per pixel, a column per channel. BN needs two passes over
it in each direction, because normalising needs the statistics of the whole batch. The activation is part of these
passes:

    sums            for each tile of rows, for each block of 16 channels: add up x and x * x
    constants       per channel: mean, scale, shift, ...
    normalise       y = clamp((x - mean) * scale + shift), into new memory or in place

    gradient_sums   as sums, for g and g * (x - mean), where g is the gradient of y, and 0 where y was clamped
    coefficients    per channel: gradients of weight and bias; slope, offset
    gradient        gradient of x = g * scale + (x - mean) * slope + offset

The gradient recomputes from x whether y was clamped; this is cheaper than reading y.

Sums are in double precision: E[x * x] - E[x] * E[x] is then accurate enough for any tensor of single precision that is
not constant. `mean` is stored in single precision, and its rounding error (`rest`) is added to shift and offset, so a
mean much larger than the deviation costs no precision.

Rows are summed in shares of a fixed size, and the shares in order, so the number of threads changes no bit of a result.
"""

import ctypes
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from llvmlite import binding, ir

from fairnas.kernels.llvm import (
    DOUBLE,
    DOUBLES,
    FLOATS,
    INT,
    LANES,
    POINTER,
    Code,
    Value,
    compiled_module,
    empty_module,
    integer,
    splat,
)

CONSTANTS = ("mean", "scale", "shift", "rest", "inverse", "variance")
"""Rows of the table of constants: the last two are 1 / sqrt(variance + eps), and the variance without bias."""

COEFFICIENTS = ("weight", "bias", "slope", "offset")
"""Rows of the table of coefficients: the first two are gradients."""

_TILE = 32  # rows; the rows of the next tile are prefetched, because hardware prefetchers do not predict strided blocks


@dataclass(frozen=True)
class BatchNormKernel:
    """Compiled code for one activation. All calls release the global interpreter lock.

    Tensors are passed as addresses: x, y and gradients are float32 (rows, C); tables float32 (names, C), C >= LANES;
    totals are float64 (shares, blocks, 2, LANES). Block n starts at channel LANES * n; the last block ends at channel
    C, so it may overlap the block before it.
    """

    sums: Callable[..., None]
    """`sums(x, totals, rows, C, rows_of_share, first, last)` writes the totals of shares `first` to `last - 1`."""
    constants: Callable[..., None]
    """`constants(totals, weight, bias, constants, rows, C, shares, eps)`."""
    normalise: Callable[..., None]
    """`normalise(x, constants, y, C, first, last)` writes rows `first` to `last - 1`."""
    normalise_in_place: Callable[..., None]
    """`normalise_in_place(x, constants, C, first, last)` overwrites rows of x; C is a multiple of LANES."""
    gradient_sums: Callable[..., None]
    """`gradient_sums(x, grad, constants, totals, rows, C, rows_of_share, first, last)`, as `sums`."""
    coefficients: Callable[..., None]
    """`coefficients(totals, constants, coefficients, rows, C, shares)`."""
    gradient: Callable[..., None]
    """`gradient(x, grad, constants, coefficients, input_gradient, C, first, last)`, as `normalise`."""
    engine: binding.ExecutionEngine
    """Owner of the machine code, which may only be called while this object lives."""


@functools.cache
def compiled(ceiling: float | None) -> BatchNormKernel:
    """Code for values clamped to [0, ceiling], which may be infinite; None means no activation."""
    writers: dict[str, tuple[Callable[..., None], int, int, int]] = {
        "sums": (_sums, 2, 5, 0),
        "constants": (_constants, 4, 3, 1),
        "normalise": (functools.partial(_normalise, ceiling), 3, 3, 0),
        "normalise_in_place": (functools.partial(_normalise_in_place, ceiling), 2, 3, 0),
        "gradient_sums": (functools.partial(_gradient_sums, ceiling), 4, 5, 0),
        "coefficients": (_coefficients, 3, 3, 0),
        "gradient": (functools.partial(_gradient, ceiling), 5, 3, 0),
    }
    module = empty_module("batch_norm")
    for name, (write, pointers, integers, doubles) in writers.items():
        kinds = [POINTER] * pointers + [INT] * integers + [DOUBLE] * doubles
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), name)
        for pointer in function.args[:pointers]:
            pointer.add_attribute("noalias")
        code = Code(function.append_basic_block())
        write(code, *function.args)
        code.ret_void()
    engine = compiled_module(module)
    functions = {
        name: ctypes.CFUNCTYPE(
            None, *[ctypes.c_void_p] * pointers, *[ctypes.c_int64] * integers, *[ctypes.c_double] * doubles
        )(engine.get_function_address(name))
        for name, (_, pointers, integers, doubles) in writers.items()
    }
    return BatchNormKernel(**functions, engine=engine)


def _sums(code: Code, x: Value, totals: Value, *sizes: Value) -> None:
    ahead = code.mul(sizes[1], integer(_TILE))

    def add(place: Value, _: Value) -> tuple[Value, Value]:
        code.expect(x, code.add(place, ahead))
        value = code.fpext(code.get(x, place), DOUBLES)
        return value, value

    _write_sums(code, totals, sizes, lambda channel: {}, add)


def _gradient_sums(
    ceiling: float | None, code: Code, x: Value, grad: Value, constants: Value, totals: Value, *sizes: Value
) -> None:
    ahead = code.mul(sizes[1], integer(_TILE))

    def add(place: Value, table: dict[str, Value]) -> tuple[Value, Value]:
        code.expect(x, code.add(place, ahead))
        code.expect(grad, code.add(place, ahead))
        distance = code.fsub(code.get(x, place), table["mean"])
        kept = _kept(code, ceiling, code.get(grad, place), distance, table)
        return code.fpext(kept, DOUBLES), code.fpext(distance, DOUBLES)

    names = ("mean", "scale", "shift")
    _write_sums(code, totals, sizes, lambda channel: _columns(code, constants, sizes[1], channel, names), add)


def _write_sums(
    code: Code,
    totals: Value,
    sizes: Sequence[Value],
    prepare: Callable[[Value], dict[str, Value]],
    add: Callable[[Value, dict[str, Value]], tuple[Value, Value]],
) -> None:
    """Totals of a and a * b over the rows of each share, for the (a, b) that `add` makes of the numbers at a place."""
    rows, channels, rows_of_share, first, last = sizes
    blocks = _blocks(code, channels)
    zeros = splat(DOUBLES, 0.0)
    with code.loop(first, last) as (share, _):
        of_share = code.mul(code.mul(share, blocks), integer(2 * LANES))
        with code.loop(integer(0), code.mul(blocks, integer(2))) as (half, _):
            code.put(zeros, totals, code.add(of_share, code.mul(half, integer(LANES))))
        start = code.mul(share, rows_of_share)
        stop = code.smaller(code.add(start, rows_of_share), rows)
        tiles = code.sdiv(code.add(code.sub(stop, start), integer(_TILE - 1)), integer(_TILE))
        with code.loop(integer(0), tiles) as (tile, _):
            top = code.add(start, code.mul(tile, integer(_TILE)))
            bottom = code.smaller(code.add(top, integer(_TILE)), stop)
            with _each_block(code, channels) as (block, channel):
                table = prepare(channel)
                of_block = code.add(of_share, code.mul(block, integer(2 * LANES)))
                before = [code.get(totals, code.add(of_block, integer(part)), DOUBLES) for part in (0, LANES)]
                with code.loop(top, bottom, before) as (row, carried):
                    left, right = add(_place(code, row, channels, channel), table)
                    carried[0] = code.fadd(carried[0], left)
                    carried[1] = code.product_plus(left, right, carried[1])
                for part, total in zip((0, LANES), carried, strict=True):
                    code.put(total, totals, code.add(of_block, integer(part)))


def _constants(
    code: Code,
    totals: Value,
    weight: Value,
    bias: Value,
    constants: Value,
    rows: Value,
    channels: Value,
    shares: Value,
    eps: Value,
) -> None:
    root = ir.Function(code.module, ir.FunctionType(DOUBLES, [DOUBLES]), f"llvm.sqrt.v{LANES}f64")
    count = _spread(code, code.sitofp(rows, DOUBLE))
    with _each_block(code, channels) as (block, channel):
        total, squares = _total(code, totals, channels, shares, block)
        mean = code.fdiv(total, count)
        variance = code.fsub(code.fdiv(squares, count), code.fmul(mean, mean))
        nothing = splat(DOUBLES, 0.0)
        # rounding errors can make it negative
        variance = code.select(code.fcmp_ordered("<", variance, nothing), nothing, variance)
        inverse = code.fdiv(splat(DOUBLES, 1.0), code.call(root, [code.fadd(variance, _spread(code, eps))]))
        rest = code.fsub(mean, code.fpext(code.fptrunc(mean, FLOATS), DOUBLES))
        scale = code.fmul(code.fpext(code.get(weight, channel), DOUBLES), inverse)
        shift = code.fsub(code.fpext(code.get(bias, channel), DOUBLES), code.fmul(rest, scale))
        unbiased = code.fdiv(code.fmul(variance, count), code.fsub(count, splat(DOUBLES, 1.0)))
        for row, column in enumerate((mean, scale, shift, rest, inverse, unbiased)):
            code.put(code.fptrunc(column, FLOATS), constants, _place(code, row, channels, channel))


def _coefficients(
    code: Code, totals: Value, constants: Value, coefficients: Value, rows: Value, channels: Value, shares: Value
) -> None:
    count = _spread(code, code.sitofp(rows, DOUBLE))
    with _each_block(code, channels) as (block, channel):
        columns = _columns(code, constants, channels, channel, ("scale", "rest", "inverse"))
        scale, rest, inverse = (code.fpext(column, DOUBLES) for column in columns.values())
        total, products = _total(code, totals, channels, shares, block)
        of_weight = code.fmul(code.fsub(products, code.fmul(rest, total)), inverse)
        minus_scale = code.fneg(code.fdiv(scale, count))
        slope = code.fmul(minus_scale, code.fmul(inverse, of_weight))
        offset = code.fsub(code.fmul(minus_scale, total), code.fmul(rest, slope))
        for row, column in enumerate((of_weight, total, slope, offset)):
            code.put(code.fptrunc(column, FLOATS), coefficients, _place(code, row, channels, channel))


def _normalise(
    ceiling: float | None,
    code: Code,
    x: Value,
    constants: Value,
    y: Value,
    channels: Value,
    first: Value,
    last: Value,
) -> None:
    with code.loop(first, last) as (row, _), _each_block(code, channels) as (_, channel):
        place = _place(code, row, channels, channel)
        table = _columns(code, constants, channels, channel, ("mean", "scale", "shift"))
        value = _normal(code, code.fsub(code.get(x, place), table["mean"]), table)
        for bound, beyond in _bounds(ceiling):
            limit = splat(FLOATS, bound)
            value = code.select(code.fcmp_ordered(beyond, value, limit), limit, value)  # keeps NaN
        code.put(value, y, place)


def _normalise_in_place(ceiling: float | None, code: Code, x: Value, constants: Value, *sizes: Value) -> None:
    _normalise(ceiling, code, x, constants, x, *sizes)


def _gradient(
    ceiling: float | None,
    code: Code,
    x: Value,
    grad: Value,
    constants: Value,
    coefficients: Value,
    result: Value,
    channels: Value,
    first: Value,
    last: Value,
) -> None:
    with code.loop(first, last) as (row, _), _each_block(code, channels) as (_, channel):
        place = _place(code, row, channels, channel)
        table = _columns(code, constants, channels, channel, ("mean", "scale", "shift"))
        slope, offset = (
            code.get(coefficients, _place(code, COEFFICIENTS.index(name), channels, channel))
            for name in ("slope", "offset")
        )
        distance = code.fsub(code.get(x, place), table["mean"])
        kept = _kept(code, ceiling, code.get(grad, place), distance, table)
        common = code.product_plus(distance, slope, offset)
        code.put(code.product_plus(kept, table["scale"], common), result, place)


def _bounds(ceiling: float | None) -> list[tuple[float, str]]:
    """Bounds of an activation, each with the comparison that is true beyond it."""
    if ceiling is None:
        return []
    return [(0.0, "<")] if math.isinf(ceiling) else [(0.0, "<"), (ceiling, ">")]


def _kept(code: Code, ceiling: float | None, grad: Value, distance: Value, table: dict[str, Value]) -> Value:
    """Gradient if it passes through the activation, else 0."""
    value = _normal(code, distance, table)
    for bound, beyond in _bounds(ceiling):
        stopped = code.fcmp_ordered(beyond + "=", value, splat(FLOATS, bound))
        grad = code.select(stopped, splat(FLOATS, 0.0), grad)
    return grad


def _normal(code: Code, distance: Value, table: dict[str, Value]) -> Value:
    """Normalised value before the activation, with the same bits in both directions."""
    return code.product_plus(distance, table["scale"], table["shift"])


def _total(code: Code, totals: Value, channels: Value, shares: Value, block: Value) -> tuple[Value, Value]:
    """Two totals of a block, summed over all shares."""
    blocks = _blocks(code, channels)
    with code.loop(integer(0), shares, [splat(DOUBLES, 0.0)] * 2) as (share, carried):
        place = code.mul(code.add(code.mul(share, blocks), block), integer(2 * LANES))
        for part in (0, 1):
            more = code.get(totals, code.add(place, integer(part * LANES)), DOUBLES)
            carried[part] = code.fadd(carried[part], more)
    return carried[0], carried[1]


def _columns(code: Code, constants: Value, channels: Value, channel: Value, names: Sequence[str]) -> dict[str, Value]:
    """Rows of the table of constants for the block at a channel, by name."""
    return {name: code.get(constants, _place(code, CONSTANTS.index(name), channels, channel)) for name in names}


def _place(code: Code, row: int | Value, channels: Value, channel: Value) -> Value:
    """Index of a channel in a row of a table."""
    return code.add(code.mul(integer(row) if isinstance(row, int) else row, channels), channel)


def _blocks(code: Code, channels: Value) -> Value:
    return code.sdiv(code.add(channels, integer(LANES - 1)), integer(LANES))


@contextmanager
def _each_block(code: Code, channels: Value) -> Iterator[tuple[Value, Value]]:
    """Iterate over the number and first channel of each block."""
    with code.loop(integer(0), _blocks(code, channels)) as (block, _):
        yield block, code.smaller(code.mul(block, integer(LANES)), code.sub(channels, integer(LANES)))


def _spread(code: Code, number: Value) -> Value:
    """Vector with a double in every lane."""
    single = code.insert_element(ir.Constant(DOUBLES, ir.Undefined), number, ir.Constant(ir.IntType(32), 0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return code.shuffle_vector(single, ir.Constant(DOUBLES, ir.Undefined), lanes)
