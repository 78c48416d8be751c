"""Loops over vectors of channels as machine code, built with llvmlite at first use.

Channels are the last axis in memory (NHWC), so 16 neighbouring channels fill a vector register. Code is compiled for
this processor in about 50 milliseconds; nothing is stored on disk.
"""

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from llvmlite import binding, ir

LANES = 16
"""Channels per block: one AVX-512 register, two of AVX, four of NEON."""

_FLAG = ir.IntType(32)  # type of the arguments of llvm.prefetch
INT, FLOAT, DOUBLE, POINTER = ir.IntType(64), ir.FloatType(), ir.DoubleType(), ir.PointerType()
FLOATS, DOUBLES = ir.VectorType(FLOAT, LANES), ir.VectorType(DOUBLE, LANES)
_WORK_OF_A_THREAD = (
    32_000_000  # multiply-adds, above a millisecond: with less, starting threads costs more than it brings
)
_FUSED = ("contract",)  # lets LLVM fuse a product and a sum; does not reorder additions

Value = Any
"""Value of llvmlite, which has no type annotations."""


class Code(ir.IRBuilder):
    """LLVM's builder with vectors in memory, and counting loops with values carried in registers."""

    def at(self, base: Value, index: Value, kind: ir.Type = FLOAT) -> Value:
        """Address of a number in an array."""
        return self.gep(base, [index], source_etype=kind)

    def get(self, base: Value, index: Value, kind: ir.VectorType = FLOATS) -> Value:
        """Vector that begins at a number in an array."""
        return self.load(self.at(base, index, kind.element), typ=kind, align=_size(kind))

    def put(self, vector: Value, base: Value, index: Value) -> None:
        """Write a vector into an array, beginning at a number."""
        self.store(vector, self.at(base, index, vector.type.element), align=_size(vector.type))

    def product_plus(self, left: Value, right: Value, more: Value) -> Value:
        """`left * right + more`, in one instruction if the processor has it."""
        builder: Value = self  # llvmlite's type stubs lack the flags
        return builder.fadd(builder.fmul(left, right, flags=_FUSED), more, flags=_FUSED)

    def expect(self, base: Value, index: Value) -> None:
        """Prefetch the cache line of a number of an array into the L2 cache; the address need not be valid."""
        kinds = [POINTER, *[_FLAG] * 3]
        name = "llvm.prefetch.p0"
        fetch = self.module.globals.get(name) or ir.Function(self.module, ir.FunctionType(ir.VoidType(), kinds), name)
        read, second_cache, data = (ir.Constant(_FLAG, value) for value in (0, 2, 1))
        self.call(fetch, [self.at(base, index), read, second_cache, data])

    def smaller(self, left: Value, right: Value) -> Value:
        """Smaller of two integers."""
        return self.select(self.icmp_signed("<", left, right), left, right)

    @contextmanager
    def loop(self, start: Value, stop: Value, carried: Sequence[Value] = ()) -> Iterator[tuple[Value, list[Value]]]:
        """Count from `start` to below `stop`; the body is the `with` block.

        The list holds the carried values: the body replaces its items, and after the loop it holds the last values.
        """
        before = self.block
        head, body, after = (self.append_basic_block(name) for name in ("head", "body", "after"))
        self.branch(head)
        self.position_at_end(head)
        phis: list[Value] = [self.phi(value.type) for value in (start, *carried)]
        for phi, value in zip(phis, (start, *carried), strict=True):
            phi.add_incoming(value, before)
        self.cbranch(self.icmp_signed("<", phis[0], stop), body, after)

        self.position_at_end(body)
        values = phis[1:]
        yield phis[0], values
        for phi, value in zip(phis, (self.add(phis[0], integer(1)), *values), strict=True):
            phi.add_incoming(value, self.block)
        self.branch(head)

        self.position_at_end(after)
        values[:] = phis[1:]


def integer(value: int) -> ir.Constant:
    """Constant for sizes and indices."""
    return ir.Constant(INT, value)


def splat(kind: ir.VectorType, value: float) -> ir.Constant:
    """Vector with the same constant in every lane."""
    return ir.Constant(kind, [value] * LANES)


def empty_module(name: str) -> ir.Module:
    """Empty module for this process's target."""
    module = ir.Module(name)
    module.triple = binding.get_process_triple()
    return module


def compiled_module(module: ir.Module) -> binding.ExecutionEngine:
    """Compile a module. Its functions may be called while the engine lives."""
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    parsed = binding.parse_assembly(str(module))
    parsed.verify()
    machine = binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(), features=binding.get_host_cpu_features().flatten(), opt=3, jit=True
    )
    engine = binding.create_mcjit_compiler(parsed, machine)
    engine.finalize_object()
    return engine


def _size(kind: ir.VectorType) -> int:
    """Bytes per element of a vector type."""
    return 8 if kind.element == DOUBLE else 4


def share_out(run: Callable[[int, int], None], blocks: int, work: int) -> None:
    """Call `run(first, last)` over all blocks, on as many threads as torch may use and the work justifies.

    An error in one thread is raised here after all threads have ended.
    """
    count = max(1, min(torch.get_num_threads(), blocks, work // _WORK_OF_A_THREAD))
    bounds = [blocks * index // count for index in range(count + 1)]
    mine, *others = itertools.pairwise(bounds)
    errors: list[BaseException] = []

    def in_helper(first: int, last: int) -> None:
        try:
            run(first, last)
        except BaseException as error:
            errors.append(error)

    helpers = [threading.Thread(target=in_helper, args=shares) for shares in others]
    for helper in helpers:
        helper.start()
    try:
        run(*mine)
    finally:
        for helper in helpers:
            helper.join()
    if errors:
        raise errors[0]
