"""Machine code for the weight gradient of a depthwise convolution on the CPU, made when it is first needed.

A weight gradient is, per channel, the correlation of the input with the gradient of the output. Channels are the last
axis in memory (NHWC), so 16 neighbours fill a vector register and never mix. What makes it fast is that the k sums of
one kernel row stay in registers while a row of the output passes by; that takes vectors as values, which Python
compilers don't offer and which LLVM does. So the loops are written with LLVM's builder, and compiled in about 50
milliseconds for the processor at hand; nothing is stored on disk. The loops, in order:

    for each image, block of 16 channels, input row h:
        copy the row into a buffer with zeros left and right of it, so that no column needs a test
        for each kernel row i whose output row p exists, p * stride + i = h + padding:
            sums[0 .. k-1] = 0
            for each output column q, for each kernel column j:
                sums[j] += output_gradient[p, q] * buffer[q * stride + j]
            weight_gradient[i, j] += sums[j] for each j

The order of the additions is fixed, and no block of channels depends on another.
"""

import ctypes
import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from llvmlite import binding, ir

LANES = 16
"""Channels of a block: one AVX-512 register, two of AVX, four of NEON."""

_INT, _FLOAT, _POINTER = ir.IntType(64), ir.FloatType(), ir.PointerType()
_VECTOR = ir.VectorType(_FLOAT, LANES)
_ZEROS = ir.Constant(_VECTOR, [0.0] * LANES)
_FUSED = ("contract",)  # a product and a sum may be one instruction; no addition changes its place
_NAME = "weight_gradient"
_Value = Any  # of llvmlite, which is not typed


@dataclass(frozen=True)
class Kernel:
    """Compiled code, for one kernel size and stride."""

    run: Callable[..., None]
    """`run(input, output_gradient, weight_gradient, buffer, B, H, W, C, P, Q, first, last)`, without the global lock.

    The first four are addresses of float32: (B, H, W, C), (B, P, Q, C), (blocks, kernel, kernel, LANES), and
    (W + 2 * (kernel // 2), LANES) full of zeros. Writes blocks `first` to `last - 1` of the weight gradient. Block n
    starts at channel LANES * n, but the last one ends at channel C, so it may overlap the one before it; C >= LANES.
    """
    engine: binding.ExecutionEngine
    """Owns the code: as long as it lives, `run` may be called."""


@functools.cache
def compiled(kernel: int, stride: int) -> Kernel:
    """The code for one odd kernel size and stride, with padding kernel // 2 and no dilation."""
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    module = binding.parse_assembly(str(_module(kernel, stride)))
    module.verify()
    machine = binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(), features=binding.get_host_cpu_features().flatten(), opt=3, jit=True
    )
    engine = binding.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    signature = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4, *[ctypes.c_int64] * 8)
    return Kernel(signature(engine.get_function_address(_NAME)), engine)


def _module(kernel: int, stride: int) -> ir.Module:
    module = ir.Module(_NAME)
    module.triple = binding.get_process_triple()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [_POINTER] * 4 + [_INT] * 8), _NAME)
    for pointer in function.args[:4]:
        pointer.add_attribute("noalias")
    _write(_Code(function.append_basic_block()), function.args, kernel, stride)
    return module


def _write(code: _Value, arguments: Sequence[_Value], kernel: int, stride: int) -> None:
    x, grad, total, buffer, images, height, width, channels, rows, columns, first, last = arguments
    zero, padding, taps = _int(0), kernel // 2, kernel * kernel

    with code.loop(code.mul(first, _int(taps)), code.mul(last, _int(taps))) as (tap, _):
        code.put(_ZEROS, total, code.mul(tap, _int(LANES)))

    with code.loop(zero, images) as (image, _), code.loop(first, last) as (block, _):
        channel, end = code.mul(block, _int(LANES)), code.sub(channels, _int(LANES))
        channel = code.select(code.icmp_signed("<", channel, end), channel, end)
        block_total = code.at(total, code.mul(block, _int(taps * LANES)))

        with code.loop(zero, height) as (h, _):
            row = code.mul(code.add(code.mul(image, height), h), width)
            with code.loop(zero, width) as (w, _):
                pixel = code.get(x, code.add(code.mul(code.add(row, w), channels), channel))
                code.put(pixel, buffer, code.mul(code.add(w, _int(padding)), _int(LANES)))

            for i in range(kernel):
                distance = code.add(h, _int(padding - i))  # p * stride
                p = code.sdiv(distance, _int(stride))
                exists = code.and_(code.icmp_signed(">=", distance, zero), code.icmp_signed("<", p, rows))
                whole = code.icmp_signed("==", code.mul(p, _int(stride)), distance)
                with code.if_then(code.and_(exists, whole)):
                    row = code.mul(code.add(code.mul(image, rows), p), columns)
                    with code.loop(zero, columns, [_ZEROS] * kernel) as (q, sums):
                        of_output = code.get(grad, code.add(code.mul(code.add(row, q), channels), channel))
                        window = code.at(buffer, code.mul(q, _int(stride * LANES)))
                        for j in range(kernel):
                            product = code.fmul(of_output, code.get(window, _int(j * LANES)), flags=_FUSED)
                            sums[j] = code.fadd(sums[j], product, flags=_FUSED)
                    for j in range(kernel):
                        place = _int((i * kernel + j) * LANES)
                        code.put(code.fadd(code.get(block_total, place), sums[j]), block_total, place)
    code.ret_void()


class _Code(ir.IRBuilder):
    """LLVM's builder with float vectors in memory, and counting loops that carry values in registers."""

    def at(self, base: _Value, index: _Value) -> _Value:
        return self.gep(base, [index], source_etype=_FLOAT)

    def get(self, base: _Value, index: _Value) -> _Value:
        return self.load(self.at(base, index), typ=_VECTOR, align=4)

    def put(self, vector: _Value, base: _Value, index: _Value) -> None:
        self.store(vector, self.at(base, index), align=4)

    @contextmanager
    def loop(
        self, start: _Value, stop: _Value, carried: Sequence[_Value] = ()
    ) -> Iterator[tuple[_Value, list[_Value]]]:
        """Count from `start` below `stop`, with the body under `with`.

        The list holds the carried values: the body replaces them in place, and after the loop it holds the last ones.
        """
        before = self.block
        head, body, after = (self.append_basic_block(name) for name in ("head", "body", "after"))
        self.branch(head)
        self.position_at_end(head)
        phis: list[_Value] = [self.phi(value.type) for value in (start, *carried)]
        for phi, value in zip(phis, (start, *carried), strict=True):
            phi.add_incoming(value, before)
        self.cbranch(self.icmp_signed("<", phis[0], stop), body, after)

        self.position_at_end(body)
        values = phis[1:]
        yield phis[0], values
        for phi, value in zip(phis, (self.add(phis[0], _int(1)), *values), strict=True):
            phi.add_incoming(value, self.block)
        self.branch(head)

        self.position_at_end(after)
        values[:] = phis[1:]


def _int(value: int) -> ir.Constant:
    return ir.Constant(_INT, value)
