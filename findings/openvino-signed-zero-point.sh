#!/usr/bin/env bash
# OpenVINO 2026.4.1 on a CPU with bfloat16 instructions (there bfloat16 is the default precision): an ONNX file with one
# quantised convolution (QDQ) whose activations are int8 with a zero point other than 0, as onnxruntime's quantiser
# writes them, cannot be compiled when it comes through `Core.read_model` ("No suitable implementations"). The very same
# file compiles, and computes what the quantised arithmetic says, when it comes through `openvino.convert_model`, when
# the precision hint is f32, when the zero point is 0, or when activations are uint8. So the two documented ways to read
# an ONNX file are not equivalent, and a hint about floats decides whether an integer model can be used.
#
# Seen (Intel Xeon with AMX): RuntimeError for int8 with zero point -20 by read_model with hint bf16; no error for the
# other eleven combinations.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet openvino==2026.4.1 onnx==1.22.0 numpy==2.4.6
cd "$work" && "$work/venv/bin/python" - <<'PY'
import itertools
import sys

import numpy as np
import onnx
import openvino
from onnx import TensorProto, helper, numpy_helper

STEP, WEIGHT_STEP, SUM_STEP = 0.02, 0.01, 0.03
rng = np.random.default_rng(0)
weight = rng.integers(-100, 101, (8, 8, 1, 1)).astype(np.int8)
images = rng.normal(0, 0.5, (2, 8, 8, 8)).astype(np.float32)


def one_convolution(zero_point):
    constants = {
        "step": np.float32(STEP),
        "sum.step": np.float32(SUM_STEP),
        "zero": zero_point,
        "weight": weight,
        "weight.step": np.full(8, WEIGHT_STEP, np.float32),
        "weight.zero": np.zeros(8, np.int8),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "step", "zero"], ["x.int"]),
        helper.make_node("DequantizeLinear", ["x.int", "step", "zero"], ["x.float"]),
        helper.make_node("DequantizeLinear", ["weight", "weight.step", "weight.zero"], ["weight.float"], axis=0),
        helper.make_node("Conv", ["x.float", "weight.float"], ["sum"]),
        helper.make_node("QuantizeLinear", ["sum", "sum.step", "zero"], ["sum.int"]),
        helper.make_node("DequantizeLinear", ["sum.int", "sum.step", "zero"], ["y"]),
    ]
    shape = ["N", 8, 8, 8]
    graph = helper.make_graph(
        nodes,
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, "one.onnx")


def expected(zero_point):
    limits = np.iinfo(zero_point.dtype)

    def quantised(values, step):
        whole = np.clip(np.rint(values / np.float32(step)) + int(zero_point), limits.min, limits.max)
        return (whole - int(zero_point)) * step

    return quantised(np.einsum("oi,nihw->nohw", weight[:, :, 0, 0] * WEIGHT_STEP, quantised(images, STEP)), SUM_STEP)


if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
    sys.exit("this CPU has no bfloat16, so there is nothing to see")
READERS = {"read_model": openvino.Core().read_model, "convert_model": openvino.convert_model}
failed = set()
for zero_point, (name, read), hint in itertools.product(
    (np.int8(0), np.int8(-20), np.uint8(128)), READERS.items(), ("f32", "bf16")
):
    one_convolution(zero_point)
    case = f"{zero_point.dtype} zero point {zero_point}, {name}, {hint}"
    try:
        outcome = openvino.Core().compile_model(read("one.onnx"), "CPU", {"INFERENCE_PRECISION_HINT": hint})(images)[0]
    except RuntimeError as error:
        failed.add(case)
        print(f"{case}: RuntimeError: {[line for line in str(error).splitlines() if 'No suitable' in line]}")
        continue
    difference = np.abs(outcome - expected(zero_point)).max()
    print(f"{case}: compiles, differs by {difference:.1e} from the arithmetic")
    assert difference < 1.01 * SUM_STEP, case  # one step where a sum lies between two
print(openvino.__version__)
assert failed == {"int8 zero point -20, read_model, bf16"}, f"the behaviour has changed: {failed}"
print("as described")
PY
