"""Loops over vectors of channels as machine code, written with LLVM's builder when they are first needed.

Channels are the last axis in memory (NHWC), so 16 neighbours fill a vector register and never mix. Compiled for the
processor at hand, in about 50 milliseconds; nothing is stored on disk.
"""

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from llvmlite import binding, ir

LANES = 16
"""Channels of a block: one AVX-512 register, two of AVX, four of NEON."""

_FLAG = ir.IntType(32)
INT, FLOAT, DOUBLE, POINTER = ir.IntType(64), ir.FloatType(), ir.DoubleType(), ir.PointerType()
FLOATS, DOUBLES = ir.VectorType(FLOAT, LANES), ir.VectorType(DOUBLE, LANES)
_WORK_OF_A_THREAD = (
    32_000_000  # multiply-adds, above a millisecond: with less, starting threads costs more than it brings
)
_FUSED = ("contract",)  # a product and a sum may be one instruction; no addition changes its place

Value = Any
"""A value of llvmlite, which is not typed."""


class Code(ir.IRBuilder):
    """LLVM's builder with vectors in memory, and counting loops that carry values in registers."""

    def at(self, base: Value, index: Value, kind: ir.Type = FLOAT) -> Value:
        """The address of a number in an array."""
        return self.gep(base, [index], source_etype=kind)

    def get(self, base: Value, index: Value, kind: ir.VectorType = FLOATS) -> Value:
        """The vector that begins at a number in an array."""
        return self.load(self.at(base, index, kind.element), typ=kind, align=_size(kind))

    def put(self, vector: Value, base: Value, index: Value) -> None:
        """Write a vector into an array, from a number on."""
        self.store(vector, self.at(base, index, vector.type.element), align=_size(vector.type))

    def product_plus(self, left: Value, right: Value, more: Value) -> Value:
        """`left * right + more`, in one instruction where the processor has it."""
        builder: Value = self  # the types of llvmlite don't know of flags
        return builder.fadd(builder.fmul(left, right, flags=_FUSED), more, flags=_FUSED)

    def expect(self, base: Value, index: Value) -> None:
        """Have the line of memory at a number of an array fetched into the second cache; it need not exist."""
        kinds = [POINTER, *[_FLAG] * 3]
        name = "llvm.prefetch.p0"
        fetch = self.module.globals.get(name) or ir.Function(self.module, ir.FunctionType(ir.VoidType(), kinds), name)
        read, second_cache, data = (ir.Constant(_FLAG, value) for value in (0, 2, 1))
        self.call(fetch, [self.at(base, index), read, second_cache, data])

    def smaller(self, left: Value, right: Value) -> Value:
        """The smaller of two integers."""
        return self.select(self.icmp_signed("<", left, right), left, right)

    @contextmanager
    def loop(self, start: Value, stop: Value, carried: Sequence[Value] = ()) -> Iterator[tuple[Value, list[Value]]]:
        """Count from `start` below `stop`, with the body under `with`.

        The list holds the carried values: the body replaces them in place, and after the loop it holds the last ones.
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
    """A constant for sizes and indices."""
    return ir.Constant(INT, value)


def splat(kind: ir.VectorType, value: float) -> ir.Constant:
    """A vector with the same constant in every lane."""
    return ir.Constant(kind, [value] * LANES)


def empty_module(name: str) -> ir.Module:
    """For this process; to be filled with functions."""
    module = ir.Module(name)
    module.triple = binding.get_process_triple()
    return module


def compiled_module(module: ir.Module) -> binding.ExecutionEngine:
    """The machine code of a module. It may be called as long as the engine lives."""
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
    """Bytes of one number of a vector."""
    return 8 if kind.element == DOUBLE else 4


def share_out(run: Callable[[int, int], None], blocks: int, work: int) -> None:
    """Call `run(first, last)` over all blocks, on as many threads as torch may use and the work is worth.

    What it raises in one of them is raised here, when all have ended.
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
