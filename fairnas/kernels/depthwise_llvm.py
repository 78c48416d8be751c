"""Machine code for the weight gradient of a depthwise convolution on the CPU, compiled at first use.

A weight gradient is, per channel, the correlation of the input with the gradient of the output. Channels are the last
axis in memory (NHWC), so 16 neighbouring channels fill a vector register. It is fast because the k sums of one kernel
row stay in registers during a row of the output. This needs vectors as values, which LLVM has and Python compilers do
not offer; so the loops are written with LLVM's builder and compiled in about 50 milliseconds for this processor,
without files on disk. The loops, in order:

    for each image, block of 16 channels, input row h:
        copy the row into a buffer with zeros left and right of it, so that no column needs a test
        for each kernel row i whose output row p exists, p * stride + i = h + padding:
            sums[0 .. k-1] = 0
            for each output column q, for each kernel column j:
                sums[j] += output_gradient[p, q] * buffer[q * stride + j]
            weight_gradient[i, j] += sums[j] for each j

The order of the additions is fixed, and blocks of channels are independent of each other.
"""

import ctypes
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llvmlite import binding, ir

from fairnas.kernels.llvm import FLOATS, INT, LANES, POINTER, Code, Value, compiled_module, empty_module, integer, splat

_NAME = "weight_gradient"
_ZEROS = splat(FLOATS, 0.0)


@dataclass(frozen=True)
class DepthwiseKernel:
    """Compiled code for one kernel size and stride."""

    run: Callable[..., None]
    """`run(input, output_gradient, weight_gradient, buffer, B, H, W, C, P, Q, first, last)`; releases the interpreter
    lock.

    The first four are addresses of float32: (B, H, W, C), (B, P, Q, C), (blocks, kernel, kernel, LANES), and
    (W + 2 * (kernel // 2), LANES) full of zeros. Writes blocks `first` to `last - 1` of the weight gradient. Block n
    starts at channel LANES * n; the last block ends at channel C, so it may overlap the block before it; C >= LANES.
    """
    engine: binding.ExecutionEngine
    """Owner of the machine code: `run` may only be called while this object lives."""


@functools.cache
def compiled(kernel: int, stride: int) -> DepthwiseKernel:
    """Compiled code for an odd kernel size and a stride, with padding kernel // 2 and no dilation."""
    engine = compiled_module(_module(kernel, stride))
    signature = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4, *[ctypes.c_int64] * 8)
    return DepthwiseKernel(signature(engine.get_function_address(_NAME)), engine)


def _module(kernel: int, stride: int) -> ir.Module:
    module = empty_module(_NAME)
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER] * 4 + [INT] * 8), _NAME)
    for pointer in function.args[:4]:
        pointer.add_attribute("noalias")
    _write(Code(function.append_basic_block()), function.args, kernel, stride)
    return module


def _write(code: Code, arguments: Sequence[Value], kernel: int, stride: int) -> None:
    x, grad, total, buffer, images, height, width, channels, rows, columns, first, last = arguments
    zero, padding, taps = integer(0), kernel // 2, kernel * kernel

    with code.loop(code.mul(first, integer(taps)), code.mul(last, integer(taps))) as (tap, _):
        code.put(_ZEROS, total, code.mul(tap, integer(LANES)))

    with code.loop(zero, images) as (image, _), code.loop(first, last) as (block, _):
        channel, end = code.mul(block, integer(LANES)), code.sub(channels, integer(LANES))
        channel = code.select(code.icmp_signed("<", channel, end), channel, end)
        block_total = code.at(total, code.mul(block, integer(taps * LANES)))

        with code.loop(zero, height) as (h, _):
            row = code.mul(code.add(code.mul(image, height), h), width)
            with code.loop(zero, width) as (w, _):
                pixel = code.get(x, code.add(code.mul(code.add(row, w), channels), channel))
                code.put(pixel, buffer, code.mul(code.add(w, integer(padding)), integer(LANES)))

            for i in range(kernel):
                distance = code.add(h, integer(padding - i))  # p * stride
                p = code.sdiv(distance, integer(stride))
                exists = code.and_(code.icmp_signed(">=", distance, zero), code.icmp_signed("<", p, rows))
                whole = code.icmp_signed("==", code.mul(p, integer(stride)), distance)
                with code.if_then(code.and_(exists, whole)):
                    row = code.mul(code.add(code.mul(image, rows), p), columns)
                    with code.loop(zero, columns, [_ZEROS] * kernel) as (q, sums):
                        of_output = code.get(grad, code.add(code.mul(code.add(row, q), channels), channel))
                        window = code.at(buffer, code.mul(q, integer(stride * LANES)))
                        for j in range(kernel):
                            tap = code.get(window, integer(j * LANES))
                            sums[j] = code.product_plus(of_output, tap, sums[j])
                    for j in range(kernel):
                        place = integer((i * kernel + j) * LANES)
                        code.put(code.fadd(code.get(block_total, place), sums[j]), block_total, place)
    code.ret_void()
