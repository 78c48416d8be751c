"""Code for a GPU is compiled without one: to what the GPU's assembler makes of it."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("triton", reason="there is no Triton for this platform")

_COMPILE = r"""
import re

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from fairnas.kernels import depthwise_gpu, batch_norm_gpu as norm_gpu

TENSORS = {"x", "y", "grad", "result"}
TABLES = {"moments", "constants", "coefficients", "totals", "weight", "bias", "running_mean", "running_var", "table"}
REALS = {"ceiling", "epsilon", "speed"}


def compiled(kernel, kind, **values):
    names = kernel.arg_names
    types, aligned = {}, {}
    for place, name in enumerate(names):
        if name in values:
            types[name] = "constexpr"
        elif name in TENSORS | TABLES:
            types[name] = kind if name in TENSORS else "*fp32"
            aligned[place,] = [["tt.divisibility", 16]]
        else:
            types[name] = "fp32" if name in REALS else "i32"
    source = ASTSource(kernel, types, values, aligned)
    code = triton.compile(source, target=GPUTarget("cuda", 90, 32))
    loads = set(re.findall(r"ld\.global\.\S*", code.asm["ptx"]))
    print(kernel.__name__, kind[1:], code.metadata.shared, *sorted(loads))


for kind in ("*bf16", "*fp32"):
    for width in norm_gpu._WIDTHS:
        one, two = ({"ROWS": numbers // width, "WIDTH": width} for numbers in (norm_gpu._TILE, norm_gpu._TILE_OF_TWO))
        compiled(norm_gpu._moments, kind, **one)
        compiled(norm_gpu._normalise, kind, CLAMPED=True, **one)
        compiled(norm_gpu._gradient_sums, kind, CLAMPED=True, **two)
        compiled(norm_gpu._gradient, kind, CLAMPED=True, **two)
    sums = {"SHARES": norm_gpu._MOST_SHARES, "WIDTH": norm_gpu._WIDTH_OF_SUMS}
    compiled(norm_gpu._constants, kind, TRACKED=True, **sums)
    compiled(norm_gpu._coefficients, kind, **sums)
    for width in depthwise_gpu._WIDTHS:
        columns = depthwise_gpu._TILE // width
        compiled(depthwise_gpu._walk, kind, TAPS=7, STRIDE=1, COLUMNS=columns, WIDTH=width)
    compiled(depthwise_gpu._walk, kind, TAPS=3, STRIDE=2, COLUMNS=depthwise_gpu._FEWEST_COLUMNS, WIDTH=64)
    compiled(depthwise_gpu._arrange, kind, TAPS=3, STRIDE=2, WIDTH=64)
"""


@pytest.mark.slow
def test_every_kernel_compiles_reads_sixteen_bytes_at_once_and_hands_nothing_around_in_a_loop() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-c", _COMPILE], env=environment, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr
    found = [line.split() for line in done.stdout.splitlines()]
    assert len(found) == 2 * (4 * 3 + 2 + 3 + 1 + 1)
    for name, _, shared, *loads in found:
        if name in {"_moments", "_normalise", "_gradient_sums", "_gradient"}:
            assert loads == ["ld.global.v4.b32"]
        if name == "_walk":  # a weight that goes through shared memory makes all wait, in the innermost loop
            assert shared == "0"
    walks = [loads for name, _, _, *loads in found if name == "_walk"]
    assert sum("ld.global.v4.b32" in loads for loads in walks) == 2 * 3  # where images are wide enough
